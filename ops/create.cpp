// SPDX-License-Identifier: Apache-2.0
#include "create.h"

#include <algorithm>
#include <cmath>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "../core/random.h"
#include "arithmetic.h"
#include "internal/op.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace {

Tensor counting(int64_t n) { return arange(static_cast<double>(n)); }

// x where column - row is at most `offset`, or at least that.
Tensor triangle(const char* op, const Tensor& x, int64_t offset, bool lower) {
  const OpScope scope(op, x, "offset", offset);
  if (x.dim() < 2) fail(op, "x is ", x, ", want at least two axes, the last two a matrix");
  const int64_t rows = x.size(-2), columns = x.size(-1);
  // Beyond the matrix all offsets are alike.
  const auto limit = static_cast<double>(std::clamp(offset, -rows, columns));
  const Tensor diagonal = unsqueeze(counting(rows), 1) + limit;
  const Tensor column = counting(columns);
  return scope.result(where(lower ? le(column, diagonal) : ge(column, diagonal), x, {}));
}

Tensor scaled_normals(const OpScope& scope, const Tensor& noise, const Tensor& mean,
                      const Tensor& std) {
  return scope.result(mean + std * noise);
}

void check_deviation(const Tensor& std) {
  if (!all(ge(std, 0.0)).item<bool>()) {
    fail("normal", "std ", std, " has elements that are negative or NaN, want at least 0");
  }
}

// `count` indices of n weights, one draw after the other.
void draw(const double* weights, int64_t n, int64_t count, bool replacement, int64_t* drawn) {
  Generator& generator = default_generator();
  std::vector<double> sums(static_cast<size_t>(n));
  std::vector<double> rest(weights, weights + n);
  const auto add_up = [&] {
    double total = 0;
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = total += rest[i];
  };
  add_up();
  for (int64_t k = 0; k < count; ++k) {
    // The first sum above the number: never that of a weight of 0.
    const double number = generator.uniform() * sums.back();
    auto place = std::upper_bound(sums.begin(), sums.end(), number) - sums.begin();
    // The product may round up to the last sum.
    while (place == n || rest[static_cast<size_t>(place)] == 0) --place;
    drawn[k] = place;
    if (replacement) continue;
    rest[static_cast<size_t>(place)] = 0;
    add_up();
  }
}

}  // namespace

Tensor tril(const Tensor& x, int64_t offset) { return triangle("tril", x, offset, true); }
Tensor triu(const Tensor& x, int64_t offset) { return triangle("triu", x, offset, false); }

Tensor diag(const Tensor& x, int64_t offset) {
  const OpScope scope("diag", x, "offset", offset);
  if (x.dim() != 1 && x.dim() != 2) fail("diag", "x is ", x, ", want a vector or a matrix");
  if (x.dim() == 2) {
    const int64_t rows = x.size(0), columns = x.size(1);
    if (offset > columns || offset < -rows) {
      fail("diag", "offset is ", offset, ", want ", -rows, " to ", columns, " (x ", x, ")");
    }
    const int64_t count =
        offset < 0 ? std::min(rows + offset, columns) : std::min(rows, columns - offset);
    const int64_t first = offset < 0 ? -offset * columns : offset;
    const int64_t last = first + (count - 1) * (columns + 1) + 1;
    return scope.result(slice(reshape(x, -1), 0, first, count > 0 ? last : first, columns + 1));
  }
  const int64_t n = x.size(0);
  if (offset > INT32_MAX || offset < -INT32_MAX) {
    fail("diag", "offset is ", offset, ", want less than 2^31");
  }
  const int64_t width = n + std::abs(offset);
  // Flat, elements of a diagonal are width + 1 apart.
  const Tensor apart = reshape(pad(unsqueeze(x, 1), {0, width}), n * (width + 1));
  const int64_t first = offset < 0 ? -offset * width : offset;
  const Tensor whole = pad(apart, {first, width * width - first - apart.numel()});
  return scope.result(reshape(whole, {width, width}));
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors) {
  const OpScope scope("meshgrid", vectors);
  std::vector<int64_t> sizes;
  for (const Tensor& x : vectors) {
    if (x.dim() > 1) fail("meshgrid", "vector ", sizes.size(), " is ", x, ", want one axis");
    sizes.push_back(x.numel());
  }
  std::vector<Tensor> grids;
  for (size_t i = 0; i < vectors.size(); ++i) {
    std::vector<int64_t> own(sizes.size(), 1);
    own[i] = sizes[i];
    grids.push_back(broadcast_to(reshape(vectors[i], own), sizes));
  }
  return scope.results(grids);
}

