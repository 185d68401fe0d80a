// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/core/autograd.h>
#include <tern/core/counters.h>
#include <tern/core/error.h>
#include <tern/core/gradcheck.h>
#include <tern/core/random.h>
#include <tern/core/threads.h>
#include <tern/ops/arithmetic.h>
#include <tern/ops/backend.h>
#include <tern/ops/indexing.h>
#include <tern/ops/matmul.h>
#include <tern/ops/movement.h>
#include <tern/ops/reduce.h>

#include <cmath>
#include <vector>

#include "support.h"

using namespace tern;
using tern::gradcheck;
using tern::gradgradcheck;

using tern::test::checksum;
using tern::test::message_of;
using tern::test::pattern;
using tern::test::relative_distance;
using tern::test::same_bits;

namespace {

Tensor leaf(const Shape& shape) { return randn(shape, DType::f64).set_requires_grad(); }

struct Results {
  Tensor y;
  std::vector<Tensor> gradients;
};

using Function = tern::GradcheckFunction;

Results run(const Function& f, const std::vector<Tensor>& inputs, const Tensor& dy) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : inputs) leaves.push_back(x.detach().set_requires_grad());
  const Tensor y = f(leaves);
  y.backward(dy);
  Results results{y, {}};
  for (const Tensor& x : leaves) results.gradients.push_back(x.grad());
  return results;
}

const Function kMatmul = [](const std::vector<Tensor>& in) { return matmul(in[0], in[1]); };
const Function kLinear = [](const std::vector<Tensor>& in) {
  return linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor());
};

struct Operands {
  Shape a, b, y;
};

const std::vector<Operands> kOperands = {
    {{3, 4}, {4, 5}, {3, 5}},          {{4}, {4}, {}},
    {{2, 3, 4}, {4}, {2, 3}},          {{4}, {4, 3}, {3}},
    {{4}, {2, 4, 3}, {2, 3}},          {{2, 1, 3, 4}, {5, 4, 2}, {2, 5, 3, 2}},
    {{5, 3, 4}, {4, 2}, {5, 3, 2}},    {{3, 4}, {2, 4, 2}, {2, 3, 2}},
    {{2, 3, 4}, {2, 4, 2}, {2, 3, 2}}, {{2, 1, 3, 4}, {1, 3, 4, 2}, {2, 3, 3, 2}},
    {{1, 1}, {1, 1}, {1, 1}},
};

}  // namespace

// Sums computed with PyTorch 1.13 (torch.matmul and its backward).
TEST(Matmul, AgreesWithPyTorch) {
  struct Known {
    Shape a, b, y;
    double sum_y, sum_da, sum_db;
  };
  const Known cases[] = {
      {{3, 4}, {4, 5}, {3, 5}, -459, 260, -1476},
      {{4}, {4}, {}, -72, -96, -312},
      {{2, 3, 4}, {4}, {2, 3}, -100, -109, -399},
      {{4}, {2, 4, 3}, {2, 3}, 31, 116, -1031},
      {{2, 1, 3, 4}, {5, 4, 2}, {2, 5, 3, 2}, 978, -709, 930},
      {{5, 3, 4}, {4, 2}, {5, 3, 2}, 218, -773, 105},
      {{3, 4}, {2, 4, 2}, {2, 3, 2}, 280, 14, 395},
      {{2, 1, 3, 4}, {1, 3, 4, 2}, {2, 3, 3, 2}, -325, 653, 114},
  };
  for (const Known& known : cases) {
    for (const DType dtype : {DType::f64, DType::f32}) {
      const Results r =
          run(kMatmul, {pattern(known.a, 7, 11, 5).to(dtype), pattern(known.b, 5, 7, 3).to(dtype)},
              pattern(known.y, 3, 17, 8).to(dtype));
      EXPECT_EQ(r.y.shape(), known.y);
      EXPECT_EQ(checksum(r.y), known.sum_y);
      EXPECT_EQ(checksum(r.gradients[0]), known.sum_da);
      EXPECT_EQ(checksum(r.gradients[1]), known.sum_db);
    }
  }
}

