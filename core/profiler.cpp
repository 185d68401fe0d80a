// SPDX-License-Identifier: Apache-2.0
// Recording. profiler_table.cpp makes the table, io/trace.cpp the trace.
#include "profiler.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include "error.h"
#include "internal/process_listener.h"
#include "internal/profiler_session.h"

namespace tern {

using detail::process_listener;
using detail::ProfilerSession;

namespace {

// A call that has not ended. Its event waits in a list of its own, so that ending it takes no
// memory.
struct Pending {
  const OpCall* call;
  std::list<ProfilerEvent> event = {};
  int64_t read_only = -1;    // bytes of the inputs, if not all
  int64_t nested = 0;        // time of the calls inside
  int64_t nested_bytes = 0;  // and what they touched
};
thread_local std::vector<Pending> pending;

int thread_number() {
  static std::atomic<int> count{0};
  thread_local const int number = ++count;
  return number;
}

int64_t bytes_of(const Shape& shape, DType dtype) {
  return shape.numel() * static_cast<int64_t>(size_of(dtype));
}

ProfilerEvent::Input described(const Tensor& x) {
  return {x.shape(), x.dtype(), x.memory_format()};
}

void add_implementation(ProfilerEvent& event, const char* name) {
  std::string& names = event.implementation;
  if ((", " + names + ",").find(", " + std::string(name) + ",") != std::string::npos) return;
  names += (names.empty() ? "" : ", ") + std::string(name);
}

constexpr char kReorder[] = "to_memory_format";

}  // namespace

Profiler::Profiler() {
  const std::lock_guard lock(process_listener().mutex);
  if (const auto& other = process_listener().listener) {
    auto& session = static_cast<ProfilerSession&>(*other);
    const std::lock_guard events(session.mutex);
    fail("Profiler", "another profiler, begun ", static_cast<double>(session.now()) * 1e-9,
         " s ago with ", session.events.size(),
         " calls recorded, is still recording: call its stop(), or let it go out of scope first");
  }
  session_ = std::make_shared<ProfilerSession>();
  detail::set_process_listener(session_);
}

Profiler::~Profiler() { stop(); }

void Profiler::stop() {
  const std::lock_guard lock(process_listener().mutex);
  if (process_listener().listener != session_) return;
  detail::set_process_listener(nullptr);
  const std::lock_guard events(session_->mutex);
  session_->ending = session_->now();
}

std::vector<ProfilerEvent> Profiler::events() const {
  std::vector<ProfilerEvent> events;
  {
    const std::lock_guard lock(session_->mutex);
    events.assign(session_->events.begin(), session_->events.end());
  }
  // Calls end from the inside out.
  std::stable_sort(events.begin(), events.end(), [](const auto& a, const auto& b) {
    return a.start != b.start ? a.start < b.start : a.duration > b.duration;
  });
  return events;
}

namespace detail {

// A call for which there is no memory is not recorded.
void ProfilerSession::begin(const OpCall& call) noexcept try {
  Pending one{&call};
  ProfilerEvent& event = one.event.emplace_back();
  event.name = call.name;
  event.module = call.module;
  event.thread = thread_number();
  event.backward = call.kind == OpCall::Kind::backward ||
                   (!pending.empty() && pending.back().event.front().backward);
  for (const Tensor* x : call.inputs) {
    if (x->defined()) event.inputs.push_back(described(*x));
  }
  pending.push_back(std::move(one));
  event.start = now();
} catch (const std::bad_alloc&) {
}

void ProfilerSession::end(const OpCall& call) noexcept {
  if (pending.empty() || pending.back().call != &call) return;
  Pending one = std::move(pending.back());
  pending.pop_back();
  ProfilerEvent& event = one.event.front();
  event.duration = now() - event.start;
  event.self = event.duration - one.nested;
  if (event.bytes > 0) {  // a view reads nothing
    int64_t read = 0;
    for (const ProfilerEvent::Input& x : event.inputs) read += bytes_of(x.shape, x.dtype);
    event.bytes += one.read_only < 0 ? read : one.read_only;
  }
  const int64_t touched = std::max(event.bytes, one.nested_bytes);
  if (event.bytes <= one.nested_bytes) event.bytes = 0;  // those inside have them
  if (event.bytes == 0) {
    if (event.flops == 0) event.implementation.clear();
  } else if (event.implementation.empty()) {
    event.implementation = "tern";
  }
  if (!pending.empty()) {
    Pending& outer = pending.back();
    outer.nested += event.duration;
    // What is reordered the outer operation goes on to read.
    if (event.name != kReorder) outer.nested_bytes += touched;
    outer.event.front().reorders += event.reorders;
  }
  const std::lock_guard lock(mutex);
  if (ending < 0) events.splice(events.end(), one.event);
}

void ProfilerSession::note(const OpCall* call, const OpNote& note) noexcept try {
  if (pending.empty() || pending.back().call != call) return;
  Pending& one = pending.back();
  ProfilerEvent& event = one.event.front();
  switch (note.what) {
    case OpNote::What::flops:
      event.flops += note.number;
      break;
    case OpNote::What::implementation:
      add_implementation(event, note.text);
      break;
    case OpNote::What::reads:
      if (note.tensor->defined()) event.inputs.push_back(described(*note.tensor));
      break;
    case OpNote::What::reads_only:
      one.read_only = static_cast<int64_t>(note.number);
      break;
    case OpNote::What::writes:
    case OpNote::What::makes:
      event.bytes += bytes_of(note.tensor->shape(), note.tensor->dtype());
      break;
    case OpNote::What::bytes:
      event.bytes += static_cast<int64_t>(note.number);
      break;
    case OpNote::What::reorders:
      ++event.reorders;
      break;
    case OpNote::What::shows:
      break;
  }
} catch (const std::bad_alloc&) {
}

}  // namespace detail

}  // namespace tern
