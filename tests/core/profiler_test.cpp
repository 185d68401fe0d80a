// SPDX-License-Identifier: Apache-2.0
#include <tern/tern.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "support.h"

namespace {

using namespace tern;
using tern::test::contains;
using tern::test::expect_error;

using Events = std::vector<ProfilerEvent>;

Events named(const Events& events, const std::string& name) {
  Events result;
  for (const ProfilerEvent& event : events) {
    if (event.name == name) result.push_back(event);
  }
  return result;
}

std::map<std::string, int> counted(const Events& events) {
  std::map<std::string, int> counts;
  for (const ProfilerEvent& event : events) ++counts[event.name];
  return counts;
}

/// The only event of that name.
ProfilerEvent one(const Events& events, const std::string& name) {
  const Events found = named(events, name);
  EXPECT_EQ(found.size(), 1u) << name;
  return found.empty() ? ProfilerEvent() : found[0];
}

std::vector<std::string> shapes(const ProfilerEvent& event) {
  std::vector<std::string> result;
  for (const ProfilerEvent::Input& x : event.inputs) result.push_back(to_string(x.shape));
  return result;
}

Events recorded(const std::function<void()>& body) {
  const Profiler profiler;
  body();
  return profiler.events();
}

class SmallNet : public nn::Module {
  nn::Conv2d conv{3, 5, 3, {.padding = 1}};
  nn::BatchNorm2d bn{5};
  nn::Linear fc{5 * 3 * 3, 4};

 public:
  SmallNet() {
    register_module("conv", conv);
    register_module("bn", bn);
    register_module("fc", fc);
  }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(max_pool2d(relu(bn(conv(x))), 2), 1));
  }
};

TEST(Profiler, RecordsTheStepOfANet) {
  manual_seed(1);
  SmallNet net;
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const Tensor x = randn({2, 3, 6, 6});
  const Tensor y = tensor(std::vector<int64_t>{1, 3}, {2});
  Profiler profiler;
  for (int step = 0; step < 3; ++step) {
    const Tensor loss = cross_entropy(net(x), y);
    sgd.zero_grad();
    loss.backward();
    sgd.step();
  }
  const Events events = profiler.events();
  EXPECT_EQ(counted(events), (std::map<std::string, int>{{"conv2d", 3},
                                                         {"to_memory_format", 9},
                                                         {"batch_norm", 3},
                                                         {"relu", 3},
                                                         {"max_pool2d", 3},
                                                         {"flatten", 3},
                                                         {"full", 9},
                                                         {"linear", 3},
                                                         {"cross_entropy", 3},
                                                         {"cross_entropy backward", 3},
                                                         {"linear backward", 3},
                                                         {"matmul", 6},
                                                         {"sum", 3},
                                                         {"reshape backward", 3},
                                                         {"max_pool2d backward", 3},
                                                         {"relu backward", 3},
                                                         {"batch_norm backward", 3},
                                                         {"conv2d backward", 3},
                                                         {"conv2d_backward_weights", 3},
                                                         {"optim::SGD", 3}}));

  const ProfilerEvent conv = named(events, "conv2d")[0];
  EXPECT_EQ(conv.module, "conv");
  EXPECT_EQ(shapes(conv), (std::vector<std::string>{"[2,3,6,6]", "[5,3,3,3]", "[5]"}));
  EXPECT_EQ(conv.inputs[0].memory_format, MemoryFormat::row_major);
  EXPECT_EQ(conv.flops, 2.0 * 2 * 5 * 3 * 3 * 3 * 6 * 6);
  EXPECT_EQ(conv.bytes, 4 * (2 * 3 * 36 + 5 * 3 * 9 + 5 + 2 * 5 * 36));
  EXPECT_EQ(conv.reorders, 1);
  EXPECT_TRUE(contains(conv.implementation, "avx") || contains(conv.implementation, "gemm"))
      << conv.implementation;
  const ProfilerEvent weights = named(events, "conv2d_backward_weights")[0];
  EXPECT_EQ(weights.flops, conv.flops);
  EXPECT_EQ(weights.inputs[1].memory_format, MemoryFormat::channels_last);
  const ProfilerEvent linear = named(events, "linear")[0];
  EXPECT_EQ(linear.flops, 2.0 * 2 * 45 * 4);
  EXPECT_EQ(linear.module, "fc");
  EXPECT_FALSE(linear.implementation.empty());
  for (const ProfilerEvent& product : named(events, "matmul")) EXPECT_EQ(product.flops, 720);

  const ProfilerEvent norm = named(events, "batch_norm backward")[0];
  EXPECT_EQ(shapes(norm), (std::vector<std::string>{"[2,5,6,6]", "[2,5,6,6]", "[5]"}));
  EXPECT_EQ(norm.bytes, 4 * (3 * 2 * 5 * 36 + 3 * 5));
  EXPECT_EQ(norm.flops, 0);
  EXPECT_TRUE(norm.implementation.starts_with("tern")) << norm.implementation;

  // 5*3*9 + 5 + 5 + 5 + 4*45 + 4 parameters: gradient, parameter and momentum, two of them twice;
  // and the buffers are new in the first step.
  const Events steps = named(events, "optim::SGD");
  EXPECT_EQ(steps[1].bytes, 5 * 4 * 334);
  EXPECT_EQ(steps[2].bytes, steps[1].bytes);
}

