// SPDX-License-Identifier: Apache-2.0
// Selecting along an axis: gather, scatter and their relatives. Expected values are those of
// PyTorch's documentation, or counted out by hand.
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Doubles = std::vector<double>;

Tensor numbers(const std::vector<int64_t>& values, const Shape& shape) {
  return tensor(values, shape);
}
Tensor counted(const Shape& shape, DType dtype = DType::f64) {
  return reshape(arange(static_cast<double>(shape.numel())).to(dtype),
                 {shape.begin(), shape.end()});
}
Doubles list(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

constexpr DType kDtypes[] = {DType::f32, DType::f64, DType::i64, DType::u8};

/// Random numbers below `end`, with repeats.
Tensor random_numbers(const Shape& shape, int64_t end, uint64_t seed) {
  Generator generator(seed, 5);
  const Tensor x = empty(shape, DType::i64);
  for (int64_t& number : x.data<int64_t>()) {
    number =
        std::min(end - 1, static_cast<int64_t>(generator.uniform() * static_cast<double>(end)));
  }
  return x;
}

/// Element number i of a row-major tensor as indices.
std::vector<int64_t> place_of(int64_t i, const Shape& shape) {
  std::vector<int64_t> at(static_cast<size_t>(shape.size()));
  for (int d = shape.size() - 1; d >= 0; --d) {
    at[static_cast<size_t>(d)] = i % shape[d];
    i /= shape[d];
  }
  return at;
}
size_t number_of(const std::vector<int64_t>& at, const Shape& shape) {
  int64_t number = 0;
  for (int d = 0; d < shape.size(); ++d) number = number * shape[d] + at[static_cast<size_t>(d)];
  return static_cast<size_t>(number);
}

TEST(IndexSelect, TakesSlices) {
  for (const DType dtype : kDtypes) {
    const Tensor x = counted({3, 4}, dtype);
    EXPECT_EQ(list(index_select(x, 0, numbers({2, 0, 2}, {3}))),
              (Doubles{8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11}));
    const Tensor y = index_select(x, -1, numbers({0, 2}, {2}));
    EXPECT_EQ(list(y), (Doubles{0, 2, 4, 6, 8, 10}));
    EXPECT_EQ(y.dtype(), dtype);
  }
  EXPECT_EQ(index_select(counted({3, 4}), 0, numbers({1}, {})).shape(), (Shape{1, 4}));
  EXPECT_EQ(index_select(counted({3, 4}), 1, numbers({}, {0})).shape(), (Shape{3, 0}));
  EXPECT_EQ(index_select(zeros({3, 0}), 0, numbers({1, 1}, {2})).shape(), (Shape{2, 0}));
}

TEST(Gather, IsWhatItsDefinitionSays) {
  const Tensor t = tensor(Doubles{1, 2, 3, 4}, {2, 2});
  EXPECT_EQ(list(gather(t, 1, numbers({0, 0, 1, 0}, {2, 2}))), (Doubles{1, 1, 4, 3}));
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor x = to_memory_format(counted({3, 4, 2, 5}), format);
    for (int axis = 0; axis < 4; ++axis) {
      const Shape shape = Shape{2, 3, 2, 4}.with(axis, 6);
      const Tensor index = random_numbers(shape, x.size(axis), static_cast<uint64_t>(axis));
      const Tensor y = gather(x, axis - 4, index);
      EXPECT_EQ(y.memory_format(), format);
      const Doubles from = list(x), to = list(y);
      const auto at = index.to_vector<int64_t>();
      for (int64_t i = 0; i < y.numel(); ++i) {
        auto place = place_of(i, shape);
        place[static_cast<size_t>(axis)] = at[static_cast<size_t>(i)];
        ASSERT_EQ(to[static_cast<size_t>(i)], from[number_of(place, x.shape())]);
      }
    }
  }
  EXPECT_EQ(gather(t, 0, numbers({}, {0, 2})).shape(), (Shape{0, 2}));
}

TEST(TakeAlong, BroadcastsAndCountsFromTheEnd) {
  const Tensor x = counted({2, 3});
  EXPECT_EQ(list(take_along(x, 1, numbers({-1, 0}, {2, 1}))), (Doubles{2, 3}));
  EXPECT_EQ(list(take_along(x, 1, numbers({2, -3}, {1, 2}))), (Doubles{2, 0, 5, 3}));
  EXPECT_EQ(list(take_along(counted({1, 3}), 0, numbers({0, -1, 0, 0, 0, 0}, {2, 3}))),
            (Doubles{0, 1, 2, 0, 1, 2}));
  const Tensor images = to_memory_format(counted({2, 3, 2, 2}), MemoryFormat::channels_last);
  EXPECT_EQ(list(take_along(images, 1, numbers({-1}, {1, 1, 1, 1}))), list(slice(images, 1, 2, 3)));
}

