// SPDX-License-Identifier: Apache-2.0
// Checks that every operation's test uses.
#pragma once

#include <gtest/gtest.h>
#include <tern/tern.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "support.h"

namespace tern::test {

using Inputs = std::vector<Tensor>;
using Function = GradcheckFunction;

/// float64 numbers with 0.2 < |x| < 1.7 in random order: away from the kinks at 0.
inline Tensor values(const Shape& shape, uint64_t seed, bool positive = false) {
  Generator generator(seed, 0x7465737473);
  const Tensor x = empty(shape, DType::f64);
  for (double& v : x.data<double>()) {
    v = 0.2 + 1.5 * generator.uniform();
    if (!positive && generator.uniform() < 0.5) v = -v;
  }
  return x;
}
inline Tensor leaf(const Shape& shape, uint64_t seed, bool positive = false) {
  return values(shape, seed, positive).set_requires_grad();
}

/// First and second derivatives against central differences.
inline void expect_gradients(const Function& f, const Inputs& inputs) {
  EXPECT_NO_THROW(gradcheck(f, inputs));
  EXPECT_NO_THROW(gradgradcheck(f, inputs));
}

/// |a - b| <= tolerance * (1 + |b|) everywhere; NaN equals NaN.
inline void expect_close(const Tensor& a, const Tensor& b, double tolerance,
                         const std::string& what = "") {
  ASSERT_EQ(a.shape(), b.shape()) << what;
  const auto x = a.to(DType::f64).to_vector<double>();
  const auto y = b.to(DType::f64).to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    ASSERT_LE(std::fabs(x[i] - y[i]), tolerance * (1 + std::fabs(y[i])))
        << what << " element " << i << ": " << x[i] << " instead of " << y[i];
  }
}

struct Results {
  Tensor y;
  std::vector<Tensor> gradients;
};

/// f and its gradients for a cotangent that depends on the element's index only.
inline Results run(const Function& f, const Inputs& inputs, DType dtype, MemoryFormat order,
                   MemoryFormat cotangent_order) {
  const auto placed = [](const Tensor& x, MemoryFormat wanted) {
    return x.dim() == 4 ? to_memory_format(x, wanted) : x;
  };
  Inputs x;
  for (const Tensor& input : inputs) {
    x.push_back(placed(is_floating(input.dtype()) ? input.detach().to(dtype) : input, order));
    if (input.requires_grad()) x.back().set_requires_grad();
  }
  Results results;
  results.y = f(x);
  const Tensor dy = values(results.y.shape(), 99).to(dtype);
  results.y.backward(placed(dy, cotangent_order));
  for (const Tensor& leaf : x) results.gradients.push_back(leaf.grad());
  return results;
}

/// The fast float32 kernels, the float32 reference and both memory formats against float64.
inline void expect_f32_follows_f64(const Function& f, const Inputs& inputs,
                                   double tolerance = 2e-6) {
  const Results exact =
      run(f, inputs, DType::f64, MemoryFormat::row_major, MemoryFormat::row_major);
  for (const MemoryFormat order : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
    for (const MemoryFormat cotangent : {MemoryFormat::row_major, MemoryFormat::channels_last}) {
      for (const bool reference : {false, true}) {
        for (const DType dtype : {DType::f32, DType::f64}) {
          Results found;
          if (reference) {
            const ReferenceKernels scope;
            found = run(f, inputs, dtype, order, cotangent);
          } else {
            found = run(f, inputs, dtype, order, cotangent);
          }
          const double allowed = dtype == DType::f32 ? tolerance : 1e-13;
          const std::string what = std::string(to_string(dtype)) + " " + to_string(order) +
                                   ", cotangent " + to_string(cotangent) +
                                   (reference ? ", reference" : "");
          expect_close(found.y, exact.y, allowed, what);
          for (size_t i = 0; i < inputs.size(); ++i) {
            if (!inputs[i].requires_grad()) continue;
            expect_close(found.gradients[i], exact.gradients[i], allowed,
                         what + ", gradient " + std::to_string(i));
          }
        }
      }
    }
  }
}

/// y with a backward of one's own: for wrong ones that the checker must reject.
inline Tensor with_backward(const Tensor& y, const Inputs& inputs,
                            std::function<Gradients(const Tensor&)> backward) {
  class Custom final : public Node {
   public:
    explicit Custom(std::function<Gradients(const Tensor&)> b) : backward_(std::move(b)) {}
    const char* name() const override { return "custom"; }
    Gradients backward(const Tensor& dy) override { return backward_(dy); }

   private:
    std::function<Gradients(const Tensor&)> backward_;
  };
  return record<Custom>(y.detach(), inputs, std::move(backward));
}

inline void expect_rejected(const Function& f, const Inputs& inputs) {
  EXPECT_THROW(gradcheck(f, inputs), Error);
}

/// The same bits for 1 to 4 threads.
inline void expect_thread_invariant(const std::function<Tensor()>& f) {
  const int before = num_threads();
  set_num_threads(1);
  const auto expected = f().to(DType::f64).to_vector<double>();
  for (int threads = 2; threads <= 4; ++threads) {
    set_num_threads(threads);
    EXPECT_EQ(f().to(DType::f64).to_vector<double>(), expected) << threads << " threads";
  }
  set_num_threads(before);
}

}  // namespace tern::test
