// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <tern/tern.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <iostream>
#include <optional>
#include <utility>
#include <vector>

#include "model.h"
#include "progress.h"
#include "results.h"
#include "run_state.h"
#include "text.h"

namespace train_cnn {

using namespace tern;

namespace {

constexpr int64_t kProfiledSteps = 20;

// Runs the batch again to find where values stopped being finite.
[[noreturn]] void explain_loss(Cnn& net, const Tensor& x, double loss, int64_t epoch,
                               int64_t batch) {
  std::string where = "every module's output is finite, so the loss itself overflowed";
  try {
    const NoGrad no_grad;
    const nn::DetectAnomaly detect;
    net(x);
  } catch (const nn::AnomalyError& anomaly) {
    where = "the first module whose output is not finite is " + anomaly.module();
    if (!anomaly.operation().empty()) where += ", in operation " + anomaly.operation();
  }
  fail("train_cnn", "the loss is ", loss, " in epoch ", epoch, ", batch ", batch, " (", where,
       "), want a finite one: try a lower --lr");
}

// What the ranks found, each in its own part of the images.
void gather(TestResult& result, const dist::Communicator& world) {
  result.tally = result.tally.over(world);
  std::vector<double> counts, mistakes;
  for (const auto& row : result.confusion) counts.insert(counts.end(), row.begin(), row.end());
  counts = world.sum(std::move(counts), "the confusion matrix");
  auto count = counts.begin();
  for (auto& row : result.confusion) {
    for (int64_t& cell : row) cell = static_cast<int64_t>(*count++);
  }
  for (const Mistake& m : result.mistakes) {
    mistakes.insert(mistakes.end(),
                    {static_cast<double>(m.actual), static_cast<double>(m.predicted), m.probability,
                     static_cast<double>(m.index)});
  }
  result.mistakes.clear();
  for (const auto& bytes : world.all_gather(std::as_bytes(std::span(mistakes)), "mistakes")) {
    const auto* m = reinterpret_cast<const double*>(bytes.data());
    for (const double* end = m + bytes.size() / sizeof *m; m < end; m += 4) {
      result.mistakes.push_back({.actual = static_cast<int64_t>(m[0]),
                                 .predicted = static_cast<int64_t>(m[1]),
                                 .probability = m[2],
                                 .index = static_cast<int64_t>(m[3])});
    }
  }
}

TestResult test(Cnn& net, const data::FashionMNIST& images, const dist::Communicator& world) {
  const NoGrad no_grad;
  const nn::EvalMode eval(net);
  const auto classes = static_cast<size_t>(images.num_classes());
  TestResult result{{}, std::vector(classes, std::vector<int64_t>(classes)), {}};
  const data::Shard shard{.first = world.rank(), .of = world.size()};
  data::DataLoader loader(images, {.batch_size = kTestBatch, .shard = shard});
  int64_t batch = 0;
  for (const auto& [x, y] : loader) {
    const int64_t whole = std::min(kTestBatch, images.size() - batch * kTestBatch);
    int64_t index = batch++ * kTestBatch + shard.first * whole / shard.of;
    if (x.size(0) == 0) continue;
    const Tensor logits = net(x);
    result.tally.add(cross_entropy(logits, y).item<double>(), logits, y);
    const Tensor probabilities = softmax(logits, 1);
    const auto p = probabilities.data<float>();
    const auto predicted = argmax(logits, 1).to_vector<int64_t>();
    const auto actual = y.to_vector<int64_t>();
    for (size_t i = 0; i < actual.size(); ++i, ++index) {
      ++result.confusion[static_cast<size_t>(actual[i])][static_cast<size_t>(predicted[i])];
      if (actual[i] == predicted[i]) continue;
      result.mistakes.push_back({.actual = actual[i],
                                 .predicted = predicted[i],
                                 .probability = p[i * classes + static_cast<size_t>(predicted[i])],
                                 .index = index});
    }
  }
  gather(result, world);
  std::sort(result.mistakes.begin(), result.mistakes.end(), [](const Mistake& a, const Mistake& b) {
    return a.probability != b.probability ? a.probability > b.probability : a.index < b.index;
  });
  return result;
}

// Shards draw from streams of one seed. One shard draws from the default generator.
std::optional<uint64_t> common_seed(const Settings& settings) {
  return settings.shards > 1 ? std::optional(settings.seed) : std::nullopt;
}

// What a checkpoint keeps.
struct Trained {
  const dist::Communicator world;
  Cnn net;
  dist::DataParallel parallel;
  data::DataLoader loader;
  optim::SGD sgd;
  optim::OneCycleLR schedule;

