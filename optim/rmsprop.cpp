// SPDX-License-Identifier: Apache-2.0
#include "rmsprop.h"

#include <algorithm>

#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr char kName[] = "optim::RMSprop";

void validate(const RMSpropOptions& o) {
  check_option(kName, "lr", o.lr);
  check_option(kName, "alpha", o.alpha);
  if (o.alpha > 1) fail(kName, "alpha is ", o.alpha, ", want [0, 1]");
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
          {.name = "centered", .flag = &o.centered},
          {.name = "maximize", .flag = &o.maximize, .optional = true}};
}

template <class T>
struct Coefficients {
  T lr, sign, decay, alpha, one_minus_alpha, eps, momentum;
};

// Of the first two, a parameter has the one that the option `centered` asks for.
enum Buffer : size_t { kSquare, kMomentum, kMean, kVariance };

/// `v` is the mean square or, centered, the variance; `a` and `b` are used only if the template
/// says so.
template <bool kCentered, bool kWithMomentum, class T>
void rmsprop(T* __restrict p, const T* __restrict grad, T* __restrict v, T* __restrict b,
             T* __restrict a, int64_t n, Coefficients<T> c) {
  for (int64_t i = 0; i < n; ++i) {
    const T g = c.sign * grad[i] + c.decay * p[i];
    if constexpr (kCentered) {
      const T d = g - a[i];
      a[i] += c.one_minus_alpha * d;
      v[i] = c.alpha * (v[i] + c.one_minus_alpha * (d * d));
    } else {
      v[i] = c.alpha * v[i] + c.one_minus_alpha * (g * g);
    }
    T step = g / (std::sqrt(v[i]) + c.eps);
    if constexpr (kWithMomentum) step = b[i] = c.momentum * b[i] + step;
    p[i] -= c.lr * step;
  }
}

/// to = from + sign * mean^2, at least 0: the mean square from the variance, or back. For a state
/// of PyTorch, or one that was saved with the other value of `centered`.
void convert(const Tensor& from, const Tensor& mean, double sign, const Tensor& to) {
  for_elements(to, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    for (int64_t i = begin; i < end; ++i) {
      const T a = mean.defined() ? mean.raw<T>()[i] : T{0};
      to.raw<T>()[i] = std::max(T{0}, from.raw<T>()[i] + static_cast<T>(sign) * a * a);
    }
  });
}

}  // namespace

RMSprop::RMSprop(const std::vector<Group>& groups)
    : OptimizerWith(kName, groups, {"square_avg", "momentum_buffer", "grad_avg", "grad_var"}, 0,
                    {fields_of, validate}) {}

RMSprop::RMSprop(const std::vector<Tensor>& params, const RMSpropOptions& options)
    : RMSprop(std::vector<Group>{{params, options}}) {}

bool RMSprop::is_complete(const State& state) const {
  return state.buffers[kSquare].defined() ||
         (state.buffers[kVariance].defined() && state.buffers[kMean].defined());
}

void RMSprop::update(size_t group, const Tensor& param, const Tensor& grad, State& state) {
  const RMSpropOptions& o = options(group);
  const bool with_momentum = o.momentum > 0;
  Tensor& other = state.buffers[o.centered ? kSquare : kVariance];
  const Tensor& square = buffer(state, o.centered ? kVariance : kSquare, param);
  if (other.defined()) {
    convert(other, state.buffers[kMean], o.centered ? -1 : 1, square);
    other = {};
    if (!o.centered) state.buffers[kMean] = {};
  }
  const Tensor momentum = with_momentum ? buffer(state, kMomentum, param) : Tensor();
  const Tensor mean = o.centered ? buffer(state, kMean, param) : Tensor();
  for_elements(param, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    const Coefficients<T> c{static_cast<T>(o.lr),           static_cast<T>(o.maximize ? -1 : 1),
                            static_cast<T>(o.weight_decay), static_cast<T>(o.alpha),
                            static_cast<T>(1 - o.alpha),    static_cast<T>(o.eps),
                            static_cast<T>(o.momentum)};
    const auto loop = o.centered
                          ? (with_momentum ? rmsprop<true, true, T> : rmsprop<true, false, T>)
                          : (with_momentum ? rmsprop<false, true, T> : rmsprop<false, false, T>);
    loop(param.raw<T>() + begin, grad.raw<T>() + begin, square.raw<T>() + begin,
         with_momentum ? momentum.raw<T>() + begin : nullptr,
         o.centered ? mean.raw<T>() + begin : nullptr, end - begin, c);
  });
}

}  // namespace tern::optim
