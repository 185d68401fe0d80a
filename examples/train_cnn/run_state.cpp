// SPDX-License-Identifier: Apache-2.0
#include "run_state.h"

#include <cmath>
#include <utility>

#include "text.h"

namespace train_cnn {

using namespace tern;

namespace {

using Flag = std::pair<const char*, double>;

// A seed has more digits than a double.
constexpr int kHalf = 32;

std::vector<Flag> flags_of(const Settings& settings) {
  return {{"--epochs", static_cast<double>(settings.epochs)},
          {"--batch-size", static_cast<double>(settings.batch_size)},
          {"--lr", settings.lr},
          {"--momentum", settings.momentum},
          {"--weight-decay", settings.weight_decay},
          {"--seed", static_cast<double>(static_cast<uint32_t>(settings.seed))},
          {"the upper half of --seed", static_cast<double>(settings.seed >> kHalf)},
          {"--no-flip", settings.flip ? 0.0 : 1.0},
          {"--direct", settings.direct ? 1.0 : 0.0},
          {"--shards (by default the number of ranks)", static_cast<double>(settings.shards)}};
}

std::vector<double> numbers(const Epoch& row) {
  return {static_cast<double>(row.epoch),
          row.train_loss,
          row.train_accuracy,
          row.test_loss,
          row.test_accuracy,
          row.learning_rate,
          row.seconds.value_or(kUnknown),
          row.images_per_second.value_or(kUnknown)};
}

std::optional<double> known(double value) {
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

std::vector<double> entry(const StateDict& dict, const char* name, size_t multiple) {
  std::vector<double> values = dict.at(name).to_vector<double>();
  if (values.size() % multiple != 0) {
    fail("train_cnn", "'", name, "' in the checkpoint has ", values.size(),
         " numbers, want a multiple of ", multiple);
  }
  return values;
}

}  // namespace

void Tally::add(const Tally& other) {
  loss_sum += other.loss_sum;
  right += other.right;
  count += other.count;
}

Tally Tally::over(const dist::Communicator& world) const {
  bool ignored = false;
  return over(world, false, ignored);
}

Tally Tally::over(const dist::Communicator& world, bool flag, bool& any) const {
  const auto sums = world.sum(
      {loss_sum, static_cast<double>(right), static_cast<double>(count), flag ? 1.0 : 0.0},
      "losses and counts");
  any = sums[3] > 0;
  return {sums[0], static_cast<int64_t>(sums[1]), static_cast<int64_t>(sums[2])};
}

void Tally::add(double mean_loss, const Tensor& logits, const Tensor& classes) {
  const int64_t n = classes.size(0);
  loss_sum += mean_loss * static_cast<double>(n);
  right += sum(eq(argmax(logits, 1), classes).to(DType::i64)).item<int64_t>();
  count += n;
}

StateDict RunState::state_dict(const Settings& settings) const {
  std::vector<double> flags, rows;
  for (const auto& [name, value] : flags_of(settings)) flags.push_back(value);
  for (const Epoch& row : epochs) {
    for (const double value : numbers(row)) rows.push_back(value);
  }
  const std::vector<double> now{
      static_cast<double>(epoch),       tally.loss_sum, static_cast<double>(tally.right),
      static_cast<double>(tally.count), seconds,        lr};
  return {{"flags", tensor(flags)},
          {"now", tensor(now)},
          {"epochs", tensor(rows)},
          {"step_losses", tensor(step_losses)}};
}

RunState RunState::from(const StateDict& dict, const Settings& settings) {
  const std::vector<Flag> flags = flags_of(settings);
  const std::vector<double> before = entry(dict, "flags", flags.size());
  for (size_t i = 0; i < flags.size() && i < before.size(); ++i) {
    if (flags[i].second == before[i]) continue;
    fail("train_cnn", flags[i].first, " is ", general(flags[i].second, 10),
         ", the interrupted run had ", general(before[i], 10),
         ": give --resume the same flags, or train anew without it");
  }
  RunState run;
  const size_t columns = numbers(Epoch{}).size();
  const std::vector<double> rows = entry(dict, "epochs", columns);
  for (size_t i = 0; i < rows.size(); i += columns) {
    const double* row = &rows[i];
    run.epochs.push_back({static_cast<int64_t>(row[0]), row[1], row[2], row[3], row[4], row[5],
                          known(row[6]), known(row[7])});
  }
  constexpr size_t kNow = 6;
  const std::vector<double> now = entry(dict, "now", kNow);
  if (now.size() != kNow) fail("train_cnn", "the checkpoint is not one of train_cnn");
  run.epoch = static_cast<int64_t>(now[0]);
  run.tally = {now[1], static_cast<int64_t>(now[2]), static_cast<int64_t>(now[3])};
  run.seconds = now[4];
  run.lr = now[5];
  run.step_losses = entry(dict, "step_losses", 1);
  return run;
}

}  // namespace train_cnn
