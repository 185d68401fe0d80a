// SPDX-License-Identifier: Apache-2.0
#include "resample.h"

namespace tern::kernels {

template <class T>
void resample_reference(const ResampleShape& s, const T* x, T* y) {
  const auto taps_of = [](const Taps& taps, int64_t place, const auto& f) {
    const auto i = static_cast<size_t>(place);
    for (int64_t t = taps.begin[i]; t < taps.begin[i + 1]; ++t)
      f(taps.list[static_cast<size_t>(t)]);
  };
  const int64_t height = s.rows.places(), width = s.columns.places();
  for (int64_t n = 0; n < s.images; ++n) {
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        for (int64_t c = 0; c < s.channels; ++c) {
          T sum{0};
          taps_of(s.rows, i, [&](const Tap& r) {
            taps_of(s.columns, j, [&](const Tap& q) {
              const int64_t pixel = (n * s.rows.sources + r.source) * s.columns.sources + q.source;
              sum += static_cast<T>(r.weight * q.weight) * x[pixel * s.channels + c];
            });
          });
          y[((n * height + i) * width + j) * s.channels + c] = sum;
        }
      }
    }
  }
}

template void resample_reference(const ResampleShape&, const float*, float*);
template void resample_reference(const ResampleShape&, const double*, double*);

}  // namespace tern::kernels
