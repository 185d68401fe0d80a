// SPDX-License-Identifier: Apache-2.0
// scaled_dot_product_attention, and the forms of it that modules use.
#include <tern/ops/internal/attention.h>

#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Doubles = std::vector<double>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Doubles list(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

/// Number by number, as the formula says. `mask` [L, S] is added.
Tensor by_hand(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask = {},
               double scale = 0) {
  const Tensor scores =
      matmul(q, transpose(k, -2, -1)) * (scale != 0 ? scale : 1 / std::sqrt(q.size(-1)));
  return matmul(softmax(mask.defined() ? scores + mask : scores, -1), v);
}

Tensor causal(int64_t rows, int64_t columns) {
  return triu(full({rows, columns}, -kInfinity, DType::f64), 1);
}

TEST(Attention, IsWhatItsDefinitionSays) {
  for (const Shape& leading : {Shape{}, Shape{3}, Shape{2, 3}, Shape{2, 1, 3}}) {
    const auto make = [&](int64_t rows, int64_t width, uint64_t seed) {
      std::vector<int64_t> sizes(leading.begin(), leading.end());
      sizes.push_back(rows);
      sizes.push_back(width);
      return values(Shape(sizes), seed);
    };
    const Tensor q = make(5, 4, 1), k = make(7, 4, 2), v = make(7, 6, 3);
    expect_close(scaled_dot_product_attention(q, k, v), by_hand(q, k, v), 1e-14);
    expect_close(scaled_dot_product_attention(q, k, v, {}, {.is_causal = true, .scale = 0.3}),
                 by_hand(q, k, v, causal(5, 7), 0.3), 1e-14);
    const Tensor added = values({5, 7}, 4), allowed = gt(added, 0.0);
    const Tensor blocked = where(allowed, zeros({}, DType::f64), -kInfinity);
    expect_close(scaled_dot_product_attention(q, k, v, added), by_hand(q, k, v, added), 1e-14);
    expect_close(scaled_dot_product_attention(q, k, v, allowed), by_hand(q, k, v, blocked), 1e-14);
    expect_close(scaled_dot_product_attention(q, k, v, added, {.is_causal = true}),
                 by_hand(q, k, v, added + causal(5, 7)), 1e-14);
  }
}

TEST(Attention, MasksBroadcast) {
  const Tensor q = values({2, 3, 4, 5}, 1), k = values({2, 3, 6, 5}, 2),
               v = values({2, 3, 6, 2}, 3);
  for (const Shape& shape :
       {Shape{6}, Shape{4, 1}, Shape{1, 1, 6}, Shape{3, 1, 6}, Shape{2, 1, 1, 6}, Shape{2, 1, 4, 6},
        Shape{1, 3, 4, 6}, Shape{2, 3, 4, 6}}) {
    const Tensor mask = values(shape, 4);
    expect_close(scaled_dot_product_attention(q, k, v, mask), by_hand(q, k, v, mask), 1e-14);
    const auto lift = [](const Tensor& x) { return unsqueeze(x, 1); };
    const Tensor deep = shape.size() == 4 ? lift(mask) : mask;
    if (shape.size() == 3) continue;  // another axis
    expect_close(scaled_dot_product_attention(lift(q), lift(k), lift(v), deep),
                 lift(by_hand(q, k, v, mask)), 1e-14);
  }
}

