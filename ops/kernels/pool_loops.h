// SPDX-License-Identifier: Apache-2.0
// The loops over the channels of one window, one set per instruction set. All sets give the same
// bits.
#pragma once

#include <cstdint>

namespace tern::kernels::pool {

/// The pixels of a window that lie inside the image: position (r, s) is at
/// origin + r*row_step + s*column_step.
struct Window {
  int64_t row_begin, row_end, column_begin, column_end;
  int64_t origin, row_step, column_step;
  int64_t kernel_w;

  bool empty() const { return row_begin >= row_end || column_begin >= column_end; }
};

struct Loops {
  /// The maximum of a window that is not empty, and the position r*kernel_w + s of the first one.
  void (*max)(const Window& window, int64_t channels, const float* x, float* y, uint8_t* index);
  /// Adds dy to the pixels at index; with `alone`, no other window sees these pixels, and they are
  /// written instead (0 to the others of the window).
  void (*scatter)(const Window& window, int64_t channels, bool alone, const float* dy,
                  const uint8_t* index, float* dx);
  /// The sum of a window divided by `count`, and its adjoint.
  void (*average)(const Window& window, int64_t channels, float count, const float* x, float* y);
  void (*spread)(const Window& window, int64_t channels, float count, bool alone, const float* dy,
                 float* dx);
};

}  // namespace tern::kernels::pool
