// SPDX-License-Identifier: Apache-2.0
// x[...]: reading and writing. Expected values are NumPy's and PyTorch's, counted out by hand.
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Doubles = std::vector<double>;
using Numbers = std::vector<int64_t>;

Tensor numbers(const Numbers& values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}
Tensor mask(const std::vector<bool>& values, const Shape& shape) { return tensor(values, shape); }
Tensor counted(const Shape& shape, DType dtype = DType::f64) {
  return reshape(arange(static_cast<double>(shape.numel())).to(dtype),
                 {shape.begin(), shape.end()});
}
Doubles list(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

/// The memory of all tensors that operations make.
class BytesMade : public OpListener {
 public:
  double bytes = 0;
  void note(const OpCall*, const OpNote& note) noexcept override {
    if (note.what == OpNote::What::makes) {
      bytes += static_cast<double>(note.tensor->numel()) *
               static_cast<double>(size_of(note.tensor->dtype()));
    }
  }
};

TEST(Nonzero, ListsIndices) {
  const Tensor x = tensor(Doubles{0, 2, std::nan(""), 0, 0, -1}, {2, 3});
  EXPECT_EQ(nonzero(x).to_vector<int64_t>(), (Numbers{0, 1, 0, 2, 1, 2}));
  EXPECT_EQ(nonzero(gt(x, 0.0)).to_vector<int64_t>(), (Numbers{0, 1}));
  EXPECT_EQ(nonzero(zeros({2, 3})).shape(), (Shape{0, 2}));
  EXPECT_EQ(nonzero(full({}, 3.0)).shape(), (Shape{1, 0}));
  const Tensor image = to_memory_format(counted({1, 2, 2, 2}), MemoryFormat::channels_last);
  EXPECT_EQ(nonzero(image).to_vector<int64_t>(), nonzero(contiguous(image)).to_vector<int64_t>());
}

TEST(MaskedSelect, KeepsTheOrder) {
  const Tensor x = counted({2, 3}), m = mask({true, false, true}, {3});
  EXPECT_EQ(list(masked_select(x, m)), (Doubles{0, 2, 3, 5}));
  EXPECT_EQ(list(masked_select(counted({3}), gt(x, 3.0))), (Doubles{1, 2}));
  EXPECT_EQ(masked_select(x, gt(x, 9.0)).shape(), Shape{0});
  expect_error([&] { masked_select(x, x); }, {"[masked_select]", "f64[2,3]", "bool or u8"});
  expect_gradients([&](const Inputs& in) { return masked_select(in[0], m); }, {leaf({2, 3}, 1)});
}

TEST(Indexing, NumbersAndRanges) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::u8}) {
    const Tensor x = counted({3, 4}, dtype);
    EXPECT_EQ(list(x[1]), (Doubles{4, 5, 6, 7}));
    EXPECT_EQ(list(x[-1]), (Doubles{8, 9, 10, 11}));
    EXPECT_EQ(x[2][3].item<double>(), 11);
    EXPECT_EQ((x[{2, -1}].shape()), Shape{});
    EXPECT_EQ(list(x[Range(1, 3)]), list(slice(x, 0, 1, 3)));
    EXPECT_EQ((list(x[{Range(), Range(-3, Range::kEnd, 2)}])), (Doubles{1, 3, 5, 7, 9, 11}));
    EXPECT_EQ((list(x[{Range(1), 0}])), (Doubles{4, 8}));
    EXPECT_EQ((x[{Range(2, 1), Range(0, 99)}].shape()), (Shape{0, 4}));
    EXPECT_EQ(x[0].dtype(), dtype);
  }
  const Tensor x = counted({3, 4});
  EXPECT_TRUE(x[Range()].is_same(x));
  EXPECT_TRUE(index(x, {}).is_same(x));
  const Tensor image = to_memory_format(counted({2, 3, 4, 5}), MemoryFormat::channels_last);
  const Tensor part = image[{Range(), Range(1), Range(0, 4, 2)}];
  EXPECT_EQ(part.memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(list(part), (list(contiguous(image)[{Range(), Range(1), Range(0, 4, 2)}])));
  EXPECT_EQ(list(image[1]), list(contiguous(image)[1]));
}

