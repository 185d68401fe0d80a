// SPDX-License-Identifier: Apache-2.0
// Every operation, called with random arguments, gives results or throws an Error.
#include "calls.h"
#include "declared.h"
#include "support.h"

namespace {

using namespace tern;

TEST(FuzzOperations, TheTableIsComplete) {
  std::map<std::string, int> listed;
  const fuzz::Calls calls = fuzz::operations();
  for (const fuzz::Call& call : calls.list()) ++listed[call.name];
  const std::map<std::string, int> declared = test::declared_operations(TERN_SOURCE_DIR);
  EXPECT_GT(declared.size(), 200u);
  for (const auto& [name, count] : declared) {
    if (name == "empty" || name == "empty_like" || name == "grad" || name == "composed_recurrent")
      continue;  // memory as it is; in the table of training; tested against recurrent
    EXPECT_EQ(listed[name], count) << name << " is not called with random arguments";
  }
}

TEST(FuzzOperations, GiveResultsOrErrors) {
  EXPECT_EQ(fuzz::run_first(fuzz::operations(), 1, 12'000), std::vector<std::string>());
}

}  // namespace
