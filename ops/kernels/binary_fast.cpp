// SPDX-License-Identifier: Apache-2.0
#include "binary.h"

#include <cmath>
#include <type_traits>
#include <utility>

namespace tern::kernels {

namespace {

/// One stretch of the innermost loop. The common strides get loops of their own, which vectorise:
/// not inlined, because g++ does not vectorise them within apply's lambda.
template <class T, class R, class F>
[[gnu::noinline]] void run(const T* a, int64_t a_step, const T* b, int64_t b_step, R* y, int64_t n,
                           F f) {
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
void apply(const LoopNest& nest, const T* a, const T* b, R* y, const F& f) {
  parallel_runs(nest, [&](int64_t py, int64_t pa, int64_t pb, int64_t n) {
    run(a + pa, nest.run_stride(1), b + pb, nest.run_stride(2), y + py, n, f);
  });
}

/// u - v * floor(u / v), exactly
template <class T>
T remainder(T u, T v) {
  T rest;
  if constexpr (std::is_floating_point_v<T>) {
    rest = std::fmod(u, v);
  } else {
    // A quotient of -1 may overflow.
    rest = std::is_signed_v<T> && v == static_cast<T>(-1) ? T{0} : static_cast<T>(u % v);
  }
  return rest != 0 && (rest < 0) != (v < 0) ? static_cast<T>(rest + v) : rest;
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

}  // namespace

template <class T>
void binary_fast(Binary kind, const LoopNest& nest, const T* a, const T* b, T* y) {
  using W = typename Wide<T>::type;
  switch (kind) {
    case Binary::add:
      return apply(nest, a, b, y,
                   [](T u, T v) { return static_cast<T>(static_cast<W>(u) + static_cast<W>(v)); });
    case Binary::sub:
      return apply(nest, a, b, y,
                   [](T u, T v) { return static_cast<T>(static_cast<W>(u) - static_cast<W>(v)); });
    case Binary::mul:
      return apply(nest, a, b, y,
                   [](T u, T v) { return static_cast<T>(static_cast<W>(u) * static_cast<W>(v)); });
    case Binary::minimum:
    case Binary::maximum:
      // Without branches, which keeps it vectorised. NaN passes.
      return apply(nest, a, b, y, [least = kind == Binary::minimum](T u, T v) {
        const bool first = ((u < v) == least) | (u != u), second = v != v;
        return (first & !second) ? u : v;
      });
    case Binary::remainder:
      return apply(nest, a, b, y, [](T u, T v) { return remainder(u, v); });
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (kind) {
      case Binary::div:
        return apply(nest, a, b, y, [](T u, T v) { return u / v; });
      case Binary::pow:
        return apply(nest, a, b, y, [](T u, T v) { return std::pow(u, v); });
      case Binary::add_relu:
        return apply(nest, a, b, y, [](T u, T v) {
          const T sum = u + v;
          return sum < T{0} ? T{0} : sum;  // NaN passes
        });
      // A choice of the operand, which vectorises and raises no flag.
      case Binary::product:
        return apply(nest, a, b, y, [](T u, T v) { return u * (u != T{0} ? v : T{0}); });
      case Binary::quotient:
        return apply(nest, a, b, y, [](T u, T v) { return u / (u != T{0} ? v : T{1}); });
      default:
        break;
    }
  }
}

// gt and ge are lt and le of (b, a).
template <class T>
void compare_fast(Compare kind, const LoopNest& nest, const T* a, const T* b, uint8_t* y) {
  switch (kind) {
    case Compare::eq:
      return apply(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u == v); });
    case Compare::ne:
      return apply(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u != v); });
    case Compare::lt:
      return apply(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u < v); });
    case Compare::le:
      return apply(nest, a, b, y, [](T u, T v) { return static_cast<uint8_t>(u <= v); });
    case Compare::gt:
    case Compare::ge: {
      LoopNest swapped = nest;
      std::swap(swapped.strides[1], swapped.strides[2]);
      return compare_fast(kind == Compare::gt ? Compare::lt : Compare::le, swapped, b, a, y);
    }
  }
}

void where(DType dtype, int64_t count, const uint8_t* condition, Choice a, Choice b, void* target) {
  visit(dtype, [&]<class T>(T zero) {
    T* y = static_cast<T*>(target);
    const auto choose = [&](auto first, auto second) {
      parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T u = first(i), v = second(i);
          y[i] = condition[i] ? u : v;
        }
      });
    };
    const T* p = static_cast<const T*>(a.elements);
    const T* q = static_cast<const T*>(b.elements);
    const auto each = [](const T* x) { return [x](int64_t i) { return x[i]; }; };
    const auto one = [&](const T* x) { return [v = x ? *x : zero](int64_t) { return v; }; };
    const bool one_a = !p || a.is_one, one_b = !q || b.is_one;
    if (one_a && one_b) return choose(one(p), one(q));
    if (one_a) return choose(one(p), each(q));
    if (one_b) return choose(each(p), one(q));
    choose(each(p), each(q));
  });
}

template void binary_fast(Binary, const LoopNest&, const float*, const float*, float*);
template void binary_fast(Binary, const LoopNest&, const double*, const double*, double*);
template void binary_fast(Binary, const LoopNest&, const int64_t*, const int64_t*, int64_t*);
template void binary_fast(Binary, const LoopNest&, const uint8_t*, const uint8_t*, uint8_t*);
template void compare_fast(Compare, const LoopNest&, const float*, const float*, uint8_t*);
template void compare_fast(Compare, const LoopNest&, const double*, const double*, uint8_t*);
template void compare_fast(Compare, const LoopNest&, const int64_t*, const int64_t*, uint8_t*);
template void compare_fast(Compare, const LoopNest&, const uint8_t*, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