TEST(Indexing, Tensors) {
  const Tensor x = counted({3, 4}), rows = numbers({0, -1}), columns = numbers({1, 3});
  EXPECT_EQ(list(x[rows]), (Doubles{0, 1, 2, 3, 8, 9, 10, 11}));
  EXPECT_EQ(list(index(x, {rows, columns})), (Doubles{1, 11}));
  EXPECT_EQ((list(x[{Range(), columns}])), (Doubles{1, 3, 5, 7, 9, 11}));
  EXPECT_EQ((list(x[{1, columns}])), (Doubles{5, 7}));
  EXPECT_EQ((list(x[{Range(1, 3), numbers({0})}])), (Doubles{4, 8}));
  EXPECT_EQ((list(x[{unsqueeze(rows, 1), columns}])), (Doubles{1, 3, 9, 11}));
  EXPECT_EQ(x[reshape(rows, {2, 1})].shape(), (Shape{2, 1, 4}));
  EXPECT_EQ(x[full({}, 1, DType::i64)].shape(), Shape{4});
  // Axes between those of tensors: what the tensors have in common comes first.
  const Tensor y = counted({2, 3, 4});
  EXPECT_EQ((list(y[{numbers({0, 1}), Range(), numbers({3, 0})}])),
            (Doubles{3, 7, 11, 12, 16, 20}));
  EXPECT_EQ((y[{Range(), numbers({0, 1}), numbers({0, 1})}].shape()), (Shape{2, 2}));
  // A number is taken before the tensors, as in PyTorch.
  EXPECT_EQ((y[{0, Range(), numbers({3, 0})}].shape()), (Shape{3, 2}));
  const Tensor image = to_memory_format(counted({2, 3, 4, 5}), MemoryFormat::channels_last);
  EXPECT_EQ((list(image[{Range(), rows}])), (list(contiguous(image)[{Range(), rows}])));
}

TEST(Indexing, Masks) {
  const Tensor x = counted({2, 3});
  EXPECT_EQ(list(x[gt(x, 3.0)]), (Doubles{4, 5}));
  EXPECT_EQ(list(x[mask({false, true}, {2})]), (Doubles{3, 4, 5}));
  EXPECT_EQ((list(x[{Range(), mask({true, false, true}, {3})}])), (Doubles{0, 2, 3, 5}));
  EXPECT_EQ((list(x[{numbers({1}), mask({true, false, true}, {3})}])), (Doubles{3, 5}));
  EXPECT_EQ(list(x[gt(x, 3.0).to(DType::u8)]), (Doubles{4, 5}));
  EXPECT_EQ(x[gt(x, 9.0)].shape(), Shape{0});
  const Tensor image = to_memory_format(counted({2, 3, 2, 2}), MemoryFormat::channels_last);
  EXPECT_EQ(list(image[gt(image, 20.0)]), (Doubles{21, 22, 23}));
}

TEST(Indexing, ReadErrors) {
  const Tensor x = zeros({2, 3});
  expect_error([&] { x[2]; }, {"[index]", "index 2", "axis 0", "-2 to 1"});
  expect_error([&] { x[{0, 0, 0}]; }, {"[index]", "3 indices", "f32[2,3]"});
  expect_error([&] { x[{Range(), numbers({0, -4})}]; }, {"entry 1", "axis 1", "-4", "-3 to 2"});
  expect_error([&] { x[zeros({2})]; }, {"[index]", "f32[2]", "i64"});
  expect_error([&] { x[gt(zeros({3}), 0.0)]; }, {"[index]", "mask", "bool[3]", "f32[2,3]"});
  expect_error([&] { x[gt(zeros({}), 0.0)]; }, {"[index]", "mask", "bool[]"});
  expect_error([&] { x[Range(0, 1, 0)]; }, {"[index]", "step is 0"});
  expect_error([&] { x[{numbers({0, 1}), numbers({0, 1, 2})}]; }, {"[index]"});
}

