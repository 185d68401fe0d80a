// SPDX-License-Identifier: Apache-2.0
// ctc_loss against its definition: the sum over all paths, one by one.
#include <algorithm>
#include <limits>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Labels = std::vector<int64_t>;

Tensor counts(const Labels& values) {
  return tensor(values, {static_cast<int64_t>(values.size())});
}

/// The labels of a path: repetitions are one, then blanks are none.
Labels labels_of(const Labels& path, int64_t blank) {
  Labels result;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != blank && (i == 0 || path[i] != path[i - 1])) result.push_back(path[i]);
  }
  return result;
}

double exact(const Tensor& log_p, int64_t sequence, int64_t steps, const Labels& labels,
             int64_t blank) {
  const int64_t batch = log_p.size(1), classes = log_p.size(2);
  const std::vector<double> values = log_p.to_vector<double>();
  double total = 0;
  Labels path(static_cast<size_t>(steps), 0);
  for (bool more = true; more;) {
    if (labels_of(path, blank) == labels) {
      double sum = 0;
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t at = (t * batch + sequence) * classes + path[static_cast<size_t>(t)];
        sum += values[static_cast<size_t>(at)];
      }
      total += std::exp(sum);
    }
    more = false;
    for (size_t t = 0; t < path.size() && !more; ++t) {
      path[t] = (path[t] + 1) % classes;
      more = path[t] != 0;
    }
  }
  return -std::log(total);
}

struct Batch {
  std::vector<Labels> labels;
  Labels input_lengths, target_lengths, together, padded;

  explicit Batch(std::vector<Labels> of_sequences, Labels lengths)
      : labels(std::move(of_sequences)), input_lengths(std::move(lengths)) {
    size_t longest = 1;
    for (const Labels& l : labels) longest = std::max(longest, l.size());
    for (const Labels& l : labels) {
      target_lengths.push_back(static_cast<int64_t>(l.size()));
      together.insert(together.end(), l.begin(), l.end());
      padded.insert(padded.end(), l.begin(), l.end());
      padded.resize(padded.size() + longest - l.size(), -1);
    }
  }
  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  Tensor loss(const Tensor& log_p, const CtcLossOptions& options, bool pad = true) const {
    const Tensor targets = pad ? reshape(counts(padded), {size(), -1}) : counts(together);
    return ctc_loss(log_p, targets, counts(input_lengths), counts(target_lengths), options);
  }
};

// No labels, repeated labels, sequences of other lengths, as long as they must be, and too short.
const Batch kBatch({{}, {1}, {1, 1}, {0, 1, 0}, {1, 1}, {0}}, {4, 6, 3, 5, 2, 1});
constexpr int64_t kBlank = 2;

Tensor log_probabilities(DType dtype = DType::f64) {
  manual_seed(5);
  return log_softmax(randn({6, kBatch.size(), 3}, dtype), 2).detach();
}

}  // namespace

TEST(CtcLoss, IsTheSumOverAllPaths) {
  const Tensor log_p = log_probabilities();
  Labels lengths = kBatch.target_lengths;
  std::vector<double> expected;
  for (int64_t i = 0; i < kBatch.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    expected.push_back(exact(log_p, i, kBatch.input_lengths[at], kBatch.labels[at], kBlank));
  }
  ASSERT_EQ(expected[4], kInfinity);
  for (const bool pad : {true, false}) {
    const Tensor each = kBatch.loss(log_p, {.blank = kBlank, .reduction = Reduction::none}, pad);
    ASSERT_EQ(each.shape(), Shape{kBatch.size()});
    const auto found = each.to_vector<double>();
    double total = 0, shares = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      if (expected[i] == kInfinity) {
        EXPECT_EQ(found[i], kInfinity);
        continue;
      }
      EXPECT_NEAR(found[i], expected[i], 1e-12) << i;
      total += expected[i];
      shares += expected[i] / static_cast<double>(std::max<int64_t>(1, lengths[i]));
    }
    const auto of = [&](Reduction reduction) {
      return kBatch
          .loss(log_p, {.blank = kBlank, .reduction = reduction, .zero_infinity = true}, pad)
          .item<double>();
    };
    EXPECT_NEAR(of(Reduction::sum), total, 1e-12);
    EXPECT_NEAR(of(Reduction::mean), shares / static_cast<double>(kBatch.size()), 1e-12);
  }
  const Tensor single =
      kBatch.loss(log_probabilities(DType::f32), {.blank = kBlank, .reduction = Reduction::none});
  EXPECT_NEAR(single.to_vector<float>()[3], expected[3], 1e-5);
}

