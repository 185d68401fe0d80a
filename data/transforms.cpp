// SPDX-License-Identifier: Apache-2.0
#include "transforms.h"

#include <algorithm>
#include <cmath>

#include "../core/error.h"
#include "../core/internal/resources.h"

namespace tern::data {

Normalize::Normalize(std::vector<double> mean, std::vector<double> std) {
  if (mean.empty() || mean.size() != std.size()) {
    fail("Normalize", "mean has ", mean.size(), " numbers and std ", std.size(),
         ", want as many, and at least 1: pass one of each per channel");
  }
  for (size_t c = 0; c < mean.size(); ++c) {
    if (!std::isfinite(mean[c]) || !(std[c] > 0) || !std::isfinite(std[c])) {
      fail("Normalize", "mean and std of channel ", c, " are ", mean[c], " and ", std[c],
           ", want finite numbers and std above 0");
    }
    mean_.push_back(static_cast<float>(mean[c]));
    std_.push_back(static_cast<float>(std[c]));
  }
}

void Normalize::operator()(Image& image, Generator& /*random*/) const {
  const auto channels = static_cast<size_t>(image.channels);
  if (mean_.size() == 1) {
    for (float& pixel : image.pixels) pixel = (pixel - mean_[0]) / std_[0];
    return;
  }
  if (mean_.size() != channels) {
    fail("Normalize", "the image has ", channels, " channels, want ", mean_.size(),
         ": pass a mean and std for each");
  }
  for (size_t i = 0; i < image.pixels.size(); i += channels) {
    for (size_t c = 0; c < channels; ++c) {
      image.pixels[i + c] = (image.pixels[i + c] - mean_[c]) / std_[c];
    }
  }
}

RandomHorizontalFlip::RandomHorizontalFlip(double p) : p_(p) {
  if (!(p >= 0 && p <= 1)) fail("RandomHorizontalFlip", "p is ", p, ", want [0, 1]");
}

void RandomHorizontalFlip::operator()(Image& image, Generator& random) const {
  if (random.uniform() >= p_) return;
  const int64_t row = image.width * image.channels;
  for (int64_t y = 0; y < image.height; ++y) {
    float* const begin = image.pixels.data() + y * row;
    // Reversing the row reverses the channels too; reversing each pixel restores them.
    std::reverse(begin, begin + row);
    if (image.channels == 1) continue;
    for (int64_t x = 0; x < row; x += image.channels) {
      std::reverse(begin + x, begin + x + image.channels);
    }
  }
}

RandomCrop::RandomCrop(int64_t size, int64_t padding) : size_(size), padding_(padding) {
  constexpr int64_t kMost = int64_t{1} << 20;
  if (size < 1 || padding < 0 || size > kMost || padding > kMost) {
    fail("RandomCrop", "size is ", size, " and padding ", padding, ", want 1 to ", kMost,
         " and 0 to ", kMost);
  }
}

void RandomCrop::operator()(Image& image, Generator& random) const {
  const int64_t places_y = image.height + 2 * padding_ - size_ + 1;
  const int64_t places_x = image.width + 2 * padding_ - size_ + 1;
  if (places_y < 1 || places_x < 1) {
    fail("RandomCrop", "the image is ", image.height, "x", image.width, ", want at least ", size_,
         "x", size_, " with padding ", padding_, ": use a smaller size or more padding");
  }
  const int64_t top = random.integer(places_y) - padding_;
  const int64_t left = random.integer(places_x) - padding_;
  const int64_t channels = image.channels;
  with_resources("RandomCrop",
                 [&] { image.spare.assign(static_cast<size_t>(size_ * size_ * channels), 0.0f); });
  const int64_t first_x = std::max<int64_t>(0, -left);
  const int64_t last_x = std::min(size_, image.width - left);
  for (int64_t y = std::max<int64_t>(0, -top); y < std::min(size_, image.height - top); ++y) {
    if (first_x >= last_x) break;
    const float* from = image.pixels.data() + ((top + y) * image.width + left + first_x) * channels;
    std::copy(from, from + (last_x - first_x) * channels,
              image.spare.data() + (y * size_ + first_x) * channels);
  }
  image.pixels.swap(image.spare);
  image.height = size_;
  image.width = size_;
}

}  // namespace tern::data
