// SPDX-License-Identifier: Apache-2.0
#include "attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/fused_node.h"
#include "../core/random.h"
#include "arithmetic.h"
#include "internal/attention.h"
#include "internal/op.h"
#include "kernels/attention.h"
#include "math.h"
#include "matmul.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace kernel = kernels::attention;

static std::vector<OpAttribute> attributes_of(const AttentionOptions& options) {
  return {{"dropout_p", options.dropout_p},
          {"is_causal", options.is_causal},
          {"scale", options.scale.value_or(std::numeric_limits<double>::quiet_NaN())}};
}

namespace {

/// How a tensor of heads lies. `separate` is [batch, heads, rows, width].
enum class Axes : uint8_t { separate, batch_first, sequence_first };

/// One attention: what is computed, and how the tensors lie. With `packed`, q, k and v are one.
struct Problem {
  kernel::Shape shape;
  kernel::Dropout dropout;
  Axes axes;
  bool packed;

  kernel::Steps steps(int64_t rows, int64_t width, int64_t parts = 1) const {
    const int64_t line = parts * shape.heads * width;
    switch (axes) {
      case Axes::separate:
        return {shape.heads * rows * width, rows * width, width};
      case Axes::batch_first:
        return {rows * line, width, line};
      case Axes::sequence_first:
        break;
    }
    return {line, width, shape.batch * line};
  }
  /// Of q, k or v, which are the parts 0, 1 and 2 of one tensor if packed; -1 is of the result.
  template <class T>
  kernel::Rows<T> rows(T* data, int64_t rows, int64_t width, int64_t part = 0) const {
    return {data + std::max<int64_t>(0, part) * shape.heads * width,
            steps(rows, width, packed && part >= 0 ? 3 : 1)};
  }

  /// The heads of a tensor, or of one of its parts, as [batch, heads, rows, width].
  Tensor heads_of(const Tensor& x, int64_t rows, int64_t width, int64_t part) const {
    if (axes == Axes::separate) return reshape(x, {shape.batch, shape.heads, rows, width});
    const int64_t line = shape.heads * width;
    const Tensor one = packed ? narrow(x, 2, part * line, line) : x;
    if (axes == Axes::batch_first)
      return permute(reshape(one, {shape.batch, rows, shape.heads, width}), {0, 2, 1, 3});
    return permute(reshape(one, {rows, shape.batch, shape.heads, width}), {1, 2, 0, 3});
  }
  /// And back.
  Tensor lines_of(const Tensor& y, const Shape& result) const {
    if (axes == Axes::separate) return reshape(y, result);
    const bool batch_first = axes == Axes::batch_first;
    const Tensor lines = batch_first ? permute(y, {0, 2, 1, 3}) : permute(y, {2, 0, 1, 3});
    return reshape(lines, result);
  }
};

/// mask [n or 1, heads or 1, L or 1, S]: where its rows lie.
kernel::Steps mask_steps(const Tensor& mask) {
  const Shape& shape = mask.shape();
  const int64_t row = shape[3], head = shape[2] * row, batch = shape[1] * head;
  return {shape[0] > 1 ? batch : 0, shape[1] > 1 ? head : 0, shape[2] > 1 ? row : 0};
}

template <class T>
kernel::Problem<T> view(const Problem& problem, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& mask) {
  const kernel::Shape& s = problem.shape;
  kernel::Problem<T> result{s, {}, {}, {}, {}, problem.dropout};
  const bool packed = problem.packed;
  result.q = problem.rows<const T>(q.raw<T>(), s.queries, s.width, 0);
  result.k = problem.rows<const T>((packed ? q : k).raw<T>(), s.keys, s.width, packed ? 1 : 0);
  result.v =
      problem.rows<const T>((packed ? q : v).raw<T>(), s.keys, s.value_width, packed ? 2 : 0);
  if (!mask.defined()) return result;
  if (is_mask(mask)) {
    result.mask.allowed = {mask.raw<uint8_t>(), mask_steps(mask)};
  } else {
    result.mask.added = {mask.raw<T>(), mask_steps(mask)};
  }
  return result;
}

/// dropout's factors of all weights, as the kernels compute them.
Tensor dropped(const Problem& problem, DType dtype) {
  const kernel::Shape& s = problem.shape;
  const Tensor factors = empty({s.batch, s.heads, s.queries, s.keys}, dtype);
  visit_floating(dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < factors.numel(); ++i) {
      const double factor = problem.dropout.keeps(i) ? 1 / (1 - problem.dropout.p) : 0;
      factors.raw<T>()[i] = static_cast<T>(factor);
    }
  });
  return factors;
}