TEST(Attention, Gradients) {
  const Inputs x{leaf({2, 2, 3, 2}, 1), leaf({2, 2, 4, 2}, 2), leaf({2, 2, 4, 3}, 3)};
  expect_gradients(
      [](const Inputs& in) { return scaled_dot_product_attention(in[0], in[1], in[2]); }, x);
  expect_gradients(
      [](const Inputs& in) {
        return scaled_dot_product_attention(in[0], in[1], in[2], {}, {.is_causal = true});
      },
      x);
  // The second query may use nothing.
  const Tensor allowed = reshape(tensor(std::vector<bool>{true, true, false, true, false, false,
                                                          false, false, false, true, true, true},
                                        {3, 4}),
                                 {1, 1, 3, 4});
  expect_gradients(
      [&](const Inputs& in) { return scaled_dot_product_attention(in[0], in[1], in[2], allowed); },
      x);
  // Of the mask as well.
  expect_gradients(
      [](const Inputs& in) { return scaled_dot_product_attention(in[0], in[1], in[2], in[3]); },
      {x[0], x[1], x[2], leaf({3, 4}, 4)});
  expect_gradients(
      [](const Inputs& in) {
        manual_seed(5);
        return scaled_dot_product_attention(in[0], in[1], in[2], {}, {.dropout_p = 0.4});
      },
      x);
}

TEST(Attention, AWrongGradientIsRejected) {
  const Inputs x{leaf({3, 2}, 1), leaf({4, 2}, 2), leaf({4, 3}, 3)};
  expect_rejected(
      [](const Inputs& in) {
        const Tensor y = scaled_dot_product_attention(in[0], in[1], in[2]);
        return with_backward(y, in, [=](const Tensor& dy) {
          const Tensor p = softmax(matmul(in[0], transpose(in[1], 0, 1)) / std::sqrt(2.0), 1);
          const Tensor ds = p * matmul(dy, transpose(in[2], 0, 1)) / std::sqrt(2.0);  // no sum
          return Gradients{matmul(ds, in[1]), matmul(transpose(ds, 0, 1), in[0]),
                           matmul(transpose(p, 0, 1), dy)};
        });
      },
      x);
}

TEST(Attention, FloatFollowsDouble) {
  // Lengths within a tile, of several tiles with rests, and more keys than queries and fewer.
  for (const auto& [rows, columns] : {std::pair{5, 7}, {70, 300}, {130, 70}}) {
    const Inputs x{leaf({1, 2, rows, 9}, 1), leaf({1, 2, columns, 9}, 2),
                   leaf({1, 2, columns, 5}, 3)};
    for (const bool is_causal : {false, true}) {
      expect_f32_follows_f64(
          [=](const Inputs& in) {
            return scaled_dot_product_attention(in[0], in[1], in[2], {}, {.is_causal = is_causal});
          },
          x, 2e-5);
    }
    const Tensor added = values({2, 1, columns}, 4), allowed = gt(values({rows, columns}, 5), 1.0);
    expect_f32_follows_f64(
        [=](const Inputs& in) {
          return scaled_dot_product_attention(in[0], in[1], in[2], added.to(in[0].dtype()));
        },
        x, 2e-5);
    expect_f32_follows_f64(
        [=](const Inputs& in) {
          manual_seed(8);
          return scaled_dot_product_attention(in[0], in[1], in[2], allowed, {.dropout_p = 0.3});
        },
        x, 2e-5);
  }
}

TEST(Attention, QueriesWithoutKeysGiveZeros) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor q = leaf({2, 3}, 1).detach().to(dtype).set_requires_grad();
    const Tensor k = values({300, 3}, 2).to(dtype), v = values({300, 2}, 3).to(dtype);
    const Tensor rows = tensor(std::vector<bool>{false, true}, {2, 1});
    const Tensor added = where(rows, zeros({}, dtype), -kInfinity);
    for (const Tensor& mask : {rows, added}) {
      const Tensor y = scaled_dot_product_attention(q, k, v, mask);
      EXPECT_EQ(list(y[0]), (Doubles{0, 0}));
      expect_close(y[1], by_hand(q, k, v)[1].detach(), 1e-6);
      const Tensor g = grad(sum(square(y)), {q}, {.create_graph = true})[0];
      EXPECT_EQ(list(g[0]), (Doubles{0, 0, 0}));
      EXPECT_FALSE(any(isnan(g)).item<bool>());
      const Tensor plain = grad(sum(square(scaled_dot_product_attention(q, k, v, mask))), {q})[0];
      expect_close(plain, g.detach(), 1e-6);
    }
    // No keys at all.
    const Tensor none = scaled_dot_product_attention(q, zeros({0, 3}, dtype), zeros({0, 4}, dtype));
    EXPECT_EQ(list(none), Doubles(8, 0));
    EXPECT_EQ(list(grad(sum(none), {q})[0]), Doubles(6, 0));
  }
}

