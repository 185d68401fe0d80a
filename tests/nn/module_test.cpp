// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support.h"

using namespace tern;

using tern::test::contains;
using tern::test::message_of;

namespace {

std::vector<std::string> names_of(const std::vector<std::pair<std::string, Tensor>>& named) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : named) names.push_back(name);
  return names;
}

using Names = std::vector<std::string>;

// A parameter and a buffer, kept as members as users do.
class Scale : public nn::Module {
 public:
  explicit Scale(double value = 2.0)
      : count(register_buffer("count", zeros({}, DType::i64))),
        mean(register_buffer("mean", zeros({3}))),
        w(register_parameter("w", full({3}, value))) {}
  Tensor forward(const Tensor& x) override {
    if (x.size(-1) != 3) fail("scale", "x is ", x, ", want 3 columns");
    return x * w;
  }

  Tensor count;
  Tensor mean;
  Tensor w;
};

class Pair : public nn::Module {
 public:
  Pair() {
    register_module("first", first);
    register_parameter("bias", bias);
    register_parameter("absent", Tensor());
    register_module("second", second);
  }
  Tensor forward(const Tensor& x) override { return second(first(x)) + bias; }

  Scale first{2.0};
  Scale second{3.0};
  Tensor bias = zeros({3});
};

class Outer : public nn::Module {
 public:
  Outer() { register_module("pair", pair); }
  Tensor forward(const Tensor& x) override { return pair(x); }
  Pair pair;
};

TEST(Module, StateDictHasPyTorchsNamesAndOrder) {
  const Outer net;
  EXPECT_EQ(net.state_dict().names(),
            (Names{"pair.bias", "pair.first.w", "pair.first.count", "pair.first.mean",
                   "pair.second.w", "pair.second.count", "pair.second.mean"}));
  EXPECT_EQ(names_of(net.named_parameters()),
            (Names{"pair.bias", "pair.first.w", "pair.second.w"}));
  EXPECT_EQ(names_of(net.named_buffers()), (Names{"pair.first.count", "pair.first.mean",
                                                  "pair.second.count", "pair.second.mean"}));
  EXPECT_EQ(net.parameters().size(), 3u);
  EXPECT_EQ(net.buffers().size(), 4u);
}

TEST(Module, StateDictSharesMemoryAndIsDetached) {
  Scale scale;
  const StateDict dict = scale.state_dict();
  EXPECT_FALSE(dict.at("w").requires_grad());
  dict.at("w").fill_(7.0);
  EXPECT_EQ(scale.w.to_vector<float>()[2], 7.0f);
}

TEST(Module, WalksOverModulesByPath) {
  Outer net;
  Names paths;
  for (const auto& [path, module] : net.named_modules()) paths.push_back(path);
  EXPECT_EQ(paths, (Names{"", "pair", "pair.first", "pair.second"}));
  const auto children = net.pair.named_children();
  ASSERT_EQ(children.size(), 2u);
  EXPECT_EQ(children[1].first, "second");
  const auto* second = dynamic_cast<Scale*>(children[1].second);
  ASSERT_NE(second, nullptr) << "children keep their type";
  EXPECT_TRUE(second->w.is_same(net.pair.second.w));
  Names applied;
  net.apply([&](nn::Module& module) { applied.push_back(module.type_name()); });
  EXPECT_EQ(applied, (Names{"Scale", "Scale", "Pair", "Outer"}));
}

TEST(Module, FindsItsOwnParametersByName) {
  const Pair net;
  EXPECT_TRUE(net.parameter("bias").is_same(net.bias));
  EXPECT_FALSE(net.parameter("absent").defined());
  EXPECT_TRUE(net.first.buffer("mean").is_same(net.first.mean));
  EXPECT_THROW(static_cast<void>(net.parameter("first.w")), Error);
  EXPECT_THROW(static_cast<void>(net.first.buffer("w")), Error);
}

// Two names for one tensor, two names for one module.
class Tied : public nn::Module {
 public:
  Tied() {
    register_module("a", a);
    register_module("b", a);
    register_parameter("w", a.w);
  }
  Tensor forward(const Tensor& x) override { return a(x) * own; }
  Scale a;
  Tensor own = a.w;
};

TEST(Module, SharedParametersCountOnceAndAreSavedUnderEachName) {
  Tied net;
  EXPECT_EQ(names_of(net.named_parameters()), Names{"w"});
  EXPECT_EQ(names_of(net.named_buffers()), (Names{"a.count", "a.mean"}));
  EXPECT_EQ(net.state_dict().names(),
            (Names{"w", "a.w", "a.count", "a.mean", "b.w", "b.count", "b.mean"}));
  EXPECT_EQ(net.named_modules().size(), 2u);
}

class Free : public nn::Module {
 public:
  using nn::Module::register_buffer;
  using nn::Module::register_module;
  using nn::Module::register_parameter;
};

