// SPDX-License-Identifier: Apache-2.0
// oneDNN's direct convolution. Activations are channels-last; the primitive chooses the layout of
// the weights, which are packed into (or unpacked from) scratch memory at every call.
#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "../../core/error.h"
#include "../../core/internal/memory.h"
#include "../../core/internal/onednn.h"
#include "../../core/internal/parallel.h"
#include "../backend.h"
#include "conv.h"
#include "vectors.h"

namespace tern::kernels {

namespace {

namespace compat = onednn::compat;
using dnnl::algorithm;
using onednn::Key;
using onednn::Primitive;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

// What a pass of the convolution is created with.
struct Descriptors {
  explicit Descriptors(const ConvShape& s)
      : x(onednn::describe(Shape{s.n, s.c, s.h, s.w}, MemoryFormat::channels_last)),
        y(onednn::describe(Shape{s.n, s.k, s.out_h, s.out_w}, MemoryFormat::channels_last)),
        bias(onednn::describe(Shape{s.k})),
        weight_dims(s.groups == 1
                        ? compat::dims{s.k, s.c, s.r, s.s}
                        : compat::dims{s.groups, s.k / s.groups, s.c / s.groups, s.r, s.s}),
        plain_weight(weight_dims, Type::f32, s.groups == 1 ? Tag::oihw : Tag::goihw),
        weight(weight_dims, Type::f32, Tag::any),
        strides{s.stride.h, s.stride.w},
        dilation{s.dilation.h - 1, s.dilation.w - 1},
        padding{s.padding.h, s.padding.w},
        padding_behind{behind(s.h, s.r, s.stride.h, s.padding.h, s.dilation.h, s.out_h),
                       behind(s.w, s.s, s.stride.w, s.padding.w, s.dilation.w, s.out_w)} {}

  dnnl::convolution_forward::primitive_desc forward(bool with_bias) const {
    const auto kind = dnnl::prop_kind::forward_training;
    const auto direct = algorithm::convolution_direct;
    if (with_bias) {
      return compat::make<dnnl::convolution_forward>(onednn::engine(), onednn::attributes(), kind,
                                                     direct, x, weight, bias, y, strides, dilation,
                                                     padding, padding_behind);
    }
    return compat::make<dnnl::convolution_forward>(onednn::engine(), onednn::attributes(), kind,
                                                   direct, x, weight, y, strides, dilation, padding,
                                                   padding_behind);
  }
  dnnl::convolution_backward_data::primitive_desc backward_data() const {
    return compat::make_backward<dnnl::convolution_backward_data>(
        onednn::engine(), onednn::attributes(), forward(false), algorithm::convolution_direct, x,
        weight, y, strides, dilation, padding, padding_behind);
  }
  dnnl::convolution_backward_weights::primitive_desc backward_weights(bool with_bias) const {
    const auto direct = algorithm::convolution_direct;
    if (with_bias) {
      return compat::make_backward<dnnl::convolution_backward_weights>(
          onednn::engine(), onednn::attributes(), forward(true), direct, x, weight, bias, y,
          strides, dilation, padding, padding_behind);
    }
    return compat::make_backward<dnnl::convolution_backward_weights>(
        onednn::engine(), onednn::attributes(), forward(false), direct, x, weight, y, strides,
        dilation, padding, padding_behind);
  }

  compat::desc x, y, bias;
  compat::dims weight_dims;
  compat::desc plain_weight, weight;
  compat::dims strides, dilation, padding, padding_behind;

