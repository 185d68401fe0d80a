// SPDX-License-Identifier: Apache-2.0
// What a profiler makes of its records: the table and the trace.
#include <tern/tern.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "support.h"

namespace {

using namespace tern;
using tern::support::contains;
using tern::support::expect_error;
using tern::support::read_file;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(ProfilerReport, MakesATable) {
  Profiler profiler;
  const Tensor x = rand({2, 3, 8, 8});
  for (int i = 0; i < 7; ++i) relu(to_order(x, Order::channels_last));
  relu(rand({5}, DType::f64));
  for (int i = 0; i < 3; ++i) matmul(rand({64, 32}), rand({32, 48}));
  const std::string table = profiler.table();
  EXPECT_EQ(profiler.events().size(), 18u) << "measuring the machine is not recorded";
  const std::vector<std::string> lines = lines_of(table);
  ASSERT_GE(lines.size(), 9u) << table;
  EXPECT_TRUE(lines[0].starts_with("operation  inputs")) << lines[0];

  double percent = 0, total = 0, last = INFINITY;
  for (size_t i = 2; i < 6; ++i) {
    const std::string& header = lines[0];
    const auto number = [&](const std::string& column) {
      const size_t end = header.find(column) + column.size();
      const size_t begin = lines[i].find_last_of(' ', end - 1);
      return std::stod(lines[i].substr(begin, end - begin));
    };
    percent += number(" %");
    total += number("self ms");
    EXPECT_LE(number("self ms"), last) << table;
    last = number("self ms");
    if (lines[i].starts_with("matmul")) {
      EXPECT_EQ(number("calls"), 3);
      EXPECT_TRUE(contains(lines[i], "[64,32] [32,48] ")) << table;
      EXPECT_TRUE(contains(lines[i], " GFLOP/s ")) << table;
      EXPECT_TRUE(contains(lines[i], "% compute") || contains(lines[i], "% memory")) << table;
    }
    if (lines[i].starts_with("to_order")) {
      EXPECT_EQ(number("calls"), 7);
      EXPECT_EQ(number("reorders"), 7);
      EXPECT_TRUE(contains(lines[i], " GB/s ")) << table;
      EXPECT_TRUE(lines[i].ends_with("  tern")) << table;
    }
  }
  EXPECT_NEAR(percent, 100, 0.3);
  EXPECT_TRUE(contains(table, "relu       [2,3,8,8]cl")) << table;
  EXPECT_TRUE(contains(table, "relu       f64[5]")) << table;
  EXPECT_TRUE(contains(table, "\n18 calls took ")) << table;
  EXPECT_TRUE(contains(table, "GFLOP/s (f32)")) << table;
  double self = 0;
  for (const ProfilerEvent& event : profiler.events()) self += static_cast<double>(event.self);
  EXPECT_NEAR(total, self * 1e-6, 0.01);

  const std::vector<std::string> shortened = lines_of(profiler.table(1));
  EXPECT_TRUE(shortened[3].starts_with("(3 more) ")) << shortened[3];
  EXPECT_TRUE(contains(profiler.table(4), "relu       f64[5]"));
  EXPECT_FALSE(contains(profiler.table(4), "more)"));
  profiler.stop();
  EXPECT_TRUE(contains(profiler.table(), "\n18 calls took "));
}

TEST(ProfilerReport, MakesATableOfNothing) {
  const Profiler profiler;
  EXPECT_TRUE(contains(profiler.table(), "\n0 calls took 0.000 ms"));
}

TEST(ProfilerReport, WritesATrace) {
  const support::TemporaryDirectory directory;
  const std::string path = (directory.path() / "trace.json").string();
  Profiler profiler;
  const Tensor x = rand({2, 3, 8, 8}).set_requires_grad();
  {
    const ProfilerRange range("my \"step\"\n\xff");
    sum(relu(to_order(x, Order::channels_last))).backward();
  }
  std::thread([] { matmul(rand({6, 4}), rand({4, 5})); }).join();
  const std::vector<ProfilerEvent> events = profiler.events();
  profiler.write_trace(path);

  const nlohmann::json trace = nlohmann::json::parse(read_file(path));
  std::vector<nlohmann::json> calls;
  std::set<int> threads;
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "M") {
      EXPECT_EQ(event.at("name"), "thread_name");
      EXPECT_TRUE(threads.insert(event.at("tid").get<int>()).second);
    } else {
      EXPECT_EQ(event.at("ph"), "X");
      calls.push_back(event);
    }
  }
  EXPECT_EQ(threads.size(), 2u);
  ASSERT_EQ(calls.size(), events.size());
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(calls[i].at("name"), i > 0 ? events[i].name : "my \"step\"\n\xef\xbf\xbd");
    EXPECT_EQ(calls[i].at("tid"), events[i].thread);
    EXPECT_TRUE(threads.contains(events[i].thread));
    EXPECT_NEAR(calls[i].at("ts").get<double>() * 1e3, static_cast<double>(events[i].start), 0.5);
    EXPECT_NEAR(calls[i].at("dur").get<double>() * 1e3, static_cast<double>(events[i].duration),
                0.5);
    EXPECT_EQ(calls[i].at("args").at("bytes"), events[i].bytes);
    EXPECT_EQ(calls[i].at("args").at("reorders"), events[i].reorders);
  }
  const auto find = [&](const std::string& name) {
    for (const nlohmann::json& call : calls) {
      if (call.at("name") == name) return call.at("args");
    }
    return nlohmann::json();
  };
  const nlohmann::json relu_args = find("relu");
  EXPECT_EQ(relu_args.at("shapes"), nlohmann::json({"[2,3,8,8]"}));
  EXPECT_EQ(relu_args.at("layouts"), nlohmann::json({to_string(Order::channels_last)}));
  EXPECT_EQ(relu_args.at("dtypes"), nlohmann::json({"f32"}));
  EXPECT_EQ(find("to_order").at("implementation"), "tern");
  EXPECT_EQ(find("matmul").at("flops"), 240);
  EXPECT_FALSE(find("relu backward").is_null());

  expect_error([&] { profiler.write_trace((directory.path() / "no" / "trace.json").string()); },
               "no/trace.json: No such file or directory; create the directory");
}

}  // namespace
