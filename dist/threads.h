// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "communicator.h"

namespace tern::dist {

/// Calls f on `count` threads of this program, each with a communicator of its own that connects it
/// to the others, and returns when all have returned:
///
///     dist::run_threads(4, [&](dist::Communicator world) {
///       Net net;                                   // a net for each
///       dist::DataParallel parallel(net, world);
///       ...
///     });
///
/// An exception in one thread ends the operations of the others with an Error that names that rank
/// and what it has thrown; that exception is rethrown here when all have ended. A thread that
/// returns while others wait for it ends them as well. The default generator of rank r begins at
/// stream r of a seed drawn from the caller's, so that ranks draw different numbers, the same in
/// every run; manual_seed makes them equal. Throws Error if count < 1.
///
/// Operations of threads that compute at once divide the processors among them (set_num_threads).
void run_threads(int count, const std::function<void(Communicator)>& f);

}  // namespace tern::dist
