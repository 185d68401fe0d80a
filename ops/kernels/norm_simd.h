// SPDX-License-Identifier: Apache-2.0
// The loops of norm_loops.h, over the vectors of simd.h, beside those of batch_norm_simd.h.

namespace tern::kernels::norm {
namespace {

void row_forward(int64_t count, const float* x, const Channel& row, const float* weight,
                 const float* bias, float* y) {
  for_lanes(count, [&](auto lanes, int64_t j) {
    using V = typename decltype(lanes)::Float;
    const V normalized = (load<V>(x + j) - row.center) * row.scale + row.shift;
    store(y + j, normalized * load<V>(weight + j) + load<V>(bias + j));
  });
}

void row_sums(int64_t count, const float* x, const float* dy, const float* weight, float center,
              double& sum_g, double& sum_gx) {
  batch_norm::sum_run(count, sum_g, sum_gx, [&](auto v, int64_t i, auto& s, auto& q) {
    using V = decltype(v);
    const V g = load<V>(dy + i) * load<V>(weight + i);
    s += g;
    q += g * (load<V>(x + i) - center);
  });
}

template <int kRows, bool kInput, bool kParameters>
void rows_backward(int64_t count, const float* x, const float* dy, const float* weight,
                   const Channel* row, float* dx, float* dweight, float* dbias) {
  for_lanes(count, [&](auto lanes, int64_t j) {
    using V = typename decltype(lanes)::Float;
    const V w = load<V>(weight + j);
    V dw{}, db{};
    if constexpr (kParameters) dw = load<V>(dweight + j), db = load<V>(dbias + j);
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = r * count + j;
      const V d = load<V>(x + at) - row[r].center, g = load<V>(dy + at);
      if constexpr (kParameters) {
        dw += g * (d * row[r].scale + row[r].shift);
        db += g;
      }
      if constexpr (kInput) {
        store(dx + at, g * w * row[r].from_g + (d * row[r].from_x + row[r].constant));
      }
    }
    if constexpr (kParameters) store(dweight + j, dw), store(dbias + j, db);
  });
}

void all_rows_backward(int64_t rows, int64_t count, const float* x, const float* dy,
                       const float* weight, const Channel* row, float* dx, float* dweight,
                       float* dbias) {
  batch_norm::choose(
      [&](auto input, auto parameters) {
        int64_t i = 0;
        const auto step = [&](auto size) {
          for (; i + size() <= rows; i += size()) {
            rows_backward<size(), input(), parameters()>(count, x + i * count, dy + i * count,
                                                         weight, row + i, dx + i * count, dweight,
                                                         dbias);
          }
        };
        step(std::integral_constant<int, 4>{});
        step(std::integral_constant<int, 1>{});
      },
      dx != nullptr, dweight != nullptr);
}

constexpr Loops kLoops = {row_forward, row_sums, all_rows_backward};

}  // namespace
}  // namespace tern::kernels::norm
