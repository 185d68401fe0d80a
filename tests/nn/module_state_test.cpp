// SPDX-License-Identifier: Apache-2.0
// Loading and cloning of modules.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support.h"

using namespace tern;
using namespace tern::test;

namespace {

using Names = std::vector<std::string>;
using Values = std::vector<float>;

class Net : public nn::Module {
 public:
  Net() {
    register_module("a", a);
    register_module("b", b);
    register_buffer("steps", steps);
  }
  Tensor forward(const Tensor& x) override { return b(relu(a(x))); }

  nn::Linear a{3, 4};
  nn::Linear b{4, 2, {.bias = false}};
  Tensor steps = zeros({}, DType::i64);
};

StateDict values_for_net() {
  return {{"steps", full({}, 5.0, DType::i64)},
          {"a.weight", rand({4, 3})},
          {"a.bias", rand({4})},
          {"b.weight", rand({2, 4})}};
}

TEST(LoadStateDict, CopiesValuesIntoTheTensorsThatAreThere) {
  Net net;
  const Tensor weight = net.a.weight();
  const void* memory = weight.raw_data();
  const StateDict dict = values_for_net();
  const nn::LoadReport report = net.load_state_dict(dict);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(to_string(report), "everything fits");
  EXPECT_EQ(weight.to_vector<float>(), dict.at("a.weight").to_vector<float>());
  EXPECT_EQ(net.b.weight().to_vector<float>(), dict.at("b.weight").to_vector<float>());
  EXPECT_EQ(net.steps.item<int64_t>(), 5);
  EXPECT_EQ(weight.raw_data(), memory);
  EXPECT_TRUE(weight.requires_grad());
  EXPECT_NE(memory, dict.at("a.weight").raw_data());
}

// What DataParallel, torch.compile and Lightning put before all names.
TEST(LoadStateDict, NamesTheOptionThatTakesAPrefixOff) {
  for (const std::string prefix : {"module.", "_orig_mod.", "model.", "_orig_mod.module."}) {
    Net net;
    StateDict dict;
    for (const auto& [name, value] : values_for_net()) dict.insert(prefix + name, value);
    const std::string message = message_of([&] { net.load_state_dict(dict); });
    expect_mentions(message,
                    {"[load_state_dict]", "all names of the dict begin with " + prefix + ",",
                     "{.prefix = \"" + prefix + "\"}"});
    EXPECT_NE(net.steps.item<int64_t>(), 5);

    EXPECT_TRUE(net.load_state_dict(dict, {.prefix = prefix}).ok());
    EXPECT_EQ(net.a.weight().to_vector<float>(), dict.at(prefix + "a.weight").to_vector<float>());
    EXPECT_EQ(net.steps.item<int64_t>(), 5);

    // The rest of a larger net's file.
    dict.insert("loss.weight", rand({1}));
    expect_mentions(message_of([&] { net.load_state_dict(dict, {.prefix = prefix}); }),
                    {"unexpected: loss.weight"});
    const nn::LoadReport report = net.load_state_dict(dict, {.strict = false, .prefix = prefix});
    EXPECT_EQ(report.unexpected, std::vector<std::string>{"loss.weight"});
    EXPECT_TRUE(report.missing.empty());
  }
  // A prefix that hides no name of the module is none.
  Net net;
  const std::string other = message_of([&] {
    net.load_state_dict({{"encoder.x", ones({1})}, {"encoder.y", ones({1})}});
  });
  EXPECT_EQ(other.find(".prefix"), std::string::npos) << other;
}

// A checkpoint has other entries beside the net's.
TEST(LoadStateDict, NamesThePrefixOfSomeNames) {
  Net net;
  StateDict dict{{"ema", rand({1})}};
  for (const auto& [name, value] : values_for_net()) dict.insert("net." + name, value);
  expect_mentions(message_of([&] { net.load_state_dict(dict); }),
                  {"4 names of the dict begin with net.,", "{.prefix = \"net.\"}"});
}

TEST(LoadStateDict, NamesThePrefixThatTheDictLacks) {
  nn::Sequential whole;
  whole.push_back("trunk", Net());
  whole.push_back("head", nn::Linear(2, 2));
  const StateDict dict = values_for_net();
  expect_mentions(message_of([&] { whole.load_state_dict(dict); }),
                  {"names of Sequential begin with trunk., those of the dict do not",
                   "{.add_prefix = \"trunk.\"}", "Nothing was loaded"});
  const nn::LoadReport report =
      whole.load_state_dict(dict, {.strict = false, .add_prefix = "trunk."});
  EXPECT_EQ(report.missing, (Names{"head.weight", "head.bias"}));
  EXPECT_TRUE(report.unexpected.empty());
  EXPECT_EQ(whole.state_dict().at("trunk.a.bias").to_vector<float>(),
            dict.at("a.bias").to_vector<float>());

  StateDict parallel;
  for (const auto& [name, value] : dict) parallel.insert("module." + name, value);
  EXPECT_TRUE(
      whole
          .load_state_dict(parallel, {.strict = false, .prefix = "module.", .add_prefix = "trunk."})
          .unexpected.empty());
}

TEST(LoadStateDict, PairsOtherNamesByOrder) {
  Net net;
  const StateDict dict{{"steps", full({}, 5.0, DType::i64)},
                       {"first.kernel", rand({4, 3})},
                       {"first.offset", rand({4})},
                       {"b.weight", rand({2, 4})}};
  expect_mentions(message_of([&] { net.load_state_dict(dict); }),
                  {"in their order under other names (first.kernel would be a.weight)",
                   "{.by_order = true}", "Nothing was loaded"});
  EXPECT_TRUE(net.load_state_dict(dict, {.by_order = true}).ok());
  EXPECT_EQ(net.a.bias().to_vector<float>(), dict.at("first.offset").to_vector<float>());
  EXPECT_EQ(net.b.weight().to_vector<float>(), dict.at("b.weight").to_vector<float>());

  const StateDict before = net.state_dict().clone();
  StateDict other = dict;
  other.set("first.offset", rand({5}));
  expect_mentions(
      message_of([&] { net.load_state_dict(other, {.strict = false, .by_order = true}); }),
      {"first.offset is f32[5], want f32[4] for a.bias", "Nothing was loaded"});
  other.erase("first.offset");
  expect_mentions(message_of([&] { net.load_state_dict(other, {.by_order = true}); }),
                  {"1 names that the module lacks, want 2"});
  EXPECT_EQ(net.a.weight().to_vector<float>(), before.at("a.weight").to_vector<float>());
}

// What a reader could not make a tensor of is not called missing.
TEST(LoadStateDict, SaysWhyAnEntryWasRefused) {
  Net net;
  StateDict dict = values_for_net();
  dict.erase("a.bias");
  dict.refuse("a.bias", "net.pt: tensor 'a.bias' is quantized");
  expect_mentions(message_of([&] { net.load_state_dict(dict); }),
                  {"does not fit: a.bias (net.pt: tensor 'a.bias' is quantized)"});
}

TEST(LoadStateDict, ListsEverythingThatDoesNotFitAndChangesNothing) {
  Net net;
  const StateDict before = net.state_dict().clone();
  StateDict dict = values_for_net();
  dict.erase("a.bias");
  dict.set("b.weight", rand({2, 5}));
  dict.insert("c.weight", rand({1}));
  dict.insert("c.bias", rand({1}));
  try {
    net.load_state_dict(dict);
    FAIL() << "should have thrown";
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const char* part : {"[load_state_dict]", "missing: a.bias", "unexpected: c.weight, c.bias",
                             "does not fit: b.weight (f32[2,5], wanted f32[2,4])"}) {
      EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
    }
  }
  for (const auto& [name, value] : net.state_dict()) {
    if (is_floating(value.dtype())) {
      EXPECT_EQ(value.to_vector<float>(), before.at(name).to_vector<float>()) << name;
    }
  }
  EXPECT_EQ(net.steps.item<int64_t>(), 0);
}

