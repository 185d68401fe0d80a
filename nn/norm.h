// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../ops/norm.h"
#include "module_of.h"

namespace tern::nn {

/// Options of LayerNorm.
struct LayerNormOptions {
  double eps = 1e-5;               ///< added to the variance, at least 0
  bool elementwise_affine = true;  ///< whether there are a weight and a bias
  bool bias = true;                ///< whether there is a bias, if there is a weight
};

/// Layer normalization over the last axes, see tern::layer_norm. Parameters: weight (ones) and bias
/// (zeros) of shape normalized_shape.
class LayerNorm : public ModuleOf<LayerNorm> {
 public:
  /// `normalized_shape` is one size or several. Throws Error unless all are at least 1.
  explicit LayerNorm(const IntList& normalized_shape, LayerNormOptions options = {});

  Tensor forward(const Tensor& x) override;
  /// Ones and zeros.
  void reset_parameters();

  /// Undefined if the layer has none, as the bias.
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }                  ///< the parameter
  const Shape& normalized_shape() const { return shape_; }      ///< as given
  const LayerNormOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  Shape shape_;
  LayerNormOptions options_;
  Tensor weight_, bias_;
};

/// Options of RMSNorm.
struct RMSNormOptions {
  double eps = 1e-5;               ///< added to the mean of the squares, at least 0
  bool elementwise_affine = true;  ///< whether there is a weight
};

/// Root mean square normalization over the last axes, see tern::rms_norm. Parameter: weight (ones)
/// of shape normalized_shape.
class RMSNorm : public ModuleOf<RMSNorm> {
 public:
  /// `normalized_shape` is one size or several. Throws Error unless all are at least 1.
  explicit RMSNorm(const IntList& normalized_shape, RMSNormOptions options = {});

  Tensor forward(const Tensor& x) override;
  /// Ones.
  void reset_parameters();

  const Tensor& weight() const { return weight_; }            ///< the parameter, or undefined
  const Shape& normalized_shape() const { return shape_; }    ///< as given
  const RMSNormOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  Shape shape_;
  RMSNormOptions options_;
  Tensor weight_;
};

/// Options of GroupNorm.
struct GroupNormOptions {
  double eps = 1e-5;   ///< added to the variance, at least 0
  bool affine = true;  ///< whether there are a weight and a bias
};

/// Group normalization of x [N, C, ...], see tern::group_norm. Parameters: weight (ones) and bias
/// (zeros) [C].
class GroupNorm : public ModuleOf<GroupNorm> {
 public:
  /// Throws Error unless num_groups divides num_channels.
  GroupNorm(int64_t num_groups, int64_t num_channels, GroupNormOptions options = {});

  Tensor forward(const Tensor& x) override;
  /// Ones and zeros.
  void reset_parameters();

  const Tensor& weight() const { return weight_; }              ///< the parameter, or undefined
  const Tensor& bias() const { return bias_; }                  ///< the parameter, or undefined
  int64_t num_groups() const { return num_groups_; }            ///< as given
  int64_t num_channels() const { return num_channels_; }        ///< as given
  const GroupNormOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 private:
  int64_t num_groups_, num_channels_;
  GroupNormOptions options_;
  Tensor weight_, bias_;
};

/// Options of InstanceNorm1d, 2d and 3d.
struct InstanceNormOptions {
  double eps = 1e-5;                 ///< added to the variance, at least 0
  double momentum = 0.1;             ///< the weight of a new batch in running statistics
  bool affine = false;               ///< whether there are a weight and a bias
  bool track_running_stats = false;  ///< whether there are running statistics, used in evaluation
};

/// What InstanceNorm1d, 2d and 3d share: each channel of each image is normalized by itself, see
/// tern::instance_norm. Parameters with `affine`: weight (ones) and bias (zeros) [C]; buffers with
/// `track_running_stats`: running_mean, running_var [C] and num_batches_tracked.
class InstanceNorm : public Module {
 public:
  Tensor forward(const Tensor& x) override;

  const Tensor& weight() const { return weight_; }                 ///< the parameter, or undefined
  const Tensor& bias() const { return bias_; }                     ///< the parameter, or undefined
  const Tensor& running_mean() const { return running_mean_; }     ///< [C], or undefined
  const Tensor& running_var() const { return running_var_; }       ///< [C], or undefined
  int64_t num_features() const { return num_features_; }           ///< C
  const InstanceNormOptions& options() const { return options_; }  ///< as given
  std::string extra_repr() const override;

 protected:
  /// `name` is for messages; the input has that many axes, or one less without N.
  InstanceNorm(const char* name, int axes, int64_t num_features, InstanceNormOptions options);

 private:
  const char* name_;
  int axes_;
  int64_t num_features_;
  InstanceNormOptions options_;
  Tensor weight_, bias_, running_mean_, running_var_, num_batches_tracked_;
};

/// InstanceNorm over [N,C,L] or [C,L].
class InstanceNorm1d : public ModuleOf<InstanceNorm1d, InstanceNorm> {
 public:
  /// Throws Error unless num_features >= 1.
  explicit InstanceNorm1d(int64_t num_features, InstanceNormOptions options = {})
      : ModuleOf("InstanceNorm1d", 3, num_features, options) {}
};

/// InstanceNorm over [N,C,H,W] or [C,H,W].
class InstanceNorm2d : public ModuleOf<InstanceNorm2d, InstanceNorm> {
 public:
  /// Throws Error unless num_features >= 1.
  explicit InstanceNorm2d(int64_t num_features, InstanceNormOptions options = {})
      : ModuleOf("InstanceNorm2d", 4, num_features, options) {}
};

/// InstanceNorm over [N,C,D,H,W] or [C,D,H,W].
class InstanceNorm3d : public ModuleOf<InstanceNorm3d, InstanceNorm> {
 public:
  /// Throws Error unless num_features >= 1.
  explicit InstanceNorm3d(int64_t num_features, InstanceNormOptions options = {})
      : ModuleOf("InstanceNorm3d", 5, num_features, options) {}
};

}  // namespace tern::nn
