// SPDX-License-Identifier: Apache-2.0
// float32 convolution on channels-last memory: which algorithm computes a shape.
#include <vector>

#include "conv.h"
#include "reduce.h"
#include "unary_functions.h"
#include "winograd.h"

namespace tern::kernels {

namespace {

winograd::Shape winograd_shape(const ConvShape& s) {
  return {s.n, s.c, s.k, s.h, s.w, s.padding.h, s.padding.w, s.stride.h};
}

bool takes_winograd(const ConvShape& s) {
  return !s.direct && s.r == 3 && s.s == 3 && s.stride.h <= 2 && s.stride.w == s.stride.h &&
         s.dilation == Size2d(1) && s.groups == 1 && s.padding.h <= 2 && s.padding.w <= 2 &&
         winograd::profitable(winograd_shape(s));
}

}  // namespace

void conv_forward_fast(const ConvShape& s, const float* x, const float* w, const float* bias,
                       bool relu, float* y) {
  if (takes_winograd(s)) {
    return winograd::forward(winograd_shape(s), x, w, {.bias = bias, .relu = relu}, y);
  }
  direct::forward(s, x, w, bias, y);
  // Not by the primitive, whose relu turns NaN into 0.
  if (relu) {
    unary_fast(UnaryFunctions::place_of<Relu>(), {}, s.n * s.k * s.out_h * s.out_w, y, y);
  }
}

void conv_backward_data_fast(const ConvShape& s, const float* dy, const float* w, float* dx) {
  if (takes_winograd(s)) return winograd::backward_data(winograd_shape(s), dy, w, dx);
  if (depthwise::computes_backward_data(s)) return depthwise::backward_data(s, dy, w, dx);
  direct::backward_data(s, dy, w, dx);
}

void conv_backward_weights_fast(const ConvShape& s, const float* x, const float* dy, float* dw,
                                float* db) {
  if (takes_winograd(s)) {
    winograd::backward_weights(winograd_shape(s), x, dy, dw, deterministic());
  } else if (depthwise::computes_backward_weights(s)) {
    depthwise::backward_weights(s, x, dy, dw);
  } else {
    return direct::backward_weights(s, x, dy, dw, db);
  }
  if (db) sum_fast(ReducePlan::over_rows(s.n * s.out_h * s.out_w, s.k), dy, 1, db);
}

void conv_batch_norm_fast(const ConvShape& s, const float* x, const float* w, const float* bias,
                          const batch_norm::Problem<float>& norm,
                          const batch_norm::Statistics& statistics, float* y) {
  if (!takes_winograd(s)) {
    direct::forward(s, x, w, bias, y);
    return batch_norm::forward_fast(norm, statistics, y);
  }
  const auto channels = static_cast<size_t>(s.k);
  std::vector<float> center(channels), scale(channels), shift(channels);
  batch_norm::constants_of(norm, statistics, center.data(), scale.data(), shift.data());
  winograd::forward(winograd_shape(s), x, w,
                    {.bias = bias,
                     .center = center.data(),
                     .scale = scale.data(),
                     .shift = shift.data(),
                     .relu = norm.relu},
                    y);
}

}  // namespace tern::kernels
