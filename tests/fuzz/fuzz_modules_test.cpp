// SPDX-License-Identifier: Apache-2.0
// Every module, optimizer, schedule and the like, with random options and input, gives results or
// throws an Error.
#include "calls.h"
#include "declared.h"
#include "support.h"

namespace {

using namespace tern;

std::set<std::string> names_of(const fuzz::Calls& calls) {
  std::set<std::string> names;
  for (const fuzz::Call& call : calls.list()) names.insert(call.name);
  return names;
}

void expect_all(const std::set<std::string>& declared, const std::set<std::string>& listed) {
  for (const std::string& name : declared)
    EXPECT_TRUE(listed.contains(name)) << name << " is not used with random arguments";
}

TEST(FuzzModules, TheTableIsComplete) {
  const std::set<std::string> declared = test::declared_in(
      TERN_SOURCE_DIR "/nn",
      R"(\nclass (\w+) : public (?:ModuleOf|Pooling|AdaptivePooling|Convolution)<)");
  EXPECT_GT(declared.size(), 80u);
  std::set<std::string> wanted = declared;
  for (const char* base : {"Pooling", "AdaptivePooling", "Convolution"}) wanted.erase(base);
  expect_all(wanted, names_of(fuzz::layers()));
}

TEST(FuzzTraining, TheTableIsComplete) {
  const std::set<std::string> classes =
      test::declared_in(TERN_SOURCE_DIR "/optim", R"(\nclass (\w+) final)");
  EXPECT_GT(classes.size(), 12u);
  expect_all(classes, names_of(fuzz::training()));
  const std::set<std::string> functions =
      test::declared_in(TERN_SOURCE_DIR "/nn", R"(\nTensor (\w+_)\(const Tensor& t)");
  EXPECT_GT(functions.size(), 12u);
  expect_all(functions, names_of(fuzz::training()));
}

TEST(FuzzModules, GiveResultsOrErrors) {
  EXPECT_EQ(fuzz::run_first(fuzz::layers(), 1, 4'000), std::vector<std::string>());
}

TEST(FuzzTraining, GivesResultsOrErrors) {
  EXPECT_EQ(fuzz::run_first(fuzz::training(), 1, 2'000), std::vector<std::string>());
}

}  // namespace
