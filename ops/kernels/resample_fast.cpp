// SPDX-License-Identifier: Apache-2.0
// Row by row of the result: first the sum of rows, which lie in one piece, then that of its pixels.
#include <algorithm>
#include <vector>

#include "../../core/internal/parallel.h"
#include "resample.h"

namespace tern::kernels {

namespace {

// y = sum of the taps' lines x[source * length ...], all of one length.
template <class T>
void sum_lines(const Tap* tap, const Tap* end, const T* x, int64_t length, T* y) {
  const auto line = [&](const Tap& t) { return x + t.source * length; };
  const auto weight = [](const Tap& t) { return static_cast<T>(t.weight); };
  if (tap == end) {
    std::fill_n(y, length, T{0});
  } else if (end - tap == 1) {
    const T* const a = line(tap[0]);
    const T p = weight(tap[0]);
    for (int64_t i = 0; i < length; ++i) y[i] = p * a[i];
    return;
  } else {
    const T *const a = line(tap[0]), *const b = line(tap[1]);
    const T p = weight(tap[0]), q = weight(tap[1]);
    for (int64_t i = 0; i < length; ++i) y[i] = p * a[i] + q * b[i];
    for (tap += 2; tap < end; ++tap) {
      const T* const c = line(*tap);
      const T r = weight(*tap);
      for (int64_t i = 0; i < length; ++i) y[i] += r * c[i];
    }
  }
}

// For one channel: two pixels of a row for each place.
template <class T>
struct Pair {
  int64_t a, b;
  T p, q;
};

// Empty unless every place has one or two taps. A single one counts twice, by halves.
template <class T>
std::vector<Pair<T>> pairs_of(const Taps& taps) {
  std::vector<Pair<T>> pairs;
  for (size_t i = 0; i < static_cast<size_t>(taps.places()); ++i) {
    const Tap* const tap = taps.list.data() + taps.begin[i];
    const int64_t count = taps.begin[i + 1] - taps.begin[i];
    if (count < 1 || count > 2) return {};
    const double half = count == 1 ? 0.5 : 1;
    const Tap& second = tap[count - 1];
    pairs.push_back({tap->source, second.source, static_cast<T>(half * tap->weight),
                     static_cast<T>(half * second.weight)});
  }
  return pairs;
}

bool is_copy(const Tap* tap, const Tap* end) { return end - tap == 1 && tap->weight == 1; }

}  // namespace

template <class T>
void resample_fast(const ResampleShape& s, const T* x, T* y) {
  const int64_t height = s.rows.places(), width = s.columns.places();
  const int64_t from_row = s.columns.sources * s.channels, to_row = width * s.channels;
  const std::vector<Pair<T>> pairs =
      s.channels == 1 ? pairs_of<T>(s.columns) : std::vector<Pair<T>>();
  const int64_t grain = kGrain / (from_row + to_row + 1) + 1;
  parallel_for(s.images * height, grain, [&](int64_t begin, int64_t end) {
    std::vector<T> buffer(static_cast<size_t>(from_row));
    for (int64_t row = begin; row < end; ++row) {
      const auto i = static_cast<size_t>(row % height);
      const T* const image = x + row / height * s.rows.sources * from_row;
      const Tap* const first = s.rows.list.data() + s.rows.begin[i];
      const Tap* const last = s.rows.list.data() + s.rows.begin[i + 1];
      const T* source = buffer.data();
      if (is_copy(first, last)) {
        source = image + first->source * from_row;
      } else {
        sum_lines(first, last, image, from_row, buffer.data());
      }
      T* target = y + row * to_row;
      for (const Pair<T>& pair : pairs) {
        *target++ = pair.p * source[pair.a] + pair.q * source[pair.b];
      }
      if (!pairs.empty()) continue;
      for (size_t j = 0; j < static_cast<size_t>(width); ++j, target += s.channels) {
        const Tap* const tap = s.columns.list.data() + s.columns.begin[j];
        const Tap* const behind = s.columns.list.data() + s.columns.begin[j + 1];
        if (s.channels == 1) {
          T sum{0};
          for (const Tap* t = tap; t < behind; ++t) {
            sum += static_cast<T>(t->weight) * source[t->source];
          }
          *target = sum;
        } else if (is_copy(tap, behind)) {
          std::copy_n(source + tap->source * s.channels, s.channels, target);
        } else {
          sum_lines(tap, behind, source, s.channels, target);
        }
      }
    }
  });
}

template void resample_fast(const ResampleShape&, const float*, float*);
template void resample_fast(const ResampleShape&, const double*, double*);

}  // namespace tern::kernels
