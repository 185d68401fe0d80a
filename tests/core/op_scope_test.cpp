// SPDX-License-Identifier: Apache-2.0
// Every operation reports itself: what it is called, what it was given, what it gave.
#include "tern/core/op_scope.h"

#include <tern/tern.h>

#include <algorithm>
#include <set>
#include <thread>

#include "declared.h"
#include "op_recorder.h"
#include "operations.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::all_operations;
using tern::test::do_again;
using tern::test::expect_error;
using tern::test::Operation;
using tern::test::OpRecorder;
using tern::test::Recorded;

/// Values, shape, dtype and format.
void expect_same(const Tensor& a, const Tensor& b, const std::string& what) {
  ASSERT_EQ(a.dtype(), b.dtype()) << what;
  ASSERT_EQ(a.shape(), b.shape()) << what;
  EXPECT_EQ(a.memory_format(), b.memory_format()) << what;
  EXPECT_EQ(a.to(DType::f64).to_vector<double>(), b.to(DType::f64).to_vector<double>()) << what;
}

TEST(OpScope, EveryOperationReportsItself) {
  manual_seed(1);
  for (const Operation& op : all_operations()) {
    for (const bool grad : {true, false}) {
      SCOPED_TRACE(op.declared + (grad ? "" : " under NoGrad"));
      const GradMode mode(grad);
      OpRecorder recorder;
      manual_seed(7);
      const Tensor y = [&] {
        const OpListening listening(recorder);
        return op.call();
      }();
      EXPECT_EQ(recorder.open, 0);
      EXPECT_TRUE(recorder.without_result.empty()) << recorder.without_result[0];
      std::vector<Recorded> outer = recorder.outermost();
      ASSERT_FALSE(outer.empty());
      const Recorded& one = outer.back();  // a call may prepare its inputs
      EXPECT_EQ(one.call.name, op.reported);
      ASSERT_FALSE(one.call.results.empty());
      EXPECT_TRUE(one.call.results[0].is_same(y)) << "the very tensor that the caller gets";
      static const std::set<std::string> creations{"full",     "rand",      "randn",   "arange",
                                                   "tensor",   "from_blob", "randint", "randperm",
                                                   "linspace", "eye"};
      static const std::set<std::string> not_differentiable{"detach", "conv2d_batch_norm",
                                                            "bernoulli", "normal"};
      const bool makes =
          creations.contains(op.reported) || (op.reported == "normal" && one.inputs.empty());
      EXPECT_EQ(one.inputs.empty(), makes);
      const bool continues = one.inputs.size() > 0 && y.requires_grad();
      EXPECT_EQ(continues, grad && !makes && is_floating(y.dtype()) &&
                               !not_differentiable.contains(op.declared) &&
                               !op.declared.ends_with("_"));
      const GradMode again_mode(false);
      manual_seed(7);
      expect_same(y, do_again(one), op.declared);
    }
  }
}

TEST(OpScope, TheListOfOperationsIsComplete) {
  std::map<std::string, int> declared = tern::test::declared_operations(TERN_SOURCE_DIR);
  EXPECT_GT(declared.size(), 80u) << "the headers are read";
  // They compute nothing: memory as it is, and what a backward pass left; or by others alone.
  for (const char* name : {"empty", "empty_like", "grad", "composed_recurrent"})
    EXPECT_EQ(declared.erase(name), 1u);
  std::map<std::string, int> listed;
  for (const Operation& op : all_operations()) ++listed[op.declared];
  EXPECT_EQ(declared, listed);
}

TEST(OpScope, AnOperationWithSeveralResultsReportsAll) {
  const Tensor x = rand({3, 2});
  OpRecorder recorder;
  std::vector<Tensor> rows;
  {
    const OpListening listening(recorder);
    rows = unbind(x);
  }
  ASSERT_EQ(recorder.calls.size(), 1u);
  const auto& results = recorder.calls[0].call.results;
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_TRUE(results[i].is_same(rows[i]));
}

