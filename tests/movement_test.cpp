// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "op_checks.h"

namespace tern {
namespace {

using namespace checks;

/// 0, 1, 2, ... in row-major order of the indices, in the given memory order.
Tensor counted(const Shape& shape, DType dtype = DType::f32, Order order = Order::row_major) {
  const Tensor flat = arange(static_cast<double>(shape.numel()), dtype);
  const Tensor x = reshape(flat, {shape.begin(), shape.end()});
  return shape.size() == 4 ? to_order(x, order) : x;
}

/// Element by element: y's element at `index` is x's at source(index).
template <class Source>
void expect_moved(const Tensor& y, const Tensor& x, const Source& source) {
  const auto from = x.to(DType::f64).to_vector<double>();
  const auto to = y.to(DType::f64).to_vector<double>();
  std::vector<int64_t> index(static_cast<size_t>(y.dim()));
  for (size_t i = 0; i < to.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    for (int d = static_cast<int>(y.dim()) - 1; d >= 0; --d) {
      index[static_cast<size_t>(d)] = rest % y.shape()[d];
      rest /= y.shape()[d];
    }
    const std::vector<int64_t> at = source(index);
    int64_t place = 0;
    for (int d = 0; d < x.shape().size(); ++d)
      place = place * x.shape()[d] + at[static_cast<size_t>(d)];
    ASSERT_EQ(to[i], from[static_cast<size_t>(place)]) << i;
  }
}

constexpr DType kAllDtypes[] = {DType::f32, DType::f64, DType::i64, DType::u8};
constexpr Order kOrders[] = {Order::row_major, Order::channels_last};

TEST(Reshape, SharesMemoryAndInfersOneSize) {
  const Tensor x = counted({2, 6});
  const Tensor y = reshape(x, {3, -1});
  EXPECT_EQ(y.shape(), (Shape{3, 4}));
  EXPECT_EQ(y.storage(), x.storage());
  EXPECT_EQ(y.to_vector<float>(), x.to_vector<float>());
  EXPECT_EQ(reshape(x, {12}).shape(), Shape{12});
  EXPECT_EQ(reshape(ones({1}), {}).shape(), Shape{});
  EXPECT_EQ(reshape(zeros({0, 3}), {3, 0}).shape(), (Shape{3, 0}));
}

TEST(Reshape, ChannelsLastIsReadInIndexOrder) {
  const Tensor x = counted({2, 3, 4, 5}, DType::f32, Order::channels_last);
  reset_counters();
  EXPECT_EQ(flatten(x, 1).to_vector<float>(), counted({2, 60}).to_vector<float>());
  EXPECT_EQ(counters().reorders, 1);
  // One channel, or one pixel, lies the same in both orders.
  EXPECT_EQ(flatten(to_order(ones({2, 8, 1, 1}), Order::channels_last), 1).shape(), (Shape{2, 8}));
  EXPECT_EQ(counters().reorders, 1);
}

TEST(Reshape, GradientLiesAsXDoes) {
  const Tensor x = to_order(randn({2, 3, 4, 5}), Order::channels_last).set_requires_grad();
  const Tensor y = flatten(x, 1);
  y.backward(y.detach());
  EXPECT_EQ(x.grad().order(), Order::channels_last);
  expect_close(x.grad(), x.detach(), 0);
}

TEST(Reshape, Errors) {
  const Tensor x = zeros({2, 6});
  expect_error([&] { reshape(x, {5}); }, {"[reshape]", "f32[2,6]", "12", "[5]"});
  expect_error([&] { reshape(x, {5, -1}); }, {"5", "[5,-1]"});
  expect_error([&] { reshape(x, {-1, -1}); }, {"more than one", "[-1,-1]"});
  expect_error([&] { reshape(x, {-2, 6}); }, {"-2"});
  expect_error([&] { reshape(zeros({0}), {0, -1}); }, {"-1", "[0,-1]"});
  expect_error([&] { reshape(x, {int64_t{1} << 40, int64_t{1} << 40}); }, {"[reshape]"});
  expect_error([&] { flatten(x, 1, 0); }, {"[flatten]", "start_axis 1"});
}

TEST(Permute, EveryDtypeAndOrder) {
  for (const DType dtype : kAllDtypes) {
    for (const Order order : kOrders) {
      const Tensor x = counted({2, 3, 5, 7}, dtype, order);
      std::vector<int64_t> axes{0, 1, 2, 3};
      do {
        expect_moved(permute(x, axes), x, [&](const std::vector<int64_t>& index) {
          std::vector<int64_t> at(4);
          for (size_t d = 0; d < 4; ++d) at[static_cast<size_t>(axes[d])] = index[d];
          return at;
        });
      } while (std::next_permutation(axes.begin(), axes.end()));
    }
  }
}

TEST(Permute, LargeTranspositions) {
  for (const Shape& shape : {Shape{33, 1030}, Shape{1030, 33}, Shape{700, 700}}) {
    const Tensor x = counted(shape, DType::i64);
    expect_moved(transpose(x, 0, 1), x, [](const std::vector<int64_t>& index) {
      return std::vector<int64_t>{index[1], index[0]};
    });
  }
  const Tensor x = counted({3, 65, 2, 70}, DType::i64);
  expect_moved(transpose(x, 1, -1), x, [](const std::vector<int64_t>& i) {
    return std::vector<int64_t>{i[0], i[3], i[2], i[1]};
  });
}

TEST(Permute, BetweenImageOrdersIsFree) {
  const Tensor x = randn({2, 3, 4, 5});
  const Tensor y = permute(x, {0, 3, 1, 2});
  EXPECT_EQ(y.storage(), x.storage());
  EXPECT_EQ(y.order(), Order::channels_last);
  EXPECT_EQ(permute(y, {0, 2, 3, 1}).storage(), x.storage());
  EXPECT_EQ(permute(y, {0, 2, 3, 1}).to_vector<float>(), x.to_vector<float>());
  expect_error([&] { permute(x, {0, 1, 2}); }, {"[permute]", "[0,1,2]", "f32[2,3,4,5]"});
  expect_error([&] { permute(x, {0, 1, 2, 2}); }, {"twice"});
  expect_error([&] { transpose(x, 0, 4); }, {"[transpose]", "axis 4"});
}

TEST(Slice, IsPythons) {
  for (const DType dtype : kAllDtypes) {
    for (const Order order : kOrders) {
      const Tensor x = counted({2, 3, 5, 7}, dtype, order);
      for (int64_t axis = 0; axis < 4; ++axis) {
        const int64_t size = x.size(axis);
        for (const int64_t start : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{-100}}) {
          for (const int64_t end : {int64_t{2}, size, int64_t{-1}, int64_t{100}}) {
            for (const int64_t step : {1, 2, 3}) {
              const int64_t first = std::clamp<int64_t>(start < 0 ? start + size : start, 0, size);
              const int64_t last = std::clamp<int64_t>(end < 0 ? end + size : end, 0, size);
              int64_t count = 0;
              for (int64_t i = first; i < last; i += step) ++count;
              const Tensor y = slice(x, axis, start, end, step);
              ASSERT_EQ(y.shape(), x.shape().with(static_cast<int>(axis), count));
              EXPECT_EQ(y.order(), order);
              expect_moved(y, x, [&](std::vector<int64_t> at) {
                auto& i = at[static_cast<size_t>(axis)];
                i = first + i * step;
                return at;
              });
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(slice(counted({5}), 0, 1, INT64_MAX, INT64_MAX).to_vector<float>(),
            std::vector<float>{1});
  expect_error([] { slice(zeros({3}), 0, 0, 2, 0); }, {"[slice]", "step is 0"});
  expect_error([] { slice(zeros({3}), 1, 0, 2); }, {"[slice]", "axis 1"});
}

TEST(Cat, UndoesSlices) {
  for (const DType dtype : kAllDtypes) {
    for (const Order order : kOrders) {
      const Tensor x = counted({4, 5, 6, 7}, dtype, order);
      for (int64_t axis = -4; axis < 0; ++axis) {
        const Tensor other =
            to_order(slice(x, axis, 1, 3), order == kOrders[0] ? kOrders[1] : kOrders[0]);
        const Tensor y =
            cat({slice(x, axis, 0, 1), other, slice(x, axis, 3, 3), slice(x, axis, 3, 100)}, axis);
        EXPECT_EQ(y.order(), order);
        expect_close(y, x, 0);
      }
    }
  }
}

TEST(Cat, MoreTensorsThanANodeHasInputs) {
  const Tensor x = randn({200, 3}, DType::f64).set_requires_grad();
  Inputs rows;
  for (int64_t i = 0; i < 200; ++i) rows.push_back(slice(x, 0, i, i + 1));
  const Tensor y = cat(rows);
  expect_close(y, x, 0);
  y.backward(x.detach());
  expect_close(x.grad(), x, 0);
}

TEST(Cat, Errors) {
  expect_error([] { cat({}); }, {"[cat]", "no tensors"});
  expect_error([] { cat({zeros({2, 3}), zeros({2, 4})}); }, {"tensor 1", "f32[2,4]", "f32[2,3]"});
  expect_error([] { cat({zeros({2}), zeros({2}, DType::f64)}); }, {"f64[2]"});
  expect_error([] { cat({zeros({2}), zeros({2, 2})}); }, {"f32[2,2]"});
  expect_error([] { cat({zeros({2}), zeros({2})}, 1); }, {"axis 1"});
}

TEST(Squeeze, AddsAndRemovesAxes) {
  EXPECT_EQ(unsqueeze(zeros({2, 3}), 0).shape(), (Shape{1, 2, 3}));
  EXPECT_EQ(unsqueeze(zeros({2, 3}), -1).shape(), (Shape{2, 3, 1}));
  EXPECT_EQ(unsqueeze(zeros({}), 0).shape(), Shape{1});
  EXPECT_EQ(squeeze(zeros({2, 1, 3}), 1).shape(), (Shape{2, 3}));
  EXPECT_EQ(squeeze(zeros({2, 1, 3}), 0).shape(), (Shape{2, 1, 3}));
  expect_error([] { unsqueeze(zeros({2}), 2); }, {"[unsqueeze]", "axis 2"});
  expect_error([] { squeeze(zeros({2}), 1); }, {"[squeeze]", "axis 1"});
}

TEST(BroadcastTo, StretchesAndSumsBack) {
  for (const Order order : kOrders) {
    const Tensor x = counted({2, 3, 1, 5}, DType::f32, order);
    const Tensor y = broadcast_to(x, {2, 3, 4, 5});
    EXPECT_EQ(y.order(), order);
    expect_moved(y, x, [](std::vector<int64_t> at) {
      at[2] = 0;
      return at;
    });
    expect_close(sum_to(y, {2, 3, 1, 5}), x * 4.0, 0);
    EXPECT_EQ(sum_to(y, {1, 5}).shape(), (Shape{1, 5}));
  }
  expect_error([] { broadcast_to(zeros({3}), {2}); }, {"[broadcast_to]"});
  expect_error([] { broadcast_to(zeros({3}), {1}); }, {"[broadcast_to]", "f32[3]", "[1]"});
  expect_error([] { sum_to(zeros({3}), {2}); }, {"[sum_to]", "f32[3]", "[2]"});
  expect_error([] { sum_to(zeros({3}), {1, 3}); }, {"[sum_to]"});
}

TEST(Movement, GradientsOfEveryOperation) {
  const Inputs x{leaf({2, 3, 4, 2}, 1)};
  const Function functions[] = {
      [](const Inputs& in) {
        return reshape(in[0], {4, -1});
      },
      [](const Inputs& in) { return flatten(in[0], 1, 2); },
      [](const Inputs& in) { return transpose(in[0], 1, 3); },
      [](const Inputs& in) {
        return permute(in[0], {0, 2, 3, 1});
      },
      [](const Inputs& in) {
        return permute(in[0], {0, 3, 1, 2});
      },
      [](const Inputs& in) {
        return permute(in[0], {3, 0, 2, 1});
      },
      [](const Inputs& in) { return slice(in[0], 2, -3, 4, 2); },
      [](const Inputs& in) {
        return cat({in[0], in[0], slice(in[0], 1, 0, 1)}, 1);
      },
      [](const Inputs& in) { return unsqueeze(in[0], 2); },
      [](const Inputs& in) { return squeeze(slice(in[0], 1, 2, 3), 1); },
      [](const Inputs& in) {
        return broadcast_to(slice(in[0], 3, 1, 2), {3, 2, 3, 4, 5});
      },
      [](const Inputs& in) {
        return sum_to(in[0], {3, 1, 1});
      },
  };
  for (const Function& f : functions) {
    // Squared, so that there is a second derivative.
    const auto squared = [&](const Inputs& in) { return f({in[0] * in[0]}); };
    expect_gradients(squared, x);
    expect_f32_follows_f64(f, x);
  }
}

TEST(Movement, CheckerRejectsAWrongBackward) {
  expect_rejected(
      [](const Inputs& x) {
        return with_backward(transpose(x[0], 0, 1), x, [](const Tensor& dy) -> Gradients {
          return {reshape(dy, {3, 4})};
        });
      },
      {leaf({3, 4}, 1)});
  expect_rejected(
      [](const Inputs& x) {
        return with_backward(slice(x[0], 0, 1, 3), x, [](const Tensor& dy) -> Gradients {
          return {cat({dy, zeros({1}, DType::f64)})};
        });
      },
      {leaf({3}, 1)});
}

}  // namespace
}  // namespace tern
