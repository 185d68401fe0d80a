// SPDX-License-Identifier: Apache-2.0
#include "norm.h"

#include <algorithm>
#include <string>
#include <vector>

#include "../core/checkpoint.h"
#include "../core/error.h"
#include "../ops/movement.h"
#include "init.h"
#include "internal/repr.h"

namespace tern::nn {

namespace {

Shape checked_shape(const char* op, const IntList& sizes) {
  const Shape shape(sizes.numbers());
  const bool fits = std::all_of(shape.begin(), shape.end(), [](int64_t n) { return n >= 1; });
  if (shape.empty() || !fits) {
    fail(op, "normalized_shape is ", shape, ", want sizes of at least 1");
  }
  return shape;
}

void reset(const Tensor& weight, const Tensor& bias) {
  if (weight.defined()) init::ones_(weight);
  if (bias.defined()) init::zeros_(bias);
}

std::string norm_repr(const Shape& shape, double eps, bool affine) {
  return repr(std::vector<int64_t>(shape.begin(), shape.end())) + ", eps=" + repr(eps) +
         ", elementwise_affine=" + repr(affine);
}

}  // namespace

LayerNorm::LayerNorm(const IntList& normalized_shape, LayerNormOptions options)
    : shape_(checked_shape("LayerNorm", normalized_shape)), options_(options) {
  const bool affine = options.elementwise_affine;
  weight_ = register_parameter("weight", affine ? ones(shape_) : Tensor());
  bias_ = register_parameter("bias", affine && options.bias ? zeros(shape_) : Tensor());
}

Tensor LayerNorm::forward(const Tensor& x) {
  return layer_norm(x, shape_, weight_, bias_, options_.eps);
}

void LayerNorm::reset_parameters() { reset(weight_, bias_); }

std::string LayerNorm::extra_repr() const {
  return norm_repr(shape_, options_.eps, options_.elementwise_affine) +
         (options_.bias ? "" : ", bias=False");
}

RMSNorm::RMSNorm(const IntList& normalized_shape, RMSNormOptions options)
    : shape_(checked_shape("RMSNorm", normalized_shape)), options_(options) {
  weight_ = register_parameter("weight", options.elementwise_affine ? ones(shape_) : Tensor());
}

Tensor RMSNorm::forward(const Tensor& x) { return rms_norm(x, shape_, weight_, options_.eps); }

void RMSNorm::reset_parameters() { reset(weight_, {}); }

std::string RMSNorm::extra_repr() const {
  return norm_repr(shape_, options_.eps, options_.elementwise_affine);
}

GroupNorm::GroupNorm(int64_t num_groups, int64_t num_channels, GroupNormOptions options)
    : num_groups_(num_groups), num_channels_(num_channels), options_(options) {
  if (num_groups < 1 || num_channels < 1 || num_channels % num_groups != 0) {
    fail("GroupNorm", "num_groups is ", num_groups, ", want a divisor of num_channels, which is ",
         num_channels);
  }
  weight_ = register_parameter("weight", options.affine ? ones({num_channels}) : Tensor());
  bias_ = register_parameter("bias", options.affine ? zeros({num_channels}) : Tensor());
}

Tensor GroupNorm::forward(const Tensor& x) {
  return group_norm(x, num_groups_, weight_, bias_, options_.eps);
}

void GroupNorm::reset_parameters() { reset(weight_, bias_); }

std::string GroupNorm::extra_repr() const {
  return repr(num_groups_) + ", " + repr(num_channels_) + ", eps=" + repr(options_.eps) +
         ", affine=" + repr(options_.affine);
}

InstanceNorm::InstanceNorm(const char* name, int axes, int64_t num_features,
                           InstanceNormOptions options)
    : name_(name), axes_(axes), num_features_(num_features), options_(options) {
  if (num_features < 1) fail(name, "num_features is ", num_features, ", want at least 1");
  const Shape shape{num_features};
  const bool track = options.track_running_stats;
  weight_ = register_parameter("weight", options.affine ? ones(shape) : Tensor());
  bias_ = register_parameter("bias", options.affine ? zeros(shape) : Tensor());
  running_mean_ = register_buffer("running_mean", track ? zeros(shape) : Tensor());
  running_var_ = register_buffer("running_var", track ? ones(shape) : Tensor());
  num_batches_tracked_ =
      register_buffer("num_batches_tracked", track ? zeros({}, DType::i64) : Tensor());
}

Tensor InstanceNorm::forward(const Tensor& x) {
  if (x.dim() != axes_ && x.dim() != axes_ - 1) {
    fail(name_, "x is ", x, ", want ", axes_, " axes, or ", axes_ - 1, " without N");
  }
  const bool single = x.dim() == axes_ - 1;
  const Tensor batch = single ? unsqueeze(x, 0) : x;
  if (batch.size(1) != num_features_) {
    fail(name_, "x has ", batch.size(1), " channels, this layer ", num_features_, " (x ", x, ")");
  }
  const bool own = is_training() || !options_.track_running_stats;
  const Tensor y =
      instance_norm(batch, running_mean_, running_var_, weight_, bias_,
                    {.use_input_stats = own, .momentum = options_.momentum, .eps = options_.eps});
  if (own && num_batches_tracked_.defined() && x.numel() > 0 && !recomputing()) {
    int64_t& count = num_batches_tracked_.mutable_data<int64_t>()[0];
    if (count < INT64_MAX) ++count;  // a loaded count may be any number
  }
  return single ? squeeze(y, 0) : y;
}

std::string InstanceNorm::extra_repr() const {
  return repr(num_features_) + ", eps=" + repr(options_.eps) +
         ", momentum=" + repr(options_.momentum) + ", affine=" + repr(options_.affine) +
         ", track_running_stats=" + repr(options_.track_running_stats);
}

}  // namespace tern::nn
