// SPDX-License-Identifier: Apache-2.0
// What operations report, and doing them again from it.
#pragma once

#include <gtest/gtest.h>
#include <tern/tern.h>

#include <exception>
#include <map>
#include <string>
#include <vector>

namespace tern::test {

/// A call that has ended, with tensors that stay.
struct Recorded {
  OpCall call;  // without inputs
  std::vector<Tensor> inputs;

  const Tensor& in(size_t i) const { return inputs.at(i); }
  template <class T>
  const T& get(const char* name) const {
    return call.attribute<T>(name);
  }
};

/// Writes down calls in the order in which their results were known.
class OpRecorder : public OpListener {
 public:
  std::vector<Recorded> calls;
  std::vector<std::string> without_result;  // operations that forgot
  int open = 0;                             // begun, not ended
  std::vector<std::string> shown;           // what called was inside of when values were read

  void begin(const OpCall&) noexcept override { ++open; }
  void result(const OpCall& call) override {
    Recorded one{call, {}};
    for (const Tensor* input : call.inputs) one.inputs.push_back(*input);
    one.call.inputs.clear();
    calls.push_back(std::move(one));
  }
  void end(const OpCall& call) noexcept override {
    --open;
    const bool has = call.kind != OpCall::Kind::range;
    if (has && call.results.empty() && std::uncaught_exceptions() == 0) {
      without_result.push_back(call.name);
    }
  }
  void note(const OpCall* call, const OpNote& note) noexcept override {
    if (note.what == OpNote::What::shows) shown.push_back(call ? call->name : "");
  }

  /// Operations that are no part of others.
  std::vector<Recorded> outermost() const {
    std::vector<Recorded> list;
    for (const Recorded& one : calls) {
      if (one.call.kind == OpCall::Kind::operation && one.call.depth == 0) list.push_back(one);
    }
    return list;
  }
};

/// Does the operation again, from nothing but its name, inputs and attributes.
Tensor do_again(const Recorded& op);

}  // namespace tern::test
