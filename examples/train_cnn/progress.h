// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

#include "report.h"

namespace train_cnn {

/// Where and how progress is shown. The defaults suit a pipe; `console()` inspects stdout.
struct ProgressOptions {
  std::ostream* out = nullptr;           ///< nullptr: std::cout
  bool terminal = false;                 ///< draw a bar that moves; otherwise one line per epoch
  std::function<int()> width = {};       ///< columns, called at every redraw; empty: 80
  std::function<double()> seconds = {};  ///< a clock that never runs backwards; empty: steady_clock

  /// stdout as it is: a bar on a terminal (unless TERM is "dumb"), plain lines elsewhere.
  static ProgressOptions console();
};

/// Shows a training run on the console.
///
/// On a terminal, one line per epoch is redrawn at most ten times a second,
///     epoch 2/6 [=====>    ]  63%  loss 0.312  acc 0.889  12345 img/s  0:07 left
/// and replaced by the epoch's results. Elsewhere only those results are printed, one line per
/// epoch, without control characters, times and speeds: runs with one seed print the same bytes.
///
///     Progress progress(epochs, 60000, ProgressOptions::console());
///     for (...) {
///       progress.begin(epoch);
///       for (...) progress.update(images_so_far, mean_loss, accuracy);
///       progress.testing();
///       progress.end(row);
///     }
class Progress {
 public:
  /// `images` is the number of images per epoch; if it is 0, the bar stays empty.
  Progress(int64_t epochs, int64_t images, ProgressOptions options = {});
  /// Leaves the cursor on a line of its own, so that an error message does not join the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Starts an epoch (from 1) and its clock.
  void begin(int64_t epoch);
  /// The images of this epoch processed so far, and their mean loss and accuracy (0 to 1).
  void update(int64_t images_done, double loss, double accuracy);
  /// Training of the epoch is finished, and its test begins.
  void testing();
  /// Prints the epoch's final line; on a terminal with the speed of training and the seconds of the
  /// whole epoch, where they fit.
  void end(const Epoch& row);
  /// Prints a line of text between epochs or above the bar.
  void line(std::string_view text);

 private:
  void draw();
  void erase();
  int columns() const;

  int64_t epochs_;
  int64_t images_;
  ProgressOptions options_;
  int64_t epoch_ = 0;
  int64_t done_ = 0;
  double loss_ = kUnknown;
  double accuracy_ = kUnknown;
  double began_ = 0;
  double drawn_ = 0;
  double trained_ = 0;
  bool testing_ = false;
  bool bar_visible_ = false;
};

}  // namespace train_cnn
