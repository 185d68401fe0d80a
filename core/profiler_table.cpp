// SPDX-License-Identifier: Apache-2.0
// Profiler::table.
#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "internal/peaks.h"
#include "internal/profiler_session.h"
#include "profiler.h"
#include "threads.h"

namespace tern {

namespace {

constexpr size_t kWidestInputs = 64;

struct Row {
  std::string name = {}, inputs = {}, implementation = {};
  int64_t calls = 0, self = 0, backward = 0, bytes = 0, reorders = 0;
  double flops = 0;

  void add(const Row& other) {
    calls += other.calls;
    self += other.self;
    backward += other.backward;
    bytes += other.bytes;
    reorders += other.reorders;
    flops += other.flops;
  }
};

std::string fixed(double value, int digits) {
  char text[400];
  const auto format = std::chars_format::fixed;
  return {text, std::to_chars(text, text + sizeof text, value, format, digits).ptr};
}

std::string inputs_of(const ProfilerEvent& event) {
  std::string text;
  for (const ProfilerEvent::Input& x : event.inputs) {
    if (!text.empty()) text += ' ';
    if (x.dtype != DType::f32) text += to_string(x.dtype);
    text += to_string(x.shape);
    if (x.memory_format == MemoryFormat::channels_last) text += "cl";
  }
  if (text.size() > kWidestInputs) text = text.substr(0, kWidestInputs - 3) + "...";
  return text;
}

Row row_of(const ProfilerEvent& event, ProfilerTableOptions::By by) {
  Row row{.calls = 1,
          .self = event.self,
          .backward = event.backward ? event.self : 0,
          .bytes = event.bytes,
          .reorders = event.reorders,
          .flops = event.flops};
  if (by == ProfilerTableOptions::module) {
    row.name = event.module.empty() ? "(none)" : event.module;
    return row;
  }
  row.name = event.name;
  if (by == ProfilerTableOptions::operation) return row;
  row.inputs = inputs_of(event);
  row.implementation = event.implementation;
  return row;
}

// By self time, the largest first.
std::vector<Row> aggregated(const std::vector<ProfilerEvent>& events, ProfilerTableOptions::By by) {
  std::map<std::tuple<std::string, std::string, std::string>, Row> rows;
  for (const ProfilerEvent& event : events) {
    Row row = row_of(event, by);
    const auto [place, is_new] = rows.try_emplace({row.name, row.inputs, row.implementation}, row);
    if (!is_new) place->second.add(row);
  }
  std::vector<Row> sorted;
  for (auto& [key, row] : rows) sorted.push_back(std::move(row));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Row& a, const Row& b) { return a.self > b.self; });
  return sorted;
}

double seconds_of(const Row& row) { return static_cast<double>(row.self) * 1e-9; }

bool has_rate(const Row& row) { return row.self > 0 && (row.flops > 0 || row.bytes > 0); }

std::string rate_of(const Row& row) {
  if (!has_rate(row)) return "";
  if (row.flops > 0) return fixed(row.flops / seconds_of(row) * 1e-9, 1) + " GFLOP/s";
  return fixed(static_cast<double>(row.bytes) / seconds_of(row) * 1e-9, 2) + " GB/s";
}

std::string fraction_of_peak(const Row& row, const Peaks& peaks) {
  if (!has_rate(row)) return "";
  const double compute = row.flops / seconds_of(row) / peaks.flops;
  const double memory = static_cast<double>(row.bytes) / seconds_of(row) / peaks.bytes;
  return fixed(100 * std::max(compute, memory), 0) + (compute >= memory ? "% compute" : "% memory");
}

