// SPDX-License-Identifier: Apache-2.0
#include "dropout.h"

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/op_scope.h"
#include "../core/random.h"
#include "arithmetic.h"
#include "internal/op.h"
#include "kernels/dropout.h"

namespace tern {

namespace {

constexpr int64_t kDraws = 4096;  // that are worth a thread

// x * scale where the mask is not 0, else 0. Linear, and its own adjoint.
Tensor masked_scale(const Tensor& x, const Tensor& mask, double scale);

class DropoutNode final : public Node {
 public:
  DropoutNode(const Tensor& mask, double scale) : mask_(this, mask), scale_(scale) {}
  const char* name() const override { return "dropout"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor mask = mask_.get();
    return {masked_scale(to_memory_format(dy, mask.memory_format()), mask, scale_)};
  }

 private:
  Saved mask_;
  double scale_;
};

Tensor masked_scale(const Tensor& x, const Tensor& mask, double scale) {
  const Tensor y = empty_like(x);
  visit_floating(x.dtype(), [&]<class T>(T) {
    kernels::masked_scale(x.numel(), x.raw<T>(), mask.raw<uint8_t>(), static_cast<T>(scale),
                          y.raw<T>());
  });
  return record<DropoutNode>(y, {x}, mask, scale);
}

// 0 with probability p, else 1: every random number of 64 bits decides on two elements.
Tensor draw_mask(const Tensor& x, double p) {
  const Tensor mask = empty(x.shape(), DType::u8, x.memory_format());
  Generator& generator = default_generator();
  const Generator::State state = generator.state();
  const int64_t pairs = (x.numel() + 1) / 2;
  const uint64_t first = generator.reserve(pairs);
  const auto threshold = static_cast<uint64_t>(p * 0x1p32);
  uint8_t* kept = mask.raw<uint8_t>();
  const int64_t count = x.numel();
  parallel_for(pairs, kDraws, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t bits = Generator::bits_at(state, first + static_cast<uint64_t>(i));
      kept[2 * i] = (bits & 0xffffffffu) >= threshold;
      if (2 * i + 1 < count) kept[2 * i + 1] = (bits >> 32) >= threshold;
    }
  });
  return mask;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool training) {
  const OpScope scope("dropout", x, "p", p, "training", training);
  if (!(p >= 0 && p <= 1)) fail("dropout", "p is ", p, ", want 0 to 1");
  check_floating("dropout", "x", x);
  if (!training || p == 0) return scope.result(x);
  return scope.result(masked_scale(x, draw_mask(x, p), 1 / (1 - p)));
}

Tensor dropout2d(const Tensor& x, double p, bool training) {
  const OpScope scope("dropout2d", x, "p", p, "training", training);
  if (!(p >= 0 && p <= 1)) fail("dropout2d", "p is ", p, ", want 0 to 1");
  check_floating("dropout2d", "x", x);
  if (x.dim() < 3) fail("dropout2d", "x is ", x, ", want N,C and at least one axis more");
  if (!training || p == 0) return scope.result(x);
  Shape channels = x.shape();
  for (int axis = 2; axis < x.dim(); ++axis) channels = channels.with(axis, 1);
  const Tensor ones = full(channels, 1, x.dtype());
  const Tensor mask = masked_scale(ones, draw_mask(ones, p), 1 / (1 - p));
  return scope.result(x * mask);
}

}  // namespace tern
