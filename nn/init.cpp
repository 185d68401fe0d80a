// SPDX-License-Identifier: Apache-2.0
#include "init.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "../core/random.h"

namespace tern::nn::init {

namespace {

void require_floating(const char* op, const Tensor& t) {
  if (!is_floating(t.dtype())) fail(op, "tensor is ", t, ", want f32 or f64");
}

void require_matrix(const char* op, const Tensor& t) {
  require_floating(op, t);
  if (t.dim() != 2) fail(op, "tensor is ", t, ", want two axes");
}

void require_finite(const char* op, const char* name, double value) {
  if (!std::isfinite(value)) fail(op, name, " is ", value, ", want a finite number");
}

void require_deviation(const char* op, double std) {
  if (!(std >= 0) || !std::isfinite(std)) {
    fail(op, "the standard deviation is ", std, ", want a number that is not negative");
  }
}

// Sets the elements, in row-major order of their indices, to value(random bits).
template <class F>
Tensor draw(const char* op, const Tensor& t, F value) {
  require_floating(op, t);
  const NoGrad no_grad;
  const Tensor plain =
      t.memory_format() == MemoryFormat::row_major ? t : empty(t.shape(), t.dtype());
  Generator& generator = default_generator();
  const Generator::State state = generator.state();
  const uint64_t first = generator.reserve(t.numel());
  visit_floating(t.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto elements = plain.mutable_data<T>();
    parallel_for(t.numel(), 1 << 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const uint64_t bits = Generator::bits_at(state, first + static_cast<uint64_t>(i));
        elements[static_cast<size_t>(i)] = static_cast<T>(value(bits));
      }
    });
  });
  if (!plain.is_same(t)) t.copy_(plain);
  return t;
}

// Sets the elements from values in row-major order.
Tensor assign(const Tensor& t, const std::vector<double>& values) {
  const NoGrad no_grad;
  t.copy_(tensor(values, t.shape()));
  return t;
}

double normal_cdf(double z) { return 0.5 * std::erfc(-z * 0.70710678118654752440); }

double fan(const char* op, const Shape& shape, FanMode mode) {
  const auto [in, out] = calculate_fan_in_and_fan_out(shape);
  if (mode == FanMode::fan_avg) fail(op, "knows fan_in and fan_out, not fan_avg");
  return static_cast<double>(mode == FanMode::fan_in ? in : out);
}

double sum_of_fans(const Shape& shape) {
  const auto [in, out] = calculate_fan_in_and_fan_out(shape);
  return static_cast<double>(in) + static_cast<double>(out);
}

// Makes the rows of a [rows, columns] matrix orthonormal (rows <= columns): Gram-Schmidt, twice,
// which is enough to be orthogonal to the last digits. Its R has a positive diagonal, so the result
// is uniformly distributed over the orthogonal matrices (Mezzadri, 2007).
void orthonormalize_rows(std::vector<double>& matrix, int64_t rows, int64_t columns) {
  const auto row = [&](int64_t i) { return matrix.data() + i * columns; };
  const auto dot = [&](const double* a, const double* b) {
    double partial[4] = {};
    int64_t k = 0;
    for (; k + 4 <= columns; k += 4) {
      for (int lane = 0; lane < 4; ++lane) partial[lane] += a[k + lane] * b[k + lane];
    }
    for (; k < columns; ++k) partial[0] += a[k] * b[k];
    return (partial[0] + partial[1]) + (partial[2] + partial[3]);
  };
  for (int64_t i = 0; i < rows; ++i) {
    double* v = row(i);
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j) {
        const double* q = row(j);
        const double along = dot(q, v);
        for (int64_t k = 0; k < columns; ++k) v[k] -= along * q[k];
      }
    }
    const double length = std::sqrt(dot(v, v));
    for (int64_t k = 0; k < columns; ++k) v[k] /= length;
  }
}

}  // namespace

Tensor constant_(const Tensor& t, double value) {
  require_floating("constant_", t);
  const NoGrad no_grad;
  t.fill_(value);
  return t;
}

