// SPDX-License-Identifier: Apache-2.0
#include "conv.h"

#include <algorithm>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "backend.h"
#include "batch_norm.h"
#include "kernels/batch_norm.h"
#include "kernels/conv.h"
#include "kernels/winograd.h"
#include "movement.h"
#include "reduce.h"
#include "unary.h"

namespace tern {

namespace {

using kernels::ConvShape;
namespace winograd = kernels::winograd;

// A convolution of given sizes, as its nodes know it.
struct Conv : ConvShape {
  ConvAlgorithm algorithm;
  bool relu = false;  // of the result

  Shape x_shape() const { return {n, c, h, w}; }
  Shape weight_shape() const { return {k, c / groups, r, s}; }
  Shape y_shape() const { return {n, k, out_h, out_w}; }
  double flops() const {
    const int64_t fan_in = c / groups * r * s;
    return 2.0 * static_cast<double>(y_shape().numel()) * static_cast<double>(fan_in);
  }
};

// ---- checks

void check_option(const char* what, Size2d value, int64_t smallest) {
  if (std::min(value.h, value.w) < smallest || std::max(value.h, value.w) > INT32_MAX) {
    fail("conv2d", what, " is {", value.h, ",", value.w, "}, at least ", smallest,
         " and below 2^31 expected");
  }
}

// The size of the result along an axis.
int64_t output_size(const char* axis, int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                    int64_t dilation, const Tensor& x, const Tensor& weight) {
  const int64_t reach = dilation * (kernel - 1) + 1;
  if (size < 1 || kernel < 1 || size + 2 * padding < reach) {
    fail("conv2d", "kernel covers ", reach, " pixels along ", axis, ", the padded input has ",
         size + 2 * padding, " (x ", x, ", weight ", weight, ")");
  }
  return (size + 2 * padding - reach) / stride + 1;
}

Conv checked(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dParams& p) {
  constexpr const char* op = "conv2d";
  if (!x.defined() || !weight.defined()) {
    fail(op, "x and weight must be defined (x ", x, ", weight ", weight, ")");
  }
  if (x.dim() != 4 || weight.dim() != 4) {
    fail(op, "x and weight need 4 axes (x ", x, ", weight ", weight, ")");
  }
  if (!is_floating(x.dtype())) fail(op, "x is ", x.dtype(), ", f32 or f64 expected (x ", x, ")");
  if (weight.dtype() != x.dtype()) {
    fail(op, "weight is ", weight.dtype(), ", x is ", x.dtype(), ": convert one with .to(dtype)");
  }
  check_option("stride", p.stride, 1);
  check_option("padding", p.padding, 0);
  check_option("dilation", p.dilation, 1);
  const bool nchw = p.data_format == DataFormat::NCHW;
  const Shape& xs = x.shape();
  const Shape& ws = weight.shape();
  Conv conv{{xs[0], xs[nchw ? 1 : 3], xs[nchw ? 2 : 1], xs[nchw ? 3 : 2], ws[0], ws[2], ws[3], 0, 0,
             p.stride, p.padding, p.dilation, p.groups},
            p.algorithm};
  if (p.groups < 1 || conv.c % p.groups != 0 || conv.k % p.groups != 0) {
    fail(op, "groups is ", p.groups, ", a divisor of ", conv.c, " input and ", conv.k,
         " output channels expected (x ", x, ", weight ", weight, ", ", p.data_format, ")");
  }
  if (ws[1] * p.groups != conv.c) {
    fail(op, "weight expects ", ws[1] * p.groups, " input channels, x has ", conv.c, " (x ", x,
         ", weight ", weight, ", groups ", p.groups, ", ", p.data_format, ")");
  }
  if (conv.c < 1 || conv.k < 1) {
    fail(op, "at least one input and one output channel expected (x ", x, ", weight ", weight, ")");
  }
  conv.out_h = output_size("H", conv.h, conv.r, p.stride.h, p.padding.h, p.dilation.h, x, weight);
  conv.out_w = output_size("W", conv.w, conv.s, p.stride.w, p.padding.w, p.dilation.w, x, weight);
  if (bias.defined() && (bias.shape() != Shape{conv.k} || bias.dtype() != x.dtype())) {
    fail(op, "bias is ", bias, ", ", x.dtype(), Shape{conv.k}, " expected (weight ", weight, ")");
  }
  return conv;
}

// ---- kernels

winograd::Shape winograd_shape(const Conv& v) {
  return {v.n, v.c, v.k, v.h, v.w, v.padding.h, v.padding.w, v.stride.h};
}

bool use_winograd(const Conv& v) {
  return v.algorithm == ConvAlgorithm::automatic && v.r == 3 && v.s == 3 && v.stride.h <= 2 &&
         v.stride.w == v.stride.h && v.dilation == Size2d(1) && v.groups == 1 && v.padding.h <= 2 &&
         v.padding.w <= 2 && winograd::profitable(winograd_shape(v));
}

// The memory order in which the kernels take and give activations.
Order kernel_order(const Tensor& x) {
  return use_onednn(x) ? Order::channels_last : Order::row_major;
}

Tensor forward(const Conv& conv, const Tensor& input, const Tensor& weight, const Tensor& bias) {
  using kernels::Unary;
  ProfilerRange::flops(conv.flops());
  const Order order = kernel_order(input);
  const Tensor x = to_order(input, order);
  const Tensor w = contiguous(weight);
  const Tensor y = empty(conv.y_shape(), x.dtype(), order);
  if (conv.n == 0) return y;
  if (!use_onednn(x)) {
    visit_floating(x.dtype(), [&]<class T>(T) {
      T* values = y.raw<T>();
      kernels::conv_forward_eigen(conv, x.raw<T>(), w.raw<T>(),
                                  bias.defined() ? bias.raw<T>() : nullptr, values);
      if (conv.relu) kernels::unary_eigen(Unary::relu, 0, y.numel(), values, values);
    });
    return y;
  }
  const float* b = bias.defined() ? bias.raw<float>() : nullptr;
  float* values = y.raw<float>();
  if (use_winograd(conv)) {
    winograd::forward(winograd_shape(conv), x.raw<float>(), w.raw<float>(),
                      {.bias = b, .relu = conv.relu}, values);
    return y;
  }
  kernels::conv_forward_onednn(conv, x.raw<float>(), w.raw<float>(), b, values);
  // Not by the primitive, whose relu turns NaN into 0.
  if (conv.relu) kernels::unary_f32(Unary::relu, 0, y.numel(), values, values);
  return y;
}

Tensor data_gradient(const Conv& conv, const Tensor& gradient, const Tensor& weight) {
  const ProfilerRange range("conv2d_backward_data", gradient, weight);
  ProfilerRange::flops(conv.flops());
  const Order order = kernel_order(gradient);
  const Tensor dy = to_order(gradient, order);
  const Tensor w = contiguous(weight);
  const Tensor dx = empty(conv.x_shape(), dy.dtype(), order);
  if (conv.n == 0) return dx;
  if (!use_onednn(dy)) {
    visit_floating(dy.dtype(), [&]<class T>(T) {
      kernels::conv_backward_data_eigen(conv, dy.raw<T>(), w.raw<T>(), dx.raw<T>());
    });
  } else if (use_winograd(conv)) {
    winograd::backward_data(winograd_shape(conv), dy.raw<float>(), w.raw<float>(), dx.raw<float>());
  } else {
    kernels::conv_backward_data_onednn(conv, dy.raw<float>(), w.raw<float>(), dx.raw<float>());
  }
  return dx;
}

struct WeightGradients {
  Tensor weight, bias;
};

WeightGradients weight_gradients(const Conv& conv, const Tensor& input, const Tensor& gradient,
                                 bool with_bias) {
  const ProfilerRange range("conv2d_backward_weights", input, gradient);
  ProfilerRange::flops(conv.flops());
  const Order order = kernel_order(gradient);
  const Tensor x = to_order(input, order);
  const Tensor dy = to_order(gradient, order);
  if (conv.n == 0) {
    return {zeros(conv.weight_shape(), x.dtype()),
            with_bias ? zeros({conv.k}, x.dtype()) : Tensor()};
  }
  const Tensor dw = empty(conv.weight_shape(), x.dtype());
  if (use_onednn(x) && use_winograd(conv)) {
    winograd::backward_weights(winograd_shape(conv), x.raw<float>(), dy.raw<float>(),
                               dw.raw<float>(), deterministic());
    return {dw, with_bias ? sum(dy, {0, 2, 3}) : Tensor()};
  }
  const Tensor db = with_bias ? empty({conv.k}, x.dtype()) : Tensor();
  if (use_onednn(x)) {
    kernels::conv_backward_weights_onednn(conv, x.raw<float>(), dy.raw<float>(), dw.raw<float>(),
                                          with_bias ? db.raw<float>() : nullptr);
  } else {
    visit_floating(x.dtype(), [&]<class T>(T) {
      kernels::conv_backward_weights_eigen(conv, x.raw<T>(), dy.raw<T>(), dw.raw<T>(),
                                           with_bias ? db.raw<T>() : nullptr);
    });
  }
  return {dw, db};
}

// ---- differentiation

// Note [Closed under differentiation]
// y = conv(x, w), dx = data(dy, w) and dw = weights(x, dy) are the three ways to contract
// sum(y * dy) over all but one of its factors. Each is linear in both arguments, and its gradients
// are the other two.
Tensor convolve(const Conv& conv, const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor backward_data(const Conv& conv, const Tensor& dy, const Tensor& weight);
Tensor backward_weights(const Conv& conv, const Tensor& x, const Tensor& dy);

// Nothing is kept for a gradient that nobody asks for.
Tensor if_needed_by(const Tensor& other, const Tensor& x) {
  return other.requires_grad() ? x : Tensor();
}

class Conv2d final : public Node {
 public:
  Conv2d(const Conv& conv, const Tensor& x, const Tensor& weight, const Tensor& y)
      : conv_(conv),
        x_(this, if_needed_by(weight, x)),
        weight_(this, if_needed_by(x, weight)),
        y_(this, conv.relu ? y : Tensor(), Saved::Role::output) {
    conv_.relu = false;
  }
  const char* name() const override { return "conv2d"; }

  Gradients backward(const Tensor& gradient) override {
    const Tensor y = y_.get();
    const Tensor dy =
        to_order(y.defined() ? unary_backward(kernels::Unary::relu, 0, gradient, y) : gradient,
                 kernel_order(gradient));
    Gradients result(3);
    if (needs(0)) result[0] = backward_data(conv_, dy, weight_.get());
    if (needs(1) && !grad_enabled()) {
      auto [dw, db] = weight_gradients(conv_, x_.get(), dy, needs(2));
      result[1] = std::move(dw);
      result[2] = std::move(db);
    } else {
      if (needs(1)) result[1] = backward_weights(conv_, x_.get(), dy);
      if (needs(2)) result[2] = sum(dy, {0, 2, 3});
    }
    return result;
  }

 private:
  Conv conv_;
  Saved x_, weight_, y_;
};

class Conv2dBackwardData final : public Node {
 public:
  Conv2dBackwardData(const Conv& conv, const Tensor& dy, const Tensor& weight)
      : conv_(conv), dy_(this, if_needed_by(weight, dy)), weight_(this, if_needed_by(dy, weight)) {}
  const char* name() const override { return "conv2d_backward_data"; }

  Gradients backward(const Tensor& v) override {
    Gradients result(2);
    if (needs(0)) result[0] = convolve(conv_, v, weight_.get(), {});
    if (needs(1)) result[1] = backward_weights(conv_, v, dy_.get());
    return result;
  }

 private:
  Conv conv_;
  Saved dy_, weight_;
};

class Conv2dBackwardWeights final : public Node {
 public:
  Conv2dBackwardWeights(const Conv& conv, const Tensor& x, const Tensor& dy)
      : conv_(conv), x_(this, if_needed_by(dy, x)), dy_(this, if_needed_by(x, dy)) {}
  const char* name() const override { return "conv2d_backward_weights"; }

  Gradients backward(const Tensor& v) override {
    Gradients result(2);
    if (needs(0)) result[0] = backward_data(conv_, dy_.get(), v);
    if (needs(1)) result[1] = convolve(conv_, x_.get(), v, {});
    return result;
  }

 private:
  Conv conv_;
  Saved x_, dy_;
};

Tensor convolve(const Conv& conv, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = forward(conv, x, weight, bias);
  return record<Conv2d>(y, {x, weight, bias}, conv, x, weight, y);
}

Tensor backward_data(const Conv& conv, const Tensor& dy, const Tensor& weight) {
  return record<Conv2dBackwardData>(data_gradient(conv, dy, weight), {dy, weight}, conv, dy,
                                    weight);
}

Tensor backward_weights(const Conv& conv, const Tensor& x, const Tensor& dy) {
  return record<Conv2dBackwardWeights>(weight_gradients(conv, x, dy, false).weight, {x, dy}, conv,
                                       x, dy);
}

// Whether a tensor is what batch_norm takes; it says what is wrong.
bool fits(const Tensor& v, const Shape& channels) {
  return v.defined() && v.shape() == channels && v.dtype() == DType::f32;
}

Tensor run(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
           const Conv2dParams& params, bool relu) {
  const ProfilerRange range(op, x, weight, bias);
  Conv conv = checked(x, weight, bias, params);
  conv.relu = relu;
  // Converted once, so that the backward pass finds it in the right order.
  if (params.data_format == DataFormat::NCHW) {
    return convolve(conv, to_order(x, kernel_order(x)), weight, bias);
  }
  const Tensor nchw = permute(x, {0, 3, 1, 2});
  return permute(convolve(conv, to_order(nchw, kernel_order(x)), weight, bias), {0, 2, 3, 1});
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dParams& params) {
  return run("conv2d", x, weight, bias, params, false);
}

Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                   const Conv2dParams& params) {
  return run("conv2d_relu", x, weight, bias, params, true);
}

Tensor conv2d_batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const FixedBatchNorm& norm, bool relu, const Conv2dParams& params) {
  if (recording({x, weight, bias, norm.weight, norm.bias})) {
    fail("conv2d_batch_norm", "is not differentiable: call it under NoGrad, or use batch_norm");
  }
  const Conv conv = checked(x, weight, bias, params);
  const Shape channels{conv.k};
  const bool in_place = params.data_format == DataFormat::NCHW && conv.n > 0 && use_onednn(x) &&
                        norm.eps >= 0 && fits(norm.running_mean, channels) &&
                        fits(norm.running_var, channels) &&
                        (!norm.weight.defined() || fits(norm.weight, channels)) &&
                        (!norm.bias.defined() || fits(norm.bias, channels));
  if (!in_place) {
    const auto function = relu ? batch_norm_relu : batch_norm;
    return function(conv2d(x, weight, bias, params), norm.running_mean, norm.running_var,
                    norm.weight, norm.bias, {.eps = norm.eps, .data_format = params.data_format});
  }
  const ProfilerRange range("conv2d_batch_norm", x, weight, bias);
  const auto raw = [](const Tensor& t) { return t.defined() ? t.raw<float>() : nullptr; };
  const auto mean = norm.running_mean.to(DType::f64).to_vector<double>();
  const auto var = norm.running_var.to(DType::f64).to_vector<double>();
  const kernels::batch_norm::Statistics statistics{mean.data(), var.data(), false};
  const auto normalizing = [&](const Tensor& y) {
    return kernels::batch_norm::Problem<float>{{conv.n * conv.out_h * conv.out_w, conv.k, 1},
                                               raw(y),
                                               raw(norm.weight),
                                               raw(norm.bias),
                                               norm.eps,
                                               relu};
  };
  if (!use_winograd(conv)) {
    const Tensor y = forward(conv, x, weight, bias);
    kernels::batch_norm::forward(normalizing(y), statistics, y.raw<float>());
    return y;
  }
  ProfilerRange::flops(conv.flops());
  const Tensor input = to_order(x, Order::channels_last), w = contiguous(weight);
  const Tensor y = empty(conv.y_shape(), x.dtype(), Order::channels_last);
  std::vector<float> center(mean.size()), scale(mean.size()), shift(mean.size());
  kernels::batch_norm::constants_of(normalizing(y), statistics, center.data(), scale.data(),
                                    shift.data());
  winograd::forward(winograd_shape(conv), input.raw<float>(), w.raw<float>(),
                    {.bias = raw(bias),
                     .center = center.data(),
                     .scale = scale.data(),
                     .shift = shift.data(),
                     .relu = relu},
                    y.raw<float>());
  return y;
}

}  // namespace tern
