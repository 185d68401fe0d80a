// SPDX-License-Identifier: Apache-2.0
#include "draw.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace tern::fuzz {

namespace {

// Small enough for memory, or too large for any: in between a call takes long, as it should.
constexpr int64_t kIntegers[] = {0,
                                 -1,
                                 1,
                                 -2,
                                 7,
                                 9,
                                 100,
                                 300,
                                 INT32_MAX,
                                 int64_t{1} << 31,
                                 int64_t{1} << 32,
                                 (int64_t{1} << 32) + 1,
                                 int64_t{1} << 40,
                                 int64_t{1} << 53,
                                 int64_t{1} << 62,
                                 INT64_MAX - 1,
                                 INT64_MAX,
                                 INT64_MIN,
                                 INT64_MIN + 1,
                                 -INT64_MAX / 2,
                                 INT32_MIN};

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kReals[] = {0.0,
                             -0.0,
                             1.0,
                             -1.0,
                             0.5,
                             1e-45,
                             5e-324,
                             1e-308,
                             -1e-300,
                             3.4e38,
                             1e39,
                             -1e300,
                             1.7e308,
                             9223372036854775807.0,
                             -9223372036854775808.0,
                             4294967296.0,
                             255.0,
                             256.0,
                             1e19,
                             kInfinity,
                             -kInfinity,
                             std::numeric_limits<double>::quiet_NaN()};

}  // namespace

Draw::Draw(uint64_t seed, uint64_t number) : random_(seed, number), friendly_(chance(0.4)) {
  dtype_ = chance(0.85) ? one_of({DType::f32, DType::f32, DType::f64}) : dtype();
}

bool Draw::hostile() { return !friendly_ && chance(0.12); }

int64_t Draw::integer(int64_t low, int64_t high) {
  if (!hostile()) return between(low, high);
  return kIntegers[between(0, std::size(kIntegers) - 1)];
}

double Draw::real(double low, double high) {
  if (!hostile()) return low + (high - low) * random_.uniform();
  return kReals[between(0, std::size(kReals) - 1)];
}

std::vector<int64_t> Draw::integers(size_t count, int64_t low, int64_t high) {
  if (hostile()) count = static_cast<size_t>(between(0, 9));
  std::vector<int64_t> numbers(count);
  for (int64_t& number : numbers) number = integer(low, high);
  return numbers;
}

std::vector<int64_t> Draw::axes() { return integers(static_cast<size_t>(between(0, 2)), -2, 2); }

Size2d Draw::size2d(int64_t low, int64_t high) {
  const int64_t height = integer(low, high);
  return {height, integer(low, high)};
}

Size3d Draw::size3d(int64_t low, int64_t high) {
  const int64_t depth = integer(low, high), height = integer(low, high);
  return {depth, height, integer(low, high)};
}

std::optional<Size2d> Draw::maybe_size2d(int64_t low, int64_t high) {
  return flag() ? std::optional(size2d(low, high)) : std::nullopt;
}
std::optional<Size3d> Draw::maybe_size3d(int64_t low, int64_t high) {
  return flag() ? std::optional(size3d(low, high)) : std::nullopt;
}
std::optional<int64_t> Draw::maybe_integer(int64_t low, int64_t high) {
  return flag() ? std::optional(integer(low, high)) : std::nullopt;
}
std::optional<double> Draw::maybe_real(double low, double high) {
  return flag() ? std::optional(real(low, high)) : std::nullopt;
}

DType Draw::dtype() {
  if (hostile()) return DType::bf16;
  return one_of({DType::f32, DType::f64, DType::i64, DType::u8, DType::boolean});
}
DataFormat Draw::data_format() { return chance(0.3) ? DataFormat::NHWC : DataFormat::NCHW; }
Reduction Draw::reduction() { return one_of({Reduction::none, Reduction::mean, Reduction::sum}); }

