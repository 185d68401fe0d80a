// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "../core/tensor.h"
#include "window.h"

namespace tern {

/// Arguments of max_pool2d.
struct MaxPool2dParams {
  std::optional<Size2d> stride = {};          ///< the kernel's size unless given
  Size2d padding = 0;                         ///< at most half the kernel; padded places never win
  Size2d dilation = 1;                        ///< distance between the window's elements
  bool ceil_mode = false;                     ///< also windows that reach over the edge
  DataFormat data_format = DataFormat::NCHW;  ///< which axis is which
};

/// Arguments of avg_pool2d.
struct AvgPool2dParams {
  std::optional<Size2d> stride = {};  ///< the kernel's size unless given
  Size2d padding = 0;                 ///< at most half the kernel
  bool ceil_mode = false;             ///< also windows that reach over the edge
  bool count_include_pad = true;      ///< padded zeros count in the average, as PyTorch's default
  DataFormat data_format = DataFormat::NCHW;  ///< which axis is which
};

/// @name Pooling over windows of H and W
/// x [N,C,H,W] (or [N,H,W,C] with DataFormat::NHWC), f32 or f64; result [N,C,H',W'] in x's memory
/// order, with H' = (H + 2 padding - dilation (kernel-1) - 1) / stride + 1, rounded up in ceil_mode
/// unless the last window would start behind the image. Options and edge cases are PyTorch's.
/// Throws Error for options that do not fit.
/// @{

/// The maximum over each window; NaN if it holds one. The gradient goes to the first maximum.
Tensor max_pool2d(const Tensor& x, Size2d kernel, const MaxPool2dParams& params = {});
/// The sum over each window divided by the number of its places.
Tensor avg_pool2d(const Tensor& x, Size2d kernel, const AvgPool2dParams& params = {});
/// Average over bins floor(i H / H') to ceil((i+1) H / H'), so that the result is [N,C,H',W'].
Tensor adaptive_avg_pool2d(const Tensor& x, Size2d output_size,
                           DataFormat data_format = DataFormat::NCHW);
/// @}

}  // namespace tern
