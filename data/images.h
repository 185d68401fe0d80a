// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataset.h"
#include "transforms.h"

namespace tern::data {

/// Images as bytes in memory: rows, columns, channels; and their classes.
struct ImageData {
  int64_t channels = 1;              ///< values per pixel
  int64_t height = 0;                ///< rows
  int64_t width = 0;                 ///< columns
  int64_t num_classes = 0;           ///< labels are below it
  std::vector<uint8_t> pixels = {};  ///< image after image
  std::vector<uint8_t> labels = {};  ///< one per image
};

/// Images with classes. x is f32 [N,C,H,W] in [0, 1] before the transform, lying channels-last when
/// there is more than one channel, so that a convolution takes it as it is; y is i64 [N]. Copies
/// share the images.
class ImageDataset : public Dataset {
 public:
  /// Throws Error if the numbers of bytes and labels do not fit, or a label is not below
  /// num_classes.
  explicit ImageDataset(ImageData data, Transform transform = {});

  /// The number of examples.
  int64_t size() const override { return static_cast<int64_t>(data_->labels.size()); }
  Example get(int64_t index) const override;
  Example augmented(int64_t index, Generator& random) const override;
  Batch batch(std::span<const int64_t> indices, uint64_t seed) const override;

  const ImageData& data() const { return *data_; }            ///< the images as they are
  int64_t num_classes() const { return data_->num_classes; }  ///< the number of classes

 private:
  /// Image `index`, transformed.
  void load(int64_t index, Generator& random, Image& image) const;

  std::shared_ptr<const ImageData> data_;
  Transform transform_;
};

/// Which part of a data set, from where, changed how.
struct ImageOptions {
  bool train = true;         ///< the training part, or the test part
  std::string root = "";     ///< the directory with the files
  Transform transform = {};  ///< what happens to each image
};

/// Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 60,000 and 10,000 images [1,28,28] of clothes in
/// 10 classes. Reads the four IDX files (train-images-idx3-ubyte, ... each plain or .gz) from
/// `root`, by default from where Debian's package dataset-fashion-mnist puts them. Throws Error
/// that names the file that is missing or damaged.
class FashionMNIST final : public ImageDataset {
 public:
  /// Where Debian's package puts the files.
  static constexpr const char* kDefaultRoot = "/usr/share/datasets/fashion-mnist";
  /// Reads the files. Throws Error that names the one that is missing or damaged.
  explicit FashionMNIST(const ImageOptions& options = {});
  static const std::vector<std::string>& class_names();  ///< by class number
};

/// MNIST (LeCun, Cortes and Burges, 1998): handwritten digits, in files of the same names. There is
/// no default for `root`.
class MNIST final : public ImageDataset {
 public:
  /// Reads the files. Throws Error that names the one that is missing or damaged.
  explicit MNIST(const ImageOptions& options);
};

/// CIFAR-10 (Krizhevsky, 2009), "binary version": data_batch_1.bin to data_batch_5.bin and
/// test_batch.bin in `root` or in its cifar-10-batches-bin, images [3,32,32].
class CIFAR10 final : public ImageDataset {
 public:
  /// Reads the files. Throws Error that names the one that is missing or damaged.
  explicit CIFAR10(const ImageOptions& options);
  static const std::vector<std::string>& class_names();  ///< by class number
};

}  // namespace tern::data