Tensor zeros_(const Tensor& t) { return constant_(t, 0.0); }
Tensor ones_(const Tensor& t) { return constant_(t, 1.0); }

Tensor eye_(const Tensor& t) {
  require_matrix("eye_", t);
  std::vector<double> values(static_cast<size_t>(t.numel()), 0.0);
  const int64_t columns = t.size(1);
  for (int64_t i = 0; i < std::min(t.size(0), columns); ++i) {
    values[static_cast<size_t>(i * columns + i)] = 1.0;
  }
  return assign(t, values);
}

Tensor dirac_(const Tensor& t, int64_t groups) {
  require_floating("dirac_", t);
  if (t.dim() < 3 || t.dim() > 5) fail("dirac_", "tensor is ", t, ", want 3 to 5 axes");
  if (groups < 1 || t.size(0) % groups != 0) {
    fail("dirac_", "groups is ", groups, ", want a divisor of the ", t.size(0),
         " output channels of ", t);
  }
  const int64_t window =
      t.size(1) == 0 ? 0 : t.numel() / std::max<int64_t>(1, t.size(0) * t.size(1));
  int64_t center = 0;
  for (int64_t axis = 2; axis < t.dim(); ++axis) center = center * t.size(axis) + t.size(axis) / 2;
  const int64_t outputs = t.size(0) / groups;
  std::vector<double> values(static_cast<size_t>(t.numel()), 0.0);
  if (window > 0) {
    for (int64_t group = 0; group < groups; ++group) {
      for (int64_t i = 0; i < std::min(outputs, t.size(1)); ++i) {
        const int64_t kernel = (group * outputs + i) * t.size(1) + i;
        values[static_cast<size_t>(kernel * window + center)] = 1.0;
      }
    }
  }
  return assign(t, values);
}

Tensor normal_(const Tensor& t, double mean, double std) {
  require_finite("normal_", "the mean", mean);
  require_deviation("normal_", std);
  return draw("normal_", t, [=](uint64_t bits) { return mean + std * Generator::to_normal(bits); });
}

Tensor uniform_(const Tensor& t, double low, double high) {
  require_finite("uniform_", "the lower bound", low);
  require_finite("uniform_", "the upper bound", high);
  if (low > high) fail("uniform_", "the bounds are ", low, " and ", high, ", want low <= high");
  return draw("uniform_", t,
              [=](uint64_t bits) { return low + (high - low) * Generator::to_uniform(bits); });
}

Tensor trunc_normal_(const Tensor& t, double mean, double std, double low, double high) {
  require_finite("trunc_normal_", "the mean", mean);
  require_deviation("trunc_normal_", std);
  if (!(low < high)) {
    fail("trunc_normal_", "the bounds are ", low, " and ", high, ", want low < high");
  }
  if (std == 0) return constant_(t, std::clamp(mean, low, high));
  const double first = normal_cdf((low - mean) / std);
  const double last = normal_cdf((high - mean) / std);
  if (last - first < 1e-9) {
    fail("trunc_normal_", "a normal number of mean ", mean, " and deviation ", std,
         " is hardly ever between ", low, " and ", high, ": move the bounds");
  }
  return draw("trunc_normal_", t, [=](uint64_t bits) {
    const double p = first + (last - first) * Generator::to_uniform(bits);
    const double z = Generator::to_normal(static_cast<uint64_t>(std::min(p, 1 - 0x1p-53) * 0x1p64));
    return std::clamp(mean + std * z, low, high);
  });
}

Tensor xavier_uniform_(const Tensor& t, double gain) {
  require_deviation("xavier_uniform_", gain);
  const double bound = t.numel() ? gain * std::sqrt(6.0 / sum_of_fans(t.shape())) : 0.0;
  return uniform_(t, -bound, bound);
}

Tensor xavier_normal_(const Tensor& t, double gain) {
  require_deviation("xavier_normal_", gain);
  return normal_(t, 0.0, t.numel() ? gain * std::sqrt(2.0 / sum_of_fans(t.shape())) : 0.0);
}

