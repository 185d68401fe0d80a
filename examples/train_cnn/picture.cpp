// SPDX-License-Identifier: Apache-2.0
#include "picture.h"

#include <string_view>

namespace train_cnn {
namespace {

void append_big_endian(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

uint32_t adler32(std::string_view bytes) {
  uint32_t a = 1;
  uint32_t b = 0;
  for (char byte : bytes) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

void append_chunk(std::string& png, std::string_view type, std::string_view data) {
  append_big_endian(png, static_cast<uint32_t>(data.size()));
  const std::string body = std::string(type).append(data);
  png += body;
  append_big_endian(png, crc32(body));
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

}  // namespace

std::string png_data_uri(int64_t width, int64_t height, std::span<const uint8_t> pixels) {
  // 255 x 256 bytes still fit one stored block of deflate.
  if (width < 1 || height < 1 || width > 255 || height > 255) return {};
  if (pixels.size() != static_cast<size_t>(width * height)) return {};

  std::string header;
  append_big_endian(header, static_cast<uint32_t>(width));
  append_big_endian(header, static_cast<uint32_t>(height));
  header.append("\x08\0\0\0\0", 5);  // 8 bits, grey, the usual compression, filter, no interlace

  std::string rows;
  for (size_t i = 0; i < pixels.size(); ++i) {
    if (i % static_cast<size_t>(width) == 0) rows += '\0';  // filter "none"
    rows += static_cast<char>(pixels[i]);
  }
  const auto length = static_cast<uint32_t>(rows.size());
  std::string zlib("\x78\x01\x01", 3);  // zlib header, then one last, stored block
  for (uint32_t n : {length, ~length}) {
    zlib += static_cast<char>(n & 0xff);
    zlib += static_cast<char>(n >> 8 & 0xff);
  }
  zlib += rows;
  append_big_endian(zlib, adler32(rows));

  std::string png("\x89PNG\r\n\x1a\n", 8);
  append_chunk(png, "IHDR", header);
  append_chunk(png, "IDAT", zlib);
  append_chunk(png, "IEND", {});
  return "data:image/png;base64," + base64(png);
}

}  // namespace train_cnn
