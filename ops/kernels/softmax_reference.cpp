// SPDX-License-Identifier: Apache-2.0
#include "softmax.h"

#include <Eigen/Core>
#include <cmath>

#include "strided.h"

namespace tern::kernels {

namespace {

/// Calls body(offset, column) for each of the columns that are normalized, column(p) being the
/// array that starts at p.
template <class Body>
void for_columns(const SoftmaxShape& shape, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(1, shape.length));
  parallel_for(shape.outer * shape.inner, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t offset = i / shape.inner * shape.length * shape.inner + i % shape.inner;
      if (shape.inner == 1) {
        body(offset, [&]<class T>(T* p) {
          using Array = Eigen::ArrayX<std::remove_const_t<T>>;
          return Eigen::Map<std::conditional_t<std::is_const_v<T>, const Array, Array>>(
              p, shape.length);
        });
      } else {
        body(offset, [&]<class T>(T* p) {
          using Array = Eigen::ArrayX<std::remove_const_t<T>>;
          return Eigen::Map<std::conditional_t<std::is_const_v<T>, const Array, Array>, 0,
                            Eigen::InnerStride<>>(p, shape.length,
                                                  Eigen::InnerStride<>(shape.inner));
        });
      }
    }
  });
}

// Eigen's own exp gives tiny numbers for -inf.
const auto exponential = [](auto v) { return std::exp(v); };

}  // namespace

template <class T>
void softmax_reference(const SoftmaxShape& shape, const T* x, T* y) {
  for_columns(shape, [&](int64_t offset, const auto& column) {
    const auto in = column(x + offset);
    auto out = column(y + offset);
    const T largest = in.maxCoeff();
    if (shape.logarithm) {
      out = in - largest;
      out -= std::log(out.unaryExpr(exponential).sum());
    } else {
      out = (in - largest).unaryExpr(exponential);
      out *= T{1} / out.sum();
    }
  });
}

template <class T>
void softmax_backward_reference(const SoftmaxShape& shape, const T* y, const T* dy, T* dx) {
  for_columns(shape, [&](int64_t offset, const auto& column) {
    const auto out = column(y + offset);
    const auto dout = column(dy + offset);
    auto din = column(dx + offset);
    if (shape.logarithm) {
      din = dout - out.unaryExpr(exponential) * dout.sum();
    } else {
      din = out * (dout - (out * dout).sum());
    }
  });
}

template void softmax_reference(const SoftmaxShape&, const float*, float*);
template void softmax_reference(const SoftmaxShape&, const double*, double*);
template void softmax_backward_reference(const SoftmaxShape&, const float*, const float*, float*);
template void softmax_backward_reference(const SoftmaxShape&, const double*, const double*,
                                         double*);

}  // namespace tern::kernels
