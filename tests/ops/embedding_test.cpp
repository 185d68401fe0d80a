// SPDX-License-Identifier: Apache-2.0
// Tables of rows: embedding, embedding_bag and their modules. PyTorch's values:
// transformer_test.
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Doubles = std::vector<double>;

Tensor numbers(const std::vector<int64_t>& values, const Shape& shape) {
  return tensor(values, shape);
}
Doubles list(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

/// [[0, 1], [10, 11], [20, 21], [30, 31]]
Tensor table(DType dtype = DType::f64) {
  return tensor(Doubles{0, 1, 10, 11, 20, 21, 30, 31}, {4, 2}).to(dtype);
}

TEST(Embedding, TakesRows) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor y = embedding(numbers({3, 0, 3}, {3, 1}), table(dtype));
    EXPECT_EQ(y.shape(), (Shape{3, 1, 2}));
    EXPECT_EQ(y.dtype(), dtype);
    EXPECT_EQ(list(y), (Doubles{30, 31, 0, 1, 30, 31}));
  }
  EXPECT_EQ(embedding(numbers({2}, {}), table()).shape(), (Shape{2}));
  EXPECT_EQ(embedding(numbers({}, {0, 5}), table()).shape(), (Shape{0, 5, 2}));
}

TEST(Embedding, Gradients) {
  const Tensor ids = numbers({1, 3, 1, 0, 2, 1}, {2, 3});
  expect_gradients([&](const Inputs& x) { return embedding(ids, x[0]); }, {leaf({4, 3}, 1)});
  // Not linear, so that second derivatives are not all zero.
  expect_gradients([&](const Inputs& x) { return square(embedding(ids, x[0])); },
                   {leaf({4, 3}, 1)});
}

TEST(Embedding, TheRowOfThePaddingGetsNoGradient) {
  for (const int64_t padding : {1, -3}) {
    const Tensor w = table().set_requires_grad();
    const Tensor ids = numbers({1, 2, 1, 2}, {4});
    const Tensor y = embedding(ids, w, {.padding_idx = padding});
    EXPECT_EQ(list(y), (Doubles{10, 11, 20, 21, 10, 11, 20, 21}));
    // A second use, whose gradient is added to the first one's.
    (sum(y) + sum(embedding(ids, w) * 10.0)).backward();
    EXPECT_EQ(list(w.grad()), (Doubles{0, 0, 20, 20, 22, 22, 0, 0}));
    const Tensor g = grad(sum(square(embedding(ids, w, {.padding_idx = padding}))), {w},
                          {.create_graph = true})[0];
    EXPECT_EQ(list(g), (Doubles{0, 0, 0, 0, 80, 84, 0, 0}));
    EXPECT_EQ(list(grad(sum(g), {w})[0]), (Doubles{0, 0, 0, 0, 4, 4, 0, 0}));
  }
}

TEST(Embedding, ScalesLongRows) {
  const Tensor w = tensor(Doubles{3, 4, 0.3, 0.4, 6, 8}, {3, 2}).set_requires_grad();
  const Tensor y = embedding(numbers({0, 1, 0}, {3}), w, {.max_norm = 1});
  EXPECT_LT(max_distance(y, tensor(Doubles{0.6, 0.8, 0.3, 0.4, 0.6, 0.8}, {3, 2})), 1e-7);
  EXPECT_LT(max_distance(w, tensor(Doubles{0.6, 0.8, 0.3, 0.4, 6, 8}, {3, 2})), 1e-7)
      << "in place, and only rows that are used";
  const Tensor v = tensor(Doubles{3, -4}, {1, 2});
  embedding(numbers({0}, {1}), v, {.max_norm = 1, .norm_type = 1});
  EXPECT_LT(max_distance(v, tensor(Doubles{3 / 7., -4 / 7.}, {1, 2})), 1e-7);
}