TEST(Scatter, WritesAndTheLastStays) {
  // The example of torch.Tensor.scatter_.
  const Tensor src = reshape(arange(1, 11), {2, 5});
  EXPECT_EQ(list(scatter(zeros({3, 5}, DType::i64), 0, numbers({0, 1, 2, 0}, {1, 4}), src)),
            (Doubles{1, 0, 0, 4, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0}));
  EXPECT_EQ(list(scatter(zeros({3, 5}, DType::i64), 1, numbers({0, 1, 2, 0, 1, 4}, {2, 3}), src)),
            (Doubles{1, 2, 3, 0, 0, 6, 7, 0, 0, 8, 0, 0, 0, 0, 0}));
  for (const DType dtype : kDtypes) {
    const Tensor x = full({2, 4}, 2, dtype);
    const Tensor y = scatter(x, 1, numbers({2, 3}, {2, 1}), 7);
    EXPECT_EQ(list(y), (Doubles{2, 2, 7, 2, 2, 2, 2, 7}));
    EXPECT_EQ(list(x), Doubles(8, 2)) << "x stays as it is";
  }
  EXPECT_EQ(list(scatter(zeros({3}, DType::f64), 0, numbers({1, 1, 0}, {3}),
                         tensor(Doubles{5, 6, 7}, {3}))),
            (Doubles{7, 6, 0}));
}

TEST(ScatterAdd, AddsWhatRepeats) {
  // The example of torch.Tensor.scatter_add_.
  EXPECT_EQ(list(scatter_add(zeros({3, 5}), 0, numbers({0, 1, 2, 0, 0, 0, 1, 2, 2, 2}, {2, 5}),
                             ones({2, 5}))),
            (Doubles{2, 0, 0, 1, 1, 0, 2, 0, 0, 0, 0, 0, 2, 1, 1}));
  for (const DType dtype : kDtypes) {
    EXPECT_EQ(list(scatter_add(ones({3}, dtype), 0, numbers({1, 1, 1}, {3}), counted({4}, dtype))),
              (Doubles{1, 4, 1}));
  }
  const Tensor top = full({1}, 0x1p62, DType::i64);
  EXPECT_EQ(scatter_add(top, 0, numbers({0}, {1}), top).item<int64_t>(),
            std::numeric_limits<int64_t>::min());
}

TEST(IndexAdd, AddsSlices) {
  // The example of torch.Tensor.index_add_.
  EXPECT_EQ(
      list(index_add(ones({5, 3}), 0, numbers({0, 4, 2}, {3}), 1.0 + counted({3, 3}, DType::f32))),
      (Doubles{2, 3, 4, 1, 1, 1, 8, 9, 10, 1, 1, 1, 5, 6, 7}));
  EXPECT_EQ(list(index_add(zeros({2, 2}), -1, numbers({1, 1, 1}, {3}), ones({2, 3}))),
            (Doubles{0, 3, 0, 3}));
}

TEST(Gather, NaNIsCopiedAndAdded) {
  const double nan = std::nan("");
  const Tensor x = tensor(Doubles{nan, 1}, {2});
  EXPECT_TRUE(std::isnan(list(gather(x, 0, numbers({0}, {1})))[0]));
  const Doubles y = list(scatter_add(zeros({2}, DType::f64), 0, numbers({1, 0}, {2}), x));
  EXPECT_TRUE(y[0] == 1 && std::isnan(y[1]));
}

TEST(Gather, Gradients) {
  const Tensor index = random_numbers({2, 5, 3}, 4, 1);
  expect_gradients([&](const Inputs& x) { return gather(x[0], 1, index); }, {leaf({3, 4, 3}, 1)});
  const Tensor some = random_numbers({6}, 3, 2);
  expect_gradients([&](const Inputs& x) { return index_select(x[0], 0, some); }, {leaf({3, 4}, 1)});
  expect_gradients(
      [&](const Inputs& x) {
        return take_along(x[0], 0, numbers({-1, 0}, {2, 1}));
      },
      {leaf({1, 4}, 1)});
  expect_gradients([&](const Inputs& x) { return scatter(x[0], 1, index, x[1]); },
                   {leaf({3, 4, 3}, 1), leaf({2, 6, 3}, 2)});
  expect_gradients([&](const Inputs& x) { return scatter(x[0], 1, index, 3.0); },
                   {leaf({3, 4, 3}, 1)});
  expect_gradients([&](const Inputs& x) { return scatter_add(x[0], 1, index, x[1]); },
                   {leaf({3, 4, 3}, 1), leaf({2, 6, 3}, 2)});
  expect_gradients([&](const Inputs& x) { return index_add(x[0], 1, some, x[1]); },
                   {leaf({2, 3}, 1), leaf({2, 6}, 2)});
  // Not linear, so that second derivatives are not all zero.
  expect_gradients([&](const Inputs& x) { return square(gather(square(x[0]), 1, index)); },
                   {leaf({3, 4, 3}, 1)});
  // The value that is written over gets no gradient.
  const Tensor v = leaf({3}, 1);
  sum(scatter(zeros({2}, DType::f64), 0, numbers({1, 1, 0}, {3}), v)).backward();
  EXPECT_EQ(list(v.grad()), (Doubles{0, 1, 1}));
}