Tensor kaiming_uniform_(const Tensor& t, double a, FanMode mode, Nonlinearity nonlinearity) {
  const double inputs = fan("kaiming_uniform_", t.shape(), mode);
  const double bound = t.numel() ? calculate_gain(nonlinearity, a) * std::sqrt(3.0 / inputs) : 0.0;
  return uniform_(t, -bound, bound);
}

Tensor kaiming_normal_(const Tensor& t, double a, FanMode mode, Nonlinearity nonlinearity) {
  const double inputs = fan("kaiming_normal_", t.shape(), mode);
  return normal_(t, 0.0, t.numel() ? calculate_gain(nonlinearity, a) / std::sqrt(inputs) : 0.0);
}

Tensor orthogonal_(const Tensor& t, double gain) {
  require_floating("orthogonal_", t);
  require_finite("orthogonal_", "the gain", gain);
  if (t.dim() < 2) fail("orthogonal_", "tensor is ", t, ", want at least two axes");
  if (t.numel() == 0) return t;
  const int64_t height = t.size(0);
  const int64_t width = t.numel() / height;
  const int64_t rows = std::min(height, width);
  const int64_t columns = std::max(height, width);
  std::vector<double> matrix = randn({rows, columns}, DType::f64).to_vector<double>();
  orthonormalize_rows(matrix, rows, columns);
  std::vector<double> values(matrix.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t position = height <= width ? i * width + k : k * width + i;
      values[static_cast<size_t>(position)] = gain * matrix[static_cast<size_t>(i * columns + k)];
    }
  }
  return assign(t, values);
}

Tensor sparse_(const Tensor& t, double sparsity, double std) {
  require_matrix("sparse_", t);
  if (!(sparsity >= 0 && sparsity <= 1)) {
    fail("sparse_", "sparsity is ", sparsity, ", want a share from 0 to 1");
  }
  require_deviation("sparse_", std);
  if (t.numel() == 0) return t;
  const int64_t rows = t.size(0);
  const int64_t columns = t.size(1);
  const auto zeros = static_cast<int64_t>(std::ceil(sparsity * static_cast<double>(rows)));
  Generator& generator = default_generator();
  std::vector<double> values(static_cast<size_t>(t.numel()));
  for (double& value : values) value = std * generator.normal();
  std::vector<int64_t> order(static_cast<size_t>(rows));
  for (int64_t column = 0; column < columns; ++column) {
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int64_t i = 0; i < zeros; ++i) {
      std::swap(order[static_cast<size_t>(i)],
                order[static_cast<size_t>(i + generator.integer(rows - i))]);
      values[static_cast<size_t>(order[static_cast<size_t>(i)] * columns + column)] = 0.0;
    }
  }
  return assign(t, values);
}

double calculate_gain(Nonlinearity nonlinearity, double param) {
  switch (nonlinearity) {
    case Nonlinearity::tanh:
      return 5.0 / 3.0;
    case Nonlinearity::relu:
      return std::sqrt(2.0);
    case Nonlinearity::leaky_relu:
      require_finite("calculate_gain", "the negative slope", param);
      return std::sqrt(2.0 / (1.0 + param * param));
    case Nonlinearity::selu:
      return 0.75;
    case Nonlinearity::linear:
    case Nonlinearity::conv2d:
    case Nonlinearity::sigmoid:
      return 1.0;
  }
  fail("calculate_gain", "unknown nonlinearity");
}

std::pair<int64_t, int64_t> calculate_fan_in_and_fan_out(const Shape& shape) {
  if (shape.size() < 2) {
    fail("fan", "a tensor of shape ", shape, " has no fan_in and fan_out, which need two axes: ",
         "choose an initializer that does not depend on them");
  }
  int64_t window = 1;
  for (int axis = 2; axis < shape.size(); ++axis) window *= shape[axis];
  return {shape[1] * window, shape[0] * window};
}

}  // namespace tern::nn::init
