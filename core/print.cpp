// SPDX-License-Identifier: Apache-2.0
// Tensors as text, in PyTorch's manner.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <ostream>

#include "autograd.h"
#include "error.h"
#include "op_scope.h"
#include "tensor.h"

namespace tern {

namespace {

constexpr int64_t kSummarizeAbove = 1000;
constexpr int64_t kEdge = 3;

// How all numbers of one floating tensor are written: decided by the largest and smallest of them.
class NumberFormat {
 public:
  NumberFormat() = default;
  explicit NumberFormat(const std::vector<double>& values) {
    double largest = 0, smallest = INFINITY;
    for (double value : values) {
      if (!std::isfinite(value)) continue;
      integral_ &= value == std::nearbyint(value);
      largest = std::max(largest, std::fabs(value));
      if (value != 0) smallest = std::min(smallest, std::fabs(value));
    }
    scientific_ = largest > 0 &&
                  (largest >= 1e8 || (!integral_ && (largest / smallest > 1e3 || smallest < 1e-4)));
  }

  std::string write(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    char digits[400];
    const auto format = scientific_ ? std::chars_format::scientific : std::chars_format::fixed;
    const int precision = !scientific_ && integral_ ? 0 : 4;
    const auto end = std::to_chars(digits, digits + sizeof digits, value, format, precision).ptr;
    std::string text(digits, end);
    if (precision == 0) text += '.';
    return text;
  }

 private:
  bool integral_ = true;
  bool scientific_ = false;
};

// The indices along an axis that are printed; -1 stands for "...".
std::vector<int64_t> shown(int64_t size, bool summarize) {
  std::vector<int64_t> indices;
  const bool shortened = summarize && size > 2 * kEdge;
  for (int64_t i = 0; i < (shortened ? kEdge : size); ++i) indices.push_back(i);
  if (!shortened) return indices;
  indices.push_back(-1);
  for (int64_t i = size - kEdge; i < size; ++i) indices.push_back(i);
  return indices;
}

// An empty tensor may have huge axes.
bool is_large(const Shape& shape) {
  return shape.numel() > kSummarizeAbove ||
         std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n > kSummarizeAbove; });
}

// Reads the elements that it shows where they lie.
class Printer {
 public:
  explicit Printer(const Tensor& x) : x_(x), summarize_(is_large(x.shape())) {
    // Memory runs over the axes in order, but channels-last over N, H, W, C.
    std::vector<int> order(static_cast<size_t>(x.dim()));
    std::iota(order.begin(), order.end(), 0);
    if (x.memory_format() == MemoryFormat::channels_last) order = {0, 2, 3, 1};
    int64_t stride = 1;
    for (size_t i = order.size(); i-- > 0;) {
      strides_[order[i]] = stride;
      stride *= x.shape()[order[i]];
    }
    std::vector<int64_t> places;
    collect(0, 0, places);
    if (is_floating(x.dtype())) {
      std::vector<double> values;
      visit_floating(x.dtype(), [&]<class T>(T) {
        for (const int64_t place : places) values.push_back(double{x.raw<T>()[place]});
      });
      format_ = NumberFormat(values);
    }
    for (const int64_t place : places) width_ = std::max(width_, element(place).size());
  }

  std::string print(int axis, int64_t place, size_t indent) const {
    if (axis == x_.dim()) {
      const std::string text = element(place);
      return std::string(width_ - text.size(), ' ') + text;
    }
    const bool innermost = axis + 1 == x_.dim();
    std::string separator = ",";
    separator += innermost ? " "
                           : std::string(static_cast<size_t>(x_.dim() - axis - 1), '\n') +
                                 std::string(indent + 1, ' ');
    std::string text = "[";
    bool first = true;
    for (int64_t i : shown(x_.shape()[axis], summarize_)) {
      if (!first) text += separator;
      first = false;
      text += i < 0 ? "..." : print(axis + 1, place + i * strides_[axis], indent + 1);
    }
    return text + "]";
  }

 private:
  void collect(int axis, int64_t place, std::vector<int64_t>& places) const {
    if (axis == x_.dim()) {
      places.push_back(place);
      return;
    }
    for (int64_t i : shown(x_.shape()[axis], summarize_)) {
      if (i >= 0) collect(axis + 1, place + i * strides_[axis], places);
    }
  }

  std::string element(int64_t place) const {
    return visit(x_.dtype(), [&]<class T>(T) -> std::string {
      const T value = x_.raw<T>()[place];
      if constexpr (std::is_floating_point_v<T>) return format_.write(double{value});
      if (x_.dtype() == DType::boolean) return value != 0 ? "true" : "false";
      return std::to_string(value);
    });
  }

  const Tensor& x_;
  bool summarize_;
  int64_t strides_[Shape::kMaxRank] = {};
  NumberFormat format_;
  size_t width_ = 0;
};

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "tensor(undefined)";
  OpScope::shows(x);
  std::string text = "tensor(" + Printer(x).print(0, 0, 7) + ", " + error_text(x);
  if (x.memory_format() == MemoryFormat::channels_last) text += ", channels-last";
  if (x.requires_grad()) {
    text += x.is_leaf() ? ", requires_grad" : std::string(", from ") + x.node()->name();
  }
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace tern
