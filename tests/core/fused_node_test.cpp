// SPDX-License-Identifier: Apache-2.0
// FusedNode: which derivatives come from the kernel, and which from the composition.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <cmath>
#include <memory>
#include <vector>

#include "support.h"

using namespace tern;

namespace {

int kernel_calls = 0;

/// y = a^2 b. It keeps its inputs.
class ProductNode final : public FusedNode {
 public:
  ProductNode(const Tensor& a, const Tensor& b) : a_(this, a), b_(this, b) {}
  const char* name() const override { return "product"; }

 private:
  Gradients fused(const Tensor& dy) override {
    ++kernel_calls;
    const Tensor a = a_.get(), b = b_.get();
    return {needs(0) ? 2.0 * a * b * dy : Tensor(), needs(1) ? a * a * dy : Tensor()};
  }
  std::vector<Tensor> saved() override { return {a_.get(), b_.get()}; }
  Tensor compose(const std::vector<Tensor>& x) override { return x[0] * x[0] * x[1]; }
  Saved a_, b_;
};

Tensor product(const Tensor& a, const Tensor& b) {
  return record<ProductNode>(a.detach() * a.detach() * b.detach(), {a, b}, a, b);
}

/// y = e^x. It keeps its result alone.
class ExpNode final : public FusedNode {
 public:
  explicit ExpNode(const Tensor& y) : y_(this, y, Saved::Role::output) {}
  const char* name() const override { return "my_exp"; }

 private:
  Gradients fused(const Tensor& dy) override { return {y_.get() * dy}; }
  std::vector<Tensor> saved() override {
    const Tensor y = y_.get();
    return {zeros_like(y), y};
  }
  Tensor compose(const std::vector<Tensor>& s) override { return s[1] * exp(s[0]); }
  Saved y_;
};

Tensor my_exp(const Tensor& x) {
  const Tensor y = exp(x.detach());
  return record<ExpNode>(y, {x}, y);
}

/// a b and a^2.
class ProductAndSquareNode final : public FusedMultiNode {
 public:
  ProductAndSquareNode(const Tensor& a, const Tensor& b) : a_(this, a), b_(this, b) {}
  const char* name() const override { return "product_and_square"; }

 private:
  Gradients fused(std::span<const Tensor> dys) override {
    ++kernel_calls;
    const Tensor a = a_.get(), b = b_.get(), zero = zeros_like(a);
    const Tensor dp = dys[0].defined() ? dys[0] : zero, ds = dys[1].defined() ? dys[1] : zero;
    return {dp * b + 2.0 * ds * a, dp * a};
  }
  std::vector<Tensor> saved() override { return {a_.get(), b_.get()}; }
  std::vector<Tensor> compose(const std::vector<Tensor>& x) override {
    return {x[0] * x[1], x[0] * x[0]};
  }
  Saved a_, b_;
};

std::vector<Tensor> product_and_square(const Tensor& a, const Tensor& b) {
  std::vector<Tensor> ys{a.detach() * b.detach(), a.detach() * a.detach()};
  return record<ProductAndSquareNode>(std::move(ys), {a, b}, a, b);
}

Tensor leaf(double value) { return full({1}, value, DType::f64).set_requires_grad(); }

Tensor derivative(const Tensor& y, const Tensor& x) {
  return grad(y, {x}, {.create_graph = true})[0];
}

}  // namespace

TEST(FusedNode, ThePlainPassRunsTheKernelAndARecordedOneTheComposition) {
  const Tensor a = leaf(3), b = leaf(5);
  kernel_calls = 0;
  product(a, b).backward();
  EXPECT_EQ(kernel_calls, 1);
  EXPECT_EQ(a.grad().item<double>(), 30);
  EXPECT_EQ(b.grad().item<double>(), 9);

  kernel_calls = 0;
  const Tensor da = derivative(product(a, b), a);
  EXPECT_EQ(da.item<double>(), 30);
  EXPECT_EQ(derivative(da, a).item<double>(), 10);
  EXPECT_EQ(derivative(derivative(da, a), b).item<double>(), 2);
  EXPECT_EQ(kernel_calls, 0);
}

