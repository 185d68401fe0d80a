// SPDX-License-Identifier: Apache-2.0
// Tensors in another memory format.
#include <algorithm>

#include "autograd.h"
#include "error.h"
#include "internal/convert.h"
#include "internal/counters.h"
#include "internal/parallel.h"
#include "op_scope.h"
#include "tensor.h"

namespace tern {

namespace {

class MemoryFormatNode final : public Node {
 public:
  explicit MemoryFormatNode(MemoryFormat from) : from_(from) {}
  const char* name() const override { return "to_memory_format"; }
  Gradients backward(const Tensor& dy) override { return {to_memory_format(dy, from_)}; }

 private:
  MemoryFormat from_;
};

// y[j * rows + i] = x[i * columns + j] for rows i in [begin, end), in tiles that fit into the
// cache.
template <class T>
void transpose_rows(const T* x, T* y, int64_t rows, int64_t columns, int64_t begin, int64_t end) {
  constexpr int64_t kTile = 32;
  for (int64_t i0 = begin; i0 < end; i0 += kTile) {
    for (int64_t j0 = 0; j0 < columns; j0 += kTile) {
      const int64_t i1 = std::min(i0 + kTile, end);
      const int64_t j1 = std::min(j0 + kTile, columns);
      for (int64_t j = j0; j < j1; ++j) {
        for (int64_t i = i0; i < i1; ++i) y[j * rows + i] = x[i * columns + j];
      }
    }
  }
}

// Each image is a matrix [C, HW] in row-major order and [HW, C] channels-last.
template <class T>
void copy_reordered(const Tensor& x, const Tensor& y) {
  const Shape& shape = x.shape();
  const int64_t channels = shape[1];
  const int64_t pixels = shape[2] * shape[3];
  const bool to_last = y.memory_format() == MemoryFormat::channels_last;
  const int64_t rows = to_last ? channels : pixels;
  const int64_t columns = to_last ? pixels : channels;
  const T* source = x.raw<T>();
  T* target = y.raw<T>();
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, columns));
  parallel_for(shape[0] * rows, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t image = begin / rows;
      const int64_t stop = std::min(end, (image + 1) * rows);
      transpose_rows(source + image * rows * columns, target + image * rows * columns, rows,
                     columns, begin - image * rows, stop - image * rows);
      begin = stop;
    }
  });
}

}  // namespace

Tensor to_memory_format(const Tensor& x, MemoryFormat format) {
  if (x.memory_format() == format) return x;
  if (x.dim() != 4)
    fail("to_memory_format", "x is ", x, ", want 4 axes: channels-last has no meaning for others");
  const OpScope scope("to_memory_format", x, "format", format);
  Tensor y;
  if (same_in_both_formats(x.shape())) {
    y = Tensor(x.shape(), x.dtype(), format, x.storage());
  } else {
    OpScope::reorders();
    y = empty(x.shape(), x.dtype(), format);
    counts::reorders.fetch_add(1, std::memory_order_relaxed);
    visit(x.dtype(), [&](auto t) { copy_reordered<decltype(t)>(x, y); });
  }
  return scope.result(record<MemoryFormatNode>(y, {x}, x.memory_format()));
}

Tensor contiguous(const Tensor& x) { return to_memory_format(x, MemoryFormat::row_major); }

}  // namespace tern
