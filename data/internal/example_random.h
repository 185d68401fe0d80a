// SPDX-License-Identifier: Apache-2.0
// Random numbers of data sets that do not take them from the generator they are given.
#pragma once

#include "../../core/random.h"

namespace tern::data {

/// While it lives, this thread's default generator belongs to one example: randn, rand and the like
/// then give the same values for every number of workers.
class ExampleRandom {
 public:
  /// Draws from far beyond what Generator(seed, stream) itself reaches.
  ExampleRandom(uint64_t seed, uint64_t stream) : before_(default_generator().state()) {
    constexpr uint64_t kFar = uint64_t{1} << 63;
    default_generator().set_state({seed, stream, kFar});
  }
  ~ExampleRandom() { default_generator().set_state(before_); }
  ExampleRandom(const ExampleRandom&) = delete;
  ExampleRandom& operator=(const ExampleRandom&) = delete;

 private:
  Generator::State before_;
};

}  // namespace tern::data
