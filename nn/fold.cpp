// SPDX-License-Identifier: Apache-2.0
#include "fold.h"

#include <cmath>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "containers.h"
#include "flatten.h"

namespace tern::nn {

namespace {

using Values = std::vector<double>;

Values values(const Tensor& t, size_t count, double otherwise) {
  return t.defined() ? t.detach().to(DType::f64).to_vector<double>() : Values(count, otherwise);
}

void check(const BatchNorm& layer, int64_t channels) {
  if (layer.is_training()) {
    fail("fold_batch_norm", layer.type_name(),
         " is in training mode, where it normalizes with each batch's statistics: call eval() on ",
         "the model first");
  }
  if (!layer.has_fixed_statistics()) {
    fail("fold_batch_norm", "this ", layer.type_name(),
         " normalizes with each batch's statistics in evaluation too: there is nothing to fold");
  }
  if (layer.num_features() != channels) {
    fail("fold_batch_norm", "the layer has ", channels, " output channels, the batch norm ",
         layer.num_features());
  }
}

/// Gives `folded` the parameters of layer (weight, bias) followed by `batch_norm`.
template <class Layer>
void assign(const Layer& folded, const Layer& layer, const BatchNorm& batch_norm) {
  const NoGrad no_grad;
  const auto channels = static_cast<size_t>(batch_norm.num_features());
  const Values gamma = values(batch_norm.weight(), channels, 1);
  const Values beta = values(batch_norm.bias(), channels, 0);
  const Values mean = values(batch_norm.running_mean(), channels, 0);
  const Values var = values(batch_norm.running_var(), channels, 1);
  Values weight = values(layer.weight(), 0, 0), bias = values(layer.bias(), channels, 0);
  const size_t row = weight.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    const double a = gamma[c] / std::sqrt(var[c] + batch_norm.options().eps);
    for (size_t i = 0; i < row; ++i) weight[c * row + i] *= a;
    bias[c] = (bias[c] - mean[c]) * a + beta[c];
  }
  folded.weight().copy_(tensor(weight, layer.weight().shape()));
  folded.bias().copy_(tensor(bias, {batch_norm.num_features()}));
}

template <class Layer, class Norm>
bool fold_pair(Module& parent, const std::pair<std::string, Module*>& first,
               const std::pair<std::string, Module*>& second) {
  const auto* layer = dynamic_cast<const Layer*>(first.second);
  const auto* norm = dynamic_cast<const Norm*>(second.second);
  if (!layer || !norm || !norm->has_fixed_statistics()) return false;
  parent.replace_module(first.first, fold_batch_norm(*layer, *norm));
  Identity identity;
  identity.eval();
  parent.replace_module(second.first, identity);
  return true;
}

}  // namespace

Conv2d fold_batch_norm(const Conv2d& conv, const BatchNorm2d& batch_norm) {
  check(batch_norm, conv.out_channels());
  if (conv.options().data_format != batch_norm.options().data_format) {
    fail("fold_batch_norm", "the convolution's data_format is ", conv.options().data_format,
         ", the batch norm's ", batch_norm.options().data_format);
  }
  Conv2dOptions options = conv.options();
  options.bias = true;
  Conv2d folded(conv.in_channels(), conv.out_channels(), conv.kernel_size(), options);
  folded.to(conv.weight().dtype());
  assign(folded, conv, batch_norm);
  folded.eval();
  return folded;
}

Linear fold_batch_norm(const Linear& linear, const BatchNorm1d& batch_norm) {
  check(batch_norm, linear.out_features());
  Linear folded(linear.in_features(), linear.out_features());
  folded.to(linear.weight().dtype());
  assign(folded, linear, batch_norm);
  folded.eval();
  return folded;
}

int64_t fold_batch_norm_(Module& model) {
  std::vector<Module*> sequentials;  // found first: folding does away with modules
  for (const auto& [path, module] : model.named_modules()) {
    if (dynamic_cast<const Sequential*>(module)) sequentials.push_back(module);
    const auto* layer = dynamic_cast<const BatchNorm*>(module);
    if (layer && layer->is_training()) {
      fail(
          "fold_batch_norm", path.empty() ? layer->type_name() : path,
          " is in training mode, where it normalizes with each batch's statistics: call eval() on ",
          "the model first");
    }
  }
  int64_t pairs = 0;
  for (Module* sequential : sequentials) {
    const auto children = sequential->named_children();
    for (size_t i = 0; i + 1 < children.size(); ++i) {
      if (fold_pair<Conv2d, BatchNorm2d>(*sequential, children[i], children[i + 1]) ||
          fold_pair<Linear, BatchNorm1d>(*sequential, children[i], children[i + 1])) {
        ++pairs;
        ++i;
      }
    }
  }
  return pairs;
}

}  // namespace tern::nn
