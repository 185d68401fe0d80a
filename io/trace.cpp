// SPDX-License-Identifier: Apache-2.0
// Chrome's trace event format:
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#include "trace.h"

#include <nlohmann/json.hpp>
#include <set>

#include "file.h"

namespace tern::io {

namespace {

using Json = nlohmann::ordered_json;

Json arguments(const ProfilerEvent& event) {
  Json shapes = Json::array(), dtypes = Json::array(), layouts = Json::array();
  for (const ProfilerEvent::Input& x : event.inputs) {
    shapes.push_back(to_string(x.shape));
    dtypes.push_back(to_string(x.dtype));
    layouts.push_back(to_string(x.memory_format));
  }
  Json result = {{"bytes", event.bytes}, {"reorders", event.reorders}};
  if (!shapes.empty()) {
    result["shapes"] = std::move(shapes);
    result["dtypes"] = std::move(dtypes);
    result["layouts"] = std::move(layouts);
  }
  if (!event.module.empty()) result["module"] = event.module;
  if (!event.implementation.empty()) result["implementation"] = event.implementation;
  if (event.flops > 0) {
    result["flops"] = event.flops;
    if (event.self > 0) result["gflops_per_s"] = event.flops / static_cast<double>(event.self);
  }
  return result;
}

}  // namespace

void write_trace(const Profiler& profiler, const std::string& path) {
  const auto microseconds = [](int64_t time) { return static_cast<double>(time) * 1e-3; };
  Json list = Json::array();
  std::set<int> threads;
  for (const ProfilerEvent& event : profiler.events()) {
    if (threads.insert(event.thread).second) {
      list.push_back({{"ph", "M"},
                      {"name", "thread_name"},
                      {"pid", 1},
                      {"tid", event.thread},
                      {"args", {{"name", "thread " + std::to_string(event.thread)}}}});
    }
    list.push_back({{"ph", "X"},
                    {"name", event.name},
                    {"cat", "tern"},
                    {"pid", 1},
                    {"tid", event.thread},
                    {"ts", microseconds(event.start)},
                    {"dur", microseconds(event.duration)},
                    {"args", arguments(event)}});
  }
  const Json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(list)}};
  // Names are the program's: what is not UTF-8 in them must not keep the rest from being written.
  write_file_atomically(path, trace.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace tern::io
