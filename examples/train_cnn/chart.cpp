// SPDX-License-Identifier: Apache-2.0
#include "chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text.h"

namespace train_cnn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool drawable(double v) { return std::abs(v) < 1e30; }  // false for NaN, too

struct Range {
  double low = kInfinity;
  double high = -kInfinity;
  void take(double v) {
    if (!drawable(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
  bool far_apart(double ratio) const { return low > 1e-30 && high / low > ratio; }
};

struct Tick {
  double value;
  std::string text;
};

/// Maps values to pixels, and finds round numbers for the axis.
class Axis {
 public:
  Axis(double low, double high, bool log, double from, double to)
      : low_(low), high_(high), log_(log), from_(from), to_(to) {
    const double least = 1e-6 * std::max(std::abs(low), std::abs(high)) + 1e-12;
    if (!log && high - low < least) {
      low_ -= least;
      high_ += least;
    }
  }

  double at(double v) const {
    const double fraction =
        log_ ? std::log(v / low_) / std::log(high_ / low_) : (v - low_) / (high_ - low_);
    return from_ + fraction * (to_ - from_);
  }

  std::vector<Tick> ticks(double count, bool whole = false) const {
    std::vector<Tick> result;
    if (log_) {
      result = log_ticks({1, 2, 5});
      if (result.size() > 9) result = log_ticks({1});
      if (result.size() >= 2) return result;
      result.clear();
    }
    const double rough = (high_ - low_) / count;
    double unit = std::pow(10, std::floor(std::log10(rough)));
    double step = unit;
    for (double factor : {1.0, 2.0, 2.5, 5.0, 10.0}) {
      step = factor * unit;
      if (step >= rough * 0.7 && (!whole || step == std::floor(step))) break;
    }
    if (whole) step = std::max(1.0, step);
    int decimals = 0;
    while (decimals < 9 && std::abs(step * std::pow(10, decimals) -
                                    std::round(step * std::pow(10, decimals))) > 1e-6) {
      ++decimals;
    }
    const double slack = 1e-9;
    for (double i = std::ceil(low_ / step - slack); i <= high_ / step + slack; ++i) {
      const double v = i * step;
      result.push_back({v, std::abs(v) < 1e6 && decimals < 9 ? fixed(v, decimals) : general(v, 6)});
    }
    return result;
  }

 private:
  std::vector<Tick> log_ticks(std::initializer_list<double> digits) const {
    std::vector<Tick> result;
    const double decades = std::log10(high_ / low_);
    const double stride = std::max(1.0, std::ceil(decades / 8));
    for (double e = std::floor(std::log10(low_)); e <= std::log10(high_); e += stride) {
      for (double digit : digits) {
        const double v = digit * std::pow(10, e);
        if (v >= low_ && v <= high_) result.push_back({v, general(v, 6)});
      }
    }
    return result;
  }

  double low_, high_;
  bool log_;
  double from_, to_;
};

std::string px(double v) {
  std::string text = fixed(v, 1);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string text_at(double x, double y, std::string_view style, std::string_view text) {
  return "<text x=\"" + px(x) + "\" y=\"" + px(y) + "\" class=\"" + std::string(style) + "\">" +
         escaped(text) + "</text>";
}

std::string line_from(double x1, double y1, double x2, double y2, std::string_view style) {
  return "<line x1=\"" + px(x1) + "\" y1=\"" + px(y1) + "\" x2=\"" + px(x2) + "\" y2=\"" + px(y2) +
         "\" class=\"" + std::string(style) + "\"/>";
}

std::string open_svg(double width, double height, const std::string& label) {
  return "<svg class=\"chart\" viewBox=\"0 0 " + px(width) + " " + px(height) +
         "\" role=\"img\" aria-label=\"" + escaped(label) + "\">";
}

/// A dot with its tooltip; the wide transparent ring makes it easy to hit.
std::string dot(double x, double y, double radius, const std::string& style,
                const std::string& tip) {
  const std::string at = "<circle cx=\"" + px(x) + "\" cy=\"" + px(y) + "\" r=\"";
  return "<g class=\"dot " + style + "\">" + at + px(radius) + "\"/>" + at + px(2.5 * radius) +
         "\" class=\"hit\"><title>" + escaped(tip) + "</title></circle></g>";
}

/// The mean of consecutive steps, and their range without the lowest and highest tenth.
struct Bucket {
  double x;
  double mean;
  double low;
  double high;
};

std::vector<Bucket> buckets_of(const std::vector<double>& values, double x_from, double x_to) {
  const size_t count = std::min<size_t>(values.size(), 150);
  std::vector<Bucket> buckets;
  for (size_t b = 0; b < count; ++b) {
    const size_t begin = b * values.size() / count;
    const size_t end = (b + 1) * values.size() / count;
    std::vector<double> sorted;
    double sum = 0;
    for (size_t i = begin; i < end; ++i) {
      if (!drawable(values[i])) continue;
      sorted.push_back(values[i]);
      sum += values[i];
    }
    if (sorted.empty()) continue;
    std::sort(sorted.begin(), sorted.end());
    const size_t tail = sorted.size() / 10;
    buckets.push_back({.x = x_from + (x_to - x_from) * static_cast<double>(begin + end) / 2 /
                                         static_cast<double>(values.size()),
                       .mean = sum / static_cast<double>(sorted.size()),
                       .low = sorted[tail],
                       .high = sorted[sorted.size() - 1 - tail]});
  }
  return buckets;
}

std::string path_through(const std::vector<Point>& points, const Axis& x, const Axis& y) {
  std::string path;
  bool pen_down = false;
  for (const Point& p : points) {
    const bool drawn = drawable(p.x) && drawable(p.y);
    if (drawn) path += (pen_down ? "L" : "M") + px(x.at(p.x)) + " " + px(y.at(p.y));
    pen_down = drawn;
  }
  return path;
}

std::string fine_curve(const std::vector<Bucket>& buckets, const std::string& style, const Axis& x,
                       const Axis& y) {
  if (buckets.size() < 2) return {};
  std::string band = "M";
  std::string mean = "M";
  for (const Bucket& b : buckets) {
    band += px(x.at(b.x)) + " " + px(y.at(b.high)) + " ";
    mean += px(x.at(b.x)) + " " + px(y.at(b.mean)) + " ";
  }
  for (auto b = buckets.rbegin(); b != buckets.rend(); ++b) {
    band += px(x.at(b->x)) + " " + px(y.at(b->low)) + " ";
  }
  return "<path class=\"band " + style + "\" d=\"" + band + "Z\"/><path class=\"fine " + style +
         "\" d=\"" + mean + "\"/>";
}

}  // namespace

std::string line_chart(const LineChart& chart) {
  constexpr double kWidth = 460, kHeight = 290, kLeft = 44, kRight = 448, kTop = 12, kBottom = 246;
  const std::vector<Bucket> fine = buckets_of(chart.fine, chart.x_from, chart.x_to);
  Range range;
  for (const Series& s : chart.series) {
    for (const Point& p : s.points) range.take(p.y);
  }
  for (const Bucket& b : fine) {
    range.take(b.low);
    range.take(b.high);
  }
  if (range.empty() || !(chart.x_from < chart.x_to)) return {};

  const bool log = chart.may_log && range.far_apart(8);
  double low = range.low;
  double high = range.high;
  if (log) {
    low /= 1.08;
    high *= 1.08;
  } else {
    double pad = std::max(0.08 * (high - low), chart.percent ? 0.5 : 0.02 * std::abs(high));
    if (pad == 0) pad = 1;
    low = low >= 0 ? std::max(0.0, low - pad) : low - pad;
    high = chart.percent ? std::min(std::max(high, 100.0), high + pad) : high + pad;
  }
  const Axis x(chart.x_from, chart.x_to, false, kLeft, kRight);
  const Axis y(low, high, log, kBottom, kTop);

  std::string svg = open_svg(kWidth, kHeight, chart.label);
  for (const Tick& tick : y.ticks(5)) {
    svg += line_from(kLeft, y.at(tick.value), kRight, y.at(tick.value), "grid");
    svg += text_at(kLeft - 7, y.at(tick.value) + 4, "end", tick.text + (chart.percent ? "%" : ""));
  }
  for (const Tick& tick : x.ticks(8, true)) {
    svg += line_from(x.at(tick.value), kBottom, x.at(tick.value), kBottom + 4, "axis");
    svg += text_at(x.at(tick.value), kBottom + 18, "mid", tick.text);
  }
  svg += line_from(kLeft, kBottom, kRight, kBottom, "axis");
  svg += text_at((kLeft + kRight) / 2, kBottom + 38, "mid name",
                 chart.x_label + (log ? " (vertical axis logarithmic)" : ""));
  svg += fine_curve(fine, chart.fine_style, x, y);
  for (const Series& s : chart.series) {
    svg += "<path class=\"line " + s.style + "\" d=\"" + path_through(s.points, x, y) + "\"/>";
  }
  for (const Series& s : chart.series) {
    const bool many = s.points.size() > 20;
    for (const Point& p : s.points) {
      if (drawable(p.x) && drawable(p.y)) {
        svg += dot(x.at(p.x), y.at(p.y), many ? 2 : 3.5, s.style + (many ? " many" : ""), p.tip);
      }
    }
  }
  return svg + "</svg>";
}

std::string agreement_chart(const std::string& label, const std::string& x_label,
                            const std::string& y_label, const std::vector<Point>& points,
                            bool may_log) {
  constexpr double kWidth = 340, kHeight = 330, kLeft = 52, kRight = 328, kTop = 12, kBottom = 288;
  Range range;
  for (const Point& p : points) {
    if (!drawable(p.x) || !drawable(p.y)) continue;
    range.take(p.x);
    range.take(p.y);
  }
  if (range.empty()) return {};
  const bool log = may_log && range.far_apart(20);
  double pad = std::max(0.06 * (range.high - range.low), 0.01 * std::abs(range.high));
  if (pad == 0) pad = 1;
  const double low = log ? range.low / 1.25 : range.low - pad;
  const double high = log ? range.high * 1.25 : range.high + pad;
  const Axis x(low, high, log, kLeft, kRight);
  const Axis y(low, high, log, kBottom, kTop);

  std::string svg = open_svg(kWidth, kHeight, label);
  for (const Tick& tick : y.ticks(4)) {
    const double across = x.at(tick.value);
    const double down = y.at(tick.value);
    svg += line_from(kLeft, down, kRight, down, "grid") +
           line_from(across, kTop, across, kBottom, "grid");
    svg += text_at(kLeft - 6, down + 4, "end", tick.text) +
           text_at(across, kBottom + 16, "mid", tick.text);
  }
  svg += line_from(kLeft, kBottom, kRight, kBottom, "axis") +
         line_from(kLeft, kBottom, kLeft, kTop, "axis");
  svg += line_from(kLeft, kBottom, kRight, kTop, "same");
  svg += text_at((kLeft + kRight) / 2, kHeight - 6, "mid name", x_label);
  svg += text_at(kLeft + 8, kTop + 12, "name", "↑ " + y_label);
  for (const Point& p : points) {
    if (drawable(p.x) && drawable(p.y)) svg += dot(x.at(p.x), y.at(p.y), 3.2, "channel", p.tip);
  }
  return svg + "</svg>";
}

}  // namespace train_cnn
