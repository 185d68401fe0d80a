// SPDX-License-Identifier: Apache-2.0
#include "indexing.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "../../core/internal/parallel.h"

namespace tern::kernels {

namespace {

/// Calls body(i) for ascending i, each thread for its own part of the rows that `places` name: the
/// order at any row is the same for every number of threads.
template <class Body>
void for_rows_by_place(const Rows& rows, const Body& body) {
  if (rows.size == 0 || rows.length == 0) return;
  // Every thread reads all places, so one more has to find enough work in the rows.
  const int64_t work = rows.size * rows.length;
  const int64_t grain = std::max<int64_t>(1, rows.count / std::max<int64_t>(1, work / kGrain));
  parallel_for(rows.count, grain, [&](int64_t begin, int64_t end) {
    const auto first = static_cast<uint64_t>(begin), size = static_cast<uint64_t>(end - begin);
    for (int64_t i = 0; i < rows.size; ++i) {
      if (static_cast<uint64_t>(rows.places[i]) - first < size) body(i);
    }
  });
}

}  // namespace

void take_rows(DType dtype, const Rows& rows, const void* source, void* target) {
  const int64_t n = rows.length;
  if (n == 0) return;
  visit(dtype, [&]<class T>(T) {
    const T* x = static_cast<const T*>(source);
    T* y = static_cast<T*>(target);
    const int64_t grain = std::max<int64_t>(1, kGrain / n);
    parallel_for(rows.size, grain, [&](int64_t begin, int64_t end) {
      if (n == 1) {
        for (int64_t i = begin; i < end; ++i) y[i] = rows.places[i] < 0 ? T{} : x[rows.places[i]];
        return;
      }
      const size_t bytes = static_cast<size_t>(n) * sizeof(T);
      for (int64_t i = begin; i < end; ++i) {
        if (rows.places[i] < 0) {
          std::memset(y + i * n, 0, bytes);
        } else {
          std::memcpy(y + i * n, x + rows.places[i] * n, bytes);
        }
      }
    });
  });
}

void write_rows(DType dtype, const Rows& rows, const void* source, void* target) {
  const size_t bytes = static_cast<size_t>(rows.length) * size_of(dtype);
  const char* v = static_cast<const char*>(source);
  char* x = static_cast<char*>(target);
  for_rows_by_place(rows, [&](int64_t i) {
    std::memcpy(x + static_cast<size_t>(rows.places[i]) * bytes, v + static_cast<size_t>(i) * bytes,
                bytes);
  });
}

void add_rows(DType dtype, const Rows& rows, const void* source, void* target) {
  const int64_t n = rows.length;
  visit(dtype, [&]<class T>(T) {
    using Sum = std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, T>;
    const T* v = static_cast<const T*>(source);
    T* x = static_cast<T*>(target);
    for_rows_by_place(rows, [&](int64_t i) {
      T* to = x + rows.places[i] * n;
      const T* from = v + i * n;
      for (int64_t k = 0; k < n; ++k)
        to[k] = static_cast<T>(static_cast<Sum>(to[k]) + static_cast<Sum>(from[k]));
    });
  });
}

void mark_last(const Rows& rows, uint8_t* last) {
  std::vector<uint8_t> seen(static_cast<size_t>(rows.count));
  for (int64_t i = rows.size - 1; i >= 0; --i) {
    uint8_t& place = seen[static_cast<size_t>(rows.places[i])];
    last[i] = !place;
    place = 1;
  }
}

namespace {

/// Calls body(bag, first, end) for each bag, whose rows are those from first to end - 1.
template <class Body>
void for_bags(const Bags& bags, int64_t count, const Body& body) {
  const Rows& rows = bags.rows;
  const int64_t work = divide_up((rows.size + count) * rows.length, std::max<int64_t>(1, count));
  parallel_for(count, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work)),
               [&](int64_t begin, int64_t end) {
                 int64_t i = std::lower_bound(bags.bags, bags.bags + rows.size, begin) - bags.bags;
                 for (int64_t bag = begin; bag < end; ++bag) {
                   const int64_t first = i;
                   while (i < rows.size && bags.bags[i] == bag) ++i;
                   body(bag, first, i);
                 }
               });
}

