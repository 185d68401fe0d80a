// SPDX-License-Identifier: Apache-2.0
#include "../core/tensor.h"
#include "activations.h"
#include "arithmetic.h"
#include "indexing.h"
#include "internal/rnn.h"
#include "matmul.h"
#include "movement.h"

namespace tern {

namespace {

struct State {
  Tensor h, c;
};

State step(RecurrentCell cell, const Tensor& x, const State& before, const RecurrentWeights& w) {
  const Tensor of_x = linear(x, w.ih, w.b_ih), of_h = linear(before.h, w.hh, w.b_hh);
  const int64_t n = w.ih.size(0) / gates_of(cell);
  const auto gate = [n](const Tensor& all, int64_t i) { return slice(all, 1, i * n, (i + 1) * n); };
  switch (cell) {
    case RecurrentCell::tanh:
      return {tanh(of_x + of_h), {}};
    case RecurrentCell::relu:
      return {relu(of_x + of_h), {}};
    case RecurrentCell::lstm: {
      const Tensor sum = of_x + of_h;
      const Tensor c =
          sigmoid(gate(sum, 1)) * before.c + sigmoid(gate(sum, 0)) * tanh(gate(sum, 2));
      const Tensor h = sigmoid(gate(sum, 3)) * tanh(c);
      return {w.hr.defined() ? linear(h, w.hr) : h, c};
    }
    case RecurrentCell::gru:
      break;
  }
  const Tensor r = sigmoid(gate(of_x, 0) + gate(of_h, 0)),
               z = sigmoid(gate(of_x, 1) + gate(of_h, 1));
  const Tensor next = tanh(gate(of_x, 2) + r * gate(of_h, 2));
  return {(1.0 - z) * next + z * before.h, {}};
}

}  // namespace

std::vector<Tensor> composed_recurrent(RecurrentCell cell, const Tensor& x, const Tensor& h0,
                                       const Tensor& c0, const RecurrentWeights& w, bool reverse,
                                       const std::vector<int64_t>& lengths) {
  const int64_t steps = x.size(0), batch = x.size(1);
  const bool has_c = cell == RecurrentCell::lstm;
  State state{h0.defined() ? h0 : zeros({batch, w.hh.size(1)}, x.dtype()), c0};
  if (has_c && !c0.defined()) state.c = zeros({batch, w.hh.size(0) / 4}, x.dtype());
  const Tensor ends =
      lengths.empty() ? Tensor() : tensor(std::vector<int64_t>(lengths), {batch, 1});
  std::vector<Tensor> ys(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t t = reverse ? steps - 1 - i : i;
    const State next = step(cell, select(x, 0, t), state, w);
    Tensor& y = ys[static_cast<size_t>(t)];
    if (lengths.empty()) {
      state = next;
      y = next.h;
      continue;
    }
    const Tensor counts = gt(ends, static_cast<double>(t));
    y = where(counts, next.h, zeros_like(next.h));
    state.h = where(counts, next.h, state.h);
    if (has_c) state.c = where(counts, next.c, state.c);
  }
  const Tensor y = stack(ys, 0);
  return has_c ? std::vector<Tensor>{y, state.h, state.c} : std::vector<Tensor>{y, state.h};
}

}  // namespace tern