TEST(Module, RegistrationRejectsWhatWouldGoWrongLater) {
  Free net;
  net.register_parameter("w", zeros({2}));
  net.register_buffer("b", zeros({2}));
  net.register_module("m", Scale());
  for (const char* name : {"", "a.b", "w", "b", "m"}) {
    EXPECT_THROW(net.register_parameter(name, zeros({2})), Error) << name;
    EXPECT_THROW(net.register_buffer(name, zeros({2})), Error) << name;
    EXPECT_THROW(net.register_module(name, Scale()), Error) << name;
  }
  EXPECT_THROW(net.register_parameter("i", zeros({2}, DType::i64)), Error);
  const Tensor leaf = zeros({2}).set_requires_grad();
  EXPECT_THROW(net.register_parameter("y", leaf * 2.0), Error);
  EXPECT_THROW(net.register_buffer("y", leaf), Error);
  const Scale scale;
  const nn::Module& base = scale;
  EXPECT_THROW(net.register_module("base", base), Error);
  EXPECT_THROW(net.register_module("self", net), Error);
  Free outer;
  outer.register_module("net", net);
  EXPECT_THROW(net.register_module("outer", outer), Error);
  EXPECT_EQ(net.state_dict().names(), (Names{"w", "b", "m.w", "m.count", "m.mean"}));
}

TEST(Module, CopiesAreHandles) {
  Pair net;
  Pair copy = net;
  EXPECT_TRUE(copy.is_same(net));
  EXPECT_FALSE(copy.is_same(Pair()));
  copy.eval();
  EXPECT_FALSE(net.is_training());
  EXPECT_FALSE(net.second.is_training());
  copy.first.mean.fill_(4.0);
  EXPECT_EQ(net.children()[0]->buffer("mean").to_vector<float>()[0], 4.0f);
  net = Pair();
  EXPECT_FALSE(copy.is_same(net));
}

class Frozen : public Scale {
 public:
  bool is_frozen() const override { return *frozen; }
  Shared<bool> frozen{false};
};

class HasFrozen : public nn::Module {
 public:
  HasFrozen() { register_module("frozen", frozen), register_module("free", free); }
  Frozen frozen;
  Scale free;
};

TEST(Module, ModeGoesDownExceptToTheFrozen) {
  HasFrozen net;
  EXPECT_TRUE(net.is_training() && net.frozen.is_training() && net.free.is_training());
  *net.frozen.frozen = true;
  net.train();
  EXPECT_TRUE(net.is_training() && net.free.is_training());
  EXPECT_FALSE(net.frozen.is_training());
  *net.frozen.frozen = false;
  net.train();
  EXPECT_TRUE(net.frozen.is_training());
}

TEST(Module, EvalModePutsEveryModeBack) {
  Pair net;
  net.second.eval();
  {
    const nn::EvalMode evaluation(net);
    EXPECT_FALSE(net.is_training() || net.first.is_training() || net.second.is_training());
  }
  EXPECT_TRUE(net.is_training() && net.first.is_training());
  EXPECT_FALSE(net.second.is_training());
}

TEST(Module, ToConvertsBehindEveryHandle) {
  Outer net;
  const Tensor held = net.parameters()[1];
  const Tensor x = rand({2, 3});
  net(x).backward(ones({2, 3}));
  EXPECT_TRUE(held.grad().defined());
  net.to(DType::f64);
  EXPECT_EQ(held.dtype(), DType::f64);
  EXPECT_TRUE(held.is_same(net.pair.first.w));
  EXPECT_TRUE(held.requires_grad());
  EXPECT_FALSE(held.grad().defined());
  EXPECT_EQ(held.to_vector<double>(), (std::vector<double>{2, 2, 2}));
  EXPECT_EQ(net.pair.second.mean.dtype(), DType::f64);
  EXPECT_EQ(net.pair.second.count.dtype(), DType::i64);
  EXPECT_FALSE(net.pair.second.mean.requires_grad());
  const Tensor y = net(x.to(DType::f64));
  EXPECT_EQ(y.dtype(), DType::f64);
  y.backward(ones({2, 3}, DType::f64));
  EXPECT_EQ(held.grad().dtype(), DType::f64);
  EXPECT_THROW(net.to(DType::i64), Error);
  EXPECT_THROW(net.to(DType::bf16), Error);
}

TEST(Module, GradientsAreDroppedAndFrozen) {
  Outer net;
  const Tensor x = rand({2, 3});
  net(x).backward(ones({2, 3}));
  for (const Tensor& parameter : net.parameters()) EXPECT_TRUE(parameter.grad().defined());
  net.zero_grad();
  for (const Tensor& parameter : net.parameters()) EXPECT_FALSE(parameter.grad().defined());
  net.requires_grad_(false);
  EXPECT_FALSE(net(x).requires_grad());
  net.zero_grad();
  net.requires_grad_();
  EXPECT_TRUE(net(x).requires_grad());
}