// Rows of cells as text: numbers to the right, words to the left.
class Text {
 public:
  void add(std::vector<std::string> cells) {
    widths_.resize(std::max(widths_.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) widths_[i] = std::max(widths_[i], cells[i].size());
    rows_.push_back(std::move(cells));
  }

  std::string str(const std::set<size_t>& words) const {
    std::string text;
    for (size_t r = 0; r < rows_.size(); ++r) {
      std::string line;
      for (size_t i = 0; i < rows_[r].size(); ++i) {
        const std::string& cell = rows_[r][i];
        const std::string fill(widths_[i] - cell.size(), ' ');
        line += (i > 0 ? "  " : "") + (words.contains(i) ? cell + fill : fill + cell);
      }
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
      if (r == 0) text += std::string(line.size(), '-') + "\n";
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> widths_;
};

}  // namespace

std::string Profiler::table(const ProfilerTableOptions& options) const {
  const std::vector<ProfilerEvent> recorded = events();
  std::vector<Row> lines = aggregated(recorded, options.by);
  const Peaks peaks = measured_peaks();
  int64_t total = 0, profiled = 0;
  std::set<int> threads;
  for (const ProfilerEvent& event : recorded) {
    total += event.self;
    threads.insert(event.thread);
  }
  {
    const std::lock_guard lock(session_->mutex);
    profiled = session_->ending < 0 ? session_->now() : session_->ending;
  }
  const auto ms = [](int64_t time) { return fixed(static_cast<double>(time) * 1e-6, 3); };
  if (lines.size() > options.rows) {
    Row rest{.name = "(" + std::to_string(lines.size() - options.rows) + " more)"};
    for (size_t i = options.rows; i < lines.size(); ++i) rest.add(lines[i]);
    rest.bytes = 0, rest.flops = 0;  // of no one operation
    lines.resize(options.rows);
    lines.push_back(std::move(rest));
  }

  const bool modules = options.by == ProfilerTableOptions::module;
  const bool calls = options.by == ProfilerTableOptions::call;
  std::set<size_t> words{0};
  Text text;
  for (size_t i = 0; i <= lines.size(); ++i) {
    std::vector<std::string> cells;
    const auto add = [&](const char* title, const auto& cell) {
      cells.push_back(i == 0 ? title : cell(lines[i - 1]));
    };
    add(modules ? "module" : "operation", [](const Row& row) { return row.name; });
    if (calls) {
      words.insert(cells.size());
      add("inputs", [](const Row& row) { return row.inputs; });
    }
    add("calls", [](const Row& row) { return std::to_string(row.calls); });
    add("self ms", [&](const Row& row) { return ms(row.self); });
    if (modules) {
      add("forward ms", [&](const Row& row) { return ms(row.self - row.backward); });
      add("backward ms", [&](const Row& row) { return ms(row.backward); });
    } else {
      add("mean us", [](const Row& row) {
        return fixed(static_cast<double>(row.self) * 1e-3 / static_cast<double>(row.calls), 1);
      });
    }
    add("%", [&](const Row& row) {
      const auto self = static_cast<double>(row.self);
      return total > 0 ? fixed(100 * self / static_cast<double>(total), 1) : "-";
    });
    if (!modules) {
      add("rate", [](const Row& row) { return rate_of(row); });
      add("of peak", [&](const Row& row) { return fraction_of_peak(row, peaks); });
    }
    add("reorders",
        [](const Row& row) { return row.reorders > 0 ? std::to_string(row.reorders) : ""; });
    if (calls) {
      words.insert(cells.size());
      add("implementation", [](const Row& row) { return row.implementation; });
    }
    text.add(std::move(cells));
  }
  return text.str(words) + "\n" + std::to_string(recorded.size()) + " calls took " + ms(total) +
         " ms (self times) on " + std::to_string(threads.size()) +
         (threads.size() == 1 ? " thread" : " threads") + ", within " + ms(profiled) +
         " ms. cl: channels-last.\nPeak with " + std::to_string(num_threads()) +
         " threads, measured: " + fixed(peaks.flops * 1e-9, 0) + " GFLOP/s (f32), " +
         fixed(peaks.bytes * 1e-9, 1) + " GB/s.\n";
}

}  // namespace tern
