// SPDX-License-Identifier: Apache-2.0
// Convolution as a matrix product, image by image and group by group: with the columns matrix
// X[(c,r,s), (i,j)] = x[c, i*stride + r*dilation - padding, ...], y = W X, dX = W^T dy, dW = dy
// X^T.
#include <Eigen/Core>
#include <algorithm>

#include "../../core/internal/parallel.h"
#include "conv.h"

namespace tern::kernels {

namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using View = Eigen::Map<Matrix<T>>;
template <class T>
using ConstView = Eigen::Map<const Matrix<T>>;

// Calls f(row of X, column of X, offset in the group's part of x) for every element of X that lies
// inside the image; the others are padding.
template <class F>
void for_each_tap(const ConvShape& s, F&& f) {
  int64_t row = 0;
  for (int64_t c = 0; c < s.c / s.groups; ++c) {
    for (int64_t r = 0; r < s.r; ++r) {
      for (int64_t q = 0; q < s.s; ++q, ++row) {
        for (int64_t i = 0; i < s.out_h; ++i) {
          const int64_t h = i * s.stride.h + r * s.dilation.h - s.padding.h;
          if (h < 0 || h >= s.h) continue;
          for (int64_t j = 0; j < s.out_w; ++j) {
            const int64_t w = j * s.stride.w + q * s.dilation.w - s.padding.w;
            if (w >= 0 && w < s.w) f(row, i * s.out_w + j, (c * s.h + h) * s.w + w);
          }
        }
      }
    }
  }
}

// What the kernels need of a group of an image.
struct Parts {
  explicit Parts(const ConvShape& s)
      : rows(s.c / s.groups * s.r * s.s),
        columns(s.out_h * s.out_w),
        outputs(s.k / s.groups),
        x_size(s.c / s.groups * s.h * s.w),
        y_size(outputs * columns),
        w_size(outputs * rows) {}
  int64_t rows, columns, outputs;
  int64_t x_size, y_size, w_size;
};

template <class T>
void im2col(const ConvShape& shape, const T* x, Matrix<T>& columns) {
  columns.setZero();
  for_each_tap(shape,
               [&](int64_t row, int64_t column, int64_t at) { columns(row, column) = x[at]; });
}

}  // namespace

template <class T>
void conv_forward_reference(const ConvShape& shape, const T* x, const T* w, const T* bias,
                            bool relu, T* y) {
  const Parts parts(shape);
  parallel_for(shape.n, 1, [&](int64_t begin, int64_t end) {
    Matrix<T> columns(parts.rows, parts.columns);
    for (int64_t i = begin * shape.groups; i < end * shape.groups; ++i) {
      const int64_t group = i % shape.groups;
      im2col(shape, x + i * parts.x_size, columns);
      const ConstView<T> weight(w + group * parts.w_size, parts.outputs, parts.rows);
      View<T> out(y + i * parts.y_size, parts.outputs, parts.columns);
      out.noalias() = weight * columns;
      for (int64_t k = 0; bias && k < parts.outputs; ++k) {
        out.row(k).array() += bias[group * parts.outputs + k];
      }
      if (relu) out = (out.array() < T{0}).select(T{0}, out);  // NaN passes
    }
  });
}

template <class T>
void conv_backward_data_reference(const ConvShape& shape, const T* dy, const T* w, T* dx) {
  const Parts parts(shape);
  parallel_for(shape.n, 1, [&](int64_t begin, int64_t end) {
    Matrix<T> columns(parts.rows, parts.columns);
    for (int64_t i = begin * shape.groups; i < end * shape.groups; ++i) {
      const ConstView<T> weight(w + i % shape.groups * parts.w_size, parts.outputs, parts.rows);
      const ConstView<T> out(dy + i * parts.y_size, parts.outputs, parts.columns);
      columns.noalias() = weight.transpose() * out;
      T* image = dx + i * parts.x_size;
      std::fill_n(image, parts.x_size, T{0});
      for_each_tap(shape, [&](int64_t row, int64_t column, int64_t at) {
        image[at] += columns(row, column);
      });
    }
  });
}

template <class T>
void conv_backward_weights_reference(const ConvShape& shape, const T* x, const T* dy, T* dw,
                                     T* db) {
  const Parts parts(shape);
  std::fill_n(dw, shape.groups * parts.w_size, T{0});
  if (db) std::fill_n(db, shape.k, T{0});
  Matrix<T> columns(parts.rows, parts.columns);
  for (int64_t i = 0; i < shape.n * shape.groups; ++i) {
    const int64_t group = i % shape.groups;
    im2col(shape, x + i * parts.x_size, columns);
    const ConstView<T> out(dy + i * parts.y_size, parts.outputs, parts.columns);
    View<T> weight(dw + group * parts.w_size, parts.outputs, parts.rows);
    weight.noalias() += out * columns.transpose();
    if (!db) continue;
    for (int64_t k = 0; k < parts.outputs; ++k) db[group * parts.outputs + k] += out.row(k).sum();
  }
}

template void conv_forward_reference(const ConvShape&, const float*, const float*, const float*,
                                     bool, float*);
template void conv_forward_reference(const ConvShape&, const double*, const double*, const double*,
                                     bool, double*);
template void conv_backward_data_reference(const ConvShape&, const float*, const float*, float*);
template void conv_backward_data_reference(const ConvShape&, const double*, const double*, double*);
template void conv_backward_weights_reference(const ConvShape&, const float*, const float*, float*,
                                              float*);
template void conv_backward_weights_reference(const ConvShape&, const double*, const double*,
                                              double*, double*);

}  // namespace tern::kernels
