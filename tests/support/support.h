// SPDX-License-Identifier: Apache-2.0
// Helpers for all tests.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <tern/core/autograd.h>
#include <tern/core/error.h>
#include <tern/core/tensor.h>
#include <tern/core/threads.h>
#include <tern/ops/arithmetic.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace tern::test {

/// The message of the Error that f throws.
inline std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline void expect_error(const std::function<void()>& f, const std::string& part) {
  const std::string message = message_of(f);
  EXPECT_TRUE(contains(message, part)) << "no \"" << part << "\" in: " << message;
}

/// As above, for several parts.
inline void expect_error(const std::function<void()>& f, std::initializer_list<const char*> parts) {
  for (const char* part : parts) expect_error(f, part);
}

/// (i * factor) mod modulus - offset: small whole numbers, so that sums are exact.
inline Tensor pattern(const Shape& shape, int64_t factor, int64_t modulus, int64_t offset) {
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<double>(static_cast<int64_t>(i) * factor % modulus - offset);
  }
  return tensor(values, shape);
}

/// A number that changes with every element of x.
inline double checksum(const Tensor& x) {
  const auto values = x.to(DType::f64).to_vector<double>();
  const auto weights = pattern({x.numel()}, 3, 17, 8).to_vector<double>();
  double total = 0;
  for (size_t i = 0; i < values.size(); ++i) total += values[i] * weights[i];
  return total;
}

/// max |a - b| / max |b|
inline double relative_distance(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  const auto x = a.to(DType::f64).to_vector<double>();
  const auto y = b.to(DType::f64).to_vector<double>();
  double difference = 0;
  double scale = 1e-30;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) || std::isnan(y[i])) return INFINITY;
    difference = std::max(difference, std::fabs(x[i] - y[i]));
    scale = std::max(scale, std::fabs(y[i]));
  }
  return difference / scale;
}

/// max |a - b|: infinity where exactly one of them is NaN or the shapes differ.
inline double max_distance(const Tensor& a, const Tensor& b) {
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

inline void expect_mentions(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
  }
}

inline double at(const Tensor& x, size_t i) {
  return x.detach().to(DType::f64).to_vector<double>()[i];
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// set_num_threads for as long as it lives.
class ThreadCount {
 public:
  ThreadCount() = default;  ///< restores what the test sets
  explicit ThreadCount(int threads) { set_num_threads(threads); }
  ~ThreadCount() { set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_ = num_threads();
};

/// A fresh directory for as long as it lives.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "tern-test-XXXXXX").string();
    if (!mkdtemp(name.data())) fail("test", "cannot make the directory ", name);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tern::test