 private:
  // As in front, unless the last window reaches further.
  static int64_t behind(int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                        int64_t dilation, int64_t output) {
    return std::max(padding, (output - 1) * stride + dilation * (kernel - 1) + 1 - size - padding);
  }
};

Key key_of(const char* op, const ConvShape& s, bool with_bias) {
  Key key(op);
  for (int64_t value :
       {s.n, s.c, s.h, s.w, s.k, s.r, s.s, s.stride.h, s.stride.w, s.padding.h, s.padding.w,
        s.dilation.h, s.dilation.w, s.out_h, s.out_w, s.groups, int64_t{with_bias}}) {
    key.add(value);
  }
  return key;
}

// Where index i of an axis lies in a blocked layout. An element's place is the sum over its axes.
std::vector<int64_t> places(const compat::Blocking& blocking, int64_t axis, int64_t size) {
  std::vector<int64_t> result(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) {
    int64_t rest = i, step = 1, place = 0;
    for (size_t b = blocking.inner_sizes.size(); b-- > 0; step *= blocking.inner_sizes[b]) {
      if (blocking.inner_axes[b] != axis) continue;
      place += rest % blocking.inner_sizes[b] * step;
      rest /= blocking.inner_sizes[b];
    }
    result[static_cast<size_t>(i)] = place + rest * blocking.strides[static_cast<size_t>(axis)];
  }
  return result;
}

// How far the places of consecutive indices are consecutive.
int64_t run_of(const std::vector<int64_t>& places) {
  size_t run = 1;
  while (run < places.size() && places[run] == places[run - 1] + 1) ++run;
  return static_cast<int64_t>(run);
}

// The layout of weights that a primitive wants, OIHW on our side.
class WeightLayout {
 public:
  WeightLayout(const ConvShape& shape, const compat::desc& wanted)
      : shape_(shape), wanted_(wanted), plain_(wanted == Descriptors(shape).plain_weight) {
    if (!compat::is_blocked(wanted)) fail("conv2d", "oneDNN wants weights in an unknown layout");
  }

  // Whether it is OIHW, so that nothing has to be packed.
  bool plain() const { return plain_; }
  int64_t size() const { return static_cast<int64_t>(wanted_.get_size() / sizeof(float)); }

  void pack(const float* w, float* packed) const {
    if (size() > shape_.k * fan_in()) std::memset(packed, 0, wanted_.get_size());
    for_each_line([=](int64_t plain, int64_t step, int64_t place, int64_t count) {
      const float* from = w + plain;
      float* to = packed + place;
      // Four at once: single stores fill the processor's queue with one line of memory.
      for (; count >= kLanes; count -= kLanes, from += kLanes * step, to += kLanes) {
        store(to, Vec{from[0], from[step], from[2 * step], from[3 * step]});
      }
      for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
    });
  }
  // w = or, with `add`, w += packed weights.
  void unpack(const float* packed, bool add, float* w) const {
    for_each_line([=](int64_t plain, int64_t step, int64_t place, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        float& weight = w[plain + i * step];
        weight = add ? weight + packed[place + i] : packed[place + i];
      }
    });
  }

 private:
  static constexpr int64_t kBlock = 16;  // channels that stay in the cache together

  int64_t fan_in() const { return shape_.c / shape_.groups * shape_.r * shape_.s; }

  // Calls f(plain, step, place, count) for lines of weights that lie at plain, plain + step, ... in
  // OIHW and one after the other at `place` in the packed layout.
  template <class F>
  void for_each_line(F f) const {
    const auto blocking = compat::blocking(wanted_);
    const int64_t axis = shape_.groups == 1 ? 0 : 1;  // of the output channels
    const int64_t outputs = shape_.k / shape_.groups, inputs = shape_.c / shape_.groups;
    const auto of_group = axis ? places(blocking, 0, shape_.groups) : std::vector<int64_t>{0};
    const auto of_output = places(blocking, axis, outputs);
    const auto of_input = places(blocking, axis + 1, inputs);
    std::vector<int64_t> of_pixel;
    for (int64_t row : places(blocking, axis + 2, shape_.r)) {
      for (int64_t column : places(blocking, axis + 3, shape_.s)) of_pixel.push_back(row + column);
    }
    const auto pixels = static_cast<int64_t>(of_pixel.size());
    // A block of output and input channels has all its lines along one of the two axes.
    const bool along_outputs = run_of(of_output) >= run_of(of_input);
    const int64_t line = run_of(along_outputs ? of_output : of_input);
    const int64_t block = along_outputs ? line : kBlock, depth = along_outputs ? kBlock : line;
    const int64_t blocks = divide_up(outputs, block);
    const int64_t grain = kGrain / (block * fan_in()) + 1;
    parallel_for(shape_.groups * blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        const int64_t group = part / blocks, first = part % blocks * block;
        const int64_t outs = std::min(block, outputs - first);
        const auto start_line = [&](int64_t o, int64_t i, int64_t p, int64_t step, int64_t count) {
          f(((group * outputs + o) * inputs + i) * pixels + p, step,
            of_group[static_cast<size_t>(group)] + of_output[static_cast<size_t>(o)] +
                of_input[static_cast<size_t>(i)] + of_pixel[static_cast<size_t>(p)],
            count);
        };
        for (int64_t from = 0; from < inputs; from += depth) {
          const int64_t ins = std::min(depth, inputs - from);
          for (int64_t o = 0; o < (along_outputs ? 1 : outs); ++o) {
            for (int64_t i = 0; i < (along_outputs ? ins : 1); ++i) {
              for (int64_t p = 0; p < pixels; ++p) {
                start_line(first + o, from + i, p, along_outputs ? inputs * pixels : pixels,
                           along_outputs ? outs : ins);
              }
            }
          }
        }
      }
    });
  }

  const ConvShape& shape_;
  const compat::desc& wanted_;
  bool plain_;
};

