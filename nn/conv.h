// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/conv.h"
#include "batch_norm.h"
#include "module.h"

namespace tern::nn {

/// How the window goes over the image, as torch.nn.Conv2d's arguments.
struct Conv2dOptions {
  Size2d stride = 1;                                   ///< steps between windows
  Size2d padding = 0;                                  ///< zeros around the image
  Size2d dilation = 1;                                 ///< distance between the window's elements
  int64_t groups = 1;                                  ///< divides both numbers of channels
  bool bias = true;                                    ///< whether there is a bias
  DataFormat data_format = DataFormat::NCHW;           ///< which axis is which
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;  ///< what computes float32
};

/// 2-d convolution, see tern::conv2d. Parameters: weight [out, in / groups, kernel], bias [out].
/// Both begin uniform within 1 / sqrt(in / groups * kernel height * kernel width), as PyTorch's.
class Conv2d : public Module {
 public:
  /// Throws Error for sizes out of range and for groups that do not divide the channels.
  Conv2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size, Conv2dOptions options = {});

  Tensor forward(const Tensor& x) override;
  Tensor forward_relu(const Tensor& x) override;
  /// norm(forward(x)), or norm.forward_relu of it: what Sequential calls in evaluation when nothing
  /// is recorded. The same bits, often in one pass (see conv2d_batch_norm).
  Tensor forward_batch_norm(const Tensor& x, BatchNorm2d& norm, bool relu);
  /// Draws new initial values.
  void reset_parameters();
  Conv2d clone() const { return nn::clone(*this); }  ///< a deep copy

  const Tensor& weight() const { return weight_; }  ///< the parameter
  /// Undefined if the layer has none.
  const Tensor& bias() const { return bias_; }
  int64_t in_channels() const { return in_channels_; }       ///< as given
  int64_t out_channels() const { return out_channels_; }     ///< as given
  Size2d kernel_size() const { return kernel_size_; }        ///< as given
  const Conv2dOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  Conv2dParams params() const;

  int64_t in_channels_;
  int64_t out_channels_;
  Size2d kernel_size_;
  Conv2dOptions options_;
  Tensor weight_;
  Tensor bias_;
};

}  // namespace tern::nn