  Trained(const Settings& settings, const data::FashionMNIST& images,
          const dist::Communicator& ranks)
      : world(ranks),
        net(settings.direct ? ConvAlgorithm::direct : ConvAlgorithm::automatic),
        parallel(net, world, {.shards = settings.shards, .seed = common_seed(settings)}),
        loader(images, {.batch_size = settings.batch_size,
                        .shuffle = true,
                        .drop_last = true,
                        .workers = settings.workers,
                        .seed = common_seed(settings),
                        .shard = parallel.shard()}),
        sgd(net.parameters(), {.lr = settings.lr,
                               .momentum = settings.momentum,
                               .weight_decay = settings.weight_decay,
                               .nesterov = settings.momentum > 0}),
        schedule(sgd, {.max_lr = settings.lr, .total_steps = settings.epochs * steps_per_epoch()}) {
  }

  int64_t steps_per_epoch() const { return loader.size() / parallel.shard().own; }

  void save(const std::string& path, const RunState& run, const Settings& settings) const {
    StateDict extra = run.state_dict(settings);
    for (const auto& [name, value] : parallel.state_dict()) extra.insert("parallel." + name, value);
    dist::save_checkpoint(world, path,
                          {.model = net.state_dict(),
                           .optimizer = sgd.state_dict(),
                           .scheduler = schedule.state_dict(),
                           .loader = loader.state_dict(),
                           .extra = extra,
                           .random = default_generator().state(),
                           .epoch = run.epoch - 1});
  }
  RunState load(const std::string& path, const Settings& settings) {
    const io::Checkpoint checkpoint = dist::load_checkpoint(world, path);
    RunState run = RunState::from(checkpoint.extra, settings);
    net.load_state_dict(checkpoint.model);
    sgd.load_state_dict(checkpoint.optimizer);
    schedule.load_state_dict(checkpoint.scheduler);
    loader.load_state_dict(checkpoint.loader);
    parallel.load_state_dict({{"steps", checkpoint.extra.at("parallel.steps")},
                              {"seed", checkpoint.extra.at("parallel.seed")}});
    default_generator().set_state(checkpoint.random.value());
    return run;
  }
};

}  // namespace

int train(Settings settings, Interruption& interruption, const dist::Communicator& world) {
  if (settings.threads > 0) set_num_threads(settings.threads);
  set_deterministic(settings.shards > 0);  // ranks may have other numbers of threads than one has
  if (settings.shards == 0) settings.shards = world.size();
  const data::FashionMNIST train_images = open(settings, true);
  const data::FashionMNIST test_images = open(settings, false);

  manual_seed(settings.seed);
  Trained trained(settings, train_images, world);
  auto& net = trained.net;
  auto& sgd = trained.sgd;
  if (!settings.from.empty() && !settings.resume) {
    net.load_state_dict(io::load_weights(settings.from));
  }
  dist::on_first(world, [&] { prepare_output(settings); });
  const std::string checkpoint = settings.out + "/" + kCheckpoint;
  RunState run;
  if (settings.resume) run = trained.load(checkpoint, settings);

  const int64_t steps = trained.steps_per_epoch();
  // Rank 0 speaks for all.
  std::ostream nowhere(nullptr);
  Progress progress(
      settings.epochs, steps * settings.batch_size,
      world.is_first() ? ProgressOptions::console() : ProgressOptions{.out = &nowhere});
  std::ostream& out = world.is_first() ? std::cout : nowhere;
  const auto done = [&] { return static_cast<int64_t>(run.step_losses.size()); };
  if (settings.resume) progress.line("resumed after step " + std::to_string(done()));
  const auto write = [&](const Report& report, const Cnn* weights) {
    return world.broadcast(world.is_first() ? write_results(run, report, settings, weights)
                                            : std::string());
  };
  TestResult tested;
  std::optional<Profiler> profiler;  // of steps in the middle of the epoch, in steady state
  const int64_t profile_from = steps / 2 + 1;
  const int64_t profile_to = std::min(profile_from + kProfiledSteps - 1, steps);
  const bool profiles = !settings.profile.empty() && world.is_first();
  // Whether some rank is interrupted: all stop after the same step.
  bool interrupted = false;
  while (run.epoch <= settings.epochs && !interrupted) {
    const auto start = std::chrono::steady_clock::now();
    const double before = run.seconds;
    progress.begin(run.epoch);
    Tally mine;  // of a step
    for (const auto& [x, y] : trained.loader) {
      const int64_t batch = done() - (run.epoch - 1) * steps + 1;
      if (profiles && run.epoch == 1 && batch == profile_from && !profiler) profiler.emplace();
      const Tensor logits = net(x);
      const Tensor loss = x.size(0) > 0 ? cross_entropy(logits, y) : Tensor();
      if (loss.defined()) mine.add(loss.item<double>(), logits.detach(), y);
      if (!trained.parallel.backward(loss, x.size(0))) continue;
      const Tally step =
          std::exchange(mine, {}).over(world, interruption.signal() != 0, interrupted);
      if (!std::isfinite(step.loss())) explain_loss(net, x, step.loss(), run.epoch, batch);
      run.lr = sgd.lr();
      sgd.step();
      sgd.zero_grad();
      trained.schedule.step();
      if (profiler && batch == profile_to) profiler->stop();
      run.step_losses.push_back(step.loss());
      run.tally.add(step);
      progress.update(run.tally.count, run.tally.loss(), run.tally.accuracy());
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      run.seconds = before + elapsed.count();
      if (interrupted && batch < steps) break;  // the loop itself ends the epoch
    }
    if (done() < run.epoch * steps) break;
    progress.testing();
    tested = test(net, test_images, world);
    Epoch row{.epoch = run.epoch,
              .train_loss = run.tally.loss(),
              .train_accuracy = run.tally.accuracy(),
              .test_loss = tested.tally.loss(),
              .test_accuracy = tested.tally.accuracy(),
              .learning_rate = run.lr,
              .seconds = run.seconds,
              .images_per_second = static_cast<double>(run.tally.count) / run.seconds};
    progress.end(row);
    if (profiler) {
      out << "\nsteps " << profile_from << " to " << profile_to << ":\n" << profiler->table();
      io::write_trace(*profiler, settings.out + "/" + settings.profile);
      out << "wrote " << settings.profile << " to " << settings.out
          << " (open it with ui.perfetto.dev)\n\n";
      profiler.reset();
    }
    if (!settings.timings) row.seconds = row.images_per_second = std::nullopt;
    run.epochs.push_back(row);
    run.tally = {};
    run.seconds = 0;
    ++run.epoch;
    if (run.epoch > settings.epochs) break;
    // Whatever ends the program from now on, this epoch is kept.
    try {
      trained.save(checkpoint, run, settings);
    } catch (const Error& error) {
      progress.line(error.what());
    }
    const std::string wrong = write(report_so_far(run, tested, settings, steps), nullptr);
    if (!wrong.empty()) progress.line(wrong);
    Tally().over(world, interruption.signal() != 0, interrupted);
  }

  const bool over = run.epoch > settings.epochs;
  std::string wrong;
  try {
    trained.save(checkpoint, run, settings);
  } catch (const Error& error) {
    wrong = std::string(error.what()) + "; ";
  }
  if (over && tested.tally.count == 0)
    tested = test(net, test_images, world);  // resumed at its end
  Report report = report_so_far(run, tested, settings, steps);
  if (over && world.is_first()) {
    report = final_report(run, tested, settings, net, test_images.data());
  }
  wrong += write(report, over ? &net : nullptr);
  if (!wrong.empty()) fail("train_cnn", "not everything could be written: ", wrong);
  if (!over) {
    progress.line("interrupted after step " + std::to_string(done()) + ": " + settings.out +
                  " has the checkpoint, go on with the same flags and --resume");
    return interruption.signal() ? interruption.signal() : SIGTERM;
  }
  out << "wrote metrics.csv, model.safetensors and report.html to " << settings.out
      << (settings.onnx.empty() ? "" : ", and the ONNX model " + settings.onnx) << "\n"
      << "test accuracy " << fixed(report.test_accuracy, 4) << "\n";
  return 0;
}

}  // namespace train_cnn