TEST(Gather, AWrongGradientIsRejected) {
  const Tensor index = numbers({0, 0, 2}, {3});
  expect_rejected(
      [&](const Inputs& x) {
        return with_backward(gather(x[0], 0, index), x, [&](const Tensor& dy) {
          return Gradients{scatter(zeros({3}, DType::f64), 0, index, dy)};  // does not add
        });
      },
      {leaf({3}, 1)});
}

TEST(Gather, FloatFollowsDouble) {
  const Tensor index = random_numbers({2, 5, 4, 3}, 11, 1);
  const Inputs x{leaf({2, 11, 4, 3}, 1), leaf({2, 5, 4, 3}, 2)};
  expect_f32_follows_f64([&](const Inputs& in) { return gather(in[0], 1, index); }, {x[0]});
  expect_f32_follows_f64([&](const Inputs& in) { return scatter(in[0], 1, index, in[1]); }, x);
  expect_f32_follows_f64([&](const Inputs& in) { return scatter_add(in[0], 1, index, in[1]); }, x);
  const Tensor some = random_numbers({7}, 11, 1);
  expect_f32_follows_f64([&](const Inputs& in) { return index_select(in[0], 1, some); }, {x[0]});
  expect_f32_follows_f64([&](const Inputs& in) { return index_add(in[0], 1, some, in[1]); },
                         {x[0], leaf({2, 7, 4, 3}, 2)});
}

TEST(Gather, TheSameBitsForAnyNumberOfThreads) {
  manual_seed(1);
  for (const int64_t inner : {1, 40}) {
    const Tensor x = randn({3000, inner}), index = random_numbers({20000}, 3000, 3);
    const Tensor values = randn({20000, inner});
    expect_thread_invariant([&] { return index_add(x, 0, index, values); });
    expect_thread_invariant([&] { return index_select(x, 0, index); });
    const Tensor all = broadcast_to(unsqueeze(index, 1), {20000, inner});
    expect_thread_invariant([&] { return scatter(x, 0, all, values); });
    expect_thread_invariant([&] {
      const Tensor leaf = x.detach().clone().set_requires_grad();
      gather(leaf, 0, all).backward(values);
      return leaf.grad();
    });
  }
}

TEST(Gather, ChangingTheIndexBeforeBackwardIsNoticed) {
  const Tensor x = leaf({3}, 1), index = numbers({0, 1}, {2});
  const Tensor y = gather(x, 0, index), z = index_select(x, 0, index);
  index.fill_(2);
  y.backward(ones({2}, DType::f64));
  EXPECT_EQ(list(x.grad()), (Doubles{1, 1, 0}));
  expect_error([&] { z.backward(ones({2}, DType::f64)); }, {"changed in place"});
}

TEST(Gather, Errors) {
  const Tensor x = zeros({2, 3}), index = numbers({0, 3}, {1, 2});
  expect_error([&] { gather(x, 1, index); }, {"[gather]", "entry 1", "is 3", "0 to 2"});
  expect_error([&] { gather(x, 0, numbers({-1}, {1, 1})); }, {"entry 0", "-1", "0 to 1"});
  expect_error([&] { take_along(x, 0, numbers({-3}, {1, 1})); }, {"[take_along]", "-2 to 1"});
  expect_error([&] { gather(x, 1, zeros({1, 2})); }, {"[gather]", "f32[1,2]", "i64"});
  expect_error([&] { gather(x, 1, numbers({0}, {1})); }, {"[gather]", "i64[1]", "f32[2,3]"});
  expect_error([&] { gather(x, 1, numbers({0, 0, 0}, {3, 1})); }, {"i64[3,1]", "axis 1"});
  expect_error([&] { index_select(x, 1, numbers({3}, {1})); }, {"[index_select]", "entry 0"});
  expect_error([&] { index_select(x, 1, numbers({-1}, {1})); }, {"[index_select]", "-1"});
  expect_error([&] { index_select(x, 1, numbers({0}, {1, 1})); }, {"one axis"});
  expect_error(
      [&] {
        scatter(x, 1, numbers({0}, {1, 1}), zeros({1, 1}, DType::f64));
      },
      {"[scatter]", "f64[1,1]", "f32[2,3]"});
  expect_error(
      [&] {
        scatter(x, 1, numbers({0, 0}, {1, 2}), zeros({1, 1}));
      },
      {"[scatter]", "src", "f32[1,1]", "i64[1,2]"});
  expect_error(
      [&] {
        scatter(x.to(DType::i64), 1, numbers({0}, {1, 1}), 0.5);
      },
      {"[scatter]", "0.5"});
  expect_error(
      [&] {
        index_add(x, 1, numbers({0}, {1}), zeros({2, 2}));
      },
      {"[index_add]", "f32[2,2]"});
  expect_error(
      [&] {
        scatter_add(gt(x, 0.0), 1, numbers({0}, {1, 1}), gt(x, 0.0));
      },
      {"[scatter_add]", "bool[2,3]", "u8"});
}

}  // namespace
}  // namespace tern
