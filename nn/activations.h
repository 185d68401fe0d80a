// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "module.h"

namespace tern::nn {

/// max(x, 0). A Sequential runs it together with the module before it (forward_relu).
class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  ReLU clone() const { return nn::clone(*this); }  ///< a deep copy
};

/// 1 / (1 + exp(-x))
class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Sigmoid clone() const { return nn::clone(*this); }  ///< a deep copy
};

/// tanh(x), the hyperbolic tangent.
class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  Tanh clone() const { return nn::clone(*this); }  ///< a deep copy
};

/// x * Phi(x), exactly (with erf).
class GELU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  GELU clone() const { return nn::clone(*this); }  ///< a deep copy
  std::string extra_repr() const override { return "approximate='none'"; }
};

/// x * sigmoid(x)
class SiLU : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  SiLU clone() const { return nn::clone(*this); }  ///< a deep copy
};

/// x where x > 0, negative_slope * x elsewhere.
class LeakyReLU : public Module {
 public:
  /// Throws Error unless the slope is finite.
  explicit LeakyReLU(double negative_slope = 0.01);
  Tensor forward(const Tensor& x) override;
  LeakyReLU clone() const { return nn::clone(*this); }       ///< a deep copy
  double negative_slope() const { return negative_slope_; }  ///< the slope below 0
  std::string extra_repr() const override;

 private:
  double negative_slope_;
};

/// softmax(x) along an axis, counted from the end when negative.
class Softmax : public Module {
 public:
  /// The axis is checked when the module runs.
  explicit Softmax(int64_t axis) : axis_(axis) {}
  Tensor forward(const Tensor& x) override;
  Softmax clone() const { return nn::clone(*this); }  ///< a deep copy
  int64_t axis() const { return axis_; }              ///< as given
  std::string extra_repr() const override;

 private:
  int64_t axis_;
};

/// log(softmax(x)) along an axis.
class LogSoftmax : public Module {
 public:
  /// The axis is checked when the module runs.
  explicit LogSoftmax(int64_t axis) : axis_(axis) {}
  Tensor forward(const Tensor& x) override;
  LogSoftmax clone() const { return nn::clone(*this); }  ///< a deep copy
  int64_t axis() const { return axis_; }                 ///< as given
  std::string extra_repr() const override;

 private:
  int64_t axis_;
};

}  // namespace tern::nn
