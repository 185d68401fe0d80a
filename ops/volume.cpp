// SPDX-License-Identifier: Apache-2.0
// Operations of volumes, made of those of images.
#include <algorithm>
#include <vector>

#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "conv.h"
#include "gather.h"
#include "in_place.h"
#include "internal/conv.h"
#include "internal/movement.h"
#include "internal/op.h"
#include "pool.h"

namespace tern {

static std::vector<OpAttribute> attributes_of(const Conv3dOptions& options) {
  return {{"stride", attribute_of(options.stride)},
          {"padding", attribute_of(options.padding)},
          {"dilation", attribute_of(options.dilation)},
          {"groups", options.groups}};
}

static std::vector<OpAttribute> attributes_of(const MaxPool3dOptions& options) {
  return {stride_attribute(options.stride),
          {"padding", attribute_of(options.padding)},
          {"dilation", attribute_of(options.dilation)},
          {"ceil_mode", options.ceil_mode}};
}

static std::vector<OpAttribute> attributes_of(const AvgPool3dOptions& options) {
  return {stride_attribute(options.stride),
          {"padding", attribute_of(options.padding)},
          {"ceil_mode", options.ceil_mode},
          {"count_include_pad", options.count_include_pad}};
}

namespace {

Size2d image(Size3d size) { return {size.h, size.w}; }
std::optional<Size2d> image(const std::optional<Size3d>& size) {
  return size ? std::optional(image(*size)) : std::nullopt;
}
Size2d depth(Size3d size) { return {size.d, 0}; }
std::optional<Size2d> depth(const std::optional<Size3d>& size) {
  return size ? std::optional(Size2d{size->d, 1}) : std::nullopt;
}

// The numbers of the `batch` images of each of `count` depths.
Tensor images_at(int64_t first, int64_t step, int64_t count, int64_t batch) {
  const Tensor numbers = empty({count * batch}, DType::i64);
  int64_t* number = numbers.raw<int64_t>();
  for (int64_t i = 0; i < numbers.numel(); ++i)
    number[i] = (first + i / batch * step) * batch + i % batch;
  return numbers;
}

// N,C,D,H,W: `pool` of each depth's image, then `pool_depth` of images whose rows are the depths.
template <class Pool, class PoolDepth>
Tensor pooled(const char* op, const Tensor& x, const Pool& pool, const PoolDepth& pool_depth) {
  if (x.dim() != 5) fail(op, "x is ", x, ", want 5 axes");
  const Shape& s = x.shape();
  const Tensor images = pool(view_as(x, {s[0], s[1] * s[2], s[3], s[4]}));
  const int64_t h = images.size(2), w = images.size(3);
  const Tensor y = pool_depth(view_as(images, {s[0], s[1], s[2], h * w}));
  return view_as(y, {s[0], s[1], y.size(2), h, w});
}

}  // namespace

Tensor conv3d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv3dOptions& o) {
  const OpScope scope("conv3d", x, weight, bias, o);
  check_conv_operands("conv3d", x, weight, 5);
  const int64_t n = x.size(0), taps = weight.size(2), size = x.size(2);
  const int64_t largest = std::max({o.stride.d, o.dilation.d, o.padding.d, size, taps});
  if (o.stride.d < 1 || o.dilation.d < 1 || o.padding.d < 0 || largest > INT32_MAX) {
    fail("conv3d", "along D stride is ", o.stride.d, ", dilation ", o.dilation.d, ", padding ",
         o.padding.d, ", want at least 1, 1 and 0, and all sizes less than 2^31 (x ", x,
         ", weight ", weight, ")");
  }
  const int64_t reach = o.dilation.d * (taps - 1) + 1, padded = size + 2 * o.padding.d;
  if (size < 1 || taps < 1 || padded < reach) {
    fail("conv3d", "kernel covers ", reach, " pixels along D, want 1 to ", padded,
         ", as many as the padded input has (x ", x, ", weight ", weight, ")");
  }
  const int64_t output = (padded - reach) / o.stride.d + 1;
  // Images of all depths, the batch innermost: the depths that a tap sees lie in one piece.
  const Tensor deep =
      pad(permute(x, {2, 0, 1, 3, 4}), {0, 0, 0, 0, 0, 0, 0, 0, o.padding.d, o.padding.d});
  const Tensor images =
      to_memory_format(view_as(deep, {padded * n, x.size(1), x.size(3), x.size(4)}),
                       kernels::conv_format(x.dtype()));
  Tensor y;
  for (int64_t t = 0; t < taps; ++t) {
    const int64_t first = t * o.dilation.d;
    const Tensor seen = o.stride.d == 1
                            ? slice(images, 0, first * n, (first + output) * n)
                            : index_select(images, 0, images_at(first, o.stride.d, output, n));
    const Tensor part = conv2d(seen, select(weight, 2, t), t == 0 ? bias : Tensor(),
                               {.stride = image(o.stride),
                                .padding = image(o.padding),
                                .dilation = image(o.dilation),
                                .groups = o.groups});
    if (t == 0) {
      y = part;
    } else {
      y += part;
    }
  }
  const Tensor result = view_as(y, {output, n, y.size(1), y.size(2), y.size(3)});
  return scope.result(permute(result, {1, 2, 0, 3, 4}));
}

Tensor max_pool3d(const Tensor& x, Size3d kernel, const MaxPool3dOptions& o) {
  const OpScope scope("max_pool3d", x, "kernel", kernel, o);
  // The depth last: of equal maxima in a window, the first one of the first image is found.
  return scope.result(pooled(
      "max_pool3d", x,
      [&](const Tensor& images) {
        return max_pool2d(images, image(kernel),
                          {.stride = image(o.stride),
                           .padding = image(o.padding),
                           .dilation = image(o.dilation),
                           .ceil_mode = o.ceil_mode});
      },
      [&](const Tensor& depths) {
        return max_pool2d(depths, {kernel.d, 1},
                          {.stride = depth(o.stride),
                           .padding = depth(o.padding),
                           .dilation = {o.dilation.d, 1},
                           .ceil_mode = o.ceil_mode});
      }));
}

Tensor avg_pool3d(const Tensor& x, Size3d kernel, const AvgPool3dOptions& o) {
  const OpScope scope("avg_pool3d", x, "kernel", kernel, o);
  return scope.result(pooled(
      "avg_pool3d", x,
      [&](const Tensor& images) {
        return avg_pool2d(images, image(kernel),
                          {.stride = image(o.stride),
                           .padding = image(o.padding),
                           .ceil_mode = o.ceil_mode,
                           .count_include_pad = o.count_include_pad});
      },
      [&](const Tensor& depths) {
        return avg_pool2d(depths, {kernel.d, 1},
                          {.stride = depth(o.stride),
                           .padding = depth(o.padding),
                           .ceil_mode = o.ceil_mode,
                           .count_include_pad = o.count_include_pad});
      }));
}

Tensor adaptive_avg_pool3d(const Tensor& x, Size3d output_size) {
  const OpScope scope("adaptive_avg_pool3d", x, "output_size", output_size);
  return scope.result(pooled(
      "adaptive_avg_pool3d", x,
      [&](const Tensor& images) { return adaptive_avg_pool2d(images, image(output_size)); },
      [&](const Tensor& depths) {
        return adaptive_avg_pool2d(depths, {output_size.d, depths.size(3)});
      }));
}

}  // namespace tern
