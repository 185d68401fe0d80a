// SPDX-License-Identifier: Apache-2.0
// Reductions other than sum, mean and max.
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Places = std::vector<int64_t>;
using Bools = std::vector<uint8_t>;

const std::vector<IntList>& axis_sets() {
  static const std::vector<IntList> sets{{}, {0}, -1, {1, 3}, {0, 2, -1}, {2, 1}};
  return sets;
}

Tensor squared(const Inputs& in) { return in[0] * in[0]; }

/// Gradients over several axes, in float64, float32 and both memory formats.
void expect_reduction(const std::function<Tensor(const Tensor&, const IntList&, bool)>& f,
                      double tolerance = 4e-6) {
  const Inputs in{leaf({2, 3, 4, 2}, 2)};
  for (const IntList& axes : axis_sets()) {
    for (const bool keepdim : {false, true}) {
      const Function g = [&](const Inputs& x) { return f(x[0], axes, keepdim); };
      expect_gradients(g, in);
      expect_f32_follows_f64(g, in, tolerance);
      EXPECT_EQ(g(in).shape(), sum(in[0], axes, keepdim).shape());
    }
  }
}

TEST(Reduce, AxesAreNumbersOrLists) {
  const Tensor x = tensor(Floats{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(sum(x, 1).to_vector<float>(), (Floats{6, 15}));
  EXPECT_EQ(sum(x, 0).to_vector<float>(), (Floats{5, 7, 9}));
  EXPECT_EQ(mean(x, -1, true).shape(), (Shape{2, 1}));
  EXPECT_EQ(sum(x, {}, true).shape(), (Shape{1, 1})) << "no axis is all axes";
  EXPECT_EQ(sum(x, {0}).to_vector<float>(), (Floats{5, 7, 9}));
  EXPECT_EQ(sum(x, std::vector<int64_t>{0, 1}).item<float>(), 21);
  EXPECT_EQ(max(x, 1).to_vector<float>(), (Floats{3, 6}));
  const int axis = 1;
  EXPECT_EQ(min(x, axis).to_vector<float>(), (Floats{1, 4}));
}

TEST(Reduce, ASumIsTooLargeOnlyIfItIsItself) {
  const double huge = std::numeric_limits<double>::max();
  EXPECT_EQ(mean(full({64}, 3e38)).item<float>(), 3e38f);
  EXPECT_EQ(mean(full({64, 40}, 3e38), 0).to_vector<float>(), Floats(40, 3e38f));
  EXPECT_EQ(mean(full({2}, 1e308, DType::f64)).item<double>(), 1e308);
  EXPECT_EQ(mean(full({3}, huge, DType::f64)).item<double>(), huge);
  EXPECT_EQ(sum(tensor(Doubles{huge, huge, -huge, -huge, 1e300}, {5})).item<double>(), 1e300);
  EXPECT_EQ(sum(tensor(Floats{3e38f, 3e38f, -3e38f, -3e38f}, {4})).item<float>(), 0);
  EXPECT_EQ(sum(full({2}, 3e38)).item<float>(), INFINITY);
  EXPECT_EQ(mean(tensor(Floats{INFINITY, 1}, {2})).item<float>(), INFINITY);
  EXPECT_TRUE(std::isnan(mean(tensor(Floats{INFINITY, -INFINITY}, {2})).item<float>()));
}

TEST(Min, ValuesPlacesAndGradients) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::u8}) {
    const Tensor x = tensor(Places{3, 1, 1, 2, 5, 0}, {2, 3}).to(dtype);
    EXPECT_EQ(min(x).to(DType::i64).item<int64_t>(), 0);
    EXPECT_EQ(min(x).dtype(), dtype);
    EXPECT_EQ(min(x, 1).to(DType::i64).to_vector<int64_t>(), (Places{1, 0}));
    EXPECT_EQ(min(x, 0).to(DType::i64).to_vector<int64_t>(), (Places{2, 1, 0}));
    EXPECT_EQ(argmin(x, 1).to_vector<int64_t>(), (Places{1, 2}));
    EXPECT_EQ(argmin(x).item<int64_t>(), 5);
    EXPECT_EQ(argmax(x).item<int64_t>(), 4);
    EXPECT_EQ(argmin(x, 0, true).shape(), (Shape{1, 3}));
  }
  EXPECT_EQ(min(tensor(Places{INT64_MIN, 3}, {2})).item<int64_t>(), INT64_MIN);
  const Tensor x = tensor(Floats{1, 0, 0, 2}, {4}).set_requires_grad();
  min(x, 0).backward();
  EXPECT_EQ(x.grad().to_vector<float>(), (Floats{0, 1, 0, 0})) << "the first along an axis";
  expect_reduction(
      [](const Tensor& v, const IntList& axes, bool keep) { return min(v * v, axes, keep); });
  // Places count in row-major order in either format.
  const Tensor image = randn({2, 3, 5, 7});
  const Tensor last = to_memory_format(image, MemoryFormat::channels_last);
  EXPECT_EQ(argmin(last).item<int64_t>(), argmin(image).item<int64_t>());
  EXPECT_EQ(image.to_vector<float>()[static_cast<size_t>(argmin(image).item<int64_t>())],
            min(last).item<float>());
  expect_thread_invariant([&] { return min(image, {0, 2}); });
}

