// SPDX-License-Identifier: Apache-2.0
// host PLUGIN DIRECTORY: a program without Tern loads a plugin that uses Tern, runs it on a thread,
// and closes it; twice. Returns 0 on success. (Closing unloads neither the plugin nor Tern:
// docs/design.md, "Threads".)
#include <dlfcn.h>

#include <cstdio>
#include <thread>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  for (int round = 0; round < 2; ++round) {
    void* plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!plugin) {
      std::fprintf(stderr, "host: %s\n", dlerror());
      return 1;
    }
    const auto run = reinterpret_cast<int (*)(int, char**)>(dlsym(plugin, "plugin_main"));
    int result = 1;
    if (run) std::thread([&] { result = run(argc - 1, argv + 1); }).join();
    dlclose(plugin);
    if (result != 0) return 1;
  }
  return 0;
}
