// SPDX-License-Identifier: Apache-2.0
// The programs of docs/from_libtorch.md in Tern, as it was and as it is: the page has their text,
// and they compute the same.
#include <tern/tern.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support.h"

namespace {

// The page's classes call a constructor's argument as the member, which users may.
#pragma GCC diagnostic ignored "-Wshadow"

// How such a program was written before; it still compiles.
namespace before {
//! [before]
using namespace tern;

class Attention : public nn::Module {
  nn::Linear qkv, out;
  int64_t width;

 public:
  explicit Attention(int64_t size) : qkv(size, 3 * size), out(size, size), width(size) {
    register_module("qkv", qkv);
    register_module("out", out);
  }
  Tensor operator()(const Tensor& x, const Tensor& mask) {
    const Running running(*this);  // names the module in errors, checks its registration
    const Tensor h = qkv(x);
    const Tensor q = slice(h, 1, 0, width);
    const Tensor k = slice(h, 1, width, 2 * width);
    const Tensor v = slice(h, 1, 2 * width, 3 * width);
    const Tensor scores = matmul(q, transpose(k, 0, 1)) / std::sqrt(double(width));
    return out(matmul(softmax(where(mask, scores, full({}, -1e9)), 1), v));
  }
};

class Net : public nn::Module {
 public:
  Attention attention{8};
  nn::Linear fc{8, 10};

  Net() {
    register_module("attention", attention);
    register_module("fc", fc);
  }
  Tensor operator()(const Tensor& x, const Tensor& mask) {
    const Running running(*this);
    return fc(attention(x, mask));
  }
};

std::vector<float> program() {
  manual_seed(0);
  Net net;
  const Tensor x = randn({4, 8});
  const Tensor mask = ge(unsqueeze(arange(4), 1), unsqueeze(arange(4), 0));
  Net teacher = net.clone();
  net.fc = nn::Linear(8, 3);
  net.replace_module("fc", net.fc);  // one without the other went unnoticed in evaluation
  const Tensor features = net.attention(x, mask);
  const Tensor loss = mse_loss(net.fc(features), slice(teacher(x, mask), 1, 0, 3));
  loss.backward();
  return {loss.item<float>(), sum(features).item<float>()};
}
//! [before]
}  // namespace before

namespace after {
//! [after]
using namespace tern;

class Attention : public nn::ModuleOf<Attention> {
  nn::Linear qkv, out;

 public:
  explicit Attention(int64_t width)
      : qkv(register_module("qkv", nn::Linear(width, 3 * width))),
        out(register_module("out", nn::Linear(width, width))) {}
  Tensor forward(const Tensor& x, const Tensor& mask) {
    const std::vector<Tensor> parts = chunk(qkv(x), 3, 1);
    const Tensor scores =
        matmul(parts[0], transpose(parts[1], 0, 1)) / std::sqrt(double(x.size(1)));
    return out(matmul(softmax(where(mask, scores, full({}, -1e9)), 1), parts[2]));
  }
};

class Net : public nn::ModuleOf<Net> {
 public:
  Attention attention = register_module("attention", Attention(8));
  nn::Linear fc = register_module("fc", nn::Linear(8, 10));

  Tensor forward(const Tensor& x, const Tensor& mask) { return fc(attention(x, mask)); }
};

std::vector<float> program() {
  manual_seed(0);
  Net net;
  const Tensor x = randn({4, 8});
  const Tensor mask = ge(unsqueeze(arange(4), 1), unsqueeze(arange(4), 0));
  const auto teacher = net.clone();
  net.replace_module(net.fc, nn::Linear(8, 3));
  Tensor features;
  net.attention.register_forward_hook(
      [&](nn::Module&, const auto&, const auto& outputs) { features = outputs[0]; });
  const Tensor loss = mse_loss(net(x, mask), slice(teacher(x, mask), 1, 0, 3));
  loss.backward();
  return {loss.item<float>(), sum(features).item<float>()};
}
//! [after]
}  // namespace after

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(FromLibtorch, TheProgramsComputeTheSame) { EXPECT_EQ(before::program(), after::program()); }

TEST(FromLibtorch, ThePageHasTheirText) {
  const std::string root = TERN_SOURCE_DIR;
  const std::string page = read(root + "/docs/from_libtorch.md");
  const std::string source = read(root + "/tests/docs/documentation_from_libtorch_test.cpp");
  for (const std::string name : {"before", "after"}) {
    const std::string mark = "//! [" + name + "]\n";
    const size_t begin = source.find(mark) + mark.size();
    const std::string program = source.substr(begin, source.find(mark, begin) - begin);
    EXPECT_GT(program.size(), 1000u);
    EXPECT_NE(page.find("```cpp\n#include <tern/tern.h>\n\n" + program + "```"), std::string::npos)
        << "docs/from_libtorch.md and this file differ in [" << name << "]";
  }
}

}  // namespace
