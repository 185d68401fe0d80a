// SPDX-License-Identifier: Apache-2.0
// Runs the examples as a user does, with good input and with bad.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "support.h"

using namespace tern;
namespace fs = std::filesystem;

using tern::support::read_file;

namespace {

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

class Examples : public ::testing::Test {
 protected:
  Outcome run(const std::string& program, const std::string& arguments = "") const {
    const std::string out = dir_ / "stdout", err = dir_ / "stderr";
    const std::string command = std::string("'") + TERN_EXAMPLES_DIR + "/" + program + "' " +
                                arguments + " >'" + out + "' 2>'" + err + "'";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, read_file(out), read_file(err)};
  }

  // A data directory in Fashion-MNIST's format: stripes whose place is the class.
  fs::path make_data(int64_t train, int64_t test) const {
    const fs::path data = dir_ / "data";
    fs::create_directories(data);
    write_idx(data, "train", train);
    write_idx(data, "t10k", test);
    return data;
  }

  static void write_idx(const fs::path& data, const std::string& part, int64_t count) {
    const auto big_endian = [](int64_t value) {
      std::string bytes(4, '\0');
      for (int i = 0; i < 4; ++i)
        bytes[static_cast<size_t>(i)] = static_cast<char>(value >> (24 - 8 * i));
      return bytes;
    };
    std::ofstream images(data / (part + "-images-idx3-ubyte"), std::ios::binary);
    std::ofstream labels(data / (part + "-labels-idx1-ubyte"), std::ios::binary);
    images << big_endian(0x803) << big_endian(count) << big_endian(28) << big_endian(28);
    labels << big_endian(0x801) << big_endian(count);
    Generator random(1);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t label = i % 10;
      labels << static_cast<char>(label);
      std::string image(28 * 28, '\0');
      for (size_t p = 0; p < image.size(); ++p) {
        const bool stripe = static_cast<int64_t>(p / 28) / 2 == label + 1;
        image[p] = static_cast<char>(random.integer(100) + (stripe ? 100 : 0));
      }
      images << image;
    }
  }

  // Bad input ends with one line that says what is wrong, and leaves no results behind.
  void expect_refused(const std::string& arguments, const std::string& pattern) const {
    const fs::path out = dir_ / "out";
    fs::remove_all(out);
    const Outcome result = run("train_cnn", arguments + " --out '" + out.string() + "'");
    EXPECT_NE(result.status, 0) << arguments;
    EXPECT_LT(result.status, 128) << arguments << " crashed";
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(std::regex_search(result.err, std::regex(pattern))) << result.err;
    for (const char* file : {"metrics.csv", "model.safetensors", "report.html"}) {
      EXPECT_FALSE(fs::exists(out / file)) << file;
    }
  }

  tern::support::TemporaryDirectory temporary_;
  const fs::path dir_ = temporary_.path();
};

TEST_F(Examples, TrainCnnLearnsAndWritesItsResults) {
  const std::string data = "--data '" + make_data(640, 200).string() + "'";
  const std::string flags = data + " --epochs 2 --batch-size 32 --out '";
  const Outcome first = run("train_cnn", flags + (dir_ / "a").string() + "'");
  ASSERT_EQ(first.status, 0) << first.err;
  std::smatch accuracy;
  ASSERT_TRUE(std::regex_search(first.out, accuracy,
                                std::regex("\ntest accuracy (0\\.\\d{4}|1\\.0000)\n$")))
      << first.out;
  EXPECT_GT(std::stod(accuracy[1]), 0.9);
  EXPECT_EQ(first.out.find_first_of("\r\033"), std::string::npos);

  const StateDict dict = io::load_safetensors(dir_ / "a" / "model.safetensors");
  EXPECT_EQ(dict.at("bn2.running_var").shape(), (Shape{64}));
  EXPECT_EQ(dict.at("bn1.num_batches_tracked").item<int64_t>(), 40);
  EXPECT_EQ(read_file(dir_ / "a" / "metrics.csv").substr(0, 11), "epoch,train");
  EXPECT_NE(read_file(dir_ / "a" / "report.html").find("</html>"), std::string::npos);

  // The same seed and number of threads: the same numbers, the same bytes.
  const Outcome second = run("train_cnn", flags + (dir_ / "b").string() + "' --workers 0");
  EXPECT_EQ(second.out.substr(0, second.out.find("wrote")),
            first.out.substr(0, first.out.find("wrote")));
  for (const char* file : {"metrics.csv", "model.safetensors", "report.html"}) {
    EXPECT_EQ(read_file(dir_ / "a" / file), read_file(dir_ / "b" / file)) << file;
  }
  const Outcome other = run("train_cnn", flags + (dir_ / "c").string() + "' --seed 1 --profile");
  EXPECT_NE(read_file(dir_ / "a" / "model.safetensors"),
            read_file(dir_ / "c" / "model.safetensors"));
  EXPECT_NE(other.out.find("conv2d_backward_weights"), std::string::npos) << other.out;
  EXPECT_NE(other.out.find("steps 11 to 20:"), std::string::npos) << other.out;
  EXPECT_NE(read_file(dir_ / "c" / "trace.json").find("optim::SGD"), std::string::npos);
}

