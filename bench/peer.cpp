// SPDX-License-Identifier: Apache-2.0
#include "peer.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <system_error>

extern char** environ;

namespace bench {

namespace fs = std::filesystem;

namespace {

fs::path peer_program() { return this_program().parent_path() / "pytorch_steps"; }

// What the peer begins with: parameters and buffers, and the data as "x" and "target".
fs::path write_data(const Work& work) {
  tern::StateDict dict = work.net ? work.net->state_dict() : tern::StateDict();
  dict.insert("x", work.x.detach());
  dict.insert("target", work.target.defined() ? work.target.detach() : work.x.detach());
  const fs::path path = fs::temp_directory_path() /
                        ("tern_bench_" + std::to_string(getpid()) + "_" + work.name + ".pt");
  tern::io::save_pytorch(dict, path);
  return path;
}

}  // namespace

Process::Process(const fs::path& program, const std::vector<std::string>& arguments) {
  const auto check = [](int error, const char* what) {
    if (error) throw std::system_error(error, std::generic_category(), what);
  };
  int to_it[2], from_it[2];
  check(pipe2(to_it, O_CLOEXEC) ? errno : 0, "pipe2");
  check(pipe2(from_it, O_CLOEXEC) ? errno : 0, "pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to_it[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from_it[1], STDOUT_FILENO);
  std::vector<std::string> words = {program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, words[0].c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to_it[0]);
  close(from_it[1]);
  check(error, words[0].c_str());
  in_ = fdopen(to_it[1], "w");
  out_ = fdopen(from_it[0], "r");
}

Process::~Process() {
  std::fclose(in_);
  std::fclose(out_);
  waitpid(pid_, nullptr, 0);
}

std::string Process::ask(const std::string& line) {
  std::fprintf(in_, "%s\n", line.c_str());
  std::fflush(in_);
  std::string answer;
  for (int c; (c = std::fgetc(out_)) != EOF && c != '\n';) answer.push_back(static_cast<char>(c));
  if (answer.empty()) throw std::runtime_error("no answer to '" + line + "'");
  return answer;
}

Peer::Peer(const Work& work, Format format)
    : data_(write_data(work)),
      process_(peer_program(),
               {work.name, format == Format::channels_last ? "channels_last" : "contiguous", data_,
                std::to_string(tern::num_threads())}),
      description_(process_.ask("describe")) {  // it has read its data
  fs::remove(data_);
}

double Peer::step() { return std::stod(process_.ask("step")); }
double Peer::milliseconds() { return std::stod(process_.ask("time")); }
double Peer::peak_megabytes() { return std::stod(process_.ask("memory")); }

bool Peer::available() { return fs::exists(peer_program()); }

fs::path this_program() { return fs::read_symlink("/proc/self/exe"); }

}  // namespace bench
