// SPDX-License-Identifier: Apache-2.0
// Shapes, slices, indices and order as ONNX's nodes.
#include <algorithm>
#include <climits>
#include <limits>

#include "../core/error.h"
#include "internal/onnx_emit.h"

namespace tern::io {

namespace {

using Sizes = std::vector<int64_t>;

// The same elements, and perhaps the same tensor.
void alias(const OnnxCall& call) { call.result(call.in(0)); }
void copy(const OnnxCall& call) {  // x.copy_(source)
  const std::string value = call.in_as(1, call.result_dtype());
  call.result(call.sizes(1) == call.result_sizes()
                  ? value
                  : call.node("Expand", {value, call.sizes_value(call.result_sizes())}));
}
void fill(const OnnxCall& call) {  // also `full`, whose shape may depend on the batch
  const std::string value = call.scalar(call.number("value"), call.result_dtype());
  call.result(call.node("Expand", {value, call.sizes_value(call.result_sizes())}));
}
void to(const OnnxCall& call) { call.result(call.in_as(0, call.result_dtype())); }

void reshape(const OnnxCall& call) {
  const TracedSizes from = call.sizes(0), to = call.result_sizes();
  const bool flat = call.op() == "flatten" && from.size() > 2 && to.size() == 2 && from[0] == to[0];
  call.result(flat ? call.node("Flatten", {call.in(0)}, {attribute("axis", int64_t{1})})
                   : call.reshape(call.in(0), from, to));
}

Sizes all_axes(int64_t rank) {
  Sizes axes;
  for (int64_t d = 0; d < rank; ++d) axes.push_back(d);
  return axes;
}
void transpose(const OnnxCall& call) {
  Sizes axes = all_axes(call.rank(0));
  std::swap(axes[static_cast<size_t>(call.axis("a"))], axes[static_cast<size_t>(call.axis("b"))]);
  call.result(call.transpose(call.in(0), axes));
}
void permute(const OnnxCall& call) { call.result(call.transpose(call.in(0), call.axes("axes"))); }

std::string unsqueezed(const OnnxCall& call, size_t input, int64_t axis) {
  return call.node("Unsqueeze", {call.in(input), call.integers({axis})});
}
void unsqueeze(const OnnxCall& call) {
  const auto axis = call.get<int64_t>("axis");
  call.result(unsqueezed(call, 0, axis < 0 ? axis + call.rank(0) + 1 : axis));
}

void broadcast_to(const OnnxCall& call) {
  call.result(call.node("Expand", {call.in(0), call.sizes_value(call.result_sizes())}));
}
void repeat(const OnnxCall& call) {
  const Sizes times = call.get<Sizes>("times");
  TracedSizes from = call.sizes(0);
  from.insert(from.begin(), times.size() - from.size(), TracedSize{1, 1});
  call.result(
      call.node("Tile", {call.reshape(call.in(0), call.sizes(0), from), call.integers(times)}));
}

// ---- Slices -------------------------------------------------------------------------------------

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

std::string sliced(const OnnxCall& call, const std::string& x, int64_t axis, TracedSize start,
                   TracedSize end, int64_t step, TracedSize length) {
  // To the end, however long that is.
  if (end.first >= length.first && end.second >= length.second) end = {kEnd, kEnd};
  return call.node("Slice", {x, call.sizes_value({start}), call.sizes_value({end}),
                             call.integers({axis}), call.integers({step})});
}

void slice(const OnnxCall& call) {
  const int64_t axis = call.axis("axis");
  call.result(sliced(call, call.in(0), axis, call.size_of("start"), call.size_of("end"),
                     call.get<int64_t>("step"), call.sizes(0)[static_cast<size_t>(axis)]));
}
void narrow(const OnnxCall& call) {
  const int64_t axis = call.axis("axis");
  const TracedSize size = call.sizes(0)[static_cast<size_t>(axis)];
  TracedSize start = call.size_of("start");
  const TracedSize length = call.size_of("length");
  if (start.first < 0) start = {start.first + size.first, start.second + size.second};
  call.result(sliced(call, call.in(0), axis, start,
                     {start.first + length.first, start.second + length.second}, 1, size));
}
void select(const OnnxCall& call) {
  call.result(call.node("Gather", {call.in(0), call.integer(call.get<int64_t>("i"))},
                        {attribute("axis", call.axis("axis"))}));
}

std::string flipped(const OnnxCall& call, const std::string& x, const Sizes& axes) {
  const Sizes starts(axes.size(), -1), steps(axes.size(), -1);
  const Sizes ends(axes.size(), -kEnd);
  return call.node("Slice", {x, call.integers(starts), call.integers(ends), call.integers(axes),
                             call.integers(steps)});
}
void flip(const OnnxCall& call) {
  if (call.get<Sizes>("axes").empty()) return alias(call);
  call.result(flipped(call, call.in(0), call.axes("axes")));
}
void rot90(const OnnxCall& call) {
  const Sizes axes = call.axes("axes");
  const int64_t quarter = (call.get<int64_t>("k") % 4 + 4) % 4;
  std::string x = call.in(0);
  if (quarter % 2 == 1) {
    Sizes order = all_axes(call.rank(0));
    std::swap(order[static_cast<size_t>(axes[0])], order[static_cast<size_t>(axes[1])]);
    x = call.transpose(x, order);
  }
  const std::vector<Sizes> turned = {{}, {axes[0]}, axes, {axes[1]}};
  call.result(quarter == 0 ? x : flipped(call, x, turned[static_cast<size_t>(quarter)]));
}

// The elements from `from` on to the end, then the first ones up to `to`.
std::string wrapped(const OnnxCall& call, const std::string& x, int64_t axis, int64_t from) {
  const auto part = [&](int64_t start, int64_t end) {
    return call.node("Slice", {x, call.integers({start}), call.integers({end}),
                               call.integers({axis}), call.integers({1})});
  };
  return call.node("Concat", {part(from, kEnd), part(0, from)}, {attribute("axis", axis)});
}
void roll(const OnnxCall& call) {
  const Sizes shifts = call.get<Sizes>("shifts");
  std::string x = call.in(0);
  if (call.get<Sizes>("axes").empty()) {
    if (shifts[0] == 0) return call.result(x);
    x = wrapped(call, call.node("Reshape", {x, call.integers({-1})}), 0, -shifts[0]);
    return call.result(call.node("Reshape", {x, call.sizes_value(call.sizes(0))}));
  }
  const Sizes axes = call.axes("axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t length = std::max<int64_t>(1, call.fixed(0, axes[i]));
    const int64_t shift = (shifts[i] % length + length) % length;
    if (shift != 0) x = wrapped(call, x, axes[i], length - shift);
  }
  call.result(x);
}

void pad(const OnnxCall& call) {
  const Sizes amounts = call.get<Sizes>("amounts");
  const auto mode = call.get<std::string>("mode");
  const auto rank = static_cast<size_t>(call.rank(0));
  Sizes pads(2 * rank, 0);
  for (size_t i = 0; i < amounts.size() / 2; ++i) {
    pads[rank - 1 - i] = amounts[2 * i];
    pads[2 * rank - 1 - i] = amounts[2 * i + 1];
  }
  if (mode != "circular") {
    std::vector<std::string> inputs = {call.in(0), call.integers(pads)};
    if (mode == "constant") inputs.push_back(call.scalar(call.number("value"), call.dtype(0)));
    const char* name = mode == "replicate" ? "edge" : mode == "reflect" ? "reflect" : "constant";
    return call.result(call.node("Pad", inputs, {attribute("mode", name)}));
  }
  std::string x = call.in(0);
  for (size_t d = 0; d < rank; ++d) {
    const auto axis = static_cast<int64_t>(d);
    const int64_t before = pads[d], after = pads[rank + d];
    std::vector<std::string> parts = {x};
    const auto part = [&](int64_t start, int64_t end) {
      return call.node("Slice", {x, call.integers({start}), call.integers({end}),
                                 call.integers({axis}), call.integers({1})});
    };
    if (before > 0) parts.insert(parts.begin(), part(-before, kEnd));
    if (after > 0) parts.push_back(part(0, after));
    if (parts.size() > 1) x = call.node("Concat", parts, {attribute("axis", axis)});
  }
  call.result(x);
}

// ---- Several tensors ----------------------------------------------------------------------------

std::vector<std::string> all_inputs(const OnnxCall& call) {
  std::vector<std::string> inputs;
  for (size_t i = 0; i < call.inputs(); ++i) inputs.push_back(call.in(i));
  return inputs;
}
void cat(const OnnxCall& call) {
  call.result(call.node("Concat", all_inputs(call), {attribute("axis", call.axis("axis"))}));
}
void stack(const OnnxCall& call) {
  auto axis = call.get<int64_t>("axis");
  if (axis < 0) axis += call.rank(0) + 1;
  std::vector<std::string> inputs;
  for (size_t i = 0; i < call.inputs(); ++i) inputs.push_back(unsqueezed(call, i, axis));
  call.result(call.node("Concat", inputs, {attribute("axis", axis)}));
}
void hstack(const OnnxCall& call) {
  std::vector<std::string> inputs;
  for (size_t i = 0; i < call.inputs(); ++i) {
    inputs.push_back(call.rank(i) == 0 ? unsqueezed(call, i, 0) : call.in(i));
  }
  call.result(call.node("Concat", inputs, {attribute("axis", int64_t{call.rank(0) > 1})}));
}
void vstack(const OnnxCall& call) {
  std::vector<std::string> inputs;
  for (size_t i = 0; i < call.inputs(); ++i) {
    const std::string x = call.in(i);
    inputs.push_back(call.rank(i) < 2 ? call.node("Reshape", {x, call.integers({1, -1})}) : x);
  }
  call.result(call.node("Concat", inputs, {attribute("axis", int64_t{0})}));
}
void split(const OnnxCall& call) {  // also `chunk` and `unbind`, which takes the axis away
  const int64_t axis = call.axis("axis");
  const bool drops = call.op() == "unbind";
  TracedSizes lengths;
  for (size_t i = 0; i < call.results(); ++i) {
    lengths.push_back(drops ? TracedSize{1, 1} : call.result_sizes(i)[static_cast<size_t>(axis)]);
  }
  const std::vector<std::string> parts = call.nodes(
      "Split", {call.in(0), call.sizes_value(lengths)}, {attribute("axis", axis)}, call.results());
  for (size_t i = 0; i < parts.size(); ++i) {
    call.result(drops ? call.node("Squeeze", {parts[i], call.integers({axis})}) : parts[i], i);
  }
}

// ---- Indices ------------------------------------------------------------------------------------

void gather_rows(const OnnxCall& call) {
  call.result(
      call.node("Gather", {call.in(0), call.in(1)}, {attribute("axis", call.axis("axis"))}));
}
void gather(const OnnxCall& call) {
  // An index may be smaller than x along other axes; ONNX's may as well.
  call.result(call.node("GatherElements", {call.in(0), call.in(1)},
                        {attribute("axis", call.axis("axis"))}));
}
void take_along(const OnnxCall& call) {
  const auto axis = static_cast<size_t>(call.axis("axis"));
  TracedSizes whole = call.result_sizes();
  const std::string index = call.node("Expand", {call.in(1), call.sizes_value(whole)});
  whole[axis] = call.sizes(0)[axis];
  const std::string x = call.node("Expand", {call.in(0), call.sizes_value(whole)});
  call.result(
      call.node("GatherElements", {x, index}, {attribute("axis", static_cast<int64_t>(axis))}));
}

void scatter_into(const OnnxCall& call, const std::string& index, const std::string& src,
                  const char* reduction) {
  call.result(call.node("ScatterElements", {call.in(0), index, src},
                        {attribute("axis", call.axis("axis")), attribute("reduction", reduction)}));
}
void scatter(const OnnxCall& call) {
  const TracedSizes sizes = call.sizes(1);
  std::string src;
  if (call.inputs() == 2) {
    const std::string value = call.scalar(call.number("value"), call.dtype(0));
    src = call.node("Expand", {value, call.sizes_value(sizes)});
  } else {
    src = call.in(2);
    for (size_t d = 0; d < sizes.size(); ++d) {  // the part for which there are indices
      if (call.sizes(2)[d] == sizes[d]) continue;
      src = sliced(call, src, static_cast<int64_t>(d), {0, 0}, sizes[d], 1, call.sizes(2)[d]);
    }
  }
  scatter_into(call, call.in(1), src, call.op() == "scatter" ? "none" : "add");
}
void index_add(const OnnxCall& call) {
  const auto axis = static_cast<size_t>(call.axis("axis"));
  TracedSizes line(call.sizes(0).size(), TracedSize{1, 1});
  line[axis] = call.sizes(2)[axis];
  const std::string index = call.reshape(call.in(1), call.sizes(1), line);
  scatter_into(call, call.node("Expand", {index, call.sizes_value(call.sizes(2))}), call.in(2),
               "add");
}

// Four numbers for each index: which kind it is, and its values; tensors follow x.
void index(const OnnxCall& call) {
  const Sizes numbers = call.get<Sizes>("indices");
  if (call.inputs() > 2) {
    throw Error("it has several tensors as indices: take them one after the other");
  }
  if (call.inputs() == 2 && call.dtype(1) != DType::i64) {
    throw Error("the shape of what a mask selects depends on its values: use where");
  }
  std::string x = call.in(0);
  for (size_t i = numbers.size() / 4; i-- > 0;) {
    const auto axis = static_cast<int64_t>(i);
    const int64_t *at = &numbers[4 * i], kind = at[0];
    if (kind == 0) {
      x = call.node("Gather", {x, call.integer(at[1])}, {attribute("axis", axis)});
    } else if (kind == 1 && !(at[1] == 0 && at[2] == kEnd && at[3] == 1)) {
      x = call.node("Slice", {x, call.integers({at[1]}), call.integers({at[2]}),
                              call.integers({axis}), call.integers({at[3]})});
    } else if (kind == 2) {
      x = call.node("Gather", {x, call.in(1)}, {attribute("axis", axis)});
    }
  }
  call.result(x);
}

void embedding(const OnnxCall& call) {
  if (call.number("max_norm") != std::numeric_limits<double>::infinity()) {
    throw Error("max_norm changes the table while it is read: renormalize it before");
  }
  call.result(call.node("Gather", {call.in(1), call.in(0)}, {attribute("axis", int64_t{0})}));
}
void embedding_bag(const OnnxCall& call) {
  if (call.rank(0) != 2 || call.has(2) || !call.get<Sizes>("padding_idx").empty() ||
      call.number("max_norm") != std::numeric_limits<double>::infinity()) {
    throw Error(
        "only bags of one length are exported, ids [N,L] without offsets, padding_idx and "
        "max_norm");
  }
  std::string rows = call.node("Gather", {call.in(1), call.in(0)}, {attribute("axis", int64_t{0})});
  if (call.has(3)) {
    rows = call.binary("Mul", rows, call.node("Unsqueeze", {call.in(3), call.integers({2})}));
  }
  const auto mode = call.get<std::string>("mode");
  const OnnxAttribute drop = attribute("keepdims", int64_t{0});
  call.result(mode == "sum" ? call.node("ReduceSum", {rows, call.integers({1})}, {drop})
                            : call.node(mode == "mean" ? "ReduceMean" : "ReduceMax", {rows},
                                        {attribute("axes", Sizes{1}), drop}));
}

void one_hot(const OnnxCall& call) {
  const auto count = call.result_fixed(0, -1);
  if (call.get<int64_t>("count") < 0) {
    throw Error("the number of classes depends on the values: give it");
  }
  const std::string values = call.constant(tensor(std::vector<int64_t>{0, 1}, {2}));
  call.result(call.node("OneHot", {call.in(0), call.integer(count), values},
                        {attribute("axis", int64_t{-1})}));
}

// ---- Order, triangles ---------------------------------------------------------------------------

std::vector<std::string> ordered(const OnnxCall& call, const TracedSize& count, bool largest) {
  return call.nodes("TopK", {call.in(0), call.sizes_value({count})},
                    {attribute("axis", call.axis("axis")), attribute("largest", int64_t{largest}),
                     attribute("sorted", int64_t{1})},
                    2);
}
void sort(const OnnxCall& call) {
  const TracedSize length = call.sizes(0)[static_cast<size_t>(call.axis("axis"))];
  const auto results = ordered(call, length, call.get<bool>("descending"));
  if (call.op() == "argsort") return call.result(results[1]);
  call.result(results[0], 0);
  call.result(results[1], 1);
}
void topk(const OnnxCall& call) {
  const auto results = ordered(call, call.size_of("count"), call.get<bool>("largest"));
  call.result(results[0], 0);
  call.result(results[1], 1);
}

void triangle(const OnnxCall& call) {
  call.result(call.node("Trilu", {call.in(0), call.integer(call.get<int64_t>("offset"))},
                        {attribute("upper", int64_t{call.op() == "triu"})}));
}

void pixel_shuffle(const OnnxCall& call) {
  call.result(call.node(
      "DepthToSpace", {call.in(0)},
      {attribute("blocksize", call.get<int64_t>("upscale_factor")), attribute("mode", "CRD")}));
}
void pixel_unshuffle(const OnnxCall& call) {  // SpaceToDepth has another order of channels
  const auto r = call.get<int64_t>("downscale_factor");
  const TracedSizes x = call.sizes(0);
  const int64_t c = call.fixed(0, 1), h = call.fixed(0, 2), w = call.fixed(0, 3);
  const TracedSizes parts = {x[0], {c, c}, {h / r, h / r}, {r, r}, {w / r, w / r}, {r, r}};
  const TracedSizes moved = {x[0], {c, c}, {r, r}, {r, r}, {h / r, h / r}, {w / r, w / r}};
  const std::string y = call.transpose(call.reshape(call.in(0), x, parts), {0, 1, 3, 5, 2, 4});
  call.result(call.reshape(y, moved, call.result_sizes()));
}

}  // namespace

const OnnxEmits& movement_emits() {
  static const OnnxEmits table = {
      {"detach", alias},
      {"clone", alias},
      {"to_memory_format", alias},
      {"copy_", copy},
      {"fill_", fill},
      {"full", fill},
      {"to", to},
      {"reshape", reshape},
      {"flatten", reshape},
      {"unflatten", reshape},
      {"squeeze", reshape},
      {"unsqueeze", unsqueeze},
      {"transpose", transpose},
      {"permute", permute},
      {"broadcast_to", broadcast_to},
      {"repeat", repeat},
      {"slice", slice},
      {"narrow", narrow},
      {"select", select},
      {"flip", flip},
      {"roll", roll},
      {"rot90", rot90},
      {"pad", pad},
      {"cat", cat},
      {"stack", stack},
      {"hstack", hstack},
      {"vstack", vstack},
      {"split", split},
      {"chunk", split},
      {"unbind", split},
      {"index_select", gather_rows},
      {"gather", gather},
      {"take_along", take_along},
      {"scatter", scatter},
      {"scatter_add", scatter},
      {"index_add", index_add},
      {"index", index},
      {"embedding", embedding},
      {"embedding_bag", embedding_bag},
      {"one_hot", one_hot},
      {"sort", sort},
      {"argsort", sort},
      {"topk", topk},
      {"tril", triangle},
      {"triu", triangle},
      {"pixel_shuffle", pixel_shuffle},
      {"pixel_unshuffle", pixel_unshuffle},
  };
  return table;
}

}  // namespace tern::io
