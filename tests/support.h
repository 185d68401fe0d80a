// SPDX-License-Identifier: Apache-2.0
// What tests of every room share.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <tern/core/error.h>
#include <tern/core/tensor.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

namespace tern::support {

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

/// The largest difference, as a share of the largest value.
inline double distance(const Tensor& a, const Tensor& b) {
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

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

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

}  // namespace tern::support
