// SPDX-License-Identifier: Apache-2.0
// The steps as lists of layers, and the times of the layers alone.
#pragma once

#include <tern/tern.h>

#include <utility>
#include <vector>

namespace bench {

enum class Kind {
  conv,             ///< padded by half a kernel
  batch_norm,       ///< of each channel
  batch_norm_relu,  ///< fused
  add_relu,         ///< the end of a residual block
  join,             ///< the sum of two gradients of one tensor
  max_pool,         ///< 2x2
  average,          ///< over each image
  flatten,          ///< images to rows
  linear,           ///< with bias
  relu,             ///< as a layer of its own
  tanh,             ///< as a layer of its own
  cross_entropy,    ///< the loss
  mean,             ///< in place of a loss in evaluation
  sgd,              ///< with momentum, over all parameters
  adam,             ///< over all parameters
};

struct Layer {
  Kind kind;
  tern::Shape x;       ///< of the input; of an optimizer, {the number of parameters}
  int64_t out = 0;     ///< channels or features of the output
  int64_t kernel = 1;  ///< of a convolution
  int64_t stride = 1;  ///< of a convolution
  bool bias = false;   ///< of a convolution
  bool first = false;  ///< its input needs no gradient
  bool operator==(const Layer&) const = default;
};

using Layers = std::vector<Layer>;

Layers cnn28_layers(int64_t batch);
Layers resnet_layers(int64_t batch, int64_t width, int64_t stages, int64_t blocks);
Layers mlp_layers(int64_t batch);
/// Each distinct layer, and how often it occurs.
std::vector<std::pair<Layer, int>> counted(const Layers& layers);
/// The layers in evaluation: no joined gradients, no loss, no optimizer. Folded: no batch norm.
Layers evaluation_layers(const Layers& training, bool folded);

/// The sums over the layers of Tern's own operations, each timed alone, forward and, in training,
/// backward: with their data in the caches, as far as they fit, and with their data in memory. In a
/// step it lies between the two. `params` is what the optimizer updates. Milliseconds.
struct Operations {
  double cached, from_memory;
};
Operations operations_of(const Layers& layers, bool training,
                         const std::vector<tern::Tensor>& params);

/// The sum over the layers of oneDNN's fastest primitives, executed without Tern, in the memory
/// layouts that they prefer and without the reorders between them. Counts convolutions, matrix
/// products, batch norms, pooling, elementwise layers and two passes over the parameters. Without
/// bias gradients, flatten and the loss. Milliseconds.
struct Floor {
  double direct;    ///< convolutions by the direct algorithm
  double winograd;  ///< convolutions by oneDNN's Winograd algorithm where it exists and is faster
};
Floor floor_of(const Layers& layers, bool training);

}  // namespace bench
