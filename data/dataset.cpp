// SPDX-License-Identifier: Apache-2.0
#include "dataset.h"

#include <cstring>
#include <vector>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/resources.h"
#include "internal/example_random.h"

namespace tern::data {
namespace {

/// The tensors along a new first axis, row-major.
Tensor stack(const std::vector<Tensor>& rows, std::span<const int64_t> indices) {
  const Tensor& first = rows.front();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].defined() || rows[i].shape() != first.shape() ||
        rows[i].dtype() != first.dtype()) {
      fail("Dataset::batch", "example ", indices[i], " is ", rows[i], ", want ", first,
           " as example ", indices[0], ": give all examples one shape and dtype");
    }
  }
  if (!first.defined()) return {};
  std::vector<int64_t> sizes{static_cast<int64_t>(rows.size())};
  sizes.insert(sizes.end(), first.shape().begin(), first.shape().end());
  const Tensor result = empty(Shape(sizes), first.dtype());
  const size_t bytes = static_cast<size_t>(first.numel()) * size_of(first.dtype());
  if (bytes == 0) return result;
  auto* next = static_cast<char*>(result.raw_data());
  for (const Tensor& row : rows) {
    std::memcpy(next, contiguous(row).raw_data(), bytes);
    next += bytes;
  }
  return result;
}

/// Rows of `x` in its memory format: in either, a row is contiguous memory.
Tensor gather(const Tensor& x, std::span<const int64_t> indices) {
  if (!x.defined()) return {};
  const Tensor result =
      empty(x.shape().with(0, static_cast<int64_t>(indices.size())), x.dtype(), x.memory_format());
  if (result.numel() == 0) return result;
  const int64_t row = x.numel() / x.size(0);
  const size_t bytes = static_cast<size_t>(row) * size_of(x.dtype());
  const auto* source = static_cast<const char*>(x.raw_data());
  auto* next = static_cast<char*>(result.raw_data());
  for (const int64_t index : indices) {
    std::memcpy(next, source + static_cast<size_t>(index) * bytes, bytes);
    next += bytes;
  }
  return result;
}

/// A row of `x`, without the first axis.
Tensor row_of(const Tensor& x, int64_t index) {
  if (!x.defined()) return {};
  const Tensor row = contiguous(gather(x, std::span(&index, 1)));
  return Tensor(Shape(std::span(x.shape().begin() + 1, x.shape().end())), x.dtype(),
                MemoryFormat::row_major, row.storage());
}

void check_indices(std::span<const int64_t> indices, int64_t size) {
  for (const int64_t index : indices) {
    if (size == 0) fail("TensorDataset", "index is ", index, ", but there are no examples");
    if (index < 0 || index >= size) {
      fail("TensorDataset", "index is ", index, ", want 0 to ", size - 1);
    }
  }
}

}  // namespace

Batch Dataset::batch(std::span<const int64_t> indices, uint64_t seed) const {
  if (indices.empty()) fail("Dataset::batch", "indices is empty, want at least one example");
  const NoGrad no_grad;
  return with_resources("Dataset::batch", [&] { return stacked(indices, seed); });
}

Batch Dataset::stacked(std::span<const int64_t> indices, uint64_t seed) const {
  std::vector<Tensor> x;
  std::vector<Tensor> y;
  for (const int64_t index : indices) {
    Generator random(seed, static_cast<uint64_t>(index));
    const ExampleRandom default_random(seed, static_cast<uint64_t>(index));
    Example example = augmented(index, random);
    if (!example.x.defined())
      fail("Dataset::batch", "x of example ", index, " is undefined, want a tensor");
    x.push_back(std::move(example.x));
    y.push_back(std::move(example.y));
  }
  const bool labelled = y.front().defined();
  for (size_t i = 0; i < y.size(); ++i) {
    if (y[i].defined() != labelled) {
      fail("Dataset::batch", "y of example ", indices[labelled ? i : 0],
           " is undefined, want a tensor as in example ", indices[labelled ? 0 : i]);
    }
  }
  return {stack(x, indices), labelled ? stack(y, indices) : Tensor()};
}

TensorDataset::TensorDataset(const Tensor& x, const Tensor& y) : x_(x), y_(y) {
  if (!x.defined() || x.dim() == 0) {
    fail("TensorDataset", "x is ", x, ", want at least one axis: the first counts the examples");
  }
  if (y.defined() && (y.dim() == 0 || y.size(0) != x.size(0))) {
    fail("TensorDataset", "y is ", y, " and x is ", x, ", want first axes of equal length");
  }
}

Example TensorDataset::get(int64_t index) const {
  check_indices(std::span(&index, 1), size());
  NoGrad no_grad;
  return {row_of(x_, index), row_of(y_, index)};
}

Batch TensorDataset::batch(std::span<const int64_t> indices, uint64_t /*seed*/) const {
  check_indices(indices, size());
  return {gather(x_, indices), gather(y_, indices)};
}

}  // namespace tern::data
