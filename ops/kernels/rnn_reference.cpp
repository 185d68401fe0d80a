// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "rnn.h"
#include "rnn_steps.h"

namespace tern::kernels::rnn {

namespace {

template <class T>
T logistic(T x) {
  return 1 / (1 + std::exp(-x));
}

template <class T>
void tanh_cell(int64_t n, const T* hidden, T* y) {
  for (int64_t j = 0; j < n; ++j) y[j] = std::tanh(y[j] + hidden[j]);
}
template <class T>
void relu_cell(int64_t n, const T* hidden, T* y) {
  for (int64_t j = 0; j < n; ++j) {
    const T sum = y[j] + hidden[j];
    y[j] = sum < 0 ? T{} : sum;
  }
}
template <class T>
void tanh_backward(int64_t n, const T* y, const T* dh, T* dgates) {
  for (int64_t j = 0; j < n; ++j) dgates[j] = dh[j] * (1 - y[j] * y[j]);
}
template <class T>
void relu_backward(int64_t n, const T* y, const T* dh, T* dgates) {
  for (int64_t j = 0; j < n; ++j) dgates[j] = y[j] > 0 ? dh[j] : T{};
}

template <class T>
void lstm_cell(int64_t n, const T* hidden, T* gates, T* c, T* h) {
  T *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
  for (int64_t j = 0; j < n; ++j) {
    i[j] = logistic(i[j] + hidden[j]);
    f[j] = logistic(f[j] + hidden[n + j]);
    g[j] = std::tanh(g[j] + hidden[2 * n + j]);
    o[j] = logistic(o[j] + hidden[3 * n + j]);
    c[j] = f[j] * c[j] + i[j] * g[j];
    h[j] = o[j] * std::tanh(c[j]);
  }
}
template <class T>
void lstm_backward(int64_t n, const T* gates, const T* before, const T* c, const T* dh, T* dc,
                   T* dgates) {
  const T *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
  for (int64_t j = 0; j < n; ++j) {
    const T y = std::tanh(c[j]);
    const T d = dc[j] + dh[j] * o[j] * (1 - y * y);
    dgates[j] = d * g[j] * i[j] * (1 - i[j]);
    dgates[n + j] = d * before[j] * f[j] * (1 - f[j]);
    dgates[2 * n + j] = d * i[j] * (1 - g[j] * g[j]);
    dgates[3 * n + j] = dh[j] * y * o[j] * (1 - o[j]);
    dc[j] = d * f[j];
  }
}

template <class T>
void gru_cell(int64_t n, const T* hidden, const T* bias, T* gates, T* part, T* h) {
  T *r = gates, *z = gates + n, *next = gates + 2 * n;
  for (int64_t j = 0; j < n; ++j) {
    r[j] = logistic(r[j] + hidden[j]);
    z[j] = logistic(z[j] + hidden[n + j]);
    part[j] = hidden[2 * n + j] + (bias ? bias[j] : T{});
    next[j] = std::tanh(next[j] + r[j] * part[j]);
    h[j] = (1 - z[j]) * next[j] + z[j] * h[j];
  }
}
template <class T>
void gru_backward(int64_t n, const T* gates, const T* part, const T* before, T* dh, T* dgates,
                  T* dhidden) {
  const T *r = gates, *z = gates + n, *next = gates + 2 * n;
  for (int64_t j = 0; j < n; ++j) {
    const T dnext = dh[j] * (1 - z[j]) * (1 - next[j] * next[j]);
    dgates[j] = dhidden[j] = dnext * part[j] * r[j] * (1 - r[j]);
    dgates[n + j] = dhidden[n + j] = dh[j] * (before[j] - next[j]) * z[j] * (1 - z[j]);
    dgates[2 * n + j] = dnext;
    dhidden[2 * n + j] = dnext * r[j];
    dh[j] *= z[j];
  }
}

template <class T>
constexpr Cells<T> kReference = {.tanh = tanh_cell<T>,
                                 .relu = relu_cell<T>,
                                 .tanh_backward = tanh_backward<T>,
                                 .relu_backward = relu_backward<T>,
                                 .lstm = lstm_cell<T>,
                                 .lstm_backward = lstm_backward<T>,
                                 .gru = gru_cell<T>,
                                 .gru_backward = gru_backward<T>};

}  // namespace

template <class T>
void forward_reference(const Layer<T>& layer, const Forward<T>& tensors) {
  forward_by_step(layer, tensors, kReference<T>);
}
template <class T>
void backward_reference(const Layer<T>& layer, const Backward<T>& tensors) {
  backward_by_step(layer, tensors, kReference<T>);
}

template void forward_reference(const Layer<float>&, const Forward<float>&);
template void forward_reference(const Layer<double>&, const Forward<double>&);
template void backward_reference(const Layer<float>&, const Backward<float>&);
template void backward_reference(const Layer<double>&, const Backward<double>&);

}  // namespace tern::kernels::rnn
