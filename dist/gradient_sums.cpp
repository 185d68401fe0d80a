// SPDX-License-Identifier: Apache-2.0
#include "internal/gradient_sums.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "../core/error.h"
#include "../core/internal/parallel.h"
#include "internal/loops.h"

namespace tern::dist {

namespace {

constexpr int64_t kFirstBucketBytes = 1 << 20;

int64_t bytes_of(const Tensor& x) { return x.numel() * static_cast<int64_t>(size_of(x.dtype())); }

}  // namespace

void add_shards(Tensor& a, Tensor b) {
  if (!a.defined()) std::swap(a, b);
  if (!a.defined()) return;
  // Adding 0 as well: it makes 0 of -0, as the zeros that a rank sends do.
  if (!b.defined()) b = zeros(a.shape(), a.dtype());
  visit_floating(a.dtype(), [&]<class T>(T) {
    parallel_for(a.numel(), kGrain, [&](int64_t begin, int64_t end) {
      add(a.raw<T>() + begin, b.raw<T>() + begin, static_cast<size_t>(end - begin));
    });
  });
}

GradientSums::GradientSums(Named parameters, Worker& worker, int64_t bucket_bytes)
    : parameters_(std::move(parameters)),
      worker_(worker),
      bucket_bytes_(bucket_bytes),
      places_(parameters_.size()),
      state_(parameters_.size()) {
  // Gradients mostly become ready from the last layer to the first.
  std::vector<size_t> order(parameters_.size());
  std::iota(order.rbegin(), order.rend(), size_t{0});
  arrange(order);
}

void GradientSums::arrange(const std::vector<size_t>& order) {
  buckets_.clear();
  std::vector<int64_t> sizes;
  DType dtype = DType::f32;
  for (const size_t i : order) {
    const Tensor& x = parameters_[i].second;
    const int64_t limit =
        buckets_.size() > 1 ? bucket_bytes_ : std::min(bucket_bytes_, kFirstBucketBytes);
    const auto item = static_cast<int64_t>(size_of(x.dtype()));
    const bool fits =
        !sizes.empty() && dtype == x.dtype() && sizes.back() * item + bytes_of(x) <= limit;
    if (!fits) {
      dtype = x.dtype();
      buckets_.emplace_back().sums = empty({0}, dtype);
      sizes.push_back(0);
    }
    places_[i] = {buckets_.size() - 1, sizes.back()};
    buckets_.back().members.push_back(i);
    sizes.back() += x.numel();
  }
  for (size_t b = 0; b < buckets_.size(); ++b) {
    buckets_[b].sums = empty({sizes[b]}, buckets_[b].sums.dtype());
  }
}

void GradientSums::check(size_t i) const {
  const auto& [name, x] = parameters_[i];
  const Tensor& sums = buckets_[places_[i].bucket].sums;
  if (x.dtype() != sums.dtype()) {
    fail("DataParallel::backward", "parameter ", name, " is ", x, ", and was ", sums.dtype(),
         " when DataParallel was made: convert the net before");
  }
}

// Note [Sums over shards]
// Partial sums of 1, 2, 4, ... shards merge as the bits of a counter do, so that a rank's shards
// are added in a balanced tree, which the tree over ranks continues. A sum commutes, to the bit,
// but does not associate: which shards meet where is the same for every number of ranks.
void GradientSums::keep() {
  Partial sum;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    check(i);
    const Tensor& x = parameters_[i].second;
    sum.push_back(x.grad());
    x.set_grad({});
  }
  size_t level = 0;
  for (int64_t count = kept_++; count % 2 == 1; count /= 2) {
    for (size_t i = 0; i < sum.size(); ++i) add_shards(sum[i], std::move(partials_[level][i]));
    partials_[level++].clear();
  }
  if (partials_.size() <= level) partials_.resize(level + 1);
  partials_[level] = std::move(sum);
}

void GradientSums::begin() {
  for (size_t i = 0; i < parameters_.size(); ++i) check(i);
  std::fill(state_.begin(), state_.end(), State::waiting);
  for (Bucket& bucket : buckets_) bucket.waiting = bucket.members.size();
  arrived_.clear();
  next_bucket_ = 0;
  exchanging_ = true;
}

void GradientSums::add(size_t i) {
  if (state_[i] != State::waiting) {
    fail("DataParallel::backward", "the gradient of ", parameters_[i].first,
         " became ready twice: a backward pass inside of this one reaches it as well, which "
         "DataParallel does not support");
  }
  put(i, parameters_[i].second.grad());
  send_full_buckets();
}

void GradientSums::add_others() {
  for (const Bucket& bucket : buckets_) {
    for (const size_t i : bucket.members) {
      if (state_[i] == State::waiting) put(i, parameters_[i].second.grad());
    }
  }
  send_full_buckets();
}

void GradientSums::put(size_t i, const Tensor& gradient) {
  Bucket& bucket = buckets_[places_[i].bucket];
  visit_floating(bucket.sums.dtype(), [&]<class T>(T) {
    T* to = bucket.sums.raw<T>() + places_[i].offset;
    const auto count = static_cast<size_t>(parameters_[i].second.numel());
    bool any = gradient.defined();
    if (any) {
      std::copy_n(gradient.raw<T>(), count, to);
    } else {
      std::fill_n(to, count, T(0));
    }
    // The youngest partial sums first.
    int64_t kept = kept_;
    for (size_t level = 0; kept > 0; ++level, kept /= 2) {
      if (kept % 2 == 0) continue;
      Tensor partial = partials_[level][i];
      any |= partial.defined();
      if (!partial.defined()) partial = zeros({static_cast<int64_t>(count)}, bucket.sums.dtype());
      tern::dist::add(to, partial.raw<T>(), count);
    }
    state_[i] = any ? State::added : State::absent;
  });
  --bucket.waiting;
  arrived_.push_back(i);
}

// All ranks send the same buckets in the same order.
void GradientSums::send_full_buckets() {
  while (next_bucket_ < buckets_.size() && buckets_[next_bucket_].waiting == 0) {
    const size_t b = next_bucket_++;
    worker_.run([this, b] {
      worker_.world().all_reduce(buckets_[b].sums, "the gradients of bucket " + std::to_string(b));
    });
  }
}

Tensor GradientSums::sum(size_t i) const {
  const Bucket& bucket = buckets_[places_[i].bucket];
  const Tensor& x = parameters_[i].second;
  const auto begin = static_cast<std::ptrdiff_t>(places_[i].offset) *
                     static_cast<std::ptrdiff_t>(size_of(x.dtype()));
  return from_blob(static_cast<std::byte*>(bucket.sums.raw_data()) + begin, {x.numel()}, x.dtype());
}

void GradientSums::end() {
  if (!arranged_ && worker_.world().size() > 1) {
    std::vector<std::byte> order(arrived_.size() * sizeof(size_t));
    std::memcpy(order.data(), arrived_.data(), order.size());
    order = worker_.world().broadcast(std::move(order), 0, "the order of buckets");
    std::memcpy(arrived_.data(), order.data(), order.size());
    arrange(arrived_);
    arranged_ = true;
  }
  reset();
}

void GradientSums::reset() {
  partials_.clear();
  kept_ = 0;
  exchanging_ = false;
}

}  // namespace tern::dist