/// The definition, of heads [batch, heads, rows, width]: {result, weights}.
std::pair<Tensor, Tensor> composed(const Problem& problem, const Tensor& q, const Tensor& k,
                                   const Tensor& v, const Tensor& mask) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Tensor scores = matmul(q, transpose(k, 2, 3)) * problem.shape.scale;
  if (mask.defined()) scores = is_mask(mask) ? where(mask, scores, -kInfinity) : scores + mask;
  if (problem.shape.causal) {
    const Tensor query = reshape(arange(static_cast<double>(problem.shape.queries)), {-1, 1});
    scores = where(le(arange(static_cast<double>(problem.shape.keys)), query), scores, -kInfinity);
  }
  if (problem.shape.keys == 0) return {matmul(scores, v), scores};
  // A constant, which drops out of the derivative; rows of -inf get one as well.
  const Tensor largest = max(scores.detach(), {3}, true);
  const Tensor parts = exp(scores - where(eq(largest, -kInfinity), 0.0, largest));
  const Tensor total = sum(parts, {3}, true);
  Tensor weights = parts / where(eq(total, 0.0), 1.0, total);
  if (problem.dropout.p > 0) weights = weights * dropped(problem, q.dtype());
  return {matmul(weights, v), weights};
}

std::pair<Tensor, Tensor> composed_of_lines(const Problem& problem, const Tensor& q,
                                            const Tensor& k, const Tensor& v, const Tensor& mask) {
  const kernel::Shape& s = problem.shape;
  const Tensor &keys = problem.packed ? q : k, &values = problem.packed ? q : v;
  return composed(problem, problem.heads_of(q, s.queries, s.width, 0),
                  problem.heads_of(keys, s.keys, s.width, 1),
                  problem.heads_of(values, s.keys, s.value_width, 2), mask);
}

class AttentionNode final : public FusedNode {
 public:
  AttentionNode(const Problem& problem, const Tensor& q, const Tensor& k, const Tensor& v,
                const Tensor& mask, const Tensor& y, const Tensor& log_sum_exp)
      : problem_(problem),
        q_(this, q),
        k_(this, k),
        v_(this, v),
        mask_(this, mask),
        y_(this, y, Saved::Role::output),
        log_sum_exp_(this, log_sum_exp) {}
  const char* name() const override { return "scaled_dot_product_attention"; }

 private:
  Gradients fused(const Tensor& given_dy) override {
    const Tensor q = q_.get(), k = k_.get(), v = v_.get(), mask = mask_.get(), y = y_.get();
    const Tensor dy = contiguous(given_dy), log_sum_exp = log_sum_exp_.get();
    const kernel::Shape& s = problem_.shape;
    const bool packed = problem_.packed;
    if (y.numel() == 0) {
      const auto zero = [&](size_t i, const Tensor& x) {
        return needs(i) ? zeros_like(x) : Tensor();
      };
      if (packed) return {zero(0, q)};
      return {zero(0, q), zero(1, k), zero(2, v)};
    }
    Gradients gradients{empty_like(q)};
    if (!packed) gradients.insert(gradients.end(), {empty_like(k), empty_like(v)});
    const Tensor& dk = packed ? gradients[0] : gradients[1];
    const Tensor& dv = packed ? gradients[0] : gradients[2];
    OpScope::flops(10.0 * static_cast<double>(log_sum_exp.numel() * s.keys) *
                   static_cast<double>(s.width + s.value_width) / 2);
    visit_floating(q.dtype(), [&]<class T>(T) {
      kernel::backward<T>(view<T>(problem_, q, k, v, mask),
                          problem_.rows<const T>(y.raw<T>(), s.queries, s.value_width, -1),
                          log_sum_exp.raw<T>(),
                          problem_.rows<const T>(dy.raw<T>(), s.queries, s.value_width, -1),
                          {problem_.rows(gradients[0].raw<T>(), s.queries, s.width),
                           problem_.rows(dk.raw<T>(), s.keys, s.width, packed ? 1 : 0),
                           problem_.rows(dv.raw<T>(), s.keys, s.value_width, packed ? 2 : 0)});
    });
    for (size_t i = 0; i < gradients.size(); ++i)
      if (!needs(i)) gradients[i] = Tensor();
    return gradients;
  }