// Weights as a primitive wants them, for as long as the object lives.
class PackedWeights {
 public:
  PackedWeights(const ConvShape& shape, const compat::desc& wanted, const float* w)
      : layout_(shape, wanted), memory_(layout_.plain() ? 0 : wanted.get_size()) {
    if (!layout_.plain()) layout_.pack(w, memory_.as<float>());
    data_ = layout_.plain() ? w : memory_.as<float>();
  }
  const float* data() const { return data_; }

 private:
  WeightLayout layout_;
  tern::memory::Scratch memory_;
  const float* data_;
};

/// The gradient of the weights (and the bias) from some images, with all the memory that it takes.
class WeightGradient {
 public:
  WeightGradient(const ConvShape& shape, bool with_bias)
      : shape_(shape),
        primitive_(create(with_bias)),
        layout_(shape_, primitive_->layout(DNNL_ARG_DIFF_WEIGHTS)),
        scratchpad_(primitive_->scratchpad_bytes() + overrun(shape)),
        packed_(sizeof(float) * static_cast<size_t>(layout_.size())),
        bias_(with_bias ? sizeof(float) * static_cast<size_t>(shape.k) : 0) {}
  WeightGradient(const WeightGradient&) = delete;

  void compute(const float* x, const float* dy) const {
    primitive_->execute({{DNNL_ARG_SRC, x},
                         {DNNL_ARG_DIFF_DST, dy},
                         {DNNL_ARG_DIFF_WEIGHTS, packed_.as<float>()},
                         {DNNL_ARG_DIFF_BIAS, bias_.as<float>()}},
                        scratchpad_.as<void>());
  }
  /// Writes what was computed to dw and db, or adds it.
  void give(bool add, float* dw, float* db) const {
    layout_.unpack(packed_.as<float>(), add, dw);
    for (int64_t i = 0; db && i < shape_.k; ++i) {
      db[i] = add ? db[i] + bias_.as<float>()[i] : bias_.as<float>()[i];
    }
  }

 private:
  std::shared_ptr<const Primitive> create(bool with_bias) const {
    return onednn::cached(key_of("conv2d_backward_weights", shape_, with_bias), [&] {
      const auto pd = Descriptors(shape_).backward_weights(with_bias);
      return Primitive::make<dnnl::convolution_backward_weights>(
          pd, {{DNNL_ARG_SRC, pd.src_desc()},
               {DNNL_ARG_DIFF_DST, pd.diff_dst_desc()},
               {DNNL_ARG_DIFF_WEIGHTS, pd.diff_weights_desc()},
               {DNNL_ARG_DIFF_BIAS, pd.diff_bias_desc()}});
    });
  }

  // On AVX2, oneDNN 2.6 gathers the pixels of a 1x1 convolution with stride in its scratchpad,
  // eight channels at a time, and allocates as many as there are. With 3 channels it writes
  // past the end.
  static size_t overrun(const ConvShape& s) {
    const bool gathers = s.r == 1 && s.s == 1 && s.stride != Size2d(1);
    return gathers ? sizeof(float) * static_cast<size_t>(8 * s.out_h * s.out_w) : 0;
  }

  ConvShape shape_;
  std::shared_ptr<const Primitive> primitive_;
  WeightLayout layout_;
  tern::memory::Scratch scratchpad_, packed_, bias_;
};

}  // namespace

