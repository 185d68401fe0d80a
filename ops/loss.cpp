// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/memory.h"
#include "../core/profiler.h"
#include "arithmetic.h"
#include "kernels/loss.h"
#include "movement.h"
#include "softmax.h"
#include "stretch.h"

namespace tern {

namespace {

using kernels::CrossEntropyShape;

class CrossEntropyNode final : public Node {
 public:
  CrossEntropyNode(const Tensor& x, const Tensor& classes, const Tensor& log_sum_exp,
                   const CrossEntropyShape& shape, double scale)
      : x_(this, x),
        classes_(this, classes),
        log_sum_exp_(this, log_sum_exp),
        shape_(shape),
        scale_(scale) {}
  const char* name() const override { return "cross_entropy"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor x = x_.get();
    if (recording({dy, x})) return {composed(dy, x)};
    const Tensor dx = empty_like(x);
    const Tensor classes = classes_.get(), log_sum_exp = log_sum_exp_.get();
    visit_floating(x.dtype(), [&](auto t) {
      using T = decltype(t);
      kernels::cross_entropy_backward(shape_, x.raw<T>(), classes.raw<int64_t>(),
                                      log_sum_exp.raw<T>(), scale_, dy.raw<T>(),
                                      int64_t{dy.dim() == 1}, dx.raw<T>());
    });
    return {dx};
  }

 private:
  Tensor composed(const Tensor& dy, const Tensor& x) const {
    // The target distribution and the rows' weights are constants.
    const Tensor target =
        full(x.shape(), shape_.smoothing / static_cast<double>(shape_.classes), x.dtype());
    const Tensor weight = full({shape_.rows, 1}, scale_, x.dtype());
    const Tensor classes = classes_.get();
    visit_floating(x.dtype(), [&](auto t) {
      using T = decltype(t);
      for (int64_t i = 0; i < shape_.rows; ++i) {
        const int64_t c = classes.raw<int64_t>()[i];
        if (c == shape_.ignore_index) {
          weight.raw<T>()[i] = 0;
        } else {
          target.raw<T>()[i * shape_.classes + c] += static_cast<T>(1 - shape_.smoothing);
        }
      }
    });
    const Tensor per_row = dy.dim() == 1 ? view_as(dy, {shape_.rows, 1}) : dy;
    return (softmax(x, 1) - target) * (per_row * weight);
  }

  Saved x_, classes_, log_sum_exp_;
  CrossEntropyShape shape_;
  double scale_;
};

/// The number of rows that count. Throws for what is no class.
int64_t check_classes(const Tensor& logits, const Tensor& classes, const CrossEntropyShape& shape) {
  const int64_t* values = classes.raw<int64_t>();
  int64_t counted = 0;
  for (int64_t i = 0; i < shape.rows; ++i) {
    if (values[i] == shape.ignore_index) continue;
    ++counted;
    if (values[i] < 0 || values[i] >= shape.classes) {
      fail("cross_entropy", "class of row ", i, " is ", values[i], ", want 0 to ",
           shape.classes - 1, " (logits ", logits, " have ", shape.classes,
           " classes) or ignore_index ", shape.ignore_index);
    }
  }
  return counted;
}

/// Logits [N,C], classes [N].
Tensor cross_entropy_rows(const Tensor& logits, const Tensor& classes,
                          const CrossEntropyParams& params) {
  const CrossEntropyShape shape{logits.shape()[0], logits.shape()[1], params.ignore_index,
                                params.label_smoothing};
  const int64_t counted = check_classes(logits, classes, shape);
  const bool per_row = params.reduction == Reduction::none;
  const double divisor = params.reduction == Reduction::mean ? static_cast<double>(counted) : 1.0;
  const Tensor log_sum_exp = empty({shape.rows}, logits.dtype());
  const Tensor y = empty(per_row ? Shape{shape.rows} : Shape{}, logits.dtype());
  const memory::Scratch scratch(static_cast<size_t>(shape.rows) * sizeof(double));
  double* losses = scratch.as<double>();
  visit_floating(logits.dtype(), [&](auto t) {
    using T = decltype(t);
    kernels::cross_entropy(shape, logits.raw<T>(), classes.raw<int64_t>(), log_sum_exp.raw<T>(),
                           losses);
    double total = 0;
    for (int64_t i = 0; i < shape.rows; ++i) {
      total += losses[i];
      if (per_row) y.raw<T>()[i] = static_cast<T>(losses[i]);
    }
    if (!per_row) *y.raw<T>() = static_cast<T>(total / divisor);
  });
  return record<CrossEntropyNode>(y, {logits}, logits, classes, log_sum_exp, shape, 1 / divisor);
}

class MseNode final : public Node {
 public:
  MseNode(const Tensor& x, const Tensor& target, double divisor)
      : x_(this, x), target_(this, target), divisor_(divisor) {}
  const char* name() const override { return "mse_loss"; }
  Gradients backward(const Tensor& dy) override {
    const Tensor x = x_.get(), target = target_.get();
    Tensor g;
    if (dy.dim() > 0 || recording({dy, x, target})) {
      g = (x - target) * (dy * (2 / divisor_));
    } else {
      g = empty_like(x);
      visit_floating(x.dtype(), [&](auto t) {
        using T = decltype(t);
        kernels::scaled_difference(x.numel(), x.raw<T>(), target.raw<T>(),
                                   2 / divisor_ * dy.item<double>(), g.raw<T>());
      });
    }
    Gradients gradients(2);
    if (needs(0)) gradients[0] = g;
    if (needs(1)) gradients[1] = neg(g);
    return gradients;
  }