TEST(EmbeddingBag, SumsMeansAndMaxima) {
  const Tensor ids = numbers({1, 3, 0, 2, 2}, {5}), offsets = numbers({0, 2, 2}, {3});
  const auto of = [&](BagMode mode) {
    return list(embedding_bag(ids, table(), offsets, {}, {.mode = mode}));
  };
  EXPECT_EQ(of(BagMode::sum), (Doubles{40, 42, 0, 0, 40, 43}));
  EXPECT_EQ(of(BagMode::mean), (Doubles{20, 21, 0, 0, 40 / 3., 43 / 3.}));
  EXPECT_EQ(of(BagMode::max), (Doubles{30, 31, 0, 0, 20, 21}));
  const Tensor rows = numbers({1, 3, 0, 2}, {2, 2});
  EXPECT_EQ(list(embedding_bag(rows, table())), (Doubles{20, 21, 10, 11}));
  EXPECT_EQ(list(embedding_bag(ids, table(), numbers({0, 2, 5}, {3}), {},
                               {.mode = BagMode::sum, .include_last_offset = true})),
            (Doubles{40, 42, 40, 43}));
  EXPECT_EQ(list(embedding_bag(rows, table(), {}, tensor(Doubles{2, 0.5, 1, -1}, {2, 2}),
                               {.mode = BagMode::sum})),
            (Doubles{35, 37.5, -20, -20}));
  EXPECT_EQ(list(embedding_bag(rows, table(), {}, {}, {.padding_idx = -1})),
            (Doubles{10, 11, 10, 11}));
  EXPECT_EQ(embedding_bag(numbers({}, {0}), table(), numbers({}, {0})).shape(), (Shape{0, 2}));
  EXPECT_EQ(list(embedding_bag(numbers({}, {2, 0}), table())), (Doubles{0, 0, 0, 0}));
}

TEST(EmbeddingBag, NaNIsTheLargest) {
  const Tensor w = tensor(Doubles{1, NAN, 2}, {3, 1});
  for (const auto& ids : {numbers({0, 1, 2}, {1, 3}), numbers({1, 0, 2}, {1, 3})})
    EXPECT_TRUE(std::isnan(list(embedding_bag(ids, w, {}, {}, {.mode = BagMode::max}))[0]));
}

TEST(EmbeddingBag, Gradients) {
  const Tensor ids = numbers({1, 3, 1, 0, 2, 1, 4}, {7}), offsets = numbers({0, 3, 3, 6}, {4});
  for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
    const auto f = [&](const Inputs& x) {
      return square(embedding_bag(ids, x[0], offsets, {}, {.mode = mode}));
    };
    expect_gradients(f, {leaf({5, 3}, 1)});
    // The padding is left out, so that its row may be given.
    const auto padded = [&](const Inputs& x) {
      return square(embedding_bag(ids, cat({x[0], zeros({1, 3}, DType::f64)}), offsets, {},
                                  {.mode = mode, .padding_idx = 4}));
    };
    expect_gradients(padded, {leaf({4, 3}, 1)});
    const Tensor w = leaf({5, 3}, 1);
    sum(embedding_bag(ids, w, offsets, {}, {.mode = mode, .padding_idx = 1})).backward();
    const Doubles g = list(w.grad());
    for (size_t i = 0; i < g.size(); ++i)
      EXPECT_TRUE(g[i] == 0 ? i / 3 == 1 || mode == BagMode::max : i / 3 != 1) << i;
  }
  expect_gradients(
      [&](const Inputs& x) {
        return embedding_bag(ids, x[0], offsets, x[1], {.mode = BagMode::sum});
      },
      {leaf({5, 3}, 1), leaf({7}, 2)});
  expect_rejected(
      [&](const Inputs& x) {
        const Tensor y = embedding_bag(ids, x[0], offsets);
        return with_backward(y, x, [&](const Tensor& dy) {
          const Tensor w = x[0].detach().set_requires_grad();
          const GradMode on(true);  // as of a sum: not divided
          return Gradients{grad(embedding_bag(ids, w, offsets, {}, {.mode = BagMode::sum}), {w},
                                {.grad_output = dy})[0]};
        });
      },
      {leaf({5, 3}, 1)});
}

TEST(EmbeddingBag, FloatFollowsDoubleOnAnyNumberOfThreads) {
  Generator generator(3, 5);
  const Tensor ids = empty({500, 40}, DType::i64);
  for (int64_t& id : ids.data<int64_t>())
    id = std::min<int64_t>(299, static_cast<int64_t>(generator.uniform() * 300));
  for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
    const auto f = [&](const Inputs& x) {
      return embedding_bag(ids, x[0], {}, {}, {.mode = mode, .padding_idx = 7});
    };
    expect_f32_follows_f64(f, {leaf({300, 33}, 1)}, 2e-5);
    expect_thread_invariant([&] {
      const Tensor w = values({300, 33}, 1).to(DType::f32).set_requires_grad();
      const Tensor y = f({w});
      y.backward(values(y.shape(), 2).to(DType::f32));
      return cat({y, w.grad()});
    });
  }
}