namespace direct {

static std::shared_ptr<const Primitive> forward_primitive(const ConvShape& shape, bool with_bias) {
  return onednn::cached(key_of("conv2d", shape, with_bias), [&] {
    const auto pd = Descriptors(shape).forward(with_bias);
    return Primitive::make<dnnl::convolution_forward>(pd, {{DNNL_ARG_SRC, pd.src_desc()},
                                                           {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                                           {DNNL_ARG_BIAS, pd.bias_desc()},
                                                           {DNNL_ARG_DST, pd.dst_desc()}});
  });
}

// oneDNN's "brgconv" (3: "brg_conv_fwd") cuts images into pieces by the number of threads, and at
// padded edges the pieces decide how sums are rounded. Whether it is what computes the shape, and
// if so y, one thread an image.
static bool forward_by_image(const ConvShape& shape, const float* x, const float* w,
                             const float* bias, float* y) {
  const onednn::ThreadLimit one(1);
  ConvShape image = shape;
  image.n = 1;
  const auto primitive = forward_primitive(image, bias != nullptr);
  if (!primitive->implementation().starts_with("brg")) return false;
  const PackedWeights weights(image, primitive->layout(DNNL_ARG_WEIGHTS), w);
  const int64_t parts = std::min<int64_t>(num_threads(), shape.n);
  const size_t scratch_bytes = (primitive->scratchpad_bytes() + 63) / 64 * 64;
  const tern::memory::Scratch scratch(scratch_bytes * static_cast<size_t>(parts));
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    const onednn::ThreadLimit also_here(1);
    for (int64_t part = begin; part < end; ++part) {
      for (int64_t i = shape.n * part / parts; i < shape.n * (part + 1) / parts; ++i) {
        primitive->execute({{DNNL_ARG_SRC, x + i * shape.c * shape.h * shape.w},
                            {DNNL_ARG_WEIGHTS, weights.data()},
                            {DNNL_ARG_BIAS, bias},
                            {DNNL_ARG_DST, y + i * shape.k * shape.out_h * shape.out_w}},
                           scratch.as<char>() + scratch_bytes * static_cast<size_t>(part));
      }
    }
  });
  return true;
}

void forward(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y) {
  onednn::guarded("conv2d", [&] {
    if (deterministic() && forward_by_image(shape, x, w, bias, y)) return;
    const Team team;
    const onednn::ThreadLimit limit(team.size());
    const auto primitive = forward_primitive(shape, bias != nullptr);
    const PackedWeights weights(shape, primitive->layout(DNNL_ARG_WEIGHTS), w);
    primitive->execute({{DNNL_ARG_SRC, x},
                        {DNNL_ARG_WEIGHTS, weights.data()},
                        {DNNL_ARG_BIAS, bias},
                        {DNNL_ARG_DST, y}});
  });
}

void backward_data(const ConvShape& shape, const float* dy, const float* w, float* dx) {
  onednn::guarded("conv2d backward", [&] {
    const Team team;
    const onednn::ThreadLimit limit(team.size());
    const auto primitive = onednn::cached(key_of("conv2d_backward_data", shape, false), [&] {
      const auto pd = Descriptors(shape).backward_data();
      return Primitive::make<dnnl::convolution_backward_data>(
          pd, {{DNNL_ARG_DIFF_DST, pd.diff_dst_desc()},
               {DNNL_ARG_WEIGHTS, pd.weights_desc()},
               {DNNL_ARG_DIFF_SRC, pd.diff_src_desc()}});
    });
    const PackedWeights weights(shape, primitive->layout(DNNL_ARG_WEIGHTS), w);
    primitive->execute(
        {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, weights.data()}, {DNNL_ARG_DIFF_SRC, dx}});
  });
}

void backward_weights(const ConvShape& shape, const float* x, const float* dy, float* dw,
                      float* db) {
  onednn::guarded("conv2d backward", [&] {
    // oneDNN would add up parts that depend on how many threads it has. These parts are ours.
    const int64_t parts = std::min<int64_t>(deterministic() ? 8 : num_threads(), shape.n);
    const auto first = [&](int64_t part) { return shape.n * part / parts; };
    std::deque<WeightGradient> gradients;
    for (int64_t part = 0; part < parts; ++part) {
      const onednn::ThreadLimit one(1);
      ConvShape images = shape;
      images.n = first(part + 1) - first(part);
      gradients.emplace_back(images, db != nullptr);
    }
    parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
      const onednn::ThreadLimit one(1);
      for (int64_t part = begin; part < end; ++part) {
        gradients[static_cast<size_t>(part)].compute(
            x + first(part) * shape.c * shape.h * shape.w,
            dy + first(part) * shape.k * shape.out_h * shape.out_w);
      }
    });
    for (size_t part = 0; part < gradients.size(); ++part) {
      gradients[part].give(part > 0, dw, db);
    }
  });
}

}  // namespace direct

}  // namespace tern::kernels
