// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <cmath>

#include "chart.h"
#include "report_sections.h"
#include "report_style.h"
#include "text.h"

namespace train_cnn {

std::string class_name(const Report& report, int64_t index) {
  if (index >= 0 && index < static_cast<int64_t>(report.class_names.size())) {
    return report.class_names[static_cast<size_t>(index)];
  }
  return "class " + std::to_string(index);
}

std::string section(const std::string& heading, const std::string& words,
                    const std::string& content) {
  if (content.empty()) return {};
  return "<section><h2>" + escaped(heading) + "</h2>" +
         (words.empty() ? "" : "<p class=\"say\">" + words + "</p>") + content + "</section>\n";
}

namespace {

std::string waffle(double accuracy) {
  if (!(accuracy >= 0 && accuracy <= 1)) return {};
  // Rounded down: a full square means that every picture was right.
  const int right = static_cast<int>(std::floor(100 * accuracy + 1e-9));
  std::string svg =
      "<div class=\"waffle\"><svg viewBox=\"0 0 118 118\" role=\"img\" aria-label=\"" +
      std::to_string(right) + " of 100 pictures are recognised\">";
  for (int i = 0; i < 100; ++i) {
    svg += "<rect x=\"" + std::to_string(i % 10 * 12) + "\" y=\"" + std::to_string(i / 10 * 12) +
           "\" width=\"10\" height=\"10\" rx=\"2.5\" class=\"" + (i < right ? "r" : "w") + "\"/>";
  }
  return svg + "</svg><p>" + std::to_string(right) + " right in a hundred</p></div>";
}

std::string headline(const Report& report, const Confusion& matrix) {
  std::string html = "<header><div><h1>" + escaped(report.title) + "</h1>";
  if (std::isfinite(report.test_accuracy)) {
    std::string number = percent(report.test_accuracy, 2);
    number.resize(number.size() - 2);
    html += "<p class=\"big\">" + escaped(number) + "<small> %</small></p><p class=\"lead\">";
    if (matrix.total() > 0) {
      html += "of " + grouped(matrix.total()) + " test pictures are recognised, " +
              (matrix.wrong() == 0   ? "every one"
               : matrix.wrong() == 1 ? "one is not"
                                     : grouped(matrix.wrong()) + " are not") +
              ".";
    } else {
      html += "of the test pictures are recognised.";
    }
    html += "</p>";
  }
  std::string sub;
  if (!report.epochs.empty()) {
    const size_t count = report.epochs.size();
    sub += std::to_string(count) + (count == 1 ? " epoch" : " epochs");
  }
  if (std::isfinite(report.test_loss)) {
    sub += (sub.empty() ? "" : " · ") + ("test loss " + fixed(report.test_loss, 4));
  }
  if (!report.subtitle.empty()) sub += (sub.empty() ? "" : " · ") + escaped(report.subtitle);
  if (!sub.empty()) html += "<p class=\"sub\">" + sub + "</p>";
  return html + "</div>" + waffle(report.test_accuracy) + "</header>\n";
}

std::string legend_item(const std::string& style, const std::string& text, double value,
                        int decimals, const std::string& unit) {
  return "<span><i class=\"" + style + "\"></i>" + text +
         (std::isfinite(value) ? " <b>" + fixed(value, decimals) + unit + "</b>" : "") + "</span>";
}

std::string curves_section(const Report& report) {
  if (report.epochs.empty()) return {};
  LineChart loss{.label = "Loss on training and test pictures by epoch", .x_label = "epoch"};
  LineChart accuracy{.label = "Accuracy on training and test pictures by epoch",
                     .x_label = "epoch",
                     .percent = true};
  loss.may_log = true;
  Series train_loss{"train", {}}, test_loss{"test", {}}, train_acc{"train", {}},
      test_acc{"test", {}};
  double first = kUnknown;
  double last = kUnknown;
  for (const Epoch& e : report.epochs) {
    const auto x = static_cast<double>(e.epoch);
    first = std::fmin(first, x);
    last = std::fmax(last, x);
    const std::string tip = "epoch " + std::to_string(e.epoch) + ": ";
    // A mean over an epoch is drawn at its middle, a measurement after it at its end.
    train_loss.points.push_back(
        {x - 0.5, e.train_loss, tip + "training loss " + fixed(e.train_loss, 4)});
    test_loss.points.push_back({x, e.test_loss, tip + "test loss " + fixed(e.test_loss, 4)});
    train_acc.points.push_back({x - 0.5, 100 * e.train_accuracy,
                                tip + "training accuracy " + percent(e.train_accuracy, 2)});
    test_acc.points.push_back(
        {x, 100 * e.test_accuracy, tip + "test accuracy " + percent(e.test_accuracy, 2)});
  }
  loss.x_from = accuracy.x_from = first - 1;
  loss.x_to = accuracy.x_to = last;
  loss.series = {train_loss, test_loss};
  loss.fine = report.step_losses;
  loss.fine_style = "train";
  accuracy.series = {train_acc, test_acc};

  const Epoch& end = report.epochs.back();
  std::string html;
  if (std::string svg = line_chart(loss); !svg.empty()) {
    html += "<div><h3>Loss</h3><p class=\"legend\">" +
            legend_item("train", "training", end.train_loss, 3, "") +
            legend_item("test", "test", end.test_loss, 3, "") +
            (report.step_losses.size() > 1 ? legend_item("band", "batches", kUnknown, 0, "") : "") +
            "</p>" + svg + "</div>";
  }
  if (std::string svg = line_chart(accuracy); !svg.empty()) {
    html += "<div><h3>Accuracy</h3><p class=\"legend\">" +
            legend_item("train", "training", 100 * end.train_accuracy, 2, " %") +
            legend_item("test", "test", 100 * end.test_accuracy, 2, " %") + "</p>" + svg + "</div>";
  }
  if (html.empty()) return {};
  return section("How it learned",
                 "Training values are means over an epoch, while the weights change, drawn at its "
                 "middle; test values are measured at its end.",
                 "<div class=\"two\">" + html + "</div>");
}

std::string epochs_section(const Report& report) {
  if (report.epochs.empty()) return {};
  bool seconds = false;
  bool speed = false;
  double best = kUnknown;
  for (const Epoch& e : report.epochs) {
    seconds |= e.seconds.has_value();
    speed |= e.images_per_second.has_value();
    if (std::isfinite(e.test_accuracy)) best = std::fmax(best, e.test_accuracy);
  }
  std::string html =
      "<div class=\"wide\"><table class=\"rows\"><thead><tr><th>epoch</th><th>training loss</th>"
      "<th>training accuracy %</th><th>test loss</th><th>test accuracy %</th><th>learning "
      "rate</th>";
  if (seconds) html += "<th>seconds</th>";
  if (speed) html += "<th>images / s</th>";
  html += "</tr></thead><tbody>";
  bool marked = false;
  for (const Epoch& e : report.epochs) {
    const bool mark = !marked && e.test_accuracy == best;
    marked |= mark;
    html += mark ? "<tr class=\"best\">" : "<tr>";
    for (const std::string& cell :
         {std::to_string(e.epoch), fixed(e.train_loss, 4), fixed(100 * e.train_accuracy, 2),
          fixed(e.test_loss, 4), fixed(100 * e.test_accuracy, 2), general(e.learning_rate)}) {
      html += "<td>" + escaped(cell) + "</td>";
    }
    if (seconds) html += "<td>" + (e.seconds ? fixed(*e.seconds, 1) : "–") + "</td>";
    if (speed) {
      html += "<td>" + (e.images_per_second ? fixed(*e.images_per_second, 0) : "–") + "</td>";
    }
    html += "</tr>";
  }
  html += "</tbody></table></div>";
  if (report.epochs.size() > 30) {
    html = "<details><summary>All " + std::to_string(report.epochs.size()) +
           " epochs as numbers</summary>" + html + "</details>";
  }
  return section("Epoch by epoch",
                 std::isfinite(best) ? "The epoch with the best test accuracy is marked." : "",
                 html);
}

std::string settings_section(const Report& report) {
  std::string html;
  for (const auto& [name, value] : report.settings) {
    html += "<div><dt>" + escaped(name) + "</dt><dd>" + escaped(value) + "</dd></div>";
  }
  if (html.empty()) return {};
  return section("Settings", "", "<dl class=\"settings\">" + html + "</dl>");
}

}  // namespace

std::string report_html(const Report& report) {
  const Confusion matrix(report);
  std::string title = escaped(report.title);
  if (std::isfinite(report.test_accuracy)) {
    title = escaped(percent(report.test_accuracy, 2)) + " · " + title;
  }
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
         "<meta name=\"color-scheme\" content=\"light dark\"/><title>" +
         title + "</title><style>" + std::string(kReportStyle) + "</style></head>\n<body><main>\n" +
         headline(report, matrix) + curves_section(report) + confusion_section(report, matrix) +
         mistakes_section(report) + filters_section(report) + batch_norms_section(report) +
         epochs_section(report) + settings_section(report) +
         "<footer>Written by Tern's example train_cnn.</footer>\n</main></body></html>\n";
}

}  // namespace train_cnn
