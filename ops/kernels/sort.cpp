// SPDX-License-Identifier: Apache-2.0
// One comparison for all dtypes: elements become unsigned numbers in the same order, beside the
// place that breaks ties.
#include "sort.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "../../core/internal/memory.h"
#include "../../core/internal/parallel.h"

namespace tern::kernels {

namespace {

struct Entry {
  uint64_t key;
  int64_t place;
  bool operator<(const Entry& other) const {
    return key < other.key || (key == other.key && place < other.place);
  }
};

template <class T>
uint64_t key_of(T value) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  if constexpr (std::is_floating_point_v<T>) {
    if (value != value) return ~uint64_t{0};
    // Adding 0 makes -0 the same as 0.
    const auto bits = std::bit_cast<uint64_t>(static_cast<double>(value) + 0.0);
    return bits & kSign ? ~bits : bits | kSign;
  } else {
    return static_cast<uint64_t>(static_cast<int64_t>(value)) ^ kSign;
  }
}

void order(Entry* entries, int64_t length, int64_t count) {
  if (count < length) std::nth_element(entries, entries + count, entries + length);
  std::sort(entries, entries + count);
}

}  // namespace

template <class T>
void sort_places(const Columns& c, bool descending, const T* x, int64_t* places) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, c.length));
  parallel_for(c.outer * c.inner, grain, [&](int64_t begin, int64_t end) {
    const memory::Scratch scratch(static_cast<size_t>(c.length) * sizeof(Entry));
    Entry* entries = scratch.as<Entry>();
    for (int64_t column = begin; column < end; ++column) {
      const int64_t o = column / c.inner, j = column % c.inner;
      const T* from = x + o * c.length * c.inner + j;
      int64_t* to = places + o * c.count * c.inner + j;
      for (int64_t i = 0; i < c.length; ++i) {
        const uint64_t key = key_of(from[i * c.inner]);
        entries[i] = {descending ? ~key : key, i};
      }
      order(entries, c.length, c.count);
      for (int64_t i = 0; i < c.count; ++i) to[i * c.inner] = entries[i].place;
    }
  });
}

template void sort_places(const Columns&, bool, const float*, int64_t*);
template void sort_places(const Columns&, bool, const double*, int64_t*);
template void sort_places(const Columns&, bool, const int64_t*, int64_t*);
template void sort_places(const Columns&, bool, const uint8_t*, int64_t*);

}  // namespace tern::kernels
