// SPDX-License-Identifier: Apache-2.0
// One layer of a recurrent net in one direction, for nn/rnn.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "../../core/tensor.h"
#include "../kernels/rnn.h"

namespace tern {

/// "rnn_tanh", "rnn_relu", "lstm", "gru"
const char* to_string(RecurrentCell cell);

/// The parameters of a layer with G gates (1; LSTM 4; GRU 3), H hidden units and P outputs.
struct RecurrentWeights {
  Tensor ih;         ///< [G H, inputs]
  Tensor hh;         ///< [G H, P]
  Tensor b_ih = {};  ///< [G H], or undefined as all below
  Tensor b_hh = {};  ///< [G H]
  Tensor hr = {};    ///< [P, H]: LSTM's projection; without it P is H
};

/// All steps of x [steps, batch, inputs], as one node: {y [steps, batch, P], h [batch, P]}, and c
/// [batch, H] for an LSTM. h0 and c0 may be undefined, which is zero. With lengths, a row's state
/// stays as it is after (in reverse: before) its length, where y is 0. All shapes fit, and there is
/// at least one step.
std::vector<Tensor> recurrent(RecurrentCell cell, const Tensor& x, const Tensor& h0,
                              const Tensor& c0, const RecurrentWeights& weights, bool reverse,
                              const std::vector<int64_t>& lengths);
/// The same of differentiable operations: what `recurrent` is.
std::vector<Tensor> composed_recurrent(RecurrentCell cell, const Tensor& x, const Tensor& h0,
                                       const Tensor& c0, const RecurrentWeights& weights,
                                       bool reverse, const std::vector<int64_t>& lengths);

}  // namespace tern
