// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <variant>
#include <vector>

#include "../core/op_listener.h"
#include "../core/tensor.h"

namespace tern {

/// Indices start, start + step, ... below `stop` of an axis, as Python's start:stop:step and
/// torch::indexing::Slice. Negative start and stop count from the end; both are clamped to the
/// axis.
struct Range {
  /// Behind the end of every axis.
  static constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

  Range() = default;  ///< all of the axis
  /// From `start` on.
  explicit Range(int64_t start_index, int64_t stop_index = kEnd, int64_t step_length = 1)
      : start(start_index), stop(stop_index), step(step_length) {}

  int64_t start = 0;    ///< the first index
  int64_t stop = kEnd;  ///< the one after the last
  int64_t step = 1;     ///< at least 1
};

/// What an axis of a tensor is indexed with: a number, which takes the axis away; a Range; an i64
/// tensor of numbers; or a mask, a bool or u8 tensor as long as the axes that it stands for.
/// Negative numbers count from the end, in tensors too.
class Index {
 public:
  /// A number. bool is none.
  template <std::integral Number>
  requires(!std::same_as<Number, bool>) Index(Number number)
      : value_(static_cast<int64_t>(number)) {}
  Index(Range range) : value_(range) {}     ///< a range
  Index(Tensor tensor) : value_(tensor) {}  ///< numbers or a mask

  /// Which of them it is.
  const std::variant<int64_t, Range, Tensor>& value() const { return value_; }

 private:
  std::variant<int64_t, Range, Tensor> value_;
};

/// x at `indices`, one for each of its first axes; of the others, everything. As x[...] in Python
/// and PyTorch: numbers and ranges first, then tensors, which broadcast against each other and
/// whose common axes come where the first of them stands, or first of all if there are others
/// between them. Never a view, but x itself if that is all of it.
///
///     index(x, {1, Range(0, 4)})    // x[1, 0:4]
///     index(x, {rows, columns})     // x[rows, columns]: one element each
///     index(x, {mask})              // x[mask]: one axis, the elements where the mask is not 0
///
/// The gradients of many parts of x are put into one tensor of its shape, in one pass over memory.
Tensor index(const Tensor& x, const std::vector<Index>& indices);

/// Writes v into index(x, indices), in place, and returns x: v stretches to its shape and is
/// converted to x's dtype, as copy_ does. Where indices repeat, the last element stays.
///
/// Recorded if x or v require a gradient: x's own is 0 where it was written to, v's is read from
/// there. Throws Error, before anything changes, where the tape would lose track: if x is a leaf
/// that requires a gradient (use NoGrad), or if a gradient is recorded and others have x's memory:
/// backward, which needs the old values, or x.detach() or a reshape, which would not know of the
/// gradient. Change x.clone() then.
Tensor index_put_(const Tensor& x, const std::vector<Index>& indices, const Tensor& v);
/// As above, with one number for all.
Tensor index_put_(const Tensor& x, const std::vector<Index>& indices, double v);

/// The elements of x where `mask` (bool or u8) is not 0, in row-major order, along one axis. Both
/// broadcast. As torch.masked_select.
Tensor masked_select(const Tensor& x, const Tensor& mask);
/// The indices (i64, one row each) of the elements that are not 0, in row-major order; NaN is not.
/// As torch.nonzero.
Tensor nonzero(const Tensor& x);

/// What x[...] gives: the tensor index(x, {...}), which also knows where it is from, so that
/// `x[1] = y` writes into x, by index_put_. So does `x[1][2] = y`. Given a name it is a tensor like
/// others: `Tensor row = x[1]` and `auto row = x[1]` hold a copy, and `row = y` makes row another
/// tensor, as in PyTorch.
class Indexed : public Tensor {
 public:
  Indexed(const Indexed&) = default;  ///< another handle to the same part

  /// Index it further; what is assigned goes to the tensor behind it.
  Indexed operator[](const Index& index) const;
  Indexed operator[](std::initializer_list<Index> indices) const;  ///< as above

  /// Writes into the tensor that was indexed: index_put_.
  void operator=(const Tensor& v) &&;
  void operator=(const Indexed& v) &&;  ///< as above
  void operator=(double v) &&;          ///< as above
  /// Makes this handle one of another tensor; what was indexed does not change.
  Indexed& operator=(const Tensor& other) &;
  Indexed& operator=(const Indexed& other) & = default;  ///< as above

 private:
  friend class Tensor;
  Indexed(const Tensor& base, std::vector<Index> indices);
  void write(const Tensor& v) const;

  Tensor base_;
  std::vector<Index> indices_;
  std::shared_ptr<const Indexed> outer_;  // what base_ was read from, if from another
};

/// As OpScope takes them: four numbers each, which of Index's kinds and its values. Tensors are
/// inputs.
AttributeValue attribute_of(const std::vector<Index>& indices);

}  // namespace tern
