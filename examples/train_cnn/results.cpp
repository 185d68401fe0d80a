// SPDX-License-Identifier: Apache-2.0
#include "results.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "text.h"

namespace train_cnn {

using namespace tern;

namespace {

// Mean and standard deviation of Fashion-MNIST's training pixels.
constexpr double kMean = 0.2860;
constexpr double kStd = 0.3530;
constexpr size_t kMistakesShown = 30;

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

Report common(const Settings& settings, const TestResult& tested, std::string note) {
  Report report;
  report.subtitle =
      "A convolutional net with batch normalization, trained with Tern " + std::string(kVersion);
  if (!note.empty()) report.subtitle += ". " + note;
  report.settings = {{"epochs", std::to_string(settings.epochs)},
                     {"batch size", std::to_string(settings.batch_size)},
                     {"maximum learning rate", general(settings.lr)},
                     {"momentum", general(settings.momentum)},
                     {"weight decay", general(settings.weight_decay)},
                     {"random flips", settings.flip ? "yes" : "no"},
                     {"seed", std::to_string(settings.seed)},
                     {"threads", std::to_string(num_threads())}};
  if (!settings.from.empty()) report.settings.push_back({"weights from", settings.from});
  if (!settings.onnx.empty()) report.settings.push_back({"ONNX model", settings.onnx});
  report.class_names = data::FashionMNIST::class_names();
  if (tested.tally.count == 0) return report;
  report.test_accuracy = tested.tally.accuracy();
  report.test_loss = tested.tally.loss();
  report.confusion = tested.confusion;
  return report;
}

}  // namespace

data::FashionMNIST open(const Settings& settings, bool train) {
  std::vector<data::Transform> transforms;
  if (train && settings.flip) transforms.push_back(data::RandomHorizontalFlip());
  transforms.push_back(data::Normalize({kMean}, {kStd}));
  return data::FashionMNIST(
      {.train = train, .root = settings.data, .transform = data::Compose(transforms)});
}

void prepare_output(const Settings& settings) {
  std::error_code error;
  std::filesystem::create_directories(settings.out, error);
  if (error) {
    fail("train_cnn", "cannot create the output directory ", settings.out, " (", error.message(),
         "): choose another with --out");
  }
  for (const std::string file : {"metrics.csv", "report.html", "model.safetensors", kCheckpoint}) {
    io::check_writable(settings.out + "/" + file);
  }
  if (!settings.onnx.empty()) io::check_writable(settings.onnx);
  if (!settings.profile.empty()) io::check_writable(settings.out + "/" + settings.profile);
}

Report report_so_far(const RunState& run, const TestResult& tested, const Settings& settings,
                     int64_t steps_per_epoch) {
  const auto whole = static_cast<int64_t>(run.epochs.size());
  Report report = common(settings, tested,
                         "Not finished: " + std::to_string(whole) + " of " +
                             std::to_string(settings.epochs) + " epochs");
  report.epochs = run.epochs;
  report.step_losses.assign(run.step_losses.begin(),
                            run.step_losses.begin() + whole * steps_per_epoch);
  return report;
}

Report final_report(const RunState& run, const TestResult& tested, const Settings& settings,
                    const Cnn& net, const data::ImageData& test_images) {
  Report report = common(settings, tested, "");
  report.epochs = run.epochs;
  report.step_losses = run.step_losses;
  report.filters = first_filters(net);
  report.batch_norms = compare_statistics(net, settings);
  report.mistakes = tested.mistakes;
  report.mistakes.resize(std::min(report.mistakes.size(), kMistakesShown));
  add_pictures(report.mistakes, test_images);
  return report;
}

std::string write_results(const RunState& run, const Report& report, const Settings& settings,
                          const Cnn* net) {
  const std::string folder = settings.out + "/";
  std::vector<std::pair<std::string, std::function<void(const std::string&)>>> files{
      {folder + "metrics.csv",
       [&](const std::string& path) {
         io::write_file_atomically(path, metrics_csv(run.epochs, settings.timings));
       }},
      {folder + "report.html",
       [&](const std::string& path) { io::write_file_atomically(path, report_html(report)); }}};
  if (net) {
    files.emplace_back(folder + "model.safetensors", [&](const std::string& path) {
      io::save_safetensors(net->state_dict(), path);
    });
    if (!settings.onnx.empty()) {
      files.emplace_back(settings.onnx, [&](const std::string& path) {
        io::save_onnx(*net, {zeros({1, 1, 28, 28})}, path,
                      {.input_names = {"images"}, .output_names = {"logits"}});
      });
    }
  }
  std::string wrong;
  for (const auto& [name, write] : files) {
    try {
      write(name);
    } catch (const Error& error) {
      wrong += (wrong.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  return wrong;
}

}  // namespace train_cnn
