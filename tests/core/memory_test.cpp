// SPDX-License-Identifier: Apache-2.0
// The allocator behind tensors: freed blocks are reused, blocks in use are not.
#include <gtest/gtest.h>
#include <tern/tern.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <vector>

#include "support.h"

// Of the address sanitizer, if the program is built with it.
extern "C" __attribute__((weak)) int __asan_address_is_poisoned(const volatile void* address);

using namespace tern;

using tern::test::expect_error;
using tern::test::relative_distance;

namespace {

int64_t held() { return counters().bytes_in_use + counters().bytes_cached; }

TEST(Memory, ASteadyLoopAsksTheSystemForNothing) {
  for (int i = 0; i < 3; ++i) randn({100, 100});
  reset_counters();
  for (int i = 0; i < 50; ++i) randn({100, 100});
  EXPECT_EQ(counters().system_allocations, 0);
  EXPECT_GE(counters().allocations, 50);
}

TEST(Memory, ManySizesShareAFewClasses) {
  const int64_t before = counters().bytes_in_use + counters().bytes_cached;
  for (int64_t size = 1000; size < 100000; size += 997) empty({size});
  // One block per size class between 4 kB and 400 kB: a geometric series.
  EXPECT_LT(counters().bytes_in_use + counters().bytes_cached - before, 4'000'000);
}

TEST(Memory, IsAligned) {
  for (int64_t size : {1, 3, 1000, 100000, 5000000}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(empty({size}).raw_data()) % 64, 0u);
  }
}

// It reports whoever uses a block that is free, or reads behind the end of one.
TEST(Memory, TheAddressSanitizerSeesWhatIsNobodys) {
  const bool sanitized = &__asan_address_is_poisoned != nullptr;
  const auto poisoned = [&](const void* p) {
    return sanitized && __asan_address_is_poisoned(p) != 0;
  };
  for (const int64_t size : {25, 1000, 3'000'000}) {
    Tensor x = empty({size});
    const float* values = x.raw<float>();
    EXPECT_FALSE(poisoned(values));
    EXPECT_FALSE(poisoned(values + size - 1));
    EXPECT_EQ(poisoned(values + size + 2), sanitized);
    x = {};
    EXPECT_EQ(poisoned(values), sanitized);
    EXPECT_EQ(poisoned(values + size / 2), sanitized);
    x = empty({size});  // the same block
    EXPECT_EQ(x.raw<float>(), values);
    EXPECT_FALSE(poisoned(values + size / 2));
  }
}

