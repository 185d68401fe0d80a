// SPDX-License-Identifier: Apache-2.0
// MindSpore's initializers, and what nn::Init can be made from.
#include <algorithm>
#include <array>
#include <cmath>

#include "../core/autograd.h"
#include "../core/error.h"
#include "init.h"

namespace tern::nn {

namespace init {

namespace {

// The deviation of a standard normal number that is cut at -2 and 2.
constexpr double kTruncatedDeviation = 0.87962566103423978;

double scaling_fan(const Shape& shape, FanMode mode) {
  const auto [in, out] = calculate_fan_in_and_fan_out(shape);
  double fan = 0.5 * (static_cast<double>(in) + static_cast<double>(out));
  if (mode == FanMode::fan_in) fan = static_cast<double>(in);
  if (mode == FanMode::fan_out) fan = static_cast<double>(out);
  return std::max(1.0, fan);
}

}  // namespace

void Zero::operator()(const Tensor& t) const { zeros_(t); }
void One::operator()(const Tensor& t) const { ones_(t); }
void Constant::operator()(const Tensor& t) const { constant_(t, value); }

void Uniform::operator()(const Tensor& t) const { uniform_(t, -std::abs(scale), std::abs(scale)); }

void Normal::operator()(const Tensor& t) const { normal_(t, mean, sigma); }

void TruncatedNormal::operator()(const Tensor& t) const {
  if (!(a < b)) fail("TruncatedNormal", "the bounds are ", a, " and ", b, " sigma, want a < b");
  if (sigma == 0.0) {
    constant_(t, mean);
  } else {
    trunc_normal_(t, mean, sigma, mean + a * sigma, mean + b * sigma);
  }
}

void XavierUniform::operator()(const Tensor& t) const { xavier_uniform_(t, gain); }
void XavierNormal::operator()(const Tensor& t) const { xavier_normal_(t, gain); }

void HeUniform::operator()(const Tensor& t) const {
  kaiming_uniform_(t, negative_slope, mode, nonlinearity);
}

void HeNormal::operator()(const Tensor& t) const {
  kaiming_normal_(t, negative_slope, mode, nonlinearity);
}

void VarianceScaling::operator()(const Tensor& t) const {
  if (!(scale > 0) || !std::isfinite(scale)) {
    fail("VarianceScaling", "scale is ", scale, ", want a number above 0");
  }
  const double std = std::sqrt(scale / scaling_fan(t.shape(), mode));
  switch (distribution) {
    case Distribution::uniform:
      uniform_(t, -std::sqrt(3.0) * std, std::sqrt(3.0) * std);
      break;
    case Distribution::normal:
      normal_(t, 0.0, std);
      break;
    case Distribution::truncated_normal:
      TruncatedNormal{.sigma = std / kTruncatedDeviation}(t);
      break;
  }
}

void Orthogonal::operator()(const Tensor& t) const { orthogonal_(t, gain); }
void Identity::operator()(const Tensor& t) const { eye_(t); }
void Sparse::operator()(const Tensor& t) const { sparse_(t, sparsity, sigma); }
void Dirac::operator()(const Tensor& t) const { dirac_(t, groups); }

}  // namespace init

namespace {

struct Name {
  const char* name;
  Init (*make)();
};

// MindSpore's aliases. "sparse" is one of them, but cannot be made without its argument.
constexpr std::array kNames{
    Name{"zero", [] { return Init(init::Zero{}); }},
    Name{"zeros", [] { return Init(init::Zero{}); }},
    Name{"one", [] { return Init(init::One{}); }},
    Name{"ones", [] { return Init(init::One{}); }},
    Name{"uniform", [] { return Init(init::Uniform{}); }},
    Name{"normal", [] { return Init(init::Normal{}); }},
    Name{"truncatednormal", [] { return Init(init::TruncatedNormal{}); }},
    Name{"xavieruniform", [] { return Init(init::XavierUniform{}); }},
    Name{"xavier_uniform", [] { return Init(init::XavierUniform{}); }},
    Name{"xaviernormal", [] { return Init(init::XavierNormal{}); }},
    Name{"xavier_normal", [] { return Init(init::XavierNormal{}); }},
    Name{"heuniform", [] { return Init(init::HeUniform{}); }},
    Name{"he_uniform", [] { return Init(init::HeUniform{}); }},
    Name{"henormal", [] { return Init(init::HeNormal{}); }},
    Name{"he_normal", [] { return Init(init::HeNormal{}); }},
    Name{"variancescaling", [] { return Init(init::VarianceScaling{}); }},
    Name{"orthogonal", [] { return Init(init::Orthogonal{}); }},
    Name{"identity", [] { return Init(init::Identity{}); }},
    Name{"dirac", [] { return Init(init::Dirac{}); }},
};

}  // namespace

Init::Init(const std::string& name) {
  std::string lower = name;
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');  // whatever the locale says
  }
  if (lower == "sparse") fail("Init", "\"sparse\" needs its share of zeros: init::Sparse{0.1}");
  const auto known = std::ranges::find_if(kNames, [&](const Name& n) { return lower == n.name; });
  if (known == kNames.end()) {
    std::string names;
    for (const Name& n : kNames) names += std::string(names.empty() ? "" : ", ") + n.name;
    fail("Init", "no initializer is called \"", name, "\"; there are ", names);
  }
  *this = known->make();
}

Init::Init(const Tensor& values) {
  if (!values.defined()) fail("Init", "the tensor of initial values is undefined");
  fill_ = [values = values.detach()](const Tensor& t) {
    if (values.shape() != t.shape()) {
      fail("Init", "the initial values are ", values, ", want the shape of ", t);
    }
    t.copy_(values);
  };
}

void Init::apply(const Tensor& t) const {
  const NoGrad no_grad;
  fill_(t);
}

Tensor Init::make(const Shape& shape, DType dtype) const {
  const Tensor t = zeros(shape, dtype);
  apply(t);
  return t;
}

}  // namespace tern::nn
