// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <tern/tern.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <optional>
#include <vector>

#include "model.h"
#include "progress.h"
#include "report.h"
#include "text.h"

namespace train_cnn {

using namespace tern;

namespace {

// Mean and standard deviation of Fashion-MNIST's training pixels.
constexpr double kMean = 0.2860;
constexpr double kStd = 0.3530;
constexpr int64_t kTestBatch = 500;
constexpr size_t kMistakesShown = 30;
constexpr int64_t kProfiledSteps = 20;

// What a pass over labelled images has seen so far.
struct Tally {
  double loss_sum = 0;
  int64_t right = 0;
  int64_t count = 0;

  void add(double mean_loss, const Tensor& logits, const Tensor& classes) {
    const int64_t n = classes.size(0);
    loss_sum += mean_loss * static_cast<double>(n);
    right += sum(eq(argmax(logits, 1), classes).to(DType::i64)).item<int64_t>();
    count += n;
  }
  double loss() const { return loss_sum / static_cast<double>(count); }
  double accuracy() const { return static_cast<double>(right) / static_cast<double>(count); }
};

struct TestResult {
  Tally tally;
  std::vector<std::vector<int64_t>> confusion;  // [actual][predicted]
  std::vector<Mistake> mistakes;                // the surest first
};

data::FashionMNIST open(const Settings& settings, bool train) {
  std::vector<data::Transform> transforms;
  if (train && settings.flip) transforms.push_back(data::RandomHorizontalFlip());
  transforms.push_back(data::Normalize({kMean}, {kStd}));
  return data::FashionMNIST(
      {.train = train, .root = settings.data, .transform = data::Compose(transforms)});
}

// Results go to a directory that must work before hours of training, not after.
void prepare_output(const std::string& directory, const std::string& profile) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    fail("train_cnn", "cannot make the output directory ", directory, ": ", error.message(),
         "; choose another with --out");
  }
  const std::string probe = directory + "/.writable";
  io::write_file_atomically(probe, "");
  std::filesystem::remove(probe, error);
  if (!profile.empty()) io::write_file_atomically(directory + "/" + profile, "");
}

// Runs the batch again to say where numbers stopped being finite.
[[noreturn]] void explain_loss(Cnn& net, const Tensor& x, double loss, int64_t epoch,
                               int64_t batch) {
  std::string where = "every module's output is finite, so the loss itself overflowed";
  try {
    const NoGrad no_grad;
    const nn::DetectAnomaly detect;
    net(x);
  } catch (const nn::AnomalyError& anomaly) {
    where = "the first module whose output is not finite is " + anomaly.module();
  }
  fail("train_cnn", "the loss is ", loss, " in epoch ", epoch, ", batch ", batch, "; ", where,
       "; try a lower --lr");
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

void add_pictures(std::vector<Mistake>& mistakes, const data::ImageData& images) {
  const auto size = static_cast<ptrdiff_t>(images.height * images.width);
  for (Mistake& mistake : mistakes) {
    const auto first = images.pixels.begin() + mistake.index * size;
    mistake.width = images.width;
    mistake.height = images.height;
    mistake.pixels.assign(first, first + size);
  }
}

std::vector<Filter> first_filters(const Cnn& net) {
  const Tensor weight = net.state_dict().at("conv1.weight");
  const int64_t height = weight.size(2), width = weight.size(3);
  const auto values = weight.data<float>();
  std::vector<Filter> filters;
  for (int64_t k = 0; k < weight.size(0); ++k) {
    const auto first = values.begin() + k * height * width;
    filters.push_back({height, width, {first, first + height * width}});
  }
  return filters;
}

// The running statistics against those of the whole training set, batch norm by batch norm.
std::vector<BatchNormStatistics> compare_statistics(const Cnn& net, const Settings& settings) {
  Settings plain = settings;
  plain.flip = false;
  data::DataLoader loader(open(plain, true), {.batch_size = kTestBatch});
  Cnn truth = net.clone();
  nn::reestimate_batch_norm(truth, loader);
  const StateDict running = net.state_dict(), measured = truth.state_dict();
  std::vector<BatchNormStatistics> statistics;
  for (const std::string name : {"bn1", "bn2"}) {
    const std::string mean = name + ".running_mean", var = name + ".running_var";
    statistics.push_back({name, running.at(mean).to_vector<float>(),
                          running.at(var).to_vector<float>(), measured.at(mean).to_vector<float>(),
                          measured.at(var).to_vector<float>()});
  }
  return statistics;
}

std::string metrics_csv(const std::vector<Epoch>& epochs, bool timings) {
  std::string csv = "epoch,train_loss,train_accuracy,test_loss,test_accuracy,learning_rate";
  csv += timings ? ",seconds,images_per_second\n" : "\n";
  for (const Epoch& row : epochs) {
    csv += std::to_string(row.epoch);
    for (const double value : {row.train_loss, row.train_accuracy, row.test_loss, row.test_accuracy,
                               row.learning_rate}) {
      csv += "," + fixed(value, 6);
    }
    if (timings) {
      csv += "," + fixed(*row.seconds, 2) + "," + fixed(*row.images_per_second, 0);
    }
    csv += "\n";
  }
  return csv;
}

}  // namespace

