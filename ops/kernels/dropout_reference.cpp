// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>

#include "dropout.h"

namespace tern::kernels {

template <class T>
void masked_scale_reference(int64_t count, const T* x, const uint8_t* mask, T scale, T* y) {
  using Values = Eigen::ArrayX<T>;
  const Eigen::Map<const Values> in(x, count);
  const auto kept = Eigen::Map<const Eigen::ArrayX<uint8_t>>(mask, count) != uint8_t{0};
  Eigen::Map<Values>(y, count) = kept.select(in * scale, Values::Zero(count));
}

template void masked_scale_reference(int64_t, const float*, const uint8_t*, float, float*);
template void masked_scale_reference(int64_t, const double*, const uint8_t*, double, double*);

}  // namespace tern::kernels
