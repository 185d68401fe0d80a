// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tern {

/// Height and width of a window, stride or padding: `3` means 3 by 3, `{3, 5}` 3 high and 5 wide.
struct Size2d {
  int64_t h;                                            ///< height
  int64_t w;                                            ///< width
  constexpr Size2d(int64_t both) : h(both), w(both) {}  ///< a square
  /// Height first.
  constexpr Size2d(int64_t height, int64_t width) : h(height), w(width) {}
  bool operator==(const Size2d&) const = default;  ///< whether both are equal
};

/// Depth, height and width: `3` means 3 by 3 by 3, `{1, 3, 3}` 1 deep.
struct Size3d {
  int64_t d;                                                 ///< depth
  int64_t h;                                                 ///< height
  int64_t w;                                                 ///< width
  constexpr Size3d(int64_t all) : d(all), h(all), w(all) {}  ///< a cube
  /// Depth first.
  constexpr Size3d(int64_t depth, int64_t height, int64_t width) : d(depth), h(height), w(width) {}
  bool operator==(const Size3d&) const = default;  ///< whether all are equal
};

}  // namespace tern
