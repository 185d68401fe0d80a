// SPDX-License-Identifier: Apache-2.0
#include "../../ops/kernels/winograd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "../../core/error.h"
#include "../../core/threads.h"
#include "../../ops/kernels/isa.h"
#include "support.h"
#include "winograd_reference.h"

namespace tern::kernels::winograd {

using cpu::Isa;

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "n" << s.n << " c" << s.c << " k" << s.k << " " << s.h << "x" << s.w << " pad " << s.pad_h
       << "," << s.pad_w << " stride " << s.stride;
}

namespace {

/// Measured over the shapes below, largest: y and dx 9.7e-7 and 1.15e-5, dw 7.8e-7 and 7.8e-6; with
/// stride 2 4.7e-7 and 1.36e-5 (of 8.6 million dx), dw 4.7e-7 and 3.8e-6.
Errors data_bound(const Shape& s) {
  return s.stride == 1 ? Errors{1.1e-6, 1.3e-5} : Errors{5.5e-7, 1.5e-5};
}
Errors weights_bound(const Shape& s) {
  return s.stride == 1 ? Errors{9.0e-7, 9.0e-6} : Errors{5.5e-7, 4.5e-6};
}

void expect_close(const std::vector<float>& found, const std::vector<double>& exact, Errors bound,
                  const std::string& what) {
  const Errors error = errors_of(found, exact);
  EXPECT_LE(error.rms, bound.rms) << what;
  EXPECT_LE(error.max, bound.max) << what;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Runs a kernel into memory full of NaN with guards on both sides: an element that is not written
/// and a write outside both show.
template <class Kernel>
std::vector<float> run(int64_t size, Kernel kernel) {
  constexpr size_t kGuard = 64;
  constexpr float kUntouched = -12345.0f;
  const size_t count = static_cast<size_t>(size);
  std::vector<float> memory(count + 2 * kGuard, kUntouched);
  std::fill_n(memory.begin() + kGuard, count, std::nanf(""));
  kernel(memory.data() + kGuard);
  for (size_t i = 0; i < kGuard; ++i) {
    EXPECT_EQ(memory[i], kUntouched) << "written " << kGuard - i << " before the start";
    EXPECT_EQ(memory[kGuard + count + i], kUntouched) << "written " << i << " after the end";
  }
  return {memory.begin() + kGuard, memory.begin() + static_cast<std::ptrdiff_t>(kGuard + count)};
}

std::vector<Isa> isas() {
  std::vector<Isa> result;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa <= tern::cpu::isa() && tern::kernels::kernels_of(isa).winograd) result.push_back(isa);
  }
  return result;
}

// The sanitizers look for accesses outside of memory: one number of threads shows those of a
// schedule, and so does one instruction set, since the schedules are the same for all.
#ifdef __SANITIZE_ADDRESS__
const std::vector<int> kThreads = {3};
std::vector<Isa> isas_of_schedules() { return {isas().back()}; }
#else
const std::vector<int> kThreads = {1, 2, 3, 4};
std::vector<Isa> isas_of_schedules() { return isas(); }
#endif

void expect_all_passes_exact(const Shape& s, const std::vector<Isa>& sets = isas()) {
  const tern::test::ThreadCount restore;
  const unsigned seed = static_cast<unsigned>(s.n + 10 * s.c + 1000 * s.k + 7 * s.h + 77 * s.w);
  const std::vector<float> x = random_values(x_size(s), seed),
                           w = random_values(w_size(s), seed + 1);
  const std::vector<float> dy = random_values(y_size(s), seed + 2);
  const std::vector<float> bias = random_values(s.k, seed + 3);
  const Exact exact(s, x, w, bias, dy);

  for (const Isa isa : sets) {
    const std::string path = "instruction set " + std::to_string(static_cast<int>(isa));
    std::vector<float> first_y, first_dx, first_dw;
    for (const int threads : kThreads) {
      set_num_threads(threads);
      SCOPED_TRACE(::testing::PrintToString(s) + ", " + path + ", " + std::to_string(threads) +
                   " threads");
      const auto y = run(y_size(s), [&](float* out) {
        forward(s, x.data(), w.data(), {.bias = bias.data()}, out, isa);
      });
      const auto dx =
          run(x_size(s), [&](float* out) { backward_data(s, dy.data(), w.data(), out, isa); });
      const auto dw = run(
          w_size(s), [&](float* out) { backward_weights(s, x.data(), dy.data(), out, true, isa); });
      const auto dw_any = run(w_size(s), [&](float* out) {
        backward_weights(s, x.data(), dy.data(), out, false, isa);
      });
      expect_close(dw_any, exact.dw, weights_bound(s), "dw, not deterministic");
      if (first_y.empty()) {
        expect_close(y, exact.y, data_bound(s), "y");
        expect_close(dx, exact.dx, data_bound(s), "dx");
        expect_close(dw, exact.dw, weights_bound(s), "dw");
        first_y = y;
        first_dx = dx;
        first_dw = dw;
      } else {
        EXPECT_TRUE(same_bits(y, first_y)) << "y depends on the number of threads";
        EXPECT_TRUE(same_bits(dx, first_dx)) << "dx depends on the number of threads";
        EXPECT_TRUE(same_bits(dw, first_dw)) << "dw depends on the number of threads";
      }
    }
  }
}

struct Size {
  int64_t h, w;
};

class WinogradStride : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Strides, WinogradStride, ::testing::Values(1, 2));

