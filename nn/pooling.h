// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <string>

#include "../ops/pool.h"
#include "module_of.h"

namespace tern::nn {

using MaxPool1dOptions = tern::MaxPool1dOptions;  ///< options of MaxPool1d
using MaxPool2dOptions = tern::MaxPool2dOptions;  ///< options of MaxPool2d
using MaxPool3dOptions = tern::MaxPool3dOptions;  ///< options of MaxPool3d
using AvgPool1dOptions = tern::AvgPool1dOptions;  ///< options of AvgPool1d
using AvgPool2dOptions = tern::AvgPool2dOptions;  ///< options of AvgPool2d
using AvgPool3dOptions = tern::AvgPool3dOptions;  ///< options of AvgPool3d

/// What the layers share that go over an input with a window. Size is int64_t, Size2d or Size3d.
template <class Derived, class Size, class Options>
class Pooling : public ModuleOf<Derived> {
 public:
  Size kernel_size() const { return kernel_size_; }    ///< as given
  const Options& options() const { return options_; }  ///< as given
  /// The arguments, as PyTorch prints them.
  std::string extra_repr() const override;

 protected:
  /// `name` is the layer's, for errors: throws Error for sizes out of range.
  Pooling(const char* name, Size kernel_size, Options options);

 private:
  Size kernel_size_;
  Options options_;
};

/// What the layers share whose result has a given size.
template <class Derived, class Size>
class AdaptivePooling : public ModuleOf<Derived> {
 public:
  Size output_size() const { return output_size_; }  ///< as given
  /// As given; images have one.
  DataFormat data_format() const requires std::same_as<Size, Size2d> { return data_format_; }
  /// The arguments, as PyTorch prints them.
  std::string extra_repr() const override;

 protected:
  /// `name` is the layer's, for errors: throws Error for sizes out of range.
  AdaptivePooling(const char* name, Size output_size, DataFormat data_format = DataFormat::NCHW);

 private:
  Size output_size_;
  DataFormat data_format_;
};

/// The maximum of each window of a signal, see tern::max_pool1d.
class MaxPool1d : public Pooling<MaxPool1d, int64_t, MaxPool1dOptions> {
 public:
  /// Throws Error for sizes out of range.
  explicit MaxPool1d(int64_t kernel_size, MaxPool1dOptions options = {})
      : Pooling("MaxPool1d", kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// The maximum of each window of an image, see tern::max_pool2d.
class MaxPool2d : public Pooling<MaxPool2d, Size2d, MaxPool2dOptions> {
 public:
  /// Throws Error for sizes out of range.
  explicit MaxPool2d(Size2d kernel_size, MaxPool2dOptions options = {})
      : Pooling("MaxPool2d", kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// The maximum of each window of a volume, see tern::max_pool3d.
class MaxPool3d : public Pooling<MaxPool3d, Size3d, MaxPool3dOptions> {
 public:
  /// Throws Error for sizes out of range.
  explicit MaxPool3d(Size3d kernel_size, MaxPool3dOptions options = {})
      : Pooling("MaxPool3d", kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// The average of each window of a signal, see tern::avg_pool1d.
class AvgPool1d : public Pooling<AvgPool1d, int64_t, AvgPool1dOptions> {
 public:
  /// Throws Error for sizes out of range.
  explicit AvgPool1d(int64_t kernel_size, AvgPool1dOptions options = {})
      : Pooling("AvgPool1d", kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// The average of each window of an image, see tern::avg_pool2d.
class AvgPool2d : public Pooling<AvgPool2d, Size2d, AvgPool2dOptions> {
 public:
  /// Throws Error for sizes out of range.
  explicit AvgPool2d(Size2d kernel_size, AvgPool2dOptions options = {})
      : Pooling("AvgPool2d", kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// The average of each window of a volume, see tern::avg_pool3d.
class AvgPool3d : public Pooling<AvgPool3d, Size3d, AvgPool3dOptions> {
 public:
  /// Throws Error for sizes out of range.
  explicit AvgPool3d(Size3d kernel_size, AvgPool3dOptions options = {})
      : Pooling("AvgPool3d", kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// Averages that make signals of output_size, see tern::adaptive_avg_pool1d.
class AdaptiveAvgPool1d : public AdaptivePooling<AdaptiveAvgPool1d, int64_t> {
 public:
  /// Throws Error unless the size is at least 1.
  explicit AdaptiveAvgPool1d(int64_t output_size)
      : AdaptivePooling("AdaptiveAvgPool1d", output_size) {}
  Tensor forward(const Tensor& x) override;
};

/// Averages that make images of output_size, see tern::adaptive_avg_pool2d. Size 1 is the global
/// average.
class AdaptiveAvgPool2d : public AdaptivePooling<AdaptiveAvgPool2d, Size2d> {
 public:
  /// Throws Error unless both sizes are at least 1.
  explicit AdaptiveAvgPool2d(Size2d output_size, DataFormat data_format = DataFormat::NCHW)
      : AdaptivePooling("AdaptiveAvgPool2d", output_size, data_format) {}
  Tensor forward(const Tensor& x) override;
};

/// Averages that make volumes of output_size, see tern::adaptive_avg_pool3d.
class AdaptiveAvgPool3d : public AdaptivePooling<AdaptiveAvgPool3d, Size3d> {
 public:
  /// Throws Error unless all sizes are at least 1.
  explicit AdaptiveAvgPool3d(Size3d output_size)
      : AdaptivePooling("AdaptiveAvgPool3d", output_size) {}
  Tensor forward(const Tensor& x) override;
};

/// Maxima that make signals of output_size, see tern::adaptive_max_pool1d.
class AdaptiveMaxPool1d : public AdaptivePooling<AdaptiveMaxPool1d, int64_t> {
 public:
  /// Throws Error unless the size is at least 1.
  explicit AdaptiveMaxPool1d(int64_t output_size)
      : AdaptivePooling("AdaptiveMaxPool1d", output_size) {}
  Tensor forward(const Tensor& x) override;
};

/// Maxima that make images of output_size, see tern::adaptive_max_pool2d.
class AdaptiveMaxPool2d : public AdaptivePooling<AdaptiveMaxPool2d, Size2d> {
 public:
  /// Throws Error unless both sizes are at least 1.
  explicit AdaptiveMaxPool2d(Size2d output_size, DataFormat data_format = DataFormat::NCHW)
      : AdaptivePooling("AdaptiveMaxPool2d", output_size, data_format) {}
  Tensor forward(const Tensor& x) override;
};

}  // namespace tern::nn
