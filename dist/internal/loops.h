// SPDX-License-Identifier: Apache-2.0
// The loops that sums of gradients spend their time in.
#pragma once

#include <cstddef>

namespace tern::dist {

/// a[i] += b[i]
void add(float* a, const float* b, size_t count);
void add(double* a, const double* b, size_t count);
/// a[i] /= n
void divide(float* a, float n, size_t count);
void divide(double* a, double n, size_t count);

}  // namespace tern::dist
