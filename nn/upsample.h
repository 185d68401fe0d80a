// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/interpolate.h"
#include "module_of.h"

namespace tern::nn {

using UpsampleOptions = tern::InterpolateOptions;  ///< options of Upsample

/// Images or signals in another size, see tern::interpolate.
class Upsample : public ModuleOf<Upsample> {
 public:
  /// Throws Error unless either the size or the scale_factor is given.
  explicit Upsample(UpsampleOptions options);
  Tensor forward(const Tensor& x) override;
  const UpsampleOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  UpsampleOptions options_;
};

/// Channels as pixels, see tern::pixel_shuffle.
class PixelShuffle : public ModuleOf<PixelShuffle> {
 public:
  /// Throws Error unless the factor is at least 1.
  explicit PixelShuffle(int64_t upscale_factor);
  Tensor forward(const Tensor& x) override;
  int64_t upscale_factor() const { return upscale_factor_; }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t upscale_factor_;
};

/// Pixels as channels, see tern::pixel_unshuffle.
class PixelUnshuffle : public ModuleOf<PixelUnshuffle> {
 public:
  /// Throws Error unless the factor is at least 1.
  explicit PixelUnshuffle(int64_t downscale_factor);
  Tensor forward(const Tensor& x) override;
  int64_t downscale_factor() const { return downscale_factor_; }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t downscale_factor_;
};

}  // namespace tern::nn
