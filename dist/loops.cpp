// SPDX-License-Identifier: Apache-2.0
// Compiled for speed, what is around it for size (CMakeLists.txt).
#include "internal/loops.h"

namespace tern::dist {

void add(float* a, const float* b, size_t count) {
  for (size_t i = 0; i < count; ++i) a[i] += b[i];
}

void add(double* a, const double* b, size_t count) {
  for (size_t i = 0; i < count; ++i) a[i] += b[i];
}

void divide(float* a, float n, size_t count) {
  for (size_t i = 0; i < count; ++i) a[i] /= n;
}

void divide(double* a, double n, size_t count) {
  for (size_t i = 0; i < count; ++i) a[i] /= n;
}

}  // namespace tern::dist
