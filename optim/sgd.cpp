// SPDX-License-Identifier: Apache-2.0
#include "sgd.h"

#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr char kName[] = "optim::SGD";

void validate(const SGDOptions& o) {
  check_option(kName, "lr", o.lr);
  check_option(kName, "momentum", o.momentum);
  check_option(kName, "weight_decay", o.weight_decay);
  if (!std::isfinite(o.dampening))
    fail(kName, "dampening is ", o.dampening, ", want a finite number");
  if (o.nesterov && (o.momentum == 0 || o.dampening != 0)) {
    fail(kName, "momentum is ", o.momentum, " and dampening ", o.dampening,
         ", want above 0 and 0 with nesterov");
  }
}

std::vector<OptionField> fields_of(SGDOptions& o) {
  return {{.name = "lr", .number = &o.lr},
          {.name = "momentum", .number = &o.momentum},
          {.name = "dampening", .number = &o.dampening},
          {.name = "weight_decay", .number = &o.weight_decay},
          {.name = "nesterov", .flag = &o.nesterov},
          {.name = "maximize", .flag = &o.maximize, .optional = true}};
}

template <class T>
void plain(T* __restrict p, const T* __restrict g, int64_t n, T lr, T sign, T decay) {
  for (int64_t i = 0; i < n; ++i) p[i] -= lr * (sign * g[i] + decay * p[i]);
}

template <class T>
struct Coefficients {
  T lr, sign, decay, momentum, new_weight;
};

template <class T>
void with_momentum(T* __restrict p, const T* __restrict g, T* __restrict b, int64_t n,
                   Coefficients<T> c) {
  for (int64_t i = 0; i < n; ++i) {
    const T d = c.sign * g[i] + c.decay * p[i];
    b[i] = c.momentum * b[i] + c.new_weight * d;
    p[i] -= c.lr * b[i];
  }
}

template <class T>
void with_nesterov(T* __restrict p, const T* __restrict g, T* __restrict b, int64_t n,
                   Coefficients<T> c) {
  for (int64_t i = 0; i < n; ++i) {
    const T d = c.sign * g[i] + c.decay * p[i];
    b[i] = c.momentum * b[i] + c.new_weight * d;
    p[i] -= c.lr * (d + c.momentum * b[i]);
  }
}

}  // namespace

SGD::SGD(const std::vector<Group>& groups)
    : OptimizerWith(kName, groups, {"momentum_buffer"}, 0, {fields_of, validate}) {}

SGD::SGD(const std::vector<Tensor>& params, const SGDOptions& options)
    : SGD(std::vector<Group>{{params, options}}) {}

void SGD::update(size_t group, const Tensor& param, const Tensor& grad, State& state) {
  const SGDOptions& o = options(group);
  if (o.momentum == 0) {
    for_elements(param, [&](int64_t begin, int64_t end, auto t) {
      using T = decltype(t);
      plain(param.raw<T>() + begin, grad.raw<T>() + begin, end - begin, static_cast<T>(o.lr),
            static_cast<T>(o.maximize ? -1 : 1), static_cast<T>(o.weight_decay));
    });
    return;
  }
  const bool first = !state.buffers[0].defined();
  const Tensor& momentum = buffer(state, 0, param);
  for_elements(param, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    const Coefficients<T> c{static_cast<T>(o.lr), static_cast<T>(o.maximize ? -1 : 1),
                            static_cast<T>(o.weight_decay), static_cast<T>(o.momentum),
                            first ? T{1} : static_cast<T>(1 - o.dampening)};
    const auto loop = o.nesterov ? with_nesterov<T> : with_momentum<T>;
    loop(param.raw<T>() + begin, grad.raw<T>() + begin, momentum.raw<T>() + begin, end - begin, c);
  });
}

}  // namespace tern::optim