TEST(LoadStateDict, LoadsWhatFitsIfNotStrict) {
  Net net;
  const Values weight = net.b.weight().to_vector<float>();
  StateDict dict = values_for_net();
  dict.erase("a.bias");
  dict.set("b.weight", rand({8}));
  dict.set("steps", full({}, 5.0));
  dict.insert("c", rand({1}));
  const nn::LoadReport report = net.load_state_dict(dict, {.strict = false});
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.missing, Names{"a.bias"});
  EXPECT_EQ(report.unexpected, Names{"c"});
  EXPECT_EQ(report.mismatched,
            (Names{"steps (f32[], wanted i64[])", "b.weight (f32[8], wanted f32[2,4])"}));
  EXPECT_EQ(net.a.weight().to_vector<float>(), dict.at("a.weight").to_vector<float>());
  EXPECT_EQ(net.b.weight().to_vector<float>(), weight);
}

TEST(LoadStateDict, ConvertsFloatingDtypes) {
  Net net;
  Net exact;
  exact.to(DType::f64);
  net.load_state_dict(exact.state_dict());
  EXPECT_EQ(net.a.weight().dtype(), DType::f32);
  EXPECT_EQ(net.a.weight().to_vector<float>(),
            exact.a.weight().detach().to(DType::f32).to_vector<float>());
  Net other;
  exact.load_state_dict(other.state_dict());
  EXPECT_EQ(exact.a.weight().dtype(), DType::f64);
  EXPECT_EQ(exact.a.bias().to_vector<double>()[1],
            static_cast<double>(other.a.bias().to_vector<float>()[1]));
}