TEST(Attention, LargeScoresAndNaN) {
  const Tensor q = full({1, 1}, 1e4), k = tensor(Doubles{1, 0.5, -1}, {3, 1}).to(DType::f32);
  const Tensor v = tensor(Doubles{1, 2, 3}, {3, 1}).to(DType::f32);
  EXPECT_EQ(list(scaled_dot_product_attention(q, k, v)), Doubles{1});
  // The largest comes in a later tile.
  const Tensor many = cat({zeros({600, 1}), ones({1, 1}), zeros({3, 1})});
  EXPECT_EQ(list(scaled_dot_product_attention(q, many, many)), Doubles{1});
  Tensor bad = zeros({3, 1});
  bad.data<float>()[1] = NAN;
  const Doubles y = list(scaled_dot_product_attention(bad, many, many));
  EXPECT_FALSE(std::isnan(y[0]));
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_FALSE(std::isnan(y[2]));
}

TEST(Attention, DropoutDropsTheFractionAndKeepsTheMean) {
  manual_seed(3);
  const Tensor q = zeros({200, 4}), k = zeros({100, 4}), v = ones({100, 1});
  const Doubles y = list(scaled_dot_product_attention(q, k, v, {}, {.dropout_p = 0.25}));
  double sum = 0;
  for (const double value : y) sum += value;
  EXPECT_NEAR(sum / 200, 1, 0.02);
  EXPECT_NE(y[0], y[1]);
  manual_seed(3);
  EXPECT_EQ(list(scaled_dot_product_attention(q, k, v, {}, {.dropout_p = 0.25})), y);
}

/// The number of elements of the largest tensor that is made.
class Largest final : public OpListener {
 public:
  void note(const OpCall*, const OpNote& note) noexcept override {
    if (note.what == OpNote::What::makes) numel = std::max(numel, note.tensor->numel());
  }
  int64_t numel = 0;
};

TEST(Attention, KeepsNoScores) {
  const Tensor q = randn({1, 2, 700, 8}).set_requires_grad();
  Largest largest;
  const OpListening listening(largest);
  const int64_t before = counters().bytes_in_use;
  const Tensor y = scaled_dot_product_attention(q, q, q, {}, {.dropout_p = 0.1, .is_causal = true});
  EXPECT_LT(counters().bytes_in_use - before, 2 * 700 * 8 * 4 * 2) << "the result, and a sum each";
  y.backward(ones(y.shape()));
  EXPECT_EQ(largest.numel, q.numel());
}

TEST(Attention, TheSameBitsForAnyNumberOfThreads) {
  manual_seed(1);
  const Tensor x = randn({3, 2, 150, 16});
  expect_thread_invariant([&] {
    const Tensor q = x.detach().clone().set_requires_grad();
    const Tensor y = scaled_dot_product_attention(q, q * 0.5, q + 1.0, {}, {.is_causal = true});
    y.backward(values(y.shape(), 2).to(DType::f32));
    return cat({y.detach(), q.grad()});
  });
}

