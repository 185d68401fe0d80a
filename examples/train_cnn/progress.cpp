// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <utility>
#include <vector>

#include "text.h"

namespace train_cnn {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 10;
constexpr int kUsualNumbers = 52;  // reserved, so that the bar does not jump when they appear

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string minutes(double seconds) {
  // An estimate above four days is useless and makes the line long.
  if (!(seconds >= 0 && seconds < 360000)) return "-:--";
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  const std::string rest = std::to_string(whole % 60);
  return std::to_string(whole / 60) + (rest.size() < 2 ? ":0" : ":") + rest;
}

/// As many of the first `parts` as fit into `columns`; the first is cut if it does not fit.
std::string fitting(const std::vector<std::string>& parts, int columns) {
  const auto width = static_cast<size_t>(std::max(columns, 0));
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty() && text.size() + 2 + part.size() > width) break;
    text += (text.empty() ? "" : "  ") + part;
  }
  return text.substr(0, width);
}

}  // namespace

ProgressOptions ProgressOptions::console() {
  const char* term = std::getenv("TERM");
  return {.terminal = isatty(STDOUT_FILENO) != 0 && (!term || std::string_view(term) != "dumb"),
          .width = [] {
            winsize size{};
            return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? int{size.ws_col} : 0;
          }};
}

Progress::Progress(int64_t epochs, int64_t images, ProgressOptions options)
    : epochs_(epochs), images_(images), options_(std::move(options)) {
  if (!options_.out) options_.out = &std::cout;
  if (!options_.seconds) options_.seconds = steady_seconds;
}

Progress::~Progress() {
  if (bar_visible_) *options_.out << '\n' << std::flush;
}

int Progress::columns() const {
  const int width = options_.width ? options_.width() : 0;
  return (width > 0 ? width : 80) - 1;  // a full line makes some terminals wrap
}

void Progress::begin(int64_t epoch) {
  epoch_ = epoch;
  done_ = 0;
  loss_ = accuracy_ = kUnknown;
  testing_ = false;
  began_ = options_.seconds();
  if (options_.terminal) draw();
}

void Progress::update(int64_t images_done, double loss, double accuracy) {
  done_ = images_done;
  loss_ = loss;
  accuracy_ = accuracy;
  if (!options_.terminal) return;
  if (options_.seconds() - drawn_ >= kRedrawSeconds) draw();
}

void Progress::testing() {
  testing_ = true;
  trained_ = options_.seconds() - began_;
  if (options_.terminal) draw();
}

void Progress::draw() {
  drawn_ = options_.seconds();
  const double fraction =
      images_ > 0 ? std::clamp(static_cast<double>(done_) / static_cast<double>(images_), 0.0, 1.0)
                  : 0.0;
  const double elapsed = drawn_ - began_;
  const bool timed = done_ > 0 && elapsed > 0;

  const std::string epoch = "epoch " + std::to_string(epoch_) + "/" + std::to_string(epochs_);
  std::string portion = std::to_string(static_cast<int>(100 * fraction)) + "%";
  portion.insert(0, 4 - portion.size(), ' ');
  std::vector<std::string> parts{portion};
  if (done_ > 0) {
    parts.push_back("loss " + fixed(loss_, 3));
    parts.push_back("acc " + fixed(accuracy_, 3));
  }
  if (testing_) {
    parts.push_back("testing");
  } else if (timed) {
    parts.push_back(fixed(static_cast<double>(done_) / elapsed, 0) + " img/s");
    if (fraction > 0) parts.push_back(minutes(elapsed * (1 - fraction) / fraction) + " left");
  }

  // The numbers take precedence; the bar uses the remaining columns.
  const int width = columns();
  const int beside = static_cast<int>(epoch.size()) + 1;
  const std::string numbers = fitting(parts, width - beside - kNarrowestBar - 3);
  const int free = width - beside - 3;
  const int inside = std::min({free - static_cast<int>(numbers.size()), kWidestBar,
                               std::max(free - kUsualNumbers, kNarrowestBar)});
  std::string text = epoch;
  if (inside >= kNarrowestBar) {
    const int filled = static_cast<int>(fraction * inside);
    std::string bar(static_cast<size_t>(inside), ' ');
    std::fill_n(bar.begin(), filled, '=');
    if (filled > 0 && filled < inside) bar[static_cast<size_t>(filled) - 1] = '>';
    text += " [" + bar + "] " + numbers;
  } else {
    parts.insert(parts.begin(), epoch);
    text = fitting(parts, width);
  }
  // Overwriting the old line and clearing the rest of it avoids flicker.
  *options_.out << '\r' << text << "\x1b[K" << std::flush;
  bar_visible_ = true;
}

void Progress::erase() {
  if (bar_visible_) *options_.out << "\r\x1b[K";
  bar_visible_ = false;
}

void Progress::end(const Epoch& row) {
  const int digits = static_cast<int>(std::to_string(epochs_).size());
  std::string number = std::to_string(row.epoch);
  if (static_cast<int>(number.size()) < digits) {
    number.insert(0, static_cast<size_t>(digits) - number.size(), ' ');
  }
  std::vector<std::string> parts{
      "epoch " + number + "/" + std::to_string(epochs_),
      "train loss " + fixed(row.train_loss, 4) + " acc " + fixed(row.train_accuracy, 4),
      "test loss " + fixed(row.test_loss, 4) + " acc " + fixed(row.test_accuracy, 4),
      "lr " + general(row.learning_rate)};
  erase();
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "  ") + part;
  if (options_.terminal) {
    const double elapsed = options_.seconds() - began_;
    const double training = testing_ ? trained_ : elapsed;
    std::vector<std::string> timed{text};
    if (training > 0) timed.push_back(fixed(static_cast<double>(done_) / training, 0) + " img/s");
    timed.push_back(fixed(elapsed, 1) + " s");
    // On a narrow terminal the timing is dropped first.
    text = fitting(timed, std::max(columns(), static_cast<int>(text.size())));
  }
  *options_.out << text << '\n' << std::flush;
}

void Progress::line(std::string_view text) {
  erase();
  *options_.out << text << '\n' << std::flush;
}

}  // namespace train_cnn