TEST(Matmul, GradientIsRight) {
  manual_seed(1);
  for (const Operands& operands : kOperands) {
    EXPECT_TRUE(gradcheck(kMatmul, {leaf(operands.a), leaf(operands.b)}));
  }
}

TEST(Matmul, GradientOfTheGradientIsRight) {
  manual_seed(2);
  for (const Operands& operands : kOperands) {
    EXPECT_TRUE(gradgradcheck(kMatmul, {leaf(operands.a), leaf(operands.b)}));
  }
}

TEST(Matmul, ThirdDerivativeIsRight) {
  manual_seed(3);
  // Reaches the gradients of the products with a transposed operand.
  const auto f = [](const std::vector<Tensor>& in) {
    const Tensor y = matmul(in[0], in[1]);
    const auto first = grad(sum(y * y * y), {in[0], in[1]}, {.create_graph = true});
    const Tensor z = matmul(first[1], first[0]);
    const auto second = grad(sum(z * z), {in[0], in[1]}, {.create_graph = true});
    return sum(second[0] * second[0]) * 1e-8 + sum(second[1]) * 1e-3;
  };
  EXPECT_TRUE(gradcheck(f, {leaf({2, 3}), leaf({3, 2})}, {.tolerance = 1e-5}));
}

TEST(Linear, GradientsAreRight) {
  manual_seed(4);
  for (const Shape& x : {Shape{5, 3}, Shape{3}, Shape{2, 4, 3}, Shape{1, 2, 2, 3}}) {
    EXPECT_TRUE(gradcheck(kLinear, {leaf(x), leaf({4, 3})}));
    EXPECT_TRUE(gradcheck(kLinear, {leaf(x), leaf({4, 3}), leaf({4})}));
    EXPECT_TRUE(gradgradcheck(kLinear, {leaf(x), leaf({4, 3}), leaf({4})}));
  }
}

TEST(Linear, IsTheProductWithTheTransposedWeightPlusBias) {
  manual_seed(5);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = randn({2, 6, 7}, dtype);
    const Tensor w = randn({5, 7}, dtype);
    const Tensor b = randn({5}, dtype);
    EXPECT_LT(relative_distance(linear(x, w, b), matmul(x, transpose(w, 0, 1)) + b), 1e-6);
    EXPECT_EQ(linear(x, w, b).shape(), Shape({2, 6, 5}));
    EXPECT_EQ(linear(reshape(slice(x, 0, 0, 1), {6, 7}), w).shape(), Shape({6, 5}));
  }
}

TEST(Linear, ChannelsLastInputIsReadInLogicalOrder) {
  manual_seed(6);
  const Tensor x = randn({2, 3, 4, 5});
  const Tensor w = randn({6, 5});
  const Tensor y = linear(to_memory_format(x, MemoryFormat::channels_last), w);
  EXPECT_LT(relative_distance(y, linear(x, w)), 1e-30);
  EXPECT_LT(relative_distance(
                matmul(to_memory_format(x, MemoryFormat::channels_last), transpose(w, 0, 1)), y),
            1e-6);
}

namespace {
enum class Mutation { none, scaled, forgets_transpose, no_bias };

class MutantLinear final : public Node {
 public:
  MutantLinear(const Tensor& x, const Tensor& w, Mutation mutation)
      : x_(this, x), w_(this, w), mutation_(mutation) {}
  const char* name() const override { return "mutant linear"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor w = w_.get();
    const Tensor dx = matmul(dy, mutation_ == Mutation::forgets_transpose ? transpose(w, 0, 1) : w);
    const Tensor dw = matmul(transpose(dy, 0, 1), x_.get());
    return {mutation_ == Mutation::scaled ? dx * 1.001 : dx, dw,
            mutation_ == Mutation::no_bias ? Tensor() : sum(dy, {0})};
  }

 private:
  Saved x_, w_;
  Mutation mutation_;
};

bool check_mutant(Mutation mutation) {
  manual_seed(7);
  const auto f = [&](const std::vector<Tensor>& in) {
    const Tensor y = linear(in[0].detach(), in[1].detach(), in[2].detach());
    return record<MutantLinear>(y, {in[0], in[1], in[2]}, in[0], in[1], mutation);
  };
  return gradcheck(f, {leaf({2, 3}), leaf({3, 3}), leaf({3})});
}

}  // namespace

