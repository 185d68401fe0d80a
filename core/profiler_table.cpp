// SPDX-License-Identifier: Apache-2.0
// Profiler::table.
#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <tuple>

#include "peaks.h"
#include "profiler.h"
#include "profiler_session.h"
#include "threads.h"

namespace tern {

namespace {

constexpr size_t kWidestInputs = 64;

struct Row {
  std::string name, inputs, implementation;
  int64_t calls = 0, self = 0, bytes = 0, reorders = 0;
  double flops = 0;
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
    if (x.order == Order::channels_last) text += "cl";
  }
  if (text.size() > kWidestInputs) text = text.substr(0, kWidestInputs - 3) + "...";
  return text;
}

// By self time, the largest first.
std::vector<Row> aggregated(const std::vector<ProfilerEvent>& events) {
  std::map<std::tuple<std::string, std::string, std::string>, Row> rows;
  for (const ProfilerEvent& event : events) {
    const std::string inputs = inputs_of(event);
    Row& row = rows[{event.name, inputs, event.implementation}];
    row.name = event.name;
    row.inputs = inputs;
    row.implementation = event.implementation;
    ++row.calls;
    row.self += event.self;
    row.bytes += event.bytes;
    row.reorders += event.reorders;
    row.flops += event.flops;
  }
  std::vector<Row> sorted;
  for (auto& [key, row] : rows) sorted.push_back(std::move(row));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Row& a, const Row& b) { return a.self > b.self; });
  return sorted;
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

std::string Profiler::table(size_t rows) const {
  const std::vector<ProfilerEvent> recorded = events();
  const std::vector<Row> sorted = aggregated(recorded);
  const Peaks peaks = measured_peaks();
  int64_t total = 0, profiled = 0;
  std::set<int> threads;
  for (const ProfilerEvent& event : recorded) {
    total += event.self;
    threads.insert(event.thread);
  }
  {
    const std::lock_guard lock(session_->mutex);
    profiled = session_->end < 0 ? session_->now() : session_->end;
  }
  const auto percent = [&](int64_t time) {
    return total > 0 ? fixed(100.0 * static_cast<double>(time) / static_cast<double>(total), 1)
                     : "-";
  };
  const auto ms = [](int64_t time) { return fixed(static_cast<double>(time) * 1e-6, 3); };

  Text text;
  text.add({"operation", "inputs", "calls", "self ms", "mean us", "%", "rate", "of peak",
            "reorders", "implementation"});
  Row rest;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const Row& row = sorted[i];
    if (i >= rows) {
      rest.calls += row.calls;
      rest.self += row.self;
      rest.reorders += row.reorders;
      continue;
    }
    const double seconds = static_cast<double>(row.self) * 1e-9;
    const auto bytes = static_cast<double>(row.bytes);
    std::string rate, share;
    if (seconds > 0 && (row.flops > 0 || row.bytes > 0)) {
      const double compute = row.flops / seconds / peaks.flops;
      const double memory = bytes / seconds / peaks.bytes;
      rate = row.flops > 0 ? fixed(row.flops / seconds * 1e-9, 1) + " GFLOP/s"
                           : fixed(bytes / seconds * 1e-9, 2) + " GB/s";
      share = fixed(100 * std::max(compute, memory), 0) +
              (compute >= memory ? "% compute" : "% memory");
    }
    text.add({row.name, row.inputs, std::to_string(row.calls), ms(row.self),
              fixed(static_cast<double>(row.self) * 1e-3 / static_cast<double>(row.calls), 1),
              percent(row.self), rate, share, row.reorders > 0 ? std::to_string(row.reorders) : "",
              row.implementation});
  }
  if (rest.calls > 0) {
    text.add({"(" + std::to_string(sorted.size() - rows) + " more)", "", std::to_string(rest.calls),
              ms(rest.self), "", percent(rest.self), "", "",
              rest.reorders > 0 ? std::to_string(rest.reorders) : "", ""});
  }
  return text.str({0, 1, 9}) + "\n" + std::to_string(recorded.size()) + " calls took " + ms(total) +
         " ms (self times) on " + std::to_string(threads.size()) +
         (threads.size() == 1 ? " thread" : " threads") + ", within " + ms(profiled) +
         " ms. cl: channels-last.\nPeak with " + std::to_string(num_threads()) +
         " threads, measured: " + fixed(peaks.flops * 1e-9, 0) + " GFLOP/s (f32), " +
         fixed(peaks.bytes * 1e-9, 1) + " GB/s.\n";
}

}  // namespace tern
