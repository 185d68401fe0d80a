// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <string>
#include <vector>

using namespace tern;

namespace {

using Names = std::vector<std::string>;

std::vector<float> values(const Tensor& x) { return x.to_vector<float>(); }

TEST(Sequential, RunsItsModulesInOrderUnderTheirNumbers) {
  manual_seed(1);
  const nn::Linear a(3, 4);
  const nn::Linear b(4, 2, {.bias = false});
  nn::Sequential net(a, nn::Tanh(), b);
  EXPECT_EQ(net.size(), 3);
  EXPECT_EQ(net.state_dict().names(), (Names{"0.weight", "0.bias", "2.weight"}));
  const Tensor x = randn({5, 3});
  EXPECT_EQ(values(net(x)), values(linear(tanh(linear(x, a.weight(), a.bias())), b.weight())));
  EXPECT_TRUE(net.as<nn::Linear>(0).weight().is_same(a.weight())) << "modules are handles";
  EXPECT_EQ(net[1].type_name(), "Tanh");
  EXPECT_EQ(net[-1].type_name(), "Linear");
  EXPECT_THROW(static_cast<void>(net[3]), Error);
  EXPECT_THROW(static_cast<void>(net[-4]), Error);
  EXPECT_THROW(static_cast<void>(net.as<nn::Conv2d>(0)), Error);
  nn::Sequential empty;
  EXPECT_TRUE(empty.empty());
  EXPECT_TRUE(empty(x).is_same(x));
}

TEST(Sequential, GrowsBehindEveryHandle) {
  nn::Sequential net;
  nn::Sequential outer;
  outer.push_back("features", net);
  net.push_back(nn::Linear(3, 3));
  net.push_back("head", nn::Linear(3, 1));
  EXPECT_EQ(outer.state_dict().names(), (Names{"features.0.weight", "features.0.bias",
                                               "features.head.weight", "features.head.bias"}));
  EXPECT_THROW(net.push_back("head", nn::ReLU()), Error);
  EXPECT_EQ(outer(randn({2, 3})).shape(), (Shape{2, 1}));
}

TEST(Sequential, ErrorsNameThePath) {
  nn::Sequential net(nn::ReLU(), nn::Sequential(nn::Tanh(), nn::Linear(3, 4)));
  try {
    net(randn({2, 5}));
    FAIL() << "should have thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("(in 1.1)"), std::string::npos) << error.what();
  }
}

// Has a fused form, and counts its use.
class Doubles : public nn::Module {
 public:
  Tensor forward(const Tensor& x) override { return x * 2.0; }
  Tensor forward_relu(const Tensor& x) override {
    const Running running(*this);
    ++*fused;
    if (x.dim() != 2) fail("doubles", "x is ", x);
    return relu(x * 2.0);
  }
  Shared<int> fused{0};
};

class MyReLU : public nn::ReLU {
 public:
  Tensor forward(const Tensor& x) override { return relu(x) + 1.0; }
};

TEST(Sequential, FusesAReLUWithTheModuleBeforeIt) {
  Doubles doubles;
  nn::Sequential net(doubles, nn::ReLU(), doubles, nn::Tanh(), nn::ReLU());
  const Tensor x = tensor(std::vector<float>{-1, 0, 0.5, 2}, {2, 2});
  EXPECT_EQ(values(net(x)), values(relu(tanh(relu(x * 2.0) * 2.0))));
  EXPECT_EQ(*doubles.fused, 1);
  EXPECT_EQ(net.named_children().size(), 5u);
  nn::Sequential folded(doubles, nn::Identity(), nn::Identity(), nn::ReLU(), nn::Tanh());
  EXPECT_EQ(values(folded(x)), values(tanh(relu(x * 2.0))));
  EXPECT_EQ(*doubles.fused, 2);
  EXPECT_EQ(values(nn::Sequential(doubles, nn::Identity())(x)), values(x * 2.0));
  const Tensor leaf = tensor(std::vector<float>{1, 2}, {1, 2}).set_requires_grad();
  const Tensor once = nn::Sequential(doubles, nn::ReLU())(leaf);
  EXPECT_STREQ(once.node()->name(), "relu");
  EXPECT_STRNE(once.node()->inputs()[0]->name(), "relu") << "the ReLU ran twice";
  nn::Sequential named(nn::Identity(), doubles, nn::ReLU());
  try {
    named(randn({2}));
    FAIL() << "should have thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("(in 1)"), std::string::npos) << error.what();
  }
  // Something derived from ReLU may compute something else.
  nn::Sequential own(doubles, MyReLU());
  EXPECT_EQ(values(own(x)), values(relu(x * 2.0) + 1.0));
}

// Without recording, a convolution in evaluation normalizes as it writes: the same bits as apart.
TEST(Sequential, FusesFixedBatchNormWithTheConvolutionBeforeIt) {
  manual_seed(4);
  nn::Sequential net(nn::Conv2d(3, 16, 3, {.padding = 1}), nn::BatchNorm2d(16), nn::ReLU(),
                     nn::Conv2d(16, 16, 3, {.padding = 1, .bias = false}), nn::Identity(),
                     nn::BatchNorm2d(16), nn::ReLU(), nn::Conv2d(16, 16, 3), nn::BatchNorm2d(16));
  const Tensor x = randn({16, 3, 16, 16});
  net(x);  // statistics unlike those of a new net
  const auto apart = [&] {
    Tensor y = x;
    for (int64_t i = 0; i < net.size(); ++i) y = net[i](y);
    return values(y);
  };
  const auto operations = [&] {
    Profiler profiler;
    net(x);
    profiler.stop();
    std::vector<std::string> names;
    for (const ProfilerEvent& event : profiler.events()) {
      if (event.name.find("conv2d") == 0 || event.name.find("batch_norm") == 0) {
        names.push_back(event.name);
      }
    }
    return names;
  };
  const Names pairs{"conv2d",          "batch_norm_relu", "conv2d",
                    "batch_norm_relu", "conv2d",          "batch_norm"};
  net.eval();
  EXPECT_EQ(operations(), pairs) << "gradients may be asked for";
  const NoGrad no_grad;
  EXPECT_EQ(values(net(x)), apart());
  const Names fused(3, "conv2d_batch_norm");
  EXPECT_EQ(operations(), fused);
  {
    const nn::DetectAnomaly anomaly;
    EXPECT_EQ(operations(), pairs);
  }
  net.train();
  EXPECT_EQ(operations(), pairs);
  for (int64_t i : {1, 5, 8}) net.as<nn::BatchNorm2d>(i).freeze();
  EXPECT_EQ(operations(), fused);
  EXPECT_EQ(values(net(x)), apart());
}

TEST(Sequential, FusedBatchNormTrainsAsUnfused) {
  manual_seed(2);
  nn::Sequential fused(nn::Conv2d(3, 8, 3), nn::BatchNorm2d(8), nn::ReLU(), nn::Conv2d(8, 4, 3));
  nn::Sequential apart = fused.clone();
  fused.to(DType::f64);
  apart.to(DType::f64);
  const Tensor x = randn({2, 3, 8, 8}, DType::f64);
  const Tensor dy = randn({2, 4, 4, 4}, DType::f64);
  for (int step = 0; step < 2; ++step) {
    const Tensor y = fused(x);
    const Tensor z = apart[3](relu(apart[1](apart[0](x))));
    const auto a = y.to_vector<double>();
    const auto b = z.to_vector<double>();
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12);
    y.backward(dy);
    z.backward(dy);
  }
  const auto names = fused.named_parameters();
  const auto parameters = apart.parameters();
  ASSERT_EQ(names.size(), parameters.size());
  for (size_t p = 0; p < names.size(); ++p) {
    const auto a = names[p].second.grad().to_vector<double>();
    const auto b = parameters[p].grad().to_vector<double>();
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-10) << names[p].first;
  }
  const StateDict buffers = apart.state_dict();
  EXPECT_EQ(fused.state_dict().at("1.num_batches_tracked").item<int64_t>(), 2);
  const auto mean = fused.state_dict().at("1.running_mean").to_vector<double>();
  const auto other = buffers.at("1.running_mean").to_vector<double>();
  for (size_t i = 0; i < mean.size(); ++i) EXPECT_NEAR(mean[i], other[i], 1e-12);
}

