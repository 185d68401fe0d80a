// SPDX-License-Identifier: Apache-2.0
// The kernels of winograd_kernels.h, over the vectors of simd.h. multiply_add and
// kTilesAtOnce are the including source's.
//
// Products that feed a sum are written multiply_add, so that no compiler has a choice to make and
// an element has the same bits whether it falls into a whole vector or a rest.

namespace tern::kernels::winograd {
namespace {

constexpr double kA = 5.0 / 8, kB = 3.0 / 2;  // the points
constexpr double kA2 = kA * kA, kB2 = kB * kB;

inline Vec constant(double value) { return broadcast(static_cast<float>(value)); }
/// max(v, least); NaN stays NaN.
inline Vec at_least(Vec v, Vec least) { return least > v ? least : v; }

// ---- One line of points: the matrices of winograd_kernels.h ----

// A^T m and A y for the points a, -a, b, -b and infinity, which both strides have in common.

inline void output_of_points(const Vec& m_a, const Vec& m_minus_a, const Vec& m_b,
                             const Vec& m_minus_b, const Vec& m_infinity, Vec (&y)[4]) {
  const Vec sum_a = m_a + m_minus_a, difference_a = m_a - m_minus_a;
  const Vec sum_b = m_b + m_minus_b, difference_b = m_b - m_minus_b;
  y[0] = sum_a + sum_b;
  y[1] = multiply_add(constant(kB), difference_b, constant(kA) * difference_a);
  y[2] = multiply_add(constant(kB2), sum_b, constant(kA2) * sum_a);
  y[3] = multiply_add(constant(kB2 * kB), difference_b,
                      multiply_add(constant(kA2 * kA), difference_a, m_infinity));
}

inline void gradient_of_points(const Vec (&y)[4], Vec* d) {
  const Vec even_a = multiply_add(constant(kA2), y[2], y[0]);
  const Vec odd_a = multiply_add(constant(kA2), y[3], y[1]);
  const Vec even_b = multiply_add(constant(kB2), y[2], y[0]);
  const Vec odd_b = multiply_add(constant(kB2), y[3], y[1]);
  d[0] = multiply_add(constant(kA), odd_a, even_a);
  d[1] = multiply_add(constant(-kA), odd_a, even_a);
  d[2] = multiply_add(constant(kB), odd_b, even_b);
  d[3] = multiply_add(constant(-kB), odd_b, even_b);
  d[4] = y[3];
}

struct Stride1 {
  static constexpr int kPatch = 6, kStep = 4, kProducts = 6, kTile = 4;
  static constexpr double kN0 = kA2 * kB2, kNa = 2 * kA2 * (kA2 - kB2), kNb = 2 * kB2 * (kB2 - kA2);

  /// v = B^T d
  static void input(const Vec (&d)[6], Vec (&v)[6]) {
    const Vec even_a = multiply_add(constant(-kB2), d[2], d[4]);  // d4 - b2 d2
    const Vec odd_a = multiply_add(constant(-kB2), d[1], d[3]);   // d3 - b2 d1
    const Vec even_b = multiply_add(constant(-kA2), d[2], d[4]);
    const Vec odd_b = multiply_add(constant(-kA2), d[1], d[3]);
    v[0] = multiply_add(constant(-kA2), multiply_add(constant(-kB2), d[0], d[2]), even_a);
    v[1] = multiply_add(constant(kA), odd_a, even_a);
    v[2] = multiply_add(constant(-kA), odd_a, even_a);
    v[3] = multiply_add(constant(kB), odd_b, even_b);
    v[4] = multiply_add(constant(-kB), odd_b, even_b);
    v[5] = multiply_add(constant(-kA2), odd_a, multiply_add(constant(-kB2), d[3], d[5]));
  }

  /// y = A^T m
  static void output(const Vec (&m)[6], Vec (&y)[4]) {
    output_of_points(m[1], m[2], m[3], m[4], m[5], y);
    y[0] = m[0] + y[0];
  }

  /// d = A y
  static void gradient(const Vec (&y)[4], Vec (&d)[6]) {
    d[0] = y[0];
    gradient_of_points(y, d + 1);
  }

  /// u = G g
  static void weights(const Vec (&g)[3], Vec (&u)[6]) {
    const Vec even_a = multiply_add(constant(kA2 / kNa), g[2], constant(1 / kNa) * g[0]);
    const Vec even_b = multiply_add(constant(kB2 / kNb), g[2], constant(1 / kNb) * g[0]);
    u[0] = constant(1 / kN0) * g[0];
    u[1] = multiply_add(constant(kA / kNa), g[1], even_a);
    u[2] = multiply_add(constant(-kA / kNa), g[1], even_a);
    u[3] = multiply_add(constant(kB / kNb), g[1], even_b);
    u[4] = multiply_add(constant(-kB / kNb), g[1], even_b);
    u[5] = g[2];
  }

