// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "../core/fused_node.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "in_place.h"
#include "internal/rnn.h"
#include "kernels/matmul.h"
#include "kernels/rnn.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

const char* to_string(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::tanh:
      return "rnn_tanh";
    case RecurrentCell::relu:
      return "rnn_relu";
    case RecurrentCell::lstm:
      return "lstm";
    case RecurrentCell::gru:
      return "gru";
  }
  return "";
}

namespace {

namespace kernel = kernels::rnn;

/// What a layer does, besides its tensors.
struct Settings {
  RecurrentCell cell;
  bool reverse;
  std::vector<int64_t> lengths;
};

template <class T>
kernel::Layer<T> layer_of(const Settings& settings, const Shape& x, const RecurrentWeights& w) {
  const auto raw = [](const Tensor& v) { return v.defined() ? v.raw<T>() : nullptr; };
  kernel::Layer<T> layer{.cell = settings.cell,
                         .reverse = settings.reverse,
                         .steps = x[0],
                         .batch = x[1],
                         .hidden = w.ih.size(0) / gates_of(settings.cell),
                         .outputs = w.hh.size(1),
                         .lengths = settings.lengths.empty() ? nullptr : settings.lengths.data(),
                         .w_hh = w.hh.raw<T>(),
                         .w_hr = raw(w.hr),
                         .b_hn = nullptr};
  if (layer.cell == RecurrentCell::gru && w.b_hh.defined()) {
    layer.b_hn = w.b_hh.raw<T>() + 2 * layer.hidden;
  }
  return layer;
}

/// y [m, n] = op(a) op(b) over k
template <class T>
void multiply(int64_t m, int64_t n, int64_t k, const T* a, bool transpose_a, const T* b,
              bool transpose_b, const T* bias, const Tensor& y) {
  OpScope::flops(2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
  kernels::matmul(kernels::MatmulShape{1, m, n, k, transpose_a, transpose_b, false, false}, a, b,
                  bias, y.raw<T>());
}

/// What is added to the inputs' part: both biases, but of GRU's new gate only the inputs'.
Tensor bias_of_inputs(RecurrentCell cell, const RecurrentWeights& w) {
  if (!w.b_ih.defined() || cell != RecurrentCell::gru) {
    return w.b_ih.defined() ? w.b_ih + w.b_hh : Tensor();
  }
  const int64_t gates = w.b_hh.size(0) / 3 * 2;
  return w.b_ih +
         cat({slice(w.b_hh, 0, 0, gates), zeros({w.b_hh.size(0) - gates}, w.b_hh.dtype())});
}

/// What the forward pass leaves for the backward pass.
struct Kept {
  Tensor gates = {}, states = {}, raw = {};
};

std::vector<Tensor> run(const Settings& settings, const Tensor& x, const Tensor& h0,
                        const Tensor& c0, const RecurrentWeights& w, bool keep, Kept& kept) {
  const NoGrad no_grad;
  const int64_t steps = x.size(0), batch = x.size(1), width = w.ih.size(0);
  const int64_t outputs = w.hh.size(1);
  const bool gated = settings.cell == RecurrentCell::lstm || settings.cell == RecurrentCell::gru;
  const bool has_c = settings.cell == RecurrentCell::lstm;
  const int64_t hidden = width / gates_of(settings.cell);
  const auto state = [&](const Tensor& initial, int64_t size) {
    return initial.defined() ? initial.clone() : zeros({batch, size}, x.dtype());
  };
  const Tensor y = empty({steps, batch, outputs}, x.dtype()), h = state(h0, outputs);
  const Tensor c = has_c ? state(c0, hidden) : Tensor();
  kept.gates = gated ? empty({steps, batch, width}, x.dtype()) : y;
  if (keep && gated) kept.states = empty({steps, batch, hidden}, x.dtype());
  if (w.hr.defined()) kept.raw = empty({steps, batch, hidden}, x.dtype());
  const Tensor bias = bias_of_inputs(settings.cell, w), input = contiguous(x);
  OpScope::flops(2.0 * static_cast<double>(steps * batch * width) * static_cast<double>(outputs));
  visit_floating(x.dtype(), [&]<class T>(T) {
    const auto raw = [](const Tensor& v) { return v.defined() ? v.raw<T>() : nullptr; };
    multiply<T>(steps * batch, width, x.size(2), input.raw<T>(), false, w.ih.raw<T>(), true,
                raw(bias), kept.gates);
    kernel::forward(layer_of<T>(settings, x.shape(), w),
                    kernel::Forward<T>{.gates = kept.gates.raw<T>(),
                                       .kept = raw(kept.states),
                                       .raw = raw(kept.raw),
                                       .y = y.raw<T>(),
                                       .h = h.raw<T>(),
                                       .c = raw(c)});
  });
  return has_c ? std::vector<Tensor>{y, h, c} : std::vector<Tensor>{y, h};
}

class RecurrentNode final : public FusedMultiNode {
 public:
  RecurrentNode(Settings settings, const Tensor& y, const Kept& kept, const Tensor& x,
                const Tensor& h0, const Tensor& c0, const RecurrentWeights& w)
      : settings_(std::move(settings)),
        x_(this, x),
        h0_(this, h0),
        c0_(this, c0),
        ih_(this, w.ih),
        hh_(this, w.hh),
        b_ih_(this, w.b_ih),
        b_hh_(this, w.b_hh),
        hr_(this, w.hr),
        y_(this, y, Saved::Role::output),
        gates_(this, kept.gates.is_same(y) ? Tensor() : kept.gates),
        states_(this, kept.states),
        raw_(this, kept.raw) {}
  const char* name() const override { return to_string(settings_.cell); }

 private:
  RecurrentWeights weights() const {
    return {ih_.get(), hh_.get(), b_ih_.get(), b_hh_.get(), hr_.get()};
  }
  std::vector<Tensor> saved() override {
    const RecurrentWeights w = weights();
    return {x_.get(), h0_.get(), c0_.get(), w.ih, w.hh, w.b_ih, w.b_hh, w.hr};
  }
  std::vector<Tensor> compose(const std::vector<Tensor>& s) override {
    return composed_recurrent(settings_.cell, s[0], s[1], s[2], {s[3], s[4], s[5], s[6], s[7]},
                              settings_.reverse, settings_.lengths);
  }
  Gradients fused(std::span<const Tensor> dys) override;
  template <class T>
  Tensor hidden_weights(const kernel::Layer<T>& layer, const Tensor& dhidden, const Tensor& y,
                        const Tensor& h0) const;

  Settings settings_;
  Saved x_, h0_, c0_, ih_, hh_, b_ih_, b_hh_, hr_, y_, gates_, states_, raw_;
};

/// The gradient of w_hh: of every step with the output of the step before it, in one product, and
/// of the first steps with the initial state.
template <class T>
Tensor RecurrentNode::hidden_weights(const kernel::Layer<T>& layer, const Tensor& dhidden,
                                     const Tensor& y, const Tensor& h0) const {
  const int64_t batch = layer.batch, width = layer.width(), outputs = layer.outputs;
  const int64_t rows = (layer.steps - 1) * batch;
  const Tensor dw = empty({width, outputs}, y.dtype());
  const T *d = dhidden.raw<T>(), *before = y.raw<T>();
  if (rows > 0) {
    multiply<T>(width, outputs, rows, layer.reverse ? d : d + batch * width, true,
                layer.reverse ? before + batch * outputs : before, false, nullptr, dw);
  } else if (!h0.defined()) {
    dw.zero_();
  }
  if (!h0.defined()) return dw;
  const Tensor first = empty({batch, width}, y.dtype());
  for (int64_t row = 0; row < batch; ++row) {
    const int64_t t = !layer.reverse ? 0 : (layer.lengths ? layer.lengths[row] : layer.steps) - 1;
    std::copy_n(d + (t * batch + row) * width, width, first.raw<T>() + row * width);
  }
  const Tensor part = rows > 0 ? empty_like(dw) : dw;
  multiply<T>(width, outputs, batch, first.raw<T>(), true, h0.raw<T>(), false, nullptr, part);
  if (rows > 0) add_(dw, part);
  return dw;
}

Gradients RecurrentNode::fused(std::span<const Tensor> dys) {
  enum Input { kX, kH0, kC0, kIh, kHh, kBIh, kBHh, kHr, kInputs };
  const RecurrentWeights w = weights();
  const Tensor x = contiguous(x_.get()), y = y_.get(), h0 = h0_.get();
  const Tensor gates = gates_.defined() ? gates_.get() : y, states = states_.get();
  const Shape& shape = x.shape();
  const int64_t steps = shape[0], batch = shape[1], width = w.ih.size(0);
  const int64_t outputs = w.hh.size(1), rows = steps * batch;
  const bool gru = settings_.cell == RecurrentCell::gru, has_c = dys.size() == 3;
  const auto gradient = [&](const Tensor& dy, int64_t size) {
    return dy.defined() ? contiguous(dy).clone() : zeros({batch, size}, x.dtype());
  };
  const Tensor dy = dys[0].defined() ? contiguous(dys[0]) : Tensor();
  const Tensor dh = gradient(dys[1], outputs);
  const Tensor dc = has_c ? gradient(dys[2], width / 4) : Tensor();
  const Tensor dgates = empty({rows, width}, x.dtype());
  const Tensor dhidden = gru ? empty_like(dgates) : dgates;
  const Tensor dprojected = w.hr.defined() ? empty({rows, outputs}, x.dtype()) : Tensor();
  const Tensor c0 = has_c && !c0_.defined() ? zeros_like(dc) : c0_.get();
  const Tensor start = gru && !h0.defined() ? zeros_like(dh) : h0;
  Gradients result(kInputs);
  OpScope::flops(2.0 * static_cast<double>(rows * width) * static_cast<double>(outputs));
  visit_floating(x.dtype(), [&]<class T>(T) {
    const auto raw = [](const Tensor& v) { return v.defined() ? v.raw<T>() : nullptr; };
    const kernel::Layer<T> layer = layer_of<T>(settings_, shape, w);
    kernel::backward(layer, kernel::Backward<T>{.gates = gates.raw<T>(),
                                                .kept = raw(states),
                                                .y = y.raw<T>(),
                                                .h0 = raw(start),
                                                .c0 = raw(c0),
                                                .dy = raw(dy),
                                                .dh = dh.raw<T>(),
                                                .dc = raw(dc),
                                                .dgates = dgates.raw<T>(),
                                                .dhidden = dhidden.raw<T>(),
                                                .dprojected = raw(dprojected)});
    const int64_t inputs = shape[2];
    if (needs(kX)) {
      result[kX] = empty(shape, x.dtype());
      multiply<T>(rows, inputs, width, dgates.raw<T>(), false, w.ih.raw<T>(), false, nullptr,
                  result[kX]);
    }
    if (needs(kIh)) {
      result[kIh] = empty_like(w.ih);
      multiply<T>(width, inputs, rows, dgates.raw<T>(), true, x.raw<T>(), false, nullptr,
                  result[kIh]);
    }
    if (needs(kHh)) result[kHh] = hidden_weights<T>(layer, dhidden, y, h0);
    if (needs(kHr)) {
      result[kHr] = empty_like(w.hr);
      multiply<T>(outputs, layer.hidden, rows, dprojected.raw<T>(), true, raw_.get().raw<T>(),
                  false, nullptr, result[kHr]);
    }
  });
  if (needs(kH0)) result[kH0] = dh;
  if (needs(kC0)) result[kC0] = dc;
  if (needs(kBIh)) result[kBIh] = sum(dgates, {0});
  if (needs(kBHh)) result[kBHh] = !gru && needs(kBIh) ? result[kBIh] : sum(dhidden, {0});
  return result;
}

}  // namespace

std::vector<Tensor> recurrent(RecurrentCell cell, const Tensor& x, const Tensor& h0,
                              const Tensor& c0, const RecurrentWeights& w, bool reverse,
                              const std::vector<int64_t>& lengths) {
  const OpScope scope(to_string(cell), x, h0, c0, w.ih, w.hh, w.b_ih, w.b_hh, w.hr, "reverse",
                      reverse, "lengths", lengths);
  if (x.numel() == 0) {
    return scope.results(composed_recurrent(cell, x, h0, c0, w, reverse, lengths));
  }
  Settings settings{cell, reverse, lengths};
  const bool keep = recording({x, h0, c0, w.ih, w.hh, w.b_ih, w.b_hh, w.hr});
  Kept kept;
  std::vector<Tensor> ys = run(settings, x, h0, c0, w, keep, kept);
  const Tensor y = ys[0];
  return scope.results(record<RecurrentNode>(std::move(ys),
                                             {x, h0, c0, w.ih, w.hh, w.b_ih, w.b_hh, w.hr},
                                             std::move(settings), y, kept, x, h0, c0, w));
}

}  // namespace tern
