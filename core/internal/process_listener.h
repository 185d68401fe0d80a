// SPDX-License-Identifier: Apache-2.0
// The listener of all threads.
#pragma once

#include <memory>
#include <mutex>

#include "../op_listener.h"

namespace tern::detail {

/// Besides the listeners of single threads there is one of the whole process: the profiler. Set it
/// under the mutex, by set_process_listener.
struct ProcessListener {
  std::mutex mutex;
  std::shared_ptr<OpListener> listener;
};
ProcessListener& process_listener();
/// Replaces it; null for none.
void set_process_listener(std::shared_ptr<OpListener> listener);

}  // namespace tern::detail
