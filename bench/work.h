// SPDX-License-Identifier: Apache-2.0
// A measured step in Tern, and what PyTorch and oneDNN need to do the same.
#pragma once

#include <tern/tern.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "layers.h"

namespace bench {

using Step = std::function<double()>;  ///< returns a number to compare: the loss

struct Work {
  std::string name;
  Step step = {};
  std::shared_ptr<tern::nn::Module> net = {};  ///< where there is one
  tern::Tensor x = {};                         ///< the input
  tern::Tensor target = {};                    ///< the classes, or the gradient of the output
  Layers layers = {};                          ///< empty where a step is one operation
  bool training = true;                        ///< forward, loss, backward, optimizer
};

/// "cnn28", "resnet20", "resnet18", "resnet18_eval", "resnet18_folded", "mlp", "batch_norm_relu" or
/// "add", with that many images (0: the number in the table).
Work work(const std::string& name, int64_t batch = 0);

}  // namespace bench
