// SPDX-License-Identifier: Apache-2.0
// Attention of many heads, tile by tile: the scores are never in memory as a whole.
//
// Note [Attention by tiles]
// y[i] = sum_j p[i][j] v[j] with p[i] = softmax(s[i]), s[i][j] = scale q[i] k[j] + mask[i][j]. A
// tile of queries goes over tiles of keys; the largest score so far and the sum of exp(s - largest)
// are corrected when a larger one comes (Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018). What is kept for the backward pass is log(sum_j exp(s[i][j])) of each query,
// from which it computes p again: p = exp(s - log_sum_exp). With g = dy v^T and, for each query,
// d = sum(dy y) = sum(p g), ds = p (g - d); dq = scale ds k, dk = scale ds^T q, dv = p^T dy (Dao et
// al., "FlashAttention", 2022). Dropout's mask is computed from random numbers by their position,
// in both passes. A query whose scores are all -inf has y = 0, and log_sum_exp = inf, which makes
// its p zero.
#pragma once

#include <cstdint>

#include "../../core/random.h"
#include "dispatch.h"

namespace tern::kernels::attention {

/// Where the rows of the matrix of each head lie, in elements.
struct Steps {
  int64_t batch, head, row;
  int64_t at(int64_t b, int64_t h) const { return b * batch + h * head; }
};

template <class T>
struct Rows {
  T* data;
  Steps steps;
  T* at(int64_t b, int64_t h, int64_t row = 0) const {
    return data + steps.at(b, h) + row * steps.row;
  }
};

/// What is dropped of p: element number i = ((b * heads + h) * queries + query) * keys + key.
struct Dropout {
  double p = 0;
  Generator::State state = {};
  uint64_t first = 0;

  /// One random number decides on two elements, `pair` being that of 2 * pair and the next one.
  uint64_t bits_of(int64_t pair) const {
    return Generator::bits_at(state, first + static_cast<uint64_t>(pair));
  }
  uint64_t threshold() const { return static_cast<uint64_t>(p * 0x1p32); }
  bool keeps(int64_t i) const {
    const uint64_t bits = bits_of(i / 2);
    return (i % 2 == 0 ? bits & 0xffffffffu : bits >> 32) >= threshold();
  }
};

struct Shape {
  int64_t batch, heads, queries, keys, width, value_width;
  double scale;
  bool causal;  ///< query i uses keys 0 to i

  /// How many keys the queries before `end` use.
  int64_t keys_before(int64_t end) const { return causal && end < keys ? end : keys; }
  int64_t number(int64_t b, int64_t h, int64_t query) const {
    return ((b * heads + h) * queries + query) * keys;
  }
};

/// A mask, of which one may be there: bytes that are 0 for pairs that do not count, or numbers that
/// are added. Its columns lie side by side.
template <class T>
struct Mask {
  Rows<const uint8_t> allowed;
  Rows<const T> added;
};

template <class T>
struct Problem {
  Shape shape;
  Rows<const T> q, k, v;
  Mask<T> mask;
  Dropout dropout;
};

/// y, and log_sum_exp [batch, heads, queries].
void forward_fast(const Problem<float>& p, const Rows<float>& y, float* log_sum_exp);
template <class T>
void forward_reference(const Problem<T>& p, const Rows<T>& y, T* log_sum_exp);
template <class T>
void forward(const Problem<T>& p, const Rows<T>& y, T* log_sum_exp) {
  dispatch(forward_fast, forward_reference<T>, p, y, log_sum_exp);
}

template <class T>
struct Gradients {
  Rows<T> q, k, v;
};

void backward_fast(const Problem<float>& p, const Rows<const float>& y, const float* log_sum_exp,
                   const Rows<const float>& dy, const Gradients<float>& gradients);
template <class T>
void backward_reference(const Problem<T>& p, const Rows<const T>& y, const T* log_sum_exp,
                        const Rows<const T>& dy, const Gradients<T>& gradients);
template <class T>
void backward(const Problem<T>& p, const Rows<const T>& y, const T* log_sum_exp,
              const Rows<const T>& dy, const Gradients<T>& gradients) {
  dispatch(backward_fast, backward_reference<T>, p, y, log_sum_exp, dy, gradients);
}

}  // namespace tern::kernels::attention
