// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <sstream>

#include "support.h"

using namespace tern;

using tern::test::message_of;

namespace {

TEST(Shape, HoldsSizesAndCountsElements) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.size(), 3);
  EXPECT_EQ(shape[1], 3);
  EXPECT_EQ(shape.numel(), 24);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ((Shape{2, 0, 4}).numel(), 0);
  EXPECT_EQ(shape, (Shape{2, 3, 4}));
  EXPECT_NE(shape, (Shape{2, 3}));
  EXPECT_EQ(to_string(shape), "[2,3,4]");
}

TEST(Shape, RefusesWhatNoTensorCanHave) {
  EXPECT_EQ(message_of([] { Shape{2, -1}; }), "[shape] axis 1 has size -1, want 0 or more");
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
  const int64_t huge = int64_t{1} << 40;
  EXPECT_EQ(message_of([&] { Shape{huge, huge}; }), "[shape] has more elements than 2^63-1");
  EXPECT_THROW((Shape{0, huge, huge}), Error);  // a zero hides no overflow
}

TEST(Shape, SaysWhatIsTrueOfAxes) {
  EXPECT_EQ(message_of([] { resolve_axis("op", 0, {}); }),
            "[op] axis 0 of a tensor without axes, want a tensor that has some");
  EXPECT_EQ(message_of([] { resolve_axis("op", 2, {5}); }),
            "[op] axis 2 of a tensor with 1 axes, want -1 to 0");
}

TEST(Shape, BroadcastsAsNumPy) {
  EXPECT_EQ(broadcast_shapes("op", {3, 1, 5}, {4, 1}), (Shape{3, 4, 5}));
  EXPECT_EQ(broadcast_shapes("op", {}, {2, 3}), (Shape{2, 3}));
  EXPECT_EQ(broadcast_shapes("op", {0, 3}, {1, 3}), (Shape{0, 3}));
  EXPECT_EQ(message_of([] {
              broadcast_shapes("add", {2, 3}, {2, 4});
            }),
            "[add] shapes [2,3] and [2,4] do not broadcast: axis -1 has 3 and 4, want equal sizes "
            "or 1");
}

