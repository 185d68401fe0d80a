// SPDX-License-Identifier: Apache-2.0
// One step of one row of a batch, n hidden units: a set of functions for each kernel.
#pragma once

#include <cstdint>

namespace tern::kernels::rnn {

/// `gates` are n numbers for each gate, one gate after the other: first the inputs' part, then what
/// the gate is. `hidden` is the part that the state before gives. Pointers with `d` before them are
/// the gradients.
template <class T>
struct Cells {
  /// y = act(y + hidden)
  void (*tanh)(int64_t n, const T* hidden, T* y);
  void (*relu)(int64_t n, const T* hidden, T* y);
  /// dgates = dh act'(y)
  void (*tanh_backward)(int64_t n, const T* y, const T* dh, T* dgates);
  void (*relu_backward)(int64_t n, const T* y, const T* dh, T* dgates);
  /// Gates i, f, g, o: c = f c + i g, h = o tanh(c)
  void (*lstm)(int64_t n, const T* hidden, T* gates, T* c, T* h);
  /// `c` is the new one, `dc` of the new one becomes that of `before`.
  void (*lstm_backward)(int64_t n, const T* gates, const T* before, const T* c, const T* dh, T* dc,
                        T* dgates);
  /// Gates r, z, n: part = hidden_n + bias (or null), n = tanh(x_n + r part), h = (1 - z) n + z h
  void (*gru)(int64_t n, const T* hidden, const T* bias, T* gates, T* part, T* h);
  /// `before` is h before; dh becomes z dh, the gradient of h before but for dhidden's.
  void (*gru_backward)(int64_t n, const T* gates, const T* part, const T* before, T* dh, T* dgates,
                       T* dhidden);
};

}  // namespace tern::kernels::rnn
