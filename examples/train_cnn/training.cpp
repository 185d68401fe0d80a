// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <tern/tern.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <optional>
#include <vector>

#include "interruption.h"
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

TestResult test(Cnn& net, const data::FashionMNIST& images) {
  const NoGrad no_grad;
  const nn::EvalMode eval(net);
  const auto classes = static_cast<size_t>(images.num_classes());
  TestResult result{{}, std::vector(classes, std::vector<int64_t>(classes)), {}};
  data::DataLoader loader(images, {.batch_size = kTestBatch});
  int64_t index = 0;
  for (const auto& [x, y] : loader) {
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
  std::stable_sort(
      result.mistakes.begin(), result.mistakes.end(),
      [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  return result;
}

// What a checkpoint keeps.
struct Trained {
  Cnn net;
  data::DataLoader loader;
  optim::SGD sgd;
  optim::OneCycleLR schedule;

  Trained(const Settings& settings, const data::FashionMNIST& images)
      : net(settings.direct ? ConvAlgorithm::direct : ConvAlgorithm::automatic),
        loader(images, {.batch_size = settings.batch_size,
                        .shuffle = true,
                        .drop_last = true,
                        .workers = settings.workers}),
        sgd(net.parameters(), {.lr = settings.lr,
                               .momentum = settings.momentum,
                               .weight_decay = settings.weight_decay,
                               .nesterov = settings.momentum > 0}),
        schedule(sgd, {.max_lr = settings.lr, .total_steps = settings.epochs * loader.size()}) {}

  void save(const std::string& path, const RunState& run, const Settings& settings) const {
    io::save_checkpoint(path, {.model = net.state_dict(),
                               .optimizer = sgd.state_dict(),
                               .scheduler = schedule.state_dict(),
                               .loader = loader.state_dict(),
                               .extra = run.state_dict(settings),
                               .random = default_generator().state(),
                               .epoch = run.epoch - 1});
  }
  RunState load(const std::string& path, const Settings& settings) {
    const io::Checkpoint checkpoint = io::load_checkpoint(path);
    RunState run = RunState::from(checkpoint.extra, settings);
    net.load_state_dict(checkpoint.model);
    sgd.load_state_dict(checkpoint.optimizer);
    schedule.load_state_dict(checkpoint.scheduler);
    loader.load_state_dict(checkpoint.loader);
    default_generator().set_state(checkpoint.random.value());
    return run;
  }
};

}  // namespace

int train(const Settings& settings) {
  Interruption interruption;
  if (settings.threads > 0) set_num_threads(settings.threads);
  const data::FashionMNIST train_images = open(settings, true);
  const data::FashionMNIST test_images = open(settings, false);

  manual_seed(settings.seed);
  Trained trained(settings, train_images);
  auto& [net, loader, sgd, schedule] = trained;
  if (!settings.from.empty() && !settings.resume) {
    net.load_state_dict(io::load_weights(settings.from));
  }
  prepare_output(settings);
  const std::string checkpoint = settings.out + "/" + kCheckpoint;
  RunState run;
  if (settings.resume) run = trained.load(checkpoint, settings);

  const int64_t steps = loader.size();
  Progress progress(settings.epochs, steps * settings.batch_size, ProgressOptions::console());
  const auto done = [&] { return static_cast<int64_t>(run.step_losses.size()); };
  if (settings.resume) progress.line("resumed after step " + std::to_string(done()));
  TestResult tested;
  std::optional<Profiler> profiler;  // of steps in the middle of the epoch, in steady state
  const int64_t profile_from = steps / 2 + 1;
  const int64_t profile_to = std::min(profile_from + kProfiledSteps - 1, steps);
  while (run.epoch <= settings.epochs && !interruption.signal()) {
    const auto start = std::chrono::steady_clock::now();
    const double before = run.seconds;
    progress.begin(run.epoch);
    for (const auto& [x, y] : loader) {
      const int64_t batch = done() - (run.epoch - 1) * steps + 1;
      if (!settings.profile.empty() && run.epoch == 1 && batch == profile_from) profiler.emplace();
      const Tensor logits = net(x);
      const Tensor loss = cross_entropy(logits, y);
      const double value = loss.item<double>();
      if (!std::isfinite(value)) explain_loss(net, x, value, run.epoch, batch);
      sgd.zero_grad();
      loss.backward();
      run.lr = sgd.lr();
      sgd.step();
      schedule.step();
      if (profiler && batch == profile_to) profiler->stop();
      run.step_losses.push_back(value);
      run.tally.add(value, logits.detach(), y);
      progress.update(run.tally.count, run.tally.loss(), run.tally.accuracy());
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      run.seconds = before + elapsed.count();
      if (interruption.signal() && batch < steps) break;  // the loop itself ends the epoch
    }
    if (done() < run.epoch * steps) break;
    progress.testing();
    tested = test(net, test_images);
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
      std::cout << "\nsteps " << profile_from << " to " << profile_to << ":\n" << profiler->table();
      io::write_trace(*profiler, settings.out + "/" + settings.profile);
      std::cout << "wrote " << settings.profile << " to " << settings.out
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
    const Report so_far = report_so_far(run, tested, settings, steps);
    const std::string wrong = write_results(run, so_far, settings, nullptr);
    if (!wrong.empty()) progress.line(wrong);
  }

  const bool over = run.epoch > settings.epochs;
  std::string wrong;
  try {
    trained.save(checkpoint, run, settings);
  } catch (const Error& error) {
    wrong = std::string(error.what()) + "; ";
  }
  if (over && tested.tally.count == 0) tested = test(net, test_images);  // resumed at its end
  const Report report = over ? final_report(run, tested, settings, net, test_images.data())
                             : report_so_far(run, tested, settings, steps);
  wrong += write_results(run, report, settings, over ? &net : nullptr);
  if (!wrong.empty()) fail("train_cnn", "not everything could be written: ", wrong);
  if (!over) {
    progress.line("interrupted after step " + std::to_string(done()) + ": " + settings.out +
                  " has the checkpoint, go on with the same flags and --resume");
    return interruption.signal();
  }
  std::cout << "wrote metrics.csv, model.safetensors and report.html to " << settings.out
            << (settings.onnx.empty() ? "" : ", and the ONNX model " + settings.onnx) << "\n"
            << "test accuracy " << fixed(report.test_accuracy, 4) << "\n";
  return 0;
}

}  // namespace train_cnn