TEST_F(Examples, TrainCnnRefusesBadData) {
  expect_refused("--data '" + (dir_ / "nowhere").string() + "'", "nowhere");

  const fs::path data = make_data(64, 64);
  const std::string flags = "--epochs 1 --batch-size 32 --data '" + data.string() + "'";
  const fs::path images = data / "train-images-idx3-ubyte",
                 labels = data / "train-labels-idx1-ubyte";
  const std::string good_images = read_file(images), good_labels = read_file(labels);
  const auto spoil = [&](const fs::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
  };

  spoil(images, good_images.substr(0, good_images.size() - 5));
  expect_refused(flags, "train-images-idx3-ubyte.*(truncated|ends|short|bytes)");
  std::string magic = good_images;
  magic[0] = 5;
  spoil(images, magic);
  expect_refused(flags, "train-images-idx3-ubyte does not begin as an IDX file");
  spoil(images, "\x1f\x8b\x08\x00 this is no gzip data");
  expect_refused(flags, "train-images-idx3-ubyte");
  spoil(images, good_images);

  std::string wrong = good_labels;
  wrong[20] = 77;
  spoil(labels, wrong);
  expect_refused(flags, "label.*77");
  wrong = good_labels.substr(0, good_labels.size() - 1);
  wrong[7] = 63;
  spoil(labels, wrong);
  expect_refused(flags, "6[34].*6[34]");
}

TEST_F(Examples, TrainCnnRefusesBadFlags) {
  const std::string data = " --data '" + make_data(64, 64).string() + "'";
  expect_refused("--batch-size 65" + data, "65");
  const Outcome unknown = run("train_cnn", "--lrr 3");
  EXPECT_NE(unknown.status, 0);
  EXPECT_NE((unknown.out + unknown.err).find("--lrr"), std::string::npos);
  EXPECT_NE(run("train_cnn", "--epochs x").status, 0);

  const fs::path file = dir_ / "file";
  std::ofstream(file) << "in the way";
  const Outcome unwritable = run("train_cnn", "--out '" + (file / "out").string() + "'" + data);
  EXPECT_NE(unwritable.status, 0);
  EXPECT_NE(unwritable.err.find("--out"), std::string::npos) << unwritable.err;
  expect_refused("--profile no/trace.json" + data, "no/trace.json: No such file");
  const Outcome help = run("train_cnn", "--help");
  EXPECT_EQ(help.status, 0);
  for (const char* flag :
       {"--epochs", "--batch-size", "--lr", "--seed", "--threads", "--data", "--out"}) {
    EXPECT_NE(help.out.find(flag), std::string::npos) << flag;
  }
}

TEST_F(Examples, TrainCnnStopsAtALossThatIsNoNumber) {
  expect_refused(
      "--epochs 1 --batch-size 32 --lr 1e30 --data '" + make_data(320, 64).string() + "'",
      "loss is .*(nan|inf).* in epoch 1, batch \\d+; the first module whose output is not "
      "finite is \\w+");
}

TEST_F(Examples, SmallOnesRun) {
  for (const char* program : {"spiral", "custom_op", "test_a_layer", "batch_norm_conventions"}) {
    const Outcome result = run(program);
    EXPECT_EQ(result.status, 0) << program << "\n" << result.out << result.err;
    EXPECT_FALSE(result.out.empty()) << program;
  }
}

TEST(Readme, ShowsTheHelloExample) {
  const std::string source = TERN_SOURCE_DIR;
  const std::string hello = read_file(fs::path(source) / "examples" / "hello.cpp");
  const std::string code = hello.substr(hello.find("#include"));
  EXPECT_NE(read_file(fs::path(source) / "README.md").find("```cpp\n" + code + "```"),
            std::string::npos)
      << "README.md and examples/hello.cpp differ";
}

}  // namespace
