// SPDX-License-Identifier: Apache-2.0
#include "binary.h"

#include <cmath>
#include <type_traits>

namespace tern::kernels {

namespace {

/// One stretch of the innermost loop. The common strides get loops of their own, which vectorise.
template <class T, class R, class F>
void run(const T* a, int64_t a_step, const T* b, int64_t b_step, R* y, int64_t n, const F& f) {
  if (a_step == 1 && b_step == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step == 1 && b_step == 0) {
    const T v = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], v);
  } else if (a_step == 0 && b_step == 1) {
    const T v = *a;
    for (int64_t i = 0; i < n; ++i) y[i] = f(v, b[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i * a_step], b[i * b_step]);
  }
}

template <class T, class R, class F>
void apply(const LoopNest& nest, const void* a, const void* b, R* y, const F& f) {
  const T* first = static_cast<const T*>(a);
  const T* second = static_cast<const T*>(b);
  parallel_runs(nest, [&](int64_t py, int64_t pa, int64_t pb, int64_t n) {
    run(first + pa, nest.run_stride(1), second + pb, nest.run_stride(2), y + py, n, f);
  });
}

// Signed overflow is undefined, unsigned wraps.
template <class T>
struct Wide {
  using type = T;
};
template <>
struct Wide<int64_t> {
  using type = uint64_t;
};
template <>
struct Wide<uint8_t> {
  using type = unsigned;
};

template <class T>
void arithmetic(Binary kind, const LoopNest& nest, const void* a, const void* b, void* target) {
  using W = typename Wide<T>::type;
  T* y = static_cast<T*>(target);
  switch (kind) {
    case Binary::add:
      return apply<T>(nest, a, b, y, [](T u, T v) {
        return static_cast<T>(static_cast<W>(u) + static_cast<W>(v));
      });
    case Binary::sub:
      return apply<T>(nest, a, b, y, [](T u, T v) {
        return static_cast<T>(static_cast<W>(u) - static_cast<W>(v));
      });
    case Binary::mul:
      return apply<T>(nest, a, b, y, [](T u, T v) {
        return static_cast<T>(static_cast<W>(u) * static_cast<W>(v));
      });
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (kind) {
      case Binary::div:
        return apply<T>(nest, a, b, y, [](T u, T v) { return u / v; });
      case Binary::pow:
        return apply<T>(nest, a, b, y, [](T u, T v) { return std::pow(u, v); });
      case Binary::add_relu:
        return apply<T>(nest, a, b, y, [](T u, T v) {
          const T sum = u + v;
          return sum < T{0} ? T{0} : sum;  // NaN passes
        });
      default:
        break;
    }
  }
}

template <class T>
void comparison(Compare kind, const LoopNest& nest, const void* a, const void* b, uint8_t* y) {
  switch (kind) {
    case Compare::eq:
      return apply<T>(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u == v); });
    case Compare::ne:
      return apply<T>(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u != v); });
    case Compare::lt:
      return apply<T>(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u < v); });
    case Compare::le:
      return apply<T>(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u <= v); });
    case Compare::gt:
      return apply<T>(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u > v); });
    case Compare::ge:
      return apply<T>(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u >= v); });
  }
}

}  // namespace

void binary(Binary kind, DType dtype, const LoopNest& nest, const void* a, const void* b, void* y) {
  visit(dtype, [&](auto t) { arithmetic<decltype(t)>(kind, nest, a, b, y); });
}

void compare(Compare kind, DType dtype, const LoopNest& nest, const void* a, const void* b,
             uint8_t* y) {
  visit(dtype, [&](auto t) { comparison<decltype(t)>(kind, nest, a, b, y); });
}

void where(DType dtype, int64_t count, const uint8_t* condition, const void* a, const void* b,
           void* target) {
  visit(dtype, [&](auto t) {
    using T = decltype(t);
    const T* first = static_cast<const T*>(a);
    const T* second = static_cast<const T*>(b);
    T* y = static_cast<T*>(target);
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* chosen = condition[i] ? first : second;
        y[i] = chosen ? chosen[i] : T{0};
      }
    });
  });
}

}  // namespace tern::kernels
