// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "../core/random.h"

namespace tern::data {

/// An image on its way into a batch: pixels run by row, column, channel, in [0, 1] at first.
struct Image {
  int64_t channels = 0;            ///< values per pixel
  int64_t height = 0;              ///< rows
  int64_t width = 0;               ///< columns
  std::vector<float> pixels = {};  ///< height * width * channels
  /// Room to write the result into before swapping: saves transforms an allocation per image.
  std::vector<float> spare = {};
};

/// Changes an image in place, drawing all randomness from the generator. Any function of this form
/// will do; it runs on the loader's workers.
using Transform = std::function<void(Image& image, Generator& random)>;

/// (pixel - mean) / std, channel by channel (one number for all channels will do).
class Normalize {
 public:
  /// Throws Error for lists of different lengths and for std that are not positive.
  Normalize(std::vector<double> mean, std::vector<double> std);
  /// Changes the image; a Transform.
  void operator()(Image& image, Generator& random) const;

 private:
  std::vector<float> mean_;
  std::vector<float> std_;
};

/// Mirrors left and right with probability p.
class RandomHorizontalFlip {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit RandomHorizontalFlip(double p = 0.5);
  /// Changes the image; a Transform.
  void operator()(Image& image, Generator& random) const;

 private:
  double p_;
};

/// A window of size x size pixels at a random place, after a border of `padding` zeros has been put
/// around the image. Throws Error when run on an image that is too small.
class RandomCrop {
 public:
  /// Throws Error unless size >= 1 and padding >= 0.
  explicit RandomCrop(int64_t size, int64_t padding = 0);
  /// Changes the image; a Transform.
  void operator()(Image& image, Generator& random) const;

 private:
  int64_t size_;
  int64_t padding_;
};

/// One transform after the other.
class Compose {
 public:
  /// They run in the order given.
  explicit Compose(std::vector<Transform> transforms) : transforms_(std::move(transforms)) {}
  /// Changes the image; a Transform.
  void operator()(Image& image, Generator& random) const {
    for (const Transform& transform : transforms_) transform(image, random);
  }

 private:
  std::vector<Transform> transforms_;
};

}  // namespace tern::data
