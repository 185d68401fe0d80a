// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

using Floats = std::vector<float>;
using Places = std::vector<int64_t>;

TEST(Sort, ValuesAndPlaces) {
  const Tensor x = tensor(Floats{3, 1, 2, 0, 5, 4}, {2, 3});
  const auto [values, places] = sort(x);
  EXPECT_EQ(values.to_vector<float>(), (Floats{1, 2, 3, 0, 4, 5}));
  EXPECT_EQ(places.to_vector<int64_t>(), (Places{1, 2, 0, 0, 2, 1}));
  const auto [down, from] = sort(x, 0, true);
  EXPECT_EQ(down.to_vector<float>(), (Floats{3, 5, 4, 0, 1, 2}));
  EXPECT_EQ(from.to_vector<int64_t>(), (Places{0, 1, 1, 1, 0, 0}));
  EXPECT_EQ(argsort(x, 1, true).to_vector<int64_t>(), (Places{0, 2, 1, 1, 2, 0}));
}

TEST(Sort, EqualElementsKeepTheirOrderAndNanIsTheLargest) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x =
        tensor(std::vector<double>{NAN, 0.0, INFINITY, -0.0, -INFINITY, 0.0, -NAN}, {7}).to(dtype);
    EXPECT_EQ(argsort(x).to_vector<int64_t>(), (Places{4, 1, 3, 5, 2, 0, 6}));
    EXPECT_EQ(argsort(x, 0, true).to_vector<int64_t>(), (Places{0, 6, 2, 1, 3, 5, 4}));
    EXPECT_TRUE(std::isnan(sort(x).first.to(DType::f64).to_vector<double>()[6]));
  }
  const Tensor flags = tensor(std::vector<bool>{true, false, true, false}, {4});
  EXPECT_EQ(argsort(flags).to_vector<int64_t>(), (Places{1, 3, 0, 2}));
  EXPECT_EQ(sort(flags).first.dtype(), DType::boolean);
  const Tensor ends = tensor(Places{INT64_MAX, -1, INT64_MIN, 0, INT64_MAX - 1}, {5});
  EXPECT_EQ(sort(ends).first.to_vector<int64_t>(),
            (Places{INT64_MIN, -1, 0, INT64_MAX - 1, INT64_MAX}));
}

TEST(Sort, AgainstTheStandardLibraryAlongEveryAxis) {
  manual_seed(3);
  for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::u8}) {
    const Tensor x = (rand({3, 7, 40, 2}) * 50.0).to(DType::i64).to(dtype);  // many equal ones
    for (const MemoryFormat format : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (int64_t axis = 0; axis < 4; ++axis) {
        for (const bool descending : {false, true}) {
          const auto [values, places] = sort(to_memory_format(x, format), axis, descending);
          const int64_t k = x.size(axis) / 2;
          const auto [first, first_places] = topk(to_memory_format(x, format), k, axis, descending);
          const auto columns = [axis](const Tensor& t) {
            return transpose(t.to(DType::f64), axis, -1);
          };
          const Tensor in = contiguous(columns(x)), out = contiguous(columns(values)),
                       at = contiguous(columns(places));
          const int64_t n = x.size(axis);
          for (int64_t begin = 0; begin < x.numel(); begin += n) {
            const double* column = in.raw<double>() + begin;
            std::vector<double> expected(static_cast<size_t>(n));
            std::iota(expected.begin(), expected.end(), 0.0);
            std::stable_sort(expected.begin(), expected.end(), [&](double a, double b) {
              const double u = column[static_cast<int64_t>(a)], v = column[static_cast<int64_t>(b)];
              return descending ? u > v : u < v;
            });
            for (int64_t i = 0; i < n; ++i) {
              ASSERT_EQ(at.raw<double>()[begin + i], expected[static_cast<size_t>(i)]);
              ASSERT_EQ(out.raw<double>()[begin + i],
                        column[static_cast<int64_t>(expected[static_cast<size_t>(i)])]);
            }
          }
          expect_close(first, slice(values, axis, 0, k), 0);
          expect_close(first_places, slice(places, axis, 0, k), 0);
        }
      }
    }
  }
}

TEST(Sort, Gradients) {
  const Inputs in{leaf({2, 3, 4, 2}, 1)};
  for (int64_t axis = 0; axis < 4; ++axis) {
    const Function sorted = [axis](const Inputs& x) { return sort(x[0] * x[0], axis).first; };
    const Function top = [axis](const Inputs& x) {
      return topk(x[0] * x[0], 2, axis, false).first;
    };
    expect_gradients(sorted, in);
    expect_gradients(top, in);
    expect_f32_follows_f64(sorted, in);
    expect_f32_follows_f64(top, in);
  }
  const Tensor x = tensor(Floats{3, 1, 2}, {3}).set_requires_grad();
  topk(x, 2).first.backward(tensor(Floats{10, 20}, {2}));
  EXPECT_EQ(x.grad().to_vector<float>(), (Floats{10, 0, 20}));
  expect_rejected(
      [](const Inputs& v) {
        return with_backward(sort(v[0]).first, v, [](const Tensor& dy) -> Gradients {
          return {dy};  // as if nothing had moved
        });
      },
      {leaf({5}, 1)});
}

TEST(Sort, EmptyTensorsThreadsAndErrors) {
  EXPECT_EQ(sort(zeros({0, 3}), 1).second.shape(), (Shape{0, 3}));
  EXPECT_EQ(sort(zeros({3, 0}), 1).first.shape(), (Shape{3, 0}));
  EXPECT_EQ(topk(zeros({3, 2}), 0).first.shape(), (Shape{3, 0}));
  const Tensor x = zeros({3, 2}).set_requires_grad();
  topk(x, 0).first.backward(zeros({3, 0}));
  EXPECT_EQ(x.grad().to_vector<float>(), Floats(6, 0));
  const Tensor many = randn({500, 70});
  expect_thread_invariant([&] { return argsort(many, 0); });
  expect_error([] { topk(zeros({3, 2}), 3); }, {"[topk]", "3", "0 to 2", "f32[3,2]"});
  expect_error([] { sort(zeros({3}), 1); }, {"[sort]", "axis 1"});
}

}  // namespace
}  // namespace tern
