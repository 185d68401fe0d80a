// SPDX-License-Identifier: Apache-2.0
// New tensors.
#include <algorithm>
#include <cmath>

#include "error.h"
#include "internal/convert.h"
#include "internal/fill.h"
#include "internal/parallel.h"
#include "internal/storage.h"
#include "op_scope.h"
#include "random.h"
#include "tensor.h"

namespace tern {

namespace {

/// `value` as an element of `dtype`, T in memory.
template <class T>
T element(const char* op, DType dtype, double value) {
  if (dtype == DType::boolean) return static_cast<T>(value != 0);
  if (!fits<T>(value)) fail_conversion(op, value, dtype);
  return convert<T>(value);
}

size_t bytes_of(const char* op, const Shape& shape, DType dtype) {
  if (dtype == DType::bf16) fail(op, "dtype bf16 exists in files only: use f32");
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.numel()), size_of(dtype), &bytes)) {
    fail(op, "shape ", shape, " does not fit into memory");
  }
  return bytes;
}

template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape) {
  const OpScope scope("tensor", "shape", shape, "dtype", DTypeOf<T>::value);
  if (static_cast<int64_t>(values.size()) != shape.numel()) {
    fail("tensor", values.size(), " values do not fill shape ", shape, ", which has ",
         shape.numel(), " elements");
  }
  Tensor x = empty(shape, DTypeOf<T>::value);
  std::copy(values.begin(), values.end(), x.raw<T>());
  return scope.result(std::move(x));
}

// f(number) of consecutive numbers of the default generator, in row-major order whatever the
// format.
template <class F>
Tensor random_tensor(const char* op, const Shape& shape, DType dtype, MemoryFormat format, F f) {
  const OpScope scope(op, "shape", shape, "dtype", dtype, "memory_format", format);
  if (!is_floating(dtype)) fail(op, "dtype is ", dtype, ", want f32 or f64");
  Tensor x = empty(shape, dtype);
  Generator& generator = default_generator();
  const Generator::State state = generator.state();
  const uint64_t first = generator.reserve(x.numel());
  visit_floating(dtype, [&](auto t) {
    using T = decltype(t);
    T* values = x.raw<T>();
    parallel_for(x.numel(), 1 << 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        values[i] = f(Generator::bits_at(state, first + static_cast<uint64_t>(i)), t);
      }
    });
  });
  if (format == MemoryFormat::row_major) return scope.result(std::move(x));
  return scope.result(to_memory_format(x, format));
}

Tensor uniform(const Shape& shape, DType dtype, MemoryFormat format) {
  return random_tensor("rand", shape, dtype, format, [](uint64_t bits, auto t) {
    // A float keeps 24 bits: more could round up to 1.
    if constexpr (sizeof t == 4) return static_cast<float>(bits >> 40) * 0x1p-24f;
    return static_cast<decltype(t)>(Generator::to_uniform(bits));
  });
}

Tensor normals(const Shape& shape, DType dtype, MemoryFormat format) {
  return random_tensor("randn", shape, dtype, format, [](uint64_t bits, auto t) {
    return static_cast<decltype(t)>(Generator::to_normal(bits));
  });
}

Tensor filled(const Shape& shape, double value, DType dtype, MemoryFormat format) {
  const OpScope scope("full", "shape", shape, "value", value, "dtype", dtype, "memory_format",
                      format);
  Tensor x = empty(shape, dtype, format);
  fill_values("full", x, value);
  return scope.result(std::move(x));
}

}  // namespace

void fill_values(const char* op, const Tensor& x, double value) {
  visit(x.dtype(), [&]<class T>(T) {
    T* values = x.raw<T>();
    const T converted = element<T>(op, x.dtype(), value);
    parallel_for(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      std::fill(values + begin, values + end, converted);
    });
  });
}

Tensor empty(const Shape& shape, DType dtype, MemoryFormat format) {
  const size_t bytes = bytes_of("empty", shape, dtype);
  if (format == MemoryFormat::channels_last && shape.size() != 4) {
    fail("empty", "channels-last needs 4 axes, shape is ", shape);
  }
  Tensor x(shape, dtype, format, std::make_shared<Storage>(bytes));
  OpScope::makes(x);
  return x;
}

Tensor from_blob(void* data, const Shape& shape, DType dtype, std::function<void(void*)> release) {
  const OpScope scope("from_blob", "shape", shape, "dtype", dtype);
  const size_t bytes = bytes_of("from_blob", shape, dtype);
  if (!data && bytes > 0) fail("from_blob", "data is null, want ", bytes, " bytes for ", shape);
  if (reinterpret_cast<uintptr_t>(data) % size_of(dtype) != 0) {
    fail("from_blob", "data is not aligned to ", size_of(dtype), " bytes, as elements of type ",
         dtype, " are: copy it to memory that is");
  }
  return scope.result({shape, dtype, MemoryFormat::row_major,
                       std::make_shared<ExternalStorage>(data, bytes, std::move(release))});
}

Tensor full(const Shape& shape, double value, DType dtype) {
  return filled(shape, value, dtype, MemoryFormat::row_major);
}
Tensor zeros(const Shape& shape, DType dtype) { return full(shape, 0.0, dtype); }
Tensor ones(const Shape& shape, DType dtype) { return full(shape, 1.0, dtype); }