TEST(Sequential, ClonesToItsOwnType) {
  const nn::Sequential net(nn::Linear(3, 4), nn::ReLU());
  auto copy = net.clone();
  static_assert(std::is_same_v<decltype(copy), nn::Sequential>);
  EXPECT_EQ(copy.size(), 2);
  EXPECT_EQ(copy.state_dict().names(), net.state_dict().names());
  EXPECT_FALSE(copy.as<nn::Linear>(0).weight().is_same(net.as<nn::Linear>(0).weight()));
  EXPECT_EQ(values(copy.as<nn::Linear>(0).weight()), values(net.as<nn::Linear>(0).weight()));
  const nn::Sequential one(net);
  EXPECT_TRUE(one.is_same(net)) << "a handle, not a Sequential in a Sequential";
}

// A residual net of the usual kind: blocks in a list, run by hand.
class Residual : public nn::Module {
 public:
  Residual() {
    for (int i = 0; i < 3; ++i) blocks.push_back(nn::Linear(4, 4));
    register_module("blocks", blocks);
  }
  Tensor forward(const Tensor& x) override {
    Tensor y = x;
    for (nn::Module* block : blocks.children()) y = y + relu((*block)(y));
    return y;
  }
  nn::ModuleList blocks;
};

TEST(ModuleList, HoldsModulesThatSomebodyElseRuns) {
  manual_seed(3);
  Residual net;
  EXPECT_EQ(net.blocks.size(), 3);
  EXPECT_EQ(net.parameters().size(), 6u);
  EXPECT_EQ(net.state_dict().names()[2], "blocks.1.weight");
  const Tensor y = net(randn({2, 4}));
  y.backward(randn({2, 4}));
  for (const Tensor& parameter : net.parameters()) EXPECT_TRUE(parameter.grad().defined());
  EXPECT_THROW(net.blocks(y), Error);
  EXPECT_EQ(to_string(nn::ModuleList(nn::ReLU(), nn::Tanh())),
            "ModuleList(\n  (0): ReLU()\n  (1): Tanh()\n)");
}

