// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/conv.h"
#include "../ops/movement.h"
#include "module_of.h"

namespace tern::nn {

/// How the window goes over the signal, as torch.nn.Conv1d's arguments.
struct Conv1dOptions {
  int64_t stride = 1;                     ///< steps between windows
  int64_t padding = 0;                    ///< elements put at each end, or kSame
  int64_t dilation = 1;                   ///< distance between the window's elements
  int64_t groups = 1;                     ///< divides both numbers of channels
  bool bias = true;                       ///< whether there is a bias
  PadMode padding_mode = PadMode::zeros;  ///< what is put there
};

/// How the window goes over the image, as torch.nn.Conv2d's arguments.
struct Conv2dOptions {
  Size2d stride = 1;                                   ///< steps between windows
  Size2d padding = 0;                                  ///< pixels put around the image, or kSame
  Size2d dilation = 1;                                 ///< distance between the window's elements
  int64_t groups = 1;                                  ///< divides both numbers of channels
  bool bias = true;                                    ///< whether there is a bias
  PadMode padding_mode = PadMode::zeros;               ///< what is put there
  DataFormat data_format = DataFormat::NCHW;           ///< which axis is which
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;  ///< what computes float32
};

/// How the window goes over the volume, as torch.nn.Conv3d's arguments.
struct Conv3dOptions {
  Size3d stride = 1;    ///< steps between windows
  Size3d padding = 0;   ///< zeros around the volume
  Size3d dilation = 1;  ///< distance between the window's elements
  int64_t groups = 1;   ///< divides both numbers of channels
  bool bias = true;     ///< whether there is a bias
};

/// How the window goes over the result, as torch.nn.ConvTranspose1d's arguments.
struct ConvTranspose1dOptions {
  int64_t stride = 1;          ///< steps between the windows of neighbouring elements
  int64_t padding = 0;         ///< elements of the result that are cut off at each end
  int64_t output_padding = 0;  ///< more of them at the end
  int64_t dilation = 1;        ///< distance between the window's elements
  int64_t groups = 1;          ///< divides both numbers of channels
  bool bias = true;            ///< whether there is a bias
};

/// How the window goes over the result, as torch.nn.ConvTranspose2d's arguments.
struct ConvTranspose2dOptions {
  Size2d stride = 1;          ///< steps between the windows of neighbouring pixels
  Size2d padding = 0;         ///< rows and columns of the result that are cut off at each side
  Size2d output_padding = 0;  ///< more of them at its end
  Size2d dilation = 1;        ///< distance between the window's elements
  int64_t groups = 1;         ///< divides both numbers of channels
  bool bias = true;           ///< whether there is a bias
  DataFormat data_format = DataFormat::NCHW;           ///< which axis is which
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;  ///< what computes float32
};

/// What the convolutions share: parameters weight and bias [out], which begin uniform within
/// 1 / sqrt(weight.size(1) * kernel's elements), as PyTorch's. Size is int64_t, Size2d or Size3d.
template <class Derived, class Size, class Options>
class Convolution : public ModuleOf<Derived> {
 public:
  /// Draws new initial values.
  void reset_parameters();

  const Tensor& weight() const { return weight_; }  ///< the parameter
  /// Undefined if the layer has none.
  const Tensor& bias() const { return bias_; }
  int64_t in_channels() const { return in_channels_; }    ///< as given
  int64_t out_channels() const { return out_channels_; }  ///< as given
  Size kernel_size() const { return kernel_size_; }       ///< as given
  const Options& options() const { return options_; }     ///< as given
  /// The arguments, as PyTorch prints them.
  std::string extra_repr() const override;

 protected:
  /// `name` is the layer's, for errors: throws Error for sizes out of range.
  Convolution(const char* name, int64_t in_channels, int64_t out_channels, Size kernel_size,
              Options options);

 private:
  int64_t in_channels_;
  int64_t out_channels_;
  Size kernel_size_;
  Options options_;
  Tensor weight_;
  Tensor bias_;
};

/// 1-d convolution of [N,C,L], see tern::conv1d. The weight is [out, in / groups, kernel].
class Conv1d : public Convolution<Conv1d, int64_t, Conv1dOptions> {
 public:
  /// Throws Error for sizes out of range and for groups that do not divide the channels.
  Conv1d(int64_t in_channels, int64_t out_channels, int64_t kernel_size, Conv1dOptions options = {})
      : Convolution("Conv1d", in_channels, out_channels, kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// 2-d convolution, see tern::conv2d. The weight is [out, in / groups, kernel].
class Conv2d : public Convolution<Conv2d, Size2d, Conv2dOptions> {
 public:
  /// Throws Error for sizes out of range and for groups that do not divide the channels.
  Conv2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size, Conv2dOptions options = {})
      : Convolution("Conv2d", in_channels, out_channels, kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
  Tensor forward_relu(const Tensor& x) override;
  /// Those of tern::conv2d. Its padding is 0 where padding_mode is not `zeros`: what is not zeros
  /// is put around the image beforehand.
  tern::Conv2dOptions op_options() const;
};

/// 3-d convolution of [N,C,D,H,W], see tern::conv3d. The weight is [out, in / groups, kernel].
class Conv3d : public Convolution<Conv3d, Size3d, Conv3dOptions> {
 public:
  /// Throws Error for sizes out of range and for groups that do not divide the channels.
  Conv3d(int64_t in_channels, int64_t out_channels, Size3d kernel_size, Conv3dOptions options = {})
      : Convolution("Conv3d", in_channels, out_channels, kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
};

/// Transposed 1-d convolution of [N,C,L], see tern::conv_transpose1d. The weight is
/// [in, out / groups, kernel].
class ConvTranspose1d : public Convolution<ConvTranspose1d, int64_t, ConvTranspose1dOptions> {
 public:
  /// Throws Error for sizes out of range and for groups that do not divide the channels.
  ConvTranspose1d(int64_t in_channels, int64_t out_channels, int64_t kernel_size,
                  ConvTranspose1dOptions options = {})
      : Convolution("ConvTranspose1d", in_channels, out_channels, kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
  /// The same with the output_padding that gives a result of this size. Throws Error unless it is
  /// one that a convolution with this stride would have made from x's size.
  Tensor forward(const Tensor& x, int64_t output_size);
};

/// Transposed 2-d convolution, see tern::conv_transpose2d: upsampling that is learned. The weight
/// is [in, out / groups, kernel].
class ConvTranspose2d : public Convolution<ConvTranspose2d, Size2d, ConvTranspose2dOptions> {
 public:
  /// Throws Error for sizes out of range and for groups that do not divide the channels.
  ConvTranspose2d(int64_t in_channels, int64_t out_channels, Size2d kernel_size,
                  ConvTranspose2dOptions options = {})
      : Convolution("ConvTranspose2d", in_channels, out_channels, kernel_size, options) {}
  Tensor forward(const Tensor& x) override;
  /// The same with the output_padding that gives a result of this height and width. Throws Error
  /// unless it is one that a convolution with this stride would have turned into x's.
  Tensor forward(const Tensor& x, Size2d output_size);
};

}  // namespace tern::nn