TEST(Embedding, Errors) {
  const Tensor w = table(), ids = numbers({0, 4}, {2});
  expect_error([&] { embedding(ids, w); }, {"[embedding]", "entry 1", "is 4", "0 to 3"});
  expect_error([&] { embedding(numbers({-1}, {1}), w); }, {"entry 0", "-1"});
  expect_error([&] { embedding(w, w); }, {"ids are f64[4,2]", "i64", ".to("});
  expect_error([&] { embedding(ids, zeros({3})); }, {"weight is f32[3]", "2 axes"});
  expect_error([&] { embedding(ids, zeros({5, 2}, DType::i64)); }, {"i64[5,2]", "f32 or f64"});
  expect_error(
      [&] {
        embedding(ids, zeros({5, 2}), {.padding_idx = 5});
      },
      {"padding_idx is 5", "-5 to 4"});
  expect_error([&] { embedding(ids, zeros({5, 2}), {.max_norm = -1}); }, {"max_norm is -1"});
  const Tensor some = numbers({0, 1, 2}, {3}), rows = numbers({0, 1}, {1, 2});
  expect_error([&] { embedding_bag(some, w); }, {"[embedding_bag]", "i64[3]", "offsets"});
  expect_error([&] { embedding_bag(rows, w, some); }, {"rows are the bags", "leave them out"});
  expect_error([&] { embedding_bag(some, w, numbers({1}, {1})); }, {"ascend from 0 to 3"});
  expect_error([&] { embedding_bag(some, w, numbers({0, 2, 1}, {3})); }, {"ascend"});
  expect_error(
      [&] {
        embedding_bag(some, w, numbers({0, 2}, {2}), {}, {.include_last_offset = true});
      },
      {"to 3", "last"});
  expect_error(
      [&] {
        embedding_bag(rows, w, {}, ones({1, 2}, DType::f64));
      },
      {"per_sample_weights", "mean", "BagMode::sum"});
  expect_error([&] { embedding_bag(rows, w, {}, ones({2}), {.mode = BagMode::sum}); },
               {"per_sample_weights", "f32[2]"});
}

TEST(EmbeddingModule, Parameters) {
  manual_seed(4);
  nn::Embedding net(6, 3, {.padding_idx = -1});
  EXPECT_EQ(net.state_dict().names(), (std::vector<std::string>{"weight"}));
  const Doubles w = list(net.weight());
  EXPECT_EQ(Doubles(w.end() - 3, w.end()), (Doubles{0, 0, 0}));
  EXPECT_NE(w[0], 0);
  EXPECT_EQ(nn::to_string(net), "Embedding(6, 3, padding_idx=-1)");
  EXPECT_EQ(nn::Sequential(net)(numbers({0, 5}, {2, 1})).shape(), (Shape{2, 1, 3}));
  expect_error([] { nn::Embedding(0, 3); }, {"[Embedding]", "0 embeddings"});
  expect_error([] { nn::Embedding(2, 3, {.padding_idx = 2}); }, {"padding_idx is 2", "-2 to 1"});

  const nn::Embedding fixed = nn::Embedding::from_pretrained(table());
  EXPECT_FALSE(fixed.weight().requires_grad());
  EXPECT_EQ(list(fixed(numbers({1}, {1}))), (Doubles{10, 11}));
  EXPECT_TRUE(nn::Embedding::from_pretrained(table(), false).weight().requires_grad());

  const nn::EmbeddingBag bag(4, 2, {.mode = BagMode::sum});
  EXPECT_EQ(nn::to_string(bag), "EmbeddingBag(4, 2, mode='sum')");
  EXPECT_EQ(list(bag(numbers({1, 1}, {1, 2}))), list(bag.weight()[1] * 2.0));
  EXPECT_EQ(list(bag(numbers({1, 3}, {2}), numbers({0, 1}, {2}))),
            list(cat({bag.weight()[1], bag.weight()[3]})));
}

}  // namespace
}  // namespace tern
