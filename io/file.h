// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tern::io {

/// Writes a file completely or not at all: into a temporary file of the same directory, which is
/// flushed to the disk and renamed. Replaces an existing file, but keeps its mode, and writes the
/// target of a symbolic link. Throws Error that names the path and the reason; the temporary file
/// is then removed. If the process is killed, path.tmp-PROCESS-NUMBER remains, until the next
/// write to the same path.
void write_file_atomically(const std::string& path, std::string_view bytes);

/// Throws Error where write_file_atomically would for an empty file, and changes nothing: for what
/// a program is to write hours later.
void check_writable(const std::string& path);

}  // namespace tern::io
