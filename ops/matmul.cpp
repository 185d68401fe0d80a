// SPDX-License-Identifier: Apache-2.0
#include "matmul.h"

#include <algorithm>
#include <span>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/op.h"
#include "kernels/matmul.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace {

using kernels::MatmulShape;

// The axes before the last two.
Shape batch_of(const Shape& shape) { return Shape(std::span(shape.begin(), shape.end() - 2)); }

// A batch of matrices.
Shape matrices(const Shape& batch, int64_t rows, int64_t columns) {
  int64_t sizes[Shape::kMaxRank];
  int64_t* end = std::copy(batch.begin(), batch.end(), sizes);
  *end++ = rows;
  *end++ = columns;
  return Shape(std::span(sizes, end));
}

// The number of vectors along the last axis.
int64_t row_count(const Shape& shape) {
  int64_t count = 1;
  for (int i = 0; i + 1 < shape.size(); ++i) count *= shape[i];
  return count;
}

// op(a) op(b) [+ bias] without recording; a and b of rank 2 or more.
Tensor multiply(const char* op, const Tensor& left, const Tensor& right, const Tensor& bias,
                bool transpose_a, bool transpose_b) {
  Tensor a = contiguous(left);
  Tensor b = contiguous(right);
  const int64_t m = a.size(transpose_a ? -1 : -2);
  const int64_t k = a.size(transpose_a ? -2 : -1);
  const int64_t n = b.size(transpose_b ? -2 : -1);
  const Shape batch = broadcast_shapes(op, batch_of(a.shape()), batch_of(b.shape()));
  const Tensor y = empty(matrices(batch, m, n), a.dtype());
  OpScope::flops(2.0 * static_cast<double>(y.numel()) * static_cast<double>(k));
  if (y.numel() == 0) return y;
  if (k == 0) {
    const NoGrad guard;
    y.copy_(bias.defined() ? broadcast_to(bias, y.shape()) : zeros(y.shape(), y.dtype()));
    return y;
  }
  // A batch that is neither complete nor a single matrix is written out.
  const auto complete = [&](Tensor& x, bool& repeat) {
    repeat = x.numel() == x.size(-1) * x.size(-2) && batch.numel() != 1;
    if (repeat || batch_of(x.shape()) == batch) return;
    if (x.numel() == batch.numel() * x.size(-1) * x.size(-2)) return;
    x = contiguous(broadcast_to(x, matrices(batch, x.size(-2), x.size(-1))));
  };
  MatmulShape shape{batch.numel(), m, n, k, transpose_a, transpose_b, false, false};
  complete(a, shape.repeat_a);
  complete(b, shape.repeat_b);
  visit_floating(a.dtype(), [&]<class T>(T) {
    const T* row = bias.defined() ? bias.raw<T>() : nullptr;
    kernels::matmul(shape, a.raw<T>(), b.raw<T>(), row, y.raw<T>());
  });
  return y;
}

Tensor product(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b);

Tensor reduced_to(const Shape& shape, const Tensor& gradient) {
  return gradient.shape() == shape ? gradient : sum_to(gradient, shape);
}

// y = A B with A = op(a), B = op(b): dA = dy B^T and dB = A^T dy, transposed once more where op
// does. Products again, so that gradients of any order come without a transposed copy.
class MatmulNode final : public Node {
 public:
  MatmulNode(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b)
      : a_(this, needed_by(b, a)),
        b_(this, needed_by(a, b)),
        a_shape_(a.shape()),
        b_shape_(b.shape()),
        transpose_a_(transpose_a),
        transpose_b_(transpose_b) {}
  const char* name() const override { return "matmul"; }

  Gradients backward(const Tensor& dy) override {
    Gradients result(2);
    if (needs(0)) {
      const Tensor b = b_.get();
      result[0] = reduced_to(a_shape_, transpose_a_ ? product(b, dy, transpose_b_, true)
                                                    : product(dy, b, false, !transpose_b_));
    }
    if (needs(1)) {
      const Tensor a = a_.get();
      result[1] = reduced_to(b_shape_, transpose_b_ ? product(dy, a, true, transpose_a_)
                                                    : product(a, dy, !transpose_a_, false));
    }
    return result;
  }

 private:
  Saved a_, b_;
  Shape a_shape_, b_shape_;
  bool transpose_a_, transpose_b_;
};