void train(const Settings& settings) {
  if (settings.threads > 0) set_num_threads(settings.threads);
  const data::FashionMNIST train_images = open(settings, true);
  const data::FashionMNIST test_images = open(settings, false);
  prepare_output(settings.out, settings.profile);

  manual_seed(settings.seed);
  Cnn net(settings.direct ? ConvAlgorithm::direct : ConvAlgorithm::automatic);
  data::DataLoader loader(train_images, {.batch_size = settings.batch_size,
                                         .shuffle = true,
                                         .drop_last = true,
                                         .workers = settings.workers});
  optim::SGD sgd(net.parameters(), {.lr = settings.lr,
                                    .momentum = settings.momentum,
                                    .weight_decay = settings.weight_decay,
                                    .nesterov = settings.momentum > 0});
  optim::OneCycleLR schedule(
      sgd, {.max_lr = settings.lr, .total_steps = settings.epochs * loader.size()});

  const int64_t images_per_epoch = loader.size() * settings.batch_size;
  Progress progress(settings.epochs, images_per_epoch, ProgressOptions::console());
  Report report;
  TestResult tested;
  std::optional<Profiler> profiler;  // of steps in the middle, when everything has settled
  const int64_t profile_from = loader.size() / 2 + 1;
  const int64_t profile_to = std::min(profile_from + kProfiledSteps - 1, loader.size());
  for (int64_t epoch = 1; epoch <= settings.epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    progress.begin(epoch);
    Tally tally;
    int64_t batch = 0;
    double lr = sgd.lr();
    for (const auto& [x, y] : loader) {
      ++batch;
      if (!settings.profile.empty() && epoch == 1 && batch == profile_from) profiler.emplace();
      const Tensor logits = net(x);
      const Tensor loss = cross_entropy(logits, y);
      const double value = loss.item<double>();
      if (!std::isfinite(value)) explain_loss(net, x, value, epoch, batch);
      sgd.zero_grad();
      loss.backward();
      lr = sgd.lr();
      sgd.step();
      schedule.step();
      if (profiler && batch == profile_to) profiler->stop();
      report.step_losses.push_back(value);
      tally.add(value, logits.detach(), y);
      progress.update(tally.count, tally.loss(), tally.accuracy());
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    progress.testing();
    tested = test(net, test_images);
    Epoch row{.epoch = epoch,
              .train_loss = tally.loss(),
              .train_accuracy = tally.accuracy(),
              .test_loss = tested.tally.loss(),
              .test_accuracy = tested.tally.accuracy(),
              .learning_rate = lr,
              .seconds = elapsed.count(),
              .images_per_second = static_cast<double>(tally.count) / elapsed.count()};
    progress.end(row);
    if (profiler) {
      std::cout << "\nsteps " << profile_from << " to " << profile_to << ":\n" << profiler->table();
      profiler->write_trace(settings.out + "/" + settings.profile);
      std::cout << "wrote " << settings.profile << " to " << settings.out
                << " (open it with ui.perfetto.dev)\n\n";
      profiler.reset();
    }
    if (!settings.timings) row.seconds = row.images_per_second = std::nullopt;
    report.epochs.push_back(row);
  }

  report.subtitle =
      "A convolutional net with batch normalization, trained with Tern " + std::string(kVersion);
  report.settings = {{"epochs", std::to_string(settings.epochs)},
                     {"batch size", std::to_string(settings.batch_size)},
                     {"highest learning rate", general(settings.lr)},
                     {"momentum", general(settings.momentum)},
                     {"weight decay", general(settings.weight_decay)},
                     {"random flips", settings.flip ? "yes" : "no"},
                     {"seed", std::to_string(settings.seed)},
                     {"threads", std::to_string(num_threads())}};
  report.test_accuracy = tested.tally.accuracy();
  report.test_loss = tested.tally.loss();
  report.class_names = data::FashionMNIST::class_names();
  report.confusion = tested.confusion;
  report.filters = first_filters(net);
  report.batch_norms = compare_statistics(net, settings);
  report.mistakes = std::move(tested.mistakes);
  report.mistakes.resize(std::min(report.mistakes.size(), kMistakesShown));
  add_pictures(report.mistakes, test_images.data());

  io::write_file_atomically(settings.out + "/metrics.csv",
                            metrics_csv(report.epochs, settings.timings));
  io::save_safetensors(net.state_dict(), settings.out + "/model.safetensors");
  io::write_file_atomically(settings.out + "/report.html", report_html(report));
  std::cout << "wrote metrics.csv, model.safetensors and report.html to " << settings.out << "\n"
            << "test accuracy " << fixed(report.test_accuracy, 4) << "\n";
}

}  // namespace train_cnn
