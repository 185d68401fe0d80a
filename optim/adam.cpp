// SPDX-License-Identifier: Apache-2.0
#include "adam.h"

#include <algorithm>

#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr char kAdam[] = "optim::Adam";
constexpr char kAdamW[] = "optim::AdamW";

template <class Options>
void validate(const char* name, const Options& o) {
  check_option(name, "lr", o.lr);
  check_option(name, "beta1", o.beta1, 1.0);
  check_option(name, "beta2", o.beta2, 1.0);
  check_option(name, "eps", o.eps);
  check_option(name, "weight_decay", o.weight_decay);
}

void validate_adam(const AdamOptions& o) { validate(kAdam, o); }
void validate_adamw(const AdamWOptions& o) { validate(kAdamW, o); }

template <class Options>
std::vector<OptionField> fields_of(Options& o) {
  return {{.name = "lr", .number = &o.lr},
          {.name = "beta1", .number = &o.beta1},
          {.name = "beta2", .number = &o.beta2},
          {.name = "eps", .number = &o.eps},
          {.name = "weight_decay", .number = &o.weight_decay},
          {.name = "amsgrad", .flag = &o.amsgrad},
          {.name = "maximize", .flag = &o.maximize, .optional = true}};
}

template <class T>
struct Coefficients {
  T keep;   // what decoupled weight decay leaves of p
  T decay;  // weight decay that goes through the gradient
  T beta1, one_minus_beta1, beta2, one_minus_beta2;
  T sign;            // -1 to maximize
  T step_size, eps;  // both times the square root of v's correction, which saves a division
};

template <class T>
void adam(T* __restrict p, const T* __restrict grad, T* __restrict m, T* __restrict v, int64_t n,
          Coefficients<T> c) {
  for (int64_t i = 0; i < n; ++i) {
    const T kept = p[i] * c.keep;
    const T g = c.sign * grad[i] + c.decay * kept;
    m[i] = c.beta1 * m[i] + c.one_minus_beta1 * g;
    v[i] = c.beta2 * v[i] + c.one_minus_beta2 * (g * g);
    p[i] = kept - c.step_size * m[i] / (std::sqrt(v[i]) + c.eps);
  }
}

template <class T>
void amsgrad(T* __restrict p, const T* __restrict grad, T* __restrict m, T* __restrict v,
             T* __restrict largest, int64_t n, Coefficients<T> c) {
  for (int64_t i = 0; i < n; ++i) {
    const T kept = p[i] * c.keep;
    const T g = c.sign * grad[i] + c.decay * kept;
    m[i] = c.beta1 * m[i] + c.one_minus_beta1 * g;
    v[i] = c.beta2 * v[i] + c.one_minus_beta2 * (g * g);
    largest[i] = std::max(largest[i], v[i]);
    p[i] = kept - c.step_size * m[i] / (std::sqrt(largest[i]) + c.eps);
  }
}

/// The scalars of step `steps`, in double.
template <class Options>
Coefficients<double> coefficients(const Options& o, bool decoupled, int64_t steps) {
  const auto t = static_cast<double>(steps);
  const double correction2_sqrt = std::sqrt(1 - std::pow(o.beta2, t));
  return {.keep = decoupled ? 1 - o.lr * o.weight_decay : 1.0,
          .decay = decoupled ? 0.0 : o.weight_decay,
          .beta1 = o.beta1,
          .one_minus_beta1 = 1 - o.beta1,
          .beta2 = o.beta2,
          .one_minus_beta2 = 1 - o.beta2,
          .sign = o.maximize ? -1.0 : 1.0,
          .step_size = o.lr / (1 - std::pow(o.beta1, t)) * correction2_sqrt,
          .eps = o.eps * correction2_sqrt};
}

template <class T>
Coefficients<T> rounded(const Coefficients<double>& c) {
  return {static_cast<T>(c.keep),  static_cast<T>(c.decay),
          static_cast<T>(c.beta1), static_cast<T>(c.one_minus_beta1),
          static_cast<T>(c.beta2), static_cast<T>(c.one_minus_beta2),
          static_cast<T>(c.sign),  static_cast<T>(c.step_size),
          static_cast<T>(c.eps)};
}

/// `largest` is undefined without amsgrad.
void advance(const Tensor& param, const Tensor& grad, const Tensor& m, const Tensor& v,
             const Tensor& largest, const Coefficients<double>& exact) {
  for_elements(param, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    const Coefficients<T> c = rounded<T>(exact);
    T* p = param.raw<T>() + begin;
    const T* g = grad.raw<T>() + begin;
    if (largest.defined()) {
      amsgrad(p, g, m.raw<T>() + begin, v.raw<T>() + begin, largest.raw<T>() + begin, end - begin,
              c);
    } else {
      adam(p, g, m.raw<T>() + begin, v.raw<T>() + begin, end - begin, c);
    }
  });
}

std::vector<std::string> buffer_names() { return {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}; }

}  // namespace

Adam::Adam(const std::vector<Group>& groups)
    : OptimizerWith(kAdam, groups, buffer_names(), 2, {fields_of<AdamOptions>, validate_adam}) {}

Adam::Adam(const std::vector<Tensor>& params, const AdamOptions& options)
    : Adam(std::vector<Group>{{params, options}}) {}

void Adam::update(size_t group, const Tensor& param, const Tensor& grad, State& state) {
  const AdamOptions& o = options(group);
  advance(param, grad, buffer(state, 0, param), buffer(state, 1, param),
          o.amsgrad ? buffer(state, 2, param) : Tensor(), coefficients(o, false, state.steps));
}

AdamW::AdamW(const std::vector<Group>& groups)
    : OptimizerWith(kAdamW, groups, buffer_names(), 2, {fields_of<AdamWOptions>, validate_adamw}) {}

AdamW::AdamW(const std::vector<Tensor>& params, const AdamWOptions& options)
    : AdamW(std::vector<Group>{{params, options}}) {}

void AdamW::update(size_t group, const Tensor& param, const Tensor& grad, State& state) {
  const AdamWOptions& o = options(group);
  advance(param, grad, buffer(state, 0, param), buffer(state, 1, param),
          o.amsgrad ? buffer(state, 2, param) : Tensor(), coefficients(o, true, state.steps));
}

}  // namespace tern::optim
