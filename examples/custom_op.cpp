// SPDX-License-Identifier: Apache-2.0
// Your own differentiable function, outside the library: soft_relu(x) = log(1 + exp(x)), with a
// backward pass that is exact where the formula overflows.
#include <tern/tern.h>

#include <cmath>
#include <cstdio>

using namespace tern;

namespace {

// The backward pass, written with operations, so that it can be differentiated in turn.
class SoftRelu final : public Node {
 public:
  explicit SoftRelu(const Tensor& x) : x_(this, x) {}
  const char* name() const override { return "soft_relu"; }
  Gradients backward(const Tensor& dy) override { return {dy * sigmoid(x_.get())}; }

 private:
  Saved x_;
};

template <class T>
void softplus_of(const Tensor& x, const Tensor& y) {
  // Elementwise, so any memory format will do as long as both have the same.
  const T* in = x.raw<T>();
  T* out = y.raw<T>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    out[i] = std::max(in[i], T{0}) + std::log1p(std::exp(-std::abs(in[i])));
  }
}

Tensor soft_relu(const Tensor& x) {
  if (!is_floating(x.dtype())) {
    fail("soft_relu", "x is ", x, ", want f32 or f64: convert with .to(DType::f32)");
  }
  const Tensor y = empty_like(x);
  if (x.dtype() == DType::f32) {
    softplus_of<float>(x, y);
  } else {
    softplus_of<double>(x, y);
  }
  return record<SoftRelu>(y, {x}, x);
}

}  // namespace

int main() {
  manual_seed(0);
  const Tensor x = randn({4, 5}, DType::f64).set_requires_grad();
  const auto f = [](const std::vector<Tensor>& inputs) { return soft_relu(inputs[0]); };
  gradcheck(f, {x});
  gradgradcheck(f, {x});
  std::printf("the gradient and its gradient agree with finite differences\n");

  // As part of a larger computation.
  const Tensor big = tensor(std::vector<float>{-1000, 0, 1000}, {3}).set_requires_grad();
  sum(soft_relu(big) * 2.0).backward();
  std::printf("soft_relu %s\n", to_string(soft_relu(big)).c_str());
  std::printf("gradient %s\n", to_string(big.grad()).c_str());
  return big.grad().to_vector<float>() == std::vector<float>{0, 1, 2} ? 0 : 1;
}
