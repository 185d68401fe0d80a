// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <charconv>
#include <cmath>

namespace train_cnn {
namespace {

std::string to_text(double value, std::chars_format format, int precision) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[512];  // the longest double has 309 digits before the point
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, format, precision);
  std::string text(buffer, end);
  if (text.starts_with('-') && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

}  // namespace

std::string fixed(double value, int decimals) {
  return to_text(value, std::chars_format::fixed, decimals);
}

std::string general(double value, int digits) {
  return to_text(value, std::chars_format::general, digits);
}

std::string percent(double fraction, int decimals) {
  std::string text = fixed(100 * fraction, decimals);
  if (fraction < 1 && fraction > 0.99 && text == fixed(100, decimals)) {
    text = fixed(100 * fraction, decimals + 1);
    if (text == fixed(100, decimals + 1)) text = "> 99." + std::string(size_t(decimals) + 1, '9');
  }
  return text + " %";
}

std::string grouped(int64_t value) {
  std::string text = std::to_string(value);
  const size_t first_digit = value < 0 ? 1 : 0;
  for (size_t i = text.size(); i > first_digit + 3;) text.insert(i -= 3, ",");
  return text;
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out;
}

}  // namespace train_cnn
