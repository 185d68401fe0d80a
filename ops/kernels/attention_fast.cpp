// SPDX-License-Identifier: Apache-2.0
// float32 attention: Note [Attention by tiles]
#include <algorithm>
#include <cmath>
#include <limits>

#include "../../core/internal/memory.h"
#include "../../core/internal/parallel.h"
#include "attention.h"
#include "functions.h"
#include "product.h"
#include "vectors.h"

namespace tern::kernels::attention {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// A tile of scores, 64 KB: fixed, so that bits do not depend on the number of threads.
constexpr int64_t kQueries = 64;
constexpr int64_t kKeys = 256;

struct Tile {
  int64_t b, h, query, queries, key, keys;
};

/// How many of the tile's keys its query number i uses.
int64_t used_keys(const Shape& shape, const Tile& t, int64_t i) {
  if (!shape.causal) return t.keys;
  return std::clamp<int64_t>(t.query + i + 1 - t.key, 0, t.keys);
}

void scale_row(int64_t n, float factor, float* x) {
  transform(n, x, x, [=](Vec v) { return v * factor; });
}

/// scores [queries, keys] = scale q k^T
void set_scores(const Problem<float>& p, const Tile& t, float* scores) {
  multiply({.m = t.queries, .n = t.keys, .k = p.shape.width, .transpose_b = true},
           p.q.at(t.b, t.h, t.query), p.q.steps.row, p.k.at(t.b, t.h, t.key), p.k.steps.row, scores,
           t.keys);
  scale_row(t.queries * t.keys, static_cast<float>(p.shape.scale), scores);
}

/// Applies the mask to n scores of a query.
void apply_mask(const Problem<float>& p, const Tile& t, int64_t i, int64_t n, float* scores) {
  if (p.mask.allowed.data) {
    const uint8_t* allowed = p.mask.allowed.at(t.b, t.h, t.query + i) + t.key;
    for (int64_t j = 0; j < n; ++j) scores[j] = allowed[j] ? scores[j] : -kInfinity;
  }
  if (p.mask.added.data) {
    const float* added = p.mask.added.at(t.b, t.h, t.query + i) + t.key;
    transform(n, scores, added, scores, [](Vec a, Vec b) { return a + b; });
  }
}

/// Dropout's factors, 0 or 1 / (1 - p), for n keys of a query.
void set_factors(const Problem<float>& p, const Tile& t, int64_t i, int64_t n, float* factors) {
  const Dropout& dropout = p.dropout;
  const uint64_t threshold = dropout.threshold();
  const float scale = static_cast<float>(1 / (1 - dropout.p));
  const int64_t first = p.shape.number(t.b, t.h, t.query + i) + t.key;
  for (int64_t pair = first / 2; 2 * pair < first + n; ++pair) {
    const uint64_t bits = dropout.bits_of(pair);
    const int64_t j = 2 * pair - first;
    if (j >= 0) factors[j] = (bits & 0xffffffffu) >= threshold ? scale : 0.0f;
    if (j + 1 < n) factors[j + 1] = (bits >> 32) >= threshold ? scale : 0.0f;
  }
}

void multiply_rows(int64_t n, const float* factors, float* x) {
  transform(n, x, factors, x, [](Vec a, Vec b) { return a * b; });
}

void forward_tile(const Problem<float>& p, int64_t b, int64_t h, int64_t query, int64_t queries,
                  float* scores, const Rows<float>& y, float* log_sum_exp) {
  const Shape& shape = p.shape;
  float largest[kQueries], total[kQueries], factors[kKeys];
  std::fill_n(largest, queries, -kInfinity);
  std::fill_n(total, queries, 0.0f);
  const int64_t end = shape.keys_before(query + queries);
  for (int64_t key = 0; key < end; key += kKeys) {
    const Tile t{b, h, query, queries, key, std::min(kKeys, end - key)};
    set_scores(p, t, scores);
    for (int64_t i = 0; i < queries; ++i) {
      float* row = scores + i * t.keys;
      const int64_t n = used_keys(shape, t, i);
      apply_mask(p, t, i, n, row);
      const float before = largest[i];
      const float top = largest_of(n, row);
      const float now = top > before || std::isnan(top) ? top : before;
      std::fill(row + n, row + t.keys, 0.0f);
      if (now == -kInfinity) {
        std::fill_n(row, n, 0.0f);
        continue;
      }
      functions().exp(n, row, now, row);
      const float change = before == now ? 1.0f : std::exp(before - now);
      total[i] = total[i] * change + sum_of(n, row);
      largest[i] = now;
      if (key > 0 && change != 1) scale_row(shape.value_width, change, y.at(b, h, query + i));
      if (p.dropout.p > 0) {
        set_factors(p, t, i, n, factors);
        multiply_rows(n, factors, row);
      }
    }
    multiply({.m = queries, .n = shape.value_width, .k = t.keys, .add = key > 0}, scores, t.keys,
             p.v.at(b, h, key), p.v.steps.row, y.at(b, h, query), y.steps.row);
  }
  for (int64_t i = 0; i < queries; ++i) {
    const bool none = largest[i] == -kInfinity;
    log_sum_exp[i] = none ? kInfinity : largest[i] + std::log(total[i]);
    if (none) {
      std::fill_n(y.at(b, h, query + i), shape.value_width, 0.0f);
    } else {
      scale_row(shape.value_width, 1 / total[i], y.at(b, h, query + i));
    }
  }
}

void backward_head(const Problem<float>& p, int64_t b, int64_t h, const Rows<const float>& y,
                   const float* log_sum_exp, const Rows<const float>& dy,
                   const Gradients<float>& gradients, float* scores, float* products) {
  const Shape& shape = p.shape;
  const auto clear = [&](const Rows<float>& rows, int64_t count, int64_t width) {
    for (int64_t i = 0; i < count; ++i) std::fill_n(rows.at(b, h, i), width, 0.0f);
  };
  clear(gradients.k, shape.keys, shape.width);
  clear(gradients.v, shape.keys, shape.value_width);
  if (shape.keys == 0) clear(gradients.q, shape.queries, shape.width);
  const float scale = static_cast<float>(shape.scale);
  float along[kQueries], factors[kKeys];
  for (int64_t query = 0; query < shape.queries; query += kQueries) {
    const int64_t queries = std::min(kQueries, shape.queries - query);
    for (int64_t i = 0; i < queries; ++i) {
      const float *a = dy.at(b, h, query + i), *c = y.at(b, h, query + i);
      double sum = 0;
      for (int64_t j = 0; j < shape.value_width; ++j)
        sum += static_cast<double>(a[j]) * static_cast<double>(c[j]);
      along[i] = static_cast<float>(sum);
    }
    const int64_t end = shape.keys_before(query + queries);
    for (int64_t key = 0; key < end; key += kKeys) {
      const Tile t{b, h, query, queries, key, std::min(kKeys, end - key)};
      set_scores(p, t, scores);
      multiply({.m = queries, .n = t.keys, .k = shape.value_width, .transpose_b = true},
               dy.at(b, h, query), dy.steps.row, p.v.at(b, h, key), p.v.steps.row, products,
               t.keys);
      for (int64_t i = 0; i < queries; ++i) {
        float *row = scores + i * t.keys, *g = products + i * t.keys;
        const int64_t n = used_keys(shape, t, i);
        apply_mask(p, t, i, n, row);
        functions().exp(n, row, log_sum_exp[query + i], row);
        std::fill(row + n, row + t.keys, 0.0f);
        std::fill(g + n, g + t.keys, 0.0f);
        if (p.dropout.p > 0) {
          set_factors(p, t, i, n, factors);
          multiply_rows(n, factors, g);
        }
        const float d = along[i];
        transform(n, row, g, g, [=](Vec v, Vec u) { return v * (u - d) * scale; });
        if (p.dropout.p > 0) multiply_rows(n, factors, row);
      }
      multiply(
          {.m = t.keys, .n = shape.value_width, .k = queries, .transpose_a = true, .add = true},
          scores, t.keys, dy.at(b, h, query), dy.steps.row, gradients.v.at(b, h, key),
          gradients.v.steps.row);
      multiply({.m = queries, .n = shape.width, .k = t.keys, .add = key > 0}, products, t.keys,
               p.k.at(b, h, key), p.k.steps.row, gradients.q.at(b, h, query),
               gradients.q.steps.row);
      multiply({.m = t.keys, .n = shape.width, .k = queries, .transpose_a = true, .add = true},
               products, t.keys, p.q.at(b, h, query), p.q.steps.row, gradients.k.at(b, h, key),
               gradients.k.steps.row);
    }
  }
}

}  // namespace

