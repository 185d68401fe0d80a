// SPDX-License-Identifier: Apache-2.0
#include "interpolate.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "internal/movement.h"
#include "internal/op.h"
#include "kernels/resample.h"
#include "kernels/strided.h"
#include "pool.h"

namespace tern {

const char* to_string(Interpolation mode) {
  switch (mode) {
    case Interpolation::nearest:
      return "nearest";
    case Interpolation::bilinear:
      return "bilinear";
    case Interpolation::area:
      return "area";
  }
  return "?";
}

static std::vector<OpAttribute> attributes_of(const InterpolateOptions& options) {
  return {
      {"size", attribute_of(options.size)},     {"scale_h", options.scale_factor.h},
      {"scale_w", options.scale_factor.w},      {"mode", to_string(options.mode)},
      {"align_corners", options.align_corners}, {"data_format", to_string(options.data_format)}};
}

namespace {

using kernels::Tap;
using kernels::Taps;

// ---- The linear map and its adjoint, which is the same with other taps

struct Resampling {
  Taps rows, columns, rows_back, columns_back;
};
using SharedResampling = std::shared_ptr<const Resampling>;

Tensor resample(const SharedResampling& taps, bool back, const Tensor& x);

class InterpolateNode final : public Node {
 public:
  InterpolateNode(SharedResampling taps, bool back) : taps_(std::move(taps)), back_(back) {}
  const char* name() const override { return back_ ? "interpolate_backward" : "interpolate"; }
  Gradients backward(const Tensor& dy) override { return {resample(taps_, !back_, dy)}; }

 private:
  SharedResampling taps_;
  bool back_;
};

Tensor resample(const SharedResampling& taps, bool back, const Tensor& x) {
  const Taps& rows = back ? taps->rows_back : taps->rows;
  const Taps& columns = back ? taps->columns_back : taps->columns;
  const int64_t n = x.size(0), c = x.size(1);
  const Tensor y = empty({n, c, rows.places(), columns.places()}, x.dtype(), x.memory_format());
  const bool last = x.memory_format() == MemoryFormat::channels_last;
  visit_floating(x.dtype(), [&]<class T>(T) {
    kernels::resample({last ? n : n * c, last ? c : 1, rows, columns}, x.raw<T>(), y.raw<T>());
  });
  return record<InterpolateNode>(y, {x}, taps, back);
}

// ---- Taps of an axis

// `scale` is the given factor, or 0.
Taps nearest(int64_t size, int64_t output, double scale) {
  Taps taps{.sources = size};
  for (int64_t i = 0; i < output; ++i) {
    const int64_t at =
        scale > 0 ? static_cast<int64_t>(static_cast<double>(i) / scale) : i * size / output;
    taps.list.push_back({std::min(at, size - 1), 1});
    taps.end_place();
  }
  return taps;
}

Taps linear(int64_t size, int64_t output, double scale, bool align_corners) {
  Taps taps{.sources = size};
  const double ratio =
      scale > 0 ? 1 / scale : static_cast<double>(size) / static_cast<double>(output);
  const double centers =
      output > 1 ? static_cast<double>(size - 1) / static_cast<double>(output - 1) : 0;
  for (int64_t i = 0; i < output; ++i) {
    const auto place = static_cast<double>(i);
    const double at = align_corners ? place * centers : std::max(0.0, (place + 0.5) * ratio - 0.5);
    const int64_t first = std::min(static_cast<int64_t>(at), size - 1);
    const double rest = first + 1 < size ? at - static_cast<double>(first) : 0;
    taps.list.push_back({first, 1 - rest});
    if (rest > 0) taps.list.push_back({first + 1, rest});  // what counts nothing is not read
    taps.end_place();
  }
  return taps;
}

// What the sources get back.
Taps adjoint(const Taps& taps) {
  Taps result{.sources = taps.places()};
  std::vector<int64_t> count(static_cast<size_t>(taps.sources) + 1, 0);
  for (const Tap& tap : taps.list) ++count[static_cast<size_t>(tap.source) + 1];
  for (size_t i = 1; i < count.size(); ++i) count[i] += count[i - 1];
  result.begin = count;
  result.list.resize(taps.list.size());
  for (int64_t i = 0; i < taps.places(); ++i) {
    for (int64_t t = taps.begin[static_cast<size_t>(i)]; t < taps.begin[static_cast<size_t>(i) + 1];
         ++t) {
      const Tap& tap = taps.list[static_cast<size_t>(t)];
      int64_t& next = count[static_cast<size_t>(tap.source)];
      result.list[static_cast<size_t>(next++)] = {i, tap.weight};
    }
  }
  return result;
}

// The size of the result along an axis.
int64_t output_size(const char* axis, int64_t size, int64_t given, double scale, const Tensor& x) {
  if (size < 1) fail("interpolate", "x is ", x, ", want at least 1 pixel along ", axis);
  if (given != 0) return given;
  const double output = std::floor(static_cast<double>(size) * scale);
  if (!(scale > 0) || output < 1 || output > INT32_MAX) {
    fail("interpolate", "scale_factor is ", scale, " along ", axis, ", want a result of 1 to ",
         INT32_MAX, " pixels (x ", x, ")");
  }
  return static_cast<int64_t>(output);
}

// x is N,C,H,W, of signals with a height of 1.
Tensor interpolated(const Tensor& x, const InterpolateOptions& o, bool signal) {
  const int64_t h = x.size(2), w = x.size(3);
  const double scale_h = signal ? 0 : o.scale_factor.h, scale_w = o.scale_factor.w;
  const Size2d size{signal ? 1 : output_size("H", h, o.size.h, scale_h, x),
                    output_size(signal ? "L" : "W", w, o.size.w, scale_w, x)};
  // Of nothing nothing: no taps either, however long the axes are.
  if (o.mode == Interpolation::area || x.numel() == 0) return adaptive_avg_pool2d(x, size);
  (void)empty({x.size(0), x.size(1), size.h, size.w}, x.dtype());  // throws before taps are made
  Resampling taps;
  if (o.mode == Interpolation::nearest) {
    taps.rows = nearest(h, size.h, scale_h);
    taps.columns = nearest(w, size.w, scale_w);
  } else {
    taps.rows = linear(h, size.h, scale_h, o.align_corners);
    taps.columns = linear(w, size.w, scale_w, o.align_corners);
  }
  taps.rows_back = adjoint(taps.rows);
  taps.columns_back = adjoint(taps.columns);
  return resample(std::make_shared<const Resampling>(std::move(taps)), false, x);
}

// ---- Pixel shuffle

Tensor shuffle(const Tensor& x, int64_t factor, bool up);

class PixelShuffleNode final : public Node {
 public:
  PixelShuffleNode(int64_t factor, bool up) : factor_(factor), up_(up) {}
  const char* name() const override { return up_ ? "pixel_shuffle" : "pixel_unshuffle"; }
  Gradients backward(const Tensor& dy) override { return {shuffle(dy, factor_, !up_)}; }