TEST(Profiler, KnowsTheBackwardOfBackward) {
  const Tensor x = rand({1, 2, 4, 4}, DType::f64).set_requires_grad();
  const Tensor w = rand({3, 2, 3, 3}, DType::f64).set_requires_grad();
  const Events events = recorded([&] {
    const Tensor dx = grad(sum(sin(conv2d(x, w, {}, {}))), {x}, {.create_graph = true})[0];
    grad(sum(dx * dx), {w});
  });
  const double flops = 2.0 * 3 * 2 * 9 * 2 * 2;
  EXPECT_EQ(one(events, "conv2d").flops, flops);
  EXPECT_EQ(one(events, "conv2d").implementation, "reference");
  EXPECT_EQ(one(events, "conv2d").inputs[0].dtype, DType::f64);
  // The gradient of the gradient is a convolution again.
  EXPECT_EQ(one(events, "conv2d_backward_data backward").flops, flops);
  EXPECT_EQ(named(events, "conv2d_backward_weights").size(), 2u);
  EXPECT_EQ(one(events, "sin backward").name, "sin backward");
}

TEST(Profiler, CountsBytes) {
  const Tensor a = rand({1000}), b = rand({1000}, DType::f64);
  const Events events = recorded([&] {
    relu(a);
    exp(b);
    gt(b, b);
    reshape(a, {10, 100});
    slice(a, 0, 100, 200, 4);
    a.fill_(2);
    a.copy_(ones({1000}));
    cat({a, a, a}, 0);
  });
  EXPECT_EQ(one(events, "relu").bytes, 8000);
  EXPECT_EQ(one(events, "exp").bytes, 16000);
  EXPECT_EQ(one(events, "gt").bytes, 17000);
  EXPECT_EQ(one(events, "reshape").bytes, 0) << "it is a view";
  EXPECT_EQ(one(events, "slice").bytes, 2 * 4 * 25) << "what it reads, not all there is";
  EXPECT_EQ(one(events, "fill_").bytes, 4000);
  EXPECT_EQ(one(events, "copy_").bytes, 8000);
  EXPECT_EQ(one(events, "cat").bytes, 24000);

  // A gradient is added to the one before in place: two are read, one is written.
  const Tensor x = rand({1000}).set_requires_grad();
  const Events backward = recorded([&] { sum(add(x, x) * add(x, x)).backward(); });
  for (const ProfilerEvent& event : named(backward, "gradient sum")) {
    EXPECT_EQ(event.bytes, 12000);
  }
  EXPECT_EQ(named(backward, "gradient sum").size(), 3u);
  EXPECT_EQ(one(backward, "mul backward").bytes, 0) << "the products in it have theirs";
  EXPECT_EQ(one(backward, "mul backward").implementation, "");
  // This one writes two tensors itself, too.
  const Events maximum = recorded([&] { max(x).backward(); });
  EXPECT_EQ(one(maximum, "max backward").bytes, 4 + 4000 + 4 + 8000);
  EXPECT_EQ(one(maximum, "mul").bytes, 12000);
}

TEST(Profiler, GivesTheBackwardToModules) {
  SmallNet net;
  const Tensor x = randn({2, 3, 6, 6}), y = tensor(std::vector<int64_t>{1, 3}, {2});
  const Events events = recorded([&] { cross_entropy(net(x), y).backward(); });
  const ProfilerEvent conv = one(events, "conv2d backward");
  EXPECT_EQ(conv.module, "conv");
  EXPECT_TRUE(conv.backward);
  EXPECT_EQ(one(events, "conv2d_backward_weights").module, "conv") << "what it calls, too";
  EXPECT_TRUE(one(events, "conv2d_backward_weights").backward);
  EXPECT_EQ(one(events, "batch_norm backward").module, "bn");
  EXPECT_EQ(one(events, "cross_entropy backward").module, "");
  EXPECT_FALSE(one(events, "conv2d").backward);
  // Within a module that differentiates, paths stay those of the forward.
  struct Penalty : nn::Module {
    nn::Linear critic{3, 1};
    Penalty() { register_module("critic", critic); }
    Tensor forward(const Tensor& in) override {
      return grad(sum(critic(in)), {in}, {.create_graph = true})[0];
    }
  } penalty;
  const Tensor in = randn({2, 3}).set_requires_grad();
  const Events nested = recorded([&] { penalty(in); });
  EXPECT_EQ(one(nested, "linear backward").module, "critic");
}

