// SPDX-License-Identifier: Apache-2.0
// The programs of docs/onnx.md, which has their text.
#include <tern/tern.h>

#include <filesystem>
#include <sstream>

#include "support.h"

namespace {

using namespace tern;
using tern::test::read_file;

/// A folder of its own, as the programs name files without one.
class InAFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = std::filesystem::current_path();
    const std::string folder = ::testing::TempDir() + "documentation_onnx";
    std::filesystem::create_directories(folder);
    std::filesystem::current_path(folder);
  }
  void TearDown() override { std::filesystem::current_path(before_); }

 private:
  std::filesystem::path before_;
};
using Onnx = InAFolder;

TEST_F(Onnx, OutAndIn) {
  manual_seed(1);
  const nn::Sequential net(nn::Linear(4, 8), nn::BatchNorm1d(8), nn::ReLU(), nn::Linear(8, 3));
  const Tensor x = randn({6, 4}), classes = randint(0, 3, {6});
  // clang-format off
  //! [SaveOnnxOptions]
  //! [out]
  io::save_onnx(net, {x}, "net.onnx", {.input_names = {"image"}, .output_names = {"scores"}});
  //! [out]
  //! [in]
  io::OnnxNet read = io::load_onnx("net.onnx");
  Tensor scores = read(x);                       // one input, one output
  std::vector<Tensor> all = read.run({x});       // any number of both, in the model's order
  //! [in]
  //! [OnnxNet]
  EXPECT_EQ(scores.shape(), (Shape{6, 3}));
  EXPECT_TRUE(test::same_bits(all[0], scores));
  EXPECT_EQ(read.input_names()[0], "image");
  //! [SaveOnnxOptions]
  //! [tune]
  io::OnnxNet trunk = io::load_onnx("net.onnx");
  trunk.train();
  optim::SGD sgd(trunk.parameters(), {.lr = 0.01});
  cross_entropy(trunk(x), classes).backward();
  sgd.step();
  trunk.eval();
  io::save_onnx(trunk, {x}, "tuned.onnx");
  //! [tune]
  // clang-format on
  EXPECT_FALSE(test::same_bits(io::load_onnx("tuned.onnx")(x), scores));
  //! [OnnxNet]
  EXPECT_TRUE(test::same_bits(io::load_onnx("tuned.onnx")(x), trunk(x)));
}

TEST(OnnxPage, HasThesePrograms) {
  const std::string root = TERN_SOURCE_DIR;
  const std::string page = read_file(root + "/docs/onnx.md");
  const std::string source = read_file(root + "/tests/docs/documentation_onnx_test.cpp");
  for (const std::string name : {"out", "in", "tune"}) {
    const std::string mark = "  //! [" + name + "]\n";
    const size_t begin = source.find(mark) + mark.size();
    std::istringstream lines(source.substr(begin, source.find(mark, begin) - begin));
    std::string program;
    for (std::string line; std::getline(lines, line);) program += line.substr(2) + "\n";
    EXPECT_GT(program.size(), 80u);
    EXPECT_NE(page.find("```cpp\n" + program + "```"), std::string::npos)
        << "docs/onnx.md and this file differ in [" << name << "]:\n"
        << program;
  }
}

}  // namespace