  std::vector<Tensor> saved() override {
    if (problem_.packed) return {q_.get(), mask_.get()};
    return {q_.get(), k_.get(), v_.get(), mask_.get()};
  }
  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor none, &mask = saved.back();
    const bool packed = problem_.packed;
    const Tensor y = composed_of_lines(problem_, saved[0], packed ? none : saved[1],
                                       packed ? none : saved[2], mask)
                         .first;
    return problem_.lines_of(y, y_.get().shape());
  }

  Problem problem_;
  Saved q_, k_, v_, mask_, y_, log_sum_exp_;
};

/// The attention of tensors that fit, with a mask of four axes; `result` is its shape.
Tensor attend(const Problem& problem, const Tensor& q, const Tensor& k, const Tensor& v,
              const Tensor& mask, const Shape& result) {
  const kernel::Shape& s = problem.shape;
  if (mask.defined() && mask.requires_grad() && grad_enabled()) {
    return problem.lines_of(composed_of_lines(problem, q, k, v, mask).first, result);
  }
  const Tensor y = empty(result, q.dtype());
  // A result without elements takes no loop, however many queries and keys there are.
  const Tensor log_sum_exp =
      y.numel() == 0 ? empty({0}, q.dtype()) : empty({s.batch, s.heads, s.queries}, q.dtype());
  if (y.numel() > 0) {
    OpScope::flops(2.0 * static_cast<double>(log_sum_exp.numel() * s.keys) *
                   static_cast<double>(s.width + s.value_width));
    visit_floating(q.dtype(), [&]<class T>(T) {
      kernel::forward<T>(view<T>(problem, q, k, v, mask),
                         problem.rows(y.raw<T>(), s.queries, s.value_width, -1),
                         log_sum_exp.raw<T>());
    });
  }
  if (problem.packed) {
    return record<AttentionNode>(y, {q}, problem, q, k, v, mask, y, log_sum_exp);
  }
  return record<AttentionNode>(y, {q, k, v}, problem, q, k, v, mask, y, log_sum_exp);
}

double checked_scale(const char* op, const AttentionOptions& options, int64_t width) {
  if (!(options.dropout_p >= 0 && options.dropout_p < 1)) {
    fail(op, "dropout_p is ", options.dropout_p, ", want 0 or more and less than 1");
  }
  return options.scale.value_or(1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, width))));
}

kernel::Dropout dropout_of(const AttentionOptions& options, const kernel::Shape& shape) {
  if (options.dropout_p == 0) return {};
  Generator& generator = default_generator();
  const Generator::State state = generator.state();
  const int64_t count = Shape{shape.batch, shape.heads, shape.queries, shape.keys}.numel();
  return {options.dropout_p, state, generator.reserve((count + 1) / 2)};
}