TEST(ModuleDict, FindsModulesByName) {
  nn::ModuleDict heads;
  EXPECT_TRUE(heads.empty());
  const nn::Linear policy(3, 4);
  heads.insert("policy", policy);
  heads.insert("act", nn::Tanh());
  EXPECT_EQ(heads.size(), 2);
  EXPECT_EQ(heads.keys(), (Names{"policy", "act"}));
  EXPECT_TRUE(heads.contains("act"));
  EXPECT_FALSE(heads.contains("value"));
  EXPECT_TRUE(heads.as<nn::Linear>("policy").is_same(policy));
  EXPECT_EQ(heads.state_dict().names(), (Names{"policy.weight", "policy.bias"}));
  const Tensor x = ones({2, 3});
  EXPECT_EQ(values(heads["policy"](x)), values(policy(x)));
  const auto message = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message([&] { heads["value"](x); }).find("it has \"policy\", \"act\""),
            std::string::npos);
  EXPECT_NE(message([&] { heads.as<nn::Conv2d>("act"); }).find("is a Tanh"), std::string::npos);
  EXPECT_THROW(heads.insert("act", nn::ReLU()), Error);
  EXPECT_THROW(heads(x), Error);
}

TEST(ParameterList, HoldsParametersByNumber) {
  nn::ParameterList list({ones({2}), zeros({3})});
  const nn::ParameterList handle = list;
  list.push_back(ones({1}));
  EXPECT_EQ(handle.size(), 3);
  EXPECT_EQ(list.state_dict().names(), (Names{"0", "1", "2"}));
  EXPECT_TRUE(list[-1].is_same(list.parameters()[2]));
  EXPECT_TRUE(list[0].requires_grad());
  int64_t elements = 0;
  for (const Tensor& p : list) elements += p.numel();
  EXPECT_EQ(elements, 6);
  nn::ParameterList copy = list.clone();
  EXPECT_FALSE(copy[0].is_same(list[0]));
  EXPECT_TRUE(copy[0].is_same(copy.parameters()[0]));
  EXPECT_THROW(static_cast<void>(list[3]), Error);
  EXPECT_THROW(list(ones({2})), Error);
}

TEST(Functional, RunsAFunctionInASequential) {
  const Tensor x = tensor({-1.f, 2.f}).set_requires_grad();
  nn::Sequential net(nn::Functional(relu), nn::Functional([](const Tensor& t) { return t * 3.0; }),
                     nn::Functional(softmax, 0));
  const Tensor y = net(x);
  EXPECT_EQ(values(y), values(softmax(relu(x) * 3.0, 0)));
  sum(y * tensor({1.f, 2.f})).backward();
  EXPECT_NE(x.grad().to_vector<float>()[1], 0);
  EXPECT_TRUE(net.parameters().empty());
  EXPECT_EQ(to_string(nn::Functional(relu)), "Functional()");
  const nn::Functional copy = nn::clone(net.as<nn::Functional>(1));
  EXPECT_EQ(values(copy(x)), (std::vector<float>{-3, 6}));
}

}  // namespace
