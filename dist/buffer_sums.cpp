// SPDX-License-Identifier: Apache-2.0
#include "internal/buffer_sums.h"

#include <algorithm>

#include "../core/autograd.h"
#include "internal/gradient_sums.h"

namespace tern::dist {

namespace {

/// examples * x in f64, where products of f32 are exact; of a shard without examples, whose values
/// may be anything, zeros.
Tensor weighted(const Tensor& x, int64_t examples) {
  Tensor result = zeros({x.numel()}, DType::f64);
  if (examples == 0) return result;
  double* to = result.raw<double>();
  visit_floating(x.dtype(), [&]<class T>(T) {
    const T* from = x.raw<T>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      to[i] = static_cast<double>(from[i]) * static_cast<double>(examples);
    }
  });
  return result;
}

}  // namespace

BufferSums::BufferSums(const std::vector<std::pair<std::string, Tensor>>& buffers) {
  for (const auto& [name, x] : buffers) {
    if (is_floating(x.dtype())) {
      floating_.push_back({.buffer = x});
    } else if (x.dtype() == DType::i64 && x.numel() == 1) {
      counters_.push_back({.buffer = x});
    }
  }
  reset();
}

void BufferSums::begin_shard(bool is_first) {
  const NoGrad no_grad;
  for (Floating& f : floating_) {
    if (is_first) {
      f.start = f.buffer.detach().clone();
    } else {
      f.buffer.copy_(f.start);
    }
    f.version = f.buffer.version();
  }
  for (Counter& c : counters_) {
    if (is_first) {
      c.start = c.largest = c.buffer.item<int64_t>();
    } else {
      c.buffer.fill_(static_cast<double>(c.start));
    }
  }
}

// As gradients, see Note [Sums over shards].
void BufferSums::end_shard(int64_t examples) {
  for (Floating& f : floating_) {
    f.changed |= f.buffer.version() != f.version;
    Tensor sum = weighted(f.buffer, examples);
    size_t level = 0;
    for (int64_t count = kept_; count % 2 == 1; count /= 2) {
      add_shards(sum, std::exchange(f.partials[level++], Tensor()));
    }
    if (f.partials.size() <= level) f.partials.resize(level + 1);
    f.partials[level] = std::move(sum);
  }
  for (Counter& c : counters_) c.largest = std::max(c.largest, c.buffer.item<int64_t>());
  ++kept_;
}

void BufferSums::describe(std::vector<int64_t>& numbers) {
  for (Floating& f : floating_) {
    if (kept_ == 0) f.changed = f.buffer.version() != f.version;
    numbers.push_back(f.changed);
  }
  for (const Counter& c : counters_) {
    numbers.push_back(kept_ == 0 ? c.buffer.item<int64_t>() : c.largest);
  }
}

void BufferSums::average(const Communicator& world,
                         const std::vector<std::vector<int64_t>>& of_rank, int64_t examples,
                         int64_t total) {
  if (world.size() == 1 && kept_ == 0) return;
  const NoGrad no_grad;
  size_t column = 0;
  const auto largest = [&] {
    int64_t value = of_rank[0][column];
    for (const auto& theirs : of_rank) value = std::max(value, theirs[column]);
    ++column;
    return value;
  };
  std::vector<Floating*> changed;
  std::vector<double> sums;
  for (Floating& f : floating_) {
    if (largest() == 0) continue;
    changed.push_back(&f);
    // The last shard of a power of two has left one partial sum.
    const Tensor sum = kept_ == 0 ? weighted(f.buffer, examples) : f.partials.back();
    const double* values = sum.raw<double>();
    sums.insert(sums.end(), values, values + sum.numel());
  }
  if (!changed.empty()) world.all_reduce(std::span(sums), "the buffers");
  const double* sum = sums.data();
  for (Floating* f : changed) {
    visit_floating(f->buffer.dtype(), [&]<class T>(T) {
      T* to = f->buffer.raw<T>();
      for (int64_t i = 0; i < f->buffer.numel(); ++i) {
        to[i] = static_cast<T>(*sum++ / static_cast<double>(total));
      }
    });
    f->buffer.bump_version();
  }
  for (Counter& c : counters_) c.buffer.fill_(static_cast<double>(largest()));
}

void BufferSums::reset() {
  kept_ = 0;
  for (Floating& f : floating_) {
    f.version = f.buffer.version();
    f.changed = false;
    f.start = Tensor();
    f.partials.clear();
  }
}

}  // namespace tern::dist