 private:
  Saved x_, target_;
  double divisor_;
};

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& classes,
                     const CrossEntropyParams& params) {
  const ProfilerRange range("cross_entropy", logits, classes);
  if (!is_floating(logits.dtype())) {
    fail("cross_entropy", "logits are ", logits, ", want f32 or f64: convert with .to(DType::f32)");
  }
  if (classes.dtype() != DType::i64) {
    fail("cross_entropy", "classes are ", classes, ", want i64: convert with .to(DType::i64)");
  }
  if (!(params.label_smoothing >= 0 && params.label_smoothing <= 1)) {
    fail("cross_entropy", "label_smoothing is ", params.label_smoothing, ", want 0 to 1");
  }
  // The axis of the classes goes away: the second, or the only one.
  const int axis = logits.dim() == 1 ? 0 : 1;
  bool fits = logits.dim() >= 1 && classes.dim() == logits.dim() - 1;
  for (int d = 0; fits && d < classes.dim(); ++d)
    fits = classes.shape()[d] == logits.shape()[d < axis ? d : d + 1];
  if (!fits || logits.shape()[axis] == 0) {
    fail("cross_entropy", "logits are ", logits, ", classes ", classes,
         ", want logits [N,C] and classes [N] (or [N,C,...] and [N,...], or [C] and [])");
  }
  if (logits.dim() == 2) return cross_entropy_rows(logits, classes, params);

  std::vector<int64_t> classes_last;
  for (int d = 0; d < logits.dim(); ++d) {
    if (d != axis) classes_last.push_back(d);
  }
  classes_last.push_back(axis);
  const int64_t count = classes.numel();
  const Tensor y =
      cross_entropy_rows(view_as(permute(logits, classes_last), {count, logits.shape()[axis]}),
                         view_as(classes, {count}), params);
  return params.reduction == Reduction::none ? view_as(y, classes.shape()) : y;
}

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  const ProfilerRange range("mse_loss", x, target);
  if (x.shape() != target.shape() || x.dtype() != target.dtype() || !is_floating(x.dtype())) {
    fail("mse_loss", "x is ", x, ", target ", target,
         ", want the same shape and dtype, f32 or f64");
  }
  const Tensor aligned = to_order(target, x.order());
  const bool each = reduction == Reduction::none;
  const double divisor = reduction == Reduction::mean ? static_cast<double>(x.numel()) : 1.0;
  const Tensor y = each ? empty_like(x) : empty({}, x.dtype());
  visit_floating(x.dtype(), [&](auto t) {
    using T = decltype(t);
    const T* a = x.raw<T>();
    const T* b = aligned.raw<T>();
    if (each) {
      kernels::squared_difference(x.numel(), a, b, y.raw<T>());
    } else {
      *y.raw<T>() = static_cast<T>(kernels::squared_distance(x.numel(), a, b) / divisor);
    }
  });
  return record<MseNode>(y, {x, aligned}, x, aligned, divisor);
}

}  // namespace tern