TEST(Tensor, CreationFillsEveryDType) {
  EXPECT_EQ(zeros({2, 2}).to_vector<float>(), (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(ones({2}, DType::f64).to_vector<double>(), (std::vector<double>{1, 1}));
  EXPECT_EQ(full({2}, 3.0).to_vector<float>(), (std::vector<float>{3, 3}));
  EXPECT_EQ(full({2}, 7, DType::i64).to_vector<int64_t>(), (std::vector<int64_t>{7, 7}));
  EXPECT_EQ(arange(4).to_vector<int64_t>(), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(arange(1, 2, 0.25, DType::f32).to_vector<float>(),
            (std::vector<float>{1, 1.25, 1.5, 1.75}));
  EXPECT_EQ(arange(3, 0, -1).to_vector<int64_t>(), (std::vector<int64_t>{3, 2, 1}));
  EXPECT_EQ(zeros({}).item<float>(), 0.0f);
}

TEST(Tensor, CreationRefusesWhatDoesNotFit) {
  EXPECT_EQ(message_of([] {
              tensor(std::vector<float>{1, 2, 3}, {2, 2});
            }),
            "[tensor] 3 values do not fill shape [2,2], which has 4 elements");
  EXPECT_THROW(arange(0, 1, 0), Error);
  EXPECT_THROW(arange(0, std::nan("")), Error);
  EXPECT_THROW(randn({2}, DType::i64), Error);
  EXPECT_THROW(zeros({2}, DType::bf16), Error);
  EXPECT_THROW(empty({2, 3}, DType::f32, MemoryFormat::channels_last), Error);
  EXPECT_THROW(empty({int64_t{1} << 62}, DType::f64), Error);
  EXPECT_THROW(empty({int64_t{1} << 50}, DType::f32), Error);  // more than any machine has
}

TEST(Tensor, AnUndefinedTensorSaysSo) {
  const Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_FALSE(none.requires_grad());
  EXPECT_EQ(message_of([&] { none.shape(); }),
            "[tensor] is undefined (default-constructed or absent), want a tensor");
  EXPECT_EQ(to_string(none), "tensor(undefined)");
}

TEST(Tensor, DataChecksTheTypeAndTheOrder) {
  const Tensor x = ones({2, 3, 2, 2});
  EXPECT_EQ(x.data<float>().size(), 24u);
  EXPECT_EQ(message_of([&] { x.data<double>(); }),
            "[data] tensor is f32[2,3,2,2], elements of type f64 were asked for: convert with "
            ".to(DType::f64)");
  const Tensor last = to_memory_format(x, MemoryFormat::channels_last);
  EXPECT_EQ(message_of([&] { last.data<float>(); }),
            "[data] tensor f32[2,3,2,2] lies channels-last: call contiguous(x) first");
  EXPECT_EQ(contiguous(last).data<float>().size(), 24u);
  EXPECT_EQ(message_of([&] { x.item<float>(); }),
            "[item] tensor f32[2,3,2,2] has 24 elements, want 1");
}

TEST(Tensor, ConversionTruncatesAndRefusesWhatDoesNotFit) {
  const Tensor x = tensor(std::vector<double>{1.75, -0.5, 255.75, 0}, {4});
  EXPECT_EQ(x.to(DType::u8).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 255, 0}));
  const Tensor large = tensor(std::vector<double>{-0x1p63, 0x1p63 - 1024, -2.5}, {3});
  EXPECT_EQ(large.to(DType::i64).to_vector<int64_t>(),
            (std::vector<int64_t>{INT64_MIN, INT64_MAX - 1023, -2}));
  EXPECT_TRUE(x.to(DType::f64).is_same(x));

  const double inf = std::numeric_limits<double>::infinity();
  for (const double value : {300.0, 256.0, -1.0, inf, -inf, std::nan("")}) {
    const Tensor one = full({2}, value, DType::f64);
    EXPECT_NE(message_of([&] { one.to(DType::u8); }).find("u8 cannot hold"), std::string::npos)
        << value;
    EXPECT_THROW(full({1}, value, DType::u8), Error) << value;
    EXPECT_THROW(zeros({1}, DType::u8).copy_(slice(one, 0, 0, 1)), Error) << value;
    EXPECT_THROW(slice(one, 0, 0, 1).item<uint8_t>(), Error) << value;
  }
  for (const double value : {0x1p63, -0x1.0000000000001p63, inf, std::nan("")}) {
    EXPECT_THROW(full({1}, value, DType::f64).to(DType::i64), Error) << value;
    EXPECT_THROW(full({1}, value, DType::i64), Error) << value;
  }
  EXPECT_THROW(full({1}, 256, DType::i64).to(DType::u8), Error);
  EXPECT_THROW(full({1}, -1, DType::i64).to(DType::u8), Error);
  EXPECT_THROW(arange(0, 300, 1, DType::u8), Error);
  EXPECT_EQ(full({1}, 255, DType::i64).to(DType::u8).item<int>(), 255);
  // Among many the first is named, whatever thread met it.
  const Tensor many = zeros({1 << 18});
  many.data<float>()[200000] = 1000;
  many.data<float>()[100000] = 500;
  EXPECT_EQ(message_of([&] { many.to(DType::u8); }).find("500") != std::string::npos, true);
  EXPECT_EQ(full({1}, 1e300, DType::f64).to(DType::f32).item<double>(), inf);
}

TEST(Tensor, BoolIsAByteOfZeroOrOne) {
  const Tensor x = tensor(std::vector<bool>{true, false, true}, {3});
  EXPECT_EQ(x.dtype(), DType::boolean);
  EXPECT_EQ(to_string(x), "tensor([ true, false,  true], bool[3])");
  EXPECT_EQ(x.to_vector<bool>(), (std::vector<bool>{true, false, true}));
  EXPECT_TRUE(x.data<bool>()[0]);
  EXPECT_EQ(x.to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(x.data<uint8_t>()[2], 1);
  EXPECT_THROW(zeros({1}, DType::u8).data<bool>(), Error);
  EXPECT_TRUE(full({}, 1, DType::boolean).item<bool>());
  EXPECT_EQ(full({}, -3, DType::boolean).item<int>(), 1);

  const Tensor numbers = tensor(std::vector<double>{0, -0.0, 0.25, -7, std::nan("")}, {5});
  const std::vector<bool> nonzero{false, false, true, true, true};
  EXPECT_EQ(numbers.to(DType::boolean).to_vector<bool>(), nonzero);
  EXPECT_EQ(numbers.to(DType::f32).to(DType::boolean).to_vector<bool>(), nonzero);
  EXPECT_EQ(full({1}, 256, DType::i64).to(DType::boolean).item<int>(), 1);
  EXPECT_EQ(x.to(DType::f32).to_vector<float>(), (std::vector<float>{1, 0, 1}));
  EXPECT_EQ(x.to(DType::i64).to_vector<int64_t>(), (std::vector<int64_t>{1, 0, 1}));
  const Tensor changed = zeros({3}, DType::boolean);
  changed.copy_(full({3}, 0.5));
  EXPECT_EQ(changed.to_vector<bool>(), (std::vector<bool>{true, true, true}));
  EXPECT_THROW(x.set_requires_grad(), Error);
}

TEST(Tensor, ElementsOfFilesAreNoElementsOfTensors) {
  EXPECT_THROW(visit(DType::bf16, [](auto) {}), Error);
  EXPECT_THROW(visit_floating(DType::bf16, [](auto) {}), Error);
  EXPECT_THROW(visit_floating(DType::i64, [](auto) {}), Error);
  EXPECT_EQ(visit(DType::boolean, [](auto element) { return sizeof element; }), 1u);
}

TEST(Tensor, OrderChangesMemoryAndNotValues) {
  for (const Shape& shape : {Shape{2, 3, 5, 7}, Shape{1, 33, 4, 9}, Shape{3, 70, 40, 1}}) {
    const Tensor x = randn(shape);
    reset_counters();
    const Tensor last = to_memory_format(x, MemoryFormat::channels_last);
    EXPECT_EQ(last.memory_format(), MemoryFormat::channels_last);
    EXPECT_EQ(counters().reorders, 1);
    EXPECT_EQ(last.to_vector<float>(), x.to_vector<float>());
    const int64_t c = shape[1], pixels = shape[2] * shape[3];
    for (int64_t n = 0; n < shape[0]; ++n) {
      for (int64_t i = 0; i < c; ++i) {
        for (int64_t p = 0; p < pixels; ++p) {
          ASSERT_EQ(last.raw<float>()[(n * pixels + p) * c + i],
                    x.raw<float>()[(n * c + i) * pixels + p]);
        }
      }
    }
  }
}

TEST(Tensor, OrdersWithTheSameBytesShareMemory) {
  reset_counters();
  for (const Shape& shape : {Shape{4, 1, 5, 5}, Shape{4, 6, 1, 1}, Shape{0, 3, 2, 2}}) {
    const Tensor x = randn(shape);
    const Tensor last = to_memory_format(x, MemoryFormat::channels_last);
    EXPECT_EQ(last.raw_data(), x.raw_data());
    EXPECT_EQ(last.data<float>().size(), x.data<float>().size());
  }
  EXPECT_EQ(counters().reorders, 0);
}

TEST(Tensor, CopiesInPlaceAcrossDTypesAndOrders) {
  const Tensor x = to_memory_format(zeros({2, 3, 2, 2}), MemoryFormat::channels_last);
  const Tensor source = randn({2, 3, 2, 2}, DType::f64);
  const uint64_t version = x.version();
  x.copy_(source);
  EXPECT_EQ(x.to_vector<float>(), source.to(DType::f32).to_vector<float>());
  EXPECT_GT(x.version(), version);
  EXPECT_THROW(x.copy_(zeros({2, 3})), Error);
}

TEST(Tensor, InPlaceChangeOfAGradientTensorNeedsNoGrad) {
  const Tensor x = zeros({2});
  x.set_requires_grad();
  EXPECT_EQ(message_of([&] { x.fill_(1); }),
            "[fill_] changes f32[2] in place, which requires a gradient: do it inside a NoGrad "
            "scope");
  const NoGrad no_grad;
  x.fill_(1);
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 1}));
}

