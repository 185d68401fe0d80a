// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "tensor.h"

namespace tern {

/// How closely gradcheck looks.
struct GradcheckOptions {
  double step = 1e-6;       ///< of the central difference
  double tolerance = 1e-6;  ///< allowed |analytic - numeric| / (1 + |numeric|)
  uint64_t seed = 0;        ///< of the random cotangent
};

/// What is checked: a differentiable function of tensors.
using GradcheckFunction = std::function<Tensor(const std::vector<Tensor>&)>;

/// Compares the gradient of `f` with central differences, (f(x+h) - f(x-h)) / 2h, contracted with a
/// random cotangent (a sum of outputs would hide wrong normalizers). `inputs` are float64; those
/// that require a gradient are checked. Throws Error that says which element of which input is
/// worst and by how much; returns true otherwise, so that tests can write EXPECT_TRUE.
bool gradcheck(const GradcheckFunction& f, const std::vector<Tensor>& inputs,
               GradcheckOptions options = {});

/// The same for the gradient of the gradient: checks that the backward pass of `f`, as a function
/// of the inputs and of the cotangent, is differentiated right.
bool gradgradcheck(const GradcheckFunction& f, const std::vector<Tensor>& inputs,
                   GradcheckOptions options = {});

/// The old names, which clash with GoogleTest's where a program says `using namespace tern`.
namespace testing {
using tern::gradcheck;         ///< tern::gradcheck
using tern::GradcheckOptions;  ///< tern::GradcheckOptions
using tern::gradgradcheck;     ///< tern::gradgradcheck
using Function = GradcheckFunction;
}  // namespace testing

}  // namespace tern