TEST(Indexing, ReadGradients) {
  const Tensor rows = numbers({0, -1, 0}), columns = numbers({1, 1, 1});
  const std::vector<std::vector<Index>> all{
      {1},
      {Range(0, 3, 2), -1},
      {rows},
      {rows, columns},
      {Range(1), columns, 0},
      {rows, Range(), numbers({0, 1, 1})},
      {mask({true, false, true}, {3}), Range(1, 2)},
  };
  for (const auto& indices : all) {
    expect_gradients([&](const Inputs& in) { return square(index(in[0], indices)); },
                     {leaf({3, 2, 2}, 1)});
    expect_f32_follows_f64([&](const Inputs& in) { return index(in[0], indices); },
                           {leaf({3, 2, 2, 3}, 1)});
  }
}

TEST(Indexing, ManyPartsTakeOnePassOverTheGradient) {
  // The sums are those of backward under create_graph, which adds whole gradients.
  const Inputs inputs{leaf({4, 3, 2}, 1)};
  const Tensor rows = numbers({3, 1, 3}), weights = values({3, 2}, 5);
  const auto f = [&](const Tensor& x) {
    Tensor y = sum(x[0] * weights) + sum(square(x[{Range(0, 4, 3), -1}]));
    for (int64_t t = 0; t < 4; ++t) y = y + sum(square(x[t] * weights)) + sum(select(x, 0, t));
    y = y + sum(slice(x, 1, 1, 3) * 2.0) + sum(square(index_select(x, 0, rows)));
    return y + sum(square(x[rows])) + sum(square(gather(x, 0, tensor(Numbers{3, 2}, {1, 1, 2}))));
  };
  const Tensor x = inputs[0];
  f(x).backward();
  expect_close(x.grad(), grad(f(x), {x}, {.create_graph = true})[0].detach(), 1e-14);
  expect_gradients([&](const Inputs& in) { return f(in[0]); }, inputs);
  expect_f32_follows_f64(
      [](const Inputs& in) {
        return in[0][{Range(), 1}] * in[0][{Range(), 0}] + slice(in[0], 1, 2, 3)[{Range(), 0}] +
               in[0][{Range(), numbers({1, 1})}][{Range(), 0}];
      },
      {leaf({2, 3, 4, 5}, 1)});

  const auto requested = [](int64_t steps) {
    const Tensor h = leaf({steps, 4096}, 1);
    std::vector<Tensor> parts;
    for (int64_t t = 0; t < steps; ++t) parts.push_back(h[t] * 2.0);
    const Tensor y = sum(stack(parts));
    BytesMade made;
    {
      const OpListening listening(made);
      y.backward();
    }
    return made.bytes;
  };
  const double few = requested(16), many = requested(64);
  EXPECT_LT(many, 5 * few) << "not the square of the number of steps";
}

TEST(Indexing, Writes) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::u8}) {
    const Tensor x = zeros({2, 3}, dtype);
    x[1] = full({3}, 2, dtype);
    x[{0, 2}] = 5.0;
    EXPECT_EQ(list(x), (Doubles{0, 0, 5, 2, 2, 2}));
    x[0][1] = 7;
    x[1][Range(1, 3)] = tensor(Numbers{8, 9}, {2});
    EXPECT_EQ(list(x), (Doubles{0, 7, 5, 2, 8, 9}));
    x[gt(x, 7.0)] = 1;
    EXPECT_EQ(list(x), (Doubles{0, 7, 5, 2, 1, 1}));
    x[{Range(), numbers({2, 0})}] = tensor(Numbers{3, 4}, {2});
    EXPECT_EQ(list(x), (Doubles{4, 7, 3, 4, 1, 3}));
    x[{Range(1), numbers({1, 1})}] = tensor(Numbers{3, 6}, {1, 2});
    EXPECT_EQ(list(x), (Doubles{4, 7, 3, 4, 6, 3})) << "the last one stays";
    x[0] = x[1];
    EXPECT_EQ(list(x), (Doubles{4, 6, 3, 4, 6, 3}));
    x[numbers({1, 0})] = 0;
    EXPECT_EQ(list(x), Doubles(6, 0));
  }
}

