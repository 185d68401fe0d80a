// SPDX-License-Identifier: Apache-2.0
#include "random.h"

#include <unistd.h>

#include <atomic>
#include <cmath>

#include "error.h"

namespace tern {

namespace {

struct Block {
  uint32_t word[4];
};

// Philox4x32 with 10 rounds. Constants from Salmon et al., table 2.
Block philox(Block counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The natural logarithm from operations that every IEEE machine rounds alike (libm's do not):
// x = m 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 artanh((m-1)/(m+1)).
double portable_log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return 2 * s * series + exponent * 0.69314718055994531;
}

template <int N>
double polynomial(const double (&c)[N], double x) {
  double value = c[N - 1];
  for (int i = N - 2; i >= 0; --i) value = value * x + c[i];
  return value;
}

// The inverse of the normal distribution function: algorithm AS 241, PPND16 (Wichura, 1988).
double normal_quantile(double p) {
  static constexpr double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                 1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                 3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static constexpr double b[] = {1.0,
                                 4.2313330701600911252e+1,
                                 6.8718700749205790830e+2,
                                 5.3941960214247511077e+3,
                                 2.1213794301586595867e+4,
                                 3.9307895800092710610e+4,
                                 2.8729085735721942674e+4,
                                 5.2264952788528545610e+3};
  static constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                 5.76949722146069140550e0,  3.64784832476320460504e0,
                                 1.27045825245236838258e0,  2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double d[] = {1.0,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
  static constexpr double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                 1.78482653991729133580e0,  2.96560571828504891230e-1,
                                 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double f[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(a, r) / polynomial(b, r);
  }
  const double tail = q < 0 ? p : 1 - p;
  double r = std::sqrt(-portable_log(tail));
  double value;
  if (r <= 5) {
    r -= 1.6;
    value = polynomial(c, r) / polynomial(d, r);
  } else {
    r -= 5;
    value = polynomial(e, r) / polynomial(f, r);
  }
  return q < 0 ? -value : value;
}

thread_local Generator thread_generator;
thread_local bool thread_is_seeded = false;

Generator unseeded_generator() {
  static std::atomic<uint64_t> others{0};
  constexpr uint64_t kFirstStream = uint64_t{1} << 63;  // far from those that programs choose
  const bool is_main = gettid() == getpid();
  return Generator(0, is_main ? 0 : kFirstStream + others++);
}

}  // namespace

uint64_t Generator::bits_at(const State& state, uint64_t position) {
  const uint64_t block = position >> 1;
  const Block random =
      philox({{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
               static_cast<uint32_t>(state.stream), static_cast<uint32_t>(state.stream >> 32)}},
             static_cast<uint32_t>(state.seed), static_cast<uint32_t>(state.seed >> 32));
  const int half = (position & 1) ? 2 : 0;
  return uint64_t{random.word[half + 1]} << 32 | random.word[half];
}

double Generator::to_uniform(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

double Generator::to_normal(uint64_t bits) {
  return normal_quantile((static_cast<double>(bits >> 11) + 0.5) * 0x1p-53);
}

int64_t Generator::integer(int64_t bound) {
  if (bound < 1) fail("Generator::integer", "bound is ", bound, ", want at least 1");
  // Numbers below the remainder of 2^64 would make small results more likely: draw again.
  const auto n = static_cast<uint64_t>(bound);
  const uint64_t biased = (0 - n) % n;
  uint64_t random = bits();
  while (random < biased) random = bits();
  return static_cast<int64_t>(random % n);
}

uint64_t Generator::reserve(int64_t count) {
  const uint64_t first = state_.position;
  state_.position += static_cast<uint64_t>(count);
  return first;
}

void manual_seed(uint64_t seed) {
  thread_generator = Generator(seed);
  thread_is_seeded = true;
}

Generator& default_generator() {
  if (!thread_is_seeded) {
    thread_generator = unseeded_generator();
    thread_is_seeded = true;
  }
  return thread_generator;
}

}  // namespace tern