TEST(Module, ErrorsNameThePath) {
  Outer net;
  const std::string message = message_of([&] { net(rand({2, 4})); });
  EXPECT_TRUE(contains(message, "[scale]") && contains(message, "(in pair.first)")) << message;
  // After an error the path is empty again.
  const std::string alone = message_of([&] { net.pair.first(rand({2, 4})); });
  EXPECT_FALSE(contains(alone, "(in")) << alone;
  Free nothing;
  EXPECT_TRUE(contains(message_of([&] { nothing(rand({1})); }), "Free does not define forward"));
}

// Registered somewhere below, run from above.
class Reaches : public nn::Module {
 public:
  Reaches() { register_module("pair", pair); }
  Tensor forward(const Tensor& x) override { return pair.second(x); }
  Pair pair;
};

TEST(Module, PathsReachDownToGrandchildren) {
  Reaches net;
  EXPECT_NO_THROW(net(rand({2, 3})));
  const std::string message = message_of([&] { net(rand({2, 4})); });
  EXPECT_TRUE(contains(message, "(in pair.second)")) << message;
}

class Forgetful : public nn::Module {
 public:
  Forgetful() { register_module("known", known); }
  Tensor forward(const Tensor& x) override { return forgotten(known(x)); }
  Scale known;
  Scale forgotten;
};

class HasForgetful : public nn::Module {
 public:
  HasForgetful() { register_module("inner", inner); }
  Tensor forward(const Tensor& x) override { return inner(x); }
  Forgetful inner;
};

TEST(Module, NoticesAChildThatIsNotRegistered) {
  HasForgetful net;
  const Tensor x = rand({2, 3});
  const std::string message = message_of([&] { net(x); });
  EXPECT_TRUE(contains(message, "Forgetful runs a Scale()") &&
              contains(message, "register_module") && contains(message, "(in inner)"))
      << message;
  {
    const NoGrad no_grad;
    EXPECT_NO_THROW(net(x)) << "nothing is recorded";
  }
  net.inner.forgotten.requires_grad_(false);
  EXPECT_NO_THROW(net(x)) << "a frozen teacher";
  net.inner.forgotten.requires_grad_(true);
  EXPECT_NO_THROW(net.inner.forgotten(x)) << "not inside another module";
}

TEST(Module, NoticesAChildReplacedAfterItsRegistration) {
  Outer net;
  net.pair.first = Scale();
  EXPECT_THROW(net(rand({2, 3})), Error);
}

// The module itself is not registered, its parameter is.
class Lends : public nn::Module {
 public:
  Lends() { register_parameter("w", inner.w); }
  Tensor forward(const Tensor& x) override { return inner(x); }
  Scale inner;
};

TEST(Module, ParametersMayBeRegisteredByThemselves) {
  Lends net;
  EXPECT_NO_THROW(net(rand({2, 3})));
}

TEST(Module, PrintsAsPyTorchDoes) {
  class Net : public nn::Module {
   public:
    Net() {
      register_module("conv", conv);
      register_module("tail", tail);
    }
    nn::Conv2d conv{1, 32, 3, {.padding = 1, .bias = false}};
    nn::Sequential tail{nn::ReLU(), nn::Flatten(), nn::Linear(4, 2)};
  };
  std::ostringstream out;
  out << Net();
  EXPECT_EQ(out.str(),
            "Net(\n"
            "  (conv): Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), "
            "bias=False)\n"
            "  (tail): Sequential(\n"
            "    (0): ReLU()\n"
            "    (1): Flatten(start_dim=1, end_dim=-1)\n"
            "    (2): Linear(in_features=4, out_features=2, bias=True)\n"
            "  )\n"
            ")");
  EXPECT_EQ(to_string(Scale()), "Scale()");
  EXPECT_EQ(to_string(nn::Sequential()), "Sequential()");
}

template <class T>
struct Wrapped : nn::Module {
  std::string extra_repr() const override { return "a\nb"; }
};

TEST(Module, PrintsTemplatesByNameAndManyLinesBelowEachOther) {
  EXPECT_EQ(to_string(Wrapped<std::vector<nn::ReLU>>()), "Wrapped(\n  a\n  b\n)");
}

TEST(Module, IsSafeToRunOnSeveralThreads) {
  Outer net;
  const Tensor x = rand({2, 3});
  const std::vector<float> expected = net(x).to_vector<float>();
  std::vector<std::thread> threads;
  std::vector<int> same(4, 0);
  for (size_t t = 0; t < same.size(); ++t) {
    threads.emplace_back([&, t] {
      Outer handle = net;
      for (int i = 0; i < 50; ++i) same[t] += handle(x).to_vector<float>() == expected ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, (std::vector<int>{50, 50, 50, 50}));
}

}  // namespace
