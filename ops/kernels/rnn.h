// SPDX-License-Identifier: Apache-2.0
// One layer of a recurrent net in one direction, over all steps of a sequence. What is multiplied
// with the inputs of all steps is not here: that is one matrix product before (and after).
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace tern {

/// What a step computes: nn::RNN with tanh or relu, nn::LSTM, nn::GRU.
enum class RecurrentCell : uint8_t { tanh, relu, lstm, gru };

/// Matrices of weights: the gates of a cell.
constexpr int64_t gates_of(RecurrentCell cell) {
  if (cell == RecurrentCell::lstm) return 4;
  return cell == RecurrentCell::gru ? 3 : 1;
}

}  // namespace tern

namespace tern::kernels::rnn {

using Cell = RecurrentCell;

/// Rows (step, row of the batch) of all tensors follow each other, steps first. Step t of a row
/// counts only if t < lengths[row]; `lengths` may be null.
template <class T>
struct Layer {
  Cell cell;
  bool reverse;  ///< the last step first
  int64_t steps, batch, hidden;
  int64_t outputs;  ///< hidden, or what it is projected to
  const int64_t* lengths;
  const T* w_hh;  ///< [gates * hidden, outputs]
  const T* w_hr;  ///< [outputs, hidden], or null
  const T* b_hn;  ///< the part of GRU's bias that the reset gate multiplies, [hidden]; or null

  int64_t width() const { return gates_of(cell) * hidden; }
  /// The step that is computed as number i.
  int64_t step(int64_t i) const { return reverse ? steps - 1 - i : i; }
  bool counts(int64_t t, int64_t row) const { return !lengths || t < lengths[row]; }
  /// Whether it is the first step of a row that counts.
  bool first(int64_t t, int64_t row) const {
    return reverse ? t == (lengths ? lengths[row] : steps) - 1 : t == 0;
  }
};

template <class T>
struct Forward {
  T* gates;  ///< [rows, width]: the inputs' part with all biases but b_hn; becomes the gates
  T* kept;   ///< [rows, hidden] for backward: c (LSTM), h's part of n (GRU); may be null
  T* raw;    ///< [rows, hidden]: the output before the projection; null without one
  T* y;      ///< [rows, outputs]; for cells without gates the same as `gates`
  T* h;      ///< [batch, outputs]: the initial state, becomes the last one
  T* c;      ///< [batch, hidden], LSTM only
};

template <class T>
struct Backward {
  const T *gates, *kept, *y;  ///< as Forward left them
  const T *h0, *c0;           ///< the initial states
  const T* dy;                ///< may be null
  T* dh;                      ///< [batch, outputs]: of the last state, becomes that of the initial
  T* dc;                      ///< [batch, hidden], LSTM only
  T* dgates;                  ///< [rows, width] of the inputs' part
  T* dhidden;                 ///< that of h's part: GRU only, otherwise the same
  T* dprojected;              ///< [rows, outputs] of the projection's result; null without one
};

void forward_fast(const Layer<float>& layer, const Forward<float>& tensors);
template <class T>
void forward_reference(const Layer<T>& layer, const Forward<T>& tensors);
template <class T>
void forward(const Layer<T>& layer, const Forward<T>& tensors) {
  dispatch(forward_fast, forward_reference<T>, layer, tensors);
}

void backward_fast(const Layer<float>& layer, const Backward<float>& tensors);
template <class T>
void backward_reference(const Layer<T>& layer, const Backward<T>& tensors);
template <class T>
void backward(const Layer<T>& layer, const Backward<T>& tensors) {
  dispatch(backward_fast, backward_reference<T>, layer, tensors);
}

}  // namespace tern::kernels::rnn
