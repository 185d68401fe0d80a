// SPDX-License-Identifier: Apache-2.0
// ONNX's reductions, softmax, losses and orders.
#include <limits>

#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/create.h"
#include "../ops/loss.h"
#include "../ops/math.h"
#include "../ops/movement.h"
#include "../ops/reduce.h"
#include "../ops/softmax.h"
#include "../ops/sort.h"
#include "internal/onnx_run.h"

namespace tern::io {

namespace {

using Reduce = Tensor (*)(const Tensor&, const IntList&, bool);

Tensor sum_of(const Tensor& x, const IntList& axes, bool keepdim) {
  return sum(x, axes, keepdim).to(x.dtype());
}
Tensor mean_of(const Tensor& x, const IntList& axes, bool keepdim) {
  if (is_floating(x.dtype())) return mean(x, axes, keepdim);
  return mean(x.to(DType::f64), axes, keepdim).to(x.dtype());
}
Tensor prod_of(const Tensor& x, const IntList& axes, bool keepdim) {
  return prod(x, axes, keepdim).to(x.dtype());
}
Tensor l1(const Tensor& x, const IntList& axes, bool keepdim) {
  return sum_of(abs(x), axes, keepdim);
}
Tensor l2(const Tensor& x, const IntList& axes, bool keepdim) {
  return sqrt(sum_of(x * x, axes, keepdim));
}
Tensor log_sum(const Tensor& x, const IntList& axes, bool keepdim) {
  return log(sum_of(x, axes, keepdim));
}
Tensor sum_square(const Tensor& x, const IntList& axes, bool keepdim) {
  return sum_of(x * x, axes, keepdim);
}
Tensor max_of(const Tensor& x, const IntList& axes, bool keepdim) { return max(x, axes, keepdim); }
Tensor min_of(const Tensor& x, const IntList& axes, bool keepdim) { return min(x, axes, keepdim); }

template <Reduce F>
OnnxResults reduce(const OnnxCallIn& in) {
  const std::vector<int64_t> axes = in.integers("axes", 1);
  const Tensor& x = in.x();
  if (axes.empty() && in.integer("noop_with_empty_axes", 0) != 0) return {x};
  if (x.dim() == 0) return {F(reshape(x, {1}), {}, false)};
  return {F(x, axes, in.integer("keepdims", 1) != 0)};
}

template <Tensor (*F)(const Tensor&, int64_t, bool)>
OnnxResults place(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t axis = in.integer("axis", 0);
  const bool keep = in.integer("keepdims", 1) != 0;
  if (in.integer("select_last_index", 0) == 0) return {F(x, axis, keep)};
  return {static_cast<double>(x.size(axis) - 1) - F(flip(x, axis), axis, keep)};
}
Tensor first_max(const Tensor& x, int64_t axis, bool keep) { return argmax(x, axis, keep); }
Tensor first_min(const Tensor& x, int64_t axis, bool keep) { return argmin(x, axis, keep); }

// ---- Softmax. Before opset 13 it was of matrices: the axes up to `axis`, and the others.

template <class F>
OnnxResults of_lines(const OnnxCallIn& in, const F& f) {
  const Tensor& x = in.x();
  const bool old = in.opset() < 13;
  int64_t axis = in.integer("axis", old ? 1 : -1);
  if (!old) return {f(x, axis)};
  if (axis < 0) axis += x.dim();
  int64_t rows = 1;
  for (int64_t d = 0; d < axis; ++d) rows *= x.size(d);
  const int64_t columns = rows == 0 ? 0 : x.numel() / rows;
  return {reshape(f(reshape(x, {rows, columns}), 1), x.shape())};
}
OnnxResults softmax_of(const OnnxCallIn& in) { return of_lines(in, softmax); }
OnnxResults log_softmax_of(const OnnxCallIn& in) { return of_lines(in, log_softmax); }
OnnxResults hardmax(const OnnxCallIn& in) {
  return of_lines(in, [](const Tensor& x, int64_t axis) {
    const Tensor place = argmax(x, axis, true);
    std::vector<int64_t> sizes(static_cast<size_t>(x.dim()), 1);
    const auto along = static_cast<size_t>(axis < 0 ? axis + x.dim() : axis);
    sizes[along] = x.size(axis);
    const Tensor each = reshape(arange(static_cast<double>(x.size(axis))), sizes);
    return eq(each, place).to(x.dtype());
  });
}

// ---- Losses

Reduction reduction_of(const OnnxCallIn& in) {
  const std::string name = in.text("reduction", "mean");
  return name == "none" ? Reduction::none : name == "sum" ? Reduction::sum : Reduction::mean;
}
Tensor loss_of(const OnnxCallIn& in, const Tensor& log_probabilities) {
  constexpr int64_t kNone = -100;
  return nll_loss(log_probabilities, in.x(1),
                  {.weight = in.optional(2),
                   .ignore_index = in.integer("ignore_index", kNone),
                   .reduction = reduction_of(in)});
}
OnnxResults nll(const OnnxCallIn& in) { return {loss_of(in, in.x(0))}; }
OnnxResults softmax_cross_entropy(const OnnxCallIn& in) {
  const Tensor log_probabilities = log_softmax(in.x(0), 1);
  return {loss_of(in, log_probabilities), log_probabilities};
}

// ---- Order

OnnxResults top_k(const OnnxCallIn& in) {
  const int64_t count = in.opset() < 10 ? in.integer("k", 1) : in.integer(size_t{1});
  const auto [values, places] =
      topk(in.x(), count, in.integer("axis", -1), in.integer("largest", 1) != 0);
  return {values, places};
}
OnnxResults cumulative_sum(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t axis = in.integer(size_t{1});
  const bool reverse = in.integer("reverse", 0) != 0;
  const Tensor ordered = reverse ? flip(x, axis) : x;
  Tensor y = cumsum(ordered, axis);
  if (in.integer("exclusive", 0) != 0) y = y - ordered;
  return {reverse ? flip(y, axis) : y};
}

}  // namespace

const OnnxKernels& reduction_kernels() {
  static const OnnxKernels table = {{"ReduceSum", reduce<sum_of>},
                                    {"ReduceMean", reduce<mean_of>},
                                    {"ReduceProd", reduce<prod_of>},
                                    {"ReduceMax", reduce<max_of>},
                                    {"ReduceMin", reduce<min_of>},
                                    {"ReduceL1", reduce<l1>},
                                    {"ReduceL2", reduce<l2>},
                                    {"ReduceLogSum", reduce<log_sum>},
                                    {"ReduceLogSumExp", reduce<logsumexp>},
                                    {"ReduceSumSquare", reduce<sum_square>},
                                    {"ArgMax", place<first_max>},
                                    {"ArgMin", place<first_min>},
                                    {"Softmax", softmax_of},
                                    {"LogSoftmax", log_softmax_of},
                                    {"Hardmax", hardmax},
                                    {"NegativeLogLikelihoodLoss", nll},
                                    {"SoftmaxCrossEntropyLoss", softmax_cross_entropy},
                                    {"TopK", top_k},
                                    {"CumSum", cumulative_sum}};
  return table;
}

}  // namespace tern::io
