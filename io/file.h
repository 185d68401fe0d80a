// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tern::io {

/// Writes a file that is either there whole or not at all: into a temporary file of the same
/// directory, flushed to the disk, and renamed. A file of that name is replaced. Throws Error that
/// names the path and what is wrong with it; nothing is left behind.
void write_file_atomically(const std::string& path, std::string_view bytes);

}  // namespace tern::io
