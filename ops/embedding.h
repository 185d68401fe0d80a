// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "../core/tensor.h"

namespace tern {

/// Options of embedding.
struct EmbeddingOptions {
  /// A row of `weight` that gets no gradient, counted from the end when negative.
  std::optional<int64_t> padding_idx = std::nullopt;
  /// Rows that are used and whose norm is larger are scaled to it, in place, before they are used.
  std::optional<double> max_norm = std::nullopt;
  double norm_type = 2;  ///< the p of that norm
};

/// The rows `ids` of weight [V, D]: [..., D] for ids [...] (i64, 0 to V - 1). The gradient of
/// weight is zeros to which rows are added in the order of ids: the same bits for every number of
/// threads. Throws Error for other shapes and dtypes, and for ids that are no rows. As
/// torch.nn.functional.embedding.
Tensor embedding(const Tensor& ids, const Tensor& weight, const EmbeddingOptions& options = {});

/// What embedding_bag makes of the rows of a bag.
enum class BagMode : uint8_t { sum, mean, max };
/// "sum", "mean" or "max".
const char* to_string(BagMode mode);

/// Options of embedding_bag.
struct EmbeddingBagOptions {
  BagMode mode = BagMode::mean;  ///< of the rows of a bag
  /// A row that is left out, and gets no gradient, counted from the end when negative.
  std::optional<int64_t> padding_idx = std::nullopt;
  std::optional<double> max_norm = std::nullopt;  ///< as in EmbeddingOptions
  double norm_type = 2;                           ///< as in EmbeddingOptions
  /// Whether the last of `offsets` is where the last bag ends, which is the number of ids.
  bool include_last_offset = false;
};

/// The sum, mean or maximum of the rows of each bag: [B, D], without the rows themselves in memory.
/// ids [B, n] are B bags; ids [N] are those that `offsets` [B] begin, which ascend from 0. An empty
/// bag gives zeros. `per_sample_weights`, of the shape of ids, multiply the rows of a sum. Throws
/// Error for anything else. As torch.nn.functional.embedding_bag.
Tensor embedding_bag(const Tensor& ids, const Tensor& weight, const Tensor& offsets = {},
                     const Tensor& per_sample_weights = {},
                     const EmbeddingBagOptions& options = {});

}  // namespace tern
