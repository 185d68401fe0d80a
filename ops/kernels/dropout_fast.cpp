// SPDX-License-Identifier: Apache-2.0
#include "../../core/internal/parallel.h"
#include "dropout.h"

namespace tern::kernels {

template <class T>
void masked_scale_fast(int64_t count, const T* x, const uint8_t* mask, T scale, T* y) {
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = mask[i] ? x[i] * scale : T{0};
  });
}

template void masked_scale_fast(int64_t, const float*, const uint8_t*, float, float*);
template void masked_scale_fast(int64_t, const double*, const uint8_t*, double, double*);

}  // namespace tern::kernels
