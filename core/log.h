// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tern {

/// Verbosity of Tern's stderr logger. Off by default; set by set_log_level or the environment
/// variable TERN_LOG (trace, debug, info, warn, error, off), which is read at first use.
enum class LogLevel : uint8_t { trace, debug, info, warn, error, off };

/// Sets the process-wide level; overrides TERN_LOG.
void set_log_level(LogLevel level);
/// The current level.
LogLevel log_level();

/// Writes a line to the spdlog logger "tern". A program that registers a logger of that name before
/// the first message receives the messages. Format expensive messages only if log_enabled(level).
void log_message(LogLevel level, const std::string& message);
/// Whether messages of this level are written.
bool log_enabled(LogLevel level);

}  // namespace tern
