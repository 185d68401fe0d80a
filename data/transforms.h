// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "../core/random.h"

namespace tern::data {

/// An image that transforms work on: values run by row, column, channel, initially in [0, 1].
struct Image {
  int64_t channels = 0;            ///< channels
  int64_t height = 0;              ///< rows
  int64_t width = 0;               ///< columns
  std::vector<float> pixels = {};  ///< height * width * channels
  /// A buffer for transforms that do not work in place, reused for every image.
  std::vector<float> spare = {};
};

/// Changes an image in place, drawing all random numbers from the generator. Any such function will
/// do; it runs on the loader's workers, several at a time.
using Transform = std::function<void(Image& image, Generator& random)>;

/// (pixel - mean) / std per channel; a single mean and std apply to all channels.
class Normalize {
 public:
  /// Throws Error for lists of different lengths and for a std that is not positive.
  Normalize(std::vector<double> mean, std::vector<double> std);
  /// Applies it to the image.
  void operator()(Image& image, Generator& random) const;

 private:
  std::vector<float> mean_;
  std::vector<float> std_;
};

/// Mirrors the image horizontally with probability p.
class RandomHorizontalFlip {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit RandomHorizontalFlip(double p = 0.5);
  /// Applies it to the image.
  void operator()(Image& image, Generator& random) const;

 private:
  double p_;
};

/// Crops a random window of size x size pixels from the image, padded with `padding` zeros on each
/// side. Applying it throws Error if the padded image is too small.
class RandomCrop {
 public:
  /// Throws Error unless size is 1 to 2^20 and padding 0 to 2^20.
  explicit RandomCrop(int64_t size, int64_t padding = 0);
  /// Applies it to the image.
  void operator()(Image& image, Generator& random) const;

 private:
  int64_t size_;
  int64_t padding_;
};

/// Applies transforms one after the other.
class Compose {
 public:
  /// Takes the transforms in the order in which they are applied.
  explicit Compose(std::vector<Transform> transforms) : transforms_(std::move(transforms)) {}
  /// Applies it to the image.
  void operator()(Image& image, Generator& random) const {
    for (const Transform& transform : transforms_) transform(image, random);
  }

 private:
  std::vector<Transform> transforms_;
};

}  // namespace tern::data
