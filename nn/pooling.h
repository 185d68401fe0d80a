// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/pool.h"
#include "module.h"

namespace tern::nn {

using MaxPool2dOptions = MaxPool2dParams;  ///< options of MaxPool2d
using AvgPool2dOptions = AvgPool2dParams;  ///< options of AvgPool2d

/// The maximum of each window, see tern::max_pool2d.
class MaxPool2d : public Module {
 public:
  /// Throws Error for sizes out of range.
  explicit MaxPool2d(Size2d kernel_size, MaxPool2dOptions options = {});
  Tensor forward(const Tensor& x) override;
  MaxPool2d clone() const { return nn::clone(*this); }          ///< a deep copy
  Size2d kernel_size() const { return kernel_size_; }           ///< as given
  const MaxPool2dOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  Size2d kernel_size_;
  MaxPool2dOptions options_;
};

/// The average of each window, see tern::avg_pool2d.
class AvgPool2d : public Module {
 public:
  /// Throws Error for sizes out of range.
  explicit AvgPool2d(Size2d kernel_size, AvgPool2dOptions options = {});
  Tensor forward(const Tensor& x) override;
  AvgPool2d clone() const { return nn::clone(*this); }          ///< a deep copy
  Size2d kernel_size() const { return kernel_size_; }           ///< as given
  const AvgPool2dOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  Size2d kernel_size_;
  AvgPool2dOptions options_;
};

/// Averages that make images of output_size, see tern::adaptive_avg_pool2d. Size 1 is the global
/// average.
class AdaptiveAvgPool2d : public Module {
 public:
  /// Throws Error unless both sizes are at least 1.
  explicit AdaptiveAvgPool2d(Size2d output_size, DataFormat data_format = DataFormat::NCHW);
  Tensor forward(const Tensor& x) override;
  AdaptiveAvgPool2d clone() const { return nn::clone(*this); }  ///< a deep copy
  Size2d output_size() const { return output_size_; }           ///< as given
  DataFormat data_format() const { return data_format_; }       ///< as given
  std::string extra_repr() const override;

 private:
  Size2d output_size_;
  DataFormat data_format_;
};

}  // namespace tern::nn
