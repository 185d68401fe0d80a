// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tern {

/// Sets the number of threads that Tern's operations use in this process; by default the number of
/// processors that the process may run on. While other threads of the program compute, or other
/// processes keep the processors busy, operations use fewer of them and give the same bits. The
/// program's own OpenMP settings are not affected.
/// In a child process (fork) of one that has computed on several threads it is 1, whatever is set:
/// OpenMP's threads are not there. Throws Error if n < 1.
void set_num_threads(int n);
/// The number of threads that Tern's operations use.
int num_threads();

}  // namespace tern
