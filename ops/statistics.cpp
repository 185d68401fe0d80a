// SPDX-License-Identifier: Apache-2.0
// Reductions that are made of others.
#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/movement.h"
#include "internal/op.h"
#include "math.h"
#include "movement.h"
#include "reduce.h"
#include "sort.h"

namespace tern {

namespace {

// x >= 0, whose root has gradient 0 at 0.
Tensor safe_sqrt(const Tensor& x) {
  const Tensor zero = eq(x, 0.0);
  return where(zero, {}, sqrt(where(zero, ones_like(x), x)));
}

// 1 where x is 0 or not finite: what can be divided by.
Tensor divisor_of(const Tensor& x) { return where(gt(x, 0.0) * lt(x, INFINITY), x, ones_like(x)); }

// The largest elements, cut off from the graph, with the reduced axes kept; neutral where there are
// none.
Tensor largest(const Tensor& x, const IntList& axes, double neutral) {
  const NoGrad no_grad;
  if (x.numel() > 0) return max(x, axes, true);
  return full_like(sum(x, axes, true), neutral);
}

// x or its sum over axes of length 1, which is the same.
Tensor shaped(const Tensor& x, const Tensor& like) {
  return x.shape() == like.shape() ? x : view_as(x, like.shape());
}

class LogSumExpNode final : public Node {
 public:
  LogSumExpNode(const Tensor& x, const Tensor& y, const Shape& keep)
      : x_(this, x), y_(this, y, Saved::Role::output), keep_(keep) {}
  const char* name() const override { return "logsumexp"; }
  Gradients backward(const Tensor& dy) override {
    return {view_as(dy, keep_) * exp(x_.get() - view_as(y_.get(), keep_))};
  }

 private:
  Saved x_, y_;
  Shape keep_;
};

Tensor variance(const char* op, const Tensor& x, const IntList& axes, const VarOptions& options) {
  check_floating(op, "x", x);
  const Tensor deviation = x - mean(x, axes, true);
  const Tensor total = sum(square(deviation), axes, options.keepdim);
  const int64_t values = x.numel() / std::max<int64_t>(1, total.numel());  // of each result
  const double count = static_cast<double>(values) - options.correction;
  return total / std::max(0.0, count);
}

// Of no elements `all` is true and `any` is not.
Tensor truth(const Tensor& x, const IntList& axes, bool keepdim, bool all) {
  const Tensor set = ne(x, 0.0);
  if (x.numel() == 0) {
    return full(sum(set, axes, keepdim).shape(), all ? 1 : 0, DType::boolean);
  }
  return all ? min(set, axes, keepdim) : max(set, axes, keepdim);
}

Tensor middle(const Tensor& x, int64_t axis, bool keepdim) {
  const int64_t length = x.size(axis);
  const Tensor sorted = sort(x, axis).first;
  const Tensor half = slice(sorted, axis, (length - 1) / 2, (length - 1) / 2 + 1);
  Tensor y = half;
  if (is_floating(x.dtype())) {
    // NaN is the last one.
    const Tensor last = slice(sorted, axis, length - 1, length);
    y = where(ne(last, last), last, half);
  }
  return keepdim ? y : squeeze(y, axis);
}

}  // namespace

Tensor prod(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("prod", x, "axes", axes.numbers(), "keepdim", keepdim);
  // The reduced axes are joined to one behind the others, then halves are multiplied until one
  // element is left: the gradient is right where factors are 0.
  std::vector<bool> reduced(static_cast<size_t>(x.dim()), axes.numbers().empty());
  for (const int64_t axis : axes.numbers()) {
    auto bit = reduced[static_cast<size_t>(resolve_axis("prod", axis, x.shape()))];
    if (bit) fail("prod", "axis ", axis, " is given twice (x ", x, ")");
    bit = true;
  }
  std::vector<int64_t> order, sizes;
  int64_t count = 1, results = 1;
  for (const bool wanted : {false, true}) {
    for (int d = 0; d < x.dim(); ++d) {
      const bool here = reduced[static_cast<size_t>(d)];
      if (here == wanted) order.push_back(d);
      if (here == wanted) (wanted ? count : results) *= x.shape()[d];
    }
  }
  for (int d = 0; d < x.dim(); ++d) {
    const bool here = reduced[static_cast<size_t>(d)];
    if (!here || keepdim) sizes.push_back(here ? 1 : x.shape()[d]);
  }
  const Tensor factors = is_floating(x.dtype()) ? x : x.to(DType::i64);
  if (count == 0) return scope.result(full(sizes, 1, factors.dtype()));
  Tensor y = reshape(permute(factors, order), {results, count});
  while (count > 1) {
    const int64_t half = count / 2;
    const std::vector<Tensor> parts = split(y, {half, half, count - 2 * half}, 1);
    y = parts[0] * parts[1];
    if (count % 2 != 0) y = cat({y, parts[2]}, 1);
    count = count - half;
  }
  return scope.result(view_as(y, sizes));
}

Tensor any(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("any", x, "axes", axes.numbers(), "keepdim", keepdim);
  return scope.result(truth(x, axes, keepdim, false));
}
Tensor all(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("all", x, "axes", axes.numbers(), "keepdim", keepdim);
  return scope.result(truth(x, axes, keepdim, true));
}
Tensor count_nonzero(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("count_nonzero", x, "axes", axes.numbers(), "keepdim", keepdim);
  return scope.result(sum(ne(x, 0.0), axes, keepdim));
}
bool equal(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype()) {
    fail("equal", "a is ", a, ", b is ", b, ", want one dtype: convert one with .to(dtype)");
  }
  return a.shape() == b.shape() && all(eq(a, b)).item<bool>();
}

