// SPDX-License-Identifier: Apache-2.0
// Runs calls, and watches over them.
#include <cxxabi.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <optional>
#include <typeinfo>

#include "../support/damage.h"
#include "calls.h"

// What the sanitizers do after a report: SIGABRT, whose handler says what ran.
extern "C" const char* __ubsan_default_options();
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }
// Of the address sanitizer, if the program is built with it.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace tern::fuzz {

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr double kSeconds = 20;
#else
constexpr double kSeconds = 2;
#endif
constexpr int kHangs = 120;  // seconds after which a call is ended

char running[256] = "";  // what runs now, for the last words

void last_words() {
  for (const char* p = running; *p; ++p) {
    if (write(STDERR_FILENO, p, 1) < 0) return;
  }
}

void die(int signal) {
  last_words();
  std::signal(signal, SIG_DFL);
  std::raise(signal == SIGPROF ? SIGABRT : signal);
}

// Once: a crash or a call that does not end prints what ran.
void watch_over_process() {
  const bool sanitized = &__sanitizer_set_death_callback != nullptr;
  if (sanitized) __sanitizer_set_death_callback(last_words);
  std::signal(SIGPROF, die);
  std::signal(SIGABRT, die);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    if (!sanitized) std::signal(signal, die);
  }
}

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// num_threads and the like as they were, when it ends.
class Settings {
 public:
  explicit Settings(Draw& d) : mode_(d.chance(0.8)) {
    // Mostly the same, since a team of another size is made of other threads.
    set_num_threads(d.chance(0.05) ? 3 : d.chance(0.4) ? 2 : 1);
    set_deterministic(d.flag());
    if (d.chance(0.15)) reference_.emplace();
  }
  ~Settings() {
    set_num_threads(threads_);
    set_deterministic(deterministic_);
  }
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

 private:
  int threads_ = num_threads();
  bool deterministic_ = deterministic();
  GradMode mode_;
  std::optional<ReferenceKernels> reference_;
};

/// Reads all of it, and prints it as a program would.
void look_at(const Tensor& x) {
  if (!x.defined()) return;
  const auto* bytes = static_cast<const volatile char*>(x.raw_data());
  const size_t size = static_cast<size_t>(x.numel()) * size_of(x.dtype());
  for (size_t i = 0; i < size; ++i) (void)bytes[i];
  (void)to_string(x);
}

void go_back(const std::vector<Tensor>& results, Draw& d) {
  for (const Tensor& y : results) {
    if (!y.defined() || !y.requires_grad()) continue;
    const BackwardOptions options{.retain_graph = d.flag(), .create_graph = d.chance(0.3)};
    y.backward(d.tensor({y.shape().begin(), y.shape().end()}, y.dtype()).detach(), options);
    for (size_t i = 0; i < d.leaves().size(); ++i) {
      const Tensor dx = d.leaves()[i].grad();
      look_at(dx);
      if (options.create_graph && dx.defined() && dx.requires_grad()) {
        sum(dx * dx).backward({}, {.retain_graph = true});
      }
    }
  }
}

std::string fault_of(const Error& error) {
  const std::string message = error.what();
  if (message.substr(0, 1) != "[" || message.size() > 100'000 ||
      message.find("internal error") != std::string::npos) {
    return "throws the Error " + message;
  }
  return "";
}

std::string fault_of(const std::exception& exception) {
  int status = 0;
  char* name = abi::__cxa_demangle(typeid(exception).name(), nullptr, nullptr, &status);
  std::string text = "throws " + std::string(name ? name : "") + ": " + exception.what();
  std::free(name);
  return text;
}

}  // namespace

Calls operations() {
  Calls calls("operations");
  add_elementwise(calls);
  add_movement(calls);
  add_reductions(calls);
  add_windows(calls);
  return calls;
}

std::string run(const Calls& calls, uint64_t seed, uint64_t number) {
  static const bool watched = (watch_over_process(), true);
  static_cast<void>(watched);
  const Call& call = calls.list()[number % calls.list().size()];
  std::snprintf(running, sizeof running,
                "\n%s, which is: ./run fuzz --table %s --seed %llu --call %llu\n", call.name,
                calls.name(), static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(number));
  const itimerval limit{{0, 0}, {kHangs, 0}}, off{};
  setitimer(ITIMER_PROF, &limit, nullptr);
  const double start = cpu_seconds();
  std::string fault;
  manual_seed(number);
  try {
    Draw d(seed, number);
    const Settings settings(d);
    std::vector<Tensor> results = call.run(d).tensors();
    if (results.size() > 100) results.resize(100);  // of a million parts some will do
    for (const Tensor& x : results) look_at(x);
    go_back(results, d);
  } catch (const Error& error) {
    fault = fault_of(error);
  } catch (const std::exception& exception) {
    fault = fault_of(exception);
  }
  const double took = cpu_seconds() - start;
  setitimer(ITIMER_PROF, &off, nullptr);
  if (fault.empty() && took > kSeconds) fault = "takes " + std::to_string(took) + " s";
  return fault.empty() ? "" : fault + running;
}

std::vector<std::string> run_first(const Calls& calls, uint64_t seed, uint64_t count) {
  const test::LittleMemory little(kMemory);
  std::vector<std::string> faults;
  for (uint64_t number = 0; number < count && faults.size() < 10; ++number) {
    std::string fault = run(calls, seed, number);
    if (!fault.empty()) faults.push_back(std::move(fault));
  }
  return faults;
}

}  // namespace tern::fuzz
