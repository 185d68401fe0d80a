// SPDX-License-Identifier: Apache-2.0
// ONNX's operators on shapes, slices and indices.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "../core/error.h"
#include "../ops/arithmetic.h"
#include "../ops/create.h"
#include "../ops/embedding.h"
#include "../ops/gather.h"
#include "../ops/indexing.h"
#include "../ops/interpolate.h"
#include "../ops/logical.h"
#include "../ops/math.h"
#include "../ops/movement.h"
#include "../ops/reduce.h"
#include "internal/onnx_run.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

Sizes sizes_of(const Tensor& x) { return {x.shape().begin(), x.shape().end()}; }
Tensor tensor_of(const Sizes& numbers) {
  return tensor(numbers, {static_cast<int64_t>(numbers.size())});
}
int64_t axis_of(const OnnxCallIn& in, const Tensor& x, int64_t otherwise) {
  return resolve_axis(in.op(), in.integer("axis", otherwise), x.shape());
}

// ---- Shapes

OnnxResults shape(const OnnxCallIn& in) {
  const Sizes sizes = sizes_of(in.x());
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto place = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = place(in.integer("start", 0)), end = place(in.integer("end", rank));
  return {tensor_of(start < end ? Sizes(sizes.begin() + start, sizes.begin() + end) : Sizes{})};
}
OnnxResults size(const OnnxCallIn& in) { return {tensor(Sizes{in.x().numel()}, {})}; }

OnnxResults reshape_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes sizes = in.opset() < 5 ? in.integers("shape") : in.integers(1);
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] != 0 || in.integer("allowzero", 0) != 0) continue;
    sizes[d] = x.size(static_cast<int64_t>(d));
  }
  return {reshape(x, sizes)};
}
OnnxResults flatten_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  int64_t axis = in.integer("axis", 1);
  if (axis < 0) axis += x.dim();
  if (axis == 1 && x.dim() > 1) return {flatten(x, 1)};
  int64_t rows = 1;
  for (int64_t d = 0; d < axis; ++d) rows *= x.size(d);
  return {reshape(x, {rows, rows == 0 ? 0 : x.numel() / rows})};
}
OnnxResults squeeze_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes axes = in.integers("axes", 1);
  if (axes.empty()) return {squeeze(x)};
  for (int64_t& axis : axes) axis = resolve_axis(in.op(), axis, x.shape());
  std::sort(axes.begin(), axes.end());
  Sizes sizes = sizes_of(x);
  for (size_t i = axes.size(); i-- > 0;) {
    if (sizes[static_cast<size_t>(axes[i])] != 1) in.refuse("drops an axis that is not 1 long");
    sizes.erase(sizes.begin() + axes[i]);
  }
  return {reshape(x, sizes)};
}
OnnxResults unsqueeze_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes axes = in.integers("axes", 1);
  const auto rank = x.dim() + static_cast<int64_t>(axes.size());
  for (int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
  std::sort(axes.begin(), axes.end());
  Tensor y = x;
  for (const int64_t axis : axes) y = unsqueeze(y, axis);
  return {y};
}
OnnxResults transpose_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes axes = in.integers("perm");
  if (axes.empty()) {
    for (int64_t d = x.dim(); d-- > 0;) axes.push_back(d);
  }
  return {permute(x, axes)};
}
OnnxResults expand(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const Shape wanted(in.integers(1));
  return {broadcast_to(x, broadcast_shapes(in.op(), x.shape(), wanted))};
}
OnnxResults tile(const OnnxCallIn& in) {
  if (in.inputs() > 2) in.refuse("is of opset 1");
  return {repeat(in.x(), in.integers(1))};
}
OnnxResults concat(const OnnxCallIn& in) {
  std::vector<Tensor> parts;
  for (size_t i = 0; i < in.inputs(); ++i) parts.push_back(in.x(i));
  return {cat(parts, in.integer("axis", 1))};
}
OnnxResults split_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t axis = axis_of(in, x, 0);
  Sizes sizes = in.integers("split", 1);
  const auto count = static_cast<int64_t>(in.outputs());
  if (sizes.empty()) {
    const int64_t length = x.size(axis), part = (length + count - 1) / count;
    for (int64_t i = 0; i < count; ++i) {
      sizes.push_back(std::max<int64_t>(0, std::min(part, length - i * part)));
    }
  }
  return split(x, sizes, axis);
}

// ---- Slices

