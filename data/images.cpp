// SPDX-License-Identifier: Apache-2.0
#include "images.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <utility>

#include "../core/error.h"
#include "../core/internal/resources.h"
#include "idx.h"
#include "internal/example_random.h"

namespace tern::data {
namespace {

/// byte / 255
const std::array<float, 256>& unit_scale() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 255.0f;
    return values;
  }();
  return table;
}

/// `root`/`name` or `root`/`name`.gz, or "" if there is neither.
std::string find_file(const std::string& root, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    const std::string path = root + "/" + name + ending;
    std::error_code error;
    if (std::filesystem::exists(path, error)) return path;
  }
  return "";
}

std::string require_file(const char* op, const std::string& root, const std::string& name,
                         const std::string& hint) {
  std::string path = find_file(root, name);
  if (path.empty()) {
    fail(op, "cannot find ", name, " or ", name, ".gz in ",
         root.empty() ? "'' (no root given)" : root, ": ", hint);
  }
  return path;
}

/// Images and labels in two IDX files.
ImageData read_images(const char* op, const IdxImagesOptions& options) {
  if (options.num_classes < 1 || options.num_classes > 256) {
    fail(op, "num_classes is ", options.num_classes, ", want 1 to 256");
  }
  if (options.first_label < 0 || options.first_label > 255) {
    fail(op, "first_label is ", options.first_label, ", want 0 to 255");
  }
  Idx labels = read_idx(options.labels);
  Idx images = read_idx(options.images);
  if (images.shape.size() != 3) {
    fail(op, options.images, " holds an array ", images.shape,
         ", want images [count,height,width]");
  }
  if (labels.shape.size() != 1) {
    fail(op, options.labels, " holds an array ", labels.shape, ", want labels [count]");
  }
  if (images.shape[0] != labels.shape[0]) {
    fail(op, options.images, " has ", images.shape[0], " images and ", options.labels, " has ",
         labels.shape[0], " labels, want as many: use the files of one data set");
  }
  const int64_t last_label = options.first_label + options.num_classes - 1;
  for (size_t i = 0; i < labels.bytes.size(); ++i) {
    uint8_t& label = labels.bytes[i];
    if (label < options.first_label || label > last_label) {
      fail(op, options.labels, ": label ", i, " is ", int64_t{label}, ", want ",
           options.first_label, " to ", last_label, ": set num_classes and first_label");
    }
    label = static_cast<uint8_t>(label - options.first_label);
  }
  return {.channels = 1,
          .height = images.shape[1],
          .width = images.shape[2],
          .num_classes = options.num_classes,
          .pixels = std::move(images.bytes),
          .labels = std::move(labels.bytes)};
}

/// The training or test set in MNIST's four files.
ImageData read_mnist(const char* op, const std::string& root, bool train, const std::string& hint) {
  const std::string part = train ? "train" : "t10k";
  const std::string images = require_file(op, root, part + "-images-idx3-ubyte", hint);
  return read_images(
      op, {.images = images, .labels = require_file(op, root, part + "-labels-idx1-ubyte", hint)});
}

ImageData read_cifar10(const std::string& given_root, bool train) {
  constexpr char kOp[] = "CIFAR10";
  constexpr int64_t kSide = 32;
  constexpr size_t kPlane = size_t{kSide * kSide};
  constexpr size_t kRecord = 1 + 3 * kPlane;
  constexpr int64_t kClasses = 10;
  std::vector<std::string> names{"test_batch.bin"};
  if (train) {
    names.clear();
    for (int i = 1; i <= 5; ++i) names.push_back("data_batch_" + std::to_string(i) + ".bin");
  }
  std::string root = given_root;
  if (find_file(root, names[0]).empty() &&
      !find_file(root + "/cifar-10-batches-bin", names[0]).empty()) {
    root += "/cifar-10-batches-bin";
  }
  ImageData data{.channels = 3, .height = kSide, .width = kSide, .num_classes = kClasses};
  for (const std::string& name : names) {
    const std::string path = require_file(
        kOp, root, name, "set root to the directory of the binary version (cifar-10-batches-bin)");
    const std::vector<uint8_t> bytes = read_gz(path);
    if (bytes.empty() || bytes.size() % kRecord != 0) {
      fail(kOp, path, " has ", bytes.size(), " bytes, want a multiple of ", kRecord,
           ": it is damaged, or not the binary version");
    }
    for (size_t start = 0; start < bytes.size(); start += kRecord) {
      if (bytes[start] >= kClasses) {
        fail(kOp, path, ": the label of record ", start / kRecord, " is ", int64_t{bytes[start]},
             ", want 0 to ", kClasses - 1);
      }
      data.labels.push_back(bytes[start]);
      for (size_t i = 0; i < kPlane; ++i) {
        for (size_t c = 0; c < 3; ++c) data.pixels.push_back(bytes[start + 1 + c * kPlane + i]);
      }
    }
  }
  return data;
}

}  // namespace

