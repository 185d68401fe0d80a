// SPDX-License-Identifier: Apache-2.0
#include "embedding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/fused_node.h"
#include "arithmetic.h"
#include "internal/op.h"
#include "internal/selection.h"
#include "kernels/indexing.h"
#include "movement.h"

namespace tern {

/// As OpScope takes them: no padding_idx is none, no max_norm is infinity.
static std::vector<OpAttribute> attributes_of(const EmbeddingOptions& options) {
  std::vector<int64_t> padding;
  if (options.padding_idx) padding.push_back(*options.padding_idx);
  return {{"padding_idx", padding},
          {"max_norm", options.max_norm.value_or(std::numeric_limits<double>::infinity())},
          {"norm_type", options.norm_type}};
}

static EmbeddingOptions table_options(const EmbeddingBagOptions& options) {
  return {options.padding_idx, options.max_norm, options.norm_type};
}

static std::vector<OpAttribute> attributes_of(const EmbeddingBagOptions& options) {
  std::vector<OpAttribute> attributes = attributes_of(table_options(options));
  attributes.push_back({"mode", to_string(options.mode)});
  attributes.push_back({"include_last_offset", options.include_last_offset});
  return attributes;
}

namespace {

/// Throws unless ids are rows of weight.
void check_ids(const char* op, const Tensor& ids, const Tensor& weight) {
  if (weight.dim() != 2) fail(op, "weight is ", weight, ", want 2 axes, one row for each id");
  if (ids.dtype() != DType::i64) fail(op, "ids are ", ids, ", want i64: use .to(DType::i64)");
  const int64_t rows = weight.shape()[0];
  const int64_t* at = ids.raw<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) {
    if (at[i] >= 0 && at[i] < rows) continue;
    fail(op, "entry ", i, " of ids is ", at[i], ", want 0 to ", rows - 1, " (weight is ", weight,
         ")");
  }
}

void check_options(const char* op, const EmbeddingOptions& options, const Tensor& weight) {
  const int64_t rows = weight.shape()[0];
  const int64_t padding = options.padding_idx.value_or(0);
  if (options.padding_idx && (padding < -rows || padding >= rows)) {
    fail(op, "padding_idx is ", padding, ", want ", -rows, " to ", rows - 1, " (weight is ", weight,
         ")");
  }
  if (options.max_norm && !(*options.max_norm >= 0)) {
    fail(op, "max_norm is ", *options.max_norm, ", want a number that is not negative");
  }
  if (!(options.norm_type > 0)) fail(op, "norm_type is ", options.norm_type, ", want more than 0");
}

/// Scales the rows of weight that are used to a norm of at most max_norm.
void renormalize(const EmbeddingOptions& options, const Tensor& ids, const Tensor& weight) {
  if (!options.max_norm) return;
  std::vector<int64_t> rows = ids.to_vector<int64_t>();
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  const int64_t n = weight.shape()[1];
  const double p = options.norm_type;
  OpScope::writes(weight);
  visit_floating(weight.dtype(), [&]<class T>(T) {
    for (const int64_t row : rows) {
      T* w = weight.raw<T>() + row * n;
      double norm = 0;
      for (int64_t k = 0; k < n; ++k) {
        const double size = std::fabs(static_cast<double>(w[k]));
        norm = std::isinf(p) ? std::max(norm, size) : norm + std::pow(size, p);
      }
      if (!std::isinf(p)) norm = std::pow(norm, 1 / p);
      if (!(norm > *options.max_norm)) continue;
      const double scale = *options.max_norm / (norm + 1e-7);  // as PyTorch
      for (int64_t k = 0; k < n; ++k) w[k] = static_cast<T>(static_cast<double>(w[k]) * scale);
    }
  });
  weight.bump_version();
}

/// ids, with -1 in place of the row that does not count.
Tensor counted(const EmbeddingOptions& options, const Tensor& ids, const Tensor& weight) {
  if (!options.padding_idx) return ids;
  const int64_t padding =
      *options.padding_idx + (*options.padding_idx < 0 ? weight.shape()[0] : int64_t{0});
  const Tensor places = ids.clone();
  int64_t* at = places.raw<int64_t>();
  std::replace(at, at + places.numel(), padding, int64_t{-1});
  return places;
}

class EmbeddingBagNode final : public FusedNode {
 public:
  EmbeddingBagNode(const Tensor& weight, const Tensor& sample_weights, const Tensor& places,
                   const Tensor& bags, int64_t count)
      : weight_(this, needed_by(sample_weights, weight)),
        sample_weights_(this, sample_weights),
        places_(this, places),
        bags_(this, bags),
        shape_(weight.shape()),
        dtype_(weight.dtype()),
        count_(count) {}
  const char* name() const override { return "embedding_bag"; }

