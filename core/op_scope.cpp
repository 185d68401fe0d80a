// SPDX-License-Identifier: Apache-2.0
#include "op_scope.h"

#include <memory>

#include "autograd.h"
#include "error.h"
#include "internal/process_listener.h"

namespace tern {

namespace detail {

std::atomic<int> op_listeners{0};

// Never destroyed, as threads may outlive the program's statics.
ProcessListener& process_listener() {
  static ProcessListener& instance = *new ProcessListener;
  return instance;
}

void set_process_listener(std::shared_ptr<OpListener> listener) {
  std::shared_ptr<OpListener>& current = process_listener().listener;
  op_listeners.fetch_add((listener ? 1 : 0) - (current ? 1 : 0), std::memory_order_relaxed);
  current = std::move(listener);
}

/// A call that has not ended, and who was there when it began.
struct OpFrame {
  OpCall call;
  OpFrame* outer = nullptr;
  const ModuleScope* scope = nullptr;
  std::shared_ptr<OpListener> process;
  uint64_t listenings = 0;
};

}  // namespace detail

using detail::OpFrame;

namespace {

thread_local OpFrame* innermost = nullptr;
thread_local std::unique_ptr<OpFrame> opened;  // between open and start
thread_local const OpListening* listening = nullptr;
thread_local uint64_t listenings = 0;
thread_local bool telling = false;

// What listeners call themselves is not told.
class Telling {
 public:
  Telling() { telling = true; }
  ~Telling() { telling = false; }
};

// Calls f on those that listened when the call began, and still do.
template <class F>
void tell_all(const OpFrame& frame, F&& f) {
  const Telling guard;
  if (frame.process) f(*frame.process);
  for (const OpListening* one = listening; one; one = one->outer()) {
    if (one->number() <= frame.listenings) f(one->listener());
  }
}

std::string module_of(const OpFrame* outer) {
  // A backward's module is that of all its calls, except those of modules that run within it.
  if (outer && outer->scope == ModuleScope::innermost()) return outer->call.module;
  return ModuleScope::path();
}

}  // namespace

OpListening::OpListening(OpListener& listener)
    : listener_(listener), outer_(listening), number_(++listenings) {
  listening = this;
  detail::op_listeners.fetch_add(1, std::memory_order_relaxed);
}

OpListening::~OpListening() {
  detail::op_listeners.fetch_sub(1, std::memory_order_relaxed);
  listening = outer_;
}

const AttributeValue& OpCall::find(std::string_view wanted) const {
  for (const OpAttribute& attribute : attributes) {
    if (attribute.name == wanted) return attribute.value;
  }
  std::string known;
  for (const OpAttribute& attribute : attributes) known += " " + attribute.name;
  fail(name, "attribute \"", wanted, "\" is not there, want one of", known);
}

void OpScope::fail_undefined(const char* name) {
  fail(name, "the first tensor is undefined (default-constructed or absent), want a tensor");
}

bool OpScope::open(OpCall::Kind kind, const char* name) {
  if (telling) return false;
  std::shared_ptr<OpListener> process;
  {
    const std::lock_guard lock(detail::process_listener().mutex);
    process = detail::process_listener().listener;
  }
  if (!process && !listening) return false;  // another thread listens
  opened = std::make_unique<OpFrame>();
  opened->process = std::move(process);
  opened->call.kind = kind;
  opened->call.name = name;
  return true;
}

OpFrame* OpScope::start() {
  OpFrame& frame = *opened;
  frame.outer = innermost;
  frame.scope = ModuleScope::innermost();
  frame.listenings = listenings;
  if (frame.call.module.empty()) frame.call.module = module_of(innermost);
  if (innermost) {
    frame.call.depth = innermost->call.depth + (innermost->call.kind != OpCall::Kind::range);
  }
  innermost = opened.release();
  tell_all(frame, [&](OpListener& listener) { listener.begin(frame.call); });
  if (frame.call.kind == OpCall::Kind::range) frame.call.inputs.clear();  // may be temporaries
  return &frame;
}

void OpScope::begin_backward(const Node& node, std::span<const Tensor> dys) {
  if (!open(OpCall::Kind::backward, node.name())) return;
  opened->call.name += " backward";
  opened->call.module = node.module();
  for (const Tensor& dy : dys) add(dy);
  frame_ = start();
}

void OpScope::add(const Tensor& input) { opened->call.inputs.push_back(&input); }
void OpScope::add(const std::vector<Tensor>& inputs) {
  for (const Tensor& input : inputs) add(input);
}
void OpScope::add(std::vector<OpAttribute> attributes) {
  for (OpAttribute& attribute : attributes) {
    opened->call.attributes.push_back(std::move(attribute));
  }
}
void OpScope::add(const char* name, AttributeValue value) {
  opened->call.attributes.push_back({name, std::move(value)});
}
void OpScope::add(const char* name, int64_t value) { add(name, AttributeValue(value)); }
void OpScope::add(const char* name, double value) { add(name, AttributeValue(value)); }
void OpScope::add(const char* name, bool value) { add(name, AttributeValue(value)); }
void OpScope::add(const char* name, const char* value) {
  add(name, AttributeValue(std::string(value)));
}

void OpScope::report(std::span<const Tensor> results) const {
  frame_->call.results.assign(results.begin(), results.end());
  tell_all(*frame_, [&](OpListener& listener) { listener.result(frame_->call); });
}

void OpScope::end() {
  const std::unique_ptr<OpFrame> frame(std::exchange(frame_, nullptr));
  innermost = frame->outer;
  tell_all(*frame, [&](OpListener& listener) { listener.end(frame->call); });
}

void OpScope::tell(const OpNote& note) {
  if (telling) return;
  const Telling guard;
  const OpCall* call = innermost ? &innermost->call : nullptr;
  if (call && innermost->process) innermost->process->note(call, note);
  for (const OpListening* one = listening; one; one = one->outer()) {
    one->listener().note(call, note);
  }
}

std::string OpScope::module() { return module_of(innermost); }

}  // namespace tern
