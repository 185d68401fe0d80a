// SPDX-License-Identifier: Apache-2.0
// Helpers for the tests of files with weights.
#pragma once

#include <tern/io/file.h>
#include <tern/io/numpy.h>
#include <tern/tern.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "support.h"

namespace tern::test {

/// A file of tests/fixtures/weights.
inline std::string weight_file(const std::string& name) {
  return std::string(TERN_SOURCE_DIR "/tests/fixtures/weights/") + name;
}

/// Names, their order, dtypes, shapes and bits.
inline void expect_same_tensors(const StateDict& found, const StateDict& wanted) {
  EXPECT_EQ(found.names(), wanted.names());
  for (const auto& [name, x] : wanted) {
    if (!found.contains(name)) continue;
    const Tensor y = found.at(name);
    EXPECT_EQ(y.dtype(), x.dtype()) << name;
    EXPECT_EQ(y.shape(), x.shape()) << name;
    if (y.dtype() != x.dtype() || y.shape() != x.shape() || x.numel() == 0) continue;
    const Tensor a = contiguous(x), b = contiguous(y);
    EXPECT_EQ(std::memcmp(a.raw_data(), b.raw_data(),
                          static_cast<size_t>(x.numel()) * size_of(x.dtype())),
              0)
        << name;
  }
}

/// The net whose weights mindspore.ckpt has.
inline nn::Sequential mindspore_net() {
  nn::Sequential net, layer, block;
  block.push_back("conv", nn::Conv2d(1, 2, 3, {.bias = false}));
  block.push_back("bn", nn::BatchNorm2d(2));
  layer.push_back("0", block);
  net.push_back("layer", layer);
  return net;
}

/// The CRC-32 of zip archives.
inline uint32_t crc32_of(const std::string& bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
  }
  return ~crc;
}

/// Writes files of a directory of its own.
class WeightFiles : public ::testing::Test {
 protected:
  std::string directory() const { return directory_.path().string(); }
  std::string path(const std::string& name) const { return (directory_.path() / name).string(); }
  std::string zip() const { return path("a.zip"); }

  /// A .npy file of version 1 with this header and data.
  std::string npy(const std::string& dict, const std::string& data) const {
    std::string bytes("\x93NUMPY\x01\x00", 8);
    append(bytes, static_cast<uint16_t>(dict.size()));
    io::write_file_atomically(path("a.npy"), bytes + dict + data);
    return path("a.npy");
  }

  /// Writes zip(), plain, by a writer that shares nothing with Tern's.
  void write_zip(const std::vector<std::pair<std::string, std::string>>& entries) const {
    std::string bytes, directory;
    for (const auto& [name, data] : entries) {
      std::string common("\x14\0\0\0\0\0\0\0\x21\0", 10);
      append(common, crc32_of(data));
      append(common, static_cast<uint32_t>(data.size()));
      append(common, static_cast<uint32_t>(data.size()));
      append(common, static_cast<uint16_t>(name.size()));
      append(common, uint16_t{0});
      directory += std::string("PK\1\2\x14\0", 6) + common + std::string(10, '\0');
      append(directory, static_cast<uint32_t>(bytes.size()));
      directory += name;
      bytes += "PK\3\4" + common + name + data;
    }
    std::string end("PK\5\6\0\0\0\0", 8);
    append(end, static_cast<uint16_t>(entries.size()));
    append(end, static_cast<uint16_t>(entries.size()));
    append(end, static_cast<uint32_t>(directory.size()));
    append(end, static_cast<uint32_t>(bytes.size()));
    io::write_file_atomically(zip(), bytes + directory + end + std::string(2, '\0'));
  }

  template <class T>
  static void append(std::string& text, T value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace tern::test
