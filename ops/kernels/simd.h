// SPDX-License-Identifier: Apache-2.0
// Vectors of floats for one instruction set, and loops over them. Everything is local to the
// including source, which is compiled for that set and defines kLanes, the floats of its vectors.
//
// Headers of others come before the pragma that chooses the instruction set, never here: an inline
// function of the standard library that were compiled for AVX-512 could become the one that the
// linker keeps for everybody.

namespace tern::kernels {
namespace {

/// kFloats numbers side by side. One by one: g++ ignores a vector_size that depends on a template's
/// parameter.
template <int kFloats>
struct Lanes;
template <>
struct Lanes<1> {
  using Float = float;
  using Int = int32_t;
  using Byte = uint8_t;
};
template <>
struct Lanes<4> {
  using Float = float __attribute__((vector_size(16)));
  using Int = int32_t __attribute__((vector_size(16)));
  using Byte = uint8_t __attribute__((vector_size(4)));
};
template <>
struct Lanes<8> {
  using Float = float __attribute__((vector_size(32)));
  using Int = int32_t __attribute__((vector_size(32)));
  using Byte = uint8_t __attribute__((vector_size(8)));
};
template <>
struct Lanes<16> {
  using Float = float __attribute__((vector_size(64)));
  using Int = int32_t __attribute__((vector_size(64)));
  using Byte = uint8_t __attribute__((vector_size(16)));
};

using Vec = Lanes<kLanes>::Float;
using IntVec = Lanes<kLanes>::Int;
using DoubleVec = double __attribute__((vector_size(kLanes * sizeof(float))));  // half as many

/// The widest vector of floats or doubles.
template <class T>
using VecOf = std::conditional_t<std::is_same_v<T, double>, DoubleVec, Vec>;

template <class V, class T>
inline V load(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
inline void store(T* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof v);
}

/// The same number in every lane. (Adding it to zeros would make -0 to 0.)
inline Vec broadcast(float value) { return value - Vec{}; }

template <class To, class From>
inline To convert(const From& from) {
  if constexpr (std::is_scalar_v<From>) {
    return static_cast<To>(from);
  } else {
    return __builtin_convertvector(from, To);
  }
}

inline void in_register(float) {}  // of vectors: the including source's

/// f(Lanes<kFloats>{}, i) for as many whole vectors as there are; returns what i is after them.
template <int kFloats, class F>
inline int64_t for_whole(int64_t i, int64_t count, F&& f) {
  for (; i + kFloats <= count; i += kFloats) f(Lanes<kFloats>{}, i);
  return i;
}
/// f(Lanes<k>{}, i) from i = 0 on: vectors of kLanes, then of kSmaller, then single floats.
template <int... kSmaller, class F>
inline void for_lanes(int64_t count, F&& f) {
  int64_t i = for_whole<kLanes>(0, count, f);
  ((i = for_whole<kSmaller>(i, count, f)), ...);
  for_whole<1>(i, count, f);
}

/// f(i, std::true_type{}) for whole vectors, then f(i, std::false_type{}) for a rest, which
/// load_part and store_part treat as a vector: for what is a function of vectors only.
template <class F>
inline void for_vectors(int64_t count, F&& f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) f(i, std::true_type{});
  if (i < count) f(i, std::false_type{});
}

// The first `count` floats, which are fewer than a vector's; the others are 0, or stay in memory.
Vec load_first(const float* p, int64_t count);
void store_first(float* p, int64_t count, Vec v);

inline Vec load_part(const float* p, int64_t, std::true_type) { return load<Vec>(p); }
inline Vec load_part(const float* p, int64_t left, std::false_type) { return load_first(p, left); }
inline void store_part(float* p, int64_t, Vec v, std::true_type) { store(p, v); }
inline void store_part(float* p, int64_t left, Vec v, std::false_type) { store_first(p, left, v); }

/// y[i] = f(x[i])
template <class F>
inline void transform(int64_t n, const float* x, float* y, const F& f) {
  for_vectors(n, [&](int64_t i, auto whole) {
    store_part(y + i, n - i, f(load_part(x + i, n - i, whole)), whole);
  });
}
/// y[i] = f(a[i], b[i])
template <class F>
inline void transform(int64_t n, const float* a, const float* b, float* y, const F& f) {
  for_vectors(n, [&](int64_t i, auto whole) {
    const Vec u = load_part(a + i, n - i, whole), v = load_part(b + i, n - i, whole);
    store_part(y + i, n - i, f(u, v), whole);
  });
}

}  // namespace
}  // namespace tern::kernels
