// SPDX-License-Identifier: Apache-2.0
// No call changes the program's state: OpenMP's settings, the floating-point environment, the
// locale, spdlog's registry, and the terminal.
#include <fenv.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <spdlog/spdlog.h>
#include <tern/tern.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include <clocale>
#include <functional>
#include <locale>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support.h"

using namespace tern;

namespace {

// Flush-to-zero, traps and rounding of vector code, without the flags that arithmetic raises.
unsigned vector_control() {
#ifdef __SSE__
  return _mm_getcsr() & ~0x3Fu;
#else
  return 0;
#endif
}

struct Process {
  int omp_threads = omp_get_max_threads();
  int omp_dynamic = omp_get_dynamic();
  int omp_levels = omp_get_max_active_levels();
  int rounding = fegetround();
  unsigned control = vector_control();
  int traps = fegetexcept();
  std::string c_locale = std::setlocale(LC_ALL, nullptr);
  std::string locale = std::locale().name();
  spdlog::logger* logger = spdlog::default_logger_raw();
  spdlog::level::level_enum level = spdlog::get_level();
  size_t loggers = [] {
    size_t count = 0;
    spdlog::apply_all([&](const std::shared_ptr<spdlog::logger>&) { ++count; });
    return count;
  }();
  bool operator==(const Process&) const = default;
};

nn::Sequential small_net() {
  return nn::Sequential(nn::Conv2d(3, 20, 3, {.padding = 1, .bias = false}), nn::BatchNorm2d(20),
                        nn::ReLU(), nn::Conv2d(20, 16, 5, {.stride = 2}), nn::ReLU(),
                        nn::MaxPool2d(2), nn::Flatten(), nn::Dropout(0.2), nn::Linear(64, 5));
}

void train() {
  nn::Sequential net = small_net();
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const data::TensorDataset images(randn({20, 3, 12, 12}), (rand({20}) * 5.0).to(DType::i64));
  for (auto [x, y] : data::DataLoader(images, {.batch_size = 10, .workers = 2})) {
    const Tensor loss = cross_entropy(net(x), y);
    sgd.zero_grad();
    loss.backward();
    optim::clip_grad_norm_(net.parameters(), 1.0);
    sgd.step();
  }
}

void files() {
  const auto path = ::testing::TempDir() + "tern_process_test.safetensors";
  nn::Sequential net = small_net();
  io::save_safetensors(net.state_dict(), path);
  net.load_state_dict(io::load_safetensors(path));
}

void failures() {
  EXPECT_THROW(matmul(randn({2, 3}), randn({2, 3})), Error);
  EXPECT_THROW(nn::BatchNorm2d(3)(randn({4, 5, 6, 6})), Error);
  EXPECT_THROW(io::load_safetensors("/no/such/file"), Error);
}

void big_loops() {
  const Tensor x = randn({64, 64, 16, 16}).set_requires_grad();
  const Tensor y = softmax(exp(tanh(x)), 1);
  sum(y * y).backward();
  EXPECT_FALSE(to_string(x.grad()).empty());
}

void double_precision() {
  const Tensor x = randn({4, 3, 5, 5}, DType::f64).set_requires_grad();
  EXPECT_TRUE(tern::gradcheck([](const auto& in) { return sigmoid(in[0]) * 2.0; }, {x}));
}

const std::map<std::string, std::function<void()>>& calls() {
  static const std::map<std::string, std::function<void()>> all = {
      {"training", train},
      {"files", files},
      {"failures", failures},
      {"big loops", big_loops},
      {"float64", double_precision},
      {"another number of threads", [] {
         const int before = num_threads();
         set_num_threads(3);
         big_loops();
         set_num_threads(before);
       }}};
  return all;
}

void expect_that_calls_change_nothing() {
  for (const auto& [name, call] : calls()) {
    const Process before;
    call();
    EXPECT_TRUE(before == Process()) << name;
  }
}

// The first test, so that Tern looks for the first time how many processors there are.
TEST(Process, OpenMPsNumberOfThreadsIsNotTerns) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(5);
  EXPECT_EQ(num_threads(), omp_get_num_procs());
  omp_set_num_threads(threads);
}

TEST(Process, IsTheSameAfterEveryCall) { expect_that_calls_change_nothing(); }

TEST(Process, IsTheSameAfterCallsFromAnotherThread) {
  const Process before;
  std::thread(expect_that_calls_change_nothing).join();
  EXPECT_TRUE(before == Process());
}

TEST(Process, SettingsOfItsOwnAreKeptToo) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(5);
  spdlog::set_level(spdlog::level::err);
  expect_that_calls_change_nothing();
  EXPECT_EQ(omp_get_max_threads(), 5);
  spdlog::set_level(spdlog::level::info);
  omp_set_num_threads(threads);
}

TEST(Process, ArithmeticOfItsOwnIsKept) {
  fenv_t before;
  ASSERT_EQ(fegetenv(&before), 0);
  ASSERT_EQ(fesetround(FE_UPWARD), 0);
#ifdef __SSE__
  _mm_setcsr(_mm_getcsr() | 0x8040u);  // subnormal numbers are zeros, as results and as operands
#endif
  expect_that_calls_change_nothing();
  EXPECT_EQ(fegetround(), FE_UPWARD);
  ASSERT_EQ(fesetenv(&before), 0);
}

TEST(Process, NumbersAreWrittenTheSameInALocaleWithCommas) {
  struct Commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const auto written = [] {
    std::string text = to_string(full({2}, 1234.5)) + nn::to_string(nn::Dropout(0.25));
    return text + test::message_of([] { dropout(ones({2}), 1234.5); });
  };
  const std::string expected = written();
  const std::locale before = std::locale::global(std::locale(std::locale(), new Commas));
  EXPECT_EQ(written(), expected);
  expect_that_calls_change_nothing();
  std::locale::global(before);
}

TEST(Process, NothingIsPrintedUnlessAskedFor) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  for (const auto& [name, call] : calls()) call();
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
