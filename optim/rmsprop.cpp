// SPDX-License-Identifier: Apache-2.0
#include "rmsprop.h"

#include "loops.h"

namespace tern::optim {
namespace {

constexpr char kName[] = "optim::RMSprop";

void validate(const RMSpropOptions& o) {
  check_option(kName, "lr", o.lr);
  check_option(kName, "alpha", o.alpha);
  check_option(kName, "eps", o.eps);
  check_option(kName, "weight_decay", o.weight_decay);
  check_option(kName, "momentum", o.momentum);
}

std::vector<OptionField> fields_of(RMSpropOptions& o) {
  return {{.name = "lr", .number = &o.lr},
          {.name = "alpha", .number = &o.alpha},
          {.name = "eps", .number = &o.eps},
          {.name = "weight_decay", .number = &o.weight_decay},
          {.name = "momentum", .number = &o.momentum},
          {.name = "centered", .flag = &o.centered}};
}

template <class T>
struct Coefficients {
  T lr, decay, alpha, one_minus_alpha, eps, momentum;
};

/// `a` and `b` are read and written only if the template says so.
template <bool kCentered, bool kMomentum, class T>
void rmsprop(T* __restrict p, const T* __restrict grad, T* __restrict v, T* __restrict b,
             T* __restrict a, int64_t n, Coefficients<T> c) {
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] + c.decay * p[i];
    v[i] = c.alpha * v[i] + c.one_minus_alpha * (g * g);
    T variance = v[i];
    if constexpr (kCentered) {
      a[i] = c.alpha * a[i] + c.one_minus_alpha * g;
      variance -= a[i] * a[i];
    }
    T step = g / (std::sqrt(variance) + c.eps);
    if constexpr (kMomentum) step = b[i] = c.momentum * b[i] + step;
    p[i] -= c.lr * step;
  }
}

}  // namespace

RMSprop::RMSprop(const std::vector<Group>& groups)
    : OptimizerWith(kName, groups, {"square_avg", "momentum_buffer", "grad_avg"}, 1,
                    {fields_of, validate}) {}

RMSprop::RMSprop(const std::vector<Tensor>& params, const RMSpropOptions& options)
    : RMSprop(std::vector<Group>{{params, options}}) {}

void RMSprop::update(size_t group, const Tensor& param, const Tensor& grad, State& state) {
  const RMSpropOptions& o = options(group);
  const bool with_momentum = o.momentum > 0;
  const Tensor& square = buffer(state, 0, param);
  const Tensor momentum = with_momentum ? buffer(state, 1, param) : Tensor();
  const Tensor mean = o.centered ? buffer(state, 2, param) : Tensor();
  for_elements(param, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    const Coefficients<T> c{static_cast<T>(o.lr),    static_cast<T>(o.weight_decay),
                            static_cast<T>(o.alpha), static_cast<T>(1 - o.alpha),
                            static_cast<T>(o.eps),   static_cast<T>(o.momentum)};
    const auto loop = o.centered
                          ? (with_momentum ? rmsprop<true, true, T> : rmsprop<true, false, T>)
                          : (with_momentum ? rmsprop<false, true, T> : rmsprop<false, false, T>);
    loop(param.raw<T>() + begin, grad.raw<T>() + begin, square.raw<T>() + begin,
         with_momentum ? momentum.raw<T>() + begin : nullptr,
         o.centered ? mean.raw<T>() + begin : nullptr, end - begin, c);
  });
}

}  // namespace tern::optim
