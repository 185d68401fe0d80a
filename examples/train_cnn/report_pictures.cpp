// SPDX-License-Identifier: Apache-2.0
#include "report_sections.h"

#include <algorithm>
#include <cmath>

#include "picture.h"
#include "text.h"

namespace train_cnn {

std::string mistakes_section(const Report& report) {
  std::string html;
  for (const Mistake& m : report.mistakes) {
    const std::string uri = png_data_uri(m.width, m.height, m.pixels);
    if (uri.empty()) continue;
    const std::string predicted = escaped(class_name(report, m.predicted));
    const std::string actual = escaped(class_name(report, m.actual));
    html += "<figure><img src=\"" + uri + "\" width=\"" + std::to_string(m.width) + "\" height=\"" +
            std::to_string(m.height) + "\" alt=\"" + actual + " taken for " + predicted +
            "\"/><figcaption><b>" + predicted + "</b>";
    if (m.probability >= 0 && m.probability <= 1) {
      html += "<span class=\"sure\"><i style=\"width:" + fixed(100 * m.probability, 1) +
              "%\"></i></span>";
    }
    html += "is " + actual + "<small>";
    if (m.probability >= 0 && m.probability <= 1) {
      html += "<span>" + escaped(percent(m.probability)) + " sure</span>";
    }
    html += "<span>#" + std::to_string(m.index) + "</span></small></figcaption></figure>";
  }
  if (html.empty()) return {};
  return section("Wrong, and sure of it",
                 "The mistakes the net would have bet on: in <b>bold</b> what it said, below what "
                 "the label says. Some labels deserve a second look.",
                 "<div class=\"gallery\">" + html + "</div>");
}

std::string filters_section(const Report& report) {
  double strongest = 0;
  for (const Filter& f : report.filters) {
    for (float w : f.weights) {
      if (std::isfinite(w)) strongest = std::max(strongest, std::abs(double{w}));
    }
  }
  std::string html;
  for (size_t k = 0; k < report.filters.size(); ++k) {
    const Filter& f = report.filters[k];
    if (f.height < 1 || f.width < 1 || f.height > 64 || f.width > 64) continue;
    if (f.weights.size() != static_cast<size_t>(f.height * f.width)) continue;
    html += "<svg viewBox=\"0 0 " + std::to_string(f.width) + " " + std::to_string(f.height) +
            "\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"filter " +
            std::to_string(k) + "\"><title>filter " + std::to_string(k) + "</title>";
    for (int64_t i = 0; i < f.height * f.width; ++i) {
      const double w = f.weights[static_cast<size_t>(i)];
      if (!std::isfinite(w) || w == 0) continue;
      html += "<rect x=\"" + std::to_string(i % f.width) + "\" y=\"" + std::to_string(i / f.width) +
              "\" width=\"1\" height=\"1\" class=\"" + (w > 0 ? "p" : "n") + "\" fill-opacity=\"" +
              fixed(std::abs(w) / strongest, 3) + "\"/>";
    }
    html += "</svg>";
  }
  if (html.empty()) return {};
  const std::string most = general(strongest, 3);
  return section("What the first layer looks for",
                 "Each square is a filter of the first convolution: bright spots under red raise "
                 "its answer, under blue they lower it.",
                 "<div class=\"filters\">" + html + "</div><p class=\"scale\"><span>−" + most +
                     "</span><i></i><span>+" + most + "</span></p>");
}

}  // namespace train_cnn
