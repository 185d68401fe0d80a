// SPDX-License-Identifier: Apache-2.0
// One element after the other, each in the widest type of its kind.
#include <cmath>
#include <type_traits>

#include "binary.h"

namespace tern::kernels {

namespace {

// y[i] = f(a[i], b[i])
template <class T, class R, class F>
void for_elements(const LoopNest& nest, const T* a, const T* b, R* y, const F& f) {
  visit_runs(nest, 0, nest.run_count(), [&](int64_t py, int64_t pa, int64_t pb) {
    for (int64_t i = 0; i < nest.run_length(); ++i) {
      y[py + i * nest.run_stride(0)] =
          static_cast<R>(f(a[pa + i * nest.run_stride(1)], b[pb + i * nest.run_stride(2)]));
    }
  });
}

// A sum, difference or product of two floats is exact in double or rounds to the same float again;
// integers wrap around, as unsigned ones do.
template <class T>
using Widest = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

double floating(Binary kind, double a, double b) {
  switch (kind) {
    case Binary::div:
      return a / b;
    case Binary::pow:
      return std::pow(a, b);
    case Binary::add_relu:
      return a + b < 0 ? 0 : a + b;
    case Binary::product:
      return a == 0 ? 0 : a * b;
    case Binary::quotient:
      return a == 0 ? 0 : a / b;
    default:
      return NAN;  // not of floating types alone
  }
}

template <class T>
T remainder(T u, T v) {
  if constexpr (std::is_floating_point_v<T>) {
    const double rest = std::fmod(double{u}, double{v});
    return static_cast<T>(rest * double{v} < 0 ? rest + double{v} : rest);
  } else {
    if (std::is_signed_v<T> && v == static_cast<T>(-1)) return 0;  // the quotient may overflow
    const auto rest = static_cast<T>(u % v);
    return static_cast<T>((rest < 0 && v > 0) || (rest > 0 && v < 0) ? rest + v : rest);
  }
}

template <class T>
T value_of(Binary kind, T u, T v) {
  const auto a = static_cast<Widest<T>>(u), b = static_cast<Widest<T>>(v);
  switch (kind) {
    case Binary::add:
      return static_cast<T>(a + b);
    case Binary::sub:
      return static_cast<T>(a - b);
    case Binary::mul:
      return static_cast<T>(a * b);
    case Binary::minimum:
      return u != u || u < v ? u : v;  // a comparison with NaN fails
    case Binary::maximum:
      return u != u || u > v ? u : v;
    case Binary::remainder:
      return remainder(u, v);
    default:
      return static_cast<T>(floating(kind, static_cast<double>(a), static_cast<double>(b)));
  }
}

template <class T>
bool holds(Compare kind, T a, T b) {
  switch (kind) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a != b;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    case Compare::ge:
      return a >= b;
  }
  return false;
}

}  // namespace

template <class T>
void binary_reference(Binary kind, const LoopNest& nest, const T* a, const T* b, T* y) {
  for_elements(nest, a, b, y, [=](T u, T v) { return value_of(kind, u, v); });
}

template <class T>
void compare_reference(Compare kind, const LoopNest& nest, const T* a, const T* b, uint8_t* y) {
  for_elements(nest, a, b, y, [=](T u, T v) { return holds(kind, u, v); });
}

template void binary_reference(Binary, const LoopNest&, const float*, const float*, float*);
template void binary_reference(Binary, const LoopNest&, const double*, const double*, double*);
template void binary_reference(Binary, const LoopNest&, const int64_t*, const int64_t*, int64_t*);
template void binary_reference(Binary, const LoopNest&, const uint8_t*, const uint8_t*, uint8_t*);
template void compare_reference(Compare, const LoopNest&, const float*, const float*, uint8_t*);
template void compare_reference(Compare, const LoopNest&, const double*, const double*, uint8_t*);
template void compare_reference(Compare, const LoopNest&, const int64_t*, const int64_t*, uint8_t*);
template void compare_reference(Compare, const LoopNest&, const uint8_t*, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
