// SPDX-License-Identifier: Apache-2.0
// Changes in place, and the rules by which the tape allows them.
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

Tensor as(const Tensor& x, DType dtype, MemoryFormat format) {
  return to_memory_format(x.to(dtype).clone(), format);
}

// Against the operation that returns a tensor, in every dtype, format and broadcast.
TEST(InPlace, IsTheOperation) {
  using Change = void (*)(Tensor&, const Tensor&);
  using Of = Tensor (*)(const Tensor&, const Tensor&);
  const std::pair<Change, Of> pairs[] = {
      {[](Tensor& x, const Tensor& y) { add_(x, y); }, add},
      {[](Tensor& x, const Tensor& y) { x += y; }, add},
      {[](Tensor& x, const Tensor& y) { add_(x, y, -2); },
       [](const Tensor& x, const Tensor& y) { return x + y * -2.0; }},
      {[](Tensor& x, const Tensor& y) { sub_(x, y); }, sub},
      {[](Tensor& x, const Tensor& y) { sub_(x, y, 3); },
       [](const Tensor& x, const Tensor& y) { return x - y * 3.0; }},
      {[](Tensor& x, const Tensor& y) { x -= y; }, sub},
      {[](Tensor& x, const Tensor& y) { mul_(x, y); }, mul},
      {[](Tensor& x, const Tensor& y) { x *= y; }, mul},
      {[](Tensor& x, const Tensor& y) { div_(x, y); }, div},
      {[](Tensor& x, const Tensor& y) { x /= y; }, div},
      {[](Tensor& x, const Tensor& y) { lerp_(x, y, 0.25); },
       [](const Tensor& x, const Tensor& y) { return lerp(x, y, 0.25); }},
      {[](Tensor& x, const Tensor&) { clamp_(x, -0.5, 0.5); },
       [](const Tensor& x, const Tensor&) { return clamp(x, -0.5, 0.5); }},
      {[](Tensor& x, const Tensor&) { x += 2; },
       [](const Tensor& x, const Tensor&) { return x + 2; }},
      {[](Tensor& x, const Tensor&) { x -= 2; },
       [](const Tensor& x, const Tensor&) { return x - 2; }},
      {[](Tensor& x, const Tensor&) { x *= 3; },
       [](const Tensor& x, const Tensor&) { return x * 3; }},
      {[](Tensor& x, const Tensor&) { x /= 2; },
       [](const Tensor& x, const Tensor&) { return x / 2; }},
  };
  const MemoryFormat formats[] = {MemoryFormat::row_major, MemoryFormat::channels_last};
  for (const auto& [change, of] : pairs) {
    for (const Shape& shape : {Shape{2, 3, 4, 5}, Shape{3, 1, 1}, Shape{1}, Shape{2, 1, 4, 5}}) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        for (const MemoryFormat format : formats) {
          Tensor x = as(values({2, 3, 4, 5}, 1), dtype, format);
          Tensor y = values(shape, 2).to(dtype);
          if (y.dim() == 4) y = to_memory_format(y, MemoryFormat::channels_last);
          const Tensor expected = of(x, y), other = x, view = x.detach();
          const void* memory = x.raw_data();
          const uint64_t version = x.version();
          change(x, y);
          EXPECT_TRUE(x.is_same(other));
          EXPECT_EQ(x.raw_data(), memory);
          EXPECT_GT(x.version(), version);
          EXPECT_EQ(x.memory_format(), format);
          expect_close(view, expected, dtype == DType::f32 ? 1e-6 : 1e-14);
        }
      }
    }
  }
}

TEST(InPlace, OfItselfOfIntegersAndOfNothing) {
  Tensor x = arange(1, 4);
  x += x;
  x *= 2;
  x -= full({}, 1, DType::i64);
  EXPECT_EQ(x.to_vector<int64_t>(), (std::vector<int64_t>{3, 7, 11}));
  EXPECT_TRUE(clamp_(x, 4, 10).is_same(x));
  EXPECT_EQ(x.to_vector<int64_t>(), (std::vector<int64_t>{4, 7, 10}));
  Tensor nothing = zeros({0, 3});
  nothing += ones({3});
  EXPECT_EQ(nothing.shape(), (Shape{0, 3}));
}

