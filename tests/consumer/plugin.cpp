// SPDX-License-Identifier: Apache-2.0
// The consumer as a plugin, for host.cpp.
extern "C" int plugin_main(int argc, char** argv);
#define main plugin_main
#include "main.cpp"
