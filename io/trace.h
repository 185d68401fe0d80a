// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../core/profiler.h"

namespace tern::io {

/// Writes what a profiler has recorded in Chrome's trace event format, which ui.perfetto.dev and
/// chrome://tracing show: a row per thread, and what ProfilerEvent holds at each call. Throws Error
/// if the file cannot be written.
void write_trace(const Profiler& profiler, const std::string& path);

}  // namespace tern::io
