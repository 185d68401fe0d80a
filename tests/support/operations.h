// SPDX-License-Identifier: Apache-2.0
// A list of all operations.
#pragma once

#include <tern/nn/module.h>

#include <functional>
#include <string>
#include <vector>

namespace tern::test {

struct Operation {
  std::string declared;  // in a header
  std::string reported;
  std::function<Tensor()> call;
};

/// A call of every overload of every operation, of tensors that require gradients.
std::vector<Operation> all_operations();

/// A net that does one operation, of tensors that it has as buffers, whatever it is given.
class OperationNet : public nn::Module {
 public:
  explicit OperationNet(const Operation& op);
  Tensor forward(const Tensor&) override { return op_.call(); }

 private:
  Operation op_;
};

}  // namespace tern::test
