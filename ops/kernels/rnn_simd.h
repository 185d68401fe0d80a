// SPDX-License-Identifier: Apache-2.0
// The functions of rnn_cells.h, over the vectors of simd.h. The same bits for every kLanes.

namespace tern::kernels::rnn {
namespace {

/// f(at) for every vector of a row: at.load(p), at.store(p, v).
template <class Whole>
struct At {
  int64_t i, left;
  Vec load(const float* p) const { return load_part(p + i, left, Whole{}); }
  void store(float* p, const Vec& v) const { store_part(p + i, left, v, Whole{}); }
};
template <class F>
inline void for_units(int64_t n, const F& f) {
  for_vectors(n, [&](int64_t i, auto whole) { f(At<decltype(whole)>{i, n - i}); });
}

struct TanhOf {
  Vec operator()(Vec v) const { return kernels::tanh(v); }
  Vec operator()(Vec y, Vec dh) const { return dh * (1.0f - y * y); }
};
struct ReluOf {
  Vec operator()(Vec v) const { return 0.0f > v ? Vec{} : v; }  // NaN stays
  Vec operator()(Vec y, Vec dh) const { return y > 0.0f ? dh : Vec{}; }
};

template <class F>
void plain(int64_t n, const float* hidden, float* y) {
  for_units(n, [&](auto at) { at.store(y, F{}(at.load(y) + at.load(hidden))); });
}
template <class F>
void plain_backward(int64_t n, const float* y, const float* dh, float* dgates) {
  for_units(n, [&](auto at) { at.store(dgates, F{}(at.load(y), at.load(dh))); });
}

void lstm(int64_t n, const float* hidden, float* gates, float* c, float* h) {
  for_units(n, [&](auto at) {
    const auto sum = [&](int64_t gate) {
      return at.load(gates + gate * n) + at.load(hidden + gate * n);
    };
    const Vec in = logistic(sum(0)), forget = logistic(sum(1));
    const Vec cell = kernels::tanh(sum(2)), out = logistic(sum(3));
    const Vec next = forget * at.load(c) + in * cell;
    at.store(gates, in);
    at.store(gates + n, forget);
    at.store(gates + 2 * n, cell);
    at.store(gates + 3 * n, out);
    at.store(c, next);
    at.store(h, out * kernels::tanh(next));
  });
}

void lstm_backward(int64_t n, const float* gates, const float* before, const float* c,
                   const float* dh, float* dc, float* dgates) {
  for_units(n, [&](auto at) {
    const Vec in = at.load(gates), forget = at.load(gates + n);
    const Vec cell = at.load(gates + 2 * n), out = at.load(gates + 3 * n);
    const Vec y = kernels::tanh(at.load(c)), dy = at.load(dh);
    const Vec d = at.load(dc) + dy * out * (1.0f - y * y);
    at.store(dgates, d * cell * (in * (1.0f - in)));
    at.store(dgates + n, d * at.load(before) * (forget * (1.0f - forget)));
    at.store(dgates + 2 * n, d * in * (1.0f - cell * cell));
    at.store(dgates + 3 * n, dy * y * (out * (1.0f - out)));
    at.store(dc, d * forget);
  });
}

void gru(int64_t n, const float* hidden, const float* bias, float* gates, float* part, float* h) {
  for_units(n, [&](auto at) {
    const Vec reset = logistic(at.load(gates) + at.load(hidden));
    const Vec update = logistic(at.load(gates + n) + at.load(hidden + n));
    Vec of_hidden = at.load(hidden + 2 * n);
    if (bias) of_hidden = of_hidden + at.load(bias);
    const Vec next = kernels::tanh(at.load(gates + 2 * n) + reset * of_hidden);
    at.store(gates, reset);
    at.store(gates + n, update);
    at.store(gates + 2 * n, next);
    at.store(part, of_hidden);
    at.store(h, next + update * (at.load(h) - next));
  });
}

void gru_backward(int64_t n, const float* gates, const float* part, const float* before, float* dh,
                  float* dgates, float* dhidden) {
  for_units(n, [&](auto at) {
    const Vec reset = at.load(gates), update = at.load(gates + n), next = at.load(gates + 2 * n);
    const Vec d = at.load(dh);
    const Vec dnext = d * (1.0f - update) * (1.0f - next * next);
    const Vec dreset = dnext * at.load(part) * (reset * (1.0f - reset));
    const Vec dupdate = d * (at.load(before) - next) * (update * (1.0f - update));
    at.store(dgates, dreset);
    at.store(dgates + n, dupdate);
    at.store(dgates + 2 * n, dnext);
    at.store(dhidden, dreset);
    at.store(dhidden + n, dupdate);
    at.store(dhidden + 2 * n, dnext * reset);
    at.store(dh, d * update);
  });
}

constexpr Cells<float> kCells = {.tanh = plain<TanhOf>,
                                 .relu = plain<ReluOf>,
                                 .tanh_backward = plain_backward<TanhOf>,
                                 .relu_backward = plain_backward<ReluOf>,
                                 .lstm = lstm,
                                 .lstm_backward = lstm_backward,
                                 .gru = gru,
                                 .gru_backward = gru_backward};

}  // namespace
}  // namespace tern::kernels::rnn
