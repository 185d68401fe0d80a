// SPDX-License-Identifier: Apache-2.0
// The functions of functions.h, over the vectors of simd.h.
//
// Polynomials from S. L. Moshier's Cephes library (expf, logf, tanhf, erff); errors of about 2 ulp.
// NaN stays NaN. No sum is divided among lanes and no product contracted, so that the bits are the
// same for every kLanes.

namespace tern::kernels {
namespace {

/// 2^n for -127 < n < 128
inline Vec power_of_two(IntVec n) { return __builtin_bit_cast(Vec, (n + 127) << 23); }

constexpr float kSmallestExponent = -104.0f;  // exp is 0 below
constexpr float kLargestExponent = 88.7228317f;

/// exp(x) for x between the two, subnormal results included, and NaN.
inline Vec exp_in_range(Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  const Vec shifted = x * 1.44269504f + kRound;
  const IntVec n = __builtin_bit_cast(IntVec, shifted) - __builtin_bit_cast(int32_t, kRound);
  const Vec whole = shifted - kRound;
  const Vec r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vec p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // In two steps: 2^n itself may not be a normal number.
  const IntVec half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

/// exp(x); 0 for -inf, inf from 88.73 on, subnormal results included.
inline Vec exp(Vec x) {
  const IntVec infinite = x > kLargestExponent;  // chosen, as overflowing would raise a flag
  x = x < kSmallestExponent ? Vec{} + kSmallestExponent : x;
  x = infinite ? Vec{} + kLargestExponent : x;
  const Vec y = exp_in_range(x);
  return infinite ? Vec{} + std::numeric_limits<float>::infinity() : y;
}

inline Vec log(Vec x) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const IntVec subnormal = x < std::numeric_limits<float>::min();
  const IntVec bits = __builtin_bit_cast(IntVec, subnormal ? x * 8388608.0f : x);
  const Vec mantissa = __builtin_bit_cast(Vec, (bits & 0x007fffff) | 0x3f000000);  // in [0.5, 1)
  const IntVec low = mantissa < 0.707106781f;                                      // -1 where true
  const IntVec exponent = (bits >> 23) - 126 + 23 * subnormal + low;
  const Vec e = __builtin_convertvector(exponent, Vec);
  const Vec f = (low ? mantissa + mantissa : mantissa) - 1.0f;
  const Vec z = f * f;
  Vec p = 7.0376836292e-2f * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  Vec y = p * f * z - e * 2.12194440e-4f;
  y = (f + (y - 0.5f * z)) + e * 0.693359375f;
  y = x < kInfinity ? y : x;  // inf and NaN
  y = x < 0.0f ? Vec{} + std::numeric_limits<float>::quiet_NaN() : y;
  return x == 0.0f ? Vec{} - kInfinity : y;
}

inline Vec logistic(Vec x) { return 1.0f / (1.0f + exp(-x)); }

inline Vec tanh(Vec x) {
  const IntVec sign = __builtin_bit_cast(IntVec, x) & std::numeric_limits<int32_t>::min();
  Vec size = __builtin_bit_cast(Vec, __builtin_bit_cast(IntVec, x) ^ sign);
  size = size > 20.0f ? Vec{} + 20.0f : size;  // 1 from 10 on; larger squares may overflow
  const Vec far = 1.0f - 2.0f / (exp_in_range(2.0f * size) + 1.0f);
  const Vec z = size * size;
  Vec p = -5.70498872745e-3f * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const Vec y = size < 0.625f ? p * z * size + size : far;
  return __builtin_bit_cast(Vec, __builtin_bit_cast(IntVec, y) | sign);
}

/// a polynomial in x, coefficients of the highest power first
template <int kCount>
inline Vec polynomial(Vec x, const float (&coefficients)[kCount]) {
  Vec p = Vec{} + coefficients[0];
  for (int i = 1; i < kCount; ++i) p = p * x + coefficients[i];
  return p;
}

// erf for |x| < 1, and erfc = exp(-x^2) / x * P(1/x^2) for 1 <= x < 2 and above.
constexpr float kErf[] = {7.853861353153693e-5f,  -8.010193625184903e-4f, 5.188327685732524e-3f,
                          -2.685381193529856e-2f, 1.128358514861418e-1f,  -3.761262582423300e-1f,
                          1.128379165726710f};
constexpr float kErfc1[] = {2.326819970068386e-2f,  -1.387039388740657e-1f, 3.687424674597105e-1f,
                            -5.824733027278666e-1f, 6.210004621745983e-1f,  -4.944515323274145e-1f,
                            3.404879937665872e-1f,  -2.741127028184656e-1f, 5.638259427386472e-1f};
constexpr float kErfc2[] = {-1.047766399936249e1f,  1.297719955372516e1f, -7.495518717768503f,
                            2.921019019210786f,     -1.015265279202700f,  4.218463358204948e-1f,
                            -2.820767439740514e-1f, 5.641895067754075e-1f};

struct ErrorFunction {
  Vec erf;   // of x
  Vec erfc;  // of |x|
};

inline ErrorFunction error_function(Vec x) {
  const IntVec sign = __builtin_bit_cast(IntVec, x) & std::numeric_limits<int32_t>::min();
  Vec size = __builtin_bit_cast(Vec, __builtin_bit_cast(IntVec, x) ^ sign);
  size = size > 20.0f ? Vec{} + 20.0f : size;  // 1 from 4 on; larger squares may overflow
  const Vec z = size * size;
  const Vec near = size * polynomial(z, kErf);
  const Vec q = 1.0f / (size < 1.0f ? Vec{} + 1.0f : size);
  const Vec qq = q * q;
  const Vec p = size < 2.0f ? polynomial(qq, kErfc1) : polynomial(qq, kErfc2);
  const Vec exponent = z > -kSmallestExponent ? Vec{} + kSmallestExponent : -z;
  const Vec far = exp_in_range(exponent) * q * p;
  const Vec erf = size < 1.0f ? near : 1.0f - far;
  return {__builtin_bit_cast(Vec, __builtin_bit_cast(IntVec, erf) | sign),
          size < 1.0f ? 1.0f - near : far};
}

/// The distribution function of the normal distribution; without cancellation for x < 0.
inline Vec normal_distribution(Vec x) {
  const ErrorFunction e = error_function(x * 0.707106781f);
  return 0.5f * (x < 0.0f ? e.erfc : 1.0f + e.erf);
}

// Objects rather than lambdas: of a lambda that captures nothing g++ compiles the conversion to a
// pointer without the pragma's instruction set, and a vector as its result is then an error.
struct Exp {
  float shift = 0;
  Vec operator()(Vec v) const { return exp(v - shift); }
  Vec operator()(Vec v, Vec shifts) const { return exp(v - shifts); }
};
struct Log {
  Vec operator()(Vec v) const { return log(v); }
};
struct Logistic {
  Vec operator()(Vec v) const { return logistic(v); }
};
struct Tanh {
  Vec operator()(Vec v) const { return tanh(v); }
};
struct Erf {
  Vec operator()(Vec v) const { return error_function(v).erf; }
};
struct Silu {
  Vec operator()(Vec v) const { return v * logistic(v); }
  Vec operator()(Vec v, Vec dv) const {
    const Vec l = logistic(v);
    return dv * (l * (1.0f + v * (1.0f - l)));
  }
};
struct Gelu {
  Vec operator()(Vec v) const { return v * normal_distribution(v); }
  Vec operator()(Vec v, Vec dv) const {
    Vec w = v > 20.0f ? Vec{} + 20.0f : v;  // 0 there; larger squares may overflow
    w = w < -20.0f ? Vec{} - 20.0f : w;
    const Vec density = 0.398942280f * exp(-0.5f * w * w);
    return dv * (normal_distribution(v) + v * density);
  }
};
struct GeluTanh {
  Vec operator()(Vec v) const { return v * distribution(bounded(v)); }
  Vec operator()(Vec v, Vec dv) const {
    const Vec w = bounded(v), s = distribution(w);
    return dv * (s + w * (s * (1.0f - s)) * (1.59576912f + 0.214064442f * (w * w)));
  }
  static Vec bounded(Vec v) {
    v = v > 20.0f ? Vec{} + 20.0f : v;  // 0 or 1 there; larger cubes may overflow
    return v < -20.0f ? Vec{} - 20.0f : v;
  }
  static Vec distribution(Vec v) { return logistic(v * (1.59576912f + 0.0713548137f * (v * v))); }
};
struct LogSoftmaxBackward {
  float total;
  Vec operator()(Vec y, Vec dy) const { return dy - exp(y) * total; }
};

template <class F>
void each(int64_t n, const float* x, float* y) {
  transform(n, x, y, F{});
}
template <class F>
void each_pair(int64_t n, const float* a, const float* b, float* y) {
  transform(n, a, b, y, F{});
}

void exp_shifted(int64_t n, const float* x, float shift, float* y) {
  transform(n, x, y, Exp{shift});
}
void log_softmax_backward(int64_t n, const float* y, const float* dy, float total, float* dx) {
  transform(n, y, dy, dx, LogSoftmaxBackward{total});
}

constexpr Functions kFunctions{
    .exp = exp_shifted,
    .exp_of = each<Exp>,
    .exp_difference = each_pair<Exp>,
    .log = each<Log>,
    .logistic = each<Logistic>,
    .tanh = each<Tanh>,
    .erf = each<Erf>,
    .silu = each<Silu>,
    .gelu = each<Gelu>,
    .gelu_tanh = each<GeluTanh>,
    .silu_backward = each_pair<Silu>,
    .gelu_backward = each_pair<Gelu>,
    .gelu_tanh_backward = each_pair<GeluTanh>,
    .log_softmax_backward = log_softmax_backward,
};

}  // namespace
}  // namespace tern::kernels
