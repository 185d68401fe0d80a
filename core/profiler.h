// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "op_scope.h"
#include "tensor.h"

namespace tern {

/// One call that a Profiler recorded. Times are in nanoseconds, from the profiler's beginning.
struct ProfilerEvent {
  /// What is told of a tensor.
  struct Input {
    Shape shape;                                           ///< its sizes
    DType dtype = DType::f32;                              ///< its element type
    MemoryFormat memory_format = MemoryFormat::row_major;  ///< how it lies in memory
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
  /// Winograd's algorithm does fewer). 0 where it is not counted: for all but convolutions and
  /// products.
  double flops = 0;
  int64_t reorders = 0;   ///< tensors copied into another memory format, also by calls inside of it
  bool backward = false;  ///< whether it is a backward function, or runs inside of one
};

/// What Profiler::table sums up.
struct ProfilerTableOptions {
  /// A line for each operation with inputs of the same kind; for each operation; for each module,
  /// whose backward counts as its own.
  enum By : uint8_t { call, operation, module };

  size_t rows = 50;  ///< at most so many lines
  By by = call;      ///< what has a line
};

class Profiler;
namespace detail {
struct ProfilerSession;
}  // namespace detail
/// @cond
namespace io {
void write_trace(const Profiler& profiler, const std::string& path);  // io/trace.h
}  // namespace io
/// @endcond

/// Records every operation of every thread while it lives: forward, backward (named "conv2d
/// backward") and the steps of optimizers, and the program's own ranges (ProfilerRange).
///
///     { tern::Profiler profiler;
///       ...training steps...
///       std::cout << profiler.table();
///       tern::io::write_trace(profiler, "trace.json"); }
///
/// The first steps of a program create primitives and ask the system for memory: begin after them.
/// A recorded call takes one to two microseconds more, which count as its caller's, and some
/// hundred bytes of memory; without a profiler there is only the look whether there is one.
/// docs/profiling.md tells how to read the table.
class Profiler {
 public:
  /// Begins. Throws Error while another profiler records.
  [[nodiscard]] Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Ends the recording, for good. What was recorded stays; calls that have not returned yet are
  /// not recorded.
  void stop();

  /// What was recorded until now, by the time it began.
  std::vector<ProfilerEvent> events() const;

  /// What was recorded, summed up, the most expensive first. Times are self times, so that they add
  /// up: a call that another one makes counts once. "of peak" is the larger of two shares: of the
  /// GFLOP/s of a large float32 matrix product, and of the GB/s of copying large memory. Both are
  /// measured here, once, with num_threads(), which takes some tenths of a second. Winograd's
  /// algorithm can reach more than 100 % of the first, operations on tensors that the caches hold
  /// more than 100 % of the second.
  std::string table(const ProfilerTableOptions& options) const;
  /// table({.rows = rows})
  std::string table(size_t rows = 50) const { return table(ProfilerTableOptions{.rows = rows}); }

  /// The old spelling of io::write_trace, inline as core/ knows nothing of io/.
  void write_trace(const std::string& path) const { io::write_trace(*this, path); }

 private:
  std::shared_ptr<detail::ProfilerSession> session_;
};

/// A part of the program under a name, for as long as it lives: `ProfilerRange range("augment");`.
/// Ranges and operations on one thread nest. Does nothing while there is no Profiler. (Operations
/// declare an OpScope.)
class ProfilerRange : public OpScope {
 public:
  /// The name, and the tensors that it reads. Undefined tensors are left out.
  template <std::same_as<Tensor>... Tensors>
  [[nodiscard]] explicit ProfilerRange(const char* name, const Tensors&... inputs)
      : OpScope(OpCall::Kind::range, name, inputs...) {}
  /// As above.
  template <std::same_as<Tensor>... Tensors>
  [[nodiscard]] explicit ProfilerRange(const std::string& name, const Tensors&... inputs)
      : OpScope(OpCall::Kind::range, name.c_str(), inputs...) {}
  /// As above, for any number of tensors.
  [[nodiscard]] ProfilerRange(const char* name, const std::vector<Tensor>& inputs)
      : OpScope(OpCall::Kind::range, name, inputs) {}
};

}  // namespace tern
