// SPDX-License-Identifier: Apache-2.0
// How to test your own layer: gradients against finite differences with a random cotangent, float32
// against float64, both memory formats, weights through a state_dict, invalid input.
#include <tern/tern.h>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace tern;

namespace {

// Squeeze and excitation (Hu et al., 2018): scales each channel of an image by a factor computed
// from the averages of all channels.
class SqueezeExcite : public nn::Module {
 public:
  SqueezeExcite(int64_t channels, int64_t reduction)
      : squeeze(register_module("squeeze", nn::Linear(channels, channels / reduction))),
        excite(register_module("excite", nn::Linear(channels / reduction, channels))) {}

  Tensor forward(const Tensor& x) override {
    const Tensor averages = flatten(adaptive_avg_pool2d(x, 1), 1);
    const Tensor scales = sigmoid(excite(relu(squeeze(averages))));
    return x * reshape(scales, {x.size(0), x.size(1), 1, 1});
  }

  nn::Linear squeeze;
  nn::Linear excite;
};

int failures = 0;

void expect(bool condition, const char* what) {
  std::printf("%s  %s\n", condition ? "ok   " : "WRONG", what);
  failures += condition ? 0 : 1;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const auto u = a.to(DType::f64).to_vector<double>();
  const auto v = b.to(DType::f64).to_vector<double>();
  double largest = 0;
  for (size_t i = 0; i < u.size(); ++i) largest = std::max(largest, std::abs(u[i] - v[i]));
  return largest;
}

}  // namespace

int main() {
  manual_seed(0);
  SqueezeExcite layer(8, 4);
  SqueezeExcite exact = layer.clone();
  exact.to(DType::f64);

  // gradcheck throws an Error that names the worst element of the worst input. The parameters are
  // inputs too: it changes them in place, in the layer itself.
  const Tensor x = randn({2, 8, 3, 4}, DType::f64).set_requires_grad();
  std::vector<Tensor> inputs{x};
  for (const Tensor& parameter : exact.parameters()) inputs.push_back(parameter);
  try {
    const auto f = [&](const std::vector<Tensor>& in) { return exact(in[0]); };
    expect(gradcheck(f, inputs), "gradients agree with finite differences");
    expect(gradgradcheck(f, inputs), "so do gradients of gradients");
  } catch (const Error& error) {
    expect(false, error.what());
  }

  const Tensor image = x.detach().to(DType::f32);
  expect(largest_difference(layer(image), exact(x)) < 1e-6, "float32 agrees with float64");
  expect(largest_difference(layer(to_memory_format(image, MemoryFormat::channels_last)),
                            layer(image)) < 1e-6,
         "the memory format of the image does not matter");

  SqueezeExcite other(8, 4);
  expect(largest_difference(other(image), layer(image)) > 1e-3, "a new layer has other weights");
  other.load_state_dict(layer.state_dict());
  expect(largest_difference(other(image), layer(image)) == 0.0,
         "a state_dict contains all weights");

  bool noticed = false;
  try {
    layer(randn({2, 7, 3, 4}));
  } catch (const Error& error) {
    noticed = true;
    std::printf("       %s\n", error.what());
  }
  expect(noticed, "an image with the wrong number of channels is an error");
  return failures == 0 ? 0 : 1;
}