Tensor sliced(const Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  if (step > 0) return slice(x, axis, start, end, step);
  // Backwards: the same from the other side.
  const int64_t length = x.size(axis);
  const auto from_end = [&](int64_t at) {
    if (at >= 0) return length - 1 - std::min(at, length - 1);
    return std::min(length, -1 - std::max(at, -length - 1));
  };
  const int64_t back_start = from_end(start), back_end = from_end(end);
  return slice(flip(x, axis), axis, back_start, std::max(back_start, back_end), -step);
}
OnnxResults slice_of(const OnnxCallIn& in) {
  Tensor y = in.x();
  const bool old = in.opset() < 10;
  const Sizes starts = old ? in.integers("starts") : in.integers(1);
  const Sizes ends = old ? in.integers("ends") : in.integers(2);
  Sizes axes = old ? in.integers("axes") : in.has(size_t{3}) ? in.integers(3) : Sizes{};
  const Sizes steps = !old && in.has(size_t{4}) ? in.integers(4) : Sizes(starts.size(), 1);
  for (size_t i = axes.size(); i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (ends.size() != starts.size() || steps.size() != starts.size()) {
    in.refuse("has starts, ends and steps of different lengths");
  }
  for (size_t i = 0; i < starts.size(); ++i) {
    if (steps[i] == 0 || steps[i] == std::numeric_limits<int64_t>::min()) {
      in.refuse("has a step that is 0 or as large as can be");
    }
    y = sliced(y, axes[i], starts[i], ends[i], steps[i]);
  }
  return {y};
}

OnnxResults pad_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  Sizes pads = in.opset() < 11 ? in.integers(in.opset() < 2 ? "paddings" : "pads") : in.integers(1);
  const auto rank = static_cast<size_t>(x.dim());
  if (in.has(size_t{3})) {
    const Sizes axes = in.integers(3), given = pads;
    if (given.size() != 2 * axes.size()) in.refuse("has another number of pads than of axes");
    pads.assign(2 * rank, 0);
    for (size_t i = 0; i < axes.size(); ++i) {
      const auto axis = static_cast<size_t>(resolve_axis(in.op(), axes[i], x.shape()));
      pads[axis] = given[i];
      pads[rank + axis] = given[axes.size() + i];
    }
  }
  if (pads.size() != 2 * rank) in.refuse("has another number of pads than of axes");
  Sizes amounts;
  for (size_t d = rank; d-- > 0;) {
    amounts.push_back(pads[d]);
    amounts.push_back(pads[rank + d]);
  }
  while (!amounts.empty() && amounts.back() == 0 && amounts[amounts.size() - 2] == 0) {
    amounts.resize(amounts.size() - 2);
  }
  const std::string mode = in.text("mode", "constant");
  PadOptions options;
  if (mode == "reflect") options.mode = PadMode::reflect;
  if (mode == "edge") options.mode = PadMode::replicate;
  if (mode == "wrap") options.mode = PadMode::circular;
  options.value = in.has(size_t{2}) ? in.number(size_t{2}) : in.number("value", 0);
  return {pad(x, amounts, options)};
}

// ---- Indices

Tensor counted(const Tensor& index, int64_t length) {  // from 0
  return where(lt(index, 0.0), index + static_cast<double>(length), index);
}

OnnxResults gather_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t axis = axis_of(in, x, 0);
  const Tensor index = in.x(1).to(DType::i64);
  if (index.dim() == 0) return {select(x, axis, index.item<int64_t>())};
  if (axis == 0 && x.dim() == 2 && is_floating(x.dtype())) {
    return {embedding(counted(index, x.size(0)), x)};
  }
  Sizes sizes = sizes_of(x);
  const Sizes places = sizes_of(index);
  sizes.erase(sizes.begin() + axis);
  sizes.insert(sizes.begin() + axis, places.begin(), places.end());
  const Tensor line = counted(index.dim() == 1 ? index : reshape(index, {-1}), x.size(axis));
  return {reshape(index_select(x, axis, line), sizes)};
}
OnnxResults gather_elements(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t axis = axis_of(in, x, 0);
  return {gather(x, axis, counted(in.x(1), x.size(axis)))};
}

