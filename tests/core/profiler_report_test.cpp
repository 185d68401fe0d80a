// SPDX-License-Identifier: Apache-2.0
// The profiler's table and trace.
#include <tern/tern.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "support.h"

namespace {

using namespace tern;
using tern::test::contains;
using tern::test::expect_error;
using tern::test::read_file;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(ProfilerReport, MakesATable) {
  const Tensor x = rand({2, 3, 8, 8}), v = rand({5}, DType::f64);
  const Tensor a = rand({64, 32}), b = rand({32, 48});
  Profiler profiler;
  for (int i = 0; i < 7; ++i) relu(to_memory_format(x, MemoryFormat::channels_last));
  relu(v);
  for (int i = 0; i < 3; ++i) matmul(a, b);
  const std::string table = profiler.table();
  EXPECT_EQ(profiler.events().size(), 18u) << "measuring the machine is not recorded";
  const std::vector<std::string> lines = lines_of(table);
  ASSERT_GE(lines.size(), 9u) << table;
  EXPECT_TRUE(lines[0].starts_with("operation         inputs")) << lines[0];

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
    if (lines[i].starts_with("to_memory_format")) {
      EXPECT_EQ(number("calls"), 7);
      EXPECT_EQ(number("reorders"), 7);
      EXPECT_TRUE(contains(lines[i], " GB/s ")) << table;
      EXPECT_TRUE(lines[i].ends_with("  tern")) << table;
    }
  }
  EXPECT_NEAR(percent, 100, 0.3);
  EXPECT_TRUE(contains(table, "relu              [2,3,8,8]cl")) << table;
  EXPECT_TRUE(contains(table, "relu              f64[5]")) << table;
  EXPECT_TRUE(contains(table, "\n18 calls took ")) << table;
  EXPECT_TRUE(contains(table, "GFLOP/s (f32)")) << table;
  double self = 0;
  for (const ProfilerEvent& event : profiler.events()) self += static_cast<double>(event.self);
  EXPECT_NEAR(total, self * 1e-6, 0.01);

  const std::vector<std::string> shortened = lines_of(profiler.table(1));
  EXPECT_TRUE(shortened[3].starts_with("(3 more) ")) << shortened[3];
  EXPECT_TRUE(contains(profiler.table(4), "relu              f64[5]"));
  EXPECT_FALSE(contains(profiler.table(4), "more)"));
  profiler.stop();
  EXPECT_TRUE(contains(profiler.table(), "\n18 calls took "));
}

TEST(ProfilerReport, SumsByOperationAndByModule) {
  nn::Sequential net(nn::Linear(3, 4), nn::Linear(4, 2));
  const Tensor x = rand({5, 3});
  Profiler profiler;
  sum(net(x)).backward();
  relu(x);
  profiler.stop();
  std::map<std::string, int64_t> operations, modules, backward;
  for (const ProfilerEvent& event : profiler.events()) {
    operations[event.name] += event.self;
    modules[event.module.empty() ? "(none)" : event.module] += event.self;
    if (event.backward) backward[event.module] += event.self;
  }
  // The cells of a line, by its first.
  const auto parsed = [](const std::string& table) {
    std::map<std::string, std::vector<std::string>> rows;
    const std::regex gap("  +");
    for (const std::string& line : lines_of(table.substr(0, table.find("\n\n")))) {
      std::vector<std::string> cells(std::sregex_token_iterator(line.begin(), line.end(), gap, -1),
                                     std::sregex_token_iterator());
      if (!line.starts_with("--")) rows[cells[0]] = cells;
    }
    return rows;
  };
  const auto ms = [](int64_t time) { return static_cast<double>(time) * 1e-6; };
  auto rows = parsed(profiler.table({.by = ProfilerTableOptions::module}));
  EXPECT_EQ(rows.size(), 4u) << profiler.table({.by = ProfilerTableOptions::module});
  EXPECT_EQ(rows.at("module"), (std::vector<std::string>{"module", "calls", "self ms", "forward ms",
                                                         "backward ms", "%", "reorders"}));
  for (const auto& [module, self] : modules) {
    EXPECT_NEAR(std::stod(rows.at(module)[2]), ms(self), 0.0006) << module;
    EXPECT_NEAR(std::stod(rows.at(module)[3]) + std::stod(rows.at(module)[4]), ms(self), 0.0011);
    if (module != "(none)") {
      EXPECT_GT(backward[module], 0);
      EXPECT_NEAR(std::stod(rows.at(module)[4]), ms(backward[module]), 0.0006) << module;
    }
  }
  rows = parsed(profiler.table({.by = ProfilerTableOptions::operation}));
  EXPECT_EQ(rows.size(), operations.size() + 1);
  EXPECT_EQ(rows.at("linear")[1], "2") << "one line for both shapes";
  for (const auto& [name, self] : operations) {
    EXPECT_NEAR(std::stod(rows.at(name)[2]), ms(self), 0.0006) << name;
  }
  EXPECT_TRUE(
      contains(profiler.table({.rows = 1, .by = ProfilerTableOptions::operation}), " more) "));
}

TEST(ProfilerReport, MakesATableOfNothing) {
  const Profiler profiler;
  EXPECT_TRUE(contains(profiler.table(), "\n0 calls took 0.000 ms"));
}

TEST(ProfilerReport, WritesATrace) {
  const test::TemporaryDirectory directory;
  const std::string path = (directory.path() / "trace.json").string();
  const Tensor x = rand({2, 3, 8, 8}).set_requires_grad();
  Profiler profiler;
  {
    const ProfilerRange range("my \"step\"\n\xff");
    sum(relu(to_memory_format(x, MemoryFormat::channels_last))).backward();
  }
  std::thread([] { matmul(rand({6, 4}), rand({4, 5})); }).join();
  const std::vector<ProfilerEvent> events = profiler.events();
  io::write_trace(profiler, path);

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
  EXPECT_EQ(relu_args.at("layouts"), nlohmann::json({to_string(MemoryFormat::channels_last)}));
  EXPECT_EQ(relu_args.at("dtypes"), nlohmann::json({"f32"}));
  EXPECT_EQ(find("to_memory_format").at("implementation"), "tern");
  EXPECT_EQ(find("matmul").at("flops"), 240);
  EXPECT_FALSE(find("relu backward").is_null());

  const std::string written = read_file(path);
  profiler.write_trace(path);  // the old spelling
  EXPECT_EQ(read_file(path), written);

  expect_error(
      [&] { io::write_trace(profiler, (directory.path() / "no" / "trace.json").string()); },
      "no/trace.json: No such file or directory: create the directory");
}

}  // namespace