std::string Draw::text(const char* sensible) {
  std::string text = sensible;
  for (int64_t count = hostile() ? between(1, 4) : 0; count > 0; --count) {
    const auto at = static_cast<size_t>(between(0, static_cast<int64_t>(text.size())));
    if (flag() && at < text.size()) {
      text.erase(at, 1);
    } else {
      text.insert(at, 1, static_cast<char>(between(0, 127)));
    }
  }
  return text;
}

int64_t Draw::length() {
  if (hostile()) return one_of<int64_t>({0, 1, 17, 33, 300});
  return chance(0.03) ? 0 : between(1, 6);
}

std::vector<int64_t> Draw::sizes(int64_t rank) {
  std::vector<int64_t> sizes(static_cast<size_t>(rank));
  for (int64_t& size : sizes) size = length();
  return sizes;
}

std::vector<int64_t> Draw::disturbed(std::vector<int64_t> sizes) {
  const auto place = [&] {
    return sizes.begin() + between(0, static_cast<int64_t>(sizes.size()) - 1);
  };
  switch (sizes.empty() ? 3 : between(0, 4)) {
    case 0:
      *place() = length();
      break;
    case 1:
      *place() = one_of<int64_t>({0, 1});
      break;
    case 2:
      sizes.erase(place());
      break;
    case 4:  // an empty tensor may be as long as it likes along its other axes
      for (int64_t& size : sizes) {
        if (flag()) size = one_of<int64_t>({int64_t{1} << 20, int64_t{1} << 31, int64_t{1} << 40});
      }
      *place() = 0;
      break;
    default:
      if (sizes.size() < Shape::kMaxRank) sizes.insert(sizes.begin(), length());
  }
  return sizes;
}

Shape Draw::shape() {
  std::vector<int64_t> sizes = this->sizes(chance(0.03) ? between(5, 8) : between(0, 4));
  if (sizes.size() > 4) {
    for (int64_t& size : sizes) size = std::min<int64_t>(size, 3);
  }
  if (hostile()) sizes = disturbed(sizes);
  for (int64_t& size : sizes) {
    if (hostile()) size = integer(0, 5);
  }
  return Shape(sizes);
}

Tensor Draw::filled(const Shape& shape, DType dtype) {
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  const int64_t kind = friendly_ ? between(0, 6) : between(0, 9);
  for (double& value : values) {
    if (!is_floating(dtype) && dtype != DType::i64) {
      value = static_cast<double>(kind < 8 ? between(0, 1) : one_of({0, 1, 2, 127, 128, 255}));
    } else if (kind < 5) {
      value = 4 * random_.uniform() - 2;
    } else if (kind == 5) {
      value = static_cast<double>(between(-3, 3));
    } else if (kind == 6) {
      value = random_.uniform();
    } else if (kind == 7) {
      value = 0;
    } else if (kind == 8 || chance(0.2)) {
      value = kReals[between(0, std::size(kReals) - 1)];
    }
  }
  // At the end of memory of its own, so that the address sanitizer sees who reads on.
  const auto own = [&]<class T>(T) {
    auto memory = std::make_shared<std::vector<T>>(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_floating_point_v<T>) {
        (*memory)[i] = static_cast<T>(values[i]);
      } else if (std::abs(values[i]) < 9e18) {
        (*memory)[i] = static_cast<T>(static_cast<int64_t>(values[i]));
      } else if (std::is_same_v<T, int64_t>) {
        (*memory)[i] =
            values[i] < 0 ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max();
      }
    }
    void* data = memory->data();
    return from_blob(data, shape, dtype, [memory](void*) {});
  };
  const Tensor x = visit(dtype, own);
  return flag() ? x.clone() : x;
}

// With what a tensor of the call may have besides values.
Tensor Draw::finish(Tensor x) {
  if (x.dim() == 4 && chance(0.4)) x = to_memory_format(x, MemoryFormat::channels_last);
  last_ = x.shape();
  if (is_floating(x.dtype()) && flag()) {
    x.set_requires_grad();
    leaves_.push_back(x);
    if (grad_enabled() && chance(0.3)) x = x * 1.0;
  } else if (chance(0.3)) {
    kept_.push_back(x);
  }
  return x;
}

