// SPDX-License-Identifier: Apache-2.0
// Attention as the formulas say it, one query after the other: the kernels of float64 and the
// oracle for float32.
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "../../core/internal/parallel.h"
#include "attention.h"

namespace tern::kernels::attention {

namespace {

template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;

/// A row of the matrix of a head.
template <class T>
auto row(const Rows<T>& rows, int64_t b, int64_t h, int64_t i, int64_t width) {
  using Values = Vector<std::remove_const_t<T>>;
  using Mapped = std::conditional_t<std::is_const_v<T>, const Values, Values>;
  return Eigen::Map<Mapped>(rows.at(b, h, i), width);
}

template <class T>
Vector<T> scores_of(const Problem<T>& p, int64_t b, int64_t h, int64_t query) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const Shape& shape = p.shape;
  const auto q = row(p.q, b, h, query, shape.width);
  Vector<T> s(shape.keys);
  for (int64_t j = 0; j < shape.keys; ++j) {
    s[j] = q.dot(row(p.k, b, h, j, shape.width)) * static_cast<T>(shape.scale);
    if (p.mask.added.data) s[j] += p.mask.added.at(b, h, query)[j];
    const bool allowed = !p.mask.allowed.data || p.mask.allowed.at(b, h, query)[j];
    if (!allowed || (shape.causal && j > query)) s[j] = -kInfinity;
  }
  return s;
}

/// Dropout's factors.
template <class T>
Vector<T> kept(const Problem<T>& p, int64_t b, int64_t h, int64_t query) {
  Vector<T> factors(p.shape.keys);
  for (int64_t j = 0; j < p.shape.keys; ++j) {
    const bool keeps = p.dropout.p == 0 || p.dropout.keeps(p.shape.number(b, h, query) + j);
    factors[j] = keeps ? static_cast<T>(1 / (1 - p.dropout.p)) : T{0};
  }
  return factors;
}

template <class T>
Vector<T> weights_of(const Vector<T>& scores, T log_sum_exp) {
  return scores.unaryExpr([=](T s) { return std::exp(s - log_sum_exp); });
}

template <class F>
void for_heads(const Shape& shape, int64_t parts, const F& f) {
  parallel_for(shape.batch * shape.heads * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      f(i / parts / shape.heads, i / parts % shape.heads, i % parts);
  });
}

}  // namespace

template <class T>
void forward_reference(const Problem<T>& p, const Rows<T>& y, T* log_sum_exp) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const Shape& shape = p.shape;
  for_heads(shape, shape.queries, [&](int64_t b, int64_t h, int64_t query) {
    const Vector<T> s = scores_of(p, b, h, query);
    T largest = -kInfinity;
    for (const T v : s) largest = v > largest || std::isnan(v) ? v : largest;
    T& total = log_sum_exp[(b * shape.heads + h) * shape.queries + query];
    total = largest == -kInfinity ? kInfinity : largest + std::log(weights_of<T>(s, largest).sum());
    const Vector<T> weights = weights_of<T>(s, total).cwiseProduct(kept(p, b, h, query));
    auto result = row(y, b, h, query, shape.value_width);
    result.setZero();
    for (int64_t j = 0; j < shape.keys; ++j)
      result += weights[j] * row(p.v, b, h, j, shape.value_width);
  });
}

template <class T>
void backward_reference(const Problem<T>& p, const Rows<const T>&, const T* log_sum_exp,
                        const Rows<const T>& dy, const Gradients<T>& gradients) {
  const Shape& shape = p.shape;
  for_heads(shape, 1, [&](int64_t b, int64_t h, int64_t) {
    for (int64_t j = 0; j < shape.keys; ++j) {
      row(gradients.k, b, h, j, shape.width).setZero();
      row(gradients.v, b, h, j, shape.value_width).setZero();
    }
    for (int64_t i = 0; i < shape.queries; ++i) {
      const T total = log_sum_exp[(b * shape.heads + h) * shape.queries + i];
      const Vector<T> weights = weights_of<T>(scores_of(p, b, h, i), total);
      const Vector<T> factors = kept(p, b, h, i);
      const auto q = row(p.q, b, h, i, shape.width);
      const auto g = row(dy, b, h, i, shape.value_width);
      Vector<T> dweights(shape.keys);
      for (int64_t j = 0; j < shape.keys; ++j)
        dweights[j] = g.dot(row(p.v, b, h, j, shape.value_width)) * factors[j];
      const T along = weights.dot(dweights);
      auto dq = row(gradients.q, b, h, i, shape.width);
      dq.setZero();
      for (int64_t j = 0; j < shape.keys; ++j) {
        const T ds = weights[j] * (dweights[j] - along) * static_cast<T>(shape.scale);
        dq += ds * row(p.k, b, h, j, shape.width);
        row(gradients.k, b, h, j, shape.width) += ds * q;
        row(gradients.v, b, h, j, shape.value_width) += (weights[j] * factors[j]) * g;
      }
    }
  });
}

template void forward_reference(const Problem<float>&, const Rows<float>&, float*);
template void forward_reference(const Problem<double>&, const Rows<double>&, double*);
template void backward_reference(const Problem<float>&, const Rows<const float>&, const float*,
                                 const Rows<const float>&, const Gradients<float>&);
template void backward_reference(const Problem<double>&, const Rows<const double>&, const double*,
                                 const Rows<const double>&, const Gradients<double>&);

}  // namespace tern::kernels::attention