TEST(OpScope, BackwardsReportTheirModuleAndGradients) {
  manual_seed(2);
  nn::Sequential net(nn::Linear(3, 4), nn::Tanh(), nn::Linear(4, 1));
  const Tensor x = rand({2, 3});
  OpRecorder recorder;
  {
    const OpListening listening(recorder);
    sum(net(x)).backward();
  }
  std::map<std::string, std::string> modules;
  for (const Recorded& one : recorder.calls) {
    if (one.call.kind != OpCall::Kind::backward) continue;
    modules[one.call.name] += "/" + one.call.module;
    EXPECT_EQ(one.call.depth, 0);
    ASSERT_EQ(one.inputs.size(), 1u);
    if (one.call.name == "linear backward") {
      EXPECT_EQ(one.call.results.size(), 3u);
    }
  }
  EXPECT_EQ(modules,
            (std::map<std::string, std::string>{
                {"linear backward", "/2/0"}, {"tanh backward", "/1"}, {"sum backward", "/"}}));
  for (const Recorded& one : recorder.calls) {
    if (one.call.name == "matmul") {
      EXPECT_EQ(one.call.depth, 1);
      EXPECT_TRUE(one.call.module == "2" || one.call.module == "0") << one.call.module;
    }
  }
  // A node remembers its module only if there was a listener.
  EXPECT_EQ(net(x).node()->module(), "");
}