Tensor recorded(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const Tensor y = multiply("matmul", a, b, {}, transpose_a, transpose_b);
  return record<MatmulNode>(y, {a, b}, a, b, transpose_a, transpose_b);
}

Tensor product(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const OpScope scope("matmul", a, b, "transpose_a", transpose_a, "transpose_b", transpose_b);
  return scope.result(recorded(a, b, transpose_a, transpose_b));
}

class LinearNode final : public Node {
 public:
  LinearNode(const Tensor& x, const Tensor& weight)
      : x_(this, needed_by(weight, x)), weight_(this, needed_by(x, weight)) {}
  const char* name() const override { return "linear"; }

  Gradients backward(const Tensor& dy) override {
    Gradients result(3);
    if (needs(0)) result[0] = product(dy, weight_.get(), false, false);
    if (needs(1)) result[1] = product(dy, x_.get(), true, false);
    if (needs(2)) result[2] = sum(dy, {0});
    return result;
  }

 private:
  Saved x_, weight_;
};

}  // namespace

void check_operands(const char* op, const char* a_name, const Tensor& a, const char* b_name,
                    const Tensor& b) {
  if (!b.defined()) {
    fail(op, a_name, " is ", a, " and ", b_name, " is ", b, ", want two tensors");
  }
  check_floating(op, a_name, a);
  if (a.dtype() != b.dtype()) {
    fail(op, b_name, " is ", b.dtype(), ", ", a_name, " is ", a.dtype(),
         ": convert one with .to(dtype)");
  }
}

Tensor matmul(const Tensor& a, const Tensor& b) {
  const OpScope scope("matmul", a, b);
  check_operands("matmul", "a", a, "b", b);
  if (a.dim() == 0 || b.dim() == 0) {
    fail("matmul", "a scalar has no matrix product (a ", a, ", b ", b, "): use *");
  }
  const int64_t inner = b.size(b.dim() == 1 ? 0 : -2);
  if (a.size(-1) != inner) {
    fail("matmul", "a has ", a.size(-1), " columns, b has ", inner, " rows (a ", a, ", b ", b, ")");
  }
  const int64_t k = a.size(-1);
  // A vector is a row on the left and a column on the right.
  const Tensor columns = b.dim() == 1 ? reshape(b, {k, 1}) : b;
  Tensor rows = a.dim() == 1 ? reshape(a, {1, k}) : a;
  std::vector<int64_t> sizes;
  if (a.dim() > 1) sizes = {a.shape().begin(), a.shape().end() - 1};
  if (columns.dim() == 2) {
    if (b.dim() == 2) sizes.push_back(b.size(-1));
    // One product instead of a batch of them.
    if (rows.dim() > 2) rows = reshape(rows, {row_count(rows.shape()), k});
    const Tensor y = recorded(rows, columns, false, false);
    return scope.result(y.shape() == Shape(sizes) ? y : reshape(y, sizes));
  }
  const Tensor y = recorded(rows, columns, false, false);
  return scope.result(a.dim() == 1 ? squeeze(y, -2) : y);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const OpScope scope("linear", x, weight, bias);
  check_operands("linear", "x", x, "weight", weight);
  if (x.dim() < 1 || weight.dim() != 2) {
    fail("linear", "x is ", x, " and weight is ", weight,
         ", want x [..., in] and weight [out, in]");
  }
  const int64_t in = weight.size(1);
  const int64_t out = weight.size(0);
  if (x.size(-1) != in) {
    fail("linear", "weight expects ", in, " features, x has ", x.size(-1), " (x ", x, ", weight ",
         weight, ")");
  }
  if (bias.defined() && (bias.shape() != Shape{out} || bias.dtype() != x.dtype())) {
    fail("linear", "bias is ", bias, ", want ", x.dtype(), Shape{out}, " (weight ", weight, ")");
  }
  const Tensor rows = x.dim() == 2 ? x : reshape(x, {row_count(x.shape()), in});
  Tensor y = record<LinearNode>(multiply("linear", rows, weight, bias, false, true),
                                {rows, weight, bias}, rows, weight);
  if (x.dim() == 2) return scope.result(std::move(y));
  std::vector<int64_t> sizes(x.shape().begin(), x.shape().end() - 1);
  sizes.push_back(out);
  return scope.result(reshape(y, sizes));
}

}  // namespace tern
