// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tern {

/// How many threads Tern's operations may use, in this process. Starts as the number of processors
/// that this process may run on. Only Tern is affected: the program's own OpenMP settings are the
/// same before and after every call. Throws Error if n < 1.
void set_num_threads(int n);
/// What is set, or the number of processors.
int num_threads();

}  // namespace tern
