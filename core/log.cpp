// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace tern {

namespace {

constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error", "off"};
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::trace, spdlog::level::debug,
                                                 spdlog::level::info,  spdlog::level::warn,
                                                 spdlog::level::err,   spdlog::level::off};

LogLevel level_from_environment() {
  const char* wanted = std::getenv("TERN_LOG");
  for (uint8_t i = 0; wanted && i < std::size(kNames); ++i) {
    if (std::string_view(wanted) == kNames[i]) return static_cast<LogLevel>(i);
  }
  return LogLevel::off;
}

std::atomic<LogLevel>& current_level() {
  static std::atomic<LogLevel> level{level_from_environment()};
  return level;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto found = spdlog::get("tern");
    if (!found) {
      // Not registered: spdlog's registry and default logger belong to the program.
      found = std::make_shared<spdlog::logger>("tern",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>());
      found->set_pattern("[%H:%M:%S.%e] [%n] [%l] %v");
      found->set_level(spdlog::level::trace);
    }
    return found;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { current_level().store(level, std::memory_order_relaxed); }
LogLevel log_level() { return current_level().load(std::memory_order_relaxed); }

bool log_enabled(LogLevel level) { return level >= log_level() && log_level() != LogLevel::off; }

void log_message(LogLevel level, const std::string& message) {
  if (log_enabled(level)) logger().log(kLevels[static_cast<int>(level)], message);
}

}  // namespace tern
