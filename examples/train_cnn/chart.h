// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

/// Charts of the report as inline SVG. Colours come from the page's style sheet by class, so they
/// follow its light and dark themes. Values that are not finite (or above 1e30) are omitted.
namespace train_cnn {

struct Point {
  double x;
  double y;
  std::string tip = {};  ///< tooltip; escaped here
};

struct Series {
  std::string style = {};  ///< class of line and dots: "train" or "test"
  std::vector<Point> points = {};
};

struct LineChart {
  std::string label = {};  ///< describes the chart in words, for screen readers
  std::string x_label = {};
  double x_from = 0;
  double x_to = 1;
  std::vector<Series> series = {};
  std::vector<double> fine = {};  ///< many values evenly over the x axis, drawn thin with a band
  std::string fine_style = {};
  bool percent = false;  ///< values are percentages, so the axis stays within 0 to 100
  bool may_log = false;  ///< logarithmic y axis when the values are positive and far apart
};

/// Empty when there is nothing to draw.
std::string line_chart(const LineChart& chart);

/// Dots against the line y = x, both axes alike; logarithmic when `may_log` and the values, all
/// positive, are far apart. Empty when there is nothing to draw.
std::string agreement_chart(const std::string& label, const std::string& x_label,
                            const std::string& y_label, const std::vector<Point>& points,
                            bool may_log);

}  // namespace train_cnn
