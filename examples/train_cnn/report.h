// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The results of a training run, as input for the page that shows them. Standard types only, so
/// the page can be made from a log file just as well. Strings are UTF-8 with any contents; the page
/// escapes them.
namespace train_cnn {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// One epoch, as the console, metrics.csv and the report show it. Accuracies are fractions, 0
/// to 1. Values that are not finite are shown as such in tables and omitted in charts.
struct Epoch {
  int64_t epoch = 0;             ///< counts from 1
  double train_loss = kUnknown;  ///< mean over the epoch's batches, while the weights moved
  double train_accuracy = kUnknown;
  double test_loss = kUnknown;  ///< measured after the epoch
  double test_accuracy = kUnknown;
  double learning_rate = kUnknown;
  /// Wall clock. Two runs with one seed differ only in these two, so leave them empty to get the
  /// same bytes.
  std::optional<double> seconds = {};
  std::optional<double> images_per_second = {};
};

/// One filter of the first convolution; `weights` is row-major, height * width values.
struct Filter {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<float> weights = {};
};

/// A batch norm's running statistics against the true ones: those over the whole training set, with
/// the layers before it in eval mode. All four have one value per channel.
struct BatchNormStatistics {
  std::string name = {};
  std::vector<float> running_mean = {};
  std::vector<float> running_var = {};
  std::vector<float> true_mean = {};
  std::vector<float> true_var = {};
};

/// A test picture that the net misclassified, and its confidence.
struct Mistake {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels = {};  ///< row-major, 0 black to 255 white
  int64_t actual = 0;                ///< index into Report::class_names
  int64_t predicted = 0;
  double probability = kUnknown;  ///< given to the prediction, 0 to 1
  int64_t index = 0;              ///< in the test set
};

/// Everything on the page. Each part may be empty; its section is then omitted.
struct Report {
  std::string title = "Fashion-MNIST";
  std::string subtitle = {};
  std::vector<std::pair<std::string, std::string>> settings = {};  ///< shown in this order
  double test_accuracy = kUnknown;                                 ///< of the final weights, 0 to 1
  double test_loss = kUnknown;
  std::vector<Epoch> epochs = {};        ///< ascending
  std::vector<double> step_losses = {};  ///< loss of every batch, spread evenly over the epochs
  std::vector<std::string> class_names = {};
  std::vector<std::vector<int64_t>> confusion = {};  ///< counts, [actual][predicted]
  std::vector<Filter> filters = {};
  std::vector<BatchNormStatistics> batch_norms = {};
  std::vector<Mistake> mistakes = {};  ///< highest probability first
};

/// The page: one file of UTF-8 HTML that is also well-formed XML, with inline style, charts and
/// pictures, without network access and scripts. The same report results in the same bytes on every
/// machine and in every locale. Never throws on unexpected contents: ragged, negative or non-finite
/// values are omitted.
std::string report_html(const Report& report);

}  // namespace train_cnn
