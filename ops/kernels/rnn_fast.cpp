// SPDX-License-Identifier: Apache-2.0
// Rows of a batch do not need each other: a thread takes some of them through the whole sequence,
// without waiting for the others at every step, and its products read weights that were packed
// once.
#include <algorithm>
#include <optional>

#include "../../core/internal/memory.h"
#include "isa.h"
#include "product_kernels.h"
#include "rnn.h"
#include "rnn_steps.h"

namespace tern::kernels::rnn {

namespace {

// Fewer steps are not worth packing the weights.
constexpr int64_t kSteps = 3;
// Rows that the product takes at a time.
constexpr int64_t kRows = 8;
// Multiplications that are worth a thread.
constexpr int64_t kAlone = 1 << 18;

/// A matrix [depth, columns], in panels of as many columns as the product takes at a time.
class Packed {
 public:
  /// `w` is the matrix, or its transpose.
  Packed(const product::Kernels<float>& kernels, int64_t batch, const float* w, bool transposed,
         int64_t depth, int64_t columns)
      : kernels_(kernels),
        depth_(depth),
        panel_(kernels.lanes * (batch < kRows ? 4 : 2)),
        stride_(divide_up(columns, kernels.lanes) * kernels.lanes),
        memory_(static_cast<size_t>((batch + depth) * stride_) * sizeof(float)) {
    parallel_for(divide_up(columns, panel_), std::max<int64_t>(1, kGrain / (panel_ * depth)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t p = begin; p < end; ++p) {
                     const int64_t first = p * panel_, width = width_of(first);
                     const int64_t count = std::min(width, columns - first);
                     if (transposed) {
                       kernels_.pack_transposed(w + first * depth, depth, depth, count,
                                                panel(first), width);
                     } else {
                       kernels_.pack(w + first, columns, depth, count, panel(first), width);
                     }
                   }
                 });
  }

  /// result()[row] = a[row] times the matrix for rows [begin, end); a is the first of these.
  void multiply(const float* a, int64_t begin, int64_t end) const {
    for (int64_t first = 0; first < stride_; first += panel_) {
      const int64_t width = width_of(first);
      kernels_.multiply({.a = a,
                         .a_stride = depth_,
                         .b = panel(first),
                         .b_stride = width,
                         .m = result() + begin * stride_ + first,
                         .m_stride = stride_,
                         .rows = end - begin,
                         .columns = width,
                         .depth = depth_,
                         .add = false});
    }
  }
  float* result() const { return memory_.as<float>() + depth_ * stride_; }
  int64_t stride() const { return stride_; }

 private:
  int64_t width_of(int64_t first) const { return std::min(panel_, stride_ - first); }
  float* panel(int64_t first) const { return memory_.as<float>() + first * depth_; }

  const product::Kernels<float>& kernels_;
  int64_t depth_, panel_, stride_;
  memory::Scratch memory_;  // the matrix, then the products of the batch
};

template <class Run>
void by_rows(const Layer<float>& layer, bool backward, const Run& run) {
  const product::Kernels<float>& kernels = *isa_kernels().product;
  const int64_t batch = layer.batch, n = layer.hidden, width = layer.width();
  const int64_t outputs = layer.outputs;
  const Packed hidden(kernels, batch, layer.w_hh, !backward, backward ? width : outputs,
                      backward ? outputs : width);
  std::optional<Packed> projection;
  if (layer.w_hr) {
    projection.emplace(kernels, batch, layer.w_hr, !backward, backward ? outputs : n,
                       backward ? n : outputs);
  }
  const int64_t work = kRows * layer.steps * width * outputs;
  parallel_for(divide_up(batch, kRows), std::max<int64_t>(1, kAlone / work),
               [&](int64_t begin, int64_t end) {
                 const auto of_hidden = [&](const float* a, int64_t first, int64_t last) {
                   hidden.multiply(a, first, last);
                 };
                 const auto of_projection = [&](const float* a, int64_t first, int64_t last) {
                   projection->multiply(a, first, last);
                 };
                 const auto for_rows = [](int64_t first, int64_t last, StepKernels<float>::Rows f) {
                   f(first, last);
                 };
                 run(StepKernels<float>{*isa_kernels().rnn,
                                        {of_hidden, hidden.result(), hidden.stride()},
                                        {of_projection, projection ? projection->result() : nullptr,
                                         projection ? projection->stride() : 0},
                                        for_rows},
                     begin * kRows, std::min(end * kRows, batch));
               });
}

}  // namespace

void forward_fast(const Layer<float>& layer, const Forward<float>& tensors) {
  if (layer.steps < kSteps) return forward_by_step(layer, tensors, *isa_kernels().rnn);
  by_rows(layer, false, [&](const StepKernels<float>& kernels, int64_t begin, int64_t end) {
    forward_rows(layer, tensors, kernels, begin, end);
  });
}

void backward_fast(const Layer<float>& layer, const Backward<float>& tensors) {
  if (layer.steps < kSteps) return backward_by_step(layer, tensors, *isa_kernels().rnn);
  by_rows(layer, true, [&](const StepKernels<float>& kernels, int64_t begin, int64_t end) {
    backward_rows(layer, tensors, kernels, begin, end);
  });
}

}  // namespace tern::kernels::rnn