  /// g = G^T m
  static void weight_gradient(const Vec (&m)[6], Vec (&g)[3]) {
    const Vec sum_a = m[1] + m[2], difference_a = m[1] - m[2];
    const Vec sum_b = m[3] + m[4], difference_b = m[3] - m[4];
    g[0] = multiply_add(constant(1 / kN0), m[0],
                        multiply_add(constant(1 / kNa), sum_a, constant(1 / kNb) * sum_b));
    g[1] = multiply_add(constant(kA / kNa), difference_a, constant(kB / kNb) * difference_b);
    g[2] = multiply_add(constant(kA2 / kNa), sum_a, multiply_add(constant(kB2 / kNb), sum_b, m[5]));
  }
};

struct Stride2 {
  static constexpr int kPatch = 9, kStep = 8, kProducts = 9, kTile = 4;
  static constexpr double kNa = 2 * kA * (kA2 - kB2), kNb = 2 * kB * (kB2 - kA2);

  /// v[0..4] = B^T e
  static void input_of_points(const Vec (&e)[5], Vec (&v)[9]) {
    const Vec even_a = multiply_add(constant(-kB2), e[0], e[2]);  // e2 - b2 e0
    const Vec odd_a = multiply_add(constant(-kB2), e[1], e[3]);   // e3 - b2 e1
    const Vec even_b = multiply_add(constant(-kA2), e[0], e[2]);
    const Vec odd_b = multiply_add(constant(-kA2), e[1], e[3]);
    v[0] = multiply_add(constant(kA), even_a, odd_a);
    v[1] = multiply_add(constant(-kA), even_a, odd_a);
    v[2] = multiply_add(constant(kB), even_b, odd_b);
    v[3] = multiply_add(constant(-kB), even_b, odd_b);
    v[4] = multiply_add(constant(-kA2), even_a, multiply_add(constant(-kB2), e[2], e[4]));
  }

  /// v = (B^T e, o)
  static void input(const Vec (&d)[9], Vec (&v)[9]) {
    input_of_points({d[0], d[2], d[4], d[6], d[8]}, v);
    v[5] = d[1];
    v[6] = d[3];
    v[7] = d[5];
    v[8] = d[7];
  }

  /// y = A^T m[0..4] + m[5..8]
  static void output(const Vec (&m)[9], Vec (&y)[4]) {
    output_of_points(m[0], m[1], m[2], m[3], m[4], y);
    y[0] = y[0] + m[5];
    y[1] = y[1] + m[6];
    y[2] = y[2] + m[7];
    y[3] = y[3] + m[8];
  }

  /// d = (A y, y)
  static void gradient(const Vec (&y)[4], Vec (&d)[9]) {
    gradient_of_points(y, d);
    d[5] = y[0];
    d[6] = y[1];
    d[7] = y[2];
    d[8] = y[3];
  }

  /// u = (G (g0, g2), g1)
  static void weights(const Vec (&g)[3], Vec (&u)[6]) {
    u[0] = multiply_add(constant(kA / kNa), g[2], constant(1 / kNa) * g[0]);
    u[1] = multiply_add(constant(kA / kNa), g[2], constant(-1 / kNa) * g[0]);
    u[2] = multiply_add(constant(kB / kNb), g[2], constant(1 / kNb) * g[0]);
    u[3] = multiply_add(constant(kB / kNb), g[2], constant(-1 / kNb) * g[0]);
    u[4] = g[2];
    u[5] = g[1];
  }

  /// (g0, g2) = G^T m[0..4], g1 = m[5]
  static void weight_gradient(const Vec (&m)[6], Vec (&g)[3]) {
    g[0] = multiply_add(constant(1 / kNa), m[0] - m[1], constant(1 / kNb) * (m[2] - m[3]));
    g[1] = m[5];
    g[2] = multiply_add(constant(kA / kNa), m[0] + m[1],
                        multiply_add(constant(kB / kNb), m[2] + m[3], m[4]));
  }
};

struct Stride2Transposed {
  using Adjoint = Stride2;  // whose weights it has
  static constexpr int kPatch = 5, kStep = 4, kProducts = 9, kTile = 8;

