// SPDX-License-Identifier: Apache-2.0
#include "layers.h"

#include <algorithm>
#include <functional>
#include <memory>

#include "timing.h"

namespace bench {

using namespace tern;

namespace {

int64_t parameters_of(const Layers& layers) {
  int64_t sum = 0;
  for (const Layer& layer : layers) {
    const int64_t channels = layer.x.size() > 1 ? layer.x[1] : 0;
    if (layer.kind == Kind::conv) sum += layer.out * channels * layer.kernel * layer.kernel;
    if (layer.kind == Kind::linear) sum += layer.out * (channels + 1);
    if (layer.kind == Kind::batch_norm || layer.kind == Kind::batch_norm_relu) sum += 2 * channels;
  }
  return sum;
}

}  // namespace

Layers cnn28_layers(int64_t batch) {
  Layers layers = {
      {.kind = Kind::conv, .x = {batch, 1, 28, 28}, .out = 32, .kernel = 3, .first = true},
      {.kind = Kind::batch_norm_relu, .x = {batch, 32, 28, 28}},
      {.kind = Kind::max_pool, .x = {batch, 32, 28, 28}},
      {.kind = Kind::conv, .x = {batch, 32, 14, 14}, .out = 64, .kernel = 3},
      {.kind = Kind::batch_norm_relu, .x = {batch, 64, 14, 14}},
      {.kind = Kind::max_pool, .x = {batch, 64, 14, 14}},
      {.kind = Kind::flatten, .x = {batch, 64, 7, 7}},
      {.kind = Kind::linear, .x = {batch, 64 * 7 * 7}, .out = 128},
      {.kind = Kind::relu, .x = {batch, 128}},
      {.kind = Kind::linear, .x = {batch, 128}, .out = 10},
      {.kind = Kind::cross_entropy, .x = {batch, 10}}};
  layers.push_back({.kind = Kind::sgd, .x = {parameters_of(layers)}});
  return layers;
}

Layers resnet_layers(int64_t batch, int64_t width, int64_t stages, int64_t blocks) {
  Layers layers = {
      {.kind = Kind::conv, .x = {batch, 3, 32, 32}, .out = width, .kernel = 3, .first = true},
      {.kind = Kind::batch_norm_relu, .x = {batch, width, 32, 32}}};
  Shape x = {batch, width, 32, 32};
  for (int64_t stage = 0; stage < stages; ++stage) {
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1, out = width << stage;
      const Shape y = {batch, out, x[2] / stride, x[3] / stride};
      layers.push_back({.kind = Kind::conv, .x = x, .out = out, .kernel = 3, .stride = stride});
      layers.push_back({.kind = Kind::batch_norm_relu, .x = y});
      layers.push_back({.kind = Kind::conv, .x = y, .out = out, .kernel = 3});
      layers.push_back({.kind = Kind::batch_norm, .x = y});
      if (stride != 1 || out != x[1]) {
        layers.push_back({.kind = Kind::conv, .x = x, .out = out, .stride = stride});
        layers.push_back({.kind = Kind::batch_norm, .x = y});
      }
      layers.push_back({.kind = Kind::add_relu, .x = y});
      layers.push_back({.kind = Kind::join, .x = x});
      x = y;
    }
  }
  layers.push_back({.kind = Kind::average, .x = x});
  layers.push_back({.kind = Kind::flatten, .x = {batch, x[1], 1, 1}});
  layers.push_back({.kind = Kind::linear, .x = {batch, x[1]}, .out = 10});
  layers.push_back({.kind = Kind::cross_entropy, .x = {batch, 10}});
  layers.push_back({.kind = Kind::sgd, .x = {parameters_of(layers)}});
  return layers;
}

Layers mlp_layers(int64_t batch) {
  Layers layers = {{.kind = Kind::linear, .x = {batch, 4}, .out = 64, .first = true},
                   {.kind = Kind::tanh, .x = {batch, 64}},
                   {.kind = Kind::linear, .x = {batch, 64}, .out = 64},
                   {.kind = Kind::tanh, .x = {batch, 64}},
                   {.kind = Kind::linear, .x = {batch, 64}, .out = 2},
                   {.kind = Kind::cross_entropy, .x = {batch, 2}}};
  layers.push_back({.kind = Kind::adam, .x = {parameters_of(layers)}});
  return layers;
}

Layers evaluation_layers(const Layers& training, bool folded) {
  Layers layers;
  for (Layer layer : training) {
    if (layer.kind == Kind::join || layer.kind == Kind::sgd) continue;
    if (layer.kind == Kind::cross_entropy) layer.kind = Kind::mean;
    if (folded) {
      if (layer.kind == Kind::batch_norm) continue;
      if (layer.kind == Kind::batch_norm_relu) layer.kind = Kind::relu;
      layer.bias = layer.kind == Kind::conv;
    }
    layers.push_back(layer);
  }
  return layers;
}

