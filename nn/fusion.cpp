// SPDX-License-Identifier: Apache-2.0
#include "internal/fusion.h"

#include <array>
#include <typeinfo>

#include "../core/autograd.h"
#include "../ops/internal/conv_batch_norm.h"
#include "activations.h"
#include "anomaly.h"
#include "batch_norm.h"
#include "conv.h"
#include "flatten.h"

namespace tern::nn {

namespace {

constexpr size_t kLongest = 3;
using Matched = std::array<Module*, kLongest>;  // what stands for each module of a pattern

struct Any {};  // in a pattern, every module

/// A pattern of modules and what computes them. Only the types themselves fit: something derived
/// from one may compute something else.
struct Fusion {
  std::array<const std::type_info*, kLongest> pattern;  // null behind the last
  bool (*applies)(const Matched& modules);
  Tensor (*run)(const Matched& modules, const Tensor& x);
};

// ---- Any, ReLU

bool always(const Matched&) { return true; }

Tensor forward_relu(const Matched& modules, const Tensor& x) {
  const Module::Running running(*modules[0]);
  return DetectAnomaly::check(modules[0]->forward_relu(x));
}

// ---- Conv2d, BatchNorm2d, perhaps ReLU

// In evaluation, when nothing is recorded and nobody looks at the convolution's own result.
bool normalizes_as_it_writes(const Matched& modules) {
  const auto& conv = static_cast<const Conv2d&>(*modules[0]);
  const auto& norm = static_cast<const BatchNorm2d&>(*modules[1]);
  return !grad_enabled() && !DetectAnomaly::active() && norm.has_fixed_statistics() &&
         conv.options().padding_mode == PadMode::zeros &&
         norm.num_features() == conv.out_channels() &&
         norm.options().data_format == conv.options().data_format &&
         norm.options().algorithm == BatchNormAlgorithm::automatic;
}

Tensor conv_batch_norm(const Matched& modules, const Tensor& x) {
  const auto& conv = static_cast<const Conv2d&>(*modules[0]);
  const auto& norm = static_cast<const BatchNorm2d&>(*modules[1]);
  const Module::Running running(conv);
  return conv2d_batch_norm(x, conv.weight(), conv.bias(),
                           {.running_mean = norm.running_mean(),
                            .running_var = norm.running_var(),
                            .weight = norm.weight(),
                            .bias = norm.bias(),
                            .eps = norm.options().eps,
                            .relu = modules[2] != nullptr},
                           conv.op_options());
}

// The longest first.
constexpr Fusion kFusions[] = {
    {{&typeid(Conv2d), &typeid(BatchNorm2d), &typeid(ReLU)},
     normalizes_as_it_writes,
     conv_batch_norm},
    {{&typeid(Conv2d), &typeid(BatchNorm2d)}, normalizes_as_it_writes, conv_batch_norm},
    {{&typeid(Any), &typeid(ReLU)}, always, forward_relu},
};

/// The dynamic type of `module`. Clang warns of typeid(*pointer), which might be evaluated.
const std::type_info& type_of(const Module& module) { return typeid(module); }

/// How many modules the pattern takes from the beginning of `modules`, 0 if it does not fit.
/// An Identity inside is passed over (folding leaves them); hooks want a module to run by itself.
size_t match(const Fusion& fusion, std::span<Module* const> modules, Matched& matched) {
  size_t at = 0;
  for (size_t i = 0; i < kLongest && fusion.pattern[i]; ++i) {
    const auto skip = [&] {
      return i > 0 && at < modules.size() && type_of(*modules[at]) == typeid(Identity) &&
             !modules[at]->has_hooks();
    };
    while (skip()) ++at;
    if (at == modules.size() || modules[at]->has_hooks()) return 0;
    const std::type_info& wanted = *fusion.pattern[i];
    if (wanted != typeid(Any) && wanted != type_of(*modules[at])) return 0;
    matched[i] = modules[at++];
  }
  return at;
}

}  // namespace

Fused run_fused(std::span<Module* const> modules, const Tensor& x) {
  for (const Fusion& fusion : kFusions) {
    Matched matched{};
    const size_t count = match(fusion, modules, matched);
    if (count == 0 || !fusion.applies(matched)) continue;
    return {true, fusion.run(matched, x), count};
  }
  return {};
}

}  // namespace tern::nn
