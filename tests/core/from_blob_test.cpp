// SPDX-License-Identifier: Apache-2.0
// Tensors over memory that the program owns: nothing is copied, nothing is freed too early or
// twice, and every kernel works at any alignment.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "support.h"

using namespace tern;
using tern::test::expect_error;
using tern::test::relative_distance;

namespace {

TEST(FromBlob, SharesTheMemory) {
  std::vector<float> values{1, 2, 3, 4, 5, 6};
  const Tensor x = from_blob(values.data(), {2, 3});
  EXPECT_EQ(x.shape(), (Shape{2, 3}));
  EXPECT_EQ(x.dtype(), DType::f32);
  EXPECT_EQ(x.data<float>().data(), values.data());
  values[4] = -5;
  EXPECT_EQ(sum(x).item<float>(), 1 + 2 + 3 + 4 - 5 + 6);
  x.fill_(7);
  EXPECT_EQ(values, std::vector<float>(6, 7));
  reshape(x, {6}).copy_(arange(6).to(DType::f32));
  EXPECT_EQ(values, (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(FromBlob, TakesEveryDtype) {
  double doubles[] = {0.5};
  int64_t integers[] = {-3};
  uint8_t bytes[] = {200};
  EXPECT_EQ(from_blob(doubles, {1}).item<double>(), 0.5);
  EXPECT_EQ(from_blob(integers, {1}).item<int64_t>(), -3);
  EXPECT_EQ(from_blob(bytes, {1}).item<int64_t>(), 200);
  void* untyped = doubles;
  EXPECT_EQ(from_blob(untyped, {1}, DType::f64).item<double>(), 0.5);
  EXPECT_EQ(from_blob(static_cast<float*>(nullptr), {0, 3}).numel(), 0);
}

TEST(FromBlob, ReleasesOnceWhenTheLastSharerIsGone) {
  std::vector<float> values(6, 1);
  int released = 0;
  const auto make = [&] {
    return from_blob(values.data(), {2, 3}, [&](void* data) {
      EXPECT_EQ(data, values.data());
      ++released;
    });
  };
  {
    Tensor x = make();
    Tensor view = reshape(x, {6}), handle = x, detached = x.detach();
    x = handle = Tensor();
    view = Tensor();
    EXPECT_EQ(released, 0);
    detached = Tensor();
    EXPECT_EQ(released, 1);
  }
  {
    Tensor w = ones({2, 3}).set_requires_grad();
    Tensor y = make() * w;  // the graph has saved it
    EXPECT_EQ(released, 1);
    sum(y).backward();  // and frees it
    EXPECT_EQ(released, 2);
  }
  {
    struct Holder : nn::Module {
      explicit Holder(const Tensor& x) { register_buffer("x", x); }
    };
    const auto holder = std::make_unique<Holder>(make());
    EXPECT_EQ(released, 2);
  }
  EXPECT_EQ(released, 3);
}

TEST(FromBlob, RefusesWhatItCannotRead) {
  int released = 0;
  alignas(8) char bytes[64] = {};
  const auto release = [&](void*) { ++released; };
  expect_error([&] { from_blob(static_cast<float*>(nullptr), {2}, release); },
               {"[from_blob] data is null", "8 bytes"});
  expect_error([&] { from_blob(bytes + 1, {2}, DType::f32, release); },
               "[from_blob] data is not aligned to 4 bytes");
  expect_error([&] { from_blob(bytes, {2}, DType::bf16, release); }, "bf16");
  expect_error([&] { from_blob(bytes, {int64_t{1} << 61}, DType::f64, release); },
               "[from_blob] shape");
  EXPECT_EQ(released, 0);
}

// Results may be written over dead memory (Note [Gradients in place]), but not over the program's.
TEST(FromBlob, IsNeverWrittenByAnOperation) {
  std::vector<float> values{1, -2, 3, -4};
  const std::vector<float> before = values;
  add_relu(from_blob(values.data(), {4}), ones({4}));
  EXPECT_EQ(values, before);
  const Tensor x = tensor(std::vector<float>{1, 2, 3, 4}, {4}).set_requires_grad();
  relu(x).backward(from_blob(values.data(), {4}));
  EXPECT_EQ(values, before);
  EXPECT_EQ(x.grad().to_vector<float>(), before);
  EXPECT_NE(x.grad().data<float>().data(), values.data());
}

// Tern's own memory is aligned to 64 bytes; this lies one element further.
template <class T>
Tensor unaligned(const Tensor& x) {
  const auto count = static_cast<size_t>(x.numel());
  const auto memory = std::make_shared<std::vector<T>>(count + 17);
  T* place = memory->data() + 1;
  while (reinterpret_cast<uintptr_t>(place) % 64 == 0) ++place;
  std::memcpy(place, contiguous(x).raw_data(), count * sizeof(T));
  return from_blob(place, x.shape(), [memory](void*) {});
}

template <class T>
void expect_same(const std::string& name, const std::function<Tensor(std::vector<Tensor>)>& f,
                 const std::vector<Shape>& shapes) {
  std::vector<Tensor> aligned, moved;
  manual_seed(1);
  for (const Shape& shape : shapes) {
    const Tensor x = randn(shape, DTypeOf<T>::value);
    aligned.push_back(x.detach().set_requires_grad());
    moved.push_back(unaligned<T>(x).set_requires_grad());
  }
  const Tensor y = f(aligned), z = f(moved);
  const Tensor dy = randn(y.shape(), y.dtype());
  y.backward(dy);
  z.backward(unaligned<T>(dy));
  // Eigen begins its f64 sums at an aligned element, so these may round otherwise.
  const double tolerance = std::is_same_v<T, float> ? 0 : 1e-14;
  EXPECT_LE(relative_distance(z, y), tolerance) << name;
  for (size_t i = 0; i < shapes.size(); ++i) {
    EXPECT_LE(relative_distance(moved[i].grad(), aligned[i].grad()), tolerance)
        << name << ", gradient " << i;
  }
}

template <class T>
void expect_every_family_reads_unaligned_memory() {
  using Inputs = std::vector<Tensor>;
  const auto same = expect_same<T>;
  same("arithmetic", [](Inputs x) { return x[0] * x[1] + x[0] / (x[1] * x[1] + 1.0); },
       {{5, 7}, {7}});
  same("functions", [](Inputs x) { return tanh(x[0]) + gelu(x[0]) + exp(x[0]) + relu(x[0]); },
       {{37}});
  same("softmax", [](Inputs x) { return softmax(x[0], 1) + log_softmax(x[0], 0); }, {{5, 19}});
  same("reduce", [](Inputs x) { return sum(x[0], {1}) + mean(x[0], {1}); }, {{6, 35}});
  same("matmul", [](Inputs x) { return matmul(x[0], x[1]); }, {{9, 21}, {21, 13}});
  same("linear", [](Inputs x) { return linear(x[0], x[1], x[2]); }, {{9, 21}, {13, 21}, {13}});
  same("winograd", [](Inputs x) { return conv2d(x[0], x[1], {}, {.padding = 1}); },
       {{2, 16, 14, 14}, {32, 16, 3, 3}});
  same("conv2d", [](Inputs x) { return conv2d(x[0], x[1], x[2], {.stride = 2}); },
       {{2, 3, 9, 9}, {5, 3, 5, 5}, {5}});
  same("pool", [](Inputs x) { return max_pool2d(x[0], 2) + avg_pool2d(x[0], 2); },
       {{2, 3, 10, 10}});
  same("batch norm",
       [](Inputs x) { return batch_norm_relu(x[0], {}, {}, x[1], x[2], {.training = true}); },
       {{4, 19, 6, 6}, {19}, {19}});
  same("loss",
       [](Inputs x) {
         return cross_entropy(x[0], tensor(std::vector<int64_t>{2, 0, 10}, {3}));
       },
       {{3, 11}});
  same("movement",
       [](Inputs x) {
         return cat({transpose(x[0], 0, 1), x[1]}, 0);
       },
       {{7, 5}, {3, 7}});
}

TEST(FromBlob, EveryFamilyReadsUnalignedF32) {
  expect_every_family_reads_unaligned_memory<float>();
}
TEST(FromBlob, EveryFamilyReadsUnalignedF64) {
  expect_every_family_reads_unaligned_memory<double>();
}

}  // namespace
