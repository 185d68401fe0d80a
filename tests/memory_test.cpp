// SPDX-License-Identifier: Apache-2.0
// The allocator behind tensors: what is freed is used again, and nobody else's memory is.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <random>
#include <vector>

using namespace tern;

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

}  // namespace
