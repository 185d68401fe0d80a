// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "../ops/movement.h"
#include "module_of.h"

namespace tern::nn {

/// What the layers that pad images share: tern::pad of the last two axes. The padding is one number
/// for all sides, or {left, right, top, bottom}.
class Pad2d : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  const std::vector<int64_t>& padding() const { return amounts_; }  ///< left, right, top, bottom
  std::string extra_repr() const override;

 protected:
  /// `name` is for messages.
  Pad2d(const char* name, PadMode mode, const IntList& padding);

 private:
  PadMode mode_;
  std::vector<int64_t> amounts_;
};

/// Zeros around images; negative numbers cut off.
class ZeroPad2d : public ModuleOf<ZeroPad2d, Pad2d> {
 public:
  /// Throws Error unless there are 1 or 4 numbers.
  explicit ZeroPad2d(const IntList& padding) : ModuleOf("ZeroPad2d", PadMode::zeros, padding) {}
};

/// Images mirrored at their edges, which are not repeated.
class ReflectionPad2d : public ModuleOf<ReflectionPad2d, Pad2d> {
 public:
  /// Throws Error unless there are 1 or 4 numbers, none negative.
  explicit ReflectionPad2d(const IntList& padding)
      : ModuleOf("ReflectionPad2d", PadMode::reflect, padding) {}
};

/// The nearest pixel around images.
class ReplicationPad2d : public ModuleOf<ReplicationPad2d, Pad2d> {
 public:
  /// Throws Error unless there are 1 or 4 numbers, none negative.
  explicit ReplicationPad2d(const IntList& padding)
      : ModuleOf("ReplicationPad2d", PadMode::replicate, padding) {}
};

}  // namespace tern::nn