 private:
  Gradients fused(const Tensor& given_dy) override {
    const Tensor dy = contiguous(given_dy), weight = weight_.get(), factors = sample_weights_.get();
    const Tensor places = places_.get(), bags = bags_.get();
    const kernels::Bags view{{places.raw<int64_t>(), places.numel(), shape_[1], shape_[0]},
                             bags.raw<int64_t>(),
                             factors.defined() ? factors.raw_data() : nullptr};
    Gradients gradients(2);
    if (needs(0)) {
      gradients[0] = zeros(shape_, dtype_);
      kernels::add_bags(dtype_, view, dy.raw_data(), gradients[0].raw_data());
    }
    if (needs(1)) {
      gradients[1] = empty(factors.shape(), dtype_);
      kernels::weigh_bags(dtype_, view, weight.raw_data(), dy.raw_data(), gradients[1].raw_data());
    }
    return gradients;
  }

  std::vector<Tensor> saved() override {
    const Tensor weight = weight_.get();
    return {weight.defined() ? weight : zeros(shape_, dtype_), sample_weights_.get()};
  }
  Tensor compose(const std::vector<Tensor>& saved) override {
    const Tensor places = places_.get();
    const Selection rows{.shape = {places.numel(), shape_[1]},
                         .places = places,
                         .length = shape_[1],
                         .count = shape_[0]};
    const Selection bags{
        .shape = rows.shape, .places = bags_.get(), .length = shape_[1], .count = count_};
    Tensor terms = take(saved[0], rows);
    if (saved[1].defined()) terms = terms * reshape(saved[1], {-1, 1});
    return add_selected({}, {count_, shape_[1]}, bags, terms);
  }

  Saved weight_, sample_weights_, places_, bags_;
  Shape shape_;
  DType dtype_;
  int64_t count_;
};

struct BagNumbers {
  Tensor bags;  // of each id
  int64_t count;
};

BagNumbers number_bags(const Tensor& ids, const Tensor& offsets, bool include_last) {
  const char* const op = "embedding_bag";
  const int64_t size = ids.numel();
  if (ids.dim() == 2) {
    if (offsets.defined()) {
      fail(op, "ids are ", ids, ", whose rows are the bags, and offsets are ", offsets,
           ": leave them out, or reshape(ids, -1)");
    }
    const int64_t count = ids.shape()[0];
    const Tensor bags = empty({size}, DType::i64);
    for (int64_t i = 0; i < size; ++i) bags.raw<int64_t>()[i] = i / ids.shape()[1];
    return {bags, count};
  }
  if (ids.dim() != 1 || !offsets.defined()) {
    fail(op, "ids are ", ids, ", want [B, n], or [N] with offsets");
  }
  if (offsets.dtype() != DType::i64 || offsets.dim() != 1) {
    fail(op, "offsets are ", offsets, ", want i64 of one axis");
  }
  std::vector<int64_t> starts = offsets.to_vector<int64_t>();
  if (!include_last) starts.push_back(size);
  bool ascend = !starts.empty() && starts.front() == 0 && starts.back() == size;
  ascend = ascend && std::is_sorted(starts.begin(), starts.end());
  if (!ascend) {
    fail(op, "offsets ", offsets, " do not ascend from 0 to ", size, ", the number of ids",
         include_last ? ", which has to be the last one" : "");
  }
  const Tensor bags = empty({size}, DType::i64);
  for (size_t bag = 0; bag + 1 < starts.size(); ++bag) {
    std::fill(bags.raw<int64_t>() + starts[bag], bags.raw<int64_t>() + starts[bag + 1],
              static_cast<int64_t>(bag));
  }
  return {bags, static_cast<int64_t>(starts.size()) - 1};
}

/// How many ids of each bag count, at least 1: [count, 1].
Tensor sizes_of(const BagNumbers& numbers, const Tensor& places, DType dtype) {
  std::vector<double> sizes(static_cast<size_t>(numbers.count));
  for (int64_t i = 0; i < places.numel(); ++i) {
    if (places.raw<int64_t>()[i] >= 0) ++sizes[static_cast<size_t>(numbers.bags.raw<int64_t>()[i])];
  }
  for (double& size : sizes) size = std::max(1.0, size);
  return tensor(sizes, {numbers.count, 1}).to(dtype);
}

}  // namespace

