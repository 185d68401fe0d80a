// SPDX-License-Identifier: Apache-2.0
#include "kills.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <tern/tern.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <thread>

#include "../support/stripes.h"
#include "../support/support.h"

namespace tern::fuzz {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// train_cnn in a process of its own.
pid_t start_training(const fs::path& data, const fs::path& out, bool resume) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int log = open((data / "log").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  // Short epochs: it saves most of the time.
  execl(TERN_EXAMPLES_DIR "/train_cnn", "train_cnn", "--epochs", "8", "--batch-size", "32",
        "--threads", "1", "--workers", "0", "--data", data.c_str(), "--out", out.c_str(),
        resume ? "--resume" : nullptr, nullptr);
  _exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::vector<std::string> files_of(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(directory))
    names.push_back(file.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

/// What is wrong with a run that is over.
std::string difference(const fs::path& whole, const fs::path& broken) {
  std::string text;
  for (const std::string& name : files_of(broken)) {
    if (!fs::exists(whole / name)) text += " " + name + " is left over;";
  }
  for (const std::string& name : files_of(whole)) {
    if (test::read_file(whole / name) != test::read_file(broken / name)) {
      text += " " + name + " is not that of an undisturbed run;";
    }
  }
  return text;
}

}  // namespace

int kill_and_resume(double seconds, uint64_t seed) {
  const test::TemporaryDirectory data;
  test::write_stripes(data.path(), "train", 64);
  test::write_stripes(data.path(), "t10k", 32);
  const fs::path whole = data.path() / "whole", broken = data.path() / "broken";
  const Clock::time_point start = Clock::now();
  if (wait_for(start_training(data.path(), whole, false)) != 0) {
    std::cout << "train_cnn fails: " << test::read_file(data.path() / "log") << "\n";
    return 1;
  }
  const double takes = since(start);
  Generator random(seed);
  int kills = 0, ends = 0, faults = 0;
  const auto complain = [&](const std::string& what) {
    std::cout << "after kill " << kills << " of seed " << seed << ": " << what << std::endl;
    ++faults;
  };
  while (since(start) < seconds) {
    const fs::path checkpoint = broken / "checkpoint.safetensors";
    const pid_t child = start_training(data.path(), broken, fs::exists(checkpoint));
    // Mostly within the run, sometimes never.
    std::this_thread::sleep_for(std::chrono::duration<double>(1.5 * takes * random.uniform()));
    kill(child, random.uniform() < 0.7 ? SIGKILL : SIGINT);
    ++kills;
    const int status = wait_for(child);
    if (status != 0 && status != 128 && status != 130) {
      complain("status " + std::to_string(status) + ", " + test::read_file(data.path() / "log"));
    }
    try {
      if (fs::exists(checkpoint)) (void)io::load_checkpoint(checkpoint);
    } catch (const Error& error) {
      complain(error.what());
    }
    if (status != 0) continue;
    if (const std::string text = difference(whole, broken); !text.empty()) complain(text);
    fs::remove_all(broken);
    ++ends;
  }
  std::cout << kills << " kills of train_cnn, " << ends << " runs to the end, " << faults
            << " faults\n";
  return faults;
}

}  // namespace tern::fuzz
