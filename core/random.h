// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tern {

/// Random numbers that are the same on every platform for a seed: Philox4x32-10 (Salmon et al.,
/// "Parallel random numbers: as easy as 1, 2, 3", 2011), a counter-based generator, and
/// distributions that use only correctly rounded operations. Number i of a stream can be computed
/// without the ones before it, so that loops may draw in parallel and get the same numbers for
/// every thread count.
class Generator {
 public:
  /// What a generator needs to go on later.
  struct State {
    uint64_t seed = 0;                              ///< which sequence
    uint64_t stream = 0;                            ///< which of the independent streams of a seed
    uint64_t position = 0;                          ///< how many numbers have been taken
    bool operator==(const State&) const = default;  ///< whether the next numbers are the same
  };

  /// Begins a stream of a seed.
  explicit Generator(uint64_t seed = 0, uint64_t stream = 0) : state_{seed, stream, 0} {}
  explicit Generator(const State& state) : state_(state) {}  ///< goes on from `state`

  const State& state() const { return state_; }           ///< where it stands
  void set_state(const State& state) { state_ = state; }  ///< goes on from `state`

  /// 64 random bits.
  uint64_t bits() { return bits_at(state_, state_.position++); }
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() { return to_uniform(bits()); }
  /// Normal with mean 0 and variance 1: Wichura's AS 241 (1988) applied to a uniform number.
  double normal() { return to_normal(bits()); }
  /// Uniform in [0, bound), without bias. Throws Error if bound < 1.
  int64_t integer(int64_t bound);

  /// Takes `count` numbers at once: returns the position of the first, for bits_at.
  uint64_t reserve(int64_t count);

  /// Number `position` of a stream, whatever position the state is at.
  static uint64_t bits_at(const State& state, uint64_t position);
  /// What uniform() makes of 64 bits.
  static double to_uniform(uint64_t bits);
  /// What normal() makes of 64 bits.
  static double to_normal(uint64_t bits);

 private:
  State state_;
};

/// Restarts the default generator: everything random in Tern that is not given a generator of its
/// own (randn, dropout, initializers, shuffles) draws from it. One generator per thread; a thread
/// that never called manual_seed starts from seed 0.
void manual_seed(uint64_t seed);
/// The default generator of this thread.
Generator& default_generator();

}  // namespace tern
