// SPDX-License-Identifier: Apache-2.0
#include "padding.h"

#include "../core/error.h"
#include "internal/repr.h"

namespace tern::nn {

Pad2d::Pad2d(const char* name, PadMode mode, const IntList& padding)
    : mode_(mode), amounts_(padding.numbers()) {
  if (amounts_.size() == 1) amounts_.resize(4, amounts_[0]);
  if (amounts_.size() != 4) {
    fail(name, "padding has ", amounts_.size(), " numbers, want 1, or left, right, top, bottom");
  }
  for (const int64_t amount : amounts_) {
    if (mode != PadMode::zeros) require_at_least(name, "padding", amount, 0);
  }
}

Tensor Pad2d::forward(const Tensor& x) { return pad(x, amounts_, {.mode = mode_}); }
std::string Pad2d::extra_repr() const { return repr(amounts_); }

}  // namespace tern::nn