TEST(LoadStateDict, TakesTheModulesOwnTensorsUnderOtherNames) {
  class Two : public nn::Module {
   public:
    Two() { register_parameter("u", u), register_parameter("v", v); }
    Tensor u = full({2}, 1.0);
    Tensor v = full({2}, 2.0);
  };
  Two net;
  net.load_state_dict({{"u", net.v}, {"v", net.u}});
  EXPECT_EQ(net.u.to_vector<float>(), (Values{2, 2}));
  EXPECT_EQ(net.v.to_vector<float>(), (Values{1, 1}));
  net.load_state_dict(net.state_dict());
  EXPECT_EQ(net.u.to_vector<float>(), (Values{2, 2}));
}

TEST(LoadStateDict, IsSeenByTensorsSavedForBackward) {
  Net net;
  const Tensor y = net(rand({2, 3}));
  net.load_state_dict(values_for_net());
  EXPECT_THROW(y.backward(ones({2, 2})), Error);
}

// Once called its parameter gamma.
class Renamed : public nn::Module {
 public:
  Renamed() { register_parameter("weight", weight), register_buffer("count", count); }
  void adapt_state_dict(StateDict& dict, const std::string& prefix) const override {
    if (dict.contains(prefix + "gamma")) {
      dict.insert(prefix + "weight", dict.at(prefix + "gamma"));
      dict.erase(prefix + "gamma");
    }
    if (!dict.contains(prefix + "count")) dict.insert(prefix + "count", count);
  }
  Tensor weight = zeros({2});
  Tensor count = zeros({}, DType::i64);
};

TEST(LoadStateDict, LetsModulesTranslateOldNames) {
  class Holder : public nn::Module {
   public:
    Holder() { register_module("x", x), register_module("y", y); }
    Renamed x, y;
  };
  Holder net;
  const StateDict dict{{"x.gamma", full({2}, 3.0)}, {"y.weight", full({2}, 4.0)}};
  EXPECT_TRUE(net.load_state_dict(dict).ok());
  EXPECT_EQ(net.x.weight.to_vector<float>()[0], 3.0f);
  EXPECT_EQ(net.y.weight.to_vector<float>()[0], 4.0f);
  EXPECT_TRUE(dict.contains("x.gamma")) << "the caller's dict stays as it was";
}

// Every kind of member that a clone has to get right.
class Rich : public nn::Module {
 public:
  Rich() {
    register_module("a", a);
    register_module("again", a);
    frozen.set_requires_grad(false);
  }
  Tensor forward(const Tensor& x) override { return a(x) * w * frozen + list[0] + table; }

  nn::Linear a{3, 3};
  Tensor w = register_parameter("w", rand({3}));
  Tensor tied = register_parameter("tied", w);
  Tensor frozen = register_parameter("frozen", rand({3}));
  Tensor running = register_buffer("running", rand({3}));
  Tensor none = register_parameter("none", {});
  std::vector<Tensor> list = {w, a.bias()};
  Tensor table = rand({3});
  std::optional<Tensor> cached;
  Shared<int> counter{1};
};

