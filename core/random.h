// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tern {

/// A random number generator that gives the same numbers on every platform: the counter-based
/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), and
/// distributions computed with correctly rounded operations only. Number i of a stream can be
/// computed without the ones before it, so parallel loops get the same numbers for every number of
/// threads.
class Generator {
 public:
  /// Serializable state of a generator.
  struct State {
    uint64_t seed = 0;      ///< selects the sequence
    uint64_t stream = 0;    ///< selects one of the independent streams of a seed
    uint64_t position = 0;  ///< how many numbers have been drawn
    bool operator==(const State&) const = default;  ///< whether the numbers to come are equal
  };

  /// Starts at the beginning of a stream of a seed.
  explicit Generator(uint64_t seed = 0, uint64_t stream = 0) : state_{seed, stream, 0} {}
  explicit Generator(const State& state) : state_(state) {}  ///< continues from `state`

  const State& state() const { return state_; }           ///< the current state
  void set_state(const State& state) { state_ = state; }  ///< continues from `state`

  /// 64 random bits.
  uint64_t bits() { return bits_at(state_, state_.position++); }
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() { return to_uniform(bits()); }
  /// Normal with mean 0 and variance 1: Wichura's AS 241 (1988) applied to a uniform number.
  double normal() { return to_normal(bits()); }
  /// Uniform in [0, bound), without bias. Throws Error if bound < 1.
  int64_t integer(int64_t bound);

  /// Skips `count` numbers and returns the position of the first, for bits_at.
  uint64_t reserve(int64_t count);

  /// Number `position` of the stream of `state`, whose own position does not matter.
  static uint64_t bits_at(const State& state, uint64_t position);
  /// 64 bits as uniform() converts them.
  static double to_uniform(uint64_t bits);
  /// 64 bits as normal() converts them.
  static double to_normal(uint64_t bits);

 private:
  State state_;
};

/// Restarts the default generator: everything random in Tern that is not given a generator of its
/// own (randn, dropout, initializers, shuffles) draws from it. Each thread has its own. A thread
/// that never called manual_seed uses seed 0: the main thread the stream 0, others streams of their
/// own, numbered in the order in which they first use it. So threads draw different numbers unless
/// they are seeded alike.
void manual_seed(uint64_t seed);
/// The default generator of this thread.
Generator& default_generator();

}  // namespace tern
