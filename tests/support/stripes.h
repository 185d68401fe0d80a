// SPDX-License-Identifier: Apache-2.0
// A small data set that a net learns in an epoch or two.
#pragma once

#include <tern/core/random.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace tern::test {

/// Files in Fashion-MNIST's format, called as that set's: stripes whose place is the class.
inline void write_stripes(const std::filesystem::path& directory, const std::string& part,
                          int64_t count) {
  const auto big_endian = [](int64_t value) {
    std::string bytes(4, '\0');
    for (int i = 0; i < 4; ++i)
      bytes[static_cast<size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
    return bytes;
  };
  std::ofstream images(directory / (part + "-images-idx3-ubyte"), std::ios::binary);
  std::ofstream labels(directory / (part + "-labels-idx1-ubyte"), std::ios::binary);
  images << big_endian(0x803) << big_endian(count) << big_endian(28) << big_endian(28);
  labels << big_endian(0x801) << big_endian(count);
  Generator random(1);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = i % 10;
    labels << static_cast<char>(label);
    std::string image(28 * 28, '\0');
    for (size_t p = 0; p < image.size(); ++p) {
      const bool stripe = static_cast<int64_t>(p / 28) / 2 == label + 1;
      image[p] = static_cast<char>(random.integer(100) + (stripe ? 100 : 0));
    }
    images << image;
  }
}

}  // namespace tern::test
