// SPDX-License-Identifier: Apache-2.0
// examples/resnet_cifar on a few images in CIFAR-10's binary format.
#include <gtest/gtest.h>
#include <resnet_cifar/resnet.h>
#include <resnet_cifar/training.h>
#include <tern/tern.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

using namespace tern;

namespace {

// Images that a class colours: red, green and blue have a level of their own, plus noise.
void write_images(const std::filesystem::path& path, int count, Generator& random) {
  std::ofstream file(path, std::ios::binary);
  for (int i = 0; i < count; ++i) {
    const auto label = static_cast<int>(random.integer(10));
    file.put(static_cast<char>(label));
    for (int channel = 0; channel < 3; ++channel) {
      const int level = 40 + (label * (2 * channel + 3) % 10) * 18;
      for (int pixel = 0; pixel < 32 * 32; ++pixel) {
        const int value = level + static_cast<int>(random.integer(41)) - 20;
        file.put(static_cast<char>(std::clamp(value, 0, 255)));
      }
    }
  }
}

class ResNetCifar : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(::testing::TempDir()) /
            ("resnet_cifar_" + std::string(info->name()) + std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::filesystem::path root_;
};

TEST_F(ResNetCifar, LearnsFromADirectory) {
  Generator random(1);
  for (int i = 1; i <= 5; ++i) {
    write_images(root_ / ("data_batch_" + std::to_string(i) + ".bin"), 32, random);
  }
  write_images(root_ / "test_batch.bin", 40, random);
  const std::string weights = (root_ / "weights.safetensors").string();
  std::ostringstream out;
  const auto results = resnet_cifar::train({.data = root_.string(),
                                            .blocks = 1,
                                            .epochs = 6,
                                            .batch_size = 16,
                                            .lr = 0.05,
                                            .seed = 1,
                                            .save = weights},
                                           out);
  ASSERT_EQ(results.size(), 6u);
  EXPECT_LT(results.back().train_loss, 0.6 * results.front().train_loss) << out.str();
  EXPECT_GT(results.back().test_accuracy, 0.5) << out.str();
  EXPECT_NE(out.str().find("epoch   6  loss"), std::string::npos) << out.str();

  resnet_cifar::ResNet net(1);
  net.load_state_dict(io::load_safetensors(weights));
  data::DataLoader test(data::CIFAR10({.train = false,
                                       .root = root_.string(),
                                       .transform = data::Normalize({0.4914, 0.4822, 0.4465},
                                                                    {0.2470, 0.2435, 0.2616})}),
                        {.batch_size = 16});
  EXPECT_EQ(resnet_cifar::evaluate(net, test), results.back().test_accuracy);
}

TEST_F(ResNetCifar, SaysInOneLineHowToGetTheData) {
  for (const std::string& directory : {std::string(), root_.string()}) {
    std::ostringstream out;
    try {
      resnet_cifar::train({.data = directory}, out);
      FAIL() << "should have thrown";
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"),
                std::string::npos);
      EXPECT_NE(message.find("--data"), std::string::npos);
      EXPECT_EQ(message.find('\n'), std::string::npos);
    }
  }
}

TEST_F(ResNetCifar, IsTheNetOfThePaper) {
  resnet_cifar::ResNet net;
  int64_t parameters = 0;
  for (const Tensor& parameter : net.parameters()) parameters += parameter.numel();
  EXPECT_EQ(parameters, 272474);  // 269,722 in the paper's option A, and two 1x1 convolutions
  const StateDict dict = net.state_dict();
  for (const char* name : {"conv1.weight", "bn1.num_batches_tracked", "layer1.0.conv1.weight",
                           "layer2.0.downsample.0.weight", "layer3.2.bn2.running_var", "fc.bias"}) {
    EXPECT_TRUE(dict.contains(name)) << name;
  }
  EXPECT_EQ(net(randn({2, 3, 32, 32})).shape(), (Shape{2, 10}));
}

}  // namespace
