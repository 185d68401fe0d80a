// SPDX-License-Identifier: Apache-2.0
// Elementwise functions as the standard library computes them.
#include <Eigen/Core>

#include "strided.h"
#include "unary.h"
#include "unary_functions.h"

namespace tern::kernels {

namespace {

template <class T>
using Array = Eigen::Map<Eigen::ArrayX<T>>;
template <class T>
using ConstArray = Eigen::Map<const Eigen::ArrayX<T>>;

constexpr int64_t kGrainOfFunctions = 4096;

}  // namespace

template <class T>
void unary_eigen(Unary kind, double alpha, int64_t count, const T* x, T* y) {
  with_function<T>(kind, static_cast<T>(alpha), [&](const auto& f) {
    parallel_for(count, kGrainOfFunctions, [&](int64_t begin, int64_t end) {
      Array<T>(y + begin, end - begin) = ConstArray<T>(x + begin, end - begin).unaryExpr(f);
    });
  });
}

template <class T>
void unary_backward_eigen(Unary kind, double alpha, int64_t count, const T* saved, const T* dy,
                          T* dx) {
  with_derivative<T>(kind, static_cast<T>(alpha), [&](const auto& f) {
    parallel_for(count, kGrainOfFunctions, [&](int64_t begin, int64_t end) {
      const int64_t n = end - begin;
      Array<T>(dx + begin, n) =
          ConstArray<T>(saved + begin, n).binaryExpr(ConstArray<T>(dy + begin, n), f);
    });
  });
}

template <class T>
void unary_integer(Unary kind, int64_t alpha, int64_t count, const T* x, T* y) {
  const auto a = static_cast<uint64_t>(alpha);
  const auto apply = [&](const auto& f) {
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(f(static_cast<uint64_t>(x[i])));
    });
  };
  const auto negative = [](uint64_t v) { return static_cast<int64_t>(v) < 0; };
  switch (kind) {
    case Unary::add:
      return apply([a](uint64_t v) { return v + a; });
    case Unary::mul:
      return apply([a](uint64_t v) { return v * a; });
    case Unary::rsub:
      return apply([a](uint64_t v) { return a - v; });
    case Unary::neg:
      return apply([](uint64_t v) { return 0 - v; });
    case Unary::abs:
      return apply([&](uint64_t v) { return negative(v) ? 0 - v : v; });
    default:
      return apply([&](uint64_t v) { return negative(v) ? 0 : v; });
  }
}

template void unary_eigen(Unary, double, int64_t, const float*, float*);
template void unary_eigen(Unary, double, int64_t, const double*, double*);
template void unary_backward_eigen(Unary, double, int64_t, const float*, const float*, float*);
template void unary_backward_eigen(Unary, double, int64_t, const double*, const double*, double*);
template void unary_integer(Unary, int64_t, int64_t, const int64_t*, int64_t*);
template void unary_integer(Unary, int64_t, int64_t, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
