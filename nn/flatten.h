// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "module_of.h"

namespace tern::nn {

/// Joins axes start_axis to end_axis into one: by default all but the batch's.
class Flatten : public ModuleOf<Flatten> {
 public:
  /// Axes are counted from the end when negative; the input decides whether they are there.
  explicit Flatten(int64_t start_axis = 1, int64_t end_axis = -1)
      : start_axis_(start_axis), end_axis_(end_axis) {}
  Tensor forward(const Tensor& x) override;
  int64_t start_axis() const { return start_axis_; }  ///< as given
  int64_t end_axis() const { return end_axis_; }      ///< as given
  std::string extra_repr() const override;

 private:
  int64_t start_axis_;
  int64_t end_axis_;
};

/// Axis `axis` as several axes of the given sizes, one of which may be -1, see tern::unflatten.
class Unflatten : public ModuleOf<Unflatten> {
 public:
  /// The input decides whether the axis is there and has that many elements.
  Unflatten(int64_t axis, IntList sizes) : axis_(axis), sizes_(std::move(sizes)) {}
  Tensor forward(const Tensor& x) override;
  int64_t axis() const { return axis_; }                                  ///< as given
  const std::vector<int64_t>& sizes() const { return sizes_.numbers(); }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t axis_;
  IntList sizes_;
};

/// Gives back what it gets: stands where another net has a layer.
class Identity : public ModuleOf<Identity> {
 public:
  Tensor forward(const Tensor& x) override { return x; }
};

}  // namespace tern::nn
