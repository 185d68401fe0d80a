// SPDX-License-Identifier: Apache-2.0
// Flips, rolls, repetitions, stacks and padding.
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

using Floats = std::vector<float>;

Tensor counted(const Shape& shape) {
  return reshape(arange(static_cast<double>(shape.numel()), DType::f32), shape);
}

const std::vector<DType>& all_dtypes() {
  static const std::vector<DType> dtypes{DType::f32, DType::f64, DType::i64, DType::u8,
                                         DType::boolean};
  return dtypes;
}

TEST(Reshape, TakesNumbersVectorsAndShapes) {
  const Tensor x = counted({2, 3});
  EXPECT_EQ(reshape(x, -1).shape(), (Shape{6}));
  EXPECT_EQ(reshape(x, 6).shape(), (Shape{6}));
  EXPECT_EQ(reshape(x, zeros({3, 2}).shape()).shape(), (Shape{3, 2}));
  EXPECT_EQ(reshape(x, std::vector<int64_t>{3, -1}).shape(), (Shape{3, 2}));
  EXPECT_EQ(reshape(ones({1}), {}).shape(), Shape{});
  EXPECT_EQ(unflatten(counted({4, 6}), -1, {2, -1}).shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(unflatten(counted({4, 6}), 0, 4).shape(), (Shape{4, 6}));
  expect_error([&] { reshape(x, {-1, 4}); }, {"[reshape]", "f32[2,3]", "4 does not divide"});
  expect_error([] { unflatten(zeros({4, 6}), 1, {4, -1}); }, {"[unflatten]", "6", "4"});
  expect_gradients(
      [](const Inputs& in) {
        return unflatten(in[0] * in[0], 1, {2, 2});
      },
      {leaf({3, 4}, 1)});
}

TEST(Squeeze, AllAxesOfLengthOne) {
  EXPECT_EQ(squeeze(zeros({1, 2, 1, 3, 1})).shape(), (Shape{2, 3}));
  EXPECT_EQ(squeeze(zeros({1, 1})).shape(), Shape{});
  EXPECT_EQ(squeeze(zeros({2, 0})).shape(), (Shape{2, 0}));
  expect_f32_follows_f64([](const Inputs& in) { return squeeze(in[0]); }, {leaf({2, 1, 3, 1}, 1)});
}

TEST(Flip, ReversesAxesOfEveryDtypeAndFormat) {
  const Tensor x = counted({2, 3});
  EXPECT_EQ(flip(x, 0).to_vector<float>(), (Floats{3, 4, 5, 0, 1, 2}));
  EXPECT_EQ(flip(x, -1).to_vector<float>(), (Floats{2, 1, 0, 5, 4, 3}));
  EXPECT_EQ(flip(x, {0, 1}).to_vector<float>(), (Floats{5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(flip(x, {}).to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(flip(zeros({0, 3}), {0, 1}).shape(), (Shape{0, 3}));
  for (const DType dtype : all_dtypes()) {
    const Tensor image = gt(rand({2, 3, 9, 17}), 0.5).to(dtype);
    for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      const Tensor placed = to_memory_format(image, format);
      for (const IntList& axes :
           {IntList{1}, IntList{0, 2}, IntList{3}, IntList{1, 3}, IntList{0, 1, 2, 3}}) {
        // Element by element.
        const Tensor y = flip(placed, axes);
        EXPECT_EQ(y.memory_format(), format);
        Tensor expected = image;
        for (const int64_t axis : axes.numbers()) {
          std::vector<Tensor> parts = split(expected, 1, axis);
          expected = cat({parts.rbegin(), parts.rend()}, axis);
        }
        expect_close(y, expected, 0);
      }
    }
  }
  const Inputs in{leaf({2, 3, 4, 5}, 1)};
  const Function f = [](const Inputs& v) { return flip(v[0] * v[0], {1, -1}); };
  expect_gradients(f, in);
  expect_f32_follows_f64(f, in);
  expect_error([&] { flip(x, {0, -2}); }, {"[flip]", "twice"});
  expect_error([&] { flip(x, 2); }, {"[flip]", "axis 2"});
}

TEST(Roll, MovesRoundTheEnd) {
  const Tensor x = counted({2, 3});
  EXPECT_EQ(roll(x, 1).to_vector<float>(), (Floats{5, 0, 1, 2, 3, 4}));
  EXPECT_EQ(roll(x, 1, 1).to_vector<float>(), (Floats{2, 0, 1, 5, 3, 4}));
  EXPECT_EQ(roll(x, -4, 1).to_vector<float>(), (Floats{1, 2, 0, 4, 5, 3}));
  EXPECT_EQ(roll(x, {1, 1}, {0, 1}).to_vector<float>(), (Floats{5, 3, 4, 2, 0, 1}));
  EXPECT_EQ(roll(x, INT64_MIN, 1).to_vector<float>(), roll(x, INT64_MIN % 3, 1).to_vector<float>());
  EXPECT_EQ(roll(zeros({0}), 2).shape(), (Shape{0}));
  const Tensor copy = roll(x, 3, 1);
  copy.fill_(9);
  EXPECT_EQ(x.to_vector<float>()[0], 0) << "a result of its own, also where nothing moves";
  const Inputs in{leaf({2, 3, 4, 5}, 1)};
  const Function f = [](const Inputs& v) { return roll(v[0] * v[0], {3, -1}, {-1, 1}); };
  expect_gradients(f, in);
  expect_f32_follows_f64(f, in);
  expect_f32_follows_f64([](const Inputs& v) { return roll(v[0], 7); }, in);
  expect_error([&] { roll(x, {1, 2}); }, {"[roll]", "2 shifts and 0 axes"});
}

TEST(Rot90, TurnsFromTheFirstAxisTowardsTheSecond) {
  const Tensor x = counted({2, 2});  // PyTorch's own example
  EXPECT_EQ(rot90(x).to_vector<float>(), (Floats{1, 3, 0, 2}));
  EXPECT_EQ(rot90(x, 2).to_vector<float>(), (Floats{3, 2, 1, 0}));
  EXPECT_EQ(rot90(x, -1).to_vector<float>(), (Floats{2, 0, 3, 1}));
  EXPECT_EQ(rot90(x, 4).to_vector<float>(), x.to_vector<float>());
  const Tensor y = counted({2, 2, 2});
  EXPECT_EQ(rot90(y, 1, {1, 2}).to_vector<float>(), (Floats{1, 3, 0, 2, 5, 7, 4, 6}));
  for (int64_t k = -3; k < 6; ++k) {
    expect_close(rot90(rot90(y, k, {0, 2}), -k, {0, 2}), y, 0);
    expect_gradients(
        [k](const Inputs& in) {
          return rot90(in[0] * in[0], k, {2, 0});
        },
        {leaf({2, 3, 2}, 1)});
  }
  expect_error([&] { rot90(x, 1, {0, -2}); }, {"[rot90]", "twice"});
  expect_error([&] { rot90(x, 1, 0); }, {"[rot90]", "want two"});
}

TEST(Repeat, AsTorchAndNumpyTile) {
  const Tensor x = tensor(Floats{1, 2, 3}, {3});
  EXPECT_EQ(repeat(x, 2).to_vector<float>(), (Floats{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(repeat(x, {2, 1}).shape(), (Shape{2, 3}));
  EXPECT_EQ(repeat(tensor(Floats{1, 2, 3, 4}, {2, 2}), {2, 2}).to_vector<float>(),
            (Floats{1, 2, 1, 2, 3, 4, 3, 4, 1, 2, 1, 2, 3, 4, 3, 4}));
  EXPECT_EQ(repeat(x, {0, 2}).shape(), (Shape{0, 6}));
  EXPECT_EQ(repeat(zeros({0, 2}), {3, 2}).shape(), (Shape{0, 4}));
  EXPECT_EQ(repeat(ones({}), 3).to_vector<float>(), (Floats{1, 1, 1}));
  const Tensor deep = repeat(ones({2, 1, 2, 1, 2, 1}), {1, 1, 2, 2, 2, 2, 2, 3});
  EXPECT_EQ(deep.shape(), (Shape{1, 1, 4, 2, 4, 2, 4, 3}));
  const Inputs in{leaf({2, 3, 2, 2}, 1)};
  const Function f = [](const Inputs& v) { return repeat(v[0] * v[0], {2, 1, 3, 2}); };
  expect_gradients(f, in);
  expect_f32_follows_f64(f, in);
  expect_error([&] { repeat(zeros({2, 2}), 2); }, {"[repeat]", "f32[2,2]"});
  expect_error([&] { repeat(x, -1); }, {"[repeat]", "-1"});
  expect_error([&] { repeat(x, INT64_MAX); }, {"[repeat]"});
}

TEST(Stacks, SideBySideAndBelow) {
  const Tensor x = tensor(Floats{1, 2}, {2}), y = tensor(Floats{3, 4}, {2});
  EXPECT_EQ(hstack({x, y}).to_vector<float>(), (Floats{1, 2, 3, 4}));
  EXPECT_EQ(vstack({x, y}).shape(), (Shape{2, 2}));
  EXPECT_EQ(hstack({unsqueeze(x, 1), unsqueeze(y, 1)}).to_vector<float>(), (Floats{1, 3, 2, 4}));
  EXPECT_EQ(vstack({x, zeros({3, 2})}).shape(), (Shape{4, 2}));
  EXPECT_EQ(hstack({ones({}), x}).shape(), (Shape{3}));
  expect_error([] { hstack({}); }, {"no tensors"});
  expect_gradients(
      [](const Inputs& in) {
        return vstack({in[0] * in[0], in[1]});
      },
      {leaf({3}, 1), leaf({2, 3}, 2)});
}

/// What pad should give, place by place.
Tensor padded_by_hand(const Tensor& x, const std::vector<int64_t>& amounts, PadMode mode,
                      double value) {
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end());
  std::vector<int64_t> before(sizes.size(), 0);
  for (size_t i = 0; i < amounts.size() / 2; ++i) {
    const size_t d = sizes.size() - 1 - i;
    before[d] = amounts[2 * i];
    sizes[d] += amounts[2 * i] + amounts[2 * i + 1];
  }
  const Tensor y = empty(sizes, DType::f64);
  const auto from = x.to(DType::f64).to_vector<double>();
  for (int64_t i = 0; i < y.numel(); ++i) {
    int64_t rest = i, place = 0, stride = 1;
    bool inside = true;
    for (size_t d = sizes.size(); d-- > 0;) {
      const int64_t n = x.shape()[static_cast<int>(d)];
      int64_t at = rest % sizes[d] - before[d];
      rest /= sizes[d];
      if (at < 0 || at >= n) {
        if (mode == PadMode::constant) inside = false;
        if (mode == PadMode::reflect) at = at < 0 ? -at : 2 * (n - 1) - at;
        if (mode == PadMode::replicate) at = at < 0 ? 0 : n - 1;
        if (mode == PadMode::circular) at = (at + n) % n;
      }
      place += at * stride;
      stride *= n;
    }
    y.raw<double>()[i] = inside ? from[static_cast<size_t>(place)] : value;
  }
  return y;
}

TEST(Pad, EveryModeAtEveryAxis) {
  const std::vector<PadMode> modes{PadMode::constant, PadMode::reflect, PadMode::replicate,
                                   PadMode::circular};
  const Inputs in{leaf({2, 3, 4, 5}, 1)};
  for (const PadMode mode : modes) {
    for (const std::vector<int64_t>& amounts : {std::vector<int64_t>{1, 2},
                                                {0, 3, 2, 1},
                                                {2, 2, 0, 0, 1, 2},
                                                {1, 1, 1, 0, 2, 0, 0, 1},
                                                {}}) {
      SCOPED_TRACE(to_string(mode));
      const PadOptions options{.mode = mode, .value = 1.5};
      for (const DType dtype : {DType::f32, DType::f64}) {
        for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
          const Tensor x = to_memory_format(in[0].detach().to(dtype), format);
          const Tensor y = pad(x, amounts, options);
          EXPECT_EQ(y.memory_format(), format);
          EXPECT_FALSE(y.is_same(x));
          expect_close(y, padded_by_hand(x, amounts, mode, 1.5), 0);
        }
      }
      const Function f = [&](const Inputs& x) { return pad(x[0] * x[0], amounts, options); };
      expect_gradients(f, in);
      expect_f32_follows_f64(f, in);
    }
  }
}

TEST(Pad, NegativeAmountsTakeAway) {
  const Tensor x = counted({3, 4});
  EXPECT_EQ(pad(x, {-1, -2}).to_vector<float>(), (Floats{1, 5, 9}));
  EXPECT_EQ(pad(x, {-1, 1, 1, -2}, {.value = 7}).to_vector<float>(),
            (Floats{7, 7, 7, 7, 1, 2, 3, 7}));
  EXPECT_EQ(pad(x, {-4, 1}, {.value = 7}).to_vector<float>(), (Floats{7, 7, 7}));
  expect_gradients(
      [](const Inputs& in) {
        return pad(in[0] * in[0], {-1, 2, 1, -2});
      },
      {leaf({3, 4}, 1)});
  EXPECT_EQ(pad(arange(2), {1, 1}, {.value = 5}).to_vector<int64_t>(),
            (std::vector<int64_t>{5, 0, 1, 5}));
  EXPECT_EQ(pad(zeros({0, 2}), {0, 0, 1, 1}, {.value = 3}).to_vector<float>(),
            (Floats{3, 3, 3, 3}));
}

TEST(Pad, Errors) {
  const Tensor x = zeros({2, 3});
  expect_error([&] { pad(x, 1); }, {"[pad]", "1 amounts", "f32[2,3]"});
  expect_error([&] { pad(x, {1, 1, 1, 1, 1, 1}); }, {"[pad]", "6 amounts"});
  expect_error([&] { pad(x, {3, 0}, {.mode = PadMode::reflect}); }, {"[pad]", "0 to 2", "reflect"});
  expect_error([&] { pad(x, {4, 0}, {.mode = PadMode::circular}); }, {"[pad]", "0 to 3"});
  expect_error([&] { pad(x, {-1, 0}, {.mode = PadMode::replicate}); }, {"[pad]", "-1"});
  expect_error([&] { pad(x, {-2, -2}); }, {"[pad]", "axis 1", "3"});
  expect_error([&] { pad(zeros({0}), {1, 0}, {.mode = PadMode::replicate}); }, {"[pad]"});
}

TEST(Pad, CheckerRejectsAWrongBackward) {
  expect_rejected(
      [](const Inputs& x) {
        return with_backward(pad(x[0], {1, 0}, {.mode = PadMode::circular}), x,
                             [](const Tensor& dy) -> Gradients {
                               return {slice(dy, 0, 1, 4)};  // the border is forgotten
                             });
      },
      {leaf({3}, 1)});
}

}  // namespace
}  // namespace tern