TEST_P(WinogradStride, EverySizeAndPaddingIsExact) {
  const Size sizes[] = {{1, 1}, {1, 5}, {2, 3},  {3, 3},   {4, 4},  {5, 8},
                        {7, 7}, {9, 8}, {10, 6}, {13, 11}, {14, 14}};
  for (const Size size : sizes) {
    for (int64_t pad_h = 0; pad_h <= 2; ++pad_h) {
      for (int64_t pad_w = 0; pad_w <= 2; ++pad_w) {
        const Shape s{2, 17, 24, size.h, size.w, pad_h, pad_w, GetParam()};
        if (s.output_h() >= 1 && s.output_w() >= 1) expect_all_passes_exact(s);
      }
    }
  }
}

TEST_P(WinogradStride, EveryNumberOfChannelsIsExact) {
  const int64_t channels[] = {1, 3, 8, 16, 17, 24, 64, 80};
  for (const int64_t c : channels) {
    for (const int64_t k : channels) expect_all_passes_exact({1, c, k, 7, 6, 1, 1, GetParam()});
  }
  for (const int64_t c : channels) {
    expect_all_passes_exact({5, c, 97 - c, 13, 11, 1, 1, GetParam()});
  }
}

TEST_P(WinogradStride, EveryScheduleIsExact) {
  const auto expect_exact = [](int64_t n, int64_t c, int64_t k, int64_t output, int64_t pad_h,
                               int64_t pad_w) {
    const int64_t stride = GetParam(), size = stride * output;
    expect_all_passes_exact({n, c, k, size, size, pad_h, pad_w, stride}, isas_of_schedules());
  };
  expect_exact(5, 16, 16, 32, 1, 1);     // few weights, one narrow panel
  expect_exact(2, 80, 150, 32, 1, 1);    // two chunks of channels, three panels
  expect_exact(7, 300, 56, 32, 0, 2);    // too many tiles to transform at once
  expect_exact(12, 184, 184, 13, 1, 1);  // more weights than each thread transforms for itself
  expect_exact(10, 184, 190, 14, 1, 1);  // few tiles, but more than one block
  expect_exact(3, 160, 260, 14, 1, 1);   // few tiles one way, many the other
  expect_exact(2, 200, 200, 7, 1, 1);    // few tiles, one block
}

TEST(Winograd, NoImagesGiveNoOutputAndZeroGradient) {
  const Shape s{0, 16, 16, 8, 8, 1, 1};
  const std::vector<float> w(static_cast<size_t>(w_size(s)), 1.0f);
  run(0, [&](float* y) { forward(s, nullptr, w.data(), {}, y); });
  run(0, [&](float* dx) { backward_data(s, nullptr, w.data(), dx); });
  const auto dw =
      run(w_size(s), [&](float* out) { backward_weights(s, nullptr, nullptr, out, true); });
  EXPECT_EQ(dw, std::vector<float>(dw.size(), 0.0f));
}

TEST(Winograd, BiasMayBeMissing) {
  const Shape s{1, 20, 20, 9, 9, 1, 1};
  const auto x = random_values(x_size(s), 1), w = random_values(w_size(s), 2);
  const std::vector<float> zeros(static_cast<size_t>(s.k));
  for (const Isa isa : isas()) {
    const auto run_with = [&](const float* bias) {
      return run(y_size(s),
                 [&](float* y) { forward(s, x.data(), w.data(), {.bias = bias}, y, isa); });
    };
    EXPECT_TRUE(same_bits(run_with(nullptr), run_with(zeros.data())));
  }
}

TEST(Winograd, ImpossibleShapesAreErrors) {
  float memory = 0;
  const auto message = [&](const Shape& s) -> std::string {
    try {
      forward(s, &memory, &memory, {}, &memory);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message({1, 1, 1, 8, 8, 3, 1}).find("padding 3, 1"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 8, 2, 1, 0}).find("smaller than the 3x3 kernel"), std::string::npos);
  EXPECT_NE(message({1, 0, 1, 8, 8, 1, 1}).find("c 0"), std::string::npos);
  EXPECT_NE(message({1, 1, 1, 8, 8, 1, 1, 3}).find("stride 3"), std::string::npos);
  EXPECT_EQ(memory, 0.0f);
}

TEST(Winograd, IsChosenWhereItWins) {
  EXPECT_TRUE(profitable({64, 64, 64, 32, 32, 1, 1}));
  EXPECT_TRUE(profitable({32, 512, 512, 4, 4, 1, 1}));
  EXPECT_TRUE(profitable({64, 64, 64, 7, 7, 1, 1}));
  EXPECT_FALSE(profitable({64, 3, 64, 32, 32, 1, 1}));  // too few channels
  EXPECT_FALSE(profitable({64, 8, 8, 32, 32, 1, 1}));
  EXPECT_FALSE(profitable({2, 512, 512, 4, 4, 1, 1}));  // too few tiles
  EXPECT_FALSE(profitable({64, 64, 64, 5, 5, 1, 1}));   // tiles mostly empty
  EXPECT_FALSE(profitable({1, 16, 16, 32, 32, 1, 1}));  // over before a second thread has started
  EXPECT_FALSE(profitable({64, 64, 64, 2, 2, 0, 1}));   // no output at all
  EXPECT_TRUE(profitable({32, 64, 128, 32, 32, 1, 1, 2}));
  EXPECT_FALSE(profitable({128, 16, 32, 32, 32, 1, 1, 2}));  // too few channels for stride 2
}

}  // namespace
}  // namespace tern::kernels::winograd
