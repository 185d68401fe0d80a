// SPDX-License-Identifier: Apache-2.0
// The README's program.
#include <tern/tern.h>

#include <iostream>

using namespace tern;

class Net : public nn::Module {
  nn::Conv2d conv = register_module("conv", nn::Conv2d(1, 32, 3, {.padding = 1, .bias = false}));
  nn::BatchNorm2d bn = register_module("bn", nn::BatchNorm2d(32));
  nn::Linear fc = register_module("fc", nn::Linear(32 * 14 * 14, 10));

 public:
  Tensor forward(const Tensor& x) override {
    Tensor h = max_pool2d(relu(bn(conv(x))), 2);
    return fc(flatten(h, 1));
  }
};

int main() {
  manual_seed(0);
  Net net;
  optim::SGD sgd(net.parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4});
  data::DataLoader loader(data::FashionMNIST(),
                          {.batch_size = 64, .shuffle = true, .drop_last = true});
  Tensor loss;
  for (auto [x, y] : loader) {
    loss = cross_entropy(net(x), y);
    sgd.zero_grad();
    loss.backward();
    sgd.step();
  }
  std::cout << "loss of the last batch: " << loss.item<float>() << "\n";
}