TEST(CtcLoss, Gradients) {
  const Batch batch({{1}, {1, 1}, {0, 1}}, {4, 4, 3});
  manual_seed(6);
  const auto f = [&](const std::vector<Tensor>& in) {
    return batch.loss(log_softmax(in[0], 2), {.blank = kBlank, .reduction = Reduction::none});
  };
  const Tensor logits = leaf(randn({4, 3, 3}, DType::f64));
  EXPECT_TRUE(gradcheck(f, {logits}));
  EXPECT_TRUE(gradgradcheck(f, {logits}));
}

TEST(CtcLoss, TooShortSequencesAndImpossibleClassesHaveAGradientOfZero) {
  const Tensor log_p = log_probabilities();
  const Tensor x = leaf(log_p);
  kBatch.loss(x, {.blank = kBlank, .zero_infinity = true}).backward();
  const Tensor short_one = select(x.grad(), 1, 4);
  EXPECT_EQ(abs(short_one).to_vector<double>(), std::vector<double>(18, 0.0));
  for (const double g : x.grad().to_vector<double>()) EXPECT_TRUE(std::isfinite(g));

  const Batch one({{1}}, {3});
  Tensor certain =
      log(tensor(std::vector<double>{0, 1, 0, 0, 0, 1, 0.5, 0, 0.5}, {3, 1, 3})).detach();
  certain.set_requires_grad();
  const Tensor loss = one.loss(certain, {.blank = kBlank, .reduction = Reduction::sum});
  EXPECT_NEAR(loss.item<double>(), std::log(2.0), 1e-12);  // 1, blank, blank
  loss.backward();
  for (const double g : certain.grad().to_vector<double>()) EXPECT_TRUE(std::isfinite(g));
}

TEST(CtcLoss, LongSequencesInSinglePrecision) {
  manual_seed(7);
  const int64_t steps = 300;
  const Tensor logits = randn({steps, 2, 20}, DType::f64);
  Labels labels(40);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = 1 + static_cast<int64_t>(i * 7 % 19);
  const Batch batch({labels, {3, 3, 3}}, {steps, 100});
  const auto run = [&](DType dtype) {
    const Tensor x = leaf(logits.to(dtype));
    const Tensor loss = batch.loss(log_softmax(x, 2), {.reduction = Reduction::sum});
    loss.backward();
    return std::pair(loss.to(DType::f64).item<double>(), x.grad().to(DType::f64));
  };
  const auto [exact_loss, exact_gradient] = run(DType::f64);
  const auto [loss, gradient] = run(DType::f32);
  EXPECT_NEAR(loss, exact_loss, 1e-5 * exact_loss);
  EXPECT_LT(relative_distance(gradient, exact_gradient), 1e-3);
}

TEST(CtcLoss, Errors) {
  const Tensor log_p = zeros({4, 2, 3});
  const auto call = [&](const Tensor& p, const Tensor& targets, const Labels& in, const Labels& out,
                        int64_t blank = 0) {
    return [=] { ctc_loss(p, targets, counts(in), counts(out), {.blank = blank}); };
  };
  const Tensor targets = tensor(Labels{1, 2, 2, 1}, {2, 2});
  expect_error(call(zeros({4, 3}), targets, {4, 4}, {2, 2}),
               {"[ctc_loss]", "log_probs", "[T,N,C]"});
  expect_error(call(log_p, targets, {4, 4}, {2, 2}, 3), {"blank is 3", "0 to 2"});
  expect_error(call(log_p, zeros({2, 2}), {4, 4}, {2, 2}), {"targets is f32[2,2]", "i64[2,S]"});
  expect_error(call(log_p, targets, {4}, {2, 2}), {"input_lengths", "i64[1]", "i64[2]"});
  expect_error(call(log_p, targets, {4, 5}, {2, 2}), {"input_lengths has 5", "0 to 4"});
  expect_error(call(log_p, targets, {4, 4}, {2, 3}), {"target_lengths has 3", "0 to 2"});
  expect_error(call(log_p, targets, {4, 4}, {2, 2}, 1), {"sequence 0 has label 1", "blank"});
  expect_error(call(log_p, counts({1, 2, 1}), {4, 4}, {2, 2}), {"add up to more", "3 labels"});
  expect_error(call(log_p, counts({1, 2, 1}), {4, 4}, {1, 1}), {"3 labels", "add up to 2"});
}

}  // namespace tern