TEST(Tensor, ClonesAndHandles) {
  const Tensor x = ones({2});
  const Tensor same = x;
  const Tensor copy = x.clone();
  x.fill_(5);
  EXPECT_TRUE(same.is_same(x));
  EXPECT_EQ(same.to_vector<float>(), (std::vector<float>{5, 5}));
  EXPECT_EQ(copy.to_vector<float>(), (std::vector<float>{1, 1}));
}

TEST(Tensor, PrintsAsPyTorchDoes) {
  EXPECT_EQ(to_string(tensor(std::vector<float>{1, 2, 3, 4}, {2, 2})),
            "tensor([[1., 2.],\n        [3., 4.]], f32[2,2])");
  EXPECT_EQ(to_string(tensor(std::vector<double>{0.5, -1.25}, {2})),
            "tensor([ 0.5000, -1.2500], f64[2])");
  EXPECT_EQ(to_string(arange(3)), "tensor([0, 1, 2], i64[3])");
  EXPECT_EQ(to_string(full({}, 2.5)), "tensor(2.5000, f32[])");
  EXPECT_EQ(to_string(zeros({0})), "tensor([], f32[0])");
  EXPECT_EQ(to_string(zeros({0, int64_t{1} << 40})), "tensor([], f32[0,1099511627776])");
  EXPECT_EQ(
      to_string(zeros({int64_t{1} << 40, 0})),  // at once
      "tensor([[],\n        [],\n        [],\n        ...,\n        [],\n        [],\n        []], "
      "f32[1099511627776,0])");
  EXPECT_EQ(to_string(arange(2000, DType::f32)),
            "tensor([   0.,    1.,    2., ..., 1997., 1998., 1999.], f32[2000])");
  EXPECT_EQ(to_string(tensor(std::vector<float>{1e-6f, 1}, {2})),
            "tensor([1.0000e-06, 1.0000e+00], f32[2])");
  EXPECT_EQ(to_string(tensor(std::vector<float>{NAN, INFINITY}, {2})),
            "tensor([nan, inf], f32[2])");
  std::ostringstream out;
  out << ones({1}).set_requires_grad();
  EXPECT_EQ(out.str(), "tensor([1.], f32[1], requires_grad)");
}