/// A net with all that happens in inference.
class Net : public nn::Module {
  nn::Sequential body{nn::Conv2d(3, 8, 3, {.padding = 1}), nn::BatchNorm2d(8), nn::ReLU(),
                      nn::MaxPool2d(2)};
  nn::Conv2d conv{8, 8, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d bn{8};
  nn::Dropout drop{0.5};
  nn::Linear fc{8 * 4 * 4, 5};

 public:
  Net() {
    register_module("body", body);
    register_module("conv", conv);
    register_module("bn", bn);
    register_module("drop", drop);
    register_module("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    const ProfilerRange range("a range is no operation");
    Tensor y = body(x);
    y = add_relu(bn(conv(y)), y);
    y = fc(drop(flatten(contiguous(y), 1)));
    const Tensor best = unsqueeze(argmax(y, 1), 1).to(DType::f32);
    const Tensor shares = softmax(y.detach().clone(), -1).to(DType::f64);
    const Tensor chosen = where(gt(shares, 0.2), shares, zeros({}, DType::f64));
    return cat({chosen, transpose(transpose(best.to(DType::f64), 0, 1), 0, 1)}, 1);
  }
};

TEST(OpScope, ATracerSeesTheWholeNet) {
  manual_seed(3);
  Net net;
  for (const auto& [name, buffer] : net.named_buffers()) {
    if (is_floating(buffer.dtype())) buffer.copy_(rand(buffer.shape()));
  }
  net.eval();
  const NoGrad no_grad;
  const Tensor x = rand({2, 3, 8, 8}), other = rand({4, 3, 8, 8});
  OpRecorder recorder;
  Tensor y;
  {
    const OpListening listening(recorder);
    y = net(x);
  }
  const std::vector<Recorded> trace = recorder.outermost();
  std::vector<Tensor> known = net.parameters();
  for (const Tensor& buffer : net.buffers()) known.push_back(buffer);
  const size_t constants = known.size();
  known.push_back(x);
  std::vector<Tensor> values = known;  // of another input
  values.back() = other;
  std::set<std::string> names, modules;
  for (const Recorded& op : trace) {
    names.insert(op.call.name);
    modules.insert(op.call.module);
    Recorded again = op;
    for (Tensor& input : again.inputs) {
      if (!input.defined()) continue;
      const auto is_this = [&](const Tensor& t) { return t.is_same(input); };
      const auto found = std::find_if(known.begin(), known.end(), is_this);
      ASSERT_NE(found, known.end()) << "an input of " << op.call.name << " comes from nowhere";
      input = values[static_cast<size_t>(found - known.begin())];
    }
    known.push_back(op.call.results.at(0));
    values.push_back(do_again(again));
  }
  EXPECT_GT(known.size(), constants + 10);
  EXPECT_TRUE(known.back().is_same(y));
  expect_same(values.back(), net(other), "the trace, run with another input");
  for (const char* name : {"conv2d_batch_norm",
                           "max_pool2d",
                           "conv2d",
                           "batch_norm",
                           "add_relu",
                           "to_memory_format",
                           "flatten",
                           "dropout",
                           "linear",
                           "argmax",
                           "unsqueeze",
                           "to",
                           "detach",
                           "clone",
                           "softmax",
                           "gt",
                           "full",
                           "where",
                           "transpose",
                           "cat"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  EXPECT_EQ(modules, (std::set<std::string>{"", "body.0", "body.3", "bn", "conv", "drop", "fc"}));
}

TEST(OpScope, SaysWhereValuesLeaveTheGraph) {
  const Tensor x = rand({1});
  OpRecorder recorder;
  {
    const OpListening listening(recorder);
    (void)exp(x);
    EXPECT_TRUE(recorder.shown.empty());
    (void)x.item<float>();
    (void)x.data<float>();
    EXPECT_EQ(recorder.shown.size(), 2u);
    (void)x.to_vector<float>();
  }
  EXPECT_GT(recorder.shown.size(), 2u);
  EXPECT_EQ(recorder.shown.back(), "");
}

struct Costly {
  int* built;
};
AttributeValue attribute_of(Costly costly) {
  ++*costly.built;
  return int64_t{1};
}

TEST(OpScope, NothingIsBuiltWhenNobodyListens) {
  const Tensor x = rand({2});
  int built = 0;
  const auto operation = [&] {
    const OpScope scope("operation", x, "costly", Costly{&built});
    EXPECT_TRUE(scope.result(x).is_same(x));
    return scope.recorded();
  };
  EXPECT_FALSE(OpScope::listened());
  EXPECT_FALSE(operation());
  EXPECT_EQ(built, 0);
  OpRecorder recorder;
  const OpListening listening(recorder);
  EXPECT_TRUE(operation());
  EXPECT_EQ(built, 1);
  // One on another thread is none here.
  std::thread([&] { EXPECT_FALSE(operation()); }).join();
  EXPECT_EQ(built, 1);
}

TEST(OpScope, ListenersHearTheirOwnThread) {
  const Tensor x = rand({8});
  OpRecorder mine, theirs;
  const OpListening listening(mine);
  std::thread([&] {
    (void)exp(x);
    const OpListening other(theirs);
    (void)log(x);
  }).join();
  (void)sin(x);
  ASSERT_EQ(mine.outermost().size(), 1u);
  EXPECT_EQ(mine.outermost()[0].call.name, "sin");
  ASSERT_EQ(theirs.outermost().size(), 1u);
  EXPECT_EQ(theirs.outermost()[0].call.name, "log");
}

TEST(OpScope, ListenersNestAndAProfilerHearsToo) {
  const Tensor x = rand({8});
  OpRecorder outer, inner;
  const Profiler profiler;
  {
    const OpListening one(outer);
    const ProfilerRange range("begun before the inner one");
    {
      const OpListening two(inner);
      (void)exp(x);
    }
    (void)log(x);
  }
  EXPECT_EQ(outer.outermost().size(), 2u);
  EXPECT_EQ(inner.outermost().size(), 1u);
  EXPECT_EQ(outer.open, 0);
  EXPECT_EQ(inner.open, 0);
  EXPECT_EQ(profiler.events().size(), 3u);
}

TEST(OpScope, AListenerMayRunOperationsAndThrow) {
  struct Strict : OpListener {
    void result(const OpCall& call) override {
      ++heard;
      if (sum(call.results.at(0)).item<float>() > 10) fail(call.name, "is too large");
    }
    int heard = 0;
  } strict;
  const Tensor x = ones({8});
  {
    const OpListening listening(strict);
    (void)(x * 1.0);
    expect_error([&] { (void)(x * 2.0); }, "[mul] is too large");
    (void)(x * 1.0);
  }
  EXPECT_EQ(strict.heard, 3);
}

TEST(OpScope, ErrorsEndTheScope) {
  const Tensor x = rand({2, 3});
  OpRecorder recorder;
  const OpListening listening(recorder);
  EXPECT_THROW(matmul(x, x), Error);
  EXPECT_THROW(cat({x, x}, 5), Error);
  EXPECT_EQ(recorder.open, 0);
  EXPECT_TRUE(recorder.calls.empty());
  EXPECT_TRUE(recorder.without_result.empty());
}

TEST(OpScope, AttributesAreTyped) {
  const Tensor x = rand({2, 3});
  OpRecorder recorder;
  {
    const OpListening listening(recorder);
    (void)softmax(x, -1);
  }
  const OpCall& call = recorder.calls.at(0).call;
  EXPECT_EQ(call.attribute<int64_t>("axis"), -1);
  expect_error([&] { (void)call.attribute<int64_t>("dim"); },
               "attribute \"dim\" is not there, want one of axis");
  expect_error([&] { (void)call.attribute<double>("axis"); },
               "attribute \"axis\" is of another type");
}

}  // namespace
