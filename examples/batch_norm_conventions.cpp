// SPDX-License-Identifier: Apache-2.0
// One layer, two conventions: the input of MindSpore's page on how its BatchNorm2d differs from
// torch.nn.BatchNorm2d, in both data formats and with both frameworks' settings. Checks its own
// numbers, and exits with 1 if one is wrong. With a file name, also draws how running statistics
// converge: batch_norm_conventions docs/batch_norm.svg
#include <tern/tern.h>

#include <cmath>
#include <cstdio>
#include <fstream>

using namespace tern;

namespace {

int mistakes = 0;

void expect(const char* what, double got, double want, double tolerance = 1e-5) {
  const bool fits = std::abs(got - want) <= tolerance;
  if (!fits) ++mistakes;
  std::printf("  %-28s %10.6f  %s\n", what, got, fits ? "as expected" : "WRONG");
}

struct Convention {
  const char* name;
  nn::BatchNormOptions options;
  double running_var;
};

void show(Convention convention, DataFormat format) {
  // [1,3,2,2]: 0.1 to 1.2.
  Tensor x = reshape(arange(1, 13, 1, DType::f32) * 0.1, {1, 3, 2, 2});
  if (format == DataFormat::NHWC) x = permute(x, {0, 2, 3, 1});  // the same memory, renamed axes
  convention.options.data_format = format;
  nn::BatchNorm2d bn(3, convention.options);

  std::printf("%s, %s\n", convention.name, to_string(format));
  Tensor y = bn(x);
  if (format == DataFormat::NHWC) y = permute(y, {0, 3, 1, 2});
  const double want[] = {-1.341104, -0.447035, 0.447035, 1.341104};
  const auto values = y.to_vector<float>();
  for (size_t i = 0; i < 4; ++i) expect("training, channel 0", values[i], want[i]);
  for (size_t i = 4; i < 12; ++i) mistakes += std::abs(values[i] - want[i % 4]) > 1e-5;
  expect("running_mean of channel 0", bn.running_mean().to_vector<float>()[0], 0.025);
  expect("running_var of channel 0", bn.running_var().to_vector<float>()[0],
         convention.running_var);

  // Evaluation uses the running statistics. MindSpore's layers start in that mode, Tern's in
  // training.
  nn::BatchNorm2d fresh(3, convention.options);
  fresh.eval();
  expect("evaluation of ones, fresh", fresh(ones(x.shape())).to_vector<float>()[0], 0.999995);
}

/// Running statistics over 60 batches of 8 values with mean 3 and variance 4.
void draw(const char* path) {
  manual_seed(1);
  const char* colours[] = {"#1b6ca8", "#c8553d", "#3a7d44"};
  const char* names[] = {"keep(0.9) = update(0.1)", "keep(0.5) = update(0.5)", "cumulative()"};
  nn::BatchNorm2d layers[] = {nn::BatchNorm2d(1),
                              nn::BatchNorm2d(1, {.momentum = Momentum::keep(0.5)}),
                              nn::BatchNorm2d(1, {.momentum = Momentum::cumulative()})};
  std::string lines[2][3];
  for (int i = 0; i <= 60; ++i) {
    if (i > 0) {
      const Tensor x = randn({8, 1, 1, 1}) * 2.0 + 3.0;
      for (auto& layer : layers) layer(x);
    }
    for (int k = 0; k < 3; ++k) {
      const double value[] = {layers[k].running_mean().item<float>(),
                              layers[k].running_var().item<float>()};
      for (int panel = 0; panel < 2; ++panel) {
        char point[48];
        std::snprintf(point, sizeof point, "%d,%.1f ", 50 + panel * 340 + i * 5,
                      230 - value[panel] * (panel == 0 ? 40 : 24));
        lines[panel][k] += point;
      }
    }
  }
  std::ofstream out(path);
  out << "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 720 290' font-family='sans-serif' "
         "font-size='13'>\n<rect width='720' height='290' fill='white'/>\n";
  for (int panel = 0; panel < 2; ++panel) {
    const int left = 50 + panel * 340, truth = panel == 0 ? 230 - 3 * 40 : 230 - 4 * 24;
    out << "<text x='" << left << "' y='20'>" << (panel == 0 ? "running_mean" : "running_var")
        << "</text>\n<path d='M" << left << " 30V230H" << left + 300
        << "' fill='none' stroke='#888'/>\n<path d='M" << left << " " << truth << "h300"
        << "' stroke='#888' stroke-dasharray='4 4'/>\n<text x='" << left - 8 << "' y='" << truth + 4
        << "' text-anchor='end' fill='#555'>" << (panel == 0 ? 3 : 4) << "</text>\n<text x='"
        << left - 8 << "' y='234' text-anchor='end' fill='#555'>0</text>\n"
        << "<text x='" << left + 300
        << "' y='248' text-anchor='end' fill='#555'>60 batches</text>\n";
    for (int k = 0; k < 3; ++k) {
      out << "<polyline points='" << lines[panel][k] << "' fill='none' stroke='" << colours[k]
          << "' stroke-width='2'/>\n";
    }
  }
  for (int k = 0; k < 3; ++k) {
    out << "<path d='M" << 60 + k * 220 << " 270h24' stroke='" << colours[k]
        << "' stroke-width='2'/><text x='" << 90 + k * 220 << "' y='274'>" << names[k]
        << "</text>\n";
  }
  out << "</svg>\n";
}

}  // namespace

int main(int argc, char** argv) {
  const Convention conventions[] = {
      {"PyTorch: momentum 0.1, unbiased running variance",
       {.momentum = Momentum::update(0.1)},
       0.90166667},
      {"MindSpore on CPU: momentum 0.9, biased running variance",
       {.momentum = Momentum::keep(0.9), .running_var = RunningVar::biased},
       0.90125},
  };
  for (const Convention& convention : conventions) {
    for (DataFormat format : {DataFormat::NCHW, DataFormat::NHWC}) show(convention, format);
  }
  if (argc > 1) draw(argv[1]);
  std::printf("%d numbers are wrong\n", mistakes);
  return mistakes == 0 ? 0 : 1;
}