Tensor one_hot(const Tensor& classes, int64_t count) {
  const OpScope scope("one_hot", classes, "count", count);
  if (classes.dtype() != DType::i64) {
    fail("one_hot", "classes are ", classes, ", want i64: convert with .to(DType::i64)");
  }
  if (count < -1 || (count == -1 && classes.numel() == 0)) {
    fail("one_hot", "count is ", count, ", want at least 0, or -1 where there are classes (",
         classes, ")");
  }
  if (classes.numel() == 0) {
    std::vector<int64_t> sizes(classes.shape().begin(), classes.shape().end());
    sizes.push_back(count);
    return scope.result(zeros(sizes, DType::i64));
  }
  const int64_t smallest = min(classes).item<int64_t>(), largest = max(classes).item<int64_t>();
  const int64_t last = count == -1 ? std::min(largest, INT64_MAX - 1) : count - 1;
  if (smallest < 0 || largest > last) {
    fail("one_hot", "classes are from ", smallest, " to ", largest, ", want 0 to ", last);
  }
  const int64_t width = last + 1;
  return scope.result(eq(unsqueeze(classes, -1), counting(width)).to(DType::i64));
}

Tensor bernoulli(const Tensor& p) {
  const OpScope scope("bernoulli", p);
  check_floating("bernoulli", "p", p);
  if (!all(ge(p, 0.0) * le(p, 1.0)).item<bool>()) {
    fail("bernoulli", "p ", p, " has elements outside 0 to 1");
  }
  return scope.result(lt(rand_like(p), p).to(p.dtype()));
}

Tensor normal(const Tensor& mean, const Tensor& std) {
  const OpScope scope("normal", mean, std);
  check_floating("normal", "mean", mean);
  if (mean.dtype() != std.dtype()) {
    fail("normal", "mean is ", mean, ", std is ", std, ", want one dtype: convert one with .to");
  }
  const Shape shape = broadcast_shapes("normal", mean.shape(), std.shape());
  check_deviation(std);
  const NoGrad no_grad;
  return scaled_normals(scope, randn(shape, mean.dtype()), mean, std);
}
Tensor normal(double mean, const Tensor& std) {
  const OpScope scope("normal", std, "mean", mean);
  check_floating("normal", "std", std);
  check_deviation(std);
  const NoGrad no_grad;
  return scaled_normals(scope, randn_like(std), full({}, mean, std.dtype()), std);
}
Tensor normal(const Tensor& mean, double std) {
  const OpScope scope("normal", mean, "std", std);
  check_floating("normal", "mean", mean);
  if (!(std >= 0)) fail("normal", "std is ", std, ", want at least 0");
  const NoGrad no_grad;
  return scaled_normals(scope, randn_like(mean), mean, full({}, std, mean.dtype()));
}
Tensor normal(double mean, double std, const Shape& shape, DType dtype) {
  const OpScope scope("normal", "mean", mean, "std", std, "shape", shape, "dtype", dtype);
  if (!(std >= 0)) fail("normal", "std is ", std, ", want at least 0");
  return scope.result(randn(shape, dtype) * std + mean);
}

Tensor multinomial(const Tensor& weights, int64_t count, bool replacement) {
  const OpScope scope("multinomial", weights, "count", count, "replacement", replacement);
  check_floating("multinomial", "weights", weights);
  if ((weights.dim() != 1 && weights.dim() != 2) || weights.size(-1) == 0) {
    fail("multinomial", "weights are ", weights, ", want [n] or [rows, n] with n > 0");
  }
  if (count < 1) fail("multinomial", "count is ", count, ", want at least 1");
  const int64_t n = weights.size(-1), rows = weights.numel() / n;
  const std::vector<double> values = weights.detach().to(DType::f64).to_vector<double>();
  for (int64_t row = 0; row < rows; ++row) {
    double total = 0;
    int64_t drawable = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double weight = values[static_cast<size_t>(row * n + i)];
      if (!(weight >= 0 && std::isfinite(weight))) {
        fail("multinomial", "weight ", i, " of row ", row, " is ", weight,
             ", want a finite number of at least 0");
      }
      total += weight;
      drawable += weight > 0;
    }
    if (drawable == 0 || !std::isfinite(total)) {
      fail("multinomial", "the weights of row ", row, " add up to ", total,
           ", want a finite number above 0");
    }
    if (!replacement && count > drawable) {
      fail("multinomial", "row ", row, " has ", drawable, " weights other than 0, want at least ",
           count, " to draw without replacement");
    }
  }
  std::vector<int64_t> sizes(weights.shape().begin(), weights.shape().end());
  sizes.back() = count;
  const Tensor drawn = empty(sizes, DType::i64);
  for (int64_t row = 0; row < rows; ++row) {
    draw(values.data() + row * n, n, count, replacement, drawn.raw<int64_t>() + row * count);
  }
  return scope.result(drawn);
}

}  // namespace tern
