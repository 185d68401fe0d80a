// SPDX-License-Identifier: Apache-2.0
// What the tests of batch norm share.
#pragma once

#include <gtest/gtest.h>
#include <tern/tern.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace tern::bn_test {

/// max |a - b|; infinity where exactly one of them is NaN or the shapes differ.
inline double distance(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined() || a.shape() != b.shape()) {
    return std::numeric_limits<double>::infinity();
  }
  const auto x = a.detach().to(DType::f64).to_vector<double>();
  const auto y = b.detach().to(DType::f64).to_vector<double>();
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    const double off = std::abs(x[i] - y[i]);
    worst = std::max(worst, std::isnan(off) ? std::numeric_limits<double>::infinity() : off);
  }
  return worst;
}

inline double largest(const Tensor& a) {
  double worst = 0;
  for (double v : a.detach().to(DType::f64).to_vector<double>())
    worst = std::max(worst, std::abs(v));
  return worst;
}

/// Whether a and b are the same bits.
template <class T = float>
bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.to_vector<T>() == b.to_vector<T>();
}

/// Normal numbers of that mean and deviation.
inline Tensor normal(const Shape& shape, DType dtype = DType::f32, double mean = 0,
                     double deviation = 1) {
  return (randn(shape, DType::f64) * deviation + mean).to(dtype);
}

/// A leaf with the values of x.
inline Tensor leaf(const Tensor& x) { return x.detach().clone().set_requires_grad(); }

/// The message of the Error that f throws, or "".
template <class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline void expect_mentions(const std::string& text, const std::vector<std::string>& parts) {
  EXPECT_NE(text, "") << "nothing was thrown";
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
  }
}

inline double at(const Tensor& x, size_t i) {
  return x.detach().to(DType::f64).to_vector<double>()[i];
}

}  // namespace tern::bn_test
