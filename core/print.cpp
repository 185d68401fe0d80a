// SPDX-License-Identifier: Apache-2.0
// Tensors as text, in PyTorch's manner.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <ostream>

#include "autograd.h"
#include "error.h"
#include "tensor.h"

namespace tern {

namespace {

constexpr int64_t kSummarizeAbove = 1000;
constexpr int64_t kEdge = 3;

// How all numbers of one tensor are written: decided by the largest and smallest of them.
class NumberFormat {
 public:
  NumberFormat(const std::vector<double>& values, bool floating) : floating_(floating) {
    double largest = 0, smallest = INFINITY;
    for (double value : values) {
      if (!std::isfinite(value)) continue;
      integral_ &= value == std::nearbyint(value);
      largest = std::max(largest, std::fabs(value));
      if (value != 0) smallest = std::min(smallest, std::fabs(value));
    }
    scientific_ = floating && largest > 0 &&
                  (largest >= 1e8 || (!integral_ && (largest / smallest > 1e3 || smallest < 1e-4)));
    for (double value : values) width_ = std::max(width_, write(value).size());
  }

  std::string padded(double value) const {
    const std::string text = write(value);
    return std::string(width_ - text.size(), ' ') + text;
  }

 private:
  std::string write(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    char digits[400];
    const auto format = scientific_ ? std::chars_format::scientific : std::chars_format::fixed;
    const int precision = !scientific_ && (integral_ || !floating_) ? 0 : 4;
    const auto end = std::to_chars(digits, digits + sizeof digits, value, format, precision).ptr;
    std::string text(digits, end);
    if (floating_ && precision == 0) text += '.';
    return text;
  }

  bool floating_;
  bool integral_ = true;
  bool scientific_ = false;
  size_t width_ = 0;
};

// The indices along an axis that are printed; -1 stands for "...".
std::vector<int64_t> shown(int64_t size, bool summarize) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < size; ++i) {
    if (summarize && size > 2 * kEdge && i >= kEdge && i < size - kEdge) {
      if (i == kEdge) indices.push_back(-1);
      continue;
    }
    indices.push_back(i);
  }
  return indices;
}

class Printer {
 public:
  Printer(const Tensor& x, std::vector<double> values)
      : shape_(x.shape()), values_(std::move(values)), summarize_(x.numel() > kSummarizeAbove) {
    std::vector<double> visible;
    collect(0, 0, visible);
    format_ = std::make_unique<NumberFormat>(visible, is_floating(x.dtype()));
  }

  std::string print(int axis, int64_t row, size_t indent) const {
    if (axis == shape_.size()) return format_->padded(values_[static_cast<size_t>(row)]);
    const bool innermost = axis + 1 == shape_.size();
    std::string separator = ",";
    separator += innermost ? " "
                           : std::string(static_cast<size_t>(shape_.size() - axis - 1), '\n') +
                                 std::string(indent + 1, ' ');
    std::string text = "[";
    bool first = true;
    for (int64_t i : shown(shape_[axis], summarize_)) {
      if (!first) text += separator;
      first = false;
      text += i < 0 ? "..." : print(axis + 1, row * shape_[axis] + i, indent + 1);
    }
    return text + "]";
  }

 private:
  void collect(int axis, int64_t row, std::vector<double>& visible) const {
    if (axis == shape_.size()) {
      visible.push_back(values_[static_cast<size_t>(row)]);
      return;
    }
    for (int64_t i : shown(shape_[axis], summarize_)) {
      if (i >= 0) collect(axis + 1, row * shape_[axis] + i, visible);
    }
  }

  Shape shape_;
  std::vector<double> values_;
  bool summarize_;
  std::unique_ptr<NumberFormat> format_;
};

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "tensor(undefined)";
  const NoGrad no_grad;
  const Printer printer(x, x.to(DType::f64).to_vector<double>());
  std::string text = "tensor(" + printer.print(0, 0, 7) + ", " + detail::text(x);
  if (x.order() == Order::channels_last) text += ", channels-last";
  if (x.requires_grad()) {
    text += x.is_leaf() ? ", requires_grad" : std::string(", from ") + x.node()->name();
  }
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace tern
