// SPDX-License-Identifier: Apache-2.0
#include "clip.h"

#include <algorithm>
#include <cmath>

#include "../core/autograd.h"
#include "../core/profiler.h"
#include "internal/loops.h"

namespace tern::optim {
namespace {

// Each block has its own sum, so that the result does not depend on the number of threads.
constexpr int64_t kBlock = 16384;

template <class T, class Term>
double sum_block(const T* x, int64_t n, const Term& term) {
  constexpr int64_t kLanes = 8;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += term(static_cast<double>(x[i + lane]));
    }
  }
  for (; i < n; ++i) lanes[i % kLanes] += term(static_cast<double>(x[i]));
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

template <class Term>
double sum(const Tensor& x, const Term& term) {
  const int64_t n = x.numel();
  std::vector<double> blocks(static_cast<size_t>(divide_up(n, kBlock)));
  visit_floating(x.dtype(), [&](auto t) {
    const auto* values = x.raw<decltype(t)>();
    parallel_for(static_cast<int64_t>(blocks.size()), 4, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t start = b * kBlock;
        blocks[static_cast<size_t>(b)] =
            sum_block(values + start, std::min(kBlock, n - start), term);
      }
    });
  });
  double total = 0;
  for (const double block : blocks) total += block;
  return total;
}

double largest(const Tensor& x) {
  return visit_floating(x.dtype(), [&](auto t) {
    const auto* values = x.raw<decltype(t)>();
    double result = 0;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const double magnitude = std::abs(static_cast<double>(values[i]));
      if (!(magnitude <= result)) result = magnitude;  // also when it is NaN
      if (std::isnan(result)) break;
    }
    return result;
  });
}

std::vector<Tensor> gradients(const std::vector<Tensor>& params) {
  std::vector<Tensor> result;
  for (const Tensor& param : params) {
    const Tensor grad = gradient_to_use(param);
    if (grad.defined()) result.push_back(grad);
  }
  return result;
}

double norm_of(const std::vector<Tensor>& grads, double norm_type) {
  double total = 0;
  if (std::isinf(norm_type)) {
    for (const Tensor& grad : grads) {
      const double value = largest(grad);
      if (!(value <= total)) total = value;
      if (std::isnan(total)) break;
    }
    return total;
  }
  for (const Tensor& grad : grads) {
    total += norm_type == 2.0
                 ? sum(grad, [](double g) { return g * g; })
                 : sum(grad, [&](double g) { return std::pow(std::abs(g), norm_type); });
  }
  return norm_type == 2.0 ? std::sqrt(total) : std::pow(total, 1.0 / norm_type);
}

/// Replaces each element g by change(g).
template <class Change>
void change(const Tensor& grad, const Change& change) {
  for_elements(grad, [&](int64_t begin, int64_t end, auto t) {
    auto* values = grad.raw<decltype(t)>();
    for (int64_t i = begin; i < end; ++i) values[i] = change(values[i]);
  });
  grad.bump_version();
}

}  // namespace

double clip_grad_norm_(const std::vector<Tensor>& params, double max_norm, double norm_type,
                       bool error_if_nonfinite) {
  if (!(max_norm >= 0)) fail("clip_grad_norm_", "max_norm is ", max_norm, ", want at least 0");
  if (!(norm_type > 0)) fail("clip_grad_norm_", "norm_type is ", norm_type, ", want above 0");
  const ProfilerRange range("clip_grad_norm_");
  const std::vector<Tensor> grads = gradients(params);
  const double norm = norm_of(grads, norm_type);
  if (error_if_nonfinite && !std::isfinite(norm)) {
    fail("clip_grad_norm_", "the norm of the gradients is ", norm,
         ", want a finite one: lower the learning rate, or look for NaN in the data");
  }
  const double scale = max_norm / (norm + 1e-6);
  if (scale >= 1) return norm;
  for (const Tensor& grad : grads) {
    change(grad, [&](auto g) { return g * static_cast<decltype(g)>(scale); });
  }
  return norm;
}

void clip_grad_value_(const std::vector<Tensor>& params, double clip_value) {
  if (!(clip_value >= 0)) {
    fail("clip_grad_value_", "clip_value is ", clip_value, ", want at least 0");
  }
  const ProfilerRange range("clip_grad_value_");
  for (const Tensor& grad : gradients(params)) {
    change(grad, [&](auto g) {
      const auto limit = static_cast<decltype(g)>(clip_value);
      return g > limit ? limit : (g < -limit ? -limit : g);
    });
  }
}

}  // namespace tern::optim
