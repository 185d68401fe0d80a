// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <ctime>

namespace train_cnn {

/// While it lives, Ctrl-C and SIGTERM end nothing: the program asks for them where it can stop. A
/// second one ends the program at once. Make it before any threads, which inherit what it blocks.
/// (No handler runs, so no signal can meet code that cannot bear one.)
class Interruption {
 public:
  Interruption() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~Interruption() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  /// The signal that has arrived, or 0.
  int signal() {
    if (received_ == 0) {
      const timespec no_time{};
      const int signal = sigtimedwait(&signals_, nullptr, &no_time);
      if (signal > 0) {
        received_ = signal;
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
      }
    }
    return received_;
  }

 private:
  sigset_t signals_;
  sigset_t before_;
  int received_ = 0;
};

}  // namespace train_cnn
