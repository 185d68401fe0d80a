// SPDX-License-Identifier: Apache-2.0
#include "report_sections.h"

#include <algorithm>
#include <cmath>

#include "chart.h"
#include "text.h"

namespace train_cnn {
namespace {

struct Worst {
  double off = -1;
  size_t channel = 0;
  void take(double candidate, size_t at) {
    if (std::isfinite(candidate) && candidate > off) {
      off = candidate;
      channel = at;
    }
  }
};

std::string batch_norm_part(const BatchNormStatistics& bn) {
  const size_t channels = std::min(
      {bn.running_mean.size(), bn.running_var.size(), bn.true_mean.size(), bn.true_var.size()});
  std::vector<Point> means, variances;
  Worst worst_mean, worst_var;
  for (size_t c = 0; c < channels; ++c) {
    const double mean = bn.running_mean[c], true_mean = bn.true_mean[c];
    const double var = bn.running_var[c], true_var = bn.true_var[c];
    const std::string tip = "channel " + std::to_string(c) + ": running ";
    means.push_back({true_mean, mean, tip + general(mean) + ", true " + general(true_mean)});
    variances.push_back({true_var, var, tip + general(var) + ", true " + general(true_var)});
    // A mean near zero has no meaningful relative error, so its error is in standard deviations.
    worst_mean.take(std::abs(mean - true_mean) / std::sqrt(true_var), c);
    worst_var.take(std::abs(var - true_var) / true_var, c);
  }
  const std::string mean_chart = agreement_chart("Running against true mean of " + bn.name,
                                                 "true mean", "running mean", means, false);
  const std::string var_chart =
      agreement_chart("Running against true variance of " + bn.name, "true variance",
                      "running variance", variances, true);
  if (mean_chart.empty() && var_chart.empty()) return {};
  std::string words;
  if (worst_mean.off >= 0) {
    words += "The worst running mean is <b>" + general(worst_mean.off, 2) +
             " standard deviations</b> off (channel " + std::to_string(worst_mean.channel) + ")";
  }
  if (worst_var.off >= 0) {
    words += (words.empty() ? "The" : ", the") + std::string(" worst running variance <b>") +
             general(100 * worst_var.off, 2) + " %</b> (channel " +
             std::to_string(worst_var.channel) + ")";
  }
  return "<div class=\"norm\"><div><h3>" + escaped(bn.name) + "</h3>" +
         (words.empty() ? "" : "<p class=\"say\">" + words + ".</p>") + "</div><div>" + mean_chart +
         "</div><div>" + var_chart + "</div></div>";
}

}  // namespace

std::string batch_norms_section(const Report& report) {
  std::string html;
  for (const BatchNormStatistics& bn : report.batch_norms) html += batch_norm_part(bn);
  return section(
      "Do the running statistics tell the truth?",
      "In training, batch norm uses the statistics of the batch; afterwards, the running "
      "mean and variance. Each dot is a channel: its running statistic against the true "
      "one, over the whole training set. On the dashed line, they agree.",
      html);
}

}  // namespace train_cnn
