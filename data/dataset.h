// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "../core/random.h"
#include "../core/tensor.h"

namespace tern::data {

/// An input and what a model should say to it (y may be undefined).
struct Example {
  Tensor x;       ///< the input
  Tensor y = {};  ///< the target
};

/// Examples stacked along a new first axis.
struct Batch {
  Tensor x;       ///< the input
  Tensor y = {};  ///< the target
};

/// Something with examples numbered from 0. A loader with workers calls it from several threads at
/// once, so the functions must not change anything.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;  ///< the number of examples
  /// The example as it is.
  virtual Example get(int64_t index) const = 0;
  /// The example with random changes, all of them drawn from `random`: training then sees the same
  /// numbers for every number of workers.
  virtual Example augmented(int64_t index, Generator& /*random*/) const { return get(index); }
  /// The examples `indices` as a batch; example i draws from Generator(seed, i). Stacks what
  /// `augmented` returns; override it to be faster. Throws Error if shapes or dtypes differ.
  virtual Batch batch(std::span<const int64_t> indices, uint64_t seed) const;
};

/// Rows of tensors that are in memory: example i is x[i], y[i].
class TensorDataset final : public Dataset {
 public:
  /// Throws Error if x and y differ in length, or x is a scalar. y may be left out.
  explicit TensorDataset(const Tensor& x, const Tensor& y = {});

  int64_t size() const override { return x_.size(0); }  ///< the number of examples
  Example get(int64_t index) const override;
  Batch batch(std::span<const int64_t> indices, uint64_t seed) const override;

 private:
  Tensor x_;
  Tensor y_;
};

}  // namespace tern::data
