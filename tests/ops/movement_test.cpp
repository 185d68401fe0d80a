// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

/// 0, 1, 2, ... in row-major order of the indices, in the given memory format.
Tensor counted(const Shape& shape, DType dtype = DType::f32,
               MemoryFormat order = MemoryFormat::row_major) {
  std::vector<int64_t> numbers(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<int64_t>(dtype == DType::u8 ? i % 251 : i);
  }
  const Tensor flat = tensor(numbers, {shape.numel()}).to(dtype);
  const Tensor x = reshape(flat, {shape.begin(), shape.end()});
  return shape.size() == 4 ? to_memory_format(x, order) : x;
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

std::vector<double> values_of(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

constexpr DType kAllDtypes[] = {DType::f32, DType::f64, DType::i64, DType::u8};
constexpr MemoryFormat kOrders[] = {MemoryFormat::row_major, MemoryFormat::channels_last};

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
  const Tensor x = counted({2, 3, 4, 5}, DType::f32, MemoryFormat::channels_last);
  reset_counters();
  EXPECT_EQ(flatten(x, 1).to_vector<float>(), counted({2, 60}).to_vector<float>());
  EXPECT_EQ(counters().reorders, 1);
  // One channel, or one pixel, lies the same in both orders.
  EXPECT_EQ(flatten(to_memory_format(ones({2, 8, 1, 1}), MemoryFormat::channels_last), 1).shape(),
            (Shape{2, 8}));
  EXPECT_EQ(counters().reorders, 1);
}

TEST(Reshape, GradientLiesAsXDoes) {
  const Tensor x =
      to_memory_format(randn({2, 3, 4, 5}), MemoryFormat::channels_last).set_requires_grad();
  const Tensor y = flatten(x, 1);
  y.backward(y.detach());
  EXPECT_EQ(x.grad().memory_format(), MemoryFormat::channels_last);
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
    for (const MemoryFormat order : kOrders) {
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
  EXPECT_EQ(y.memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(permute(y, {0, 2, 3, 1}).storage(), x.storage());
  EXPECT_EQ(permute(y, {0, 2, 3, 1}).to_vector<float>(), x.to_vector<float>());
  expect_error([&] { permute(x, {0, 1, 2}); }, {"[permute]", "[0,1,2]", "f32[2,3,4,5]"});
  expect_error([&] { permute(x, {0, 1, 2, 2}); }, {"twice"});
  expect_error([&] { transpose(x, 0, 4); }, {"[transpose]", "axis 4"});
}

TEST(Slice, IsPythons) {
  for (const DType dtype : kAllDtypes) {
    for (const MemoryFormat order : kOrders) {
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
              EXPECT_EQ(y.memory_format(), order);
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

// Also where nothing is cut off or joined.
TEST(Movement, SlicesAndJoinsAreCopies) {
  for (const DType dtype : kAllDtypes) {
    for (const MemoryFormat order : kOrders) {
      const Tensor x = counted({2, 3, 5, 7}, dtype, order);
      const auto before = contiguous(x).to(DType::f64).to_vector<double>();
      for (const Tensor& y : {cat({x}, 1), slice(x, 2, 0, 5), split(x, 2)[0], chunk(x, 1)[0]}) {
        expect_close(y, x, 0);
        EXPECT_EQ(y.memory_format(), order);
        y.fill_(1);
        EXPECT_EQ(contiguous(x).to(DType::f64).to_vector<double>(), before);
      }
    }
  }
  EXPECT_EQ(slice(zeros({0, 3}), 0, 0, 5).shape(), (Shape{0, 3}));
  expect_gradients([](const Inputs& in) { return cat({in[0]}) * slice(in[0], 0, 0, 3); },
                   {leaf({3, 2}, 1)});
}

TEST(Select, TakesOneIndexAndItsAxis) {
  const Tensor x = counted({2, 3}, DType::f64);
  EXPECT_EQ(values_of(select(x, 0, 1)), (std::vector<double>{3, 4, 5}));
  EXPECT_EQ(values_of(select(x, 1, -1)), (std::vector<double>{2, 5}));
  expect_error([&] { select(x, 1, 3); }, {"[select]", "index 3", "-3 to 2"});
  expect_error([&] { select(x, 1, -4); }, {"[select]", "-4"});
  expect_gradients([](const Inputs& in) { return select(in[0], 1, -2); }, {leaf({2, 3, 2}, 1)});
}

TEST(Narrow, TakesALength) {
  const Tensor x = counted({2, 4}, DType::f64);
  EXPECT_EQ(values_of(narrow(x, 1, 1, 2)), (std::vector<double>{1, 2, 5, 6}));
  EXPECT_EQ(values_of(narrow(x, 1, -1, 1)), (std::vector<double>{3, 7}));
  EXPECT_EQ(narrow(x, 1, 4, 0).shape(), (Shape{2, 0}));
  EXPECT_FALSE(narrow(x, 1, 0, 4).is_same(x));
  expect_error([&] { narrow(x, 1, 3, 2); }, {"[narrow]", "start 3", "length 2"});
  expect_error([&] { narrow(x, 1, 0, -1); }, {"[narrow]", "length -1"});
  expect_gradients([](const Inputs& in) { return narrow(in[0], 0, 1, 2); }, {leaf({4, 2}, 1)});
}

TEST(Stack, IsTheContraryOfUnbind) {
  for (const DType dtype : {DType::f32, DType::i64, DType::u8}) {
    const Tensor x = counted({2, 3, 4}, dtype);
    for (int64_t axis = -3; axis < 3; ++axis) {
      const Tensor y = stack(unbind(x, axis), axis);
      EXPECT_EQ(y.shape(), x.shape());
      EXPECT_EQ(values_of(y), values_of(x)) << axis;
    }
  }
  EXPECT_EQ(stack({zeros({0, 2}), zeros({0, 2})}, 2).shape(), (Shape{0, 2, 2}));
  EXPECT_EQ(values_of(stack({full({}, 1.0), full({}, 2.0)})), (std::vector<double>{1, 2}));
  const Tensor image = counted({1, 2, 2, 2}, DType::f64, MemoryFormat::channels_last);
  EXPECT_EQ(values_of(stack({image, image}, 4)), values_of(stack({contiguous(image), image}, 4)));
  expect_error([] { stack({}); }, {"[stack]", "no tensors"});
  expect_error([] { stack({zeros({2}), zeros({3})}); }, {"[stack]", "tensor 1", "f32[3]"});
  expect_error([] { stack({zeros({2})}, 2); }, {"[stack]", "axis 2"});
  expect_gradients(
      [](const Inputs& in) {
        return stack({in[0], in[1], in[0]}, 1);
      },
      {leaf({2, 3}, 1), leaf({2, 3}, 2)});
}

TEST(Cat, UndoesSlices) {
  for (const DType dtype : kAllDtypes) {
    for (const MemoryFormat order : kOrders) {
      const Tensor x = counted({4, 5, 6, 7}, dtype, order);
      for (int64_t axis = -4; axis < 0; ++axis) {
        const Tensor other =
            to_memory_format(slice(x, axis, 1, 3), order == kOrders[0] ? kOrders[1] : kOrders[0]);
        const Tensor y =
            cat({slice(x, axis, 0, 1), other, slice(x, axis, 3, 3), slice(x, axis, 3, 100)}, axis);
        EXPECT_EQ(y.memory_format(), order);
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
  for (const MemoryFormat order : kOrders) {
    const Tensor x = counted({2, 3, 1, 5}, DType::f32, order);
    const Tensor y = broadcast_to(x, {2, 3, 4, 5});
    EXPECT_EQ(y.memory_format(), order);
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

// ---- split, chunk, unbind -----------------------------------------------------------------------

std::vector<int64_t> lengths(const std::vector<Tensor>& parts, int64_t axis) {
  std::vector<int64_t> result;
  for (const Tensor& part : parts) result.push_back(part.size(axis));
  return result;
}

using Lengths = std::vector<int64_t>;

TEST(Split, CutsAsTorchDoes) {
  const Tensor x = ones({2, 5});
  EXPECT_EQ(lengths(split(x, 2, 1), 1), (Lengths{2, 2, 1}));
  EXPECT_EQ(lengths(split(x, 5, -1), 1), (Lengths{5}));
  EXPECT_EQ(lengths(split(x, 9, 1), 1), (Lengths{5}));
  EXPECT_EQ(lengths(split(x, {2, 0, 3}, 1), 1), (Lengths{2, 0, 3}));
  EXPECT_EQ(lengths(split(x, {2}), 0), (Lengths{2})) << "sizes, not parts of 2";
  EXPECT_THROW(split(x, {1}), Error);
  EXPECT_EQ(lengths(chunk(x, 4, 1), 1), (Lengths{2, 2, 1})) << "three, not four";
  EXPECT_EQ(lengths(chunk(x, 5, 1), 1), (Lengths{1, 1, 1, 1, 1}));
  EXPECT_EQ(lengths(chunk(x, INT64_MAX, 1), 1), (Lengths{1, 1, 1, 1, 1}));
  EXPECT_EQ(unbind(x, 1).size(), 5u);
  EXPECT_EQ(unbind(x, 1)[0].shape(), Shape{2});
  EXPECT_EQ(unbind(ones({3}))[0].shape(), Shape{});

  const Tensor none = zeros({0, 3});
  EXPECT_EQ(lengths(split(none, 4), 0), (Lengths{0}));
  EXPECT_EQ(lengths(split(none, 0), 0), (Lengths{0}));
  EXPECT_EQ(lengths(chunk(none, 3), 0), (Lengths{0, 0, 0}));
  EXPECT_EQ(split(none, std::vector<int64_t>{}).size(), 0u);
  EXPECT_EQ(unbind(none).size(), 0u);
  EXPECT_EQ(unbind(none, 1)[2].shape(), Shape{0});
}

TEST(Split, PicksTheElements) {
  for (const DType dtype : kAllDtypes) {
    for (const MemoryFormat format : kOrders) {
      const Tensor x = counted({2, 3, 4, 5}, dtype, format);
      for (int axis = 0; axis < 4; ++axis) {
        int64_t start = 0;
        for (const Tensor& part : split(x, 2, axis)) {
          expect_moved(part, x, [&](std::vector<int64_t> i) {
            i[static_cast<size_t>(axis)] += start;
            return i;
          });
          EXPECT_EQ(part.memory_format(), format);
          start += part.size(axis);
        }
        int64_t at = 0;
        for (const Tensor& part : unbind(x, axis)) {
          expect_moved(part, x, [&](std::vector<int64_t> i) {
            i.insert(i.begin() + axis, at);
            return i;
          });
          ++at;
        }
      }
    }
  }
}

TEST(Split, SaysWhatIsWrong) {
  const Tensor x = ones({2, 5});
  expect_error([&] { split(x, 0, 1); }, "[split] size is 0, want at least 1 (x f32[2,5])");
  expect_error([&] { split(x, -1, 1); }, "[split] size is -1");
  expect_error(
      [&] {
        split(x, {2, 2}, 1);
      },
      "[split] sizes [2,2] do not add up to axis 1 of x f32[2,5], which has 5");
  expect_error([&] { split(x, {6, -1}, 1); }, "want sizes of at least 0 that do");
  expect_error([&] { split(x, {INT64_MAX, INT64_MAX, 7}, 1); }, "do not add up");
  expect_error([&] { chunk(x, 0); }, "[chunk] count is 0, want at least 1");
  expect_error([&] { unbind(x, 2); }, "[unbind] axis 2");
  expect_error([&] { unbind(ones({})); }, "[unbind]");
}

TEST(Split, HasGradients) {
  const Inputs x = {leaf({3, 2, 4, 5}, 1)};
  const Function functions[] = {
      // All parts, in one result; some parts; none but an empty one.
      [](const Inputs& in) {
        const auto p = split(in[0], 2, 2);
        return p[0] * p[1] + p[1];
      },
      [](const Inputs& in) {
        const auto p = split(in[0], {1, 0, 3, 1}, 3);
        return p[2] * p[0] + sum(p[1]);
      },
      [](const Inputs& in) {
        const auto p = chunk(in[0], 3, 3);
        return cat({p[2], p[0]}, 3);
      },
      [](const Inputs& in) {
        const auto p = unbind(in[0], 1);
        return p[0] * p[0] - p[1];
      },
      [](const Inputs& in) { return unbind(in[0], 3)[3]; },
      [](const Inputs& in) { return exp(unbind(unsqueeze(in[0], 2), 2)[0]); },
      [](const Inputs& in) {
        const auto p = unbind(in[0], 0);
        return cat({unsqueeze(p[1], 0), unsqueeze(p[2], 0)}, 0);
      },
  };
  for (const Function& f : functions) {
    const auto squared = [&](const Inputs& in) { return f({in[0] * in[0]}); };
    expect_gradients(squared, x);
    expect_f32_follows_f64(f, x);
  }
}

TEST(Split, GradientLiesAsItsTensor) {
  const Tensor x = counted({2, 4, 3, 3}, DType::f32, MemoryFormat::channels_last).detach();
  x.set_requires_grad();
  const auto parts = split(x, 2, 1);
  reset_counters();
  sum(contiguous(parts[1])).backward();
  EXPECT_EQ(x.grad().memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(counters().reorders, 2) << "contiguous, and its gradient";
}

// One tensor of x's size, however many parts: a slice's gradient is one each.
TEST(Split, BackwardIsOnePassOverMemory) {
  for (const int64_t steps : {int64_t{16}, int64_t{512}}) {
    const Tensor x = randn({steps, 4, 16}).set_requires_grad();
    const int64_t bytes = x.numel() * 4;
    for (const bool create_graph : {false, true}) {
      const auto parts = unbind(x);
      Tensor total = parts[0];
      for (size_t i = 1; i < parts.size(); ++i) total = total + parts[i];
      const Tensor y = sum(total);
      Profiler profiler;
      const auto dx = grad(y, {x}, {.create_graph = create_graph});
      profiler.stop();
      int64_t moved = 0, calls = 0;
      for (const ProfilerEvent& event : profiler.events()) {
        if (event.name.find("unbind") == std::string::npos) continue;
        moved += event.bytes;
        ++calls;
      }
      EXPECT_EQ(moved, 2 * bytes) << "read once, written once";
      EXPECT_LE(calls, 2);
      EXPECT_EQ(dx[0].to_vector<float>(), ones({steps, 4, 16}).to_vector<float>());
    }
  }
}

// The parts of cat's gradient are cut in one operation too, so that its own gradient is linear.
TEST(Cat, BackwardIsOneOperationAtEveryOrder) {
  std::vector<Tensor> parts;
  for (int i = 0; i < 200; ++i) parts.push_back(randn({1, 8}).set_requires_grad());
  const Tensor y = cat(parts);
  EXPECT_EQ(y.node()->inputs().size(), 200u);
  const auto gradients = grad(sum(y * y), parts, {.create_graph = true});
  EXPECT_EQ(gradients[0].node(), gradients[199].node());
  // Only those that are wanted are cut.
  const auto one = grad(sum(y * y), {parts[7]}, {.create_graph = true});
  EXPECT_EQ(one[0].node()->outputs(), 1u);
  EXPECT_EQ(one[0].to_vector<float>(), gradients[7].to_vector<float>());
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