/// `mask`, with leading axes, as [batch or 1, heads or 1, L or 1, S].
Tensor mask_of(const char* op, const Tensor& mask, const Tensor& q, const Shape& leading,
               const kernel::Shape& shape) {
  if (!mask.defined()) return mask;
  if (!is_mask(mask) && mask.dtype() != q.dtype()) {
    fail(op, "attn_mask is ", mask, ", want bool, or the dtype of q ", q);
  }
  std::vector<int64_t> whole(leading.begin(), leading.end());
  whole.push_back(shape.queries);
  whole.push_back(shape.keys);
  bool fits = mask.dim() <= static_cast<int64_t>(whole.size());
  const size_t missing = fits ? whole.size() - static_cast<size_t>(mask.dim()) : 0;
  for (size_t d = missing; fits && d < whole.size(); ++d) {
    const int64_t size = mask.shape()[static_cast<int>(d - missing)];
    fits = size == 1 || size == whole[d];
  }
  if (!fits) fail(op, "attn_mask is ", mask, ", want a shape that broadcasts to ", Shape(whole));
  Tensor m = contiguous(mask);
  while (m.dim() < static_cast<int64_t>(whole.size())) m = unsqueeze(m, 0);
  const auto last = static_cast<int>(m.dim()) - 1;
  m = broadcast_to(m, m.shape().with(last, shape.keys));
  const int64_t rows = m.shape()[last - 1],
                count = m.numel() / std::max<int64_t>(1, rows * shape.keys);
  if (count == 1) return reshape(m, {1, 1, rows, shape.keys});
  // Leading axes are joined into one, unless they are just N and heads.
  if (leading.size() != 2) m = broadcast_to(m, Shape(whole).with(last - 1, rows));
  if (leading.size() == 2) return m;
  return reshape(m, {shape.batch, shape.heads, rows, shape.keys});
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const Tensor& attn_mask, const AttentionOptions& options) {
  const char* const op = "scaled_dot_product_attention";
  const OpScope scope(op, q, k, v, attn_mask, options);
  check_operands(op, "q", q, "k", k);
  check_operands(op, "q", q, "v", v);
  bool fits = q.dim() >= 2 && k.dim() == q.dim() && v.dim() == q.dim();
  const auto rank = static_cast<int>(q.dim());
  for (int d = 0; fits && d < rank - 2; ++d)
    fits = q.shape()[d] == k.shape()[d] && q.shape()[d] == v.shape()[d];
  fits = fits && q.shape()[rank - 1] == k.shape()[rank - 1] &&
         k.shape()[rank - 2] == v.shape()[rank - 2];
  if (!fits) {
    fail(op, "q is ", q, ", k is ", k, " and v is ", v,
         ", want [..., L, E], [..., S, E] and [..., S, Ev] with equal leading axes");
  }
  const Shape leading(std::span(q.shape().begin(), static_cast<size_t>(rank - 2)));
  Problem problem{};
  problem.shape = {.batch = rank == 4 ? leading[0] : leading.numel(),
                   .heads = rank == 4 ? leading[1] : 1,
                   .queries = q.shape()[rank - 2],
                   .keys = k.shape()[rank - 2],
                   .width = q.shape()[rank - 1],
                   .value_width = v.shape()[rank - 1],
                   .scale = checked_scale(op, options, q.shape()[rank - 1]),
                   .causal = options.is_causal};
  const Tensor mask = mask_of(op, attn_mask, q, leading, problem.shape);
  problem.dropout = dropout_of(options, problem.shape);
  const Shape result = q.shape().with(rank - 1, problem.shape.value_width);
  return scope.result(attend(problem, contiguous(q), contiguous(k), contiguous(v), mask, result));
}

namespace {

Problem problem_of_heads(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                         SequenceAxes axes, const AttentionOptions& options) {
  const bool batch_first = axes == SequenceAxes::batch_first, packed = !k.defined();
  const int batch = batch_first ? 0 : 1, sequence = 1 - batch;
  const int64_t width = q.shape()[2] / (packed ? 3 * heads : heads);
  Problem problem{};
  problem.axes = batch_first ? Axes::batch_first : Axes::sequence_first;
  problem.packed = packed;
  problem.shape = {.batch = q.shape()[batch],
                   .heads = heads,
                   .queries = q.shape()[sequence],
                   .keys = (packed ? q : k).shape()[sequence],
                   .width = width,
                   .value_width = packed ? width : v.shape()[2] / heads,
                   .scale = checked_scale("attention", options, width),
                   .causal = options.is_causal};
  problem.dropout = dropout_of(options, problem.shape);
  return problem;
}

Tensor mask_of_heads(const Problem& problem, const Tensor& mask, const Tensor& q) {
  return mask_of("attention", mask, q, {problem.shape.batch, problem.shape.heads}, problem.shape);
}

Shape result_of_heads(const Problem& problem, const Tensor& q) {
  return q.shape().with(2, problem.shape.heads * problem.shape.value_width);
}

}  // namespace

Tensor attention_of_heads(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                          SequenceAxes axes, const Tensor& attn_mask,
                          const AttentionOptions& options) {
  const OpScope scope("attention_of_heads", q, k, v, attn_mask, "heads", heads, "batch_first",
                      axes == SequenceAxes::batch_first, options);
  const Problem problem = problem_of_heads(q, k, v, heads, axes, options);
  return scope.result(
      attend(problem, q, k, v, mask_of_heads(problem, attn_mask, q), result_of_heads(problem, q)));
}

std::pair<Tensor, Tensor> attention_with_weights(const Tensor& q, const Tensor& k, const Tensor& v,
                                                 int64_t heads, SequenceAxes axes,
                                                 const Tensor& attn_mask,
                                                 const AttentionOptions& options) {
  const OpScope scope("attention_with_weights", q, k, v, attn_mask, "heads", heads, "batch_first",
                      axes == SequenceAxes::batch_first, options);
  const Problem problem = problem_of_heads(q, k, v, heads, axes, options);
  const auto [heads_of_y, weights] =
      composed_of_lines(problem, q, k, v, mask_of_heads(problem, attn_mask, q));
  const Tensor y = problem.lines_of(heads_of_y, result_of_heads(problem, q));
  scope.results({y, weights});
  return {y, weights};
}

}  // namespace tern