// The rows of x that indices [..., n] of its first axes, behind `batch` common ones, name: places
// in x as [rows, rest].
struct Rows {
  Tensor places;  // of all indices, one axis
  Sizes leading;  // axes of the indices
  Sizes rest;     // axes of a row
  int64_t count = 1, length = 1;
};
Rows rows_of(const OnnxCallIn& in, const Tensor& x, const Tensor& index, int64_t batch) {
  Rows rows;
  if (index.dim() < 1 || batch < 0 || batch >= index.dim() || batch > x.dim()) {
    in.refuse("has indices of another shape");
  }
  const int64_t width = index.size(-1), named = batch + width;
  if (named > x.dim()) in.refuse("has more indices than axes");
  Tensor places;
  Sizes common;
  for (int64_t d = 0; d < index.dim() - 1; ++d) rows.leading.push_back(index.size(d));
  for (int64_t d = 0; d < named; ++d) {
    const int64_t length = x.size(d);
    Tensor part;
    if (d < batch) {
      Sizes line(rows.leading.size(), 1);
      line[static_cast<size_t>(d)] = length;
      part = reshape(arange(static_cast<double>(length)), line);
    } else {
      part = counted(select(index, -1, d - batch), length);
    }
    places = places.defined() ? places * static_cast<double>(length) + part : part;
    rows.count *= length;
  }
  rows.places = reshape(broadcast_to(places, Shape(rows.leading)), {-1});
  for (int64_t d = named; d < x.dim(); ++d) {
    rows.rest.push_back(x.size(d));
    rows.length *= x.size(d);
  }
  return rows;
}
OnnxResults gather_nd(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const Rows rows = rows_of(in, x, in.x(1), in.integer("batch_dims", 0));
  Sizes sizes = rows.leading;
  sizes.insert(sizes.end(), rows.rest.begin(), rows.rest.end());
  const Tensor taken = index_select(reshape(x, {rows.count, rows.length}), 0, rows.places);
  return {reshape(taken, sizes)};
}

Tensor scattered(const OnnxCallIn& in, const Tensor& x, int64_t axis, const Tensor& index,
                 const Tensor& src) {
  const std::string reduction = in.text("reduction", "none");
  if (reduction == "none") return scatter(x, axis, index, src);
  if (reduction == "add") return scatter_add(x, axis, index, src);
  in.refuse("has reduction " + reduction + ", want none or add");
}
OnnxResults scatter_elements(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t axis = axis_of(in, x, 0);
  return {scattered(in, x, axis, counted(in.x(1), x.size(axis)), in.x(2))};
}
OnnxResults scatter_nd(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const Rows rows = rows_of(in, x, in.x(1), 0);
  const Tensor lines = reshape(x, {rows.count, rows.length});
  const Tensor src = reshape(in.x(2), {-1, rows.length});
  const Tensor index = broadcast_to(unsqueeze(rows.places, 1), src.shape());
  return {reshape(scattered(in, lines, 0, index, src), x.shape())};
}

OnnxResults one_hot_of(const OnnxCallIn& in) {
  const auto depth = static_cast<int64_t>(in.number(size_t{1}));
  const Tensor index = counted(in.x(0).to(DType::i64), depth);
  const Tensor& values = in.x(2);
  int64_t axis = in.integer("axis", -1);
  if (axis < 0) axis += index.dim() + 1;
  Sizes line(static_cast<size_t>(index.dim()) + 1, 1);
  line.at(static_cast<size_t>(axis)) = depth;
  const Tensor each = reshape(arange(static_cast<double>(depth)), line);
  const Tensor here = eq(unsqueeze(index, axis), each);
  return {where(here, select(values, 0, 1), select(values, 0, 0))};
}
OnnxResults nonzero_of(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  return {transpose(nonzero(x.dim() == 0 ? reshape(x, {1}) : x), 0, 1)};
}
OnnxResults compress(const OnnxCallIn& in) {
  const bool flat = !in.has("axis");
  const Tensor x = flat ? reshape(in.x(), {-1}) : in.x();
  const int64_t axis = flat ? 0 : axis_of(in, x, 0);
  return {index_select(x, axis, reshape(nonzero(in.x(1)), {-1}))};
}
OnnxResults trilu(const OnnxCallIn& in) {
  const int64_t offset = in.has(size_t{1}) ? in.integer(size_t{1}) : 0;
  return {in.integer("upper", 1) != 0 ? triu(in.x(), offset) : tril(in.x(), offset)};
}
OnnxResults reverse_sequence(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t batch = in.integer("batch_axis", 1), time = in.integer("time_axis", 0);
  Sizes steps(static_cast<size_t>(x.dim()), 1), rows = steps;
  steps.at(static_cast<size_t>(time)) = x.size(time);
  rows.at(static_cast<size_t>(batch)) = x.size(batch);
  const Tensor step = reshape(arange(static_cast<double>(x.size(time))), steps);
  const Tensor length = reshape(in.x(1), rows);
  return {take_along(x, time, where(lt(step, length), length - 1.0 - step, step))};
}

