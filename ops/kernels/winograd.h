// SPDX-License-Identifier: Apache-2.0
// 3x3 convolution by Winograd's minimal filtering, in tiles of 4x4 outputs: with stride 1 it takes
// 36 multiplications where the direct sum takes 144, with stride 2 it takes 81. float32,
// activations channels-last (memory format N,H,W,C), weights OIHW. The mathematics stands in
// winograd_kernels.h.
#pragma once

#include <cstdint>

#include "../../core/internal/cpu.h"

namespace tern::kernels::winograd {

/// A 3x3 convolution with stride 1 or 2, dilation 1 and one group: x[n,c,h,w], w[k,c,3,3] ->
/// y[n,k,output_h(),output_w()]. Padding 0 to 2 on every side.
struct Shape {
  int64_t n, c, k, h, w;
  int64_t pad_h, pad_w;
  int64_t stride = 1;

  int64_t output_h() const { return (h + 2 * pad_h - 3 + stride) / stride; }
  int64_t output_w() const { return (w + 2 * pad_w - 3 + stride) / stride; }
};

/// What becomes of a convolution's results while they are written; null for what there is not. In
/// this order, each rounded by itself:
///   y = x * w + bias,   y = (y - center) * scale + shift,   y = max(y, 0), where NaN stays NaN.
/// Each has a value per output channel. center, scale and shift come together.
struct Epilogue {
  const float* bias = nullptr;
  const float *center = nullptr, *scale = nullptr, *shift = nullptr;
  bool relu = false;
};

/// Whether there are kernels for this CPU's instruction set, cpu::isa().
bool available();

/// Whether these kernels are expected to beat oneDNN's direct convolution: available(), and enough
/// channels and tiles to fill the registers. A false answer is advice: every shape is computed
/// correctly.
bool profitable(const Shape& shape);

// Each throws Error if there are no kernels for `isa` or this CPU lacks it.

/// y = x * w, and the epilogue. The same bits for every number of threads.
void forward(const Shape& shape, const float* x, const float* w, const Epilogue& epilogue, float* y,
             cpu::Isa isa = cpu::isa());

/// dx of sum(dy * forward(x)). The same bits for every number of threads.
void backward_data(const Shape& shape, const float* dy, const float* w, float* dx,
                   cpu::Isa isa = cpu::isa());

/// dw (OIHW) of sum(dy * forward(x)). `deterministic`: the same bits for every number of threads;
/// otherwise only for the same number, and a little faster on many threads.
void backward_weights(const Shape& shape, const float* x, const float* dy, float* dw,
                      bool deterministic, cpu::Isa isa = cpu::isa());

}  // namespace tern::kernels::winograd
