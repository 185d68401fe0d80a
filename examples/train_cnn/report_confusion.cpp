// SPDX-License-Identifier: Apache-2.0
#include "report_sections.h"

#include <algorithm>
#include <cmath>

#include "text.h"

namespace train_cnn {
namespace {

double fraction(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : kUnknown;
}

std::string rate_cell(double rate, const std::string& tip) {
  return "<td class=\"rate\" title=\"" + escaped(tip) + "\">" +
         (std::isfinite(rate) ? fixed(100 * rate, 1) : "–") + "</td>";
}

std::string confusion_cell(const Report& report, const Confusion& matrix, size_t i, size_t j) {
  const int64_t count = matrix.count(i, j);
  const double part = fraction(count, matrix.actual(i));
  if (count == 0 && i != j) return "<td class=\"none\">·</td>";
  // Mistakes are rare: the square root makes them visible beside the diagonal.
  const double strength = !std::isfinite(part) ? 0 : i == j ? 0.9 * part * part : std::sqrt(part);
  const std::string actual = class_name(report, static_cast<int64_t>(i));
  const std::string predicted = class_name(report, static_cast<int64_t>(j));
  return std::string("<td class=\"") + (i == j ? "ok" : "no") + (strength > 0.62 ? " on" : "") +
         "\" style=\"--a:" + fixed(strength, 2) + "\" title=\"" +
         escaped(actual + (i == j ? ", recognised: " : " taken for " + predicted + ": ") +
                 grouped(count)) +
         "\">" + std::to_string(count) + "</td>";
}

std::string confusion_words(const Report& report, const Confusion& matrix) {
  struct Pair {
    int64_t count;
    size_t actual, predicted;
  };
  std::vector<Pair> pairs;
  for (size_t i = 0; i < matrix.size(); ++i) {
    for (size_t j = 0; j < matrix.size(); ++j) {
      if (i != j && matrix.count(i, j) > 0) pairs.push_back({matrix.count(i, j), i, j});
    }
  }
  if (pairs.empty()) return "Not one mistake.";
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  std::string words = "Most often, ";
  for (size_t k = 0; k < std::min<size_t>(3, pairs.size()); ++k) {
    if (k > 0) words += ", ";
    words += "<b>" + escaped(class_name(report, static_cast<int64_t>(pairs[k].actual))) +
             "</b> is taken for <b>" +
             escaped(class_name(report, static_cast<int64_t>(pairs[k].predicted))) + "</b> (" +
             grouped(pairs[k].count) + ")";
  }
  return words +
         ". Recall is the fraction of a class that is found, precision the fraction of the "
         "predictions of a class that are right.";
}

}  // namespace

std::string confusion_section(const Report& report, const Confusion& matrix) {
  if (matrix.total() == 0) return {};
  std::string html =
      "<div class=\"wide\"><table class=\"confusion\"><thead><tr><th class=\"corner\">predicted → "
      "<br/>actual ↓</th>";
  for (size_t j = 0; j < matrix.size(); ++j) {
    html += "<th scope=\"col\"><span>" + escaped(class_name(report, static_cast<int64_t>(j))) +
            "</span></th>";
  }
  html += "<th class=\"last\" scope=\"col\">recall %</th></tr></thead><tbody>";
  for (size_t i = 0; i < matrix.size(); ++i) {
    const std::string name = class_name(report, static_cast<int64_t>(i));
    html += "<tr><th scope=\"row\">" + escaped(name) + "</th>";
    for (size_t j = 0; j < matrix.size(); ++j) html += confusion_cell(report, matrix, i, j);
    html +=
        rate_cell(fraction(matrix.count(i, i), matrix.actual(i)), "recall of " + name) + "</tr>";
  }
  html += "<tr><th scope=\"row\" class=\"corner\">precision %</th>";
  for (size_t j = 0; j < matrix.size(); ++j) {
    html += rate_cell(fraction(matrix.count(j, j), matrix.predicted(j)),
                      "precision of " + class_name(report, static_cast<int64_t>(j)));
  }
  html += "<td class=\"rate\"></td></tr></tbody></table></div>";
  return section("What is taken for what", confusion_words(report, matrix), html);
}

}  // namespace train_cnn