TEST(FusedNode, DerivativesOfEveryOrderWhereTheResultIsWhatWasKept) {
  const Tensor x = leaf(0.5);
  Tensor y = my_exp(2.0 * x);
  for (int order = 0; order < 5; ++order) {
    EXPECT_NEAR(y.item<double>(), std::pow(2, order) * std::exp(1.0), 1e-12) << order;
    y = derivative(y, x);
  }
}

// The inputs of the node hang together: each derivative is a partial one.
TEST(FusedNode, AnInputMayBeMadeFromAnother) {
  const Tensor x = leaf(2);
  const Tensor y = product(x, my_exp(x));  // x^2 e^x
  const Tensor dy = derivative(y, x);
  EXPECT_NEAR(dy.item<double>(), 8 * std::exp(2.0), 1e-12);
  EXPECT_NEAR(derivative(dy, x).item<double>(), 14 * std::exp(2.0), 1e-11);
  const Tensor square = product(x, x);
  EXPECT_EQ(derivative(square, x).item<double>(), 12);
  EXPECT_EQ(derivative(derivative(derivative(square, x), x), x).item<double>(), 6);
}

TEST(FusedNode, NothingIsComputedForAnInputThatNobodyAsksFor) {
  const Tensor a = leaf(3), b = full({1}, 5, DType::f64);
  const Tensor da = derivative(product(a, b), a);
  EXPECT_EQ(derivative(da, a).item<double>(), 10);
  const Tensor c = leaf(2);
  EXPECT_EQ(derivative(product(a, c), c).item<double>(), 9);
}

// A composition sees the graph before it only when it is done: a long chain stays linear, and what
// it records goes with the results.
TEST(FusedNode, LongChainsAndTheEndOfTheirGraphs) {
  const Tensor x = leaf(1e-3);
  Tensor y = x;
  for (int i = 0; i < 2000; ++i) y = my_exp(y * 1e-3) - 1.0;
  EXPECT_TRUE(std::isfinite(derivative(derivative(y, x), x).item<double>()));

  std::weak_ptr<Node> node;
  {
    const Tensor a = leaf(1), z = my_exp(product(a, leaf(2)));
    node = z.node();
    EXPECT_TRUE(derivative(derivative(z, a), a).requires_grad());
  }
  EXPECT_TRUE(node.expired());
}

TEST(FusedMultiNode, DerivativesOfOneResultAndOfAll) {
  const Tensor a = leaf(3), b = leaf(5);
  kernel_calls = 0;
  const std::vector<Tensor> ys = product_and_square(a, b);
  (ys[0] * ys[1]).backward();  // a^3 b
  EXPECT_EQ(kernel_calls, 1);
  EXPECT_EQ(a.grad().item<double>(), 135);
  EXPECT_EQ(b.grad().item<double>(), 27);

  kernel_calls = 0;
  const std::vector<Tensor> again = product_and_square(a, b);
  const Tensor da = derivative(again[0] * again[1], a);
  EXPECT_EQ(da.item<double>(), 135);
  const Tensor dda = derivative(da, a);
  EXPECT_EQ(dda.item<double>(), 90);
  EXPECT_EQ(derivative(da, b).item<double>(), 27);
  EXPECT_EQ(derivative(dda, b).item<double>(), 18);
  const Tensor square = product_and_square(a, b)[1];
  EXPECT_EQ(derivative(derivative(square, a), a).item<double>(), 2);
  EXPECT_EQ(kernel_calls, 0);
}

TEST(FusedMultiNode, NumericalDerivatives) {
  const auto f = [](const std::vector<Tensor>& x) {
    const std::vector<Tensor> ys = product_and_square(x[0], my_exp(x[1]));
    return ys[0] * ys[1] + ys[1];
  };
  EXPECT_TRUE(gradcheck(f, {leaf(0.7), leaf(0.3)}));
  EXPECT_TRUE(gradgradcheck(f, {leaf(0.7), leaf(0.3)}));
}