  /// v = (B^T y, y[0..3])
  static void input(const Vec (&y)[5], Vec (&v)[9]) {
    Stride2::input_of_points(y, v);
    v[5] = y[0];
    v[6] = y[1];
    v[7] = y[2];
    v[8] = y[3];
  }

  /// odd d = m[5..8], even d = A^T m[0..4]
  static void output(const Vec (&m)[9], Vec (&d)[8]) {
    Vec even[4];
    output_of_points(m[0], m[1], m[2], m[3], m[4], even);
    d[0] = m[5];
    d[1] = even[0];
    d[2] = m[6];
    d[3] = even[1];
    d[4] = m[7];
    d[5] = even[2];
    d[6] = m[8];
    d[7] = even[3];
  }
};

/// out = L in L^T for a matrix L of kOut x kIn that `line` applies to a vector: first to the
/// columns of `in`, then to the rows of what that gives.
template <int kIn, int kOut, class Line, class Load, class Store>
inline void both_ways(Line line, Load load_element, Store store_element) {
  Vec half[kOut][kIn];
#pragma GCC unroll 9
  for (int j = 0; j < kIn; ++j) {
    Vec in[kIn], out[kOut];
#pragma GCC unroll 9
    for (int i = 0; i < kIn; ++i) in[i] = load_element(i * kIn + j);
    line(in, out);
#pragma GCC unroll 9
    for (int i = 0; i < kOut; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 9
  for (int i = 0; i < kOut; ++i) {
    Vec out[kOut];
    line(half[i], out);
#pragma GCC unroll 9
    for (int j = 0; j < kOut; ++j) store_element(i * kOut + j, out[j]);
  }
}

// ---- Tiles: a vector of channels at a time ----

/// Writes into a transformed tile. No hardware prefetcher follows so many rows at once: the next
/// tile's part of this one is asked for here.
inline void store_and_prefetch(float* row, Vec value) {
  __builtin_prefetch(row + kChunk, 1);
  store(row, value);
}

template <class Stride>
void transform_input(const float* const* patch, const float* const* next, int64_t first,
                     int64_t channels, float* v, int64_t xi_stride) {
  for_vectors(channels, [=](int64_t c, auto whole) {
    constexpr int kSide = Stride::kPatch, kShared = kSide - Stride::kStep;
    both_ways<kSide, Stride::kProducts>(
        [](const auto& d, auto& out) { Stride::input(d, out); },
        [=](int i) {
          // The other pixels belong to tiles to the left or above, too: they are in the cache.
          if (i / kSide >= kShared && i % kSide >= kShared) {
            __builtin_prefetch(next[i] + first + c);
          }
          return load_part(patch[i] + first + c, channels - c, whole);
        },
        [=](int xi, Vec value) { store_and_prefetch(v + xi * xi_stride + c, value); });
  });
}

template <class Stride>
void transform_gradient(const float* const* tile, const float* const* next, int64_t first,
                        int64_t channels, float* d, int64_t xi_stride) {
  for_vectors(channels, [=](int64_t c, auto whole) {
    both_ways<Stride::kTile, Stride::kProducts>(
        [](const auto& y, auto& out) { Stride::gradient(y, out); },
        [=](int i) {
          __builtin_prefetch(next[i] + first + c);
          return load_part(tile[i] + first + c, channels - c, whole);
        },
        [=](int xi, Vec value) { store_and_prefetch(d + xi * xi_stride + c, value); });
  });
}

template <class Stride>
void transform_output(const float* m, int64_t xi_stride, const Epilogue& epilogue, int64_t first,
                      int64_t channels, float* const* tile, float* const* next) {
  const Vec least = broadcast(epilogue.relu ? 0 : -__builtin_inff());
  for_vectors(channels, [=, &epilogue](int64_t c, auto whole) {
    const int64_t left = channels - c;
    const auto of_channels = [=](const float* p) {
      return p ? load_part(p + first + c, left, whole) : Vec{};
    };
    const auto transform = [=](auto finish) {
      both_ways<Stride::kProducts, Stride::kTile>(
          [](const auto& in, auto& y) { Stride::output(in, y); },
          [=](int xi) { return load<Vec>(m + xi * xi_stride + c); },
          [=](int i, Vec value) {
            __builtin_prefetch(next[i] + first + c, 1);
            store_part(tile[i] + first + c, left, at_least(finish(value), least), whole);
          });
    };
    const Vec bias = of_channels(epilogue.bias);
    if constexpr (!requires { typename Stride::Adjoint; }) {  // a gradient is not normalized
      if (epilogue.scale) {
        const Vec center = of_channels(epilogue.center), scale = of_channels(epilogue.scale);
        const Vec shift = of_channels(epilogue.shift);
        transform([=](Vec value) { return (value + bias - center) * scale + shift; });
        return;
      }
    }
    transform([=](Vec value) { return value + bias; });
  });
}

// ---- Weights: a vector of output (or, for their gradient, input) channels at a time ----

template <class Stride>
void transform_weights(const Weights& weights, int64_t outs, int64_t ins, float* u,
                       int64_t u_stride, int64_t xi_stride) {
  constexpr int64_t kBatch = 8;  // 8 x 9 taps are a whole number of 8 x 8 transposes
  alignas(64) float taps[kBatch * kTaps * kLanes] = {};
  const int64_t first_tap = weights.turned ? kTaps - 1 : 0, next_tap = weights.turned ? -1 : 1;
  for (int64_t out = 0; out < outs; out += kLanes) {
    const int64_t lanes = outs - out < kLanes ? outs - out : kLanes;
    if (lanes < kLanes) __builtin_memset(taps, 0, sizeof(taps));
    for (int64_t in = 0; in < ins; in += kBatch) {
      const int64_t batch = ins - in < kBatch ? ins - in : kBatch;
      const float* g = weights.w + out * weights.out_stride + in * weights.in_stride;
      if (weights.in_stride == kTaps) {
        transpose(g, weights.out_stride, lanes, batch * kTaps, taps, kLanes);
      } else {
        for (int64_t b = 0; b < batch; ++b) {
          transpose(g + b * weights.in_stride, weights.out_stride, lanes, kTaps,
                    taps + b * kTaps * kLanes, kLanes);
        }
      }
      for (int64_t b = 0; b < batch; ++b) {
        const float* first = taps + (b * kTaps + first_tap) * kLanes;
        float* to = u + (in + b) * u_stride + out;
        both_ways<3, kWeights>(
            [](const auto& g_line, auto& u_line) { Stride::weights(g_line, u_line); },
            [=](int s) { return load<Vec>(first + s * next_tap * kLanes); },
            [=](int xi, Vec value) { store(to + xi * xi_stride, value); });
      }
    }
  }
}

template <class Stride>
void transform_weight_gradient(const float* m, int64_t xi_stride, int64_t channels, bool add,
                               float* dg) {
  alignas(64) float taps[kTaps][kLanes];
  for (int64_t c = 0; c < channels; c += kLanes) {
    both_ways<kWeights, 3>([](const auto& in, auto& g) { Stride::weight_gradient(in, g); },
                           [=](int xi) { return load<Vec>(m + xi * xi_stride + c); },
                           [&](int s, Vec value) { store(taps[s], value); });
    const int64_t lanes = channels - c < kLanes ? channels - c : kLanes;
    float* g = dg + c * kTaps;
    int64_t lane = 0;
    for (; lane + 8 <= lanes; lane += 8) {
      transpose_8x8(&taps[0][lane], kLanes, g + lane * kTaps, kTaps, add);
      for (int64_t i = lane; i < lane + 8; ++i) {
        g[i * kTaps + 8] = add ? g[i * kTaps + 8] + taps[8][i] : taps[8][i];
      }
    }
    for (; lane < lanes; ++lane) {
      for (int s = 0; s < kTaps; ++s) {
        g[lane * kTaps + s] = add ? g[lane * kTaps + s] + taps[s][lane] : taps[s][lane];
      }
    }
  }
}

template <class Stride>
constexpr Transforms transforms() {
  Transforms result{.patch = Stride::kPatch,
                    .step = Stride::kStep,
                    .products = Stride::kProducts,
                    .tile = Stride::kTile,
                    .input = transform_input<Stride>,
                    .output = transform_output<Stride>,
                    .gradient = nullptr,
                    .weights = nullptr,
                    .weight_gradient = nullptr};
  if constexpr (requires { typename Stride::Adjoint; }) {
    result.weights = transform_weights<typename Stride::Adjoint>;
  } else {
    result.weights = transform_weights<Stride>;
    result.gradient = transform_gradient<Stride>;
    result.weight_gradient = transform_weight_gradient<Stride>;
  }
  return result;
}

constexpr Kernels kKernels = {
    .lanes = kLanes,
    .tiles = kTilesAtOnce,
    .product = &product::kKernels<float>,
    .stride_1 = transforms<Stride1>(),
    .stride_2 = transforms<Stride2>(),
    .stride_2_transposed = transforms<Stride2Transposed>(),
};

}  // namespace
}  // namespace tern::kernels::winograd