TEST(Clone, ComputesTheSameWithMemoryOfItsOwn) {
  Rich net;
  const Tensor x = rand({2, 3});
  net(x).backward(ones({2, 3}));
  net.cached = net.w * 2.0;
  net.a.eval();
  Rich copy = net.clone();
  EXPECT_FALSE(copy.is_same(net));
  EXPECT_FALSE(copy.a.is_same(net.a));
  const Values y = net(x).to_vector<float>();
  EXPECT_EQ(copy(x).to_vector<float>(), y);

  // Whatever happens to the original, the copy does not see it.
  const NoGrad no_grad;
  net.apply([](nn::Module& module) {
    for (const auto& tensors : {module.parameters(), module.buffers()}) {
      for (const Tensor& tensor : tensors) tensor.fill_(9.0);
    }
  });
  net.table.fill_(9.0);
  *net.counter = 7;
  net.train();
  EXPECT_EQ(copy(x).to_vector<float>(), y);
  EXPECT_NE(copy.running.to_vector<float>()[0], 9.0f);
  EXPECT_EQ(*copy.counter, 1);
  EXPECT_FALSE(copy.a.is_training());
  EXPECT_TRUE(copy.is_training());
}

TEST(Clone, KeepsWhatIsSharedSharedAndLeavesGradientsBehind) {
  Rich net;
  const Tensor x = rand({2, 3});
  net(x).backward(ones({2, 3}));
  net.cached = net.w * 2.0;
  const Rich copy = net.clone();
  EXPECT_EQ(copy.state_dict().names(), net.state_dict().names());
  EXPECT_FALSE(copy.w.is_same(net.w));
  EXPECT_TRUE(copy.tied.is_same(copy.w));
  EXPECT_TRUE(copy.list[0].is_same(copy.w));
  EXPECT_TRUE(copy.list[1].is_same(copy.a.bias()));
  EXPECT_TRUE(copy.parameter("w").is_same(copy.w)) << "members and state are one";
  EXPECT_TRUE(copy.children()[0]->is_same(copy.a));
  EXPECT_TRUE(copy.children()[1]->is_same(copy.a));
  EXPECT_EQ(copy.parameters().size(), net.parameters().size());
  EXPECT_TRUE(copy.w.requires_grad());
  EXPECT_FALSE(copy.frozen.requires_grad());
  EXPECT_FALSE(copy.running.requires_grad());
  EXPECT_FALSE(copy.none.defined());
  EXPECT_FALSE(copy.cached->requires_grad());
  for (const Tensor& parameter : copy.parameters()) EXPECT_FALSE(parameter.grad().defined());
  EXPECT_TRUE(net.w.grad().defined());
}

TEST(Clone, TrainsByItself) {
  Rich net;
  Rich copy(net.clone());
  const Tensor x = rand({2, 3});
  copy(x).backward(ones({2, 3}));
  EXPECT_TRUE(copy.w.grad().defined());
  EXPECT_TRUE(copy.a.weight().grad().defined());
  EXPECT_FALSE(net.w.grad().defined());
  EXPECT_FALSE(net.a.weight().grad().defined());
}

TEST(Clone, HasTheTypeOfItsSource) {
  class Special : public Net {};
  Special special;
  auto copy = nn::clone(special);
  static_assert(std::is_same_v<decltype(copy), Special>);
  const Net& as_net = special;
  EXPECT_THROW({ Net sliced = as_net.clone(); }, Error);
  EXPECT_THROW({ Net sliced = nn::clone(as_net); }, Error);
  const auto linear = special.a.clone();
  EXPECT_EQ(linear.in_features(), 3);
  EXPECT_FALSE(linear.weight().is_same(special.a.weight()));
}

TEST(Clone, LeavesOtherThreadsAlone) {
  Rich net;
  const Tensor x = zeros({1});
  const CloneScope scope;
  bool same = false;
  std::thread([&] {
    const Tensor handle = x;
    same = handle.is_same(x);
  }).join();
  EXPECT_TRUE(same);
  const Tensor here = x;
  EXPECT_FALSE(here.is_same(x));
  const Tensor again = x;
  EXPECT_TRUE(again.is_same(here));
}

TEST(Clone, OutsideAScopeCopiesOfTensorsAreHandles) {
  const Tensor x = zeros({1});
  { const CloneScope scope; }
  Tensor y = x;
  EXPECT_TRUE(y.is_same(x));
  Tensor z;
  z = x;
  EXPECT_TRUE(z.is_same(x));
  Tensor& self = z;
  z = self;
  EXPECT_TRUE(z.is_same(x));
  Tensor moved = std::move(y);
  EXPECT_TRUE(moved.is_same(x));
  EXPECT_FALSE(y.defined());  // NOLINT(bugprone-use-after-move): this is what is tested
}

}  // namespace