void forward_fast(const Problem<float>& p, const Rows<float>& y, float* log_sum_exp) {
  const Shape& shape = p.shape;
  const int64_t tiles = divide_up(shape.queries, kQueries);
  const int64_t work = std::min(kQueries, shape.queries) * shape.keys_before(shape.queries) *
                       (shape.width + shape.value_width);
  parallel_for(shape.batch * shape.heads * tiles,
               std::max<int64_t>(1, (1 << 18) / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 const memory::Scratch scores(kQueries * kKeys * sizeof(float));
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t query = task % tiles * kQueries, head = task / tiles;
                   forward_tile(p, head / shape.heads, head % shape.heads, query,
                                std::min(kQueries, shape.queries - query), scores.as<float>(), y,
                                log_sum_exp + head * shape.queries + query);
                 }
               });
}

void backward_fast(const Problem<float>& p, const Rows<const float>& y, const float* log_sum_exp,
                   const Rows<const float>& dy, const Gradients<float>& gradients) {
  const Shape& shape = p.shape;
  const int64_t work = shape.queries * shape.keys * (shape.width + shape.value_width);
  // A head at a time: its keys' gradients are sums over all tiles of queries.
  parallel_for(shape.batch * shape.heads,
               std::max<int64_t>(1, (1 << 17) / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 const memory::Scratch tiles(2 * kQueries * kKeys * sizeof(float));
                 for (int64_t head = begin; head < end; ++head) {
                   backward_head(p, head / shape.heads, head % shape.heads, y,
                                 log_sum_exp + head * shape.queries, dy, gradients,
                                 tiles.as<float>(), tiles.as<float>() + kQueries * kKeys);
                 }
               });
}

}  // namespace tern::kernels::attention
