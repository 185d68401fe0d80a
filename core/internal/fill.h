// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../tensor.h"

namespace tern {

/// Sets every element. Reports nothing and leaves the version alone. Throws Error naming `op` if
/// the dtype cannot hold the value.
void fill_values(const char* op, const Tensor& x, double value);

}  // namespace tern
