// SPDX-License-Identifier: Apache-2.0
// Elementwise functions and their derivatives, one element at a time. Private: not installed.
#pragma once

#include <cmath>
#include <numbers>

#include "unary.h"

namespace tern::kernels {

template <class T>
T normal_distribution(T x) {
  return T{0.5} * (T{1} + std::erf(x * static_cast<T>(1 / std::numbers::sqrt2)));
}
template <class T>
T normal_density(T x) {
  constexpr double kFactor = 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;
  return static_cast<T>(kFactor) * std::exp(-T{0.5} * x * x);
}
template <class T>
T logistic(T x) {
  return T{1} / (T{1} + std::exp(-x));
}
template <class T>
T sign(T x) {
  return x > 0 ? T{1} : x < 0 ? T{-1} : T{0};
}

/// Calls use(f) with the function of one number that `kind` names.
template <class T, class Use>
void with_function(Unary kind, T a, Use&& use) {
  switch (kind) {
    case Unary::add:
      return use([a](T x) { return x + a; });
    case Unary::mul:
      return use([a](T x) { return x * a; });
    case Unary::div:
      return use([a](T x) { return x / a; });
    case Unary::rsub:
      return use([a](T x) { return a - x; });
    case Unary::rdiv:
      return use([a](T x) { return a / x; });
    case Unary::pow:
      if (a == 2) return use([](T x) { return x * x; });
      return use([a](T x) { return std::pow(x, a); });
    case Unary::neg:
      return use([](T x) { return -x; });
    case Unary::abs:
      return use([](T x) { return std::fabs(x); });
    case Unary::exp:
      return use([](T x) { return std::exp(x); });
    case Unary::log:
      return use([](T x) { return std::log(x); });
    case Unary::sqrt:
      return use([](T x) { return std::sqrt(x); });
    case Unary::sin:
      return use([](T x) { return std::sin(x); });
    case Unary::cos:
      return use([](T x) { return std::cos(x); });
    case Unary::erf:
      return use([](T x) { return std::erf(x); });
    case Unary::relu:
      return use([](T x) { return x < 0 ? T{0} : x; });  // NaN passes
    case Unary::leaky_relu:
      return use([a](T x) { return x > 0 ? x : x * a; });
    case Unary::sigmoid:
      return use([](T x) { return logistic(x); });
    case Unary::tanh:
      return use([](T x) { return std::tanh(x); });
    case Unary::gelu:
      return use([](T x) { return x * normal_distribution(x); });
    case Unary::silu:
      return use([](T x) { return x * logistic(x); });
  }
}

/// Calls use(f) with f(s, dy) = dy * derivative, s being x or the result as saves_output says.
template <class T, class Use>
void with_derivative(Unary kind, T a, Use&& use) {
  switch (kind) {
    case Unary::rdiv:
      return use([a](T x, T dy) { return dy * (-a / (x * x)); });
    case Unary::pow:
      if (a == 2) return use([](T x, T dy) { return dy * 2 * x; });
      if (a == 0) return use([](T, T) { return T{0}; });
      return use([a](T x, T dy) { return dy * (a * std::pow(x, a - 1)); });
    case Unary::abs:
      return use([](T x, T dy) { return dy * sign(x); });
    case Unary::exp:
      return use([](T y, T dy) { return dy * y; });
    case Unary::log:
      return use([](T x, T dy) { return dy / x; });
    case Unary::sqrt:
      return use([](T y, T dy) { return dy / (2 * y); });
    case Unary::sin:
      return use([](T x, T dy) { return dy * std::cos(x); });
    case Unary::cos:
      return use([](T x, T dy) { return -dy * std::sin(x); });
    case Unary::erf:
      return use([](T x, T dy) {
        return dy * (static_cast<T>(2 * std::numbers::inv_sqrtpi) * std::exp(-x * x));
      });
    case Unary::relu:
      return use([](T y, T dy) { return y <= 0 ? T{0} : dy; });
    case Unary::leaky_relu:
      return use([a](T s, T dy) { return s > 0 ? dy : dy * a; });
    case Unary::sigmoid:
      return use([](T y, T dy) { return dy * (y * (1 - y)); });
    case Unary::tanh:
      return use([](T y, T dy) { return dy * (1 - y * y); });
    case Unary::gelu:
      return use([](T x, T dy) { return dy * (normal_distribution(x) + x * normal_density(x)); });
    case Unary::silu:
      return use([](T x, T dy) {
        const T s = logistic(x);
        return dy * (s * (1 + x * (1 - s)));
      });
    default:  // linear functions need no kernel
      __builtin_unreachable();
  }
}

}  // namespace tern::kernels