// ---- Constants

OnnxResults constant(const OnnxCallIn& in) {
  if (const OnnxAttribute* value = in.attribute("value"); value && value->tensor.defined()) {
    return {value->tensor};
  }
  if (in.has("value_float")) return {full({}, in.number("value_float", 0))};
  if (in.has("value_int")) return {tensor(Sizes{in.integer("value_int", 0)}, {})};
  if (in.has("value_ints")) return {tensor_of(in.integers("value_ints"))};
  if (const OnnxAttribute* value = in.attribute("value_floats")) {
    return {tensor(std::vector<float>(value->reals.begin(), value->reals.end()))};
  }
  in.refuse("has no value that is a number or numbers");
}
OnnxResults constant_of_shape(const OnnxCallIn& in) {
  const OnnxAttribute* value = in.attribute("value");
  const Shape wanted(in.integers(size_t{0}));
  if (!value || !value->tensor.defined()) return {zeros(wanted)};
  return {broadcast_to(reshape(value->tensor, {}), wanted)};
}
OnnxResults range(const OnnxCallIn& in) {
  return {arange(in.number(size_t{0}), in.number(size_t{1}), in.number(size_t{2}), in.x().dtype())};
}
OnnxResults eye_like(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  if (x.dim() != 2) in.refuse("is of no matrix");
  const DType dtype = in.has("dtype")
                          ? dtype_of(in.op(), static_cast<OnnxType>(in.integer("dtype", 1)))
                          : x.dtype();
  const Tensor row = reshape(arange(static_cast<double>(x.size(0))), {-1, 1});
  const Tensor column = arange(static_cast<double>(x.size(1)));
  return {eq(column, row + static_cast<double>(in.integer("k", 0))).to(dtype)};
}

// ---- Channels and pixels

OnnxResults depth_to_space(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t r = in.integer("blocksize", 1);
  if (in.text("mode", "DCR") == "CRD") return {pixel_shuffle(x, r)};
  const int64_t n = x.size(0), c = x.size(1) / (r * r), h = x.size(2), w = x.size(3);
  const Tensor parts = permute(reshape(x, {n, r, r, c, h, w}), {0, 3, 4, 1, 5, 2});
  return {reshape(parts, {n, c, h * r, w * r})};
}
OnnxResults space_to_depth(const OnnxCallIn& in) {
  const Tensor& x = in.x();
  const int64_t r = in.integer("blocksize", 1);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2) / r, w = x.size(3) / r;
  const Tensor parts = permute(reshape(x, {n, c, h, r, w, r}), {0, 3, 5, 1, 2, 4});
  return {reshape(parts, {n, c * r * r, h, w})};
}

}  // namespace

const OnnxKernels& movement_kernels() {
  static const OnnxKernels table = {{"Shape", shape},
                                    {"Size", size},
                                    {"Reshape", reshape_of},
                                    {"Flatten", flatten_of},
                                    {"Squeeze", squeeze_of},
                                    {"Unsqueeze", unsqueeze_of},
                                    {"Transpose", transpose_of},
                                    {"Expand", expand},
                                    {"Tile", tile},
                                    {"Concat", concat},
                                    {"Split", split_of},
                                    {"Slice", slice_of},
                                    {"Pad", pad_of},
                                    {"Gather", gather_of},
                                    {"GatherElements", gather_elements},
                                    {"GatherND", gather_nd},
                                    {"Scatter", scatter_elements},
                                    {"ScatterElements", scatter_elements},
                                    {"ScatterND", scatter_nd},
                                    {"OneHot", one_hot_of},
                                    {"NonZero", nonzero_of},
                                    {"Compress", compress},
                                    {"Trilu", trilu},
                                    {"ReverseSequence", reverse_sequence},
                                    {"Constant", constant},
                                    {"ConstantOfShape", constant_of_shape},
                                    {"Range", range},
                                    {"EyeLike", eye_like},
                                    {"DepthToSpace", depth_to_space},
                                    {"SpaceToDepth", space_to_depth}};
  return table;
}

}  // namespace tern::io
