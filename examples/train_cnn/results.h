// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tern/tern.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model.h"
#include "report.h"
#include "run_state.h"
#include "training.h"

/// What a run leaves in its output directory.
namespace train_cnn {

inline constexpr int64_t kTestBatch = 500;
inline constexpr char kCheckpoint[] = "checkpoint.safetensors";

struct TestResult {
  Tally tally;
  std::vector<std::vector<int64_t>> confusion;  // [actual][predicted]
  std::vector<Mistake> mistakes;                // highest probability first
};

/// Fashion-MNIST as the settings say.
tern::data::FashionMNIST open(const Settings& settings, bool train);

/// Creates the output directory, and throws Error for each file that could not be written: before
/// hours of training, not after.
void prepare_output(const Settings& settings);

/// The page of a run that is not over: what there is after its last whole epoch.
Report report_so_far(const RunState& run, const TestResult& tested, const Settings& settings,
                     int64_t steps_per_epoch);
/// The page of a run that is over.
Report final_report(const RunState& run, const TestResult& tested, const Settings& settings,
                    const Cnn& net, const tern::data::ImageData& test_images);

/// Writes metrics.csv and report.html, and with a net model.safetensors. Each is tried, whatever
/// happens to the others; returns what went wrong.
std::string write_results(const RunState& run, const Report& report, const Settings& settings,
                          const Cnn* net);

}  // namespace train_cnn
