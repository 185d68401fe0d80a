// SPDX-License-Identifier: Apache-2.0
// Tern's logger writes nothing unless it is enabled. TERN_LOG is read once per process, so each
// case runs in its own (a "threadsafe" death test starts this program again).
#include <gtest/gtest.h>
#include <stdlib.h>
#include <tern/tern.h>

#include <cmath>
#include <cstdlib>

using namespace tern;

namespace {

// The one line that is written, and nothing.
constexpr char kWarning[] =
    "^\\[[0-9:.]+\\] \\[tern\\] \\[warning\\] BatchNorm2d: running statistics will mostly "
    "forget the past; [^\n]*\n$";
constexpr char kNothing[] = "^$";

// In a new process: a warning of Tern.
void warn_and_exit(const char* wanted) {
  if (wanted) {
    setenv("TERN_LOG", wanted, 1);
  } else {
    unsetenv("TERN_LOG");
  }
  const nn::BatchNorm2d bn(3, {.momentum = Momentum::update(0.9)});
  std::exit(0);
}

class LogDeathTest : public ::testing::Test {
 protected:
  LogDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(LogDeathTest, WritesOneLineForAWarningThatIsWanted) {
  EXPECT_EXIT(warn_and_exit("warn"), ::testing::ExitedWithCode(0), kWarning);
  EXPECT_EXIT(warn_and_exit("trace"), ::testing::ExitedWithCode(0), kWarning);
}

TEST_F(LogDeathTest, WritesNothingOtherwise) {
  EXPECT_EXIT(warn_and_exit(nullptr), ::testing::ExitedWithCode(0), kNothing);
  EXPECT_EXIT(warn_and_exit("error"), ::testing::ExitedWithCode(0), kNothing);
  EXPECT_EXIT(warn_and_exit("off"), ::testing::ExitedWithCode(0), kNothing);
  EXPECT_EXIT(warn_and_exit("no such level"), ::testing::ExitedWithCode(0), kNothing);
}

// The module that a batch of NaN reached, once for each batch.
TEST_F(LogDeathTest, NamesTheModuleWhoseBatchIsNotFinite) {
  const auto run = [] {
    setenv("TERN_LOG", "warn", 1);
    nn::Sequential net(nn::Conv2d(1, 2, 3), nn::BatchNorm2d(2, {.skip_nonfinite = true}));
    net(full({1, 1, 5, 5}, NAN));
    net(ones({1, 1, 5, 5}));
    std::exit(0);
  };
  EXPECT_EXIT(
      run(), ::testing::ExitedWithCode(0),
      "^\\[[0-9:.]+\\] \\[tern\\] \\[warning\\] batch_norm in 1: the batch's statistics are not "
      "finite, running statistics stay as they are\n$");
}

TEST_F(LogDeathTest, TheProgramHasTheLastWord) {
  const auto setting = [](LogLevel level) {
    set_log_level(level);
    EXPECT_EQ(log_level(), level);
  };
  EXPECT_EXIT((setting(LogLevel::warn), warn_and_exit("off")), ::testing::ExitedWithCode(0),
              kWarning);
  EXPECT_EXIT((setting(LogLevel::off), warn_and_exit("warn")), ::testing::ExitedWithCode(0),
              kNothing);
}

}  // namespace
