// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/activations.h"
#include "module_of.h"

namespace tern::nn {

/// max(x, 0). A Sequential runs it together with the module before it (forward_relu).
class ReLU : public ModuleOf<ReLU> {
 public:
  Tensor forward(const Tensor& x) override;
};

/// 1 / (1 + exp(-x))
class Sigmoid : public ModuleOf<Sigmoid> {
 public:
  Tensor forward(const Tensor& x) override;
};

/// tanh(x), the hyperbolic tangent.
class Tanh : public ModuleOf<Tanh> {
 public:
  Tensor forward(const Tensor& x) override;
};

/// x * Phi(x), exactly (with erf) unless the options say otherwise.
class GELU : public ModuleOf<GELU> {
 public:
  /// The options of the function.
  explicit GELU(GeluOptions options = {}) : options_(options) {}
  Tensor forward(const Tensor& x) override;
  std::string extra_repr() const override;

 private:
  GeluOptions options_;
};

/// x * sigmoid(x)
class SiLU : public ModuleOf<SiLU> {
 public:
  Tensor forward(const Tensor& x) override;
};

/// x where x > 0, negative_slope * x elsewhere.
class LeakyReLU : public ModuleOf<LeakyReLU> {
 public:
  /// Throws Error unless the slope is finite.
  explicit LeakyReLU(double negative_slope = 0.01);
  Tensor forward(const Tensor& x) override;
  double negative_slope() const { return negative_slope_; }  ///< the slope below 0
  std::string extra_repr() const override;

 private:
  double negative_slope_;
};

/// min(max(x, 0), 6)
class ReLU6 : public ModuleOf<ReLU6> {
 public:
  Tensor forward(const Tensor& x) override { return relu6(x); }
};

/// min(max(x + 3, 0), 6) / 6
class Hardsigmoid : public ModuleOf<Hardsigmoid> {
 public:
  Tensor forward(const Tensor& x) override { return hardsigmoid(x); }
};

/// x * hardsigmoid(x)
class Hardswish : public ModuleOf<Hardswish> {
 public:
  Tensor forward(const Tensor& x) override { return hardswish(x); }
};

/// x * tanh(softplus(x))
class Mish : public ModuleOf<Mish> {
 public:
  Tensor forward(const Tensor& x) override { return mish(x); }
};

/// log(sigmoid(x))
class LogSigmoid : public ModuleOf<LogSigmoid> {
 public:
  Tensor forward(const Tensor& x) override { return logsigmoid(x); }
};

/// x / (1 + |x|)
class Softsign : public ModuleOf<Softsign> {
 public:
  Tensor forward(const Tensor& x) override { return softsign(x); }
};

/// min(max(x, min_val), max_val)
class Hardtanh : public ModuleOf<Hardtanh> {
 public:
  /// Throws Error unless min_val < max_val.
  explicit Hardtanh(double min_val = -1, double max_val = 1);
  Tensor forward(const Tensor& x) override { return hardtanh(x, min_val_, max_val_); }
  std::string extra_repr() const override;

 private:
  double min_val_, max_val_;
};

/// x where x > 0, alpha * (exp(x) - 1) elsewhere.
class ELU : public ModuleOf<ELU> {
 public:
  /// The argument of the function.
  explicit ELU(double alpha = 1) : alpha_(alpha) {}
  Tensor forward(const Tensor& x) override { return elu(x, alpha_); }
  std::string extra_repr() const override;

 private:
  double alpha_;
};

/// log(1 + exp(beta * x)) / beta, x itself where beta * x > threshold.
class Softplus : public ModuleOf<Softplus> {
 public:
  /// Throws Error if beta is 0.
  explicit Softplus(double beta = 1, double threshold = 20);
  Tensor forward(const Tensor& x) override { return softplus(x, beta_, threshold_); }
  std::string extra_repr() const override;

 private:
  double beta_, threshold_;
};

/// x where x > 0, weight * x elsewhere. Parameter weight [num_parameters]: one for all channels, or
/// one for each. Best without weight decay.
class PReLU : public ModuleOf<PReLU> {
 public:
  /// The weight begins as `init`. Throws Error unless num_parameters is at least 1.
  explicit PReLU(int64_t num_parameters = 1, double init = 0.25);
  Tensor forward(const Tensor& x) override { return prelu(x, weight_); }
  const Tensor& weight() const { return weight_; }  ///< [num_parameters]
  std::string extra_repr() const override;

 private:
  Tensor weight_;
};

/// a * sigmoid(b), a and b being the halves of x along an axis.
class GLU : public ModuleOf<GLU> {
 public:
  /// The axis is checked when the module runs.
  explicit GLU(int64_t axis = -1) : axis_(axis) {}
  Tensor forward(const Tensor& x) override { return glu(x, axis_); }
  std::string extra_repr() const override;

 private:
  int64_t axis_;
};

/// softmax(x) along an axis, counted from the end when negative.
class Softmax : public ModuleOf<Softmax> {
 public:
  /// The axis is checked when the module runs.
  explicit Softmax(int64_t axis) : axis_(axis) {}
  Tensor forward(const Tensor& x) override;
  int64_t axis() const { return axis_; }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t axis_;
};

/// log(softmax(x)) along an axis.
class LogSoftmax : public ModuleOf<LogSoftmax> {
 public:
  /// The axis is checked when the module runs.
  explicit LogSoftmax(int64_t axis) : axis_(axis) {}
  Tensor forward(const Tensor& x) override;
  int64_t axis() const { return axis_; }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t axis_;
};

}  // namespace tern::nn
