// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/core/error.h>
#include <tern/core/state_dict.h>
#include <tern/core/tensor.h>

#include <string>
#include <vector>

namespace {

using namespace tern;

StateDict three() { return {{"conv.weight", ones({2})}, {"conv.bias", zeros({1})}, {"fc", {}}}; }

TEST(StateDict, KeepsTheOrderOfInsertion) {
  StateDict dict = three();
  dict.set("conv.weight", zeros({3}));
  dict.set("new", ones({1}));
  EXPECT_EQ(dict.names(), (std::vector<std::string>{"conv.weight", "conv.bias", "fc", "new"}));
  EXPECT_EQ(dict["conv.weight"].numel(), 3);
  std::vector<std::string> seen;
  for (const auto& [name, value] : dict) seen.push_back(name);
  EXPECT_EQ(seen, dict.names());
}

TEST(StateDict, FindsWhatIsLeftAfterErasing) {
  StateDict dict = three();
  EXPECT_TRUE(dict.erase("conv.bias"));
  EXPECT_FALSE(dict.erase("conv.bias"));
  EXPECT_FALSE(dict.contains("conv.bias"));
  EXPECT_EQ(dict.size(), 2u);
  EXPECT_FALSE(dict.at("fc").defined());
  dict.insert("conv.bias", ones({5}));
  EXPECT_EQ(dict.at("conv.bias").numel(), 5);
}

TEST(StateDict, SharesMemoryUntilCloned) {
  const StateDict dict = three();
  const StateDict copy = dict.clone();
  dict.at("conv.weight").fill_(7);
  EXPECT_EQ(dict.at("conv.weight").to_vector<float>(), (std::vector<float>{7, 7}));
  EXPECT_EQ(copy.at("conv.weight").to_vector<float>(), (std::vector<float>{1, 1}));
  EXPECT_FALSE(copy.at("fc").defined());
}

TEST(StateDict, SuggestsTheNameThatWasMeant) {
  try {
    three().at("conv.wieght");
    ADD_FAILURE() << "no Error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "[state_dict] no tensor is called conv.wieght among 3; did you mean conv.weight?");
  }
  EXPECT_THROW(StateDict().at("x"), Error);
  EXPECT_THROW(three().insert("fc", {}), Error);
  EXPECT_THROW((StateDict{{"a", {}}, {"a", {}}}), Error);
}

}  // namespace
