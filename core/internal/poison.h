// SPDX-License-Identifier: Apache-2.0
// Lets the address sanitizer see who uses memory that is Tern's, but nobody's now: free blocks that
// are kept for the next request, and what lies between the end of a request and that of its block.
#pragma once

#include <cstddef>

#ifdef __has_feature
#define TERN_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define TERN_ADDRESS_SANITIZER 1
#else
#define TERN_ADDRESS_SANITIZER 0
#endif
#if TERN_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace tern::memory {

/// From now on a use of these bytes is a fault.
inline void forbid([[maybe_unused]] const void* block, [[maybe_unused]] size_t bytes) {
#if TERN_ADDRESS_SANITIZER
  __asan_poison_memory_region(block, bytes);
#endif
}
/// Ends it.
inline void permit([[maybe_unused]] const void* block, [[maybe_unused]] size_t bytes) {
#if TERN_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(block, bytes);
#endif
}

}  // namespace tern::memory