TEST(Indexing, WritesThroughSeveralIndices) {
  const Tensor x = counted({2, 2, 2});
  x[1][0][1] = 9;
  x[Range(0, 1)][0][1][0] = -1;
  x[Range()][0][0] = 3;
  EXPECT_EQ(list(x), (Doubles{3, 3, -1, 3, 4, 9, 6, 7}));
  x[numbers({0, 1})][{Range(), 1}] = 0;
  EXPECT_EQ(list(x), (Doubles{3, 3, 0, 0, 4, 9, 0, 0}));
}

TEST(Indexing, ANameMakesATensorOfItsOwn) {
  const Tensor x = counted({2, 2});
  auto row = x[0];
  row = x[1];
  EXPECT_EQ(list(row), (Doubles{2, 3}));
  EXPECT_EQ(list(x), (Doubles{0, 1, 2, 3}));
  row = ones({2}, DType::f64);
  row[0] = 5;
  EXPECT_EQ(list(row), (Doubles{5, 1}));
  const Tensor copy = x[0];
  x[0] = 9;
  EXPECT_EQ(list(copy), (Doubles{0, 1}));
  copy.fill_(4);
  EXPECT_EQ(list(x), (Doubles{9, 9, 2, 3}));
}

TEST(Indexing, WritesIntoChannelsLast) {
  const Tensor plain = counted({2, 3, 2, 2});
  const Tensor last = to_memory_format(plain.clone(), MemoryFormat::channels_last);
  for (const Tensor& x : {plain, last}) {
    x[{0, 1}] = counted({2, 2}) * 0.5;
    x[gt(x, 20.0)] = -1;
    x[{Range(), numbers({2}), Range(), numbers({0, 1})}] = 0.25;
  }
  EXPECT_EQ(list(last), list(plain));
  EXPECT_EQ(last.memory_format(), MemoryFormat::channels_last);
}

TEST(Indexing, WriteErrorsChangeNothing) {
  const Tensor x = zeros({2, 3});
  expect_error([&] { x[0] = zeros({2}); }, {"[index_put_]", "f32[2]", "[3]"});
  expect_error([&] { index_put_(x, {0, 3}, 1.0); }, {"[index_put_]", "index 3"});
  expect_error([&] { index_put_(x, {numbers({0, 2})}, ones({3})); }, {"[index_put_]", "entry 1"});
  expect_error([&] { x.to(DType::u8)[0] = 300; }, {"300", "u8"});
  EXPECT_EQ(list(x), Doubles(6, 0));
  EXPECT_EQ(x.version(), 0u);
}

TEST(Indexing, WritesAreRecorded) {
  // Collecting the steps of a loop, as one would with a list.
  const Tensor w = leaf({3}, 1);
  const Tensor y = zeros({2, 3}, DType::f64);
  EXPECT_FALSE(y.requires_grad());
  y[0] = w * 2.0;
  y[1] = square(w);
  EXPECT_TRUE(y.requires_grad());
  const Tensor dy = values({2, 3}, 7);
  y.backward(dy);
  expect_close(w.grad(), dy[0] * 2.0 + 2.0 * w.detach() * dy[1], 1e-15);
  EXPECT_EQ(y.version(), 2u);

  // What is written over gets no gradient, and neither does a value that does not stay.
  const Tensor a = leaf({2, 3}, 2), v = leaf({2}, 3);
  const Tensor z = a * 1.0;
  z[{0, numbers({1, 1})}] = v;
  z[1] = 0.0;
  sum(z).backward();
  EXPECT_EQ(list(a.grad()), (Doubles{1, 0, 1, 0, 0, 0}));
  EXPECT_EQ(list(v.grad()), (Doubles{0, 1}));
}

