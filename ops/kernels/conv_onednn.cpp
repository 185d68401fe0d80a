// SPDX-License-Identifier: Apache-2.0
// oneDNN's direct convolution. Activations are channels-last; the primitive chooses the layout of
// the weights, which are packed into (or unpacked from) scratch memory at every call.
#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "../../core/error.h"
#include "../../core/memory.h"
#include "../../core/onednn.h"
#include "../../core/parallel.h"
#include "../backend.h"
#include "conv.h"

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
      : x(onednn::describe(Shape{s.n, s.c, s.h, s.w}, Order::channels_last)),
        y(onednn::describe(Shape{s.n, s.k, s.out_h, s.out_w}, Order::channels_last)),
        bias(onednn::describe(Shape{s.k})),
        weight_dims(s.groups == 1
                        ? compat::dims{s.k, s.c, s.r, s.s}
                        : compat::dims{s.groups, s.k / s.groups, s.c / s.groups, s.r, s.s}),
        plain_weight(weight_dims, Type::f32, s.groups == 1 ? Tag::oihw : Tag::goihw),
        weight(weight_dims, Type::f32, Tag::any),
        strides{s.stride.h, s.stride.w},
        dilation{s.dilation.h - 1, s.dilation.w - 1},
        padding{s.padding.h, s.padding.w} {}

  dnnl::convolution_forward::primitive_desc forward(bool with_bias) const {
    const auto kind = dnnl::prop_kind::forward_training;
    const auto direct = algorithm::convolution_direct;
    if (with_bias) {
      return compat::make<dnnl::convolution_forward>(onednn::engine(), onednn::attributes(), kind,
                                                     direct, x, weight, bias, y, strides, dilation,
                                                     padding, padding);
    }
    return compat::make<dnnl::convolution_forward>(onednn::engine(), onednn::attributes(), kind,
                                                   direct, x, weight, y, strides, dilation, padding,
                                                   padding);
  }
  dnnl::convolution_backward_data::primitive_desc backward_data() const {
    return compat::make_backward<dnnl::convolution_backward_data>(
        onednn::engine(), onednn::attributes(), forward(false), algorithm::convolution_direct, x,
        weight, y, strides, dilation, padding, padding);
  }
  dnnl::convolution_backward_weights::primitive_desc backward_weights(bool with_bias) const {
    const auto direct = algorithm::convolution_direct;
    if (with_bias) {
      return compat::make_backward<dnnl::convolution_backward_weights>(
          onednn::engine(), onednn::attributes(), forward(true), direct, x, weight, bias, y,
          strides, dilation, padding, padding);
    }
    return compat::make_backward<dnnl::convolution_backward_weights>(
        onednn::engine(), onednn::attributes(), forward(false), direct, x, weight, y, strides,
        dilation, padding, padding);
  }

  compat::desc x, y, bias;
  compat::dims weight_dims;
  compat::desc plain_weight, weight;
  compat::dims strides, dilation, padding;
};

Key key_of(const char* op, const ConvShape& s, bool with_bias) {
  Key key(op);
  for (int64_t value : {s.n, s.c, s.h, s.w, s.k, s.r, s.s, s.stride.h, s.stride.w, s.padding.h,
                        s.padding.w, s.dilation.h, s.dilation.w, s.groups, int64_t{with_bias}}) {
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

// Weights in the layout that a primitive wants, OIHW on our side.
class PackedWeights {
 public:
  PackedWeights(const ConvShape& shape, const compat::desc& wanted)
      : shape_(shape),
        wanted_(wanted),
        same_(wanted == Descriptors(shape).plain_weight),
        scratch_(same_ ? 0 : wanted.get_size()) {
    if (!compat::is_blocked(wanted)) fail("conv2d", "oneDNN wants weights in an unknown layout");
  }

  // `w` packed.
  const float* pack(const float* w) const {
    if (same_) return w;
    float* packed = memory();
    const auto plain_bytes = sizeof(float) * static_cast<size_t>(shape_.k * fan_in());
    if (wanted_.get_size() > plain_bytes) std::memset(packed, 0, wanted_.get_size());
    for_each([=](int64_t plain, int64_t place) { packed[place] = w[plain]; });
    return packed;
  }
  // Where a primitive may write weights that end up in `w`, and the way from there.
  float* target(float* w) const { return same_ ? w : memory(); }
  void unpack(float* w) const {
    if (same_) return;
    const float* packed = memory();
    for_each([=](int64_t plain, int64_t place) { w[plain] = packed[place]; });
  }

 private:
  static constexpr int64_t kBlock = 16;  // channels that a layout keeps together

  float* memory() const { return scratch_.as<float>(); }
  int64_t fan_in() const { return shape_.c / shape_.groups * shape_.r * shape_.s; }

  // Calls f(index in OIHW, place in the packed layout) for every weight.
  template <class F>
  void for_each(F f) const {
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
    const int64_t blocks = (outputs + kBlock - 1) / kBlock;
    const int64_t grain = 32768 / (kBlock * fan_in()) + 1;
    // The innermost loop runs along the packed layout's lines.
    const bool lines_of_inputs = inputs > 1 && of_input[1] == of_input[0] + 1;
    parallel_for(shape_.groups * blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        const int64_t group = part / blocks, first = part % blocks * kBlock;
        const int64_t last = std::min(first + kBlock, outputs);
        const auto visit = [&, start = of_group[static_cast<size_t>(group)]](int64_t o, int64_t i,
                                                                             int64_t p) {
          f(((group * outputs + o) * inputs + i) * pixels + p,
            start + of_output[static_cast<size_t>(o)] + of_input[static_cast<size_t>(i)] +
                of_pixel[static_cast<size_t>(p)]);
        };
        for (int64_t from = 0; from < inputs; from += kBlock) {
          const int64_t to = std::min(from + kBlock, inputs);
          if (lines_of_inputs) {
            for (int64_t o = first; o < last; ++o) {
              for (int64_t p = 0; p < pixels; ++p) {
                for (int64_t i = from; i < to; ++i) visit(o, i, p);
              }
            }
          } else {
            for (int64_t i = from; i < to; ++i) {
              for (int64_t p = 0; p < pixels; ++p) {
                for (int64_t o = first; o < last; ++o) visit(o, i, p);
              }
            }
          }
        }
      }
    });
  }

  const ConvShape& shape_;
  const compat::desc& wanted_;
  bool same_;
  tern::memory::Scratch scratch_;
};

