// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataset.h"
#include "transforms.h"

namespace tern::data {

/// Images as bytes, and their class labels. Pixels run by row, column, channel.
struct ImageData {
  int64_t channels = 1;              ///< channels of an image
  int64_t height = 0;                ///< rows of an image
  int64_t width = 0;                 ///< columns of an image
  int64_t num_classes = 0;           ///< labels are 0 to num_classes - 1
  std::vector<uint8_t> pixels = {};  ///< image after image
  std::vector<uint8_t> labels = {};  ///< one per image
};

/// Labelled images. x is f32 [N,C,H,W], in [0, 1] before the transform, and channels-last if there
/// is more than one channel, the format that convolutions use; y is i64 [N]. Copies share the
/// images.
class ImageDataset : public Dataset {
 public:
  /// Throws Error if the numbers of pixels and labels do not match, or a label is not below
  /// num_classes.
  explicit ImageDataset(ImageData data, Transform transform = {});

  /// The number of examples.
  int64_t size() const override { return static_cast<int64_t>(data_->labels.size()); }
  Example get(int64_t index) const override;
  Example augmented(int64_t index, Generator& random) const override;
  /// Throws Error if `indices` is empty, or the transform returns images of different sizes.
  Batch batch(std::span<const int64_t> indices, uint64_t seed) const override;

  const ImageData& data() const { return *data_; }            ///< the images before the transform
  int64_t num_classes() const { return data_->num_classes; }  ///< the number of classes

 private:
  Batch stacked(std::span<const int64_t> indices, uint64_t seed) const;
  /// Image `index`, transformed.
  void load(int64_t index, Generator& random, Image& image) const;

  std::shared_ptr<const ImageData> data_;
  Transform transform_;
};

/// How to load a data set of images.
struct ImageOptions {
  bool train = true;         ///< the training set, or the test set
  std::string root = "";     ///< the directory with the files
  Transform transform = {};  ///< applied to each image
};

/// Where IdxImages finds its files, and what the labels mean.
struct IdxImagesOptions {
  std::string images = "";   ///< path of the IDX file of images [count,height,width]
  std::string labels = "";   ///< path of the IDX file of labels [count]
  int64_t num_classes = 10;  ///< labels are first_label to first_label + num_classes - 1
  int64_t first_label = 0;   ///< label of class 0; 1 for EMNIST letters
  Transform transform = {};  ///< applied to each image
};

/// Any set of grey images in MNIST's format (each file plain or gzipped), such as EMNIST (Cohen et
/// al., 2017) or KMNIST; y is the label minus first_label. The set may be empty.
///
///     data::IdxImages letters({.images = "emnist-letters-train-images-idx3-ubyte.gz",
///                              .labels = "emnist-letters-train-labels-idx1-ubyte.gz",
///                              .num_classes = 26,
///                              .first_label = 1});
class IdxImages final : public ImageDataset {
 public:
  /// Reads the files. Throws Error that names the one that is missing or damaged, and for a label
  /// out of range.
  explicit IdxImages(const IdxImagesOptions& options);
};

/// Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 60,000 and 10,000 images [1,28,28] of clothes in
/// 10 classes. Reads IDX files (train-images-idx3-ubyte, ..., each plain or .gz) from `root`, by
/// default from the directory of Debian's package dataset-fashion-mnist.
class FashionMNIST final : public ImageDataset {
 public:
  /// The directory of Debian's package.
  static constexpr const char* kDefaultRoot = "/usr/share/datasets/fashion-mnist";
  /// Reads the files. Throws Error that names the one that is missing or damaged.
  explicit FashionMNIST(const ImageOptions& options = {});
  static const std::vector<std::string>& class_names();  ///< names of the classes, by label
};

/// MNIST (LeCun, Cortes and Burges, 1998): handwritten digits, in files of the same names. `root`
/// has no default.
class MNIST final : public ImageDataset {
 public:
  /// Reads the files. Throws Error that names the one that is missing or damaged.
  explicit MNIST(const ImageOptions& options);
};

/// CIFAR-10 (Krizhevsky, 2009), "binary version": images [3,32,32] from data_batch_1.bin to
/// data_batch_5.bin and test_batch.bin in `root` or in `root`/cifar-10-batches-bin.
class CIFAR10 final : public ImageDataset {
 public:
  /// Reads the files. Throws Error that names the one that is missing or damaged.
  explicit CIFAR10(const ImageOptions& options);
  static const std::vector<std::string>& class_names();  ///< names of the classes, by label
};

}  // namespace tern::data