TEST(Linear, WrongBackwardIsRejected) {
  EXPECT_TRUE(check_mutant(Mutation::none));
  EXPECT_THROW(check_mutant(Mutation::scaled), Error);
  EXPECT_THROW(check_mutant(Mutation::forgets_transpose), Error);
  EXPECT_THROW(check_mutant(Mutation::no_bias), Error);
}

TEST(Matmul, FastKernelsAgreeWithTheReference) {
  manual_seed(8);
  const Operands operands[] = {
      {{17, 33}, {33, 5}, {17, 5}},
      {{1, 300}, {300, 1}, {1, 1}},
      {{130, 70}, {70, 260}, {130, 260}},
      {{300, 200}, {200, 300}, {300, 300}},
      {{600, 3}, {3, 5}, {600, 5}},
      {{40, 9, 17}, {40, 17, 8}, {40, 9, 8}},
      {{3, 1, 9, 17}, {4, 17, 8}, {3, 4, 9, 8}},
      {{9, 17}, {4, 17, 8}, {4, 9, 8}},
      {{4, 260, 90}, {4, 90, 200}, {4, 260, 200}},
  };
  const auto reference = [](const Function& f, const std::vector<Tensor>& inputs,
                            const Tensor& dy) {
    const ReferenceKernels kernels;
    return run(f, inputs, dy);
  };
  const auto expect_near = [](const Results& found, const Results& exact, double bound) {
    EXPECT_LT(relative_distance(found.y, exact.y), bound);
    ASSERT_EQ(found.gradients.size(), exact.gradients.size());
    for (size_t i = 0; i < exact.gradients.size(); ++i) {
      EXPECT_LT(relative_distance(found.gradients[i], exact.gradients[i]), bound);
    }
  };
  const auto expect_agreement = [&](const Function& f, const std::vector<Tensor>& inputs,
                                    const Tensor& dy) {
    std::vector<Tensor> doubles;
    for (const Tensor& x : inputs) doubles.push_back(x.to(DType::f64));
    const Results exact = reference(f, doubles, dy.to(DType::f64));
    expect_near(run(f, doubles, dy.to(DType::f64)), exact, 2e-15);
    expect_near(run(f, inputs, dy), exact, 2e-6);
    expect_near(reference(f, inputs, dy), exact, 2e-6);
  };
  for (const Operands& o : operands) {
    expect_agreement(kMatmul, {randn(o.a), randn(o.b)}, randn(o.y));
  }
  expect_agreement(kLinear, {randn({50, 33}), randn({20, 33}), randn({20})}, randn({50, 20}));
}

TEST(Matmul, BitsDoNotDependOnTheNumberOfThreads) {
  manual_seed(9);
  const int before = num_threads();
  const Operands operands[] = {
      {{3000, 64}, {64, 1}, {3000, 1}},          {{64, 500}, {500, 2}, {64, 2}},
      {{64, 4000}, {4000, 48}, {64, 48}},        {{600, 500}, {500, 300}, {600, 300}},
      {{6, 30, 500}, {6, 500, 20}, {6, 30, 20}}, {{1, 700}, {700, 513}, {1, 513}},
      {{33, 2000}, {2000, 33}, {33, 33}},  // whose last piece must not be a single row
  };
  const auto same = [](const Tensor& x, const Tensor& y) {
    return x.dtype() == DType::f64 ? same_bits<double>(x, y) : same_bits<float>(x, y);
  };
  for (const Operands& o : operands) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor a = randn(o.a, dtype), b = randn(o.b, dtype), dy = randn(o.y, dtype);
      set_num_threads(1);
      const Results one = run(kMatmul, {a, b}, dy);
      for (const int threads : {2, 3, 16}) {
        set_num_threads(threads);
        const Results many = run(kMatmul, {a, b}, dy);
        EXPECT_TRUE(same(one.y, many.y)) << o.y << " " << threads;
        EXPECT_TRUE(same(one.gradients[0], many.gradients[0])) << o.a << " " << threads;
        EXPECT_TRUE(same(one.gradients[1], many.gradients[1])) << o.b << " " << threads;
      }
    }
  }
  set_num_threads(before);
}