TEST(Min, NanWinsAndEmptyTensorsFollowOneRule) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Doubles& v : {Doubles{1, NAN, 2}, {NAN, 1, 2}, {1, 2, NAN}}) {
      EXPECT_TRUE(std::isnan(min(tensor(v, {3}).to(dtype)).item<double>()));
      const Tensor wide = repeat(unsqueeze(tensor(v, {3}).to(dtype), 1), {1, 7});
      EXPECT_TRUE(std::isnan(min(wide, 0).to(DType::f64).to_vector<double>()[3]));
      EXPECT_TRUE(
          std::isnan(v[static_cast<size_t>(argmin(tensor(v, {3}).to(dtype)).item<int64_t>())]));
    }
    EXPECT_EQ(min(full({40}, INFINITY, dtype)).item<double>(), INFINITY);
  }
  // A result without elements is empty; one with elements needs some to choose from.
  EXPECT_EQ(argmax(zeros({0, 0}), 1).shape(), (Shape{0}));
  EXPECT_EQ(max(zeros({0, 0}), 1).shape(), (Shape{0}));
  EXPECT_EQ(argmin(zeros({0, 0}), 1).shape(), (Shape{0}));
  EXPECT_EQ(min(zeros({0, 0}), 1).shape(), (Shape{0}));
  EXPECT_EQ(median(zeros({0, 2}), 1).shape(), (Shape{0}));
  for (const auto& f : std::vector<std::function<void()>>{
           [] {
             min(zeros({2, 0}), 1);
           },
           [] {
             max(zeros({2, 0}), 1);
           },
           [] {
             argmin(zeros({2, 0}), 1);
           },
           [] {
             argmax(zeros({2, 0}), 1);
           },
           [] {
             median(zeros({2, 0}), 1);
           },
           [] { argmax(zeros({0})); }, [] { min(zeros({0})); }, [] { median(zeros({0})); }}) {
    expect_error(f, {"no elements", "want at least one"});
  }
}

TEST(Prod, ValuesAndGradientsWithZeros) {
  EXPECT_EQ(prod(tensor(Floats{2, 3, 4, 5, 6}, {5})).item<float>(), 720);
  EXPECT_EQ(prod(tensor(Bools{2, 200, 3}, {3})).item<int64_t>(), 1200);
  EXPECT_EQ(prod(zeros({0, 2}), 0).to_vector<float>(), (Floats{1, 1}));
  EXPECT_EQ(prod(zeros({2, 0}), 0, true).shape(), (Shape{1, 0}));
  EXPECT_EQ(prod(full({}, 3)).item<float>(), 3);
  const Tensor x = tensor(Floats{2, 0, 4, 1, 0, 0}, {2, 3}).set_requires_grad();
  prod(x, 1).backward(tensor(Floats{1, 1}, {2}));
  EXPECT_EQ(x.grad().to_vector<float>(), (Floats{0, 8, 0, 0, 0, 0}));
  expect_reduction(
      [](const Tensor& v, const IntList& axes, bool keep) { return prod(v, axes, keep); });
  expect_error([] { prod(zeros({2, 3}), {1, -1}); }, {"[prod]", "twice"});
}

