// SPDX-License-Identifier: Apache-2.0
// The convolution and its two gradients, as operations that differentiate into each other.
#include "../core/autograd.h"
#include "in_place.h"
#include "internal/conv.h"
#include "internal/op.h"
#include "internal/unary.h"
#include "reduce.h"

namespace tern {

// Of the two gradients, which are always N,C,H,W.
static std::vector<OpAttribute> attributes_of(const Conv& conv) {
  return {{"x_shape", conv.x_shape()},
          {"weight_shape", conv.weight_shape()},
          {"stride", attribute_of(conv.stride)},
          {"padding", attribute_of(conv.padding)},
          {"dilation", attribute_of(conv.dilation)},
          {"groups", conv.groups},
          {"algorithm", to_string(conv.direct ? ConvAlgorithm::direct : ConvAlgorithm::automatic)}};
}

namespace {

// ---- Kernels ------------------------------------------------------------------------------------

Tensor forward(const Conv& conv, const Tensor& input, const Tensor& weight, const Tensor& bias) {
  OpScope::flops(conv.flops());
  const MemoryFormat format = kernels::conv_format(input.dtype());
  const Tensor x = to_memory_format(input, format);
  const Tensor w = contiguous(weight);
  const Tensor y = empty(conv.y_shape(), x.dtype(), format);
  if (conv.n == 0) return y;
  visit_floating(x.dtype(), [&]<class T>(T) {
    const T* b = bias.defined() ? bias.raw<T>() : nullptr;
    kernels::conv_forward(conv, x.raw<T>(), w.raw<T>(), b, conv.relu, y.raw<T>());
  });
  return y;
}

Tensor data_gradient(const Conv& conv, const Tensor& gradient, const Tensor& weight) {
  const OpScope scope("conv2d_backward_data", gradient, weight, conv);
  OpScope::flops(conv.flops());
  const MemoryFormat format = kernels::conv_format(gradient.dtype());
  const Tensor dy = to_memory_format(gradient, format);
  const Tensor w = contiguous(weight);
  const Tensor dx = empty(conv.x_shape(), dy.dtype(), format);
  if (conv.n == 0) return scope.result(dx);
  visit_floating(dy.dtype(), [&]<class T>(T) {
    kernels::conv_backward_data(conv, dy.raw<T>(), w.raw<T>(), dx.raw<T>());
  });
  return scope.result(dx);
}

struct WeightGradients {
  Tensor weight, bias;
};

WeightGradients weight_gradients(const Conv& conv, const Tensor& input, const Tensor& gradient,
                                 bool with_bias) {
  const OpScope scope("conv2d_backward_weights", input, gradient, conv);
  OpScope::flops(conv.flops());
  const MemoryFormat format = kernels::conv_format(gradient.dtype());
  const Tensor x = to_memory_format(input, format);
  const Tensor dy = to_memory_format(gradient, format);
  if (conv.n == 0) {
    const Tensor dw = zeros(conv.weight_shape(), x.dtype());
    const Tensor db = with_bias ? zeros({conv.k}, x.dtype()) : Tensor();
    scope.results({dw, db});
    return {dw, db};
  }
  const Tensor dw = empty(conv.weight_shape(), x.dtype());
  const Tensor db = with_bias ? empty({conv.k}, x.dtype()) : Tensor();
  visit_floating(x.dtype(), [&]<class T>(T) {
    kernels::conv_backward_weights(conv, x.raw<T>(), dy.raw<T>(), dw.raw<T>(),
                                   with_bias ? db.raw<T>() : nullptr);
  });
  scope.results({dw, db});
  return {dw, db};
}

// ---- Differentiation ----------------------------------------------------------------------------

Tensor backward_weights(const Conv& conv, const Tensor& x, const Tensor& dy);

Tensor backward_data(const Conv& conv, const Tensor& dy, const Tensor& weight) {
  return conv_backward_data("conv2d_backward_data", conv, dy, weight, {});
}

class Conv2dNode final : public Node {
 public:
  Conv2dNode(const Conv& conv, const Tensor& x, const Tensor& weight, const Tensor& y)
      : conv_(conv),
        x_(this, needed_by(weight, x)),
        weight_(this, needed_by(x, weight)),
        y_(this, conv.relu ? y : Tensor(), Saved::Role::output) {
    conv_.relu = false;
  }
  const char* name() const override { return "conv2d"; }

  Gradients backward(const Tensor& gradient) override {
    const Tensor y = y_.get();
    const Tensor dy =
        to_memory_format(y.defined() ? unary_backward<kernels::Relu>(gradient, y) : gradient,
                         kernels::conv_format(gradient.dtype()));
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

class Conv2dBackwardDataNode final : public Node {
 public:
  Conv2dBackwardDataNode(const char* name, const Conv& conv, const Tensor& dy, const Tensor& weight)
      : name_(name),
        conv_(conv),
        dy_(this, needed_by(weight, dy)),
        weight_(this, needed_by(dy, weight)) {}
  const char* name() const override { return name_; }

  Gradients backward(const Tensor& gradient) override {
    const Tensor v = to_memory_format(gradient, kernels::conv_format(gradient.dtype()));
    Gradients result(3);
    if (needs(0)) result[0] = convolve(conv_, v, weight_.get(), {});
    if (needs(1)) result[1] = backward_weights(conv_, v, dy_.get());
    if (needs(2)) result[2] = sum(v, {0, 2, 3});
    return result;
  }

 private:
  const char* name_;
  Conv conv_;
  Saved dy_, weight_;
};

class Conv2dBackwardWeightsNode final : public Node {
 public:
  Conv2dBackwardWeightsNode(const Conv& conv, const Tensor& x, const Tensor& dy)
      : conv_(conv), x_(this, needed_by(dy, x)), dy_(this, needed_by(x, dy)) {}
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

Tensor backward_weights(const Conv& conv, const Tensor& x, const Tensor& dy) {
  return record<Conv2dBackwardWeightsNode>(weight_gradients(conv, x, dy, false).weight, {x, dy},
                                           conv, x, dy);
}

}  // namespace

Tensor convolve(const Conv& conv, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y = forward(conv, x, weight, bias);
  return record<Conv2dNode>(y, {x, weight, bias}, conv, x, weight, y);
}

Tensor conv_backward_data(const char* name, const Conv& conv, const Tensor& dy,
                          const Tensor& weight, const Tensor& bias) {
  const Tensor dx = data_gradient(conv, dy, weight);
  if (bias.defined()) {
    const NoGrad no_grad;
    add_(dx, reshape(bias, {conv.c, 1, 1}));
  }
  return record<Conv2dBackwardDataNode>(dx, {dy, weight, bias}, name, conv, dy, weight);
}

}  // namespace tern
