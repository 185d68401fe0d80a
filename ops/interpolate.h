// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../core/tensor.h"
#include "window.h"

namespace tern {

/// How interpolate finds the values of new pixels.
enum class Interpolation : uint8_t {
  nearest,            ///< the pixel in which the new one begins
  bilinear,           ///< straight lines between the two nearest pixels of each axis
  linear = bilinear,  ///< the same, as signals call it
  area,               ///< the mean of what the new pixel covers: adaptive_avg_pool2d
};
const char* to_string(Interpolation mode);  ///< "bilinear"

/// Factors of height and width: `2` means both, `{2, 1.5}` height and width, 0 none.
struct Scale2d {
  double h;                                             ///< of the height
  double w;                                             ///< of the width
  constexpr Scale2d(double both) : h(both), w(both) {}  ///< the same for both
  /// Height first.
  constexpr Scale2d(double height, double width) : h(height), w(width) {}
  bool operator==(const Scale2d&) const = default;  ///< whether both are equal
};

/// Arguments of interpolate. Either size or scale_factor is given; signals have a width alone.
struct InterpolateOptions {
  Size2d size = 0;           ///< of the result
  Scale2d scale_factor = 0;  ///< of the result, as a multiple of x's; sizes are rounded down
  Interpolation mode = Interpolation::nearest;  ///< how values are found
  /// The first and last pixels' centers stay (bilinear only): x is measured from center to center,
  /// rather than from edge to edge.
  bool align_corners = false;
  DataFormat data_format = DataFormat::NCHW;  ///< which axis is which
};

/// x in another size, by torch.nn.functional.interpolate. x [N,C,H,W] (or [N,H,W,C]) or [N,C,L],
/// f32 or f64; the result has x's memory format. With s the ratio of sizes (1 / scale_factor if
/// that is given, also where the size was rounded), place i of the result lies at i*s of x for
/// `nearest`, rounded down; at max(0, (i + 1/2) s - 1/2) for `bilinear`, or at i (H-1) / (H'-1)
/// with align_corners. Places of `nearest` are computed exactly, where PyTorch rounds to float32.
/// Differentiable to any order. Throws Error for options that do not fit.
Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

/// Channels as pixels: x [N, C r^2, H, W] as [N, C, H r, W r], r being the factor; channel
/// c r^2 + i r + j gives the pixels (i, j) of each square. In x's memory format. (Shi et al., 2016)
Tensor pixel_shuffle(const Tensor& x, int64_t upscale_factor);
/// The contrary: x [N, C, H r, W r] as [N, C r^2, H, W].
Tensor pixel_unshuffle(const Tensor& x, int64_t downscale_factor);

}  // namespace tern