TEST(Truth, AnyAllCountEqual) {
  const Tensor x = tensor(Floats{0, 1, NAN, 0, 0, 0}, {2, 3});
  EXPECT_EQ(any(x, 1).to_vector<uint8_t>(), (Bools{1, 0}));
  EXPECT_EQ(any(x, 1).dtype(), DType::boolean);
  EXPECT_EQ(all(x, 0).to_vector<uint8_t>(), (Bools{0, 0, 0}));
  EXPECT_EQ(all(tensor(Places{1, 2, 0, 3}, {2, 2}), 0, true).shape(), (Shape{1, 2}));
  EXPECT_EQ(all(tensor(Places{1, 2, 0, 3}, {2, 2}), 0).to_vector<uint8_t>(), (Bools{0, 1}));
  EXPECT_TRUE(any(x).item<bool>());
  EXPECT_EQ(count_nonzero(x).item<int64_t>(), 2);
  EXPECT_EQ(count_nonzero(gt(x, 0.5), 0).to_vector<int64_t>(), (Places{0, 1, 0}));
  EXPECT_FALSE(any(zeros({0})).item<bool>());
  EXPECT_TRUE(all(zeros({0})).item<bool>());
  EXPECT_EQ(all(zeros({2, 0}), 1).to_vector<uint8_t>(), (Bools{1, 1}));
  EXPECT_EQ(any(zeros({2, 0}), 0).shape(), (Shape{0}));
  EXPECT_TRUE(equal(ones({2, 3}), ones({2, 3})));
  EXPECT_FALSE(equal(ones({2, 3}), ones({3, 2})));
  EXPECT_FALSE(equal(ones({2}), tensor(Floats{1, 2}, {2})));
  EXPECT_FALSE(equal(x, x)) << "NaN equals nothing";
  EXPECT_TRUE(equal(zeros({0}), zeros({0})));
  expect_error([] { equal(ones({1}), ones({1}, DType::f64)); }, {"[equal]", "f64[1]"});
}

TEST(Var, UnbiasedBiasedAndStable) {
  const Tensor x = tensor(Doubles{1, 2, 4, 5}, {4});
  EXPECT_DOUBLE_EQ(var(x).item<double>(), 10.0 / 3);
  EXPECT_DOUBLE_EQ(var(x, {}, {.correction = 0}).item<double>(), 2.5);
  EXPECT_DOUBLE_EQ(tern::std(x, 0, {.correction = 0}).item<double>(), std::sqrt(2.5));
  EXPECT_EQ(var(zeros({2, 3}), 1, {.keepdim = true}).shape(), (Shape{2, 1}));
  // Far from 0 the differences are what they were.
  EXPECT_EQ(var(tensor(Floats{4096, 4097, 4099, 4100}, {4}), 0, {.correction = 0}).item<float>(),
            2.5f);
  EXPECT_TRUE(std::isnan(var(ones({1})).item<float>())) << "0 / 0";
  EXPECT_TRUE(std::isnan(var(zeros({0})).item<float>()));
  EXPECT_TRUE(std::isnan(var(zeros({2, 0}), 1).to_vector<float>()[1]));
  for (const double correction : {0.0, 1.0}) {
    expect_reduction([&](const Tensor& v, const IntList& axes, bool keep) {
      return var(v, axes, {.correction = correction, .keepdim = keep});
    });
    expect_reduction([&](const Tensor& v, const IntList& axes, bool keep) {
      return tern::std(v, axes, {.correction = correction, .keepdim = keep});
    });
  }
  const Tensor constant = full({3}, 2).set_requires_grad();
  tern::std(constant).backward();
  EXPECT_EQ(constant.grad().to_vector<float>(), (Floats{0, 0, 0}));
  expect_error([] { var(arange(3)); }, {"[var]", "i64[3]", ".to(DType::f32)"});
}

