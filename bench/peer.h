// SPDX-License-Identifier: Apache-2.0
// PyTorch's version of a step, in a process of its own (pytorch_steps.cpp): beside another library,
// its threads and its allocator are not what they are alone.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "work.h"

namespace bench {

/// A running program whose standard input and output are files here.
class Process {
 public:
  /// Throws std::system_error if it does not start.
  Process(const std::filesystem::path& program, const std::vector<std::string>& arguments);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Writes a line and reads the one that answers it; throws std::runtime_error if there is none.
  std::string ask(const std::string& line);

 private:
  int pid_;
  std::FILE *in_, *out_;
};

/// The step of `work` in PyTorch, from the same weights and data.
class Peer {
 public:
  enum class Format { contiguous, channels_last };
  Peer(const Work& work, Format format);

  double step();            ///< one step; what Work::step returns
  double milliseconds();    ///< per step, over about 20 ms
  double peak_megabytes();  ///< of the process so far
  /// PyTorch's version, and the BLAS that it runs on.
  const std::string& description() const { return description_; }

  /// Whether the program is there.
  static bool available();

 private:
  std::filesystem::path data_;
  Process process_;
  std::string description_;
};

/// This program's own file.
std::filesystem::path this_program();

}  // namespace bench
