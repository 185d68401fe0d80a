// SPDX-License-Identifier: Apache-2.0
// Trains a small net to tell the three arms of a spiral apart: no data files, a few seconds.
#include <tern/tern.h>

#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

using namespace tern;

namespace {

constexpr int64_t kArms = 3;
constexpr int64_t kPointsPerArm = 200;

// Points [N,2] along the arms, with noise, and the arm of each [N].
std::pair<Tensor, Tensor> make_spirals() {
  std::vector<float> points;
  std::vector<int64_t> arms;
  Generator& random = default_generator();
  for (int64_t arm = 0; arm < kArms; ++arm) {
    for (int64_t i = 0; i < kPointsPerArm; ++i) {
      const double radius = static_cast<double>(i + 1) / kPointsPerArm;
      const double angle = 4.0 * radius + 2.0 * 3.14159265 * static_cast<double>(arm) / kArms +
                           0.1 * random.normal();
      points.push_back(static_cast<float>(radius * std::cos(angle)));
      points.push_back(static_cast<float>(radius * std::sin(angle)));
      arms.push_back(arm);
    }
  }
  const auto count = static_cast<int64_t>(arms.size());
  return {tensor(points, {count, 2}), tensor(arms, {count})};
}

double accuracy(nn::Module& net, const Tensor& points, const Tensor& arms) {
  const NoGrad no_grad;
  const nn::EvalMode evaluation(net);
  return mean(eq(argmax(net(points), 1), arms).to(DType::f32)).item<double>();
}

}  // namespace

int main() {
  manual_seed(0);
  const auto [points, arms] = make_spirals();
  nn::Sequential net(nn::Linear(2, 64), nn::BatchNorm1d(64), nn::ReLU(), nn::Linear(64, 64),
                     nn::BatchNorm1d(64), nn::ReLU(), nn::Linear(64, kArms));
  std::printf("%s\n", to_string(net).c_str());

  constexpr int kSteps = 300;
  optim::Adam adam(net.parameters(), {.lr = 0.01});
  // Small steps at the end: the running statistics of batch norm then fit the weights.
  optim::CosineAnnealingLR schedule(adam, kSteps);
  for (int step = 1; step <= kSteps; ++step) {
    const Tensor loss = cross_entropy(net(points), arms);
    adam.zero_grad();
    loss.backward();
    adam.step();
    schedule.step();
    if (step % 50 == 0) std::printf("step %3d  loss %.4f\n", step, loss.item<double>());
  }

  const double right = accuracy(net, points, arms);
  std::printf("%.1f %% of the points are on the right arm\n", 100.0 * right);
  return right > 0.98 ? 0 : 1;
}