TEST(Norm, Values) {
  const Tensor x = tensor(Doubles{3, -4, 0, 12}, {2, 2});
  EXPECT_DOUBLE_EQ(norm(x).item<double>(), 13);
  EXPECT_DOUBLE_EQ(norm(x, 1).item<double>(), 19);
  EXPECT_DOUBLE_EQ(norm(x, INFINITY).item<double>(), 12);
  EXPECT_DOUBLE_EQ(norm(x, -INFINITY).item<double>(), 0);
  EXPECT_DOUBLE_EQ(norm(x, 0).item<double>(), 3);
  EXPECT_NEAR(norm(x, 3).item<double>(), std::cbrt(27 + 64 + 1728), 1e-13);
  EXPECT_EQ(norm(x, 2, 1).to_vector<double>(), (Doubles{5, 12}));
  EXPECT_EQ(norm(x, 2, 0, true).shape(), (Shape{1, 2}));
  EXPECT_EQ(norm(zeros({0})).item<float>(), 0);
  EXPECT_EQ(norm(zeros({0}), INFINITY).item<float>(), 0);
  EXPECT_EQ(norm(zeros({2, 0}), 2, 0).shape(), (Shape{0}));
  EXPECT_TRUE(std::isnan(norm(tensor(Floats{NAN, 1}, {2})).item<float>()));
  EXPECT_EQ(norm(tensor(Floats{-INFINITY, 1}, {2})).item<float>(), INFINITY);
  expect_error([] { norm(arange(3)); }, {"[norm]", "i64[3]"});
  expect_error([] { norm(ones({3}), NAN); }, {"[norm]", "p is"});
}

TEST(Norm, NoSquareOverflowsOrVanishes) {
  EXPECT_FLOAT_EQ(norm(tensor(Floats{3e30f, 4e30f}, {2})).item<float>(), 5e30f);
  EXPECT_FLOAT_EQ(norm(tensor(Floats{3e-30f, 4e-30f}, {2})).item<float>(), 5e-30f);
  EXPECT_DOUBLE_EQ(norm(tensor(Doubles{3e200, 4e200}, {2})).item<double>(), 5e200);
  EXPECT_NEAR(norm(tensor(Doubles{3e200, 4e200}, {2}), 3).item<double>() / 1e200, std::cbrt(91.0),
              1e-12);
  const Tensor x = tensor(Floats{3e30f, 4e30f}, {2}).set_requires_grad();
  norm(x).backward();
  expect_close(x.grad(), tensor(Floats{0.6f, 0.8f}, {2}), 1e-6);
}

TEST(Norm, Gradients) {
  for (const double p : {1.0, 2.0, 3.0, 0.5, double{INFINITY}, -double{INFINITY}}) {
    SCOPED_TRACE(p);
    expect_reduction(
        [p](const Tensor& v, const IntList& axes, bool keep) { return norm(v, p, axes, keep); });
    const Tensor zero = zeros({3}).set_requires_grad();
    norm(zero, p).backward();
    EXPECT_EQ(zero.grad().to_vector<float>(), (Floats{0, 0, 0}));
  }
  // A row of zeros beside others.
  const Tensor x = tensor(Doubles{0, 0, 3, 4}, {2, 2}).set_requires_grad();
  sum(norm(x, 2, 1)).backward();
  expect_close(x.grad(), tensor(Doubles{0, 0, 0.6, 0.8}, {2, 2}), 1e-16);
}

TEST(Normalize, DividesByTheNorm) {
  const Tensor x = tensor(Doubles{3, 4, 0, 0}, {2, 2});
  EXPECT_EQ(normalize(x).to_vector<double>(), (Doubles{0.6, 0.8, 0, 0}));
  expect_close(normalize(x, {.p = 1, .axis = 0}), tensor(Doubles{1, 1, 0, 0}, {2, 2}), 0);
  expect_close(normalize(x, {.eps = 10}), tensor(Doubles{0.3, 0.4, 0, 0}, {2, 2}), 1e-16);
  const Inputs in{leaf({2, 3, 4, 2}, 2)};
  const Function f = [](const Inputs& v) { return normalize(v[0]); };
  expect_gradients(f, in);
  expect_f32_follows_f64(f, in);
}

