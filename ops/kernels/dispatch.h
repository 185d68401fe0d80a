// SPDX-License-Identifier: Apache-2.0
// The one place that chooses between a family's fast and its reference kernel.
//
// Note [Kernels]
// A family has one entry, `kernels::softmax(shape, x, y)`, overloaded or a template over the
// element type; front-ends call nothing else. Behind it stand `softmax_fast`, for the element types
// that its signature takes, and `softmax_reference<T>`, written to be read, which computes all
// others and is the oracle for the fast one: it shares no arithmetic with it.
#pragma once

#include <type_traits>
#include <utility>

#include "../../core/internal/resources.h"
#include "../../core/op_scope.h"
#include "../backend.h"

namespace tern::kernels {

/// Whether kernels of `dtype` are the fast ones on this thread, for what depends on it besides the
/// call itself (the memory format that a kernel wants, work in place).
inline bool fast_kernels(DType dtype) { return dtype == DType::f32 && !ReferenceKernels::active(); }

/// fast(args...) if it takes these arguments and no ReferenceKernels lives on this thread, else
/// reference(args...), by that name to the profiler. Memory that a kernel does not get is an Error.
template <class Fast, class Reference, class... Args>
decltype(auto) dispatch(const Fast& fast, const Reference& reference, Args&&... args) {
  return with_resources("kernels", [&]() -> decltype(auto) {
    if constexpr (std::is_invocable_v<const Fast&, Args&&...>) {
      if (!ReferenceKernels::active()) return fast(std::forward<Args>(args)...);
    }
    OpScope::implementation("reference");
    return reference(std::forward<Args>(args)...);
  });
}

}  // namespace tern::kernels
