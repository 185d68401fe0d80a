// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"
#include "window.h"

namespace tern {

/// Which algorithm computes a float32 convolution. `automatic` chooses by the shape between Tern's
/// Winograd convolution (3x3, stride 1 or 2), which rounds a few times coarser, and oneDNN's direct
/// convolution; `direct` forces the latter. Winograd's results of a tile share the roundings of all
/// its pixels: one of size p changes neighbours whose window does not hold it by up to 2e-6 |w| p,
/// and one that is infinite or NaN makes them NaN, up to five pixels away. Take `direct` where
/// black has to stay 0, or for data with outliers or fill values.
enum class ConvAlgorithm : uint8_t { automatic, direct };

const char* to_string(ConvAlgorithm algorithm);  ///< "direct"

/// As a convolution's padding: as many zeros as give a result of the input's size. Where that is an
/// odd number, there is one more at the end, as with PyTorch's 'same'. Wants stride 1.
inline constexpr int64_t kSame = INT64_MIN;

/// How the window goes over the image, as torch.nn.Conv2d's arguments.
struct Conv2dOptions {
  Size2d stride = 1;                                   ///< steps between windows
  Size2d padding = 0;                                  ///< zeros around the image, or kSame
  Size2d dilation = 1;                                 ///< distance between the window's elements
  int64_t groups = 1;                                  ///< divides both numbers of channels
  DataFormat data_format = DataFormat::NCHW;           ///< which axis is which
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;  ///< what computes float32
};
using Conv2dParams = Conv2dOptions;  ///< its old name

/// How the window goes over the signal, as torch.nn.Conv1d's arguments.
struct Conv1dOptions {
  int64_t stride = 1;    ///< steps between windows
  int64_t padding = 0;   ///< zeros on both sides, or kSame
  int64_t dilation = 1;  ///< distance between the window's elements
  int64_t groups = 1;    ///< divides both numbers of channels
};

/// How the window goes over the result, as torch.nn.ConvTranspose2d's arguments.
struct ConvTranspose2dOptions {
  Size2d stride = 1;          ///< steps between the windows of neighbouring pixels
  Size2d padding = 0;         ///< rows and columns of the result that are cut off at each side
  Size2d output_padding = 0;  ///< more of them at its end; less than the stride or the dilation
  Size2d dilation = 1;        ///< distance between the window's elements
  int64_t groups = 1;         ///< divides both numbers of channels
  DataFormat data_format = DataFormat::NCHW;           ///< which axis is which
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;  ///< what computes float32
};

/// How the window goes over the result, as torch.nn.ConvTranspose1d's arguments.
struct ConvTranspose1dOptions {
  int64_t stride = 1;          ///< steps between the windows of neighbouring elements
  int64_t padding = 0;         ///< elements of the result that are cut off at each side
  int64_t output_padding = 0;  ///< more of them at its end; less than the stride or the dilation
  int64_t dilation = 1;        ///< distance between the window's elements
  int64_t groups = 1;          ///< divides both numbers of channels
};

/// How the window goes over the volume, as torch.nn.Conv3d's arguments.
struct Conv3dOptions {
  Size3d stride = 1;    ///< steps between windows
  Size3d padding = 0;   ///< zeros around the volume
  Size3d dilation = 1;  ///< distance between the window's elements
  int64_t groups = 1;   ///< divides both numbers of channels
};

/// 2-d convolution (cross-correlation, as everywhere in the field):
/// y[n,k,i,j] = b[k] + sum over c,r,s of x[n, c, i*stride + r*dilation - padding, ...] w[k,c,r,s].
/// x [N,C,H,W] (or [N,H,W,C] with DataFormat::NHWC), weight [K, C/groups, R, S] in either format,
/// bias [K] or undefined; result [N,K,H',W'] with
/// H' = (H + 2 padding - dilation (R-1) - 1) / stride + 1, rounded down. float32 results lie
/// channels-last, float64 results row-major. Differentiable to any order. Throws Error for shapes,
/// dtypes or options that do not fit.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv2dOptions& options = {});
/// relu(conv2d(x, weight, bias, options)) in one pass over the result.
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                   const Conv2dOptions& options = {});

/// 1-d convolution: x [N,C,L], weight [K, C/groups, R], bias [K] or undefined; result [N,K,L'] with
/// L' = (L + 2 padding - dilation (R-1) - 1) / stride + 1, rounded down, row-major. As conv2d of
/// images with a height of 1, and as exact. float32 is computed channels-last: x and the result are
/// copied. Throws Error as conv2d.
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv1dOptions& options = {});

/// 3-d convolution: x [N,C,D,H,W], weight [K, C/groups, T, R, S], bias [K] or undefined; result
/// [N,K,D',H',W'], row-major, with sizes as conv2d's. It is the sum of T 2-d convolutions over all
/// depths, each as exact as conv2d. Throws Error as conv2d.
Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              const Conv3dOptions& options = {});

/// Transposed 2-d convolution, the gradient of conv2d's input: every pixel of x adds its window,
/// y[n, k, i*stride + r*dilation - padding, ...] += x[n,c,i,j] w[c,k,r,s], and y begins as the
/// bias. x [N,C,H,W] (or [N,H,W,C]), weight [C, K/groups, R, S], bias [K] or undefined; result
/// [N,K,H',W'] with H' = (H-1) stride - 2 padding + dilation (R-1) + output_padding + 1, in memory
/// as conv2d's. Differentiable to any order. Throws Error for shapes, dtypes or options that do not
/// fit. (torch.nn.functional.conv_transpose2d)
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});
/// The same of signals: x [N,C,L], weight [C, K/groups, R], result [N,K,L'], row-major.
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose1dOptions& options = {});

}  // namespace tern
