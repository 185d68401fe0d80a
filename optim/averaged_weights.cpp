// SPDX-License-Identifier: Apache-2.0
#include "averaged_weights.h"

#include <optional>
#include <string>

#include "../core/autograd.h"
#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr char kName[] = "optim::AveragedWeights";

std::string entry(size_t i) { return "average." + std::to_string(i); }

}  // namespace

AveragedWeights::AveragedWeights(const std::vector<Tensor>& params,
                                 const AveragedWeightsOptions& options)
    : params_(params), decay_(options.decay) {
  check_option(kName, "decay", decay_, 1.0);
  if (params.empty()) fail(kName, "params is empty, want at least one parameter");
  for (const Tensor& param : params) {
    if (!param.defined() || !is_floating(param.dtype())) {
      fail(kName, "a parameter is ", param, ", want f32 or f64");
    }
    averages_.push_back(param.detach().clone());
  }
}

void AveragedWeights::update() {
  for (size_t i = 0; i < params_.size(); ++i) {
    if (params_[i].shape() == averages_[i].shape() && params_[i].dtype() == averages_[i].dtype()) {
      continue;
    }
    fail(kName, "a parameter is ", params_[i], ", want ", averages_[i],
         " as in the updates before: convert the model before constructing the averages");
  }
  const NoGrad no_grad;
  const double weight = updates_ == 0 ? 1
                        : decay_ > 0  ? 1 - decay_
                                      : 1 / static_cast<double>(updates_ + 1);
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor& average = averages_[i];
    if (updates_ == 0) {
      average.copy_(params_[i]);
      continue;
    }
    const Tensor param = to_memory_format(params_[i].detach(), average.memory_format());
    for_elements(average, [&](int64_t begin, int64_t end, auto t) {
      using T = decltype(t);
      T* to = average.raw<T>();
      const T *from = param.raw<T>(), w = static_cast<T>(weight);
      for (int64_t k = begin; k < end; ++k) to[k] += w * (from[k] - to[k]);
    });
    average.bump_version();
  }
  ++updates_;
}

void AveragedWeights::copy_to(const std::vector<Tensor>& params) const {
  if (params.size() != averages_.size()) {
    fail(kName, "there are ", params.size(), " tensors to write to, want ", averages_.size());
  }
  for (size_t i = 0; i < params.size(); ++i) {
    if (params[i].defined() && params[i].shape() == averages_[i].shape()) continue;
    fail(kName, "tensor ", i, " to write to is ", params[i], ", want ", averages_[i]);
  }
  const NoGrad no_grad;
  for (size_t i = 0; i < params.size(); ++i) params[i].copy_(averages_[i]);
}

void AveragedWeights::swap() {
  const NoGrad no_grad;
  std::vector<Tensor> now;
  for (const Tensor& param : params_) now.push_back(param.detach().clone());
  copy_to(params_);
  for (size_t i = 0; i < now.size(); ++i) averages_[i].copy_(now[i]);
}

StateDict AveragedWeights::state_dict() const {
  StateDict dict;
  dict.insert("n_averaged", tensor(std::vector<int64_t>{updates_}, Shape{}));
  for (size_t i = 0; i < averages_.size(); ++i) dict.insert(entry(i), averages_[i]);
  return dict;
}

void AveragedWeights::load_state_dict(const StateDict& dict) {
  const std::optional<int64_t> count =
      whole_number(dict.contains("n_averaged") ? dict.at("n_averaged") : Tensor());
  if (!count || dict.size() != averages_.size() + 1) {
    fail(kName, "the state has ", dict.size(), " entries, want n_averaged, a whole number, and ",
         averages_.size(), " averages");
  }
  std::vector<Tensor> values;
  for (size_t i = 0; i < averages_.size(); ++i) {
    values.push_back(dict.at(entry(i)));
    if (values[i].defined() && values[i].shape() == averages_[i].shape()) continue;
    fail(kName, entry(i), " is ", values[i], ", want ", averages_[i]);
  }
  const NoGrad no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) averages_[i].copy_(values[i]);
  updates_ = *count;
}

}  // namespace tern::optim
