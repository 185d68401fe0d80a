// SPDX-License-Identifier: Apache-2.0
// What a Sequential computes in one operation: the one place that knows which layers fuse.
#pragma once

#include <cstddef>
#include <span>

#include "../../core/tensor.h"

namespace tern::nn {

class Module;

/// What the first `count` of a run of modules compute together. Not `found` if the first of them is
/// best run by itself.
struct Fused {
  bool found = false;
  Tensor y = {};
  size_t count = 0;
};

/// Runs the beginning of `modules` on x by the first entry of the table in nn/fusion.cpp that fits
/// it: the same bits as one after the other, under the name of the first.
Fused run_fused(std::span<Module* const> modules, const Tensor& x);

}  // namespace tern::nn
