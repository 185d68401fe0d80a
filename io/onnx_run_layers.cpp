// SPDX-License-Identifier: Apache-2.0
// ONNX's products and normalizations.
#include <algorithm>
#include <cmath>

#include "../core/error.h"
#include "../ops/activations.h"
#include "../ops/arithmetic.h"
#include "../ops/batch_norm.h"
#include "../ops/dropout.h"
#include "../ops/math.h"
#include "../ops/matmul.h"
#include "../ops/movement.h"
#include "../ops/norm.h"
#include "../ops/reduce.h"
#include "internal/onnx_run.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

Tensor product(const Tensor& a, const Tensor& b) {
  if (is_floating(a.dtype())) return matmul(a, b);
  return matmul(a.to(DType::f64), b.to(DType::f64)).to(a.dtype());  // exact below 2^53
}
OnnxResults mat_mul(const OnnxCallIn& in) { return {product(in.x(0), in.x(1))}; }

OnnxResults gemm(const OnnxCallIn& in) {
  const Tensor &a = in.x(0), &b = in.x(1);
  const double alpha = in.number("alpha", 1), beta = in.number("beta", 1);
  const bool ta = in.integer("transA", 0) != 0, tb = in.integer("transB", 0) != 0;
  const Tensor c = in.optional(2);
  const bool bias = !c.defined() || (c.dim() == 1 && c.numel() == b.size(tb ? 0 : 1) && beta == 1);
  if (!ta && tb && alpha == 1 && bias && a.dim() == 2 && is_floating(a.dtype())) {
    return {linear(a, b, c)};
  }
  Tensor y = product(ta ? transpose(a, 0, 1) : a, tb ? transpose(b, 0, 1) : b);
  if (alpha != 1) y = y * alpha;
  if (c.defined()) y = y + (beta == 1 ? c : c * beta);
  return {y};
}

OnnxResults einsum_of(const OnnxCallIn& in) {
  std::vector<Tensor> operands;
  for (size_t i = 0; i < in.inputs(); ++i) operands.push_back(in.x(i));
  return {einsum(in.text("equation", ""), operands)};
}

// ---- Normalization

BatchNormOptions norm_options(const OnnxCallIn& in) {
  if (in.opset() < 9 && in.integer("spatial", 1) == 0)
    in.refuse("normalizes each place (spatial=0)");
  return {.training = in.trains(),
          .momentum = Momentum::keep(in.number("momentum", 0.9)),
          .eps = in.number("epsilon", 1e-5)};
}

OnnxResults batch_normalization(const OnnxCallIn& in) {
  const Tensor &x = in.x(0), &weight = in.x(1), &bias = in.x(2), &mean = in.x(3), &var = in.x(4);
  BatchNormOptions options = norm_options(in);
  if (!in.wants(1)) return {batch_norm(x, mean, var, weight, bias, options)};
  // The node's running statistics are results, of which the variance is biased.
  const Tensor new_mean = mean.clone(), new_var = var.clone();
  options.running_var = RunningVar::biased;
  const Tensor y = batch_norm(x, new_mean, new_var, weight, bias, options);
  return {y, new_mean, new_var};
}

OnnxResults instance_normalization(const OnnxCallIn& in) {
  return {instance_norm(in.x(0), {}, {}, in.x(1), in.x(2), {.eps = in.number("epsilon", 1e-5)})};
}

OnnxResults layer_normalization(const OnnxCallIn& in) {
  const Tensor& x = in.x(0);
  const int axis = resolve_axis(in.op(), in.integer("axis", -1), x.shape());
  const Sizes shape(x.shape().begin() + axis, x.shape().end());
  const double eps = in.number("epsilon", 1e-5);
  // A weight that only stretches to the shape is applied apart.
  const auto fits = [&](size_t i) { return !in.has(i) || in.x(i).shape() == Shape(shape); };
  Tensor y;
  if (fits(1) && fits(2)) {
    y = layer_norm(x, shape, in.x(1), in.optional(2), eps);
  } else {
    y = layer_norm(x, shape, {}, {}, eps) * in.x(1);
    if (in.has(size_t{2})) y = y + in.x(2);
  }
  if (!in.wants(1) && !in.wants(2)) return {y};
  Sizes axes;
  for (int64_t d = axis; d < x.dim(); ++d) axes.push_back(d);
  const Tensor average = mean(x, axes, true);
  const Tensor spread = mean(square(x - average), axes, true);
  return {y, average, rsqrt(spread + eps)};
}

