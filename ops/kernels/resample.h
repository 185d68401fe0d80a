// SPDX-License-Identifier: Apache-2.0
// Images whose pixels are weighted sums of another image's, by rows and columns: interpolation and
// its adjoint. For both memory formats, as pool.h: channels-last memory is [n, h, w, c], row-major
// memory is the same with n*c images of one channel.
#pragma once

#include <cstdint>
#include <vector>

#include "dispatch.h"

namespace tern::kernels {

/// A pixel of the source along an axis, and what it counts.
struct Tap {
  int64_t source;
  double weight;
};

/// Each place of the result along an axis is the sum of its taps: those from begin[i] up to
/// begin[i+1].
struct Taps {
  int64_t sources;  ///< the size of the source
  std::vector<int64_t> begin{0};
  std::vector<Tap> list{};

  int64_t places() const { return static_cast<int64_t>(begin.size()) - 1; }
  void end_place() { begin.push_back(static_cast<int64_t>(list.size())); }
};

struct ResampleShape {
  int64_t images, channels;
  const Taps &rows, &columns;
};

/// y[i,j] = sum over taps r of row i and s of column j of r.weight * s.weight *
/// x[r.source,s.source]
template <class T>
void resample_fast(const ResampleShape& shape, const T* x, T* y);
template <class T>
void resample_reference(const ResampleShape& shape, const T* x, T* y);
template <class T>
void resample(const ResampleShape& shape, const T* x, T* y) {
  dispatch(resample_fast<T>, resample_reference<T>, shape, x, y);
}

}  // namespace tern::kernels
