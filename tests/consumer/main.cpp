// SPDX-License-Identifier: Apache-2.0
// A small first program with Tern: a net, ten training steps, a file, an error. Returns 0 on
// success.
#include <tern/tern.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using namespace tern;

class Net : public nn::Module {
  nn::Conv2d conv = register_module("conv", nn::Conv2d(1, 8, 3, {.padding = 1, .bias = false}));
  nn::BatchNorm2d bn = register_module("bn", nn::BatchNorm2d(8));
  nn::Linear fc = register_module("fc", nn::Linear(8 * 4 * 4, 10));

 public:
  Tensor forward(const Tensor& x) override {
    return fc(flatten(max_pool2d(relu(bn(conv(x))), 2), 1));
  }
};

bool check(bool holds, const char* what) {
  if (!holds) std::fprintf(stderr, "consumer: %s\n", what);
  return holds;
}

int main(int argc, char** argv) {
  const std::string path = std::string(argc > 1 ? argv[1] : ".") + "/consumer.safetensors";
  manual_seed(0);
  Net net;
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const Tensor x = randn({16, 1, 8, 8});
  const Tensor y =
      tensor(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5}, {16});
  float first = 0, last = 0;
  for (int step = 0; step < 10; ++step) {
    const Tensor loss = cross_entropy(net(x), y);
    sgd.zero_grad();
    loss.backward();
    sgd.step();
    last = loss.item<float>();
    if (step == 0) first = last;
  }
  bool ok = check(std::isfinite(last) && last < first, "the loss does not fall");

  net.eval();
  const std::vector<float> before = net(x).to_vector<float>();
  io::save_safetensors(net.state_dict(), path);
  Net other;
  other.load_state_dict(io::load_safetensors(path));
  other.eval();
  ok &=
      check(other(x).to_vector<float>() == before, "a saved and loaded net returns other numbers");

  // An exception crosses the library's boundary and is caught by its type.
  try {
    net(randn({2, 3, 8, 8}));
    ok &= check(false, "a wrong shape is not an error");
  } catch (const Error& error) {
    ok &= check(std::strstr(error.what(), "conv") != nullptr, error.what());
  }
  std::printf("Tern %s: loss %.3f -> %.3f\n", kVersion, first, last);
  return ok ? 0 : 1;
}
