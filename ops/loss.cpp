// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

#include "../core/error.h"
#include "../core/fused_node.h"
#include "../core/internal/memory.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/loss.h"
#include "internal/movement.h"
#include "kernels/loss.h"
#include "movement.h"
#include "reduce.h"
#include "softmax.h"

namespace tern {

namespace {

using kernels::CrossEntropyShape;

class CrossEntropyNode final : public FusedNode {
 public:
  CrossEntropyNode(const Tensor& x, const Tensor& classes, const Tensor& log_sum_exp,
                   const CrossEntropyShape& shape, bool per_row, double scale)
      : x_(this, x),
        classes_(this, classes),
        log_sum_exp_(this, log_sum_exp),
        shape_(shape),
        per_row_(per_row),
        scale_(scale) {}
  const char* name() const override { return "cross_entropy"; }

 private:
  Gradients fused(const Tensor& dy) override {
    const Tensor x = x_.get();
    const Tensor dx = empty_like(x);
    const Tensor classes = classes_.get(), log_sum_exp = log_sum_exp_.get();
    visit_floating(x.dtype(), [&]<class T>(T) {
      kernels::cross_entropy_backward(shape_, x.raw<T>(), classes.raw<int64_t>(),
                                      log_sum_exp.raw<T>(), scale_, dy.raw<T>(), int64_t{per_row_},
                                      dx.raw<T>());
    });
    return {dx};
  }

  std::vector<Tensor> saved() override { return {x_.get()}; }

  // What is chosen by `where` is never read elsewhere: ignored rows, and classes without a part in
  // the target, whose logarithm may be -inf.
  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor& x = saved[0];
    const Tensor classes = view_as(classes_.get(), {shape_.rows, 1});
    const Tensor counts = ne(classes, static_cast<double>(shape_.ignore_index));
    const Tensor of_class = eq(classes, arange(static_cast<double>(shape_.classes))).to(x.dtype());
    const Tensor target =
        of_class * (1 - shape_.smoothing) + shape_.smoothing / static_cast<double>(shape_.classes);
    const Tensor chosen = counts * ne(target, 0.0);
    const Tensor log_softmax_x = log_softmax(where(counts, x, {}), 1);
    const Tensor loss = neg(sum(where(chosen, target * log_softmax_x, {}), {1}));
    return per_row_ ? loss : sum(loss) * scale_;
  }

