// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "module.h"

namespace tern::nn {

/// Joins axes start_axis to end_axis into one: by default all but the batch's.
class Flatten : public Module {
 public:
  /// Axes are counted from the end when negative; the input decides whether they are there.
  explicit Flatten(int64_t start_axis = 1, int64_t end_axis = -1)
      : start_axis_(start_axis), end_axis_(end_axis) {}
  Tensor forward(const Tensor& x) override;
  Flatten clone() const { return nn::clone(*this); }  ///< a deep copy
  int64_t start_axis() const { return start_axis_; }  ///< as given
  int64_t end_axis() const { return end_axis_; }      ///< as given
  std::string extra_repr() const override;

 private:
  int64_t start_axis_;
  int64_t end_axis_;
};

/// Gives back what it gets: stands where another net has a layer.
class Identity : public Module {
 public:
  Tensor forward(const Tensor& x) override { return x; }
  Identity clone() const { return nn::clone(*this); }  ///< a deep copy
};

}  // namespace tern::nn
