// SPDX-License-Identifier: Apache-2.0
#include "unary.h"

#include <cmath>
#include <numbers>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/profiler.h"
#include "activations.h"
#include "arithmetic.h"
#include "backend.h"
#include "math.h"

namespace tern {

namespace {

using kernels::Unary;

bool works_on_integers(Unary kind) {
  return kind == Unary::add || kind == Unary::mul || kind == Unary::rsub || kind == Unary::neg ||
         kind == Unary::abs || kind == Unary::relu;
}

bool is_linear(Unary kind) {
  return kind == Unary::add || kind == Unary::mul || kind == Unary::div || kind == Unary::rsub ||
         kind == Unary::neg;
}

class UnaryNode final : public Node {
 public:
  UnaryNode(const char* name, Unary kind, double alpha, const Tensor& x, const Tensor& y)
      : name_(name),
        kind_(kind),
        alpha_(alpha),
        saved_(this,
               is_linear(kind)                      ? Tensor()
               : kernels::saves_output(kind, alpha) ? y
                                                    : x,
               kernels::saves_output(kind, alpha) ? Saved::Role::output : Saved::Role::input) {}
  const char* name() const override { return name_; }
  Gradients backward(const Tensor& dy) override {
    switch (kind_) {
      case Unary::add:
        return {dy};
      case Unary::mul:
        return {mul(dy, alpha_)};
      case Unary::div:
        return {dy / alpha_};
      case Unary::rsub:
      case Unary::neg:
        return {neg(dy)};
      default:
        return {unary_backward(kind_, alpha_, dy, saved_.get())};
    }
  }

 private:
  const char* name_;
  Unary kind_;
  double alpha_;
  Saved saved_;
};

/// dy * f' as recorded operations.
Tensor composed_backward(Unary kind, double alpha, const Tensor& dy, const Tensor& s) {
  switch (kind) {
    case Unary::rdiv:
      return dy * (-alpha / (s * s));
    case Unary::pow:
      return alpha == 0 ? dy * 0.0 : dy * (alpha * pow(s, alpha - 1));
    case Unary::abs:
      return dy * (gt(s, 0.0).to(s.dtype()) - lt(s, 0.0).to(s.dtype()));
    case Unary::exp:
      return dy * s;
    case Unary::log:
      return dy / s;
    case Unary::sqrt:
      return dy / (2.0 * s);
    case Unary::sin:
      return dy * cos(s);
    case Unary::cos:
      return -dy * sin(s);
    case Unary::erf:
      return dy * (2 * std::numbers::inv_sqrtpi * exp(-(s * s)));
    case Unary::relu:
      return where(le(s, 0.0), {}, dy);
    case Unary::leaky_relu:
      return where(gt(s, 0.0), dy, dy * alpha);
    case Unary::sigmoid:
      return dy * (s * (1.0 - s));
    case Unary::tanh:
      return dy * (1.0 - s * s);
    case Unary::gelu: {
      constexpr double kDensity = 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;
      const Tensor distribution = 0.5 * (erf(s * (1 / std::numbers::sqrt2)) + 1.0);
      return dy * (distribution + s * (kDensity * exp(-0.5 * (s * s))));
    }
    case Unary::silu: {
      const Tensor y = sigmoid(s);
      return dy * (y * (1.0 + s * (1.0 - y)));
    }
    default:
      fail("unary_backward", "function ", static_cast<int>(kind), " is linear: it saves nothing");
  }
}

}  // namespace

void check_scalar(const char* op, DType dtype, double value) {
  if (is_floating(dtype)) return;
  if (value != std::trunc(value) || std::fabs(value) > 0x1p53) {
    fail(op, "the number ", value, " is not a whole number, the tensor is ", dtype,
         ": convert it with .to(DType::f32)");
  }
}

Tensor unary(const char* name, Unary kind, const Tensor& x, double alpha) {
  const ProfilerRange range(name, x);
  const Tensor y = empty_like(x);
  const int64_t count = x.numel();
  if (use_onednn(x)) {
    kernels::unary_f32(kind, alpha, count, x.raw<float>(), y.raw<float>());
  } else if (x.dtype() == DType::f64) {
    kernels::unary_eigen(kind, alpha, count, x.raw<double>(), y.raw<double>());
  } else if (x.dtype() == DType::f32) {
    kernels::unary_eigen(kind, alpha, count, x.raw<float>(), y.raw<float>());
  } else {
    if (!works_on_integers(kind)) {
      fail(name, "x is ", x, ", want f32 or f64: convert with .to(DType::f32)");
    }
    check_scalar(name, x.dtype(), alpha);
    const auto a = static_cast<int64_t>(alpha);
    if (x.dtype() == DType::i64) {
      kernels::unary_integer(kind, a, count, x.raw<int64_t>(), y.raw<int64_t>());
    } else {
      kernels::unary_integer(kind, a, count, x.raw<uint8_t>(), y.raw<uint8_t>());
    }
  }
  return record<UnaryNode>(y, {x}, name, kind, alpha, x, y);
}

Tensor unary_backward(Unary kind, double alpha, const Tensor& dy, const Tensor& saved) {
  if (recording({dy, saved})) return composed_backward(kind, alpha, dy, saved);
  const bool in_place = dy.is_unshared();  // Note [Gradients in place]
  const Tensor aligned = to_order(dy, saved.order());
  const Tensor dx = in_place ? aligned : empty_like(saved);
  if (in_place) ProfilerRange::writes(dx);
  const int64_t count = dx.numel();
  if (use_onednn(saved)) {
    kernels::unary_backward_f32(kind, alpha, count, saved.raw<float>(), aligned.raw<float>(),
                                dx.raw<float>());
    return dx;
  }
  visit_floating(saved.dtype(), [&](auto t) {
    using T = decltype(t);
    kernels::unary_backward_eigen(kind, alpha, count, saved.raw<T>(), aligned.raw<T>(),
                                  dx.raw<T>());
  });
  return dx;
}

}  // namespace tern
