// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor.h"

namespace tern {

class Node;

/// One call that a Profiler recorded. Times are in nanoseconds, from the profiler's beginning.
struct ProfilerEvent {
  /// What is told of a tensor.
  struct Input {
    Shape shape;                     ///< its sizes
    DType dtype = DType::f32;        ///< its element type
    Order order = Order::row_major;  ///< how it lies in memory
  };

  std::string name;    ///< "conv2d", "conv2d backward", "optim::SGD", a range's own
  std::string module;  ///< "layer1.0.conv1": the module that made the call, or ""
  std::string
      implementation;         ///< "brgconv:avx512_core", "winograd:avx512", "tern"; "": none needed
  std::vector<Input> inputs;  ///< of a backward: the gradient, then the tensors that were saved
  int thread = 0;             ///< the same number for calls of the same thread
  int64_t start = 0;          ///< when it began
  int64_t duration = 0;       ///< how long it took
  int64_t self = 0;           ///< how long it took without the recorded calls inside of it
  /// Bytes of the inputs and of the tensors that it wrote. 0 for a view, and for a call that is
  /// made of other operations, which have theirs.
  int64_t bytes = 0;
  /// Multiplications and additions as the definition of the operation has them (a convolution by
  /// Winograd's algorithm does fewer). 0 where nobody counts: for all but convolutions and
  /// products.
  double flops = 0;
  int64_t reorders = 0;  ///< tensors copied into another memory order, also by calls inside of it
};

namespace detail {
struct ProfilerSession;
struct ProfilerFrame;
extern std::atomic<bool> profiling;
}  // namespace detail

/// Records every operation of every thread while it lives: forward, backward (named "conv2d
/// backward") and the steps of optimizers, and the program's own ranges (ProfilerRange).
///
///     { tern::Profiler profiler;
///       ...training steps...
///       std::cout << profiler.table();
///       profiler.write_trace("trace.json"); }
///
/// The first steps of a program create primitives and ask the system for memory: begin after them.
/// A recorded call takes one to two microseconds more, which count as its caller's, and some
/// hundred bytes of memory; without a profiler there is only the look whether there is one.
/// docs/profiling.md tells how to read the table.
class Profiler {
 public:
  /// Begins. Throws Error while another profiler records.
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Ends the recording, for good. What was recorded stays; calls that have not returned yet are
  /// not recorded.
  void stop();

  /// What was recorded until now, by the time it began.
  std::vector<ProfilerEvent> events() const;

  /// A line for each operation with inputs of the same kind, the most expensive first, in at most
  /// `rows` lines. Times are self times, so that they add up: a call that another one makes counts
  /// once. "of peak" is the larger of two shares: of the GFLOP/s of a large float32 matrix product,
  /// and of the GB/s of copying large memory. Both are measured here, once, with num_threads(),
  /// which takes some tenths of a second. Winograd's algorithm can reach more than 100 % of the
  /// first, operations on tensors that the caches hold more than 100 % of the second.
  std::string table(size_t rows = 50) const;

  /// Writes Chrome's trace event format, which ui.perfetto.dev and chrome://tracing show: a row per
  /// thread, and what ProfilerEvent holds at each call. Throws Error if the file cannot be written.
  void write_trace(const std::string& path) const;

 private:
  std::shared_ptr<detail::ProfilerSession> session_;
};

/// A part of the program under a name, for as long as it lives: what every operation declares, and
/// what a program can declare for parts of its own: `ProfilerRange range("augment");`. Ranges on
/// one thread nest. Does nothing while there is no Profiler.
class ProfilerRange {
 public:
  /// The name, and the inputs of an operation. Undefined tensors are left out.
  template <std::same_as<Tensor>... Tensors>
  explicit ProfilerRange(const char* name, const Tensors&... inputs) {
    if (on()) [[unlikely]]
      begin_on(name, &inputs...);
  }
  /// As above.
  template <std::same_as<Tensor>... Tensors>
  explicit ProfilerRange(const std::string& name, const Tensors&... inputs) {
    if (on()) [[unlikely]]
      begin_on(name.c_str(), &inputs...);
  }
  /// An operation on any number of inputs.
  ProfilerRange(const char* name, const std::vector<Tensor>& inputs) {
    if (on()) [[unlikely]]
      begin(name, inputs);
  }
  /// The backward function of a node; the tape declares it.
  ProfilerRange(const Node& node, const Tensor& dy) {
    if (on()) [[unlikely]]
      begin(node, dy);
  }
  ~ProfilerRange() {
    if (frame_) [[unlikely]]
      end();
  }
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;

  /// Whether a profiler was there when it began.
  bool recorded() const { return frame_ != nullptr; }

  /// @name About the innermost range of this thread
  /// For what a kernel knows and the operation's front-end does not.
  /// @{

  /// Adds the multiplications and additions of the operation's definition.
  static void flops(double count) {
    if (on()) [[unlikely]]
      add_flops(count);
  }
  /// Names what computes it. Several names are listed.
  static void implementation(const char* name) {
    if (on()) [[unlikely]]
      add_implementation(name);
  }
  /// Adds a tensor that is read besides the inputs. Saved::get does.
  static void reads(const Tensor& x) {
    if (on()) [[unlikely]]
      add_input(x);
  }
  /// Adds a tensor that is written in place. New tensors need no mention.
  static void writes(const Tensor& x) {
    if (on()) [[unlikely]]
      add_bytes(x.numel() * static_cast<int64_t>(size_of(x.dtype())));
  }
  /// Adds bytes that are read or written otherwise.
  static void bytes(int64_t count) {
    if (on()) [[unlikely]]
      add_bytes(count);
  }
  /// Counts a tensor that was copied into another memory order.
  static void reorders() {
    if (on()) [[unlikely]]
      add_reorder();
  }
  /// @}

 private:
  static bool on() { return detail::profiling.load(std::memory_order_relaxed); }
  template <class... Pointers>
  void begin_on(const char* name, Pointers... inputs) {
    const Tensor* const list[] = {inputs..., nullptr};
    begin(name, "", {list, sizeof...(inputs)});
  }
  void begin(const char* name, const char* suffix, std::span<const Tensor* const> inputs);
  void begin(const char* name, const std::vector<Tensor>& inputs);
  void begin(const Node& node, const Tensor& dy);
  void end();
  static void add_flops(double count);
  static void add_implementation(const char* name);
  static void add_input(const Tensor& x);
  static void add_bytes(int64_t count);
  static void add_reorder();

  detail::ProfilerFrame* frame_ = nullptr;
};

}  // namespace tern
