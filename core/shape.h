// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tern {

/// The sizes of a tensor's axes, at most kMaxRank of them. Rank 0 is a scalar with one element.
class Shape {
 public:
  static constexpr int kMaxRank = 8;  ///< as many axes as any operation takes

  Shape() = default;
  /// Throws Error for a negative size, more than kMaxRank axes, or more than 2^63-1 elements.
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  /// Throws Error as the constructor above.
  Shape(const std::vector<int64_t>& sizes) : Shape(std::span(sizes)) {}
  /// Throws Error as the constructor above.
  explicit Shape(std::span<const int64_t> sizes);

  int rank() const { return rank_; }                     ///< the number of axes
  int size() const { return rank_; }                     ///< the same, as of a container
  bool empty() const { return rank_ == 0; }              ///< whether it is a scalar's
  int64_t operator[](int i) const { return sizes_[i]; }  ///< the size of axis i >= 0
  int64_t numel() const { return numel_; }               ///< the number of elements
  const int64_t* begin() const { return sizes_; }        ///< the sizes, for loops
  const int64_t* end() const { return sizes_ + rank_; }  ///< the end of the sizes

  /// The same shape with axis `i` changed to `size`.
  Shape with(int i, int64_t size) const;

  bool operator==(const Shape& other) const;  ///< whether rank and sizes are equal

  /// Writes to_string(shape).
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape);

 private:
  int64_t sizes_[kMaxRank] = {};
  int64_t numel_ = 1;
  int rank_ = 0;
};

/// Whole numbers as an argument: axes, sizes, shifts. From braces, one number, a vector or a shape:
/// `sum(x, {1, 2})`, `mean(x, -1)`, `reshape(x, y.shape())`.
class IntList {
 public:
  IntList() = default;                                                     ///< none
  IntList(int64_t number) : numbers_{number} {}                            ///< this one
  IntList(std::initializer_list<int64_t> numbers) : numbers_(numbers) {}   ///< these
  IntList(std::vector<int64_t> numbers) : numbers_(std::move(numbers)) {}  ///< these
  IntList(const Shape& shape) : IntList(shape.begin(), shape.end()) {}     ///< its sizes
  /// Those of a range.
  template <std::input_iterator Iterator>
  IntList(Iterator begin, Iterator end) : numbers_(begin, end) {}

  const std::vector<int64_t>& numbers() const { return numbers_; }   ///< all, in their order
  operator const std::vector<int64_t>&() const { return numbers_; }  ///< the same

 private:
  std::vector<int64_t> numbers_;
};

/// "[2,3,4]"
std::string to_string(const Shape& shape);

/// `axis` counted from the end when negative, as an index into `shape`. Throws Error naming `op`.
int resolve_axis(const char* op, int64_t axis, const Shape& shape);

/// NumPy's broadcasting: shapes are aligned at the last axis, and an axis of size 1 stretches.
/// Throws Error naming `op` when the shapes do not fit.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

}  // namespace tern