Tensor logsumexp(const Tensor& x, const IntList& axes, bool keepdim) {
  const OpScope scope("logsumexp", x, "axes", axes.numbers(), "keepdim", keepdim);
  check_floating("logsumexp", "x", x);
  Tensor y;
  Shape keep;
  {
    const NoGrad no_grad;
    const Tensor top = largest(x, axes, 0);
    keep = top.shape();
    const Tensor shift = where(lt(abs(top), INFINITY), top, zeros_like(top));
    const Tensor total = sum(exp(x - shift), axes, keepdim);
    y = log(total) + shaped(shift, total);
  }
  return scope.result(record<LogSumExpNode>(y, {x}, x, y, keep));
}

Tensor var(const Tensor& x, const IntList& axes, const VarOptions& options) {
  const OpScope scope("var", x, "axes", axes.numbers(), "correction", options.correction, "keepdim",
                      options.keepdim);
  return scope.result(variance("var", x, axes, options));
}
Tensor std(const Tensor& x, const IntList& axes, const VarOptions& options) {
  const OpScope scope("std", x, "axes", axes.numbers(), "correction", options.correction, "keepdim",
                      options.keepdim);
  return scope.result(safe_sqrt(variance("std", x, axes, options)));
}

Tensor norm(const Tensor& x, double p, const IntList& axes, bool keepdim) {
  const OpScope scope("norm", x, "p", p, "axes", axes.numbers(), "keepdim", keepdim);
  check_floating("norm", "x", x);
  if (p != p) fail("norm", "p is ", p, ", want a number, as 1, 2 or INFINITY");
  const Tensor size = abs(x);
  if (p == 1) return scope.result(sum(size, axes, keepdim));
  if (p == 0) return scope.result(sum(ne(x, 0.0).to(x.dtype()), axes, keepdim));
  if (p == -INFINITY) return scope.result(min(size, axes, keepdim));
  if (p == INFINITY) {
    if (x.numel() == 0) return scope.result(sum(size, axes, keepdim));
    return scope.result(max(size, axes, keepdim));
  }
  // Divided by the largest, so that no power overflows, and not all of them vanish.
  const Tensor unit = divisor_of(largest(size, axes, 0));
  if (p == 2) {
    const Tensor root = safe_sqrt(sum(square(x / unit), axes, keepdim));
    return scope.result(root * shaped(unit, root));
  }
  const Tensor zero = eq(x, 0.0);
  const Tensor scaled = where(zero, ones_like(x), size / unit);
  const Tensor powers =
      p > 0 ? where(zero, {}, pow(scaled, p)) : where(zero, full_like(x, INFINITY), pow(scaled, p));
  const Tensor total = sum(powers, axes, keepdim);
  const Tensor none = eq(total, 0.0);
  const Tensor root = where(none, {}, pow(where(none, ones_like(total), total), 1 / p));
  return scope.result(root * shaped(unit, root));
}

Tensor normalize(const Tensor& x, const NormalizeOptions& options) {
  const OpScope scope("normalize", x, "p", options.p, "axis", options.axis, "eps", options.eps);
  return scope.result(x / clamp(norm(x, options.p, options.axis, true), options.eps, INFINITY));
}

Tensor median(const Tensor& x) {
  const OpScope scope("median", x);
  if (x.numel() == 0) fail("median", "x ", x, " has no elements, want at least one");
  return scope.result(middle(view_as(x, {x.numel()}), 0, false));
}
Tensor median(const Tensor& x, int64_t axis, bool keepdim) {
  const OpScope scope("median", x, "axis", axis, "keepdim", keepdim);
  if (x.shape()[resolve_axis("median", axis, x.shape())] == 0) {
    fail("median", "axis ", axis, " of x ", x, " has no elements, want at least one");
  }
  return scope.result(middle(x, axis, keepdim));
}

}  // namespace tern
