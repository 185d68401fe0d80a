// SPDX-License-Identifier: Apache-2.0
#include "upsample.h"

#include "../core/error.h"
#include "internal/repr.h"

namespace tern::nn {

Upsample::Upsample(UpsampleOptions options) : options_(options) {
  if ((options.size == Size2d(0)) == (options.scale_factor == Scale2d(0))) {
    fail("Upsample", "size is ", repr(options.size), " and scale_factor (", options.scale_factor.h,
         ", ", options.scale_factor.w, "), want one of them above 0");
  }
}

Tensor Upsample::forward(const Tensor& x) { return interpolate(x, options_); }

std::string Upsample::extra_repr() const {
  const UpsampleOptions& o = options_;
  std::string text;
  if (o.size != Size2d(0)) {
    text = "size=" + short_repr(o.size);
  } else if (o.scale_factor.h == o.scale_factor.w) {
    text = "scale_factor=" + repr(o.scale_factor.h);
  } else {
    text = "scale_factor=(" + repr(o.scale_factor.h) + ", " + repr(o.scale_factor.w) + ")";
  }
  text += std::string(", mode=") + to_string(o.mode);
  if (o.align_corners) text += ", align_corners=True";
  if (o.data_format == DataFormat::NHWC) text += ", data_format=NHWC";
  return text;
}

PixelShuffle::PixelShuffle(int64_t upscale_factor) : upscale_factor_(upscale_factor) {
  require_at_least("PixelShuffle", "upscale_factor", upscale_factor, 1);
}

Tensor PixelShuffle::forward(const Tensor& x) { return pixel_shuffle(x, upscale_factor_); }
std::string PixelShuffle::extra_repr() const { return "upscale_factor=" + repr(upscale_factor_); }

PixelUnshuffle::PixelUnshuffle(int64_t downscale_factor) : downscale_factor_(downscale_factor) {
  require_at_least("PixelUnshuffle", "downscale_factor", downscale_factor, 1);
}

Tensor PixelUnshuffle::forward(const Tensor& x) { return pixel_unshuffle(x, downscale_factor_); }
std::string PixelUnshuffle::extra_repr() const {
  return "downscale_factor=" + repr(downscale_factor_);
}

}  // namespace tern::nn