ImageDataset::ImageDataset(ImageData data, Transform transform) : transform_(std::move(transform)) {
  const char* op = "ImageDataset";
  if (data.channels < 1 || data.height < 1 || data.width < 1) {
    fail(op, "images are ", data.channels, "x", data.height, "x", data.width,
         ", want at least 1x1x1");
  }
  const Shape image{data.channels, data.height, data.width};
  const auto pixels = static_cast<size_t>(image.numel());
  if (data.pixels.size() % pixels != 0 || data.pixels.size() / pixels != data.labels.size()) {
    fail(op, "pixels has ", data.pixels.size(), " bytes, want one image ", image, " for each of ",
         data.labels.size(), " labels");
  }
  for (const uint8_t label : data.labels) {
    if (label >= data.num_classes) {
      fail(op, "a label is ", int64_t{label}, ", want 0 to ",
           std::max<int64_t>(data.num_classes, 0) - 1);
    }
  }
  data_ = std::make_shared<const ImageData>(std::move(data));
}

void ImageDataset::load(int64_t index, Generator& random, Image& image) const {
  const ImageData& d = *data_;
  if (size() == 0) fail("ImageDataset", "index is ", index, ", but there are no examples");
  if (index < 0 || index >= size()) {
    fail("ImageDataset", "index is ", index, ", want 0 to ", size() - 1);
  }
  const auto pixels = static_cast<size_t>(d.channels * d.height * d.width);
  const uint8_t* source = d.pixels.data() + static_cast<size_t>(index) * pixels;
  image.channels = d.channels;
  image.height = d.height;
  image.width = d.width;
  image.pixels.resize(pixels);
  const auto& scale = unit_scale();
  std::transform(source, source + pixels, image.pixels.begin(),
                 [&](uint8_t byte) { return scale[byte]; });
  if (!transform_) return;
  transform_(image, random);
  const Shape shape{image.channels, image.height, image.width};
  if (image.pixels.size() != static_cast<size_t>(shape.numel())) {
    fail("ImageDataset", "the transform returned ", image.pixels.size(),
         " values, want as many as ", shape, ", which it declares");
  }
}

Batch ImageDataset::batch(std::span<const int64_t> indices, uint64_t seed) const {
  if (indices.empty()) fail("ImageDataset", "indices is empty, want at least one example");
  return with_resources("ImageDataset", [&] { return stacked(indices, seed); });
}

Batch ImageDataset::stacked(std::span<const int64_t> indices, uint64_t seed) const {
  const auto count = static_cast<int64_t>(indices.size());
  const Tensor y = empty({count}, DType::i64);
  Tensor x;
  Image image;
  for (size_t i = 0; i < indices.size(); ++i) {
    Generator random(seed, static_cast<uint64_t>(indices[i]));
    const ExampleRandom default_random(seed, static_cast<uint64_t>(indices[i]));
    load(indices[i], random, image);
    const Shape shape{count, image.channels, image.height, image.width};
    if (i == 0) {
      x = empty(shape, DType::f32,
                image.channels > 1 ? MemoryFormat::channels_last : MemoryFormat::row_major);
    }
    if (shape != x.shape()) {
      fail("ImageDataset", "the transform returned images of different sizes, for batches ",
           x.shape(), " and ", shape, ": add a RandomCrop");
    }
    std::memcpy(x.raw<float>() + i * image.pixels.size(), image.pixels.data(),
                image.pixels.size() * sizeof(float));
    y.raw<int64_t>()[i] = data_->labels[static_cast<size_t>(indices[i])];
  }
  return {x, y};
}

Example ImageDataset::augmented(int64_t index, Generator& random) const {
  Image image;
  load(index, random, image);
  const Tensor x = empty({image.channels, image.height, image.width});
  const int64_t plane = image.height * image.width;
  for (int64_t i = 0; i < plane; ++i) {
    for (int64_t c = 0; c < image.channels; ++c) {
      x.raw<float>()[c * plane + i] = image.pixels[static_cast<size_t>(i * image.channels + c)];
    }
  }
  return {x, tensor(std::vector<int64_t>{data_->labels[static_cast<size_t>(index)]}, Shape{})};
}

Example ImageDataset::get(int64_t index) const {
  Generator random(0, static_cast<uint64_t>(index));
  return augmented(index, random);
}

IdxImages::IdxImages(const IdxImagesOptions& options)
    : ImageDataset(read_images("IdxImages", options), options.transform) {}

FashionMNIST::FashionMNIST(const ImageOptions& options)
    : ImageDataset(read_mnist("FashionMNIST", options.root.empty() ? kDefaultRoot : options.root,
                              options.train,
                              "install it (apt install dataset-fashion-mnist), or set root to the "
                              "directory of the files"),
                   options.transform) {}

const std::vector<std::string>& FashionMNIST::class_names() {
  static const std::vector<std::string> names = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                 "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                 "Bag",         "Ankle boot"};
  return names;
}

MNIST::MNIST(const ImageOptions& options)
    : ImageDataset(read_mnist("MNIST", options.root, options.train,
                              "set root to the directory of the files"),
                   options.transform) {}

CIFAR10::CIFAR10(const ImageOptions& options)
    : ImageDataset(read_cifar10(options.root, options.train), options.transform) {}

const std::vector<std::string>& CIFAR10::class_names() {
  static const std::vector<std::string> names = {
      "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  return names;
}

}  // namespace tern::data