Tensor rand(const Shape& shape, DType dtype) {
  return uniform(shape, dtype, MemoryFormat::row_major);
}
Tensor randn(const Shape& shape, DType dtype) {
  return normals(shape, dtype, MemoryFormat::row_major);
}

Tensor randint(int64_t low, int64_t high, const Shape& shape, DType dtype) {
  const OpScope scope("randint", "low", low, "high", high, "shape", shape, "dtype", dtype);
  int64_t count = 0;
  if (low >= high || __builtin_sub_overflow(high, low, &count)) {
    fail("randint", "low is ", low, " and high ", high,
         ", want low < high, less than 2^63 apart: high itself is not drawn");
  }
  // The extremes, before anything is drawn.
  visit(dtype, [&]<class T>(T) {
    for (const int64_t value : {low, high - 1}) {
      if (!fits<T>(value)) fail_conversion("randint", value, dtype);
    }
  });
  const Tensor x = empty(shape, dtype);
  Generator& generator = default_generator();
  visit(dtype, [&]<class T>(T) {
    T* values = x.raw<T>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      values[i] = static_cast<T>(low + generator.integer(count));
    }
  });
  return scope.result(x);
}
Tensor randint(int64_t high, const Shape& shape, DType dtype) {
  return randint(0, high, shape, dtype);
}

Tensor randperm(int64_t n) {
  const OpScope scope("randperm", "n", n);
  if (n < 0) fail("randperm", "n is ", n, ", want at least 0");
  const Tensor x = empty({n}, DType::i64);
  int64_t* values = x.raw<int64_t>();
  Generator& generator = default_generator();
  // Fisher and Yates's shuffle, inside out.
  for (int64_t i = 0; i < n; ++i) {
    const int64_t other = generator.integer(i + 1);
    values[i] = values[other];
    values[other] = i;
  }
  return scope.result(x);
}

Tensor linspace(double start, double end, int64_t count, DType dtype) {
  const OpScope scope("linspace", "start", start, "end", end, "count", count, "dtype", dtype);
  if (count < 0 || !std::isfinite(start) || !std::isfinite(end)) {
    fail("linspace", "start is ", start, ", end ", end, ", count ", count,
         ", want finite numbers and a count of at least 0");
  }
  Tensor x = empty({count}, dtype);
  const double steps = static_cast<double>(std::max<int64_t>(1, count - 1));
  const double step = end / steps - start / steps;  // the difference may be too large
  visit(dtype, [&]<class T>(T) {
    T* values = x.raw<T>();
    for (int64_t i = 0; i < count; ++i) {
      // Each half from its own end, which it meets exactly.
      const bool first = i < (count + 1) / 2;
      values[i] = element<T>("linspace", dtype,
                             first ? start + static_cast<double>(i) * step
                                   : end - static_cast<double>(count - 1 - i) * step);
    }
  });
  return scope.result(std::move(x));
}

Tensor eye(int64_t rows, int64_t columns, DType dtype) {
  const OpScope scope("eye", "rows", rows, "columns", columns, "dtype", dtype);
  Tensor x = zeros({rows, columns}, dtype);
  visit(dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < std::min(rows, columns); ++i) {
      x.raw<T>()[i * columns + i] = static_cast<T>(1);
    }
  });
  return scope.result(std::move(x));
}
Tensor eye(int64_t n, DType dtype) { return eye(n, n, dtype); }

Tensor arange(double end, DType dtype) { return arange(0, end, 1, dtype); }

Tensor arange(double start, double end, double step, DType dtype) {
  const OpScope scope("arange", "start", start, "end", end, "step", step, "dtype", dtype);
  double count = std::max(0.0, std::ceil((end - start) / step));
  if (!(step != 0) || !std::isfinite((end - start) / step) || count > 0x1p53) {
    fail("arange", "start is ", start, ", end ", end, ", step ", step,
         ", want a finite range with a step other than 0");
  }
  // The division may round up to a whole number: the last element is still below the end.
  if (count > 0) {
    const double last = start + (count - 1) * step;
    if (step > 0 ? last >= end : last <= end) --count;
  }
  Tensor x = empty({static_cast<int64_t>(count)}, dtype);
  visit(dtype, [&](auto t) {
    using T = decltype(t);
    T* values = x.raw<T>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      values[i] = element<T>("arange", dtype, start + static_cast<double>(i) * step);
    }
  });
  return scope.result(std::move(x));
}

Tensor tensor(const std::vector<float>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<double>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<int64_t>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<uint8_t>& values, const Shape& shape) {
  return from_vector(values, shape);
}
Tensor tensor(const std::vector<bool>& values, const Shape& shape) {
  return from_vector(values, shape);
}

Tensor empty_like(const Tensor& x) { return empty(x.shape(), x.dtype(), x.memory_format()); }
Tensor zeros_like(const Tensor& x) { return filled(x.shape(), 0.0, x.dtype(), x.memory_format()); }
Tensor ones_like(const Tensor& x) { return filled(x.shape(), 1.0, x.dtype(), x.memory_format()); }
Tensor full_like(const Tensor& x, double value) {
  return filled(x.shape(), value, x.dtype(), x.memory_format());
}
Tensor rand_like(const Tensor& x) { return uniform(x.shape(), x.dtype(), x.memory_format()); }
Tensor randn_like(const Tensor& x) { return normals(x.shape(), x.dtype(), x.memory_format()); }

}  // namespace tern
