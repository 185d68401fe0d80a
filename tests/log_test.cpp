// SPDX-License-Identifier: Apache-2.0
// What Tern's logger writes: nothing unless it is asked. TERN_LOG is read once, so each case is a
// process of its own (a "threadsafe" death test starts this program again).
#include <gtest/gtest.h>
#include <stdlib.h>
#include <tern/tern.h>

#include <cstdlib>

using namespace tern;

namespace {

// The one line that is written, and nothing.
constexpr char kWarning[] =
    "^\\[[0-9:.]+\\] \\[tern\\] \\[warning\\] BatchNorm2d: running statistics will mostly "
    "forget the past; [^\n]*\n$";
constexpr char kNothing[] = "^$";

// In a new process: the one thing that Tern warns of.
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