TEST(Profiler, CountsReorders) {
  const Tensor x = rand({2, 16, 5, 5});
  const Tensor w = rand({4, 16, 3, 3}).set_requires_grad();
  reset_counters();
  const Events events = recorded([&] { sum(flatten(conv2d(x, w, {}, {}), 1)).backward(); });
  int64_t total = 0;
  for (const ProfilerEvent& event : named(events, "to_memory_format")) total += event.reorders;
  EXPECT_EQ(total, counters().reorders);
  EXPECT_EQ(one(events, "conv2d").reorders, 1);
  EXPECT_EQ(one(events, "flatten").reorders, 1);
  EXPECT_EQ(one(events, "reshape backward").reorders, 1);
  EXPECT_EQ(one(events, "conv2d_backward_weights").reorders, 0);

  // What only counts as another order, because the bytes are the same, is none.
  const Tensor one_channel = rand({3, 1, 4, 4});
  const Events same = recorded([&] { to_memory_format(one_channel, MemoryFormat::channels_last); });
  EXPECT_EQ(one(same, "to_memory_format").reorders, 0);
  EXPECT_EQ(one(same, "to_memory_format").bytes, 0);
}

TEST(Profiler, NamesImplementations) {
  const Tensor x = rand({4, 32, 16, 16}), w = rand({32, 32, 3, 3});
  const auto of = [&](const std::function<void()>& body) {
    return recorded(body)[0].implementation;
  };
  const std::string automatic = of([&] { conv2d(x, w, {}, {}); });
  EXPECT_TRUE(automatic.starts_with("winograd:avx")) << automatic;
  const std::string direct = of([&] { conv2d(x, w, {}, {.algorithm = ConvAlgorithm::direct}); });
  EXPECT_FALSE(direct.empty());
  bool known = false;
  for (const std::string& name : primitive_implementations()) known |= contains(name, direct);
  EXPECT_TRUE(known) << direct;
  EXPECT_EQ(of([&] {
              const ReferenceKernels reference;
              conv2d(x, w, {}, {});
            }),
            "reference");
  EXPECT_EQ(of([&] { add(x, x); }), "tern");
  const Tensor last = to_memory_format(x, MemoryFormat::channels_last);
  EXPECT_EQ(of([&] { max_pool2d(last, 2); }).substr(0, 5), "tern:");
  EXPECT_EQ(of([&] {
              const ProfilerRange range("two");
              ProfilerRange::implementation("a");
              ProfilerRange::implementation("b");
              ProfilerRange::implementation("a");
              ProfilerRange::flops(1);
            }),
            "a, b");
}

TEST(Profiler, CountsTimeOnce) {
  const Events events = recorded([] {
    const ProfilerRange outer("outer");
    const Tensor x = rand({64, 64}).set_requires_grad();
    {
      const ProfilerRange inner("inner");
      linear(x, x, {});
    }
    sum(x * x).backward();
  });
  const ProfilerEvent& outer = events[0];
  EXPECT_EQ(outer.name, "outer");
  int64_t sum = 0;
  for (const ProfilerEvent& event : events) {
    EXPECT_GE(event.self, 0) << event.name;
    EXPECT_LE(event.self, event.duration) << event.name;
    EXPECT_GE(event.start, outer.start) << event.name;
    EXPECT_LE(event.start + event.duration, outer.start + outer.duration) << event.name;
    sum += event.self;
  }
  EXPECT_EQ(sum, outer.duration);
  EXPECT_EQ(one(events, "inner").self + one(events, "linear").duration,
            one(events, "inner").duration);
  EXPECT_TRUE(std::is_sorted(events.begin(), events.end(),
                             [](const auto& a, const auto& b) { return a.start < b.start; }));
}

