// SPDX-License-Identifier: Apache-2.0
// What this machine can do.
#pragma once

namespace tern {

/// Operations and bytes per second.
struct Peaks {
  double flops;  ///< of a large float32 matrix product by oneDNN
  double bytes;  ///< read and written by a copy of memory that no cache holds
};

/// With num_threads() threads. The first call with a number of them measures, for some tenths of a
/// second.
Peaks measured_peaks();

}  // namespace tern
