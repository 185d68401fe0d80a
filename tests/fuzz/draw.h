// SPDX-License-Identifier: Apache-2.0
// Arguments of calls, drawn at random: most fit, some are as bad as they can be.
#pragma once

#include <tern/tern.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace tern::fuzz {

/// Draws the arguments of one call. Some calls get arguments that fit, so that they come far; in
/// the others each argument may be hostile: undefined, empty, of another shape or dtype, a number
/// from the end of its range.
class Draw {
 public:
  /// The same arguments for the same seed and number.
  Draw(uint64_t seed, uint64_t number);

  bool chance(double p) { return random_.uniform() < p; }  ///< true with probability p
  bool flag() { return chance(0.5); }                      ///< either
  /// One of these.
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }

  /// @name Numbers
  /// @{

  /// low to high, never hostile.
  int64_t between(int64_t low, int64_t high) {
    constexpr int64_t kFar = int64_t{1} << 60;
    return std::max(low, -kFar) + random_.integer(std::min(high, kFar) - std::max(low, -kFar) + 1);
  }
  /// low to high, or hostile.
  int64_t integer(int64_t low, int64_t high);
  /// low to high, or hostile.
  double real(double low, double high);
  double real() { return real(-2, 2); }                                    ///< some number
  int64_t axis() { return integer(-3, 2); }                                ///< an axis, perhaps
  std::vector<int64_t> axes();                                             ///< some axes
  std::vector<int64_t> integers(size_t count, int64_t low, int64_t high);  ///< each as integer()
  Size2d size2d(int64_t low, int64_t high);                                ///< each as integer()
  Size3d size3d(int64_t low, int64_t high);                                ///< each as integer()
  /// As size2d, or none.
  std::optional<Size2d> maybe_size2d(int64_t low, int64_t high);
  std::optional<int64_t> maybe_integer(int64_t low, int64_t high);  ///< as integer(), or none
  std::optional<Size3d> maybe_size3d(int64_t low, int64_t high);    ///< as size3d, or none
  std::optional<double> maybe_real(double low, double high);        ///< as real(), or none
  DType dtype();                                                    ///< any
  DataFormat data_format();                                         ///< NCHW more often
  Reduction reduction();                                            ///< any
  std::string text(const char* sensible);                           ///< this, or damaged
  /// @}

  /// @name Shapes
  /// @{

  int64_t length();                            ///< of an axis: 0 seldom, small mostly
  std::vector<int64_t> sizes(int64_t rank);    ///< that many lengths
  Shape shape();                               ///< of any rank; hostile ones are errors or huge
  const Shape& last() const { return last_; }  ///< the shape of the tensor drawn last
  /// @}

  /// @name Tensors
  /// Of the call's dtype, row-major or channels-last, of Tern's memory or of memory that ends where
  /// the elements do, with or without gradient.
  /// @{

  Tensor tensor();  ///< of any shape
  Tensor like();    ///< of the shape of the tensor drawn last, or one that broadcasts with it
  /// Of this shape, or hostile.
  Tensor tensor(const std::vector<int64_t>& sizes);
  Tensor tensor(const std::vector<int64_t>& sizes, DType dtype);  ///< or hostile
  Tensor maybe(const std::vector<int64_t>& sizes);               ///< as tensor(sizes), or undefined
  Tensor fraction(const std::vector<int64_t>& sizes);            ///< elements from 0 to 1
  Tensor ids(const std::vector<int64_t>& sizes, int64_t count);  ///< i64 from 0 to count - 1
  Tensor mask(const std::vector<int64_t>& sizes);                ///< bool or u8
  std::vector<Tensor> tensors();                                 ///< a few, of one shape mostly
  std::vector<Index> indices(const Tensor& x);                   ///< what x may be indexed with
  /// Makes following tensors floating, for what takes no others.
  Draw& floating();
  /// All tensors that require a gradient and were drawn so far.
  const std::vector<Tensor>& leaves() const { return leaves_; }
  /// @}

  bool hostile();                             ///< whether to draw something hostile now
  Generator& generator() { return random_; }  ///< where all of it comes from

 private:
  Tensor finish(Tensor x);
  Tensor filled(const Shape& shape, DType dtype);
  std::vector<int64_t> disturbed(std::vector<int64_t> sizes);

  Generator random_;
  bool friendly_;
  DType dtype_;
  Shape last_;
  std::vector<Tensor> leaves_, kept_;
};

}  // namespace tern::fuzz
