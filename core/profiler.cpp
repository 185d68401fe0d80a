// SPDX-License-Identifier: Apache-2.0
// Recording. profiler_table.cpp makes the table, io/profiler_trace.cpp the trace.
#include "profiler.h"

#include <algorithm>
#include <utility>

#include "autograd.h"
#include "error.h"
#include "profiler_session.h"

namespace tern {

namespace detail {

std::atomic<bool> profiling{false};

/// A range that has not ended. Its event waits in a list of its own, so that ending it takes no
/// memory and cannot fail.
struct ProfilerFrame {
  std::shared_ptr<ProfilerSession> session;
  ProfilerFrame* outer;
  std::list<ProfilerEvent> event;
  int64_t nested = 0;     // time of the ranges inside
  bool composed = false;  // made of other operations
};

}  // namespace detail

using detail::ProfilerFrame;
using detail::ProfilerSession;

namespace {

thread_local ProfilerFrame* innermost = nullptr;

ProfilerEvent* current_event() { return innermost ? &innermost->event.front() : nullptr; }

// The session that records now. Never destroyed, as threads may outlive the program's statics.
struct Running {
  std::mutex mutex;
  std::shared_ptr<ProfilerSession> session;
};
Running& running() {
  static Running& instance = *new Running;
  return instance;
}

int thread_number() {
  static std::atomic<int> count{0};
  thread_local const int number = ++count;
  return number;
}

int64_t bytes_of(const ProfilerEvent::Input& x) {
  return x.shape.numel() * static_cast<int64_t>(size_of(x.dtype));
}

ProfilerEvent::Input described(const Tensor& x) { return {x.shape(), x.dtype(), x.order()}; }

constexpr char kReorder[] = "to_order";

}  // namespace

Profiler::Profiler() {
  const std::lock_guard lock(running().mutex);
  if (const auto& other = running().session) {
    const std::lock_guard events(other->mutex);
    fail("Profiler", "another profiler, begun ", static_cast<double>(other->now()) * 1e-9,
         " s ago with ", other->events.size(),
         " calls recorded, is still recording: call its stop(), or let it go out of scope first");
  }
  session_ = std::make_shared<ProfilerSession>();
  running().session = session_;
  detail::profiling.store(true, std::memory_order_relaxed);
}

Profiler::~Profiler() { stop(); }

void Profiler::stop() {
  const std::lock_guard lock(running().mutex);
  if (running().session != session_) return;
  detail::profiling.store(false, std::memory_order_relaxed);
  running().session.reset();
  const std::lock_guard events(session_->mutex);
  session_->end = session_->now();
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

void ProfilerRange::begin(const char* name, const char* suffix,
                          std::span<const Tensor* const> inputs) {
  auto frame = std::make_unique<ProfilerFrame>();
  {
    const std::lock_guard lock(running().mutex);
    frame->session = running().session;
  }
  if (!frame->session) return;  // it has just ended
  ProfilerEvent& event = frame->event.emplace_back();
  event.name = std::string(name) + suffix;
  event.module = ErrorScope::path();
  event.thread = thread_number();
  for (const Tensor* x : inputs) {
    if (x->defined()) event.inputs.push_back(described(*x));
  }
  frame->outer = std::exchange(innermost, frame.get());
  frame_ = frame.release();
  event.start = frame_->session->now();
}

void ProfilerRange::begin(const char* name, const std::vector<Tensor>& inputs) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& x : inputs) pointers.push_back(&x);
  begin(name, "", pointers);
}

void ProfilerRange::begin(const Node& node, const Tensor& dy) {
  const Tensor* const inputs[] = {&dy};
  begin(node.name(), " backward", inputs);
}

void ProfilerRange::end() {
  const std::unique_ptr<ProfilerFrame> frame(std::exchange(frame_, nullptr));
  ProfilerSession& session = *frame->session;
  ProfilerEvent& event = frame->event.front();
  event.duration = session.now() - event.start;
  event.self = event.duration - frame->nested;
  if (frame->composed || event.bytes == 0) {  // a view reads nothing
    event.bytes = 0;
    if (event.flops == 0) event.implementation.clear();
  } else {
    for (const ProfilerEvent::Input& x : event.inputs) event.bytes += bytes_of(x);
    if (event.implementation.empty()) event.implementation = "tern";
  }
  innermost = frame->outer;
  if (innermost) {
    innermost->nested += event.duration;
    innermost->composed |= event.name != kReorder;  // which the outer operation goes on to read
    current_event()->reorders += event.reorders;
  }
  const std::lock_guard lock(session.mutex);
  if (session.end < 0) session.events.splice(session.events.end(), frame->event);
}

void ProfilerRange::add_flops(double count) {
  if (ProfilerEvent* event = current_event()) event->flops += count;
}

void ProfilerRange::add_implementation(const char* name) {
  ProfilerEvent* event = current_event();
  if (!event || (", " + event->implementation + ",").find(", " + std::string(name) + ",") !=
                    std::string::npos) {
    return;
  }
  event->implementation += (event->implementation.empty() ? "" : ", ") + std::string(name);
}

void ProfilerRange::add_input(const Tensor& x) {
  ProfilerEvent* event = current_event();
  if (event && x.defined()) event->inputs.push_back(described(x));
}

void ProfilerRange::add_bytes(int64_t count) {
  if (ProfilerEvent* event = current_event()) event->bytes += count;
}

void ProfilerRange::add_reorder() {
  if (ProfilerEvent* event = current_event()) ++event->reorders;
}

}  // namespace tern
