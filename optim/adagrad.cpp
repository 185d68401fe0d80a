// SPDX-License-Identifier: Apache-2.0
#include "adagrad.h"

#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr char kName[] = "optim::Adagrad";

void validate(const AdagradOptions& o) {
  check_option(kName, "lr", o.lr);
  check_option(kName, "lr_decay", o.lr_decay);
  check_option(kName, "weight_decay", o.weight_decay);
  check_option(kName, "initial_accumulator_value", o.initial_accumulator_value);
  check_option(kName, "eps", o.eps);
}

std::vector<OptionField> fields_of(AdagradOptions& o) {
  return {{.name = "lr", .number = &o.lr},
          {.name = "lr_decay", .number = &o.lr_decay},
          {.name = "weight_decay", .number = &o.weight_decay},
          {.name = "initial_accumulator_value", .number = &o.initial_accumulator_value},
          {.name = "eps", .number = &o.eps},
          {.name = "maximize", .flag = &o.maximize}};
}

template <class T>
void adagrad(T* __restrict p, const T* __restrict grad, T* __restrict s, int64_t n, T sign, T decay,
             T lr, T eps) {
  for (int64_t i = 0; i < n; ++i) {
    const T g = sign * grad[i] + decay * p[i];
    s[i] += g * g;
    p[i] -= lr * g / (std::sqrt(s[i]) + eps);
  }
}

}  // namespace

Adagrad::Adagrad(const std::vector<Group>& groups)
    : OptimizerWith(kName, groups, {"sum"}, 1, {fields_of, validate}) {}

Adagrad::Adagrad(const std::vector<Tensor>& params, const AdagradOptions& options)
    : Adagrad(std::vector<Group>{{params, options}}) {}

void Adagrad::update(size_t group, const Tensor& param, const Tensor& grad, State& state) {
  const AdagradOptions& o = options(group);
  const bool first = !state.buffers[0].defined();
  const Tensor& sum = buffer(state, 0, param);
  if (first) sum.fill_(o.initial_accumulator_value);
  const double lr = o.lr / (1 + static_cast<double>(state.steps - 1) * o.lr_decay);
  for_elements(param, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    adagrad(param.raw<T>() + begin, grad.raw<T>() + begin, sum.raw<T>() + begin, end - begin,
            static_cast<T>(o.maximize ? -1 : 1), static_cast<T>(o.weight_decay), static_cast<T>(lr),
            static_cast<T>(o.eps));
  });
}

}  // namespace tern::optim