OnnxResults group_normalization(const OnnxCallIn& in) {
  const Tensor& x = in.x(0);
  const int64_t groups = in.integer("num_groups", 1);
  const double eps = in.number("epsilon", 1e-5);
  Tensor weight = in.x(1), bias = in.x(2);
  if (in.opset() < 21) {  // one for each group
    const int64_t each = x.size(1) / groups;
    weight = reshape(broadcast_to(unsqueeze(weight, 1), {groups, each}), {-1});
    bias = reshape(broadcast_to(unsqueeze(bias, 1), {groups, each}), {-1});
  }
  return {group_norm(x, groups, weight, bias, eps)};
}

OnnxResults mean_variance_normalization(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes axes = in.integers("axes");
  if (axes.empty()) axes = {0, 2, 3};
  const Tensor apart = x - mean(x, axes, true);
  return {apart / (sqrt(mean(square(apart), axes, true)) + 1e-9)};
}

OnnxResults lp_normalization(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const auto p = static_cast<double>(in.integer("p", 2));
  return {x / norm(x, p, in.integer("axis", -1), true)};
}

OnnxResults local_response(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t size = in.integer("size", 1), channels = x.size(1);
  const double alpha = in.number("alpha", 1e-4), beta = in.number("beta", 0.75);
  Sizes amounts(static_cast<size_t>(2 * (x.dim() - 1)), 0);
  amounts[amounts.size() - 2] = (size - 1) / 2;
  amounts[amounts.size() - 1] = size - 1 - (size - 1) / 2;
  const Tensor squares = pad(square(x), amounts);
  Tensor total = narrow(squares, 1, 0, channels);
  for (int64_t i = 1; i < size; ++i) total = total + narrow(squares, 1, i, channels);
  const Tensor factor = total * (alpha / static_cast<double>(size)) + in.number("bias", 1);
  return {x / pow(factor, beta)};
}

OnnxResults dropout_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  double ratio = 0.5;
  if (in.has("ratio")) ratio = in.number("ratio", ratio);
  if (in.has(size_t{1})) ratio = in.number(size_t{1});
  const Tensor y = dropout(x, ratio, in.training());
  if (!in.wants(1)) return {y};
  if (in.training()) in.refuse("gives a mask, which Tern does not know in training");
  return {y, ones_like(x).to(DType::boolean)};
}

// ---- Quantized numbers

// A scale or zero point of an axis, so that it stretches to x.
Tensor along_axis(const OnnxCallIn& in, const Tensor& x, const Tensor& scale) {
  if (scale.dim() != 1 || scale.numel() == 1) return scale;
  Sizes sizes(static_cast<size_t>(x.dim()), 1);
  const int axis = resolve_axis(in.op(), in.integer("axis", 1), x.shape());
  sizes[static_cast<size_t>(axis)] = scale.numel();
  return reshape(scale, sizes);
}
OnnxResults dequantize(const OnnxCallIn& in) {
  const Tensor &x = in.x(0), scale = along_axis(in, x, in.x(1));
  Tensor numbers = x.to(DType::f32);
  if (in.has(size_t{2})) numbers = numbers - along_axis(in, x, in.x(2)).to(DType::f32);
  return {numbers * scale};
}

}  // namespace

Tensor onnx_batch_norm_relu(const OnnxCallIn& norm) {
  return batch_norm_relu(norm.x(0), norm.x(3), norm.x(4), norm.x(1), norm.x(2), norm_options(norm));
}

Tensor onnx_add_relu(const OnnxCallIn& add) {
  if (add.inputs() != 2 || add.x(0).shape() != add.x(1).shape() || !is_floating(add.x(0).dtype())) {
    return {};
  }
  return add_relu(add.x(0), add.x(1));
}

const OnnxKernels& layer_kernels() {
  static const OnnxKernels table = {{"MatMul", mat_mul},
                                    {"Gemm", gemm},
                                    {"Einsum", einsum_of},
                                    {"BatchNormalization", batch_normalization},
                                    {"InstanceNormalization", instance_normalization},
                                    {"LayerNormalization", layer_normalization},
                                    {"GroupNormalization", group_normalization},
                                    {"MeanVarianceNormalization", mean_variance_normalization},
                                    {"LpNormalization", lp_normalization},
                                    {"LRN", local_response},
                                    {"Dropout", dropout_of},
                                    {"DequantizeLinear", dequantize}};
  return table;
}

}  // namespace tern::io
