// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/core/error.h>
#include <tern/core/random.h>
#include <tern/core/tensor.h>
#include <tern/data/idx.h>
#include <tern/data/images.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "support.h"

using tern::test::contains;
using tern::test::message_of;

namespace {

using namespace tern;
namespace fs = std::filesystem;

std::string idx_bytes(const std::vector<uint32_t>& sizes, size_t count, char type = 8) {
  std::string bytes{'\0', '\0', type, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (const unsigned shift : {24u, 16u, 8u, 0u})
      bytes += static_cast<char>(size >> shift & 255u);
  }
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(i * 7 % 251);
  return bytes;
}

std::string label_bytes(const std::vector<char>& labels) {
  std::string bytes = idx_bytes({static_cast<uint32_t>(labels.size())}, 0);
  return bytes.append(labels.begin(), labels.end());
}

class Files : public ::testing::Test {
 protected:
  std::string root() const { return directory_.string(); }
  std::string path(const std::string& name) const { return (directory_ / name).string(); }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  std::string write_gz(const std::string& name, const std::string& bytes) const {
    const gzFile file = gzopen(path(name).c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return path(name);
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string idx_error(const std::string& name) const {
    const std::string message = message_of([&] { data::read_idx(path(name)); });
    EXPECT_TRUE(contains(message, path(name))) << message;
    return message;
  }

  tern::test::TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

TEST_F(Files, IdxIsReadPlainAndCompressed) {
  const std::string bytes = idx_bytes({2, 3, 4}, 24);
  for (const std::string& file : {write("plain", bytes), write_gz("packed.gz", bytes)}) {
    const data::Idx idx = data::read_idx(file);
    EXPECT_EQ(idx.shape, (Shape{2, 3, 4}));
    ASSERT_EQ(idx.bytes.size(), 24u);
    for (size_t i = 0; i < 24; ++i) EXPECT_EQ(idx.bytes[i], i * 7 % 251);
  }
}

TEST_F(Files, AnIdxFileWithAnEmptyAxisIsRead) {
  write("empty", idx_bytes({0, 28, 28}, 0));
  EXPECT_EQ(data::read_idx(path("empty")).shape, (Shape{0, 28, 28}));
  EXPECT_TRUE(data::read_idx(path("empty")).bytes.empty());
  write("huge", idx_bytes({0, 0xffffffffu, 0xffffffffu, 0xffffffffu}, 0));
  EXPECT_TRUE(contains(idx_error("huge"), "impossible size"));
  write("labels", idx_bytes({0}, 0));
  const data::IdxImages none({.images = path("empty"), .labels = path("labels")});
  EXPECT_EQ(none.size(), 0);
  EXPECT_TRUE(contains(message_of([&] { none.get(0); }), "there are no examples"));
  EXPECT_TRUE(contains(message_of([&] { none.batch({}, 0); }), "indices is empty"));
  write("t10k-images-idx3-ubyte", idx_bytes({0, 28, 28}, 0));
  write("t10k-labels-idx1-ubyte", idx_bytes({0}, 0));
  EXPECT_EQ(data::MNIST({.train = false, .root = root()}).size(), 0);
}

TEST_F(Files, AnyImagesInIdxFilesAreReadWithTheirClasses) {
  write("images", idx_bytes({3, 2, 2}, 12));
  write_gz("labels.gz", label_bytes({1, 26, 2}));
  const data::IdxImagesOptions options{
      .images = path("images"), .labels = path("labels.gz"), .num_classes = 26, .first_label = 1};
  const data::IdxImages letters(options);
  EXPECT_EQ(letters.num_classes(), 26);
  EXPECT_EQ(letters.batch(std::vector<int64_t>{0, 1, 2}, 0).y.to_vector<int64_t>(),
            (std::vector<int64_t>{0, 25, 1}));
  EXPECT_EQ(letters.get(1).x.to_vector<float>()[1], 35.0f / 255.0f);
  const auto error = [&](int64_t classes, int64_t first) {
    data::IdxImagesOptions wrong = options;
    wrong.num_classes = classes;
    wrong.first_label = first;
    return message_of([&] { data::IdxImages images(wrong); });
  };
  EXPECT_TRUE(contains(error(25, 1), "label 1 is 26, want 1 to 25")) << error(25, 1);
  EXPECT_TRUE(contains(error(26, 2), "label 0 is 1, want 2 to 27"));
  EXPECT_EQ(error(27, 0), "nothing was thrown");
  EXPECT_TRUE(contains(error(0, 0), "num_classes is 0"));
  EXPECT_TRUE(contains(error(257, 0), "num_classes is 257"));
  EXPECT_TRUE(contains(error(26, -1), "first_label is -1"));
}

TEST_F(Files, DamagedIdxFilesAreRefused) {
  const std::string bytes = idx_bytes({2, 300, 40}, 24000);
  write("truncated", bytes.substr(0, 20000));
  EXPECT_TRUE(contains(idx_error("truncated"), "truncated: it has 19984 bytes"));
  write("header", bytes.substr(0, 9));
  EXPECT_TRUE(contains(idx_error("header"), "truncated in its header"));
  write("longer", bytes + "x");
  EXPECT_TRUE(contains(idx_error("longer"), "trailing data after the 24000 bytes"));
  write("magic", "PNG" + bytes);
  EXPECT_TRUE(contains(idx_error("magic"), "does not begin with the magic number"));
  for (const size_t garbage : {0u, 1u, 2u}) {
    std::string magic = bytes;
    magic[garbage] = 'x';
    write("garbage", magic);
    EXPECT_NE(idx_error("garbage"), "nothing was thrown") << garbage;
  }
  write("empty", "");
  EXPECT_TRUE(contains(idx_error("empty"), "does not begin with the magic number"));
  write("floats", idx_bytes({4}, 16, 0x0d));
  EXPECT_TRUE(contains(idx_error("floats"), "type is 13"));
  write("axes", idx_bytes(std::vector<uint32_t>(9, 1), 1));
  EXPECT_TRUE(contains(idx_error("axes"), "9 axes"));
  write("absurd", idx_bytes({0xffffffffu, 0xffffffffu, 0xffffffffu}, 5));
  EXPECT_TRUE(contains(idx_error("absurd"), "impossible size"));
  // A promise of much more than there is costs no memory.
  write("promise", idx_bytes({0xffffffffu, 60000}, 5));
  EXPECT_TRUE(contains(idx_error("promise"), "truncated: it has 5 bytes"));
  EXPECT_TRUE(contains(idx_error("missing"), "No such file"));
  EXPECT_TRUE(contains(message_of([&] { data::read_idx(root()); }), "not a regular file"));

  write_gz("whole.gz", bytes);
  const std::string whole = read("whole.gz");
  write("cut.gz", whole.substr(0, whole.size() / 2));
  EXPECT_TRUE(contains(idx_error("cut.gz"), "damaged or truncated"));
  write("cut_trailer.gz", whole.substr(0, whole.size() - 4));
  EXPECT_TRUE(contains(idx_error("cut_trailer.gz"), "damaged or truncated"));
  std::string wrong = whole;
  wrong[whole.size() - 6] = static_cast<char>(~wrong[whole.size() - 6]);  // in the checksum
  write("checksum.gz", wrong);
  EXPECT_TRUE(contains(idx_error("checksum.gz"), "damaged or truncated"));
}

TEST_F(Files, FashionMnistIsReadAndScaled) {
  write_gz("t10k-images-idx3-ubyte.gz", idx_bytes({3, 4, 5}, 60));
  write("t10k-labels-idx1-ubyte", label_bytes({9, 0, 4}));
  const data::FashionMNIST set({.train = false, .root = root()});
  ASSERT_EQ(set.size(), 3);
  EXPECT_EQ(set.num_classes(), 10);
  const std::vector<int64_t> indices{2, 0};
  const data::Batch batch = set.batch(indices, 0);
  EXPECT_EQ(batch.x.shape(), (Shape{2, 1, 4, 5}));
  EXPECT_EQ(batch.y.to_vector<int64_t>(), (std::vector<int64_t>{4, 9}));
  const auto x = batch.x.to_vector<float>();
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(x[i], static_cast<float>((40 + i) * 7 % 251) / 255.0f);
    EXPECT_EQ(x[20 + i], static_cast<float>(i * 7 % 251) / 255.0f);
  }
  const data::Example example = set.get(1);
  EXPECT_EQ(example.x.shape(), (Shape{1, 4, 5}));
  EXPECT_EQ(example.y.shape(), Shape{});
  EXPECT_EQ(example.y.item<int64_t>(), 0);
  EXPECT_EQ(example.x.to_vector<float>()[3], static_cast<float>(23 * 7 % 251) / 255.0f);
}

TEST_F(Files, DebiansFashionMnistIsTheDefault) {
  ASSERT_TRUE(fs::exists(data::FashionMNIST::kDefaultRoot)) << "apt install dataset-fashion-mnist";
  const data::FashionMNIST set({.train = false});
  ASSERT_EQ(set.size(), 10000);
  const std::vector<int64_t> indices{0, 1, 9999};
  const data::Batch batch = set.batch(indices, 0);
  EXPECT_EQ(batch.x.shape(), (Shape{3, 1, 28, 28}));
  EXPECT_EQ(batch.y.to_vector<int64_t>(), (std::vector<int64_t>{9, 2, 5}));
  EXPECT_EQ(data::FashionMNIST::class_names()[9], "Ankle boot");
}

TEST_F(Files, FashionMnistSaysWhatIsWrong) {
  const auto message = [&] {
    return message_of([&] { data::FashionMNIST({.train = true, .root = root()}); });
  };
  EXPECT_TRUE(contains(message(), "cannot find train-images-idx3-ubyte")) << message();
  EXPECT_TRUE(contains(message(), root()));
  EXPECT_TRUE(contains(message(), "apt install dataset-fashion-mnist"));
  write("train-images-idx3-ubyte", idx_bytes({3, 2, 2}, 12));
  EXPECT_TRUE(contains(message(), "cannot find train-labels-idx1-ubyte")) << message();
  write("train-labels-idx1-ubyte", label_bytes({1, 2}));
  EXPECT_TRUE(contains(message(), "has 3 images and")) << message();
  write("train-labels-idx1-ubyte", label_bytes({1, 10, 3}));
  EXPECT_TRUE(contains(message(), "label 1 is 10")) << message();
  write("train-labels-idx1-ubyte", label_bytes({1, 2, 3}));
  EXPECT_EQ(message(), "nothing was thrown");
  write("train-labels-idx1-ubyte", idx_bytes({3, 1}, 3));
  EXPECT_TRUE(contains(message(), "want labels")) << message();
  write("train-images-idx3-ubyte", idx_bytes({3}, 3));
  EXPECT_TRUE(contains(message(), "want images")) << message();
  EXPECT_TRUE(contains(message_of([] { data::MNIST({.train = true}); }), "no root given"));
}

TEST_F(Files, CifarIsReadChannelsLast) {
  const auto records = [](int count, int first_label) {
    std::string bytes;
    for (int r = 0; r < count; ++r) {
      bytes += static_cast<char>(first_label + r);
      for (int c = 0; c < 3; ++c) {
        for (int i = 0; i < 1024; ++i) bytes += static_cast<char>((i + 100 * c + r) % 256);
      }
    }
    return bytes;
  };
  for (int i = 1; i <= 5; ++i) write("data_batch_" + std::to_string(i) + ".bin", records(2, i));
  const data::CIFAR10 set({.root = root()});
  ASSERT_EQ(set.size(), 10);
  const std::vector<int64_t> indices{3, 0};
  const data::Batch batch = set.batch(indices, 0);
  EXPECT_EQ(batch.x.shape(), (Shape{2, 3, 32, 32}));
  EXPECT_EQ(batch.x.memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(batch.y.to_vector<int64_t>(), (std::vector<int64_t>{3, 1}));
  const auto x = batch.x.to_vector<float>();
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_EQ(x[c * 1024 + 40], static_cast<float>((40 + 100 * c + 1) % 256) / 255.0f);
  }
  EXPECT_EQ(set.get(3).x.to_vector<float>(), std::vector<float>(x.begin(), x.begin() + 3072));

  EXPECT_TRUE(contains(message_of([&] { data::CIFAR10({.train = false, .root = root()}); }),
                       "cannot find test_batch.bin"));
  write("test_batch.bin", records(2, 1).substr(1));
  EXPECT_TRUE(contains(message_of([&] { data::CIFAR10({.train = false, .root = root()}); }),
                       "want a multiple of 3073"));
  write("test_batch.bin", records(2, 9));
  EXPECT_TRUE(contains(message_of([&] { data::CIFAR10({.train = false, .root = root()}); }),
                       "label of record 1 is 10"));
}

/// 2x3 pixels of 2 channels, each value its own.
data::Image image() {
  data::Image result{.channels = 2, .height = 2, .width = 3};
  for (int i = 0; i < 12; ++i) result.pixels.push_back(static_cast<float>(i));
  return result;
}

TEST(Transforms, NormalizeWorksByChannel) {
  Generator random;
  data::Image x = image();
  data::Normalize({1.0, 2.0}, {2.0, 4.0})(x, random);
  EXPECT_EQ(x.pixels, (std::vector<float>{-0.5f, -0.25f, 0.5f, 0.25f, 1.5f, 0.75f, 2.5f, 1.25f,
                                          3.5f, 1.75f, 4.5f, 2.25f}));
  x = image();
  data::Normalize({1.0}, {2.0})(x, random);
  EXPECT_EQ(x.pixels[11], 5.0f);
  EXPECT_TRUE(contains(message_of([] { data::Normalize({1.0}, {0.0}); }), "std above 0"));
  EXPECT_TRUE(contains(message_of([] { data::Normalize({1.0, 2.0}, {1.0}); }), "mean has 2"));
  EXPECT_TRUE(contains(message_of([&] {
                         data::Normalize({1, 2, 3}, {1, 2, 3})(x, random);
                       }),
                       "has 2 channels"));
}

TEST(Transforms, FlipMirrorsColumnsAndKeepsChannels) {
  Generator random;
  data::Image x = image();
  data::RandomHorizontalFlip(1.0)(x, random);
  EXPECT_EQ(x.pixels, (std::vector<float>{4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7}));
  data::RandomHorizontalFlip(0.0)(x, random);
  EXPECT_EQ(x.pixels[0], 4.0f);
  int flipped = 0;
  for (int i = 0; i < 1000; ++i) {
    x = image();
    data::RandomHorizontalFlip()(x, random);
    flipped += x.pixels[0] == 4.0f;
  }
  EXPECT_NEAR(flipped, 500, 80);
  EXPECT_TRUE(contains(message_of([] { data::RandomHorizontalFlip(1.5); }), "p is 1.5"));
}

TEST(Transforms, CropTakesEveryWindowOfThePaddedImage) {
  Generator random;
  std::set<std::vector<float>> seen;
  for (int i = 0; i < 2000; ++i) {
    data::Image x = image();
    data::RandomCrop(2, 1)(x, random);
    ASSERT_EQ(x.height, 2);
    ASSERT_EQ(x.width, 2);
    ASSERT_EQ(x.pixels.size(), 8u);
    seen.insert(x.pixels);
  }
  // Windows start at 3 rows and 4 columns.
  EXPECT_EQ(seen.size(), 12u);
  EXPECT_TRUE(seen.contains({0, 0, 0, 0, 0, 0, 0, 1}));    // top left, two of four in the border
  EXPECT_TRUE(seen.contains({0, 1, 2, 3, 6, 7, 8, 9}));    // inside
  EXPECT_TRUE(seen.contains({10, 11, 0, 0, 0, 0, 0, 0}));  // bottom right
  data::Image x = image();
  EXPECT_TRUE(contains(message_of([&] { data::RandomCrop(3)(x, random); }),
                       "the image is 2x3, want at least 3x3"));
  EXPECT_TRUE(contains(message_of([] { data::RandomCrop(0); }), "size is 0"));
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t huge : {int64_t{1} << 32, kMost}) {
    EXPECT_TRUE(contains(message_of([&] { data::RandomCrop(huge, huge); }), "want 1 to 1048576"));
    EXPECT_THROW(data::RandomCrop(1, huge), Error);
  }
  x = image();
  data::RandomCrop(2, 1 << 20)(x, random);  // a border that is never made
  EXPECT_EQ(x.pixels.size(), 8u);
}

TEST(Transforms, ComposeAndUsersOwnFunctions) {
  const data::Transform twice = [](data::Image& x, Generator&) {
    for (float& pixel : x.pixels) pixel *= 2;
  };
  const data::Compose both({data::Normalize({0.5}, {0.5}), twice});
  data::ImageData bytes{.height = 1, .width = 2, .num_classes = 2};
  bytes.pixels = {0, 255};
  bytes.labels = {1};
  const data::ImageDataset set(bytes, both);
  EXPECT_EQ(set.get(0).x.to_vector<float>(), (std::vector<float>{-2.0f, 2.0f}));
}

TEST(ImageDataset, RefusesBytesThatDoNotFitAndTransformsThatDisagree) {
  data::ImageData bytes{.height = 1, .width = 2, .num_classes = 2};
  bytes.pixels = {1, 2, 3};
  bytes.labels = {1, 0};
  EXPECT_TRUE(contains(message_of([&] { data::ImageDataset set(bytes); }), "pixels has 3 bytes"));
  bytes.pixels = {1, 2, 3, 4};
  bytes.labels = {1, 2};
  EXPECT_TRUE(contains(message_of([&] { data::ImageDataset set(bytes); }), "a label is 2"));
  bytes.labels = {1, 0};
  const std::vector<int64_t> indices{0, 1};
  const data::ImageDataset uneven(bytes, [](data::Image& x, Generator& random) {
    x.width = 1 + random.integer(1000000);
    x.pixels.resize(static_cast<size_t>(x.width));
  });
  EXPECT_TRUE(contains(message_of([&] { uneven.batch(indices, 0); }), "different sizes"));
  bytes.channels = int64_t{1} << 61, bytes.pixels = {},
  bytes.labels = {0, 1, 0, 1};  // 2^64 bytes in all
  EXPECT_TRUE(contains(message_of([&] { data::ImageDataset set(bytes); }), "pixels has 0 bytes"));
  bytes.channels = 1, bytes.pixels = {1, 2, 3, 4}, bytes.labels = {1, 0};
  EXPECT_TRUE(contains(message_of([&] { data::ImageDataset(bytes).batch({}, 0); }), "is empty"));
  const data::ImageDataset wrong(bytes, [](data::Image& x, Generator&) { x.width = 5; });
  EXPECT_TRUE(contains(message_of([&] { wrong.batch(indices, 0); }), "returned 2 values"));
  const std::vector<int64_t> beyond{2};
  EXPECT_TRUE(
      contains(message_of([&] { data::ImageDataset(bytes).batch(beyond, 0); }), "index is 2"));
}

TEST(TensorDataset, MayBeEmpty) {
  const data::TensorDataset none(zeros({0, 3}), zeros({0}));
  const data::Batch batch = none.batch({}, 0);
  EXPECT_EQ(batch.x.shape(), (Shape{0, 3}));
  EXPECT_EQ(batch.y.shape(), (Shape{0}));
  const std::vector<int64_t> first{0};
  EXPECT_TRUE(contains(message_of([&] { none.batch(first, 0); }), "there are no examples"));
  EXPECT_TRUE(contains(message_of([&] { none.get(0); }), "there are no examples"));
  const data::TensorDataset hollow(zeros({2, 0}));
  EXPECT_EQ(hollow.batch(first, 0).x.shape(), (Shape{1, 0}));
  EXPECT_EQ(hollow.get(1).x.shape(), (Shape{0}));
  EXPECT_EQ(hollow.Dataset::batch(first, 0).x.shape(), (Shape{1, 0}));
  const std::vector<int64_t> extreme{std::numeric_limits<int64_t>::max()};
  EXPECT_THROW(data::TensorDataset(ones({2})).batch(extreme, 0), Error);
}

TEST(TensorDataset, GathersRowsInEitherMemoryFormat) {
  const Tensor x = randn({4, 3, 2, 2});
  const Tensor y = tensor(std::vector<int64_t>{10, 11, 12, 13}, {4});
  const data::TensorDataset rows(x, y);
  const data::TensorDataset last(to_memory_format(x, MemoryFormat::channels_last), y);
  const std::vector<int64_t> indices{3, 1};
  const data::Batch a = rows.batch(indices, 0);
  const data::Batch b = last.batch(indices, 0);
  EXPECT_EQ(a.x.shape(), (Shape{2, 3, 2, 2}));
  EXPECT_EQ(b.x.memory_format(), MemoryFormat::channels_last);
  EXPECT_EQ(a.y.to_vector<int64_t>(), (std::vector<int64_t>{13, 11}));
  const auto all = x.to_vector<float>();
  std::vector<float> expected(all.begin() + 36, all.end());
  expected.insert(expected.end(), all.begin() + 12, all.begin() + 24);
  EXPECT_EQ(a.x.to_vector<float>(), expected);
  EXPECT_EQ(b.x.to_vector<float>(), expected);
  EXPECT_EQ(last.get(3).x.to_vector<float>(), std::vector<float>(all.begin() + 36, all.end()));
  EXPECT_EQ(last.get(3).y.item<int64_t>(), 13);
  EXPECT_TRUE(contains(message_of([&] { rows.get(4); }), "index is 4, want 0 to 3"));
  EXPECT_TRUE(contains(message_of([&] { data::TensorDataset(x, ones({3})); }), "f32[3]"));
  EXPECT_TRUE(
      contains(message_of([&] { data::TensorDataset(full(Shape{}, 1)); }), "at least one axis"));
}

}  // namespace
