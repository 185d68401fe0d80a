// SPDX-License-Identifier: Apache-2.0
// What the standard library throws when memory or threads run out, as Error.
#pragma once

#include <new>
#include <stdexcept>
#include <system_error>

#include "../error.h"

namespace tern {

/// f(), with the standard library's exceptions for exhausted resources turned into Error.
template <class F>
decltype(auto) with_resources(const char* op, const F& f) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    fail(op, "out of memory: use fewer or smaller pieces at a time");
  } catch (const std::length_error&) {
    fail(op, "the request is larger than any memory, want less");
  } catch (const std::system_error& error) {
    // Others, such as a missing file, are not about resources.
    if (error.code() != std::errc::resource_unavailable_try_again &&
        error.code() != std::errc::not_enough_memory) {
      throw;
    }
    fail(op, "the system refuses: ", error.what());
  }
}

}  // namespace tern
