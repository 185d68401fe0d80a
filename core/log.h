// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tern {

/// How much Tern's logger tells on standard error. Off unless asked for: by set_log_level, or by
/// the environment variable TERN_LOG (trace, debug, info, warn, error, off), read at first use.
enum class LogLevel : uint8_t { trace, debug, info, warn, error, off };

/// Sets it for the whole process; TERN_LOG counts no more.
void set_log_level(LogLevel level);
/// What is set.
LogLevel log_level();

/// Writes a line to the logger "tern" (a spdlog logger; a program that registers one of that name
/// before the first message gets them). Build expensive messages only if log_enabled(level).
void log_message(LogLevel level, const std::string& message);
/// Whether a message of that level is written.
bool log_enabled(LogLevel level);

}  // namespace tern
