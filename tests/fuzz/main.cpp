// SPDX-License-Identifier: Apache-2.0
// Kills and resumes a training program, and calls the public interface with random arguments, for a
// while: ./run fuzz.
#include <chrono>
#include <cstring>
#include <iostream>
#include <string>

#include "../support/damage.h"
#include "calls.h"
#include "kills.h"

using namespace tern::fuzz;

namespace {

int usage(const char* why) {
  std::cerr << why << "\nusage: ./run fuzz [--seconds N] [--seed S] [--table operations|layers|"
            << "training|readers] [--call N | --first N]\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 60;
  uint64_t seed =
      static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  uint64_t first = 0;
  std::string table;
  std::optional<uint64_t> call;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) return usage(("no value for " + flag).c_str());
    if (flag == "--seconds") {
      seconds = std::atof(argv[i + 1]);
    } else if (flag == "--seed") {
      seed = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--table") {
      table = argv[i + 1];
    } else if (flag == "--first") {
      first = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--call") {
      call = std::strtoull(argv[i + 1], nullptr, 10);
    } else {
      return usage(("unknown flag " + flag).c_str());
    }
  }
  std::vector<Calls> tables;
  for (const Calls& one : {operations(), layers(), training(), readers()}) {
    if (table.empty() || table == one.name()) tables.push_back(one);
  }
  if (tables.empty() || (call && table.empty())) return usage("--table names no table");

  int killed = 0;
  if (table.empty()) killed = kill_and_resume(0.2 * seconds, seed);
  const tern::test::LittleMemory little(kMemory);
  const double left = table.empty() ? 0.8 * seconds : seconds;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(left);
  uint64_t number = call.value_or(first), faults = 0;
  do {
    for (const Calls& one : tables) {
      const std::string fault = run(one, seed, number);
      if (fault.empty()) continue;
      std::cout << fault << std::flush;
      ++faults;
    }
    ++number;
  } while (!call && std::chrono::steady_clock::now() < end);
  if (!call) {
    std::cout << (number - first) * tables.size() << " calls with seed " << seed << ", " << faults
              << " faults\n";
  }
  return faults == 0 && killed == 0 ? 0 : 1;
}