TEST(Attention, OfHeadsSideBySide) {
  const int64_t n = 2, rows = 5, columns = 7, heads = 3, width = 4;
  const auto split_heads = [&](const Tensor& x, bool batch_first, int64_t length) {
    if (batch_first) return permute(reshape(x, {n, length, heads, -1}), {0, 2, 1, 3});
    return permute(reshape(x, {length, n, heads, -1}), {1, 2, 0, 3});
  };
  for (const bool batch_first : {true, false}) {
    const auto axes = batch_first ? SequenceAxes::batch_first : SequenceAxes::sequence_first;
    const auto make = [&](int64_t length, int64_t features, uint64_t seed) {
      return leaf(batch_first ? Shape{n, length, features} : Shape{length, n, features}, seed);
    };
    const auto join = [&](const Tensor& y) {
      return batch_first ? reshape(permute(y, {0, 2, 1, 3}), {n, rows, -1})
                         : reshape(permute(y, {2, 0, 1, 3}), {rows, n, -1});
    };
    const Tensor mask = gt(values({n, 1, 1, columns}, 9), 0.0);
    const auto apart = [&](const Inputs& x) {
      return attention_of_heads(x[0], x[1], x[2], heads, axes, mask, {});
    };
    const auto by_parts = [&](const Inputs& x) {
      return join(scaled_dot_product_attention(split_heads(x[0], batch_first, rows),
                                               split_heads(x[1], batch_first, columns),
                                               split_heads(x[2], batch_first, columns), mask));
    };
    const Inputs x{make(rows, heads * width, 1), make(columns, heads * width, 2),
                   make(columns, heads * 2, 3)};
    const auto packed = [&](const Inputs& in) {
      return attention_of_heads(in[0], {}, {}, heads, axes, {}, {.is_causal = true});
    };
    const auto unpacked = [&](const Inputs& in) {
      const auto parts = split(in[0], heads * width, 2);
      return join(scaled_dot_product_attention(
          split_heads(parts[0], batch_first, rows), split_heads(parts[1], batch_first, rows),
          split_heads(parts[2], batch_first, rows), {}, {.is_causal = true}));
    };
    const Inputs one{make(rows, 3 * heads * width, 4)};
    const auto same = [](const Function& f, const Function& g, const Inputs& in) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        const auto format = MemoryFormat::row_major;
        const Results a = run(f, in, dtype, format, format), b = run(g, in, dtype, format, format);
        const double tolerance = dtype == DType::f32 ? 2e-6 : 1e-14;
        expect_close(a.y, b.y, tolerance);
        for (size_t i = 0; i < in.size(); ++i)
          expect_close(a.gradients[i], b.gradients[i], tolerance);
      }
      EXPECT_NO_THROW(gradgradcheck(f, in));
    };
    same(apart, by_parts, x);
    same(packed, unpacked, one);
    const auto [y, weights] = attention_with_weights(x[0], x[1], x[2], heads, axes, mask, {});
    expect_close(y, apart(x), 1e-14);
    EXPECT_EQ(weights.shape(), (Shape{n, heads, rows, columns}));
    expect_close(sum(weights, 3), ones({n, heads, rows}), 1e-14);
  }
}

TEST(Attention, Errors) {
  const Tensor q = zeros({2, 3, 4}), k = zeros({2, 5, 4}), v = zeros({2, 5, 6});
  const auto attend = [](auto... arguments) {
    return [=] { scaled_dot_product_attention(arguments...); };
  };
  expect_error(attend(q, zeros({2, 5, 3}), v),
               {"[scaled_dot_product_attention]", "f32[2,5,3]", "[..., S, E]"});
  expect_error(attend(q, k, zeros({2, 4, 6})), {"f32[2,4,6]"});
  expect_error(attend(q, zeros({1, 5, 4}), v), {"leading axes"});
  expect_error(attend(zeros({4}), zeros({4}), zeros({4})), {"f32[4]"});
  expect_error(attend(q, k.to(DType::f64), v), {"k is f64", "q is f32"});
  expect_error(attend(q, k, v, zeros({3, 4})), {"attn_mask is f32[3,4]", "[2,3,5]"});
  expect_error(attend(q, k, v, zeros({1, 2, 3, 5})), {"attn_mask is f32[1,2,3,5]"});
  expect_error(attend(q, k, v, zeros({3, 5}, DType::f64)), {"f64[3,5]", "bool"});
  expect_error(attend(q, k, v, Tensor(), AttentionOptions{.dropout_p = 1}), {"dropout_p is 1"});
}

}  // namespace
}  // namespace tern