TEST(Tensor, PrintsEveryDigitOfIntegers) {
  EXPECT_EQ(to_string(tensor(std::vector<int64_t>{9007199254740993, INT64_MAX, INT64_MIN}, {3})),
            "tensor([    9007199254740993,  9223372036854775807, -9223372036854775808], i64[3])");
  EXPECT_EQ(to_string(tensor(std::vector<uint8_t>{0, 255}, {2})), "tensor([  0, 255], u8[2])");
}

TEST(Tensor, PrintsChannelsLastByIndex) {
  const Tensor x = reshape(arange(16), {2, 2, 2, 2});
  const std::string plain = to_string(x);
  const std::string last = to_string(to_memory_format(x, MemoryFormat::channels_last));
  EXPECT_EQ(last, plain.substr(0, plain.size() - 1) + ", channels-last)");
}

// Neither a conversion nor a copy of all of it.
TEST(Tensor, PrintingALargeTensorAllocatesNothing) {
  for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    const Tensor x = to_memory_format(zeros({8, 8, 64, 64}), format);
    const Counters before = counters();
    to_string(x);
    const Counters after = counters();
    EXPECT_EQ(after.allocations, before.allocations) << format;
    EXPECT_EQ(after.reorders, before.reorders) << format;
  }
}

TEST(Tensor, WhatDescribesItPrints) {
  std::ostringstream out;
  out << Shape{2, 3} << ' ' << DType::f64 << ' ' << MemoryFormat::channels_last << ' '
      << DataFormat::NHWC << ' ' << zeros({4}).shape() << ' ' << zeros({4}).dtype();
  EXPECT_EQ(out.str(), "[2,3] f64 channels-last NHWC [4] f32");
}

