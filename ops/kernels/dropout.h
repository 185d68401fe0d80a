// SPDX-License-Identifier: Apache-2.0
// Dropout of what a mask has drawn.
#pragma once

#include <cstdint>

#include "dispatch.h"

namespace tern::kernels {

/// y = x * scale where the mask is not 0, else 0 (also for NaN).
template <class T>
void masked_scale_fast(int64_t count, const T* x, const uint8_t* mask, T scale, T* y);
template <class T>
void masked_scale_reference(int64_t count, const T* x, const uint8_t* mask, T scale, T* y);
template <class T>
void masked_scale(int64_t count, const T* x, const uint8_t* mask, T scale, T* y) {
  dispatch(masked_scale_fast<T>, masked_scale_reference<T>, count, x, mask, scale, y);
}

}  // namespace tern::kernels
