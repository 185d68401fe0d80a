// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "report.h"

/// The parts of report_html. Each section is empty if the report has no data for it.
namespace train_cnn {

/// The confusion counts as a square matrix without negative numbers, for any report.
class Confusion {
 public:
  explicit Confusion(const Report& report) : counts_(report.confusion) {
    size_ = counts_.size();
    for (const auto& row : counts_) size_ = std::max(size_, row.size());
    for (auto& row : counts_) row.resize(size_);
    counts_.resize(size_, std::vector<int64_t>(size_));
    for (size_t i = 0; i < size_; ++i) {
      for (size_t j = 0; j < size_; ++j) {
        counts_[i][j] = std::clamp<int64_t>(counts_[i][j], 0, int64_t{1} << 40);
        total_ += counts_[i][j];
        if (i == j) right_ += counts_[i][j];
      }
    }
  }

  size_t size() const { return size_; }
  int64_t total() const { return total_; }
  int64_t wrong() const { return total_ - right_; }
  int64_t count(size_t actual, size_t predicted) const { return counts_[actual][predicted]; }
  int64_t actual(size_t i) const {
    int64_t sum = 0;
    for (size_t j = 0; j < size_; ++j) sum += counts_[i][j];
    return sum;
  }
  int64_t predicted(size_t j) const {
    int64_t sum = 0;
    for (size_t i = 0; i < size_; ++i) sum += counts_[i][j];
    return sum;
  }

 private:
  std::vector<std::vector<int64_t>> counts_;
  size_t size_ = 0;
  int64_t total_ = 0;
  int64_t right_ = 0;
};

std::string class_name(const Report& report, int64_t index);
/// A card; `heading` is text, `words` and `content` are HTML. Empty without content.
std::string section(const std::string& heading, const std::string& words,
                    const std::string& content);

std::string confusion_section(const Report& report, const Confusion& matrix);
std::string mistakes_section(const Report& report);
std::string filters_section(const Report& report);
std::string batch_norms_section(const Report& report);

}  // namespace train_cnn