TEST(LogSumExp, NeitherOverflowsNorVanishes) {
  EXPECT_FLOAT_EQ(logsumexp(tensor(Floats{1000, 1000}, {2})).item<float>(), 1000 + std::log(2.0f));
  EXPECT_FLOAT_EQ(logsumexp(tensor(Floats{-1000, -1000}, {2})).item<float>(),
                  -1000 + std::log(2.0f));
  EXPECT_EQ(logsumexp(full({2}, -INFINITY)).item<float>(), -INFINITY);
  EXPECT_EQ(logsumexp(tensor(Floats{INFINITY, 1}, {2})).item<float>(), INFINITY);
  EXPECT_TRUE(std::isnan(logsumexp(tensor(Floats{NAN, 1}, {2})).item<float>()));
  EXPECT_EQ(logsumexp(zeros({2, 0}), 1).to_vector<float>(), (Floats{-INFINITY, -INFINITY}));
  expect_reduction(
      [](const Tensor& v, const IntList& axes, bool keep) { return logsumexp(v, axes, keep); });
  const Tensor x = tensor(Doubles{-INFINITY, 0, 0}, {3}).set_requires_grad();
  logsumexp(x).backward();
  EXPECT_EQ(x.grad().to_vector<double>(), (Doubles{0, 0.5, 0.5}));
}

TEST(Cumsum, ValuesDtypesAndGradients) {
  const Tensor x = tensor(Floats{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(cumsum(x, 0).to_vector<float>(), (Floats{1, 2, 3, 5, 7, 9}));
  EXPECT_EQ(cumsum(x, -1).to_vector<float>(), (Floats{1, 3, 6, 4, 9, 15}));
  EXPECT_EQ(cumsum(tensor(Bools{200, 200}, {2}), 0).to_vector<int64_t>(), (Places{200, 400}));
  EXPECT_EQ(cumsum(gt(x, 2.5), 1).to_vector<int64_t>(), (Places{0, 0, 1, 1, 2, 3}));
  EXPECT_EQ(cumsum(zeros({0, 3}), 1).shape(), (Shape{0, 3}));
  // Wide, long and on several threads: the last one is the sum.
  const Tensor big = rand({3, 700, 300});
  for (int64_t axis = 0; axis < 3; ++axis) {
    const Tensor last = slice(cumsum(big, axis), axis, big.size(axis) - 1, big.size(axis));
    expect_close(squeeze(last, axis), sum(big, axis), 1e-6);
    expect_thread_invariant([&] { return cumsum(big, axis); });
  }
  const Inputs in{leaf({2, 3, 4, 2}, 2)};
  for (int64_t axis = 0; axis < 4; ++axis) {
    const Function f = [axis](const Inputs& v) { return cumsum(squared(v), axis); };
    expect_gradients(f, in);
    expect_f32_follows_f64(f, in);
  }
  expect_error([] { cumsum(zeros({2}), 1); }, {"[cumsum]", "axis 1"});
}

TEST(Median, TheLowerMiddle) {
  EXPECT_EQ(median(tensor(Floats{4, 1, 3, 2}, {2, 2})).item<float>(), 2);
  EXPECT_EQ(median(tensor(Places{5, 1, 3}, {3})).item<int64_t>(), 3);
  const Tensor x = tensor(Floats{1, NAN, 3, 6, 4, 5}, {2, 3});
  EXPECT_TRUE(std::isnan(median(x).item<float>()));
  EXPECT_TRUE(std::isnan(median(x, 1).to_vector<float>()[0]));
  EXPECT_EQ(median(x, 1).to_vector<float>()[1], 5);
  EXPECT_EQ(median(x, 0, true).shape(), (Shape{1, 3}));
  const Inputs in{leaf({2, 3, 5, 2}, 2)};
  const Function f = [](const Inputs& v) { return median(squared(v), 2); };
  expect_gradients(f, in);
  expect_f32_follows_f64(f, in);
  expect_gradients([](const Inputs& v) { return median(squared(v)); }, in);
}

TEST(Reduce, CheckerRejectsAVarianceWithTheWrongDivisor) {
  expect_rejected(
      [](const Inputs& x) {
        return with_backward(var(x[0]), x, [x](const Tensor& dy) -> Gradients {
          const Tensor d = x[0].detach();
          return {dy * 2.0 * (d - mean(d)) / 4.0};  // 4 elements, 3 with the correction
        });
      },
      {leaf({4}, 1)});
}

}  // namespace
}  // namespace tern