std::vector<std::pair<Layer, int>> counted(const Layers& layers) {
  std::vector<std::pair<Layer, int>> result;
  for (const Layer& layer : layers) {
    const auto same = [&](const auto& entry) { return entry.first == layer; };
    const auto found = std::find_if(result.begin(), result.end(), same);
    if (found == result.end()) {
      result.emplace_back(layer, 1);
    } else {
      ++found->second;
    }
  }
  return result;
}

// ---- Tern's operations, each alone ------------------------------------------------------------

namespace {

Tensor random(const Shape& shape) {
  const Tensor x = randn(shape);
  return shape.size() == 4 ? to_memory_format(x, MemoryFormat::channels_last) : x;
}

// An operation and its inputs.
struct Operation {
  std::function<Tensor()> forward;
  std::vector<Tensor> leaves;  // the tensors that require gradients
};

Operation operation(const Layer& layer, bool training) {
  const Shape& s = layer.x;
  const Tensor x = random(s);
  const auto leaf = [](const Tensor& t) { return t.set_requires_grad(); };
  std::vector<Tensor> leaves;
  if (!layer.first) leaves.push_back(leaf(x));
  switch (layer.kind) {
    case Kind::conv: {
      const Tensor w = leaf(randn({layer.out, s[1], layer.kernel, layer.kernel}));
      const Tensor b = layer.bias ? randn({layer.out}) : Tensor();
      leaves.push_back(w);
      const Conv2dOptions params{.stride = layer.stride, .padding = layer.kernel / 2};
      return {[=] { return conv2d(x, w, b, params); }, leaves};
    }
    case Kind::linear: {
      const Tensor w = leaf(randn({layer.out, s[1]})), b = leaf(randn({layer.out}));
      leaves.insert(leaves.end(), {w, b});
      return {[=] { return linear(x, w, b); }, leaves};
    }
    case Kind::batch_norm:
    case Kind::batch_norm_relu: {
      const Tensor mean = zeros({s[1]}), var = ones({s[1]});
      const Tensor w = leaf(ones({s[1]})), b = leaf(zeros({s[1]}));
      leaves.insert(leaves.end(), {w, b});
      const BatchNormOptions params{.training = training};
      if (layer.kind == Kind::batch_norm) {
        return {[=] { return batch_norm(x, mean, var, w, b, params); }, leaves};
      }
      return {[=] { return batch_norm_relu(x, mean, var, w, b, params); }, leaves};
    }
    case Kind::add_relu: {
      // Only one of the inputs is a leaf: two would need a copy of their common gradient, which a
      // step does not make.
      return {[x, other = random(s)] { return add_relu(x, other); }, leaves};
    }
    case Kind::max_pool:
      return {[=] { return max_pool2d(x, 2); }, leaves};
    case Kind::average:
      return {[=] { return adaptive_avg_pool2d(x, 1); }, leaves};
    case Kind::flatten:
      return {[=] { return flatten(x, 1); }, leaves};
    case Kind::relu:
      return {[=] { return relu(x); }, leaves};
    case Kind::tanh:
      return {[=] { return tanh(x); }, leaves};
    case Kind::mean:
      return {[=] { return mean(x); }, leaves};
    case Kind::cross_entropy: {
      const Tensor classes = full({s[0]}, 1, DType::i64);
      return {[=] { return cross_entropy(x, classes); }, leaves};
    }
    case Kind::join:
    case Kind::sgd:
    case Kind::adam:
      break;
  }
  return {};
}

// Runs an operation with its backward, if it has one, and drops the results.
std::function<void()> pass(const Layer& layer, bool training) {
  if (layer.kind == Kind::join) {
    return [a = random(layer.x), b = random(layer.x)] {
      const NoGrad no_grad;
      a + b;
    };
  }
  const Operation op = operation(layer, training);
  if (!training) {
    return [op] {
      const NoGrad no_grad;
      op.forward();
    };
  }
  const Tensor y = op.forward();
  return [op, dy = to_memory_format(randn(y.shape()), y.memory_format())] {
    op.forward().backward(dy);
    for (const Tensor& leaf : op.leaves) leaf.set_grad({});
  };
}

template <class Optimizer, class Options>
std::function<void()> optimizer_pass(const std::vector<Tensor>& like, const Options& options) {
  std::vector<Tensor> params;
  for (const Tensor& t : like) {
    params.push_back(t.detach().clone().set_requires_grad());
    params.back().set_grad(randn(t.shape()));
  }
  return [optimizer = std::make_shared<Optimizer>(params, options)] { optimizer->step(); };
}

}  // namespace

Operations operations_of(const Layers& layers, bool training, const std::vector<Tensor>& params) {
  Operations sum{0, 0};
  for (const auto& [layer, count] : counted(layers)) {
    const std::function<void()> run =
        layer.kind == Kind::sgd
            ? optimizer_pass<optim::SGD>(params, optim::SGDOptions{.momentum = 0.9})
        : layer.kind == Kind::adam ? optimizer_pass<optim::Adam>(params, optim::AdamOptions{})
                                   : pass(layer, training);
    sum.cached += count * median_milliseconds(run);
    sum.from_memory += count * median_milliseconds_from_memory(run);
  }
  return sum;
}

}  // namespace bench
