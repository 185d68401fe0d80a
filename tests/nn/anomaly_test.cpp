// SPDX-License-Identifier: Apache-2.0
// DetectAnomaly: which module and which operation first gave what is not finite.
#include <tern/tern.h>

#include <functional>
#include <limits>

#include "support.h"

namespace {

using namespace tern;
using tern::test::contains;

/// A module that computes `f`, with a child that computes its input.
class Computes : public nn::Module {
  std::function<Tensor(const Tensor&)> f_;
  nn::Identity before_;

 public:
  explicit Computes(std::function<Tensor(const Tensor&)> f) : f_(std::move(f)) {
    register_module("before", before_);
  }
  Tensor forward(const Tensor& x) override { return f_(before_(x)); }
};

nn::AnomalyError anomaly_of(const std::function<void()>& f) {
  try {
    const nn::DetectAnomaly detect;
    f();
  } catch (const nn::AnomalyError& error) {
    return error;
  }
  return {"nothing", "nothing", "nothing was thrown"};
}

TEST(DetectAnomaly, NamesTheFirstOperation) {
  nn::Sequential net(nn::Linear(3, 3), Computes([](const Tensor& x) {
                       return log(x * 0.0) * 2.0 + 1.0;  // -inf, and stays so
                     }),
                     nn::ReLU());
  const nn::AnomalyError error = anomaly_of([&] { net(ones({2, 3})); });
  EXPECT_EQ(error.module(), "1");
  EXPECT_EQ(error.operation(), "log");
  EXPECT_TRUE(contains(error.what(),
                       "6 of 6 elements of the output f32[2,3] are not finite, first "
                       "those of log (in 1)"))
      << error.what();
}

TEST(DetectAnomaly, InfinitiesThatAreNotChosenAreNone) {
  Computes masked([](const Tensor& x) { return where(gt(x, 0.0), log(x), x); });
  Computes then([](const Tensor& x) { return x / (x * 0.0); });
  const nn::AnomalyError error = anomaly_of([&] {
    masked(ones({3}) - 2.0);
    then(ones({3}));
  });
  EXPECT_EQ(error.operation(), "div") << "the log of the module before was no anomaly";
}

TEST(DetectAnomaly, ChecksTheGradientsOfBackwards) {
  nn::Sequential net(Computes([](const Tensor& x) { return sqrt(relu(x)); }));
  const Tensor x = (ones({2}) - 1.0).set_requires_grad();
  const nn::AnomalyError error = anomaly_of([&] { sum(net(x)).backward(); });
  EXPECT_EQ(error.module(), "0");
  EXPECT_EQ(error.operation(), "sqrt backward");
  EXPECT_TRUE(contains(error.what(), "2 of 2 elements of the gradient f32[2]")) << error.what();
}

TEST(DetectAnomaly, NestsAndEnds) {
  Computes nan([](const Tensor& x) { return sqrt(x); });
  const Tensor x = full({1}, -1);
  {
    const nn::DetectAnomaly outer;
    { const nn::DetectAnomaly inner; }
    EXPECT_TRUE(nn::DetectAnomaly::active());
    EXPECT_THROW(nan(x), nn::AnomalyError);
  }
  EXPECT_FALSE(nn::DetectAnomaly::active());
  EXPECT_FALSE(OpScope::listened());
  EXPECT_NO_THROW(nan(x));
}

}  // namespace
