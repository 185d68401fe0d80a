// SPDX-License-Identifier: Apache-2.0
// exp, tanh and the like against the C library in double, and the same bits for every instruction
// set.
#include "../../ops/kernels/functions.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "../../ops/kernels/isa.h"

using namespace tern::kernels;
using tern::cpu::Isa;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Numbers of every size and sign, the special ones last.
std::vector<float> numbers() {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x7f800000u; bits += 7919) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-x.back());
  }
  for (int i = -20000; i <= 20000; ++i) x.push_back(static_cast<float>(i) * 1e-3f + 1e-5f);
  for (float special : {0.0f, kInfinity, kNaN, std::numeric_limits<float>::denorm_min(),
                        std::numeric_limits<float>::max(), std::numeric_limits<float>::min()}) {
    x.push_back(special);
    x.push_back(-special);
  }
  return x;
}

double normal_distribution(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Case {
  const char* name;
  void (*f)(int64_t, const float*, float*);
  double (*exact)(double);
  double ulps;
  float lowest;  // results below it are compared in its ulp
};

/// |a - b| in units of b's last place as a float.
double ulps_between(float a, double b, float lowest) {
  const auto nearest = static_cast<float>(b);
  if (std::isnan(a) || std::isnan(nearest)) return std::isnan(a) && std::isnan(nearest) ? 0 : 1e9;
  if (a == nearest) return 0;
  if (std::isinf(a) || std::isinf(nearest)) return 1e9;
  const float size = std::max(std::fabs(nearest), lowest);
  return std::fabs(static_cast<double>(a) - b) /
         (static_cast<double>(std::nextafter(size, kInfinity)) - static_cast<double>(size));
}

TEST(Functions, AreWithinAFewUlpsOfTheExactOnes) {
  const Functions& f = functions();
  static const Functions& own = f;
  const Case cases[] = {
      {"exp", [](int64_t n, const float* x, float* y) { own.exp(n, x, 0, y); },
       [](double x) { return std::exp(x); }, 1.5, 0},
      {"log", f.log, [](double x) { return std::log(x); }, 1.5, 0},
      {"tanh", f.tanh, [](double x) { return std::tanh(x); }, 2, 0},
      {"erf", f.erf, [](double x) { return std::erf(x); }, 3, 0},
      // Where exp(-x) is infinite they are 0.
      {"logistic", f.logistic, logistic, 3, 1e-31f},
      {"silu", f.silu, [](double x) { return x * logistic(x); }, 3, 1e-29f},
      // 1 - erf cancels, as it does in PyTorch; 8 ulp of 0.25 are 1.2e-7.
      {"gelu", f.gelu, [](double x) { return x * normal_distribution(x); }, 8, 0.25f},
  };
  const std::vector<float> x = numbers();
  std::vector<float> y(x.size());
  for (const Case& c : cases) {
    c.f(static_cast<int64_t>(x.size()), x.data(), y.data());
    double worst = 0, at = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double ulps = ulps_between(y[i], c.exact(x[i]), c.lowest);
      if (ulps > worst) worst = ulps, at = x[i];
    }
    EXPECT_LT(worst, c.ulps) << c.name << " at " << at;
  }
}

TEST(Functions, InstructionSetsGiveTheSameBits) {
  std::vector<const Functions*> sets;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa <= tern::cpu::isa()) sets.push_back(kernels_of(isa).functions);
  }
  const std::vector<float> x = numbers();
  const std::vector<float> dy(x.rbegin(), x.rend());
  const auto n = static_cast<int64_t>(x.size());
  const auto bits_of = [&](const Functions& f) {
    std::vector<uint32_t> all;
    std::vector<float> y(x.size());
    const auto keep = [&] {
      for (float value : y) all.push_back(std::isnan(value) ? 0 : std::bit_cast<uint32_t>(value));
    };
    for (const auto function : {f.log, f.logistic, f.tanh, f.erf, f.silu, f.gelu}) {
      function(n, x.data(), y.data());
      keep();
    }
    for (const auto function : {f.exp_difference, f.silu_backward, f.gelu_backward}) {
      function(n, x.data(), dy.data(), y.data());
      keep();
    }
    f.exp(n, x.data(), 0.75f, y.data());
    keep();
    f.log_softmax_backward(n, x.data(), dy.data(), 1.25f, y.data());
    keep();
    return all;
  };
  const auto want = bits_of(*sets[0]);
  for (const Functions* set : sets) EXPECT_TRUE(bits_of(*set) == want);
}

// The rest that does not fill a vector is computed too, and nothing beyond it written.
TEST(Functions, TakeAnyCount) {
  const std::vector<float> x = {0.1f, -0.2f, 0.3f, -0.4f, 0.5f, -0.6f, 0.7f, -0.8f, 0.9f};
  for (size_t n = 0; n < x.size(); ++n) {
    std::vector<float> y(x.size(), 7.0f);
    functions().tanh(static_cast<int64_t>(n), x.data(), y.data());
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(y[i], i < n ? std::tanh(x[i]) : 7.0f, 1e-6);
    }
  }
}

}  // namespace