Tensor Draw::tensor() {
  const bool common = last_.rank() > 0 && flag();
  const Shape shape = common ? last_ : this->shape();
  if (shape.numel() > 1 << 20) return empty(shape, dtype_);  // an Error
  return tensor(std::vector<int64_t>(shape.begin(), shape.end()));
}

Tensor Draw::like() {
  std::vector<int64_t> sizes(last_.begin(), last_.end());
  if (chance(0.3) && !sizes.empty()) {
    sizes.erase(sizes.begin(), sizes.begin() + between(0, static_cast<int64_t>(sizes.size())));
    for (int64_t& size : sizes) {
      if (chance(0.3)) size = 1;
    }
  }
  const Shape before = last_;
  const Tensor x = tensor(sizes);
  last_ = before;
  return x;
}

Tensor Draw::tensor(const std::vector<int64_t>& sizes) { return tensor(sizes, dtype_); }

Tensor Draw::tensor(const std::vector<int64_t>& wanted, DType dtype) {
  if (hostile() && chance(0.2)) return {};
  if (hostile()) dtype = this->dtype();
  std::vector<int64_t> sizes = hostile() ? disturbed(wanted) : wanted;
  if (Shape(sizes).numel() > 1 << 20) {  // what was empty before
    for (int64_t& size : sizes) size = std::min<int64_t>(size, 2);
  }
  return finish(filled(Shape(sizes), dtype == DType::bf16 ? DType::f32 : dtype));
}

Tensor Draw::maybe(const std::vector<int64_t>& sizes) {
  return chance(0.3) ? Tensor() : tensor(sizes);
}

Tensor Draw::fraction(const std::vector<int64_t>& sizes) {
  if (hostile()) return tensor(sizes);
  return finish(rand(Shape(sizes), is_floating(dtype_) ? dtype_ : DType::f32));
}

Tensor Draw::ids(const std::vector<int64_t>& sizes, int64_t count) {
  if (hostile()) return tensor(sizes, DType::i64);
  const Shape shape(sizes);
  std::vector<int64_t> numbers(static_cast<size_t>(shape.numel()));
  for (int64_t& number : numbers) number = integer(0, std::max<int64_t>(count, 1) - 1);
  return finish(tern::tensor(numbers, shape));
}

Tensor Draw::mask(const std::vector<int64_t>& sizes) {
  return tensor(sizes, flag() ? DType::boolean : DType::u8);
}

std::vector<Tensor> Draw::tensors() {
  std::vector<Tensor> list;
  for (int64_t count = integer(1, 3) % 4; count > 0; --count) {
    list.push_back(list.empty() ? tensor() : tensor({last_.begin(), last_.end()}));
  }
  return list;
}

std::vector<Index> Draw::indices(const Tensor& x) {
  std::vector<Index> list;
  const Shape shape = x.defined() ? x.shape() : Shape();
  const int64_t count = hostile() ? between(0, 4) : between(0, std::min(4, shape.rank()));
  for (int d = 0; d < count; ++d) {
    const int64_t size = d < shape.rank() ? shape[d] : 2;
    switch (between(0, 3)) {
      case 0:
        list.emplace_back(integer(-size, std::max<int64_t>(size, 1) - 1));
        break;
      case 1: {
        const int64_t start = integer(-2, 2), stop = flag() ? Range::kEnd : integer(-2, 4);
        list.emplace_back(Range(start, stop, integer(1, 3)));
        break;
      }
      case 2:
        list.emplace_back(ids({between(0, 3)}, size));
        break;
      default:
        list.emplace_back(mask({size}));
    }
  }
  return list;
}

Draw& Draw::floating() {
  if (!is_floating(dtype_) && !hostile()) dtype_ = flag() ? DType::f32 : DType::f64;
  return *this;
}

}  // namespace tern::fuzz