  Saved x_, classes_, log_sum_exp_;
  CrossEntropyShape shape_;
  bool per_row_;
  double scale_;
};

// Logits [N,C], classes [N].
Tensor cross_entropy_rows(const Tensor& logits, const Tensor& classes,
                          const CrossEntropyOptions& options) {
  const CrossEntropyShape shape{logits.shape()[0], logits.shape()[1], options.ignore_index,
                                options.label_smoothing};
  const int64_t counted =
      check_classes("cross_entropy", logits, classes, shape.classes, shape.ignore_index);
  const bool per_row = options.reduction == Reduction::none;
  const double divisor = options.reduction == Reduction::mean ? static_cast<double>(counted) : 1.0;
  const Tensor log_sum_exp = empty({shape.rows}, logits.dtype());
  const Tensor y = empty(per_row ? Shape{shape.rows} : Shape{}, logits.dtype());
  const memory::Scratch scratch(static_cast<size_t>(shape.rows) * sizeof(double));
  double* losses = scratch.as<double>();
  visit_floating(logits.dtype(), [&]<class T>(T) {
    kernels::cross_entropy(shape, logits.raw<T>(), classes.raw<int64_t>(), log_sum_exp.raw<T>(),
                           losses);
    double total = 0;
    for (int64_t i = 0; i < shape.rows; ++i) {
      total += losses[i];
      if (per_row) y.raw<T>()[i] = static_cast<T>(losses[i]);
    }
    if (!per_row) *y.raw<T>() = static_cast<T>(total / divisor);
  });
  return record<CrossEntropyNode>(y, {logits}, logits, classes, log_sum_exp, shape, per_row,
                                  1 / divisor);
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
      visit_floating(x.dtype(), [&]<class T>(T) {
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

int class_axis(const char* op, const Tensor& x, const Tensor& classes) {
  if (!is_floating(x.dtype())) {
    fail(op, "logits are ", x, ", want f32 or f64: convert with .to(DType::f32)");
  }
  if (classes.dtype() != DType::i64) {
    fail(op, "classes are ", classes, ", want i64: convert with .to(DType::i64)");
  }
  const int axis = x.dim() == 1 ? 0 : 1;
  bool fits = x.dim() >= 1 && classes.dim() == x.dim() - 1;
  for (int d = 0; fits && d < classes.dim(); ++d)
    fits = classes.shape()[d] == x.shape()[d < axis ? d : d + 1];
  if (!fits && classes.numel() > 0 && x.dim() == 2 && classes.numel() == x.shape()[0]) {
    fail(op, "classes are ", classes, ", want [", x.shape()[0], "], one per row of logits ", x,
         ": reshape(classes, {-1})");
  }
  if (!fits || x.shape()[axis] == 0) {
    fail(op, "logits are ", x, ", classes ", classes,
         ", want logits [N,C] and classes [N] (or [N,C,...] and [N,...], or [C] and [])");
  }
  return axis;
}

int64_t check_classes(const char* op, const Tensor& x, const Tensor& classes, int64_t count,
                      int64_t ignore_index) {
  const int64_t* values = classes.raw<int64_t>();
  int64_t counted = 0;
  for (int64_t i = 0; i < classes.numel(); ++i) {
    if (values[i] == ignore_index) continue;
    ++counted;
    if (values[i] < 0 || values[i] >= count) {
      fail(op, "class of row ", i, " is ", values[i], ", want 0 to ", count - 1, " (logits ", x,
           " have ", count, " classes) or ignore_index ", ignore_index);
    }
  }
  return counted;
}

const char* to_string(Reduction reduction) {
  return reduction == Reduction::none ? "none" : reduction == Reduction::mean ? "mean" : "sum";
}

Tensor cross_entropy(const Tensor& logits, const Tensor& classes,
                     const CrossEntropyOptions& options) {
  const OpScope scope("cross_entropy", logits, classes, options.weight, "ignore_index",
                      options.ignore_index, "label_smoothing", options.label_smoothing, "reduction",
                      options.reduction);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    fail("cross_entropy", "label_smoothing is ", options.label_smoothing, ", want 0 to 1");
  }
  if (is_floating(classes.dtype())) {
    if (classes.shape() != logits.shape()) {
      fail("cross_entropy", "classes are ", classes, ", want i64: convert with .to(DType::i64), ",
           "or probabilities of the logits' shape (", logits, ")");
    }
    return scope.result(soft_cross_entropy(logits, classes, options));
  }
  const int axis = class_axis("cross_entropy", logits, classes);  // goes away
  if (options.weight.defined()) {
    return scope.result(weighted_cross_entropy(logits, classes, options));
  }
  if (logits.dim() == 2) return scope.result(cross_entropy_rows(logits, classes, options));

  std::vector<int64_t> classes_last;
  for (int d = 0; d < logits.dim(); ++d) {
    if (d != axis) classes_last.push_back(d);
  }
  classes_last.push_back(axis);
  const int64_t count = classes.numel();
  const Tensor y =
      cross_entropy_rows(view_as(permute(logits, classes_last), {count, logits.shape()[axis]}),
                         view_as(classes, {count}), options);
  return scope.result(options.reduction == Reduction::none ? view_as(y, classes.shape()) : y);
}

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  const OpScope scope("mse_loss", x, target, "reduction", reduction);
  if (x.shape() != target.shape() || x.dtype() != target.dtype() || !is_floating(x.dtype())) {
    fail("mse_loss", "x is ", x, ", target ", target,
         ", want the same shape and dtype, f32 or f64");
  }
  const Tensor aligned = to_memory_format(target, x.memory_format());
  const bool each = reduction == Reduction::none;
  const double divisor = reduction == Reduction::mean ? static_cast<double>(x.numel()) : 1.0;
  const Tensor y = each ? empty_like(x) : empty({}, x.dtype());
  visit_floating(x.dtype(), [&]<class T>(T) {
    const T* a = x.raw<T>();
    const T* b = aligned.raw<T>();
    if (each) {
      kernels::squared_difference(x.numel(), a, b, y.raw<T>());
    } else {
      *y.raw<T>() = static_cast<T>(kernels::squared_distance(x.numel(), a, b) / divisor);
    }
  });
  return scope.result(record<MseNode>(y, {x, aligned}, x, aligned, divisor));
}

}  // namespace tern
