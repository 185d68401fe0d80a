// SPDX-License-Identifier: Apache-2.0
#include "images.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <utility>

#include "../core/error.h"
#include "idx.h"

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

ImageData read_mnist(const char* op, const std::string& root, bool train, const std::string& hint) {
  const std::string part = train ? "train" : "t10k";
  const std::string images_path = require_file(op, root, part + "-images-idx3-ubyte", hint);
  const std::string labels_path = require_file(op, root, part + "-labels-idx1-ubyte", hint);
  Idx labels = read_idx(labels_path);
  Idx images = read_idx(images_path);
  if (images.shape.size() != 3) {
    fail(op, images_path, " holds an array ", images.shape, ", not images [count,height,width]");
  }
  if (labels.shape.size() != 1) {
    fail(op, labels_path, " holds an array ", labels.shape, ", not labels [count]");
  }
  if (images.shape[0] != labels.shape[0]) {
    fail(op, images_path, " has ", images.shape[0], " images and ", labels_path, " has ",
         labels.shape[0], " labels: these files do not belong together");
  }
  if (images.shape.numel() == 0) fail(op, images_path, " is empty: ", images.shape);
  constexpr int64_t kClasses = 10;
  const auto wrong = std::find_if(labels.bytes.begin(), labels.bytes.end(),
                                  [](uint8_t label) { return label >= kClasses; });
  if (wrong != labels.bytes.end()) {
    fail(op, labels_path, ": label ", wrong - labels.bytes.begin(), " is ", int64_t{*wrong},
         ", there are ", kClasses, " classes, 0 to ", kClasses - 1);
  }
  return {.channels = 1,
          .height = images.shape[1],
          .width = images.shape[2],
          .num_classes = kClasses,
          .pixels = std::move(images.bytes),
          .labels = std::move(labels.bytes)};
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
        kOp, root, name, "give the directory of the binary version (cifar-10-batches-bin) as root");
    const std::vector<uint8_t> bytes = read_gz(path);
    if (bytes.empty() || bytes.size() % kRecord != 0) {
      fail(kOp, path, " has ", bytes.size(), " bytes, which is not a number of records of ",
           kRecord, ": it is damaged, or not the binary version");
    }
    for (size_t start = 0; start < bytes.size(); start += kRecord) {
      if (bytes[start] >= kClasses) {
        fail(kOp, path, ": the label of record ", start / kRecord, " is ", int64_t{bytes[start]},
             ", there are ", kClasses, " classes");
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
    fail(op, "images are ", data.channels, "x", data.height, "x", data.width);
  }
  const Shape image{data.channels, data.height, data.width};
  if (data.pixels.size() != data.labels.size() * static_cast<size_t>(image.numel())) {
    fail(op, "there are ", data.pixels.size(), " bytes of pixels, ", data.labels.size(),
         " labels of images ", image, " need another number");
  }
  for (const uint8_t label : data.labels) {
    if (label >= data.num_classes) {
      fail(op, "a label is ", int64_t{label}, ", there are ", data.num_classes, " classes");
    }
  }
  data_ = std::make_shared<const ImageData>(std::move(data));
}

void ImageDataset::load(int64_t index, Generator& random, Image& image) const {
  const ImageData& d = *data_;
  if (index < 0 || index >= size()) {
    fail("ImageDataset", "there is no example ", index, ", there are ", size());
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
  const int64_t left = image.channels * image.height * image.width;
  if (image.pixels.size() != static_cast<size_t>(left)) {
    fail("ImageDataset", "the transform left ", image.pixels.size(), " pixels in an image ",
         image.channels, "x", image.height, "x", image.width);
  }
}

Batch ImageDataset::batch(std::span<const int64_t> indices, uint64_t seed) const {
  const auto count = static_cast<int64_t>(indices.size());
  const Tensor y = empty({count}, DType::i64);
  Tensor x;
  Image image;
  for (size_t i = 0; i < indices.size(); ++i) {
    Generator random(seed, static_cast<uint64_t>(indices[i]));
    load(indices[i], random, image);
    const Shape shape{count, image.channels, image.height, image.width};
    if (i == 0) {
      x = empty(shape, DType::f32, image.channels > 1 ? Order::channels_last : Order::row_major);
    }
    if (shape != x.shape()) {
      fail("ImageDataset", "the transform makes images of different sizes: a batch of ", x.shape(),
           " and one of ", shape);
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

FashionMNIST::FashionMNIST(const ImageOptions& options)
    : ImageDataset(read_mnist("FashionMNIST", options.root.empty() ? kDefaultRoot : options.root,
                              options.train,
                              "install it (apt install dataset-fashion-mnist), or give as root the "
                              "directory that has the files"),
                   options.transform) {}

const std::vector<std::string>& FashionMNIST::class_names() {
  static const std::vector<std::string> names = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                 "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                 "Bag",         "Ankle boot"};
  return names;
}

MNIST::MNIST(const ImageOptions& options)
    : ImageDataset(read_mnist("MNIST", options.root, options.train,
                              "give as root the directory that has the files"),
                   options.transform) {}

CIFAR10::CIFAR10(const ImageOptions& options)
    : ImageDataset(read_cifar10(options.root, options.train), options.transform) {}

const std::vector<std::string>& CIFAR10::class_names() {
  static const std::vector<std::string> names = {
      "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  return names;
}

}  // namespace tern::data
