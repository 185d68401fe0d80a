// SPDX-License-Identifier: Apache-2.0
// Every reader of files, given damaged ones, gives what can be read or throws an Error.
#include "calls.h"
#include "declared.h"
#include "support.h"

namespace {

using namespace tern;

TEST(FuzzReaders, TheTableIsComplete) {
  std::set<std::string> listed;
  const fuzz::Calls calls = fuzz::readers();
  for (const fuzz::Call& call : calls.list()) listed.insert(call.name);
  std::set<std::string> declared =
      test::declared_in(TERN_SOURCE_DIR "/io", R"(\n\S+(?: \S+)? (load_\w+)\()");
  declared.merge(test::declared_in(TERN_SOURCE_DIR "/data", R"(\n\S+ (read_\w+)\()"));
  EXPECT_GT(declared.size(), 9u);
  for (const std::string& name : declared)
    EXPECT_TRUE(listed.contains(name)) << name << " is not given damaged files";
}

TEST(FuzzReaders, GiveResultsOrErrors) {
  EXPECT_EQ(fuzz::run_first(fuzz::readers(), 1, 2'000), std::vector<std::string>());
}

}  // namespace