/// to += weight * from
template <class T>
void add_row(int64_t n, T weight, const T* from, T* to) {
  if (weight == T{1}) {
    for (int64_t k = 0; k < n; ++k) to[k] += from[k];
  } else {
    for (int64_t k = 0; k < n; ++k) to[k] += weight * from[k];
  }
}

template <class T>
T weight_of(const Bags& bags, int64_t i) {
  return bags.weights ? static_cast<const T*>(bags.weights)[i] : T{1};
}

}  // namespace

void sum_bags(DType dtype, const Bags& bags, int64_t count, const void* source, void* target) {
  const int64_t n = bags.rows.length;
  visit_floating(dtype, [&]<class T>(T) {
    for_bags(bags, count, [&](int64_t bag, int64_t first, int64_t end) {
      T* y = static_cast<T*>(target) + bag * n;
      std::fill(y, y + n, T{});
      for (int64_t i = first; i < end; ++i) {
        const int64_t place = bags.rows.places[i];
        if (place < 0) continue;
        add_row(n, weight_of<T>(bags, i), static_cast<const T*>(source) + place * n, y);
      }
    });
  });
}

void add_bags(DType dtype, const Bags& bags, const void* dy, void* target) {
  const int64_t n = bags.rows.length;
  visit_floating(dtype, [&]<class T>(T) {
    for_rows_by_place(bags.rows, [&](int64_t i) {
      add_row(n, weight_of<T>(bags, i), static_cast<const T*>(dy) + bags.bags[i] * n,
              static_cast<T*>(target) + bags.rows.places[i] * n);
    });
  });
}

void weigh_bags(DType dtype, const Bags& bags, const void* source, const void* dy, void* dweights) {
  const Rows& rows = bags.rows;
  const int64_t n = rows.length;
  visit_floating(dtype, [&]<class T>(T) {
    parallel_for(rows.size, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     double total = 0;
                     if (rows.places[i] >= 0) {
                       const T* x = static_cast<const T*>(source) + rows.places[i] * n;
                       const T* g = static_cast<const T*>(dy) + bags.bags[i] * n;
                       for (int64_t k = 0; k < n; ++k)
                         total += static_cast<double>(x[k]) * static_cast<double>(g[k]);
                     }
                     static_cast<T*>(dweights)[i] = static_cast<T>(total);
                   }
                 });
  });
}

void find_largest_of_bags(DType dtype, const Bags& bags, int64_t count, const void* source,
                          int64_t* target) {
  const int64_t n = bags.rows.length;
  visit_floating(dtype, [&]<class T>(T) {
    const T* x = static_cast<const T*>(source);
    for_bags(bags, count, [&](int64_t bag, int64_t first, int64_t end) {
      int64_t* y = target + bag * n;
      std::fill(y, y + n, int64_t{-1});
      for (int64_t i = first; i < end; ++i) {
        const int64_t place = bags.rows.places[i] * n;
        if (place < 0) continue;
        for (int64_t k = 0; k < n; ++k) {
          const bool larger = y[k] < 0 || (x[y[k]] == x[y[k]] && !(x[place + k] <= x[y[k]]));
          if (larger) y[k] = place + k;
        }
      }
    });
  });
}

std::vector<int64_t> nonzero(DType dtype, int64_t count, const void* source) {
  std::vector<int64_t> numbers;
  visit(dtype, [&]<class T>(T zero) {
    const T* x = static_cast<const T*>(source);
    numbers.reserve(static_cast<size_t>(count - std::count(x, x + count, zero)));
    for (int64_t i = 0; i < count; ++i) {
      if (x[i] != zero) numbers.push_back(i);
    }
  });
  return numbers;
}

}  // namespace tern::kernels
