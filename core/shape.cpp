// SPDX-License-Identifier: Apache-2.0
#include "shape.h"

#include <algorithm>
#include <ostream>

#include "error.h"

namespace tern {

Shape::Shape(std::span<const int64_t> sizes) {
  if (sizes.size() > kMaxRank) {
    fail("shape", "has ", sizes.size(), " axes, at most ", kMaxRank, " are supported");
  }
  bool overflow = false;
  int64_t nonzero = 1;  // the product without zeros, so that [0, huge, huge] is refused as well
  for (int64_t size : sizes) {
    if (size < 0) fail("shape", "axis ", rank_, " has size ", size, ", want 0 or more");
    sizes_[rank_++] = size;
    overflow |= size > 0 && __builtin_mul_overflow(nonzero, size, &nonzero);
    numel_ *= size == 0 ? 0 : 1;
  }
  if (overflow) fail("shape", "has more elements than 2^63-1");
  numel_ *= nonzero;
}

Shape Shape::with(int i, int64_t size) const {
  int64_t sizes[kMaxRank];
  std::copy(begin(), end(), sizes);
  sizes[i] = size;
  return Shape(std::span<const int64_t>(sizes, static_cast<size_t>(rank_)));
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << to_string(shape); }

int resolve_axis(const char* op, int64_t axis, const Shape& shape) {
  const int64_t rank = shape.size();
  if (rank == 0) fail(op, "axis ", axis, " of a tensor without axes, want a tensor that has some");
  if (axis < -rank || axis >= rank) {
    fail(op, "axis ", axis, " of a tensor with ", rank, " axes, want ", -rank, " to ", rank - 1);
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.size(), b.size());
  int64_t sizes[Shape::kMaxRank];
  for (int i = 1; i <= rank; ++i) {  // from the last axis
    const int64_t from_a = i <= a.size() ? a[a.size() - i] : 1;
    const int64_t from_b = i <= b.size() ? b[b.size() - i] : 1;
    if (from_a != from_b && from_a != 1 && from_b != 1) {
      fail(op, "shapes ", a, " and ", b, " do not broadcast: axis ", -i, " has ", from_a, " and ",
           from_b, ", want equal sizes or 1");
    }
    sizes[rank - i] = from_a == 1 ? from_b : from_a;
  }
  return Shape(std::span<const int64_t>(sizes, static_cast<size_t>(rank)));
}

}  // namespace tern