TEST(Profiler, RecordsNothingWhenThereIsNone) {
  const Tensor x = rand({8});
  {
    const ProfilerRange range("early");
    EXPECT_FALSE(range.recorded());
  }
  Profiler profiler;
  relu(x);
  profiler.stop();
  EXPECT_EQ(profiler.events().size(), 1u);
  exp(x);
  const ProfilerRange late("late");
  EXPECT_FALSE(late.recorded());
  profiler.stop();
  EXPECT_EQ(profiler.events().size(), 1u);
  EXPECT_EQ(profiler.events()[0].name, "relu");
  EXPECT_EQ(recorded([] {}).size(), 0u) << "a new one begins empty";
}

TEST(Profiler, LeavesOutWhatItDoesNotSeeWhole) {
  const Tensor x = rand({8});
  std::optional<ProfilerRange> before, within;
  before.emplace("begun before");
  std::optional<Profiler> profiler(std::in_place);
  before.reset();
  within.emplace("not ended");
  EXPECT_TRUE(within->recorded());
  relu(x);
  profiler->stop();
  within.reset();
  EXPECT_EQ(counted(profiler->events()), (std::map<std::string, int>{{"relu", 1}}));

  // A range outlives its profiler, and the next one begins inside of it.
  profiler.reset();
  profiler.emplace();
  within.emplace("not ended");
  profiler.reset();
  profiler.emplace();
  exp(x);
  within.reset();
  EXPECT_EQ(counted(profiler->events()), (std::map<std::string, int>{{"exp", 1}}));
}

TEST(Profiler, RecordsEveryThread) {
  constexpr int kCalls = 200;
  const Tensor x = rand({8});
  Profiler profiler;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      const ProfilerRange outer("thread " + std::to_string(t));
      for (int i = 0; i < kCalls; ++i) t == 0 ? relu(x) : exp(x);
    });
  }
  for (int i = 0; i < kCalls; ++i) neg(x);
  for (std::thread& thread : threads) thread.join();
  const Events events = profiler.events();
  EXPECT_EQ(
      counted(events),
      (std::map<std::string, int>{
          {"thread 0", 1}, {"thread 1", 1}, {"relu", kCalls}, {"exp", kCalls}, {"neg", kCalls}}));
  const int first = one(events, "thread 0").thread, second = one(events, "thread 1").thread;
  std::map<std::string, std::set<int>> where;
  for (const ProfilerEvent& event : events) where[event.name].insert(event.thread);
  EXPECT_NE(first, second);
  EXPECT_EQ(where["relu"], std::set<int>{first});
  EXPECT_EQ(where["exp"], std::set<int>{second});
  EXPECT_EQ(where["neg"].size(), 1u);
  EXPECT_FALSE(where["neg"].contains(first) || where["neg"].contains(second));
  // Calls of one thread are inside of its own range only.
  int64_t inside = 0;
  for (const ProfilerEvent& event : named(events, "relu")) inside += event.duration;
  EXPECT_EQ(one(events, "thread 0").self + inside, one(events, "thread 0").duration);
}

TEST(Profiler, SurvivesErrors) {
  const Tensor x = rand({2, 3}), other = rand({5});
  Profiler profiler;
  EXPECT_THROW(matmul(x, x), Error);
  EXPECT_THROW(conv2d(x, x, {}, {}), Error);
  {
    const ProfilerRange outer("outer");
    EXPECT_THROW(cross_entropy(x, other), Error);
    EXPECT_THROW(cat({x, other}, 0), Error);
  }
  const Tensor leaf = rand({3}).set_requires_grad();
  EXPECT_THROW(leaf.backward(rand({4})), Error);
  relu(x);
  const Events events = profiler.events();
  const ProfilerEvent relu_event = one(events, "relu");
  EXPECT_EQ(relu_event.bytes, 48);
  EXPECT_EQ(relu_event.self, relu_event.duration);
  const ProfilerEvent outer = one(events, "outer");
  EXPECT_LE(outer.start + outer.duration, relu_event.start) << "relu counts as inside of outer";
  EXPECT_EQ(outer.self + one(events, "cross_entropy").duration + one(events, "cat").duration,
            outer.duration);
}

TEST(Profiler, IsOneAtATime) {
  const Tensor x = rand({2});
  std::optional<Profiler> first(std::in_place);
  relu(x);
  expect_error([] { const Profiler second; }, "another profiler, begun ");
  expect_error([] { const Profiler second; },
               "with 1 calls recorded, is still recording: call its");
  exp(x);
  EXPECT_EQ(first->events().size(), 2u) << "the refused one changes nothing";
  first->stop();
  const Profiler second;
  first.reset();  // does not end the second
  relu(x);
  EXPECT_EQ(second.events().size(), 1u);
}

}  // namespace