// Blocks of all sizes, small and large, at once: each keeps what was written to it.
TEST(Memory, BlocksDoNotOverlap) {
  std::mt19937 random(1);
  std::vector<Tensor> live;
  const auto places = [](const Tensor& x) {
    int64_t* values = x.raw<int64_t>();
    return std::vector<int64_t*>{values, values + x.numel() / 2, values + x.numel() - 1};
  };
  const int64_t before = counters().bytes_in_use;
  for (int64_t i = 0; i < 3000; ++i) {
    if (live.size() < 40 && random() % 5 < 3) {
      const int64_t largest = int64_t{1} << (4 + random() % 18);  // up to 16 MB
      live.push_back(empty({1 + static_cast<int64_t>(random()) % largest}, DType::i64));
      for (int64_t* place : places(live.back())) *place = i;
      ASSERT_EQ(*places(live.back())[0], i);
    } else if (!live.empty()) {
      const size_t which = random() % live.size();
      const auto values = places(live[which]);
      ASSERT_EQ(*values[0], *values[1]);
      ASSERT_EQ(*values[0], *values[2]);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }
  live.clear();
  EXPECT_EQ(counters().bytes_in_use, before);
}

TEST(Memory, TheBlockOfASizeThatWasFreedLastComesBackFirst) {
  for (const int64_t size : {1000, 3'000'000}) {
    Tensor a = empty({size}), b = empty({size});
    const void* last = b.raw_data();
    a = {};
    b = {};
    const Tensor c = empty({size});
    EXPECT_EQ(c.raw_data(), last) << size;
  }
}

TEST(Memory, WhatSmallTensorsGaveBackServesALargeOne) {
  std::vector<Tensor> small;
  for (int i = 0; i < 40; ++i) small.push_back(empty({1'000'000}));
  small.clear();
  const int64_t before = held();
  reset_counters();
  const Tensor large = empty({30'000'000});
  EXPECT_EQ(counters().system_allocations, 0);
  EXPECT_EQ(held(), before);
}

/// Bytes of address space of this process.
int64_t address_space() {
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0;
  statm >> pages;
  return pages * 4096;
}

TEST(Memory, WhatTheSystemRefusesIsAnErrorAndCostsNothing) {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  // More than memory and swap, whatever the system's policy: more than there are addresses.
  for (const int64_t bytes : {int64_t{1} << 47, int64_t{1} << 46}) {
    expect_error([&] { empty({bytes / 4}); }, "[allocate]");
  }
  int policy = 0;  // 1: the system promises anything
  std::ifstream("/proc/sys/vm/overcommit_memory") >> policy;
  const auto refusals = [&](int times) {
    for (int i = 0; i < times; ++i) {
      // Ends in the middle of a segment, and leaves free blocks.
      const Tensor a = empty({25'000'000}), b = empty({20'000'000});
      expect_error([&] { empty({policy == 1 ? int64_t{1} << 45 : 4 * machine}); }, "[allocate]");
    }
  };
  refusals(3);
  const int64_t before = address_space();
  refusals(20);
  EXPECT_LT(address_space(), before + (int64_t{64} << 20));
}

TEST(Memory, RoundsOfDifferentSizesStayFlat) {
  const auto round = [] {
    for (int64_t i = 1; i <= 50; ++i) {
      const Tensor a = empty({i * 100'000}), b = empty({i * 40'000}), c = empty({i * 1'000});
    }
  };
  round();
  const int64_t before = held();
  for (int i = 0; i < 20; ++i) round();
  EXPECT_EQ(held(), before);
}

// Note [Computed again]: a convolution that follows batch_norm_relu keeps how to make its input.
class ComputedAnew : public ::testing::TestWithParam<DType> {
 protected:
  static constexpr int64_t kImage = 2 * 8 * 128 * 128;  // elements; fewer are kept

  // In the convolution's order, so that it keeps the very tensor.
  const MemoryFormat order =
      GetParam() == DType::f32 ? MemoryFormat::channels_last : MemoryFormat::row_major;
  Tensor x = to_memory_format(randn({2, 8, 128, 128}, GetParam()), order).set_requires_grad();
  Tensor gamma = rand({8}, GetParam()).set_requires_grad();
  Tensor beta = randn({8}, GetParam()).set_requires_grad();
  const Tensor weight = randn({8, 8, 3, 3}, GetParam()).set_requires_grad();
  const Tensor dz = randn({2, 8, 126, 126}, GetParam());

  Tensor normalize() const { return batch_norm_relu(x, {}, {}, gamma, beta, {.training = true}); }
  // As if it had been changed in place: the tensor itself is kept.
  static Tensor kept(Tensor y) {
    y.bump_version();
    return y;
  }
  std::vector<std::vector<double>> gradients(const Tensor& z) const {
    std::vector<std::vector<double>> values;
    for (const Tensor& g : grad(z, {x, gamma, beta, weight}, {.grad_output = dz})) {
      values.push_back(g.to(DType::f64).to_vector<double>());
    }
    return values;
  }
  static int64_t in_use() { return counters().bytes_in_use; }
};
INSTANTIATE_TEST_SUITE_P(Types, ComputedAnew, ::testing::Values(DType::f32, DType::f64),
                         [](const auto& type) { return to_string(type.param); });

TEST_P(ComputedAnew, IsNotKept) {
  Tensor y = normalize();
  const int64_t bytes = kImage * static_cast<int64_t>(size_of(GetParam()));
  const Tensor z = conv2d(y, weight);
  int64_t before = in_use();
  y = Tensor();
  EXPECT_LE(in_use(), before - bytes);

  y = kept(normalize());
  const Tensor other = conv2d(y, weight);
  before = in_use();
  y = Tensor();
  EXPECT_EQ(in_use(), before);
}

TEST_P(ComputedAnew, HasTheSameBits) {
  EXPECT_EQ(gradients(conv2d(normalize(), weight)), gradients(conv2d(kept(normalize()), weight)));

  const Tensor y = normalize(), z = conv2d(y, weight);
  const auto first = grad(z, {weight}, {.retain_graph = true, .grad_output = dz})[0];
  const auto again = grad(z, {weight}, {.grad_output = dz})[0];
  EXPECT_EQ(first.to(DType::f64).to_vector<double>(), again.to(DType::f64).to_vector<double>());
}

TEST_P(ComputedAnew, HasTheSameSecondGradient) {
  const auto second = [&](const Tensor& z) {
    const auto first = grad(z, {weight}, {.create_graph = true, .grad_output = dz})[0];
    return grad(sum(first * first), {x})[0].to(DType::f64).to_vector<double>();
  };
  EXPECT_EQ(second(conv2d(normalize(), weight)), second(conv2d(kept(normalize()), weight)));
}

TEST_P(ComputedAnew, IsWhatItWasWhenTheParametersHaveChanged) {
  const Tensor z = conv2d(normalize(), weight);
  const Tensor expected = grad(conv2d(kept(normalize()), weight), {weight}, {.grad_output = dz})[0];
  {
    const NoGrad no_grad;
    gamma.fill_(3), beta.fill_(-1);
  }
  EXPECT_EQ(relative_distance(grad(z, {weight}, {.grad_output = dz})[0], expected), 0);
}

TEST_P(ComputedAnew, IsKeptWhenTheParametersChangeBeforeItIsUsed) {
  const Tensor y = normalize();
  const Tensor expected = grad(conv2d(kept(normalize()), weight), {weight}, {.grad_output = dz})[0];
  {
    const NoGrad no_grad;
    gamma.fill_(3);
  }
  EXPECT_EQ(relative_distance(grad(conv2d(y, weight), {weight}, {.grad_output = dz})[0], expected),
            0);
}

TEST_P(ComputedAnew, SaysWhenItsInputHasChanged) {
  const Tensor leaf = x;
  x = leaf * 1.0;
  const Tensor z = conv2d(normalize(), weight);
  {
    const NoGrad no_grad;
    x.fill_(0);
  }
  expect_error([&] { grad(z, {weight}, {.grad_output = dz}); }, "[batch_norm_relu] the tensor ");
}

TEST_P(ComputedAnew, IsKeptWhereItsGraphIsFreed) {
  const Tensor y = normalize();
  sum(y).backward();
  const Tensor z = conv2d(y, weight);  // what y was made from is gone, y is not
  const Tensor expected = grad(conv2d(y.detach(), weight), {weight}, {.grad_output = dz})[0];
  EXPECT_EQ(relative_distance(grad(z, {weight}, {.grad_output = dz})[0], expected), 0);
}

}  // namespace