TEST(Indexing, WriteGradients) {
  const Tensor twice = numbers({0, 2, 0});
  const std::vector<std::vector<Index>> all{
      {1},
      {Range(0, 3, 2), Range(1)},
      {twice},
      {twice, numbers({1, 1, 1})},
      {mask({true, false, true}, {3}), Range(1)},
      {},
  };
  for (const auto& indices : all) {
    const Shape shape = index(zeros({3, 2}), indices).shape();
    const auto written = [&](const Inputs& in) {
      const Tensor y = square(in[0]) + 1.0;
      index_put_(y, indices, square(in[1]));
      return y * y;
    };
    expect_gradients(written, {leaf({3, 2}, 1), leaf(shape, 2)});
    expect_gradients(written, {leaf({3, 2}, 1), leaf({}, 2)});
  }
  const auto nested = [](const Inputs& in) {
    const Tensor y = square(in[0]) + 1.0;
    y[0][1] = in[1];
    y[2] = y[0] * in[1];
    return y * 2.0;
  };
  expect_gradients(nested, {leaf({3, 2}, 1), leaf({}, 2)});
  const auto image = [](const Inputs& in) {
    const Tensor y = in[0] * 3.0;
    y[{Range(), 1}] = in[1];
    y[{Range(), numbers({0, 2, 0})}] = 2.0 * in[1][{0, 0}];
    return y;
  };
  expect_f32_follows_f64(image, {leaf({2, 3, 2, 3}, 1), leaf({2, 2, 3}, 2)});
}

TEST(Indexing, AWriteThatLosesAGradientIsRefused) {
  const Tensor x = leaf({3}, 1), v = leaf({}, 2);
  expect_error([&] { x[0] = 1.0; }, {"[index_put_]", "f64[3]", "leaf", "NoGrad"});
  {
    const NoGrad no_grad;
    x[0] = 1.0;
  }
  EXPECT_EQ(list(x)[0], 1);
  EXPECT_TRUE(x.is_leaf() && x.requires_grad());
  // relu needs its result, and an alias would not know of the gradient.
  const Tensor y = relu(x);
  expect_error([&] { y[0] = 1.0; }, {"[index_put_]", "memory", "clone"});
  const Tensor z = zeros({3}, DType::f64), alias = reshape(z, {3, 1});
  expect_error([&] { z[0] = v; }, {"[index_put_]", "memory", "clone"});
  EXPECT_EQ(list(z), Doubles(3, 0));
  z[0] = 1.0;  // no gradient is recorded
  EXPECT_EQ(list(alias), (Doubles{1, 0, 0}));
  const Tensor copy = y.clone();
  copy[0] = v;
  sum(copy).backward();
  EXPECT_EQ(v.grad().item<double>(), 1);
}

TEST(Indexing, OldValuesThatBackwardNeedsAreNotOverwrittenUnnoticed) {
  const Tensor w = leaf({3}, 1), x = zeros({3}, DType::f64);
  const Tensor y = w * x;
  x[0] = 1.0;
  expect_error([&] { sum(y).backward(); }, {"changed in place"});
  // What read x before the change keeps its gradient.
  const Tensor h = w * 2.0;
  const Tensor before = h[0];
  h[0] = 0.0;
  (before + sum(h)).backward();
  EXPECT_EQ(list(w.grad()), (Doubles{2, 2, 2}));
}

TEST(Indexing, GradientsLieInMemoryThatIsNobodyElses) {
  const Tensor w = leaf({2, 2}, 1), dy = ones({2, 2}, DType::f64);
  const Tensor y = w * 1.0;
  y[0] = 0.0;
  y.backward(dy);
  EXPECT_EQ(list(dy), Doubles(4, 1)) << "the caller's own";
  EXPECT_EQ(list(w.grad()), (Doubles{0, 0, 1, 1}));
}

}  // namespace
}  // namespace tern
