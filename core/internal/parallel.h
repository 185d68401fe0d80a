// SPDX-License-Identifier: Apache-2.0
// How Tern's own loops use threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "../threads.h"

namespace tern {

/// Elements of cheap work that one thread does before a second one is worth waking.
inline constexpr int64_t kGrain = 32768;

/// a / b, rounded up, for a >= 0 and b > 0.
constexpr int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

/// A reference to a callable that outlives the call: what a loop body needs, without allocation.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit on purpose, loop bodies are lambdas
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// Note [Data stay with their thread]
// Every loop gives a thread the same consecutive part of its range, and ranges run over the images
// of a batch first. So the images that a thread writes are the ones that it reads in the next
// operation, and they are in its own caches: processors that share no cache take half as long again
// to read what the other has written (measured with Winograd's tiles handed out in turns).

/// Calls body(begin, end) over disjoint ranges that cover [0, count), on up to num_threads()
/// threads. Runs on the calling thread alone when count <= grain: choose grain so that a range of
/// that length takes longer than waking a thread (about 5 us). Which range runs where is fixed by
/// count, grain and the number of threads. An exception from a body is rethrown here.
void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

/// Calls body(part, parts) for each of `parts` <= num_threads() parts. They must not wait for each
/// other: one thread may do several, one after the other (Note [Several threads at once]).
void parallel_team(FunctionRef<void(int, int)> body);

/// The calling thread's part of num_threads() while it lives: fewer if other threads of the
/// program compute as well. Bits must not depend on it (Note [Several threads at once]).
class Team {
 public:
  Team();
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  int size() const { return size_; }

 private:
  int size_;
  bool counted_ = false;
};

/// oneDNN takes its thread count from OpenMP's setting of the calling thread. This scope sets it to
/// num_threads() (or to `threads`) and puts the program's own value back.
class OpenMPThreads {
 public:
  OpenMPThreads();
  explicit OpenMPThreads(int threads);
  ~OpenMPThreads();
  OpenMPThreads(const OpenMPThreads&) = delete;
  OpenMPThreads& operator=(const OpenMPThreads&) = delete;

 private:
  int before_;
  int during_;
};

}  // namespace tern
