// SPDX-License-Identifier: Apache-2.0
#include "gradcheck.h"

#include <cmath>
#include <string>

#include "autograd.h"
#include "error.h"
#include "random.h"

namespace tern {

namespace {

// Normal numbers in the shape of y, from a generator of their own: the program's default one is not
// disturbed.
Tensor random_like(const Tensor& y, uint64_t seed) {
  Generator generator(seed, 0x6772616463686b);
  const Tensor cotangent = empty(y.shape(), DType::f64);
  for (double& value : cotangent.data<double>()) value = generator.normal();
  return cotangent;
}

double dot(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<double>();
  const auto y = b.to_vector<double>();
  long double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += static_cast<long double>(x[i]) * y[i];
  return static_cast<double>(total);
}

std::vector<Tensor> leaf_copies(const char* op, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> copies;
  bool any = false;
  for (const Tensor& x : inputs) {
    if (x.requires_grad() && x.dtype() != DType::f64) {
      fail(op, "input ", copies.size(), " is ", x, ", want f64: central differences need it");
    }
    any |= x.requires_grad();
    copies.push_back(x.defined() ? x.detach().clone() : x);
    if (x.requires_grad()) copies.back().set_requires_grad();
  }
  if (!any) fail(op, "none of the ", inputs.size(), " inputs requires a gradient");
  return copies;
}

void check(const char* op, const GradcheckFunction& f, const std::vector<Tensor>& inputs,
           const GradcheckOptions& options) {
  const std::vector<Tensor> x = leaf_copies(op, inputs);
  const Tensor y = f(x);
  if (y.dtype() != DType::f64) fail(op, "f returned ", y, ", want f64");
  if (!y.requires_grad()) fail(op, "the result of f does not depend on its inputs");
  const Tensor cotangent = random_like(y, options.seed);
  y.backward(cotangent);

  double worst = -1;
  std::string where;
  for (size_t k = 0; k < x.size(); ++k) {
    if (!x[k].requires_grad()) continue;
    const Tensor gradient = x[k].grad().defined() ? x[k].grad() : zeros_like(x[k]);
    double* values = x[k].raw<double>();
    const double* analytic = gradient.raw<double>();
    for (int64_t i = 0; i < x[k].numel(); ++i) {
      const double before = values[i];
      // Two steps that differ from `before` by numbers the machine holds exactly.
      const volatile double above = before + options.step;
      const volatile double below = before - options.step;
      double difference = 0;
      {
        // Recording stays on: f may itself call grad, as gradgradcheck's does.
        values[i] = above;
        // Read at once: f may hand back its input.
        const auto u = f(x).to_vector<double>();
        values[i] = below;
        const auto d = f(x).to_vector<double>();
        values[i] = before;
        const Tensor up_minus_down = empty(y.shape(), DType::f64);
        auto out = up_minus_down.data<double>();
        for (size_t j = 0; j < out.size(); ++j) out[j] = u[j] - d[j];
        difference = dot(up_minus_down, cotangent);
      }
      const double numeric = difference / (above - below);
      const double error = std::fabs(analytic[i] - numeric) / (1 + std::fabs(numeric));
      if (error > worst || std::isnan(error)) {
        worst = error;
        where = "input " + std::to_string(k) + ", element " + std::to_string(i) +
                " in memory: analytic " + detail::text(analytic[i]) + ", numeric " +
                detail::text(numeric);
        if (std::isnan(error)) fail(op, "not a number at ", where);
      }
    }
  }
  if (worst > options.tolerance) {
    fail(op, "gradient is wrong. Worst: ", where, ", error ", worst, ", tolerance ",
         options.tolerance);
  }
}

}  // namespace

bool gradcheck(const GradcheckFunction& f, const std::vector<Tensor>& inputs,
               GradcheckOptions options) {
  check("gradcheck", f, inputs, options);
  return true;
}

bool gradgradcheck(const GradcheckFunction& f, const std::vector<Tensor>& inputs,
                   GradcheckOptions options) {
  // The backward pass as a function of the inputs and the cotangent, one output at a time.
  const Tensor y = f(leaf_copies("gradgradcheck", inputs));
  std::vector<Tensor> arguments = inputs;
  arguments.push_back(random_like(y, options.seed + 1).set_requires_grad());
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].requires_grad()) continue;
    const GradcheckFunction gradient = [&](const std::vector<Tensor>& all) {
      const std::vector<Tensor> x(all.begin(), all.end() - 1);
      const Tensor out = f(x);
      const auto dx = grad(out, {x[k]},
                           {.create_graph = true, .allow_unused = true, .grad_output = all.back()});
      return dx[0].defined() ? dx[0] : zeros_like(x[k]);
    };
    // A gradient that is constant in everything has nothing to check.
    if (!gradient(leaf_copies("gradgradcheck", arguments)).requires_grad()) continue;
    check("gradgradcheck", gradient, arguments, options);
  }
  return true;
}

}  // namespace tern