const char* to_string(BagMode mode) {
  return mode == BagMode::sum ? "sum" : mode == BagMode::mean ? "mean" : "max";
}

Tensor embedding(const Tensor& ids, const Tensor& weight, const EmbeddingOptions& options) {
  const OpScope scope("embedding", ids, weight, options);
  check_floating("embedding", "weight", weight);
  const Tensor rows = contiguous(ids);
  check_ids("embedding", rows, weight);
  check_options("embedding", options, weight);
  renormalize(options, rows, weight);
  std::vector<int64_t> sizes(ids.shape().begin(), ids.shape().end());
  sizes.push_back(weight.shape()[1]);
  OpScope::reads_only((rows.numel() * weight.shape()[1]) *
                      static_cast<int64_t>(size_of(weight.dtype())));
  const Selection selection =
      Selection::of_middle(Shape(sizes), 1, weight.shape()[0], weight.shape()[1], rows);
  return scope.result(take(weight, selection, counted(options, rows, weight)));
}

Tensor embedding_bag(const Tensor& given_ids, const Tensor& weight, const Tensor& offsets,
                     const Tensor& per_sample_weights, const EmbeddingBagOptions& options) {
  const char* const op = "embedding_bag";
  const OpScope scope(op, given_ids, weight, offsets, per_sample_weights, options);
  check_floating(op, "weight", weight);
  const Tensor ids = contiguous(given_ids);
  check_ids(op, ids, weight);
  const EmbeddingOptions table = table_options(options);
  check_options(op, table, weight);
  if (per_sample_weights.defined()) {
    if (options.mode != BagMode::sum) {
      fail(op, "per_sample_weights are given and mode is ", to_string(options.mode),
           ", want BagMode::sum");
    }
    if (per_sample_weights.shape() != ids.shape() || per_sample_weights.dtype() != weight.dtype()) {
      fail(op, "per_sample_weights are ", per_sample_weights, ", want the shape of ids ", ids,
           " and the dtype of weight ", weight);
    }
  }
  const BagNumbers numbers = number_bags(ids, offsets, options.include_last_offset);
  renormalize(table, ids, weight);

  const Tensor places = counted(table, ids, weight);
  const Tensor factors =
      per_sample_weights.defined() ? contiguous(per_sample_weights) : per_sample_weights;
  const int64_t width = weight.shape()[1];
  const Shape shape{numbers.count, width};
  const kernels::Bags view{{places.raw<int64_t>(), places.numel(), width, weight.shape()[0]},
                           numbers.bags.raw<int64_t>(),
                           factors.defined() ? factors.raw_data() : nullptr};
  if (options.mode == BagMode::max) {
    const Tensor largest = empty(shape, DType::i64);
    kernels::find_largest_of_bags(weight.dtype(), view, numbers.count, weight.raw_data(),
                                  largest.raw<int64_t>());
    const Selection selection{.shape = shape, .places = largest, .count = weight.numel()};
    return scope.result(take(reshape(weight, -1), selection));
  }
  const Tensor y = empty(shape, weight.dtype());
  kernels::sum_bags(weight.dtype(), view, numbers.count, weight.raw_data(), y.raw_data());
  const Tensor total = record<EmbeddingBagNode>(y, {weight, factors}, weight, factors, places,
                                                numbers.bags, numbers.count);
  if (options.mode == BagMode::sum) return scope.result(total);
  return scope.result(total / sizes_of(numbers, places, weight.dtype()));
}

}  // namespace tern
