// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace train_cnn {

/// A grey picture (row-major, width * height bytes) as a PNG in a data URI, for an img element.
/// Stored, not deflated: a picture of 28 x 28 is 1 KB either way, its bytes do not depend on the
/// version of a compressor, and the example needs no library for it. Empty if the sizes do not
/// match or exceed 255.
std::string png_data_uri(int64_t width, int64_t height, std::span<const uint8_t> pixels);

}  // namespace train_cnn
