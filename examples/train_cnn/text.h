// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Numbers as text that is the same in every locale, and text as HTML.
namespace train_cnn {

/// `value` with exactly `decimals` digits after the point; "nan", "inf" or "-inf" otherwise.
std::string fixed(double value, int decimals);
/// The shorter of fixed and scientific notation with at most `digits` significant digits: 0.1,
/// 1e-05.
std::string general(double value, int digits = 4);
/// A fraction as a percentage: 0.9137 -> "91.4 %". One below 1 is never shown as 100.
std::string percent(double fraction, int decimals = 1);
/// 60000 -> "60,000".
std::string grouped(int64_t value);
/// Escaped for element content and attributes in double quotes; control characters become spaces.
std::string escaped(std::string_view text);

}  // namespace train_cnn
