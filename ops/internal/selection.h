// SPDX-License-Identifier: Apache-2.0
// Elements of a tensor that indices select, however they say so: reading, writing and adding to
// them, with gradients. gather, scatter, index and their relatives are made of this.
#pragma once

#include "../../core/tensor.h"
#include "movement.h"

namespace tern {

/// A box of a tensor, or (where `places` is defined) rows of it.
struct Selection {
  Shape shape;  ///< of what is selected
  Box box = {};
  Tensor places = {};  ///< i64, the numbers of the rows, which may repeat; -1: zeros (see Rows)
  int64_t length = 1;  ///< of a row, in elements of the row-major tensor
  int64_t count = 0;   ///< how many rows the tensor has

  /// The indices `along` of the middle axis of a tensor of outer * size * inner elements, giving
  /// `shape`. `along` is within it.
  static Selection of_middle(const Shape& shape, int64_t outer, int64_t size, int64_t inner,
                             const Tensor& along);
};

/// The selected elements. Its adjoint is to add to zeros, at `trained` (where defined) instead of
/// the selection's places.
Tensor take(const Tensor& x, const Selection& selection, const Tensor& trained = {});

/// `base`, or zeros of `shape` if it is undefined, to whose selected elements v is added, in the
/// order of the places.
Tensor add_selected(const Tensor& base, const Shape& shape, const Selection& selection,
                    const Tensor& v);

/// Writes v, which stretches to the selection's shape, into x in place; of elements that are
/// selected several times the last one stays. Recorded if gradients of x or v are: see index_put_.
void write_selected(const char* op, const Tensor& x, const Selection& selection, const Tensor& v);

}  // namespace tern
