// SPDX-License-Identifier: Apache-2.0
// The loss of connectionist temporal classification, made of other operations.
#include <algorithm>
#include <limits>
#include <vector>

#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "gather.h"
#include "loss.h"
#include "math.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace {

// The logarithm of 0: finite, so that what is impossible has a derivative, which is 0.
constexpr double kImpossible = -1e30;

/// What the loss is of, checked: for each sequence of the batch its labels and its length.
struct Sequences {
  int64_t steps, batch, classes;
  std::vector<std::vector<int64_t>> labels;
  std::vector<int64_t> lengths;

  int64_t longest() const {
    size_t most = 0;
    for (const auto& of_sequence : labels) most = std::max(most, of_sequence.size());
    return static_cast<int64_t>(most);
  }
};

std::vector<int64_t> lengths_of(const char* argument, const Tensor& lengths, int64_t batch,
                                int64_t most) {
  if (!lengths.defined() || lengths.dtype() != DType::i64 || lengths.shape() != Shape{batch}) {
    fail("ctc_loss", argument, " is ", lengths, ", want i64[", batch, "], one for each sequence");
  }
  std::vector<int64_t> values = lengths.to_vector<int64_t>();
  for (const int64_t value : values) {
    if (value < 0 || value > most) {
      fail("ctc_loss", argument, " has ", value, ", want 0 to ", most);
    }
  }
  return values;
}

Sequences checked(const Tensor& log_p, const Tensor& targets, const Tensor& input_lengths,
                  const Tensor& target_lengths, int64_t blank) {
  constexpr const char* kOp = "ctc_loss";
  if (!log_p.defined() || !is_floating(log_p.dtype()) || log_p.dim() != 3) {
    fail(kOp, "log_probs is ", log_p, ", want [T,N,C], f32 or f64: the results of log_softmax");
  }
  Sequences result{log_p.size(0), log_p.size(1), log_p.size(2), {}, {}};
  const int64_t batch = result.batch;
  if (blank < 0 || blank >= result.classes) {
    fail(kOp, "blank is ", blank, ", want a class, 0 to ", result.classes - 1);
  }
  const bool together = targets.defined() && targets.dim() == 1;
  if (!targets.defined() || targets.dtype() != DType::i64 ||
      !(together || (targets.dim() == 2 && targets.size(0) == batch))) {
    fail(kOp, "targets is ", targets, ", want i64[", batch,
         ",S], or all sequences one after the other in one axis");
  }
  result.lengths = lengths_of("input_lengths", input_lengths, batch, result.steps);
  const int64_t room = targets.size(-1);
  const auto counts = lengths_of("target_lengths", target_lengths, batch, room);
  const std::vector<int64_t> values = targets.to_vector<int64_t>();
  auto next = values.begin();
  for (int64_t i = 0; i < batch; ++i) {
    if (!together) next = values.begin() + i * room;
    const int64_t count = counts[static_cast<size_t>(i)];
    if (count > values.end() - next) {
      fail(kOp, "target_lengths add up to more than the ", values.size(), " labels of targets");
    }
    for (auto label = next; label != next + count; ++label) {
      if (*label < 0 || *label >= result.classes || *label == blank) {
        fail(kOp, "sequence ", i, " has label ", *label, ", want 0 to ", result.classes - 1,
             " and not the blank, ", blank);
      }
    }
    result.labels.emplace_back(next, next + count);
    next += count;
  }
  if (together && next != values.end()) {
    fail(kOp, "targets has ", values.size(), " labels, target_lengths add up to ",
         next - values.begin());
  }
  return result;
}

// -log p of each sequence [N]. A path goes through the labels with a blank before, between and
// after them, a place at a time, or past the blank between two labels that differ; alpha is the
// logarithm of the probability of all paths to a place (Graves et al., 2006, section 4.1).
Tensor of_sequences(const Tensor& log_p, const Sequences& s, int64_t blank) {
  const int64_t places = 2 * s.longest() + 1;
  const auto size = static_cast<size_t>(s.batch * places);
  std::vector<int64_t> classes(size, blank);
  std::vector<double> first(size, kImpossible), skip(size, kImpossible), last(size, kImpossible);
  for (int64_t i = 0; i < s.batch; ++i) {
    const auto& labels = s.labels[static_cast<size_t>(i)];
    const auto at = [&](int64_t place) { return static_cast<size_t>(i * places + place); };
    const auto count = static_cast<int64_t>(labels.size());
    first[at(0)] = last[at(2 * count)] = 0;
    if (count > 0) first[at(1)] = last[at(2 * count - 1)] = 0;
    for (int64_t j = 0; j < count; ++j) {
      const auto label = static_cast<size_t>(j);
      classes[at(2 * j + 1)] = labels[label];
      if (j > 0 && labels[label] != labels[label - 1]) skip[at(2 * j + 1)] = 0;
    }
  }
  const auto constant = [&](const std::vector<double>& values) {
    return tensor(values, {s.batch, places}).to(log_p.dtype());
  };
  const Tensor may_skip = constant(skip), border = full({s.batch, 2}, kImpossible, log_p.dtype());
  const Tensor index =
      broadcast_to(tensor(classes, {1, s.batch, places}), {s.steps, s.batch, places});
  const Tensor lengths = tensor(s.lengths, {s.batch, 1});
  const std::vector<Tensor> emitted = unbind(clamp_min(gather(log_p, 2, index), kImpossible));
  // Before the first step every path stands before the first place.
  Tensor alpha = constant(first);
  for (int64_t t = 0; t < s.steps; ++t) {
    const Tensor& now = emitted[static_cast<size_t>(t)];
    if (t == 0) {
      alpha = where(gt(lengths, 0.0), alpha + now, alpha);
      continue;
    }
    const Tensor before = cat({border, alpha}, 1);
    const Tensor from =
        stack({alpha, narrow(before, 1, 1, places), narrow(before, 1, 0, places) + may_skip});
    alpha = where(gt(lengths, static_cast<double>(t)), logsumexp(from, {0}) + now, alpha);
  }
  return -logsumexp(alpha + constant(last), {1});
}

}  // namespace

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, const CtcLossOptions& options) {
  const OpScope scope("ctc_loss", log_probs, targets, input_lengths, target_lengths, "blank",
                      options.blank, "reduction", options.reduction, "zero_infinity",
                      options.zero_infinity);
  const Sequences s = checked(log_probs, targets, input_lengths, target_lengths, options.blank);
  const Tensor each = of_sequences(log_probs, s, options.blank);
  const double impossible = options.zero_infinity ? 0 : std::numeric_limits<double>::infinity();
  Tensor loss = where(lt(each, -kImpossible / 2), each, impossible);
  if (options.reduction == Reduction::none) return scope.result(loss);
  if (options.reduction == Reduction::sum) return scope.result(sum(loss));
  std::vector<double> shares;
  for (const auto& labels : s.labels) {
    shares.push_back(1.0 / static_cast<double>(std::max<size_t>(1, labels.size())));
  }
  return scope.result(mean(loss * tensor(shares, {s.batch}).to(loss.dtype())));
}

}  // namespace tern
