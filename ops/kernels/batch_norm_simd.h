// SPDX-License-Identifier: Apache-2.0
// The loops of batch_norm_loops.h, over the vectors of simd.h. V is Vec, or float for what is left
// over. stream, drain and in_register are the including source's.

namespace tern::kernels::batch_norm {
namespace {

constexpr int kStep = 8;  // of kRowBlock rows, how many are read in one sweep over the columns
constexpr int64_t kRunWidth = 32;  // a run of one channel is summed as a matrix of such rows

/// Results go around the caches if kStream and p is aligned to vectors; drain() makes them visible
/// to other threads.
template <bool kStream, class V>
inline void write(float* p, V v) {
  if constexpr (kStream && sizeof v == sizeof(Vec)) {
    stream(p, v);
  } else {
    store(p, v);
  }
}
inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % sizeof(Vec) == 0; }

// NaN passes: neither NaN < 0 nor NaN <= 0.
template <bool kRelu, class V>
inline V cut(V y) {
  if constexpr (kRelu) return y < 0 ? V{} : y;
  return y;
}
template <bool kRelu, class V>
inline V uncut(V dy, V d, V scale, V shift) {
  if constexpr (kRelu) {
    in_register(dy);
    return d * scale + shift <= 0 ? V{} : dy;
  }
  return dy;
}

// ---- Columns: each with constants of its own ----------------------------------------------------

template <int kRows, class Read>
inline void add_rows(int64_t columns, float* first, float* second, Read&& read) {
  for_lanes(columns, [&](auto lanes, int64_t j) {
    using V = typename decltype(lanes)::Float;
    V a = load<V>(first + j), b = load<V>(second + j);
    read(V{}, j, a, b, std::integral_constant<int, kRows>{});
    store(first + j, a);
    store(second + j, b);
  });
}

/// Sums of two quantities over the rows, in float within a block and in double between blocks.
/// add(v, row, j, rows, a, b) adds the quantities of `rows` rows at column j to a and b.
template <class Add>
inline void sum_columns(const Matrix& m, double* first, double* second, Add&& add) {
  alignas(64) float a[kMaxColumns], b[kMaxColumns];
  for (int64_t start = 0; start < m.rows; start += kRowBlock) {
    const int64_t end = start + kRowBlock < m.rows ? start + kRowBlock : m.rows;
    for (int64_t j = 0; j < m.columns; ++j) a[j] = b[j] = 0;
    int64_t row = start;
    for (; row + kStep <= end; row += kStep) {
      add_rows<kStep>(m.columns, a, b, [&](auto v, int64_t j, auto& s, auto& q, auto rows) {
        add(v, row, j, rows, s, q);
      });
    }
    for (; row < end; ++row) {
      add_rows<1>(m.columns, a, b, [&](auto v, int64_t j, auto& s, auto& q, auto rows) {
        add(v, row, j, rows, s, q);
      });
    }
    for (int64_t j = 0; j < m.columns; ++j) first[j] += static_cast<double>(a[j]);
    for (int64_t j = 0; j < m.columns; ++j) second[j] += static_cast<double>(b[j]);
  }
}

void column_moments(const Matrix& m, const float* x, const float* center, double* sum,
                    double* square) {
  sum_columns(m, sum, square, [&](auto v, int64_t row, int64_t j, auto rows, auto& s, auto& q) {
    using V = decltype(v);
    const V c = load<V>(center + j);
    const float* p = x + row * m.stride + j;
    for (int r = 0; r < rows(); ++r, p += m.stride) {
      const V d = load<V>(p) - c;
      s += d;
      q += d * d;
    }
  });
}

template <bool kRelu>
void column_sums(const Matrix& m, const float* x, const float* dy, const Channels& channels,
                 double* sum_g, double* sum_gx) {
  sum_columns(m, sum_g, sum_gx, [&](auto v, int64_t row, int64_t j, auto rows, auto& s, auto& q) {
    using V = decltype(v);
    const V center = load<V>(channels.center + j);
    const V scale = load<V>(channels.scale + j), shift = load<V>(channels.shift + j);
    const int64_t at = row * m.stride + j;
    const float *p = x + at, *dp = dy + at;
    for (int r = 0; r < rows(); ++r, p += m.stride, dp += m.stride) {
      const V d = load<V>(p) - center;
      const V g = uncut<kRelu>(load<V>(dp), d, scale, shift);
      s += g;
      q += g * d;
    }
  });
}

/// f(v, j, rows, offset) for groups of rows: few, so that constants are read once for several.
template <class F>
inline void map_columns(const Matrix& m, F&& f) {
  constexpr int kRows = 4;
  int64_t row = 0;
  for (; row + kRows <= m.rows; row += kRows) {
    for_lanes(m.columns, [&](auto lanes, int64_t j) {
      f(typename decltype(lanes)::Float{}, j, std::integral_constant<int, kRows>{},
        row * m.stride + j);
    });
  }
  for (; row < m.rows; ++row) {
    for_lanes(m.columns, [&](auto lanes, int64_t j) {
      f(typename decltype(lanes)::Float{}, j, std::integral_constant<int, 1>{}, row * m.stride + j);
    });
  }
}

template <bool kRelu, bool kStream>
void column_forward(const Matrix& m, const float* x, const Channels& channels, float* y) {
  map_columns(m, [&](auto v, int64_t j, auto rows, int64_t offset) {
    using V = decltype(v);
    const V center = load<V>(channels.center + j);
    const V scale = load<V>(channels.scale + j), shift = load<V>(channels.shift + j);
    for (int r = 0; r < rows(); ++r, offset += m.stride) {
      write<kStream>(y + offset, cut<kRelu>((load<V>(x + offset) - center) * scale + shift));
    }
  });
  if (kStream) drain();
}

template <bool kRelu, bool kThrough, bool kStream>
void column_backward(const Matrix& m, const float* x, const float* dy, const Channels& channels,
                     float* dx) {
  map_columns(m, [&](auto v, int64_t j, auto rows, int64_t offset) {
    using V = decltype(v);
    const V center = load<V>(channels.center + j);
    const V scale = load<V>(channels.scale + j), shift = load<V>(channels.shift + j);
    const V from_g = load<V>(channels.from_g + j), from_x = load<V>(channels.from_x + j);
    const V constant = load<V>(channels.constant + j);
    for (int r = 0; r < rows(); ++r, offset += m.stride) {
      const V d = load<V>(x + offset) - center;
      V result = uncut<kRelu>(load<V>(dy + offset), d, scale, shift) * from_g;
      if constexpr (kThrough) result += d * from_x + constant;
      write<kStream>(dx + offset, result);
    }
  });
  if (kStream) drain();
}

// ---- Runs: consecutive elements of one channel --------------------------------------------------

/// add(v, i, a, b) adds the quantities of the elements from i on.
template <class Add>
inline void sum_run(int64_t count, double& first, double& second, Add&& add) {
  constexpr int kVectors = kRunWidth / kLanes;
  for (int64_t start = 0; start < count; start += kRowBlock * kRunWidth) {
    const int64_t end =
        start + kRowBlock * kRunWidth < count ? start + kRowBlock * kRunWidth : count;
    Vec a[kVectors] = {}, b[kVectors] = {};
    int64_t i = start;
    for (; i + kRunWidth <= end; i += kRunWidth) {
      for (int k = 0; k < kVectors; ++k) add(Vec{}, i + k * kLanes, a[k], b[k]);
    }
    alignas(64) float s[kRunWidth], q[kRunWidth];
    __builtin_memcpy(s, a, sizeof s);
    __builtin_memcpy(q, b, sizeof q);
    for (int64_t k = 0; i < end; ++i, ++k) add(float{}, i, s[k], q[k]);
    for (int64_t half = kRunWidth / 2; half > 0; half /= 2) {
      for (int64_t k = 0; k < half; ++k) s[k] += s[k + half], q[k] += q[k + half];
    }
    first += static_cast<double>(s[0]);
    second += static_cast<double>(q[0]);
  }
}

void run_moments(int64_t count, const float* x, float center, double& sum, double& square) {
  sum_run(count, sum, square, [&](auto v, int64_t i, auto& s, auto& q) {
    using V = decltype(v);
    const V d = load<V>(x + i) - center;
    s += d;
    q += d * d;
  });
}

template <bool kRelu>
void run_sums(int64_t count, const float* x, const float* dy, const Channel& channel, double& sum_g,
              double& sum_gx) {
  sum_run(count, sum_g, sum_gx, [&](auto v, int64_t i, auto& s, auto& q) {
    using V = decltype(v);
    const V d = load<V>(x + i) - channel.center;
    const V g = uncut<kRelu>(load<V>(dy + i), d, V{} + channel.scale, V{} + channel.shift);
    s += g;
    q += g * d;
  });
}

/// f(Vec{} or float{}, i) for i from 0 to count, in vectors where p + i is aligned.
template <class F>
inline void map_run(int64_t count, const float* p, F&& f) {
  int64_t i = 0;
  for (; i < count && !aligned(p + i); ++i) f(float{}, i);
  const int64_t start = i;
  for_lanes(count - start,
            [&](auto lanes, int64_t j) { f(typename decltype(lanes)::Float{}, start + j); });
}

template <bool kRelu, bool kStream>
void run_forward(int64_t count, const float* x, const Channel& channel, float* y) {
  map_run(count, y, [&](auto v, int64_t i) {
    using V = decltype(v);
    const V d = load<V>(x + i) - channel.center;
    write<kStream>(y + i, cut<kRelu>(d * channel.scale + channel.shift));
  });
  if (kStream) drain();
}

template <bool kRelu, bool kThrough, bool kStream>
void run_backward(int64_t count, const float* x, const float* dy, const Channel& channel,
                  float* dx) {
  map_run(count, dx, [&](auto v, int64_t i) {
    using V = decltype(v);
    const V d = load<V>(x + i) - channel.center;
    V result =
        uncut<kRelu>(load<V>(dy + i), d, V{} + channel.scale, V{} + channel.shift) * channel.from_g;
    if constexpr (kThrough) result += d * channel.from_x + channel.constant;
    write<kStream>(dx + i, result);
  });
  if (kStream) drain();
}

/// Calls f with the conditions as compile-time constants.
template <class F>
inline void choose(F&& f) {
  f();
}
template <class F, class... Rest>
inline void choose(F&& f, bool first, Rest... rest) {
  if (first) {
    choose([&](auto... others) { f(std::true_type{}, others...); }, rest...);
  } else {
    choose([&](auto... others) { f(std::false_type{}, others...); }, rest...);
  }
}

/// Streaming needs every row to begin on a vector.
inline bool streams(const Matrix& m, const float* p) {
  return m.stream && m.stride % kLanes == 0 && aligned(p);
}

constexpr Loops kLoops = {
    column_moments,
    [](const Matrix& m, const float* x, const Channels& channels, bool relu, float* y) {
      choose([&](auto r, auto s) { column_forward<r(), s()>(m, x, channels, y); }, relu,
             streams(m, y));
    },
    [](const Matrix& m, const float* x, const float* dy, const Channels& channels, bool relu,
       double* sum_g, double* sum_gx) {
      choose([&](auto r) { column_sums<r()>(m, x, dy, channels, sum_g, sum_gx); }, relu);
    },
    [](const Matrix& m, const float* x, const float* dy, const Channels& channels, bool relu,
       bool through, float* dx) {
      choose(
          [&](auto r, auto t, auto s) { column_backward<r(), t(), s()>(m, x, dy, channels, dx); },
          relu, through, streams(m, dx));
    },
    run_moments,
    [](int64_t count, const float* x, const Channel& channel, bool relu, bool stream, float* y) {
      choose([&](auto r, auto s) { run_forward<r(), s()>(count, x, channel, y); }, relu, stream);
    },
    [](int64_t count, const float* x, const float* dy, const Channel& channel, bool relu,
       double& sum_g, double& sum_gx) {
      choose([&](auto r) { run_sums<r()>(count, x, dy, channel, sum_g, sum_gx); }, relu);
    },
    [](int64_t count, const float* x, const float* dy, const Channel& channel, bool relu,
       bool through, bool stream, float* dx) {
      choose(
          [&](auto r, auto t, auto s) { run_backward<r(), t(), s()>(count, x, dy, channel, dx); },
          relu, through, stream);
    },
};

}  // namespace
}  // namespace tern::kernels::batch_norm
