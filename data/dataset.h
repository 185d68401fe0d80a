// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "../core/random.h"
#include "../core/tensor.h"

namespace tern::data {

/// An input and its target (y may be undefined).
struct Example {
  Tensor x;       ///< the input
  Tensor y = {};  ///< the target
};

/// Examples stacked along a new first axis.
struct Batch {
  Tensor x;       ///< the input
  Tensor y = {};  ///< the target
};

/// A collection of examples numbered from 0. A loader with workers calls it from several threads
/// concurrently, so the functions must not modify the data set.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;  ///< the number of examples
  /// The example without augmentation.
  virtual Example get(int64_t index) const = 0;
  /// The example with random augmentation, drawn from `random` so that training sees the same
  /// values for every number of workers. (While a batch is made, the thread's default generator is
  /// reseeded for each example, so randn and the like keep that promise as well.)
  virtual Example augmented(int64_t index, Generator& /*random*/) const { return get(index); }
  /// The examples `indices` as a batch; example i draws from Generator(seed, i). Stacks the results
  /// of `augmented`; override it for speed. Throws Error if `indices` is empty, or
  /// shapes or dtypes differ.
  virtual Batch batch(std::span<const int64_t> indices, uint64_t seed) const;

 private:
  Batch stacked(std::span<const int64_t> indices, uint64_t seed) const;
};

/// Tensors in memory: example i is x[i], y[i].
class TensorDataset final : public Dataset {
 public:
  /// y may be omitted. Throws Error if x and y differ in length, or x is a scalar.
  explicit TensorDataset(const Tensor& x, const Tensor& y = {});

  int64_t size() const override { return x_.size(0); }  ///< the number of examples
  Example get(int64_t index) const override;
  /// The rows `indices`; without any, tensors whose first axis is empty.
  Batch batch(std::span<const int64_t> indices, uint64_t seed) const override;

 private:
  Tensor x_;
  Tensor y_;
};

}  // namespace tern::data
