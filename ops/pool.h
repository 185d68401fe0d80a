// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "../core/tensor.h"
#include "window.h"

namespace tern {

/// Arguments of max_pool2d.
struct MaxPool2dOptions {
  std::optional<Size2d> stride = {};          ///< the kernel's size unless given
  Size2d padding = 0;                         ///< at most half the kernel; padded places never win
  Size2d dilation = 1;                        ///< distance between the window's elements
  bool ceil_mode = false;                     ///< also windows that reach over the edge
  DataFormat data_format = DataFormat::NCHW;  ///< which axis is which
};
using MaxPool2dParams = MaxPool2dOptions;  ///< its old name

/// Arguments of avg_pool2d.
struct AvgPool2dOptions {
  std::optional<Size2d> stride = {};  ///< the kernel's size unless given
  Size2d padding = 0;                 ///< at most half the kernel
  bool ceil_mode = false;             ///< also windows that reach over the edge
  bool count_include_pad = true;      ///< padded zeros count in the average, as PyTorch's default
  DataFormat data_format = DataFormat::NCHW;  ///< which axis is which
};
using AvgPool2dParams = AvgPool2dOptions;  ///< its old name

/// Arguments of max_pool1d.
struct MaxPool1dOptions {
  std::optional<int64_t> stride = {};  ///< the kernel's size unless given
  int64_t padding = 0;                 ///< at most half the kernel; padded places never win
  int64_t dilation = 1;                ///< distance between the window's elements
  bool ceil_mode = false;              ///< also windows that reach over the edge
};

/// Arguments of avg_pool1d.
struct AvgPool1dOptions {
  std::optional<int64_t> stride = {};  ///< the kernel's size unless given
  int64_t padding = 0;                 ///< at most half the kernel
  bool ceil_mode = false;              ///< also windows that reach over the edge
  bool count_include_pad = true;       ///< padded zeros count in the average, as PyTorch's default
};

/// Arguments of max_pool3d.
struct MaxPool3dOptions {
  std::optional<Size3d> stride = {};  ///< the kernel's size unless given
  Size3d padding = 0;                 ///< at most half the kernel; padded places never win
  Size3d dilation = 1;                ///< distance between the window's elements
  bool ceil_mode = false;             ///< also windows that reach over the edge
};

/// Arguments of avg_pool3d.
struct AvgPool3dOptions {
  std::optional<Size3d> stride = {};  ///< the kernel's size unless given
  Size3d padding = 0;                 ///< at most half the kernel
  bool ceil_mode = false;             ///< also windows that reach over the edge
  bool count_include_pad = true;      ///< padded zeros count in the average, as PyTorch's default
};

/// @name Pooling over windows of H and W
/// x [N,C,H,W] (or [N,H,W,C] with DataFormat::NHWC), f32 or f64; result [N,C,H',W'] in x's memory
/// order, with H' = (H + 2 padding - dilation (kernel-1) - 1) / stride + 1, rounded up in ceil_mode
/// unless the last window would start behind the image. Options and edge cases are PyTorch's.
/// Throws Error for options that do not fit.
/// @{

/// The maximum over each window; NaN if it holds one. The gradient goes to the first maximum.
Tensor max_pool2d(const Tensor& x, Size2d kernel, const MaxPool2dOptions& options = {});
/// The sum over each window divided by the number of its places.
Tensor avg_pool2d(const Tensor& x, Size2d kernel, const AvgPool2dOptions& options = {});
/// Average over bins floor(i H / H') to ceil((i+1) H / H'), so that the result is [N,C,H',W'].
Tensor adaptive_avg_pool2d(const Tensor& x, Size2d output_size,
                           DataFormat data_format = DataFormat::NCHW);
/// The maximum over the same bins. The gradient goes to the first maximum.
Tensor adaptive_max_pool2d(const Tensor& x, Size2d output_size,
                           DataFormat data_format = DataFormat::NCHW);
/// @}

/// @name Pooling of signals
/// x [N,C,L], result [N,C,L'], as pooling of images with a height of 1.
/// @{

/// The maximum over each window.
Tensor max_pool1d(const Tensor& x, int64_t kernel, const MaxPool1dOptions& options = {});
/// The sum over each window divided by the number of its places.
Tensor avg_pool1d(const Tensor& x, int64_t kernel, const AvgPool1dOptions& options = {});
/// Average over as many bins as output_size.
Tensor adaptive_avg_pool1d(const Tensor& x, int64_t output_size);
/// The maximum over the same bins.
Tensor adaptive_max_pool1d(const Tensor& x, int64_t output_size);
/// @}

/// @name Pooling of volumes
/// x [N,C,D,H,W], result [N,C,D',H',W'], row-major: pooling of images, then along the depth.
/// @{

/// The maximum over each window. The gradient goes to the first maximum.
Tensor max_pool3d(const Tensor& x, Size3d kernel, const MaxPool3dOptions& options = {});
/// The sum over each window divided by the number of its places.
Tensor avg_pool3d(const Tensor& x, Size3d kernel, const AvgPool3dOptions& options = {});
/// Average over bins, as many as output_size along each axis.
Tensor adaptive_avg_pool3d(const Tensor& x, Size3d output_size);
/// @}

}  // namespace tern