TEST(Matmul, ARowHasTheSameBitsWhateverStandsBesideIt) {
  manual_seed(10);
  const Tensor x = randn({100, 300}), weight = randn({70, 300}), bias = randn({70});
  const Tensor all = linear(x, weight, bias);
  for (const int64_t rows : {2, 3, 9, 31}) {
    for (const int64_t first : {0, 5, 64}) {
      EXPECT_TRUE(
          same_bits(linear(narrow(x, 0, first, rows), weight, bias), narrow(all, 0, first, rows)))
          << rows << " rows from " << first;
    }
  }
}

TEST(Matmul, NoTransposedCopiesAreMade) {
  const Tensor x = randn({32, 64}).set_requires_grad();
  const Tensor w = randn({48, 64}).set_requires_grad();
  const Tensor dy = randn({32, 48});
  const Tensor y = linear(x, w);
  const int64_t before = counters().allocations;
  y.backward(dy);
  EXPECT_EQ(counters().allocations - before, 2);  // dx and dw
}

TEST(Matmul, EmptyOperands) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor w = randn({4, 3}, dtype).set_requires_grad();
    const Tensor b = randn({4}, dtype).set_requires_grad();
    const Tensor x = zeros({0, 3}, dtype).set_requires_grad();
    const Tensor y = linear(x, w, b);
    EXPECT_EQ(y.shape(), Shape({0, 4}));
    y.backward(zeros({0, 4}, dtype));
    EXPECT_EQ(x.grad().shape(), Shape({0, 3}));
    EXPECT_EQ(sum(w.grad() * w.grad()).to(DType::f64).item<double>(), 0);
    EXPECT_EQ(b.grad().to(DType::f64).to_vector<double>(), std::vector<double>(4, 0.0));
    // A sum over nothing is zero, plus the bias.
    EXPECT_EQ(matmul(zeros({2, 0}, dtype), zeros({0, 3}, dtype)).to(DType::f64).to_vector<double>(),
              std::vector<double>(6, 0.0));
    const Tensor only_bias = linear(zeros({2, 0}, dtype), zeros({4, 0}, dtype), b.detach());
    EXPECT_LT(relative_distance(only_bias, broadcast_to(b.detach(), {2, 4})), 1e-30);
    EXPECT_EQ(matmul(zeros({0, 2, 3}, dtype), zeros({3, 5}, dtype)).shape(), Shape({0, 2, 5}));
    EXPECT_EQ(matmul(zeros({2, 3, 0}, dtype), zeros({0}, dtype)).shape(), Shape({2, 3}));
  }
}

TEST(Matmul, ErrorsSayWhatIsWrong) {
  const auto expect = [](const char* part, const std::function<void()>& f) {
    const std::string message = message_of(f);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('['), 0u) << message;
  };
  const Tensor a = zeros({2, 3});
  expect("[matmul] a has 3 columns, b has 4 rows", [&] { matmul(a, zeros({4, 5})); });
  expect("b has 4 rows", [&] { matmul(a, zeros({4})); });
  expect("scalar", [&] { matmul(a, full({}, 1.0)); });
  expect("want two tensors", [&] { matmul(a, {}); });
  expect("b is f64, a is f32", [&] { matmul(a, zeros({3, 2}, DType::f64)); });
  expect("want f32 or f64", [&] { matmul(zeros({2, 3}, DType::i64), zeros({3, 2}, DType::i64)); });
  expect("[matmul]", [&] { matmul(zeros({2, 2, 3}), zeros({3, 3, 2})); });
  expect("[linear] weight expects 4 features, x has 3", [&] { linear(a, zeros({5, 4})); });
  expect("weight [out, in]", [&] { linear(a, zeros({3})); });
  expect("bias is f32[2]", [&] { linear(a, zeros({5, 3}), zeros({2})); });
  expect("the first tensor is undefined", [&] { linear({}, zeros({5, 3})); });
}
