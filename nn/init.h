// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "../core/tensor.h"

namespace tern::nn {

/// Which fan sets the scale: the number of inputs of an output, of outputs of an input, their mean.
enum class FanMode : uint8_t { fan_in, fan_out, fan_avg };
/// What follows the layer, for the gain; of these, RNN applies tanh and relu itself.
enum class Nonlinearity : uint8_t { linear, conv2d, sigmoid, tanh, relu, leaky_relu, selu };
/// What VarianceScaling draws.
enum class Distribution : uint8_t { uniform, normal, truncated_normal };

/// Ways to fill a tensor: PyTorch's functions (torch.nn.init), which change their argument in place
/// and return it, and MindSpore's initializers (mindspore.common.initializer) as objects that do
/// the same when called with a tensor. All of them draw from default_generator(), the same numbers
/// for every number of threads, and none is recorded. They throw Error for tensors that are not
/// floating, for arguments out of range, and for ranks they are not made for; fans need two axes.
namespace init {

/// @name PyTorch's functions
/// @{

Tensor constant_(const Tensor& t, double value);  ///< `value` everywhere
Tensor zeros_(const Tensor& t);                   ///< 0 everywhere
Tensor ones_(const Tensor& t);                    ///< 1 everywhere
/// Ones on the diagonal of a matrix.
Tensor eye_(const Tensor& t);
/// A convolution kernel (3 to 5 axes) that passes its input through, in each of `groups` groups.
Tensor dirac_(const Tensor& t, int64_t groups = 1);
/// Normal.
Tensor normal_(const Tensor& t, double mean = 0.0, double std = 1.0);
/// Uniform in [low, high).
Tensor uniform_(const Tensor& t, double low = 0.0, double high = 1.0);
/// Normal restricted to [low, high], which are absolute values.
Tensor trunc_normal_(const Tensor& t, double mean = 0.0, double std = 1.0, double low = -2.0,
                     double high = 2.0);
/// Uniform within gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010).
Tensor xavier_uniform_(const Tensor& t, double gain = 1.0);
/// Normal with deviation gain * sqrt(2 / (fan_in + fan_out)).
Tensor xavier_normal_(const Tensor& t, double gain = 1.0);
/// Uniform within calculate_gain(nonlinearity, a) * sqrt(3 / fan) (He et al., 2015).
Tensor kaiming_uniform_(const Tensor& t, double a = 0.0, FanMode mode = FanMode::fan_in,
                        Nonlinearity nonlinearity = Nonlinearity::leaky_relu);
/// Normal with deviation calculate_gain(nonlinearity, a) / sqrt(fan).
Tensor kaiming_normal_(const Tensor& t, double a = 0.0, FanMode mode = FanMode::fan_in,
                       Nonlinearity nonlinearity = Nonlinearity::leaky_relu);
/// Orthonormal rows or columns (whichever are fewer) of the matrix [size(0), rest], times gain
/// (Saxe et al., 2013).
Tensor orthogonal_(const Tensor& t, double gain = 1.0);
/// A normal matrix in each of whose columns the given fraction of the elements is zero (Martens,
/// 2010).
Tensor sparse_(const Tensor& t, double sparsity, double std = 0.01);
/// 1; 5/3 for tanh; sqrt(2) for relu; sqrt(2 / (1 + param^2)) for leaky_relu; 3/4 for selu.
double calculate_gain(Nonlinearity nonlinearity, double param = 0.01);
/// The fans of a weight [out, in, window...].
std::pair<int64_t, int64_t> calculate_fan_in_and_fan_out(const Shape& shape);
/// @}

/// @name MindSpore's initializers
/// With MindSpore's arguments and defaults, as designated initializers: Normal{.sigma = 0.02}.
/// @{

/// Zeros.
struct Zero {
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// Ones.
struct One {
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// One value everywhere.
struct Constant {
  double value = 0.0;                      ///< of every element
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// U(-scale, scale)
struct Uniform {
  double scale = 0.07;                     ///< the bound
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// Normal with mean `mean` and deviation `sigma`.
struct Normal {
  double sigma = 0.01;                     ///< the deviation
  double mean = 0.0;                       ///< the mean
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// Normal cut at mean + a * sigma and mean + b * sigma (trunc_normal_ takes absolute bounds).
struct TruncatedNormal {
  double sigma = 0.01;                     ///< the deviation
  double mean = 0.0;                       ///< the mean
  double a = -2.0;                         ///< lower bound, in deviations
  double b = 2.0;                          ///< upper bound, in deviations
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// init::xavier_uniform_.
struct XavierUniform {
  double gain = 1.0;                       ///< multiplies the bound or deviation
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// init::xavier_normal_.
struct XavierNormal {
  double gain = 1.0;                       ///< multiplies the bound or deviation
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// init::kaiming_uniform_.
struct HeUniform {
  double negative_slope = 0.0;                           ///< of the leaky_relu that follows
  FanMode mode = FanMode::fan_in;                        ///< which fan divides
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;  ///< what follows the layer
  void operator()(const Tensor& t) const;                ///< fills `t`
};
/// init::kaiming_normal_.
struct HeNormal {
  double negative_slope = 0.0;                           ///< of the leaky_relu that follows
  FanMode mode = FanMode::fan_in;                        ///< which fan divides
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;  ///< what follows the layer
  void operator()(const Tensor& t) const;                ///< fills `t`
};
/// Variance scale / fan. MindSpore documents a truncated normal as the default, but has drawn
/// uniform numbers there because of a misspelt name; Tern does what the documentation says.
struct VarianceScaling {
  double scale = 1.0;                                          ///< what the fan divides
  FanMode mode = FanMode::fan_in;                              ///< which fan divides
  Distribution distribution = Distribution::truncated_normal;  ///< what is drawn
  void operator()(const Tensor& t) const;                      ///< fills `t`
};
/// init::orthogonal_.
struct Orthogonal {
  double gain = 1.0;                       ///< multiplies the bound or deviation
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// init::eye_.
struct Identity {
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// Has no default: sparsity is the fraction of zeros in a column.
struct Sparse {
  double sparsity;                         ///< fraction of zeros in a column
  double sigma = 0.01;                     ///< the deviation
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// init::dirac_.
struct Dirac {
  int64_t groups = 1;                      ///< groups of the convolution
  void operator()(const Tensor& t) const;  ///< fills `t`
};
/// @}

}  // namespace init

/// How a parameter begins. Made implicitly from
/// - a name of MindSpore's, in any case: "zeros", "ones", "normal", "xavier_uniform",
/// "HeNormal"...;
/// - a number: every element;
/// - a tensor of the parameter's shape: its values (copied);
/// - an initializer such as init::Normal{.sigma = 0.02}, or any function of a `const Tensor&`.
class Init {
 public:
  /// Throws Error for a name that is not known.
  Init(const char* name) : Init(std::string(name)) {}
  /// Throws Error for a name that is not known.
  Init(const std::string& name);
  /// Every element is `value`.
  template <class T>
  requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>) Init(T value)
      : Init(init::Constant{static_cast<double>(value)}) {}
  /// Throws Error if `values` is undefined.
  Init(const Tensor& values);
  /// `fill` changes the tensor that it is given.
  template <class F>
  requires(std::invocable<const F&, const Tensor&> && !std::convertible_to<F, Tensor> &&
           !std::same_as<std::remove_cvref_t<F>, Init>) Init(F fill)
      : fill_(fill) {
    if constexpr (std::same_as<F, init::Zero>) constant_ = 0.0;
    if constexpr (std::same_as<F, init::One>) constant_ = 1.0;
    if constexpr (std::same_as<F, init::Constant>) constant_ = fill.value;
  }

  /// Fills `t`, unrecorded. Throws Error if this initializer does not suit its shape.
  void apply(const Tensor& t) const;
  /// A new tensor, filled.
  Tensor make(const Shape& shape, DType dtype = DType::f32) const;
  /// The value, if this initializer sets all elements to one.
  std::optional<double> constant() const { return constant_; }

 private:
  std::function<void(const Tensor&)> fill_;
  std::optional<double> constant_;
};

}  // namespace tern::nn
