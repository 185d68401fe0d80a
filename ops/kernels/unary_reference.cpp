// SPDX-License-Identifier: Apache-2.0
// Elementwise functions as the standard library computes them for double; those of float32 are
// rounded.
#include <Eigen/Core>
#include <algorithm>
#include <array>

#include "strided.h"
#include "unary.h"
#include "unary_functions.h"

namespace tern::kernels {

namespace {

template <class T>
using Array = Eigen::Map<Eigen::ArrayX<T>>;
template <class T>
using ConstArray = Eigen::Map<const Eigen::ArrayX<T>>;

constexpr int64_t kGrainOfFunctions = 4096;

double widen(float x) { return static_cast<double>(x); }
Numbers rounded(Numbers numbers) {
  for (double& number : numbers) number = widen(static_cast<float>(number));
  return numbers;
}
/// run(n, inputs, output) over doubles for floats.
template <size_t kInputs, class Run>
void in_double(int64_t count, std::array<const float*, kInputs> from, float* to, const Run& run) {
  parallel_for(count, kGrainOfFunctions, [&](int64_t begin, int64_t end) {
    constexpr int64_t kBlock = 256;
    std::array<std::array<double, kBlock>, kInputs> wide;
    for (; begin < end; begin += kBlock) {
      const int64_t n = std::min(kBlock, end - begin);
      for (size_t i = 0; i < kInputs; ++i) {
        std::transform(from[i] + begin, from[i] + begin + n, wide[i].begin(), widen);
      }
      run(n, wide);
      std::transform(wide[0].begin(), wide[0].begin() + n, to + begin,
                     [](double v) { return static_cast<float>(v); });
    }
  });
}

template <class T>
void integers(Unary function, Numbers numbers, int64_t count, const T* x, T* y) {
  const auto a = static_cast<int64_t>(numbers[0]), b = static_cast<int64_t>(numbers[1]);
  UnaryFunctions::visit(function, [&]<class F>(F f) {
    if constexpr (F::integers) {
      parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          y[i] = static_cast<T>(value_of(f, Integer(x[i]), Integer(a), Integer(b)));
        }
      });
    }
  });
}

}  // namespace

template <class T>
void unary_reference(Unary function, Numbers numbers, int64_t count, const T* x, T* y) {
  if constexpr (std::is_integral_v<T>) {
    integers(function, numbers, count, x, y);
  } else if constexpr (std::is_same_v<T, float>) {
    in_double<1>(count, {x}, y, [&](int64_t n, auto& wide) {
      unary_reference(function, rounded(numbers), n, wide[0].data(), wide[0].data());
    });
  } else {
    const double a = numbers[0], b = numbers[1];
    UnaryFunctions::visit(function, [&](auto f) {
      parallel_for(count, kGrainOfFunctions, [&](int64_t begin, int64_t end) {
        Array<T>(y + begin, end - begin) =
            ConstArray<T>(x + begin, end - begin).unaryExpr([=](T v) {
              return value_of(f, v, a, b);
            });
      });
    });
  }
}

template <class T>
void unary_backward_reference(Unary function, Numbers numbers, int64_t count, const T* saved,
                              const T* dy, T* dx) {
  if constexpr (std::is_same_v<T, float>) {
    return in_double<2>(count, {dy, saved}, dx, [&](int64_t n, auto& wide) {
      unary_backward_reference(function, rounded(numbers), n, wide[1].data(), wide[0].data(),
                               wide[0].data());
    });
  } else {
    const double a = numbers[0], b = numbers[1];
    UnaryFunctions::visit(function, [&]<class F>(F f) {
      if constexpr (!std::is_base_of_v<Linear, F>) {
        parallel_for(count, kGrainOfFunctions, [&](int64_t begin, int64_t end) {
          const int64_t n = end - begin;
          Array<T>(dx + begin, n) = ConstArray<T>(dy + begin, n)
                                        .binaryExpr(ConstArray<T>(saved + begin, n), [=](T v, T s) {
                                          return gradient_of(f, v, s, a, b);
                                        });
        });
      }
    });
  }
}

template void unary_reference(Unary, Numbers, int64_t, const float*, float*);
template void unary_reference(Unary, Numbers, int64_t, const double*, double*);
template void unary_reference(Unary, Numbers, int64_t, const int64_t*, int64_t*);
template void unary_reference(Unary, Numbers, int64_t, const uint8_t*, uint8_t*);
template void unary_backward_reference(Unary, Numbers, int64_t, const float*, const float*, float*);
template void unary_backward_reference(Unary, Numbers, int64_t, const double*, const double*,
                                       double*);

}  // namespace tern::kernels
