// SPDX-License-Identifier: Apache-2.0
// Tensors in another dtype or memory order.
#include "convert.h"

#include <algorithm>

#include "autograd.h"
#include "counters_private.h"
#include "error.h"
#include "parallel.h"
#include "profiler.h"
#include "tensor.h"

namespace tern {

namespace {

constexpr int64_t kGrain = 1 << 15;

class ConvertNode final : public Node {
 public:
  explicit ConvertNode(DType from) : from_(from) {}
  const char* name() const override { return "to"; }
  Gradients backward(const Tensor& dy) override { return {dy.to(from_)}; }

 private:
  DType from_;
};

class OrderNode final : public Node {
 public:
  explicit OrderNode(Order from) : from_(from) {}
  const char* name() const override { return "to_order"; }
  Gradients backward(const Tensor& dy) override { return {to_order(dy, from_)}; }

 private:
  Order from_;
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
  const bool to_last = y.order() == Order::channels_last;
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

bool same_bytes_in_both_orders(const Shape& shape) {
  return shape[1] == 1 || shape[2] * shape[3] == 1 || shape.numel() == 0;
}

}  // namespace

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  if (target == DType::bf16) fail("to", "dtype bf16 exists in files only: use f32");
  const ProfilerRange range("to", *this);
  const Tensor y = empty(shape(), target, order());
  visit(dtype(), [&](auto from) {
    visit(target, [&](auto to) {
      const auto* source = raw<decltype(from)>();
      auto* values = y.raw<decltype(to)>();
      parallel_for(numel(), kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) values[i] = convert<decltype(to)>(source[i]);
      });
    });
  });
  if (!is_floating(target)) return y;
  return record<ConvertNode>(y, {*this}, dtype());
}

Tensor to_order(const Tensor& x, Order order) {
  if (x.order() == order) return x;
  if (x.dim() != 4) fail("to_order", "channels-last needs 4 axes, x is ", x);
  Tensor y;
  if (same_bytes_in_both_orders(x.shape())) {
    y = Tensor(x.shape(), x.dtype(), order, x.storage());
  } else {
    const ProfilerRange range("to_order", x);
    ProfilerRange::reorders();
    y = empty(x.shape(), x.dtype(), order);
    counts::reorders.fetch_add(1, std::memory_order_relaxed);
    visit(x.dtype(), [&](auto t) { copy_reordered<decltype(t)>(x, y); });
  }
  return record<OrderNode>(y, {x}, x.order());
}

Tensor contiguous(const Tensor& x) { return to_order(x, Order::row_major); }

}  // namespace tern
