// SPDX-License-Identifier: Apache-2.0
#include "dropout.h"

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/parallel.h"
#include "../core/profiler.h"
#include "../core/random.h"

namespace tern {

namespace {

constexpr int64_t kGrain = 4096;

/// x * scale where the mask is not 0, else 0. Linear, and its own adjoint.
Tensor masked_scale(const Tensor& x, const Tensor& mask, double scale);

class DropoutNode final : public Node {
 public:
  DropoutNode(const Tensor& mask, double scale) : mask_(this, mask), scale_(scale) {}
  const char* name() const override { return "dropout"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor mask = mask_.get();
    return {masked_scale(to_order(dy, mask.order()), mask, scale_)};
  }

 private:
  Saved mask_;
  double scale_;
};

Tensor masked_scale(const Tensor& x, const Tensor& mask, double scale) {
  const Tensor y = empty_like(x);
  visit_floating(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* in = x.raw<T>();
    const uint8_t* kept = mask.raw<uint8_t>();
    T* out = y.raw<T>();
    const T factor = static_cast<T>(scale);
    parallel_for(x.numel(), 8 * kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = kept[i] ? in[i] * factor : T{0};
    });
  });
  return record<DropoutNode>(y, {x}, mask, scale);
}

/// 0 with probability p, else 1: every random number of 64 bits decides on two elements.
Tensor draw_mask(const Tensor& x, double p) {
  const Tensor mask = empty(x.shape(), DType::u8, x.order());
  Generator& generator = default_generator();
  const Generator::State state = generator.state();
  const int64_t pairs = (x.numel() + 1) / 2;
  const uint64_t first = generator.reserve(pairs);
  const auto threshold = static_cast<uint64_t>(p * 0x1p32);
  uint8_t* kept = mask.raw<uint8_t>();
  const int64_t count = x.numel();
  parallel_for(pairs, kGrain, [&](int64_t begin, int64_t end) {
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
  const ProfilerRange range("dropout", x);
  if (!(p >= 0 && p <= 1)) fail("dropout", "p is ", p, ", want 0 to 1");
  if (!is_floating(x.dtype())) {
    fail("dropout", "x is ", x, ", want f32 or f64: convert with .to(DType::f32)");
  }
  if (!training || p == 0) return x;
  return masked_scale(x, draw_mask(x, p), 1 / (1 - p));
}

}  // namespace tern
