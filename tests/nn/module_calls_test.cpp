// SPDX-License-Identifier: Apache-2.0
// Calls of modules: any arguments and results, const, hooks, children that were replaced.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support.h"

using namespace tern;

using tern::test::contains;
using tern::test::message_of;

namespace {

using Values = std::vector<float>;

Values values(const Tensor& x) { return x.to_vector<float>(); }

class Attention : public nn::ModuleOf<Attention> {
 public:
  explicit Attention(int64_t width) : qkv(register_module("qkv", nn::Linear(width, width))) {}
  Tensor forward(const Tensor& x, const Tensor& mask) {
    const Tensor q = qkv(x);
    const Tensor scores = matmul(q, transpose(q, 0, 1));
    return matmul(softmax(where(mask, scores, full({}, -1e9)), 1), q);
  }
  nn::Linear qkv;
};

using State = std::pair<Tensor, Tensor>;

// Returns a tensor and a state, takes a state or none; const, as it changes nothing.
class Cell : public nn::ModuleOf<Cell> {
 public:
  std::pair<Tensor, State> forward(const Tensor& x, const std::optional<State>& state = {}) const {
    const Tensor before = state ? state->first : zeros_like(x);
    const Tensor y = tanh(fc(x) + before);
    return {y, {y, y * 2.0}};
  }
  nn::Linear fc = register_module("fc", nn::Linear(3, 3));
};

class Net : public nn::Module {
 public:
  Tensor forward(const Tensor& x) override {
    auto [y, state] = cell(x);
    auto [z, last] = cell(y, state);
    return attention(z, ones({z.size(0), z.size(0)}, DType::u8)) + last.second;
  }
  Cell cell = register_module("cell", Cell());
  Attention attention = register_module("attention", Attention(3));
};

TEST(ModuleCalls, TakeAndReturnWhatTheModuleDeclares) {
  manual_seed(1);
  const Net net;
  const Tensor x = randn({2, 3});
  const Tensor y = net(x);  // const, as are its children inside
  const auto [h, state] = net.cell(x, std::nullopt);
  EXPECT_TRUE(state.first.is_same(h));
  const Tensor z = net.cell(h, state).first;
  EXPECT_EQ(values(y), values(net.attention(z, ones({2, 2}, DType::u8)) + z * 2.0));
  y.backward(ones({2, 3}));
  for (const Tensor& parameter : net.parameters()) EXPECT_TRUE(parameter.grad().defined());
}

TEST(ModuleCalls, NameEveryModuleInErrors) {
  const Net net;
  const std::string message = message_of([&] { net(randn({2, 4})); });
  EXPECT_TRUE(contains(message, "(in cell.fc)")) << message;
}

// A result of its own kind, no tensor at all among the arguments, overloads.
class Odd : public nn::ModuleOf<Odd> {
 public:
  int64_t forward(const std::string& text) const { return static_cast<int64_t>(text.size()); }
  Tensor forward(Tensor x) { return x + 1.0; }
  void forward(Tensor& x, int64_t times) {
    for (int64_t i = 0; i < times; ++i) x = x * 2.0;
  }
};

TEST(ModuleCalls, HaveOverloadsOutputsAndAnyType) {
  const Odd odd;
  EXPECT_EQ(odd(std::string("four")), 4);
  EXPECT_EQ(odd("four"), 4);
  EXPECT_EQ(values(odd(ones({1}))), Values{2});
  Tensor x = ones({1});
  odd(x, 3);
  EXPECT_EQ(values(x), Values{8});
  // One tensor to one tensor: a container runs it, whatever its exact signature.
  EXPECT_EQ(values(nn::Sequential(odd, odd)(ones({1}))), Values{3});
}

TEST(ModuleCalls, ContainersSayWhatTheyCannotRun) {
  const nn::Sequential net(Cell{});
  const std::string message = message_of([&] { net(randn({2, 3})); });
  EXPECT_TRUE(contains(message, "Cell was called with one tensor") && contains(message, "(in 0)"))
      << message;
}

TEST(ModuleCalls, FindChildrenThatAreNotRegistered) {
  class Forgetful : public nn::ModuleOf<Forgetful> {
   public:
    Tensor forward(const Tensor& x, double scale) { return cell(x).first * scale; }
    Cell cell;
  };
  const Forgetful net;
  const std::string message = message_of([&] { net(randn({2, 3}), 2.0); });
  EXPECT_TRUE(contains(message, "Forgetful runs a Cell()")) << message;
}

TEST(ModuleCalls, CloneToTheirOwnType) {
  const Net net;
  auto cell = net.cell.clone();
  static_assert(std::is_same_v<decltype(cell), Cell>);
  EXPECT_FALSE(cell.is_same(net.cell));
  const Tensor x = randn({2, 3});
  EXPECT_EQ(values(cell(x).first), values(net.cell(x).first));
  Net copy = net.clone();
  EXPECT_EQ(values(copy(x)), values(net(x)));
  class Special : public nn::ModuleOf<Special, nn::Linear> {
   public:
    using ModuleOf::ModuleOf;
    Tensor forward(const Tensor& x) override { return nn::Linear::forward(x) * 2.0; }
  };
  const Special special(3, 2);
  static_assert(std::is_same_v<decltype(special.clone()), Special>);
  EXPECT_EQ(values(special.clone()(x)), values(linear(x, special.weight(), special.bias()) * 2.0));
  const nn::Linear& sliced = special;
  EXPECT_THROW(static_cast<void>(sliced.clone()), Error);
}

TEST(ModuleHooks, SeeAndReplaceWhatGoesInAndOut) {
  manual_seed(2);
  Net net;
  const Tensor x = randn({2, 3});
  const Values plain = values(net(x));
  std::vector<std::string> calls;
  Tensor features;
  auto pre = net.cell.register_forward_pre_hook([&](nn::Module& module, auto& inputs) {
    calls.push_back("before " + module.type_name());
    EXPECT_EQ(inputs.size(), 1u) << "the state is no tensor";
  });
  auto post = net.cell.register_forward_hook([&](nn::Module&, const auto& inputs, auto& outputs) {
    calls.push_back("after");
    EXPECT_EQ(inputs.size(), 1u);
    EXPECT_EQ(outputs.size(), 3u) << "y, and the two of the state";
    features = outputs[0];
  });
  EXPECT_EQ(values(net(x)), plain) << "hooks that look change nothing";
  EXPECT_EQ(calls, (std::vector<std::string>{"before Cell", "after", "before Cell", "after"}));
  EXPECT_EQ(values(features), values(net.cell(net.cell(x).first, net.cell(x).second).first));
  pre.remove();
  post.remove();
  calls.clear();
  EXPECT_FALSE(net.cell.has_hooks());
  EXPECT_EQ(values(net(x)), plain);
  EXPECT_TRUE(calls.empty());

  // In the order of registration, each sees what the one before left.
  nn::Linear fc = net.cell.fc;  // a hook is the module's, not the handle's
  fc.register_forward_pre_hook([](nn::Module&, auto& inputs) { inputs[0] = inputs[0] + 1.0; });
  fc.register_forward_pre_hook([](nn::Module&, auto& inputs) { inputs[0] = inputs[0] * 2.0; });
  fc.register_forward_hook(
      [](nn::Module&, const auto& inputs, auto& outputs) { outputs[0] = outputs[0] - inputs[0]; });
  const Tensor in = (x + 1.0) * 2.0;
  EXPECT_EQ(values(net.cell.fc(x)), values(linear(in, fc.weight(), fc.bias()) - in));
  EXPECT_EQ(values(Net(net.clone()).cell.fc(x)), values(linear(x, fc.weight(), fc.bias())))
      << "a clone has no hooks";
}

TEST(ModuleHooks, ReplaceArgumentsAndResultsOfAnyKind) {
  Odd odd;
  HookHandle handle = odd.register_forward_pre_hook([](nn::Module&, auto& inputs) {
    for (Tensor& x : inputs) x = x * 10.0;
  });
  EXPECT_EQ(odd("four"), 4);
  EXPECT_EQ(values(odd(ones({1}))), Values{11});
  odd.register_forward_hook([](nn::Module&, const auto& inputs, auto& outputs) {
    for (const Tensor& x : inputs) EXPECT_TRUE(x.defined()) << "forward took it by value";
    for (Tensor& y : outputs) y = y + inputs[0];
  });
  EXPECT_EQ(values(odd(ones({1}))), Values{21});
  handle.remove();
  Cell cell;
  cell.register_forward_hook([](nn::Module&, const auto&, auto& outputs) {
    for (Tensor& y : outputs) y = zeros_like(y);
  });
  const auto [y, state] = cell(ones({1, 3}));
  EXPECT_EQ(values(y + state.first + state.second), (Values{0, 0, 0}));
  cell.register_forward_hook([](nn::Module&, const auto&, auto& outputs) { outputs.pop_back(); });
  EXPECT_TRUE(contains(message_of([&] {
                         cell(ones({1, 3}));
                       }),
                       "left 2 tensors where there were 3"));
}

TEST(ModuleHooks, KeepAModuleFromBeingFused) {
  manual_seed(3);
  nn::Sequential net(nn::Conv2d(3, 8, 3), nn::BatchNorm2d(8), nn::Identity(), nn::ReLU());
  net.eval();
  const NoGrad no_grad;
  const Tensor x = randn({2, 3, 8, 8});
  const Values fused = values(net(x));
  for (int64_t i = 0; i < net.size(); ++i) {
    Tensor seen;
    HookHandle handle = net[i].register_forward_hook(
        [&](nn::Module&, const auto&, auto& outputs) { seen = outputs[0]; });
    EXPECT_EQ(values(net(x)), fused);
    EXPECT_TRUE(seen.defined()) << i;
    handle.remove();
  }
  // As does a call of the fused pair by name.
  int calls = 0;
  for (const int64_t i : {0, 1}) {
    net[i].register_forward_hook([&](nn::Module&, const auto&, const auto&) { ++calls; });
  }
  net[1].forward_relu(net[0].forward_relu(x));
  EXPECT_EQ(calls, 2);
}

TEST(ModuleHooks, MayRemoveThemselves) {
  nn::ReLU relu;
  int calls = 0;
  HookHandle handle;
  handle = relu.register_forward_hook([&](nn::Module&, const auto&, const auto&) {
    ++calls;
    handle.remove();
  });
  relu(ones({1}));
  relu(ones({1}));
  EXPECT_EQ(calls, 1);
}

class Classifier : public nn::Module {
 public:
  Tensor forward(const Tensor& x) override { return drop(fc(relu(body(x)))); }
  nn::Linear body = register_module("body", nn::Linear(3, 4));
  nn::Linear fc = register_module("fc", nn::Linear(4, 10));
  nn::Dropout drop = register_module("drop", nn::Dropout(0.5));
};

TEST(ReplaceModule, ChangesWhatRunsAndWhatIsSaved) {
  manual_seed(4);
  Classifier net;
  const Tensor x = randn({2, 3});
  const nn::Linear head(4, 3);
  net.replace_module(net.fc, head);
  EXPECT_EQ(net(x).shape(), (Shape{2, 3}));
  EXPECT_EQ(net.state_dict().at("fc.weight").shape(), (Shape{3, 4}));
  EXPECT_TRUE(net.parameters()[2].is_same(head.weight()));
  Classifier copy = net.clone();
  copy.replace_module(copy.fc, nn::Linear(4, 5));
  EXPECT_EQ(copy(x).shape(), (Shape{2, 5}));
  EXPECT_EQ(net(x).shape(), (Shape{2, 3}));
  EXPECT_THROW(net.replace_module(copy.body, head), Error);
  EXPECT_EQ(net.named_children().size(), 3u);
}

// Half of a replacement is an error in every mode.
TEST(ReplaceModule, HalfOfItIsAnError) {
  const Tensor x = randn({2, 3});
  for (const bool record : {true, false}) {
    const GradMode mode(record);
    Classifier assigned;
    EXPECT_NO_THROW(assigned(x));
    assigned.fc = nn::Linear(4, 3);
    const std::string message = message_of([&] { assigned(x); });
    EXPECT_TRUE(contains(message, "runs a Linear(in_features=4, out_features=3") &&
                contains(message, "net.replace_module(net.member, module)"))
        << message;
    const Classifier handle = assigned;
    EXPECT_THROW(handle(x), Error);

    Classifier renamed;
    renamed.replace_module("fc", nn::Linear(4, 3));
    EXPECT_THROW(renamed(x), Error);

    Classifier quiet;  // without parameters, but with a mode
    quiet.drop = nn::Dropout(0.1);
    EXPECT_THROW(quiet(x), Error);

    Classifier undone;
    const nn::Linear before = undone.fc;
    undone.fc = nn::Linear(4, 3);
    undone.fc = before;
    EXPECT_NO_THROW(undone(x));
  }
}

TEST(ReplaceModule, AnAssignmentBeforeRegistrationIsNone) {
  class Late : public nn::Module {
   public:
    Late() {
      fc = nn::Linear(3, 4);
      register_module("fc", fc);
    }
    Tensor forward(const Tensor& x) override { return fc(x); }
    nn::Linear fc{3, 2};
  };
  const NoGrad no_grad;
  EXPECT_EQ(Late()(randn({2, 3})).shape(), (Shape{2, 4}));
}

TEST(Module, HasBothSpellingsOfRequiresGrad) {
  Classifier net;
  net.set_requires_grad(false);
  EXPECT_FALSE(net.fc.weight().requires_grad());
  net.requires_grad_();
  EXPECT_TRUE(net.fc.weight().requires_grad());
  const Tensor x = ones({1}).requires_grad_();
  EXPECT_TRUE(x.requires_grad());
  EXPECT_FALSE(x.requires_grad_(false).requires_grad());
  EXPECT_EQ(x.shape().rank(), 1);
}

}  // namespace