/// The gradient of the weights from some images, with all the memory that it takes.
class WeightGradient {
 public:
  WeightGradient(const ConvShape& shape, bool with_bias)
      : shape_(shape),
        primitive_(create(with_bias)),
        weights_(shape_, primitive_->layout(DNNL_ARG_DIFF_WEIGHTS)),
        scratchpad_(primitive_->scratchpad_bytes()) {}

  void compute(const float* x, const float* dy, float* dw, float* db) const {
    primitive_->execute({{DNNL_ARG_SRC, x},
                         {DNNL_ARG_DIFF_DST, dy},
                         {DNNL_ARG_DIFF_WEIGHTS, weights_.target(dw)},
                         {DNNL_ARG_DIFF_BIAS, db}},
                        scratchpad_.as<void>());
    weights_.unpack(dw);
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

  ConvShape shape_;
  std::shared_ptr<const Primitive> primitive_;
  PackedWeights weights_;
  tern::memory::Scratch scratchpad_;
};

/// sum = parts[0] + parts[1] + ..., which lie `size` numbers apart
void add_up(int64_t parts, const float* numbers, int64_t size, int64_t begin, int64_t end,
            float* sum) {
  std::copy(numbers + begin, numbers + end, sum);
  for (int64_t part = 1; part < parts; ++part) {
    const float* other = numbers + part * size + begin;
    for (int64_t i = 0; i < end - begin; ++i) sum[i] += other[i];
  }
}

}  // namespace

void conv_forward_onednn(const ConvShape& shape, const float* x, const float* w, const float* bias,
                         float* y) {
  onednn::guarded("conv2d", [&] {
    const Team team;
    const onednn::ThreadLimit limit(team.size());
    const auto primitive = onednn::cached(key_of("conv2d", shape, bias != nullptr), [&] {
      const auto pd = Descriptors(shape).forward(bias != nullptr);
      return Primitive::make<dnnl::convolution_forward>(pd, {{DNNL_ARG_SRC, pd.src_desc()},
                                                             {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                                             {DNNL_ARG_BIAS, pd.bias_desc()},
                                                             {DNNL_ARG_DST, pd.dst_desc()}});
    });
    const PackedWeights weights(shape, primitive->layout(DNNL_ARG_WEIGHTS));
    primitive->execute({{DNNL_ARG_SRC, x},
                        {DNNL_ARG_WEIGHTS, weights.pack(w)},
                        {DNNL_ARG_BIAS, bias},
                        {DNNL_ARG_DST, y}});
  });
}

void conv_backward_data_onednn(const ConvShape& shape, const float* dy, const float* w, float* dx) {
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
    const PackedWeights weights(shape, primitive->layout(DNNL_ARG_WEIGHTS));
    primitive->execute(
        {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, weights.pack(w)}, {DNNL_ARG_DIFF_SRC, dx}});
  });
}

void conv_backward_weights_onednn(const ConvShape& shape, const float* x, const float* dy,
                                  float* dw, float* db) {
  onednn::guarded("conv2d backward", [&] {
    // oneDNN would add up parts that depend on how many threads it has. These parts are ours.
    const int64_t parts = std::min<int64_t>(deterministic() ? 8 : num_threads(), shape.n);
    if (parts == 1) {
      WeightGradient(shape, db != nullptr).compute(x, dy, dw, db);
      return;
    }
    const auto first = [&](int64_t part) { return shape.n * part / parts; };
    std::deque<WeightGradient> gradients;
    for (int64_t part = 0; part < parts; ++part) {
      const onednn::ThreadLimit one(1);
      ConvShape images = shape;
      images.n = first(part + 1) - first(part);
      gradients.emplace_back(images, db != nullptr);
    }
    const int64_t weights = shape.k * shape.c / shape.groups * shape.r * shape.s;
    const int64_t size = weights + (db ? shape.k : 0);
    const tern::memory::Scratch scratch(sizeof(float) * static_cast<size_t>(parts * size));
    float* numbers = scratch.as<float>();
    parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
      const onednn::ThreadLimit one(1);
      for (int64_t part = begin; part < end; ++part) {
        float* target = numbers + part * size;
        gradients[static_cast<size_t>(part)].compute(
            x + first(part) * shape.c * shape.h * shape.w,
            dy + first(part) * shape.k * shape.out_h * shape.out_w, target,
            db ? target + weights : nullptr);
      }
    });
    parallel_for(weights, 16384, [&](int64_t begin, int64_t end) {
      add_up(parts, numbers, size, begin, end, dw + begin);
    });
    if (db) add_up(parts, numbers, size, weights, size, db);
  });
}

}  // namespace tern::kernels