TEST(InPlace, ErrorsComeBeforeChanges) {
  Tensor x = ones({3}), flag = gt(x, 0.0);
  expect_error([&] { add_(x, ones({2, 3})); }, {"[add_]", "f32[3]", "f32[2,3]"});
  expect_error([&] { x += ones({2}); }, {"[add_]", "[3]", "[2]"});
  expect_error([&] { mul_(x, ones({3}, DType::f64)); }, {"[mul_]", "f32[3]", "f64[3]"});
  expect_error([&] { div_(arange(3), arange(3)); }, {"[div_]", "i64[3]"});
  expect_error([&] { div_(arange(3), 2.0); }, {"[div_]", "i64[3]"});
  expect_error([&] { add_(arange(3), 0.5); }, {"[add_]", "0.5", "whole"});
  expect_error([&] { add_(flag, flag); }, {"[add_]", "bool[3]"});
  expect_error([&] { add_(flag, 1); }, {"[add_]", "bool[3]"});
  expect_error([&] { clamp_(x, NAN, 1); }, {"[clamp_]", "lo is nan"});
  expect_error([&] { lerp_(x, ones({2, 3}), 0.5); }, {"[copy_]", "f32[2,3]"});
  expect_error([&] { add_(x, Tensor()); }, {"undefined"});
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 1, 1}));
  EXPECT_EQ(x.version(), ones({3}).version());
}

TEST(InPlace, LeavesChangeUnderNoGradOnly) {
  Tensor w = ones({3}).set_requires_grad();
  const Tensor same = w;
  expect_error([&] { add_(w, 1); }, {"[add_]", "f32[3]", "in place", "NoGrad"});
  expect_error([&] { w += 1; }, {"[add_]", "NoGrad"});
  expect_error([&] { w += ones({3}); }, {"[add_]", "NoGrad"});
  expect_error([&] { w *= w; }, {"[mul_]", "NoGrad"});
  expect_error([&] { lerp_(w, ones({3}), 0.5); }, {"[lerp_]", "NoGrad"});
  expect_error([&] { clamp_(w, 0, 1); }, {"[clamp_]", "NoGrad"});
  {
    const NoGrad no_grad;
    w -= full({3}, 0.25);
    mul_(w, 2);
  }
  EXPECT_TRUE(w.is_same(same));
  EXPECT_TRUE(w.is_leaf() && w.requires_grad());
  EXPECT_EQ(same.to_vector<float>(), (std::vector<float>{1.5, 1.5, 1.5}));
}

// add_ is not recorded, so what would have to be recorded is an Error.
TEST(InPlace, NothingIsLostSilently) {
  const Tensor w = ones({3}).set_requires_grad(), x = zeros({3}), h = w * 2.0;
  expect_error([&] { add_(x, w); }, {"[add_]", "requires a gradient", "not recorded"});
  expect_error([&] { add_(h, x); }, {"[add_]", "NoGrad"});
  const Tensor y = ones({3});
  const Tensor product = w * y;  // saves y
  add_(y, 1);
  expect_error([&] { sum(product).backward(); }, {"[mul]", "changed in place"});
}

// += of a recorded tensor makes a new one of the handle; gradients are those of x = x + y.
TEST(InPlace, CompoundAssignmentIsDifferentiable) {
  expect_gradients(
      [](const Inputs& in) {
        Tensor x = in[0] * in[0];
        const Tensor before = x;
        x += in[1];
        x *= in[1];
        x -= in[0];
        x /= in[1] * in[1];
        x += 2;
        x *= 3;
        x -= 1;
        x /= 2;
        return x * before;
      },
      {leaf({2, 3}, 1), leaf({3}, 2)});
  Tensor total = zeros({}, DType::f64);  // begins without a gradient
  const Tensor w = leaf({3}, 4);
  const Tensor first = total;
  for (int i = 0; i < 3; ++i) total += sum(w * w);
  total.backward();
  expect_close(w.grad(), w.detach() * 6.0, 1e-15);
  EXPECT_EQ(first.item<double>(), 0) << "another handle keeps its values";
  Tensor h = w * 1.0;
  expect_error([&] { h += ones({2, 3}, DType::f64); }, {"[+=]", "f64[2,3]", "f64[3]"});
  EXPECT_EQ(h.shape(), Shape{3});
}

}  // namespace
}  // namespace tern
