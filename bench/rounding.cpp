// SPDX-License-Identifier: Apache-2.0
// Rounding errors of Winograd's and oneDNN's direct convolution for each layer and pass, against
// Tern's float64 convolution: prints the table of docs/convolution.md.
#include <tern/tern.h>

#include <cmath>
#include <cstdio>
#include <vector>

using namespace tern;

namespace {

struct Layer {
  int64_t images, channels, outputs, size;
  int64_t stride = 1;
};

std::vector<double> values(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

/// The root mean square and the maximum of the error, relative to the root mean square of the exact
/// values.
void print_error(const Tensor& x, const std::vector<double>& exact) {
  const auto found = values(x);
  double square = 0, of_error = 0, largest = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double error = found[i] - exact[i];
    square += exact[i] * exact[i];
    of_error += error * error;
    largest = std::max(largest, std::fabs(error));
  }
  const double scale = std::sqrt(square / static_cast<double>(exact.size()));
  std::printf(" %.1e / %.1e |", std::sqrt(of_error / square), largest / scale);
}

/// y, dx and dw of a convolution in a dtype.
std::vector<Tensor> passes(const Tensor& x0, const Tensor& w0, const Tensor& dy, DType dtype,
                           int64_t stride, ConvAlgorithm algorithm) {
  const Tensor x = x0.to(dtype).detach().set_requires_grad();
  const Tensor w = w0.to(dtype).detach().set_requires_grad();
  const Tensor y = conv2d(x, w, {}, {.stride = stride, .padding = 1, .algorithm = algorithm});
  y.backward(dy.to(dtype));
  return {y, x.grad(), w.grad()};
}

}  // namespace

int main() {
  manual_seed(0);
  std::printf(
      "| images, channels, image | | y | dx | dweight |\n"
      "|---|---|---|---|---|\n");
  for (const Layer& layer : {Layer{128, 16, 16, 32}, Layer{64, 32, 64, 14}, Layer{32, 64, 64, 32},
                             Layer{32, 256, 256, 8}, Layer{32, 512, 512, 4},
                             Layer{32, 64, 128, 32, 2}, Layer{32, 256, 512, 8, 2}}) {
    // As in a net: x after a ReLU, with He's weights.
    const Tensor x = relu(randn({layer.images, layer.channels, layer.size, layer.size}));
    const Tensor w = randn({layer.outputs, layer.channels, 3, 3}) *
                     std::sqrt(2.0 / (9.0 * static_cast<double>(layer.channels)));
    const int64_t output = layer.size / layer.stride;
    const Tensor dy = randn({layer.images, layer.outputs, output, output});
    std::vector<std::vector<double>> exact;
    for (const Tensor& pass : passes(x, w, dy, DType::f64, layer.stride, ConvAlgorithm::direct)) {
      exact.push_back(values(pass));
    }
    for (const bool winograd : {false, true}) {
      const auto algorithm = winograd ? ConvAlgorithm::automatic : ConvAlgorithm::direct;
      const auto found = passes(x, w, dy, DType::f32, layer.stride, algorithm);
      std::printf("| %lld, %lld to %lld, %lldx%lld%s | %s |", static_cast<long long>(layer.images),
                  static_cast<long long>(layer.channels), static_cast<long long>(layer.outputs),
                  static_cast<long long>(layer.size), static_cast<long long>(layer.size),
                  layer.stride == 2 ? ", stride 2" : "", winograd ? "Winograd" : "direct");
      for (size_t i = 0; i < found.size(); ++i) print_error(found[i], exact[i]);
      std::printf("\n");
    }
  }
}