TEST(Tensor, FromBraces) {
  const Tensor f = tensor({1.f, 2.f}, {2, 1});
  EXPECT_EQ(f.dtype(), DType::f32);
  EXPECT_EQ(f.shape(), (Shape{2, 1}));
  EXPECT_EQ(tensor({1.f, 2.f}).to_vector<float>(), (std::vector<float>{1, 2}));
  EXPECT_EQ(tensor({0.5, 2.0}).to_vector<double>(), (std::vector<double>{0.5, 2}));
  EXPECT_EQ(tensor({1, 2, 3}).to_vector<int64_t>(), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(tensor({true, false}).to_vector<bool>(), (std::vector<bool>{true, false}));
  EXPECT_EQ(tensor({7}, {}).item<int>(), 7);
  const std::vector<double> values{3, 4};
  EXPECT_EQ(tensor(values).to_vector<double>(), values);
  EXPECT_EQ(message_of([] {
              tensor({1.f, 2.f}, {3});
            }),
            "[tensor] 2 values do not fill shape [3], which has 3 elements");
}

// Not std::empty, which argument-dependent lookup finds.
TEST(Tensor, EmptyTakesAVector) {
  std::vector<int64_t> sizes{2, 3};
  const Tensor x = empty(sizes);
  EXPECT_EQ(x.shape(), (Shape{2, 3}));
  EXPECT_EQ(empty(sizes, DType::f64).dtype(), DType::f64);
}

TEST(Tensor, AnUndefinedOneIsReportedByTheOperation) {
  const Tensor none;
  const std::string what =
      "the first tensor is undefined (default-constructed or absent), want a tensor";
  EXPECT_EQ(message_of([&] { relu(none); }), "[relu] " + what);
  EXPECT_EQ(message_of([&] { none + ones({1}); }), "[add] " + what);
  EXPECT_EQ(message_of([&] { sum(none); }), "[sum] " + what);
  EXPECT_EQ(message_of([&] { reshape(none, {1}); }), "[reshape] " + what);
  EXPECT_EQ(message_of([&] { none.clone(); }), "[clone] " + what);
  EXPECT_EQ(message_of([&] { ones({1}) * none; }),
            "[mul] tensors are f32[1] and undefined, want two tensors");
}

TEST(Random, IsTheSameOnEveryPlatform) {
  // The known answer of Philox4x32-10 for counter 0 and key 0 (Random123, kat_vectors).
  EXPECT_EQ(Generator::bits_at({}, 0), 0xe169c58d6627e8d5u);
  EXPECT_EQ(Generator::bits_at({}, 1), 0x9b00dbd8bc57ac4cu);
  manual_seed(0);
  const auto first = randn({3}, DType::f64).to_vector<double>();
  manual_seed(0);
  EXPECT_EQ(randn({3}, DType::f64).to_vector<double>(), first);
  manual_seed(1);
  EXPECT_NE(randn({3}, DType::f64).to_vector<double>(), first);
}

TEST(Random, DoesNotDependOnTheNumberOfThreads) {
  const int before = num_threads();
  std::vector<float> reference;
  for (int threads = 1; threads <= 4; ++threads) {
    set_num_threads(threads);
    manual_seed(3);
    const auto values = randn({10007}).to_vector<float>();
    if (threads == 1) reference = values;
    EXPECT_EQ(values, reference) << threads << " threads";
  }
  set_num_threads(before);
}

TEST(Random, NormalNumbersHaveTheRightMoments) {
  manual_seed(0);
  const int64_t n = 1000000;
  double m1 = 0, m2 = 0, m4 = 0;
  int64_t beyond_three = 0;
  const Tensor numbers = randn({n}, DType::f64);
  for (double x : numbers.data<double>()) {
    m1 += x;
    m2 += x * x;
    m4 += x * x * x * x;
    beyond_three += std::fabs(x) > 3;
  }
  // Standard errors: 1e-3, 1.4e-3, 1e-2, 5.2e-5.
  EXPECT_NEAR(m1 / n, 0, 4e-3);
  EXPECT_NEAR(m2 / n, 1, 6e-3);
  EXPECT_NEAR(m4 / n, 3, 4e-2);
  EXPECT_NEAR(static_cast<double>(beyond_three) / n, 0.0026998, 2.1e-4);
}

TEST(Random, QuantilesAreExact) {
  const auto bits_of = [](double p) { return static_cast<uint64_t>(p * 0x1p53) << 11; };
  EXPECT_NEAR(Generator::to_normal(bits_of(0.975)), 1.959963984540054, 1e-13);
  EXPECT_NEAR(Generator::to_normal(bits_of(0.5)), 0, 1e-15);
  EXPECT_NEAR(Generator::to_normal(bits_of(0x1p-30)), -6.009353565530742, 2e-8);
  EXPECT_TRUE(std::isfinite(Generator::to_normal(0)));
  EXPECT_TRUE(std::isfinite(Generator::to_normal(~uint64_t{0})));
}

TEST(Random, UniformNumbersStayBelowOne) {
  manual_seed(0);
  for (const DType dtype : {DType::f32, DType::f64}) {
    double total = 0;
    const Tensor numbers = rand({100000}, dtype).to(DType::f64);
    for (double x : numbers.data<double>()) {
      ASSERT_GE(x, 0);
      ASSERT_LT(x, 1);
      total += x;
    }
    EXPECT_NEAR(total / 100000, 0.5, 4e-3);
  }
}

TEST(Random, IntegersAreUnbiasedAndBounded) {
  Generator generator(0);
  std::vector<int64_t> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[static_cast<size_t>(generator.integer(7))];
  for (int64_t count : counts) EXPECT_NEAR(static_cast<double>(count), 10000, 400);
  EXPECT_THROW(generator.integer(0), Error);
}

TEST(Random, StateGoesOnWhereItWas) {
  Generator generator(5, 2);
  generator.normal();
  const Generator::State state = generator.state();
  const double next = generator.normal();
  EXPECT_EQ(Generator(state).normal(), next);
}

TEST(Threads, NumberIsTernsOwn) {
  const int before = num_threads();
  EXPECT_GE(before, 1);
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  set_num_threads(before);
  EXPECT_EQ(message_of([] { set_num_threads(0); }), "[set_num_threads] n is 0, want at least 1");
}

TEST(Errors, NameTheModulePath) {
  const std::string outer = "layer1", inner = "bn";
  const ErrorScope a(&outer);
  const ErrorScope b(&inner);
  EXPECT_EQ(message_of([] { fail("op", "x is ", 3, ", want ", 2.5); }),
            "[op] x is 3, want 2.5 (in layer1.bn)");
}

TEST(Tensor, ArangeEndsBelowItsEnd) {
  // 0.6 / 0.1 rounds to 6.000000000000001.
  const Tensor x = arange(1, 1.6, 0.1, DType::f64);
  EXPECT_EQ(x.numel(), 6);
  EXPECT_LT(x.to_vector<double>().back(), 1.6);
  EXPECT_EQ(arange(1.6, 1, -0.1, DType::f64).numel(), 6);
  EXPECT_EQ(arange(5, 0).numel(), 0);
  EXPECT_EQ(arange(1e300, 0, 1, DType::f64).numel(), 0);
  EXPECT_THROW(arange(0, 1e300, 1, DType::f64), Error);
  EXPECT_THROW(arange(0, 1, 0, DType::f64), Error);
  EXPECT_THROW(arange(0, INFINITY), Error);
  EXPECT_THROW(arange(0, NAN), Error);
}

}  // namespace
