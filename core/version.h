// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tern {

/// The version of these headers. CMake and pkg-config report the same, they read it here.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace tern