 private:
  int64_t factor_;
  bool up_;
};

// One copy between [n, c r r, h, w] and [n, c, h r, w r], both walked as [n, c, i, j, h, w].
Tensor shuffle(const Tensor& x, int64_t r, bool up) {
  const Shape& s = x.shape();
  const Shape narrow = up ? s : Shape{s[0], s[1] * r * r, s[2] / r, s[3] / r};
  const Shape wide = up ? Shape{s[0], s[1] / (r * r), s[2] * r, s[3] * r} : s;
  const Tensor y = empty(up ? wide : narrow, x.dtype(), x.memory_format());
  if (y.numel() == 0) return record<PixelShuffleNode>(y, {x}, r, up);
  const kernels::Strides a = kernels::strides_of(narrow, x.memory_format());
  const kernels::Strides b = kernels::strides_of(wide, x.memory_format());
  const kernels::Strides in_narrow{
      {a.at[0], a.at[1] * r * r, a.at[1] * r, a.at[1], a.at[2], a.at[3]}};
  const kernels::Strides in_wide{{b.at[0], b.at[1], b.at[2], b.at[3], b.at[2] * r, b.at[3] * r}};
  kernels::copy_strided(x.dtype(), {wide[0], wide[1], r, r, narrow[2], narrow[3]}, x.raw_data(),
                        up ? in_narrow : in_wide, y.raw_data(), up ? in_wide : in_narrow);
  return record<PixelShuffleNode>(y, {x}, r, up);
}

void check_factor(const char* op, const Tensor& x, int64_t factor) {
  if (x.dim() != 4) fail(op, "x is ", x, ", want 4 axes");
  if (factor < 1 || factor > 32768) fail(op, "the factor is ", factor, ", want 1 to 32768");
  for (const int64_t size : x.shape()) {
    if (size > int64_t{1} << 32) fail(op, "x is ", x, ", want axes of at most 2^32");
  }
}

}  // namespace

Tensor interpolate(const Tensor& x, const InterpolateOptions& options) {
  const OpScope scope("interpolate", x, options);
  if (x.dim() != 4 && x.dim() != 3) fail("interpolate", "x is ", x, ", want 3 or 4 axes");
  check_floating("interpolate", "x", x);
  const bool sized = options.size != Size2d(0), scaled = options.scale_factor != Scale2d(0);
  if (sized == scaled) {
    fail("interpolate", sized ? "size and scale_factor are" : "neither size nor scale_factor is",
         " given, want one of them");
  }
  if (sized) check_window("interpolate", "size", options.size, 1);
  if (options.align_corners && options.mode != Interpolation::bilinear) {
    fail("interpolate", "align_corners is set with mode ", to_string(options.mode),
         ", want mode bilinear");
  }
  if (x.dim() == 3) {
    const Shape& s = x.shape();
    const Tensor y = interpolated(view_as(x, {s[0], s[1], 1, s[2]}), options, true);
    return scope.result(view_as(y, {s[0], s[1], y.size(3)}));
  }
  return scope.result(in_format(options.data_format, x, [&](const Tensor& nchw) {
    return interpolated(nchw, options, false);
  }));
}

Tensor pixel_shuffle(const Tensor& x, int64_t upscale_factor) {
  const OpScope scope("pixel_shuffle", x, "upscale_factor", upscale_factor);
  check_factor("pixel_shuffle", x, upscale_factor);
  if (x.size(1) % (upscale_factor * upscale_factor) != 0) {
    fail("pixel_shuffle", "x has ", x.size(1), " channels, want a multiple of ",
         upscale_factor * upscale_factor, " (x ", x, ", upscale_factor ", upscale_factor, ")");
  }
  return scope.result(shuffle(x, upscale_factor, true));
}

Tensor pixel_unshuffle(const Tensor& x, int64_t downscale_factor) {
  const OpScope scope("pixel_unshuffle", x, "downscale_factor", downscale_factor);
  check_factor("pixel_unshuffle", x, downscale_factor);
  if (x.size(2) % downscale_factor != 0 || x.size(3) % downscale_factor != 0) {
    fail("pixel_unshuffle", "x is ", x, ", want height and width to be multiples of ",
         downscale_factor);
  }
  return scope.result(shuffle(x, downscale_factor, false));
}

}  // namespace tern
