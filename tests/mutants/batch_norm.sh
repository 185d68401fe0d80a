#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Mutation testing of batch norm: builds its tests from a copy of the tree, breaks one thing at a
# time, and expects some test to fail.
#
#     tests/mutants/batch_norm.sh [directory for the copy]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$(mktemp -d)}
tests="batch_norm_op batch_norm_module batch_norm_traps batch_norm_conformance batch_norm_exact"
mkdir -p "$work/tree"
(cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$work/tree")
tree=$work/tree
cmake -S "$tree" -B "$work/build" -G Ninja -DTERN_BUILD_EXAMPLES=OFF ${CMAKE_ARGUMENTS:-} >/dev/null

op=ops/batch_norm.cpp
fast=ops/kernels/batch_norm_fast.cpp
simd=ops/kernels/batch_norm_simd.h
loops=ops/kernels/batch_norm_loops.h
plain=ops/kernels/batch_norm_reference.cpp
primitive=ops/kernels/batch_norm_onednn_fast.cpp
layer=nn/batch_norm.cpp

targets=
for test in $tests; do targets="$targets ${test}_test"; done

# Prints the first test that fails; returns an error if all pass.
failing() {
  for test in $tests; do
    if ! "$work/build/tests/${test}_test" --gtest_brief=1 --gtest_fail_fast >"$work/log" 2>&1; then
      name=$(sed -n 's/.*FAILED  \] \([^ ,]*\).*/\1/p' "$work/log" | head -1)
      echo "${name:-a crash of $test}"
      return 0
    fi
  done
  return 1
}

build() {
  ninja -C "$work/build" $targets >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}

survivors=0
# mutant <what> <file> <sed script>
mutant() {
  cp "$tree/$2" "$work/original"
  sed -i "$3" "$tree/$2"
  if cmp -s "$tree/$2" "$work/original"; then
    echo "does not apply   $1"
    survivors=$((survivors + 1))
    return
  fi
  build
  if name=$(failing); then
    echo "rejected   $1   by $name"
  else
    echo "SURVIVES   $1"
    survivors=$((survivors + 1))
  fi
  cp "$work/original" "$tree/$2"
}

build
if name=$(failing); then
  echo "the tests fail before anything is broken: $name"
  exit 1
fi

mutant "running variance: biased for unbiased" $op 's|n / (n - 1)|1.0|'
mutant "running variance: unbiased for biased" $op 's|== RunningVar::unbiased|!= RunningVar::unbiased|'
mutant "momentum reversed" $op 's|const double share = options|const double share = 1 - options|'
mutant "evaluation's backward in training (float32)" $fast 's|through = statistics.of_batch|through = false|'
mutant "evaluation's backward in training (reference)" $plain 's|if (statistics.of_batch) g|if (false) g|'
mutant "evaluation's backward in training (oneDNN)" $primitive 's|of_batch ? flags|false ? flags|'
mutant "evaluation's backward in training (composed)" $op 's|if (used_.of_batch) {|if (false) {|'
mutant "training's backward in evaluation (float32)" $fast 's|through = statistics.of_batch|through = true|'
mutant "1/n missing in dx (float32)" $fast 's|inverse \* dweight / n|inverse * dweight|'
mutant "1/n missing in dx (reference)" $plain 's|g - g.mean()|g - g.sum()|'
mutant "1/n missing in dx (composed)" $op 's|pow(average(d \* d)|pow(sum(d * d, axes, true)|'
mutant "statistics read from the module at backward time" $op '
  s|^class BatchNormNode|thread_local Tensor latest;\n&|
  s|^  Used used(settings.layout.channels);|&\n  latest = running_mean;|
  s|^    const Tensor x = x_.get(), weight|    if (!used_.of_batch) used_.mean = latest.to(DType::f64).to_vector<double>();\n&|'
mutant "sign of beta (float32)" $fast 's|p.bias\[c\]) : 0.0) - scale|p.bias[c]) * -1 : 0.0) - scale|'
mutant "sign of beta (reference)" $plain 's|(p.weight, c, 1) + value_or(p.bias|(p.weight, c, 1) - value_or(p.bias|'
mutant "sign of beta (oneDNN)" $primitive 's|(p.bias ? static_cast<double>(p|(p.bias ? -static_cast<double>(p|'
mutant "planes of N,W,C,H taken for images (oneDNN)" $primitive 's|if (!channels_last) images|if (false) images|'
mutant "gradient of beta negated (float32)" $fast 's|dbias\[c\] = static_cast<float>(dbias)|dbias[c] = static_cast<float>(-dbias)|'
mutant "mask with >= (float32)" $simd 's|shift <= 0 ? V|shift < 0 ? V|'
mutant "mask with >= (reference)" $plain 's|bias <= 0).select|bias < 0).select|'
mutant "mask with >= (composed)" $op 's|return le(normalize|return lt(normalize|'
mutant "no mask in the fused backward" $simd 's|shift <= 0 ? V{} : dy|shift <= 0 ? dy : dy|'
mutant "the mean rounded to float" $fast 's|0.0) - scale \* rest|0.0) - 0 * scale * rest|'
mutant "the pivot is zero" $fast 's|return std::isfinite(p) ? p : 0.0f|return 0.0f * p|'
mutant "float sums over whole chunks" $loops 's|kRowBlock = 64;|kRowBlock = 1 << 20;|'
mutant "eps outside of the root" $fast 's|1 / std::sqrt(var + eps)|1 / (std::sqrt(var) + eps)|'
mutant "statistics updated twice" $op 's|^    if (options.update_running \&\& running_mean.defined()) {|    if (options.update_running \&\& running_mean.defined()) {\n      update_running(running_mean, running_var, options, settings, used);|'
mutant "updated in evaluation" $layer 's|track && batch && (training .. forced.has_value())|track|'
mutant "use_batch_statistics does not update in evaluation" $layer 's|batch \&\& (training .. forced.has_value())|batch \&\& training|'
mutant "a failed or empty call is counted" $layer 's|if (update \&\& x.numel() > 0)|if (update)|'
mutant "train() unfreezes" $layer 's/is_frozen() || !options_/!options_/'
mutant "counter forgotten" $layer 's|mutable_data<int64_t>()\[0\] = batches|mutable_data<int64_t>()[0] = 1|'

echo "$survivors survive"
[ "$survivors" -eq 0 ]
