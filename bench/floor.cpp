// SPDX-License-Identifier: Apache-2.0
// The time of the layers in oneDNN alone.
#include <algorithm>
#include <dnnl.hpp>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

#include "../core/internal/onednn_compat.h"
#include "../core/internal/parallel.h"
#include "layers.h"
#include "timing.h"

namespace bench {

namespace {

namespace compat = tern::onednn::compat;
using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using tern::Shape;
using Tag = memory::format_tag;

constexpr double kNone = std::numeric_limits<double>::infinity();

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::desc describe(const Shape& s, Tag tag) {
  return {memory::dims(s.begin(), s.end()), memory::data_type::f32, tag};
}

/// The median time of a primitive, with its own memory for every argument whose layout is not
/// empty. Reference implementations do not count.
template <class Primitive>
double time(const typename Primitive::primitive_desc& pd,
            std::initializer_list<std::pair<int, memory::desc>> arguments) {
  if (std::string(pd.impl_info_str()).find("ref") != std::string::npos) return kNone;
  const Primitive primitive(pd);
  std::unordered_map<int, memory> memories;
  for (const auto& [argument, layout] : arguments) {
    if (layout.get_size() == 0) continue;
    memory block(layout, engine());
    const size_t numbers = layout.get_size() / sizeof(float);
    const float value = argument == DNNL_ARG_WORKSPACE ? 0.0f : 1.0f;
    std::fill_n(static_cast<float*>(block.get_data_handle()), numbers, value);
    memories.emplace(argument, std::move(block));
  }
  dnnl::stream stream(engine());
  return median_milliseconds([&] {
    primitive.execute(stream, memories);
    stream.wait();
  });
}

/// The best over the layouts that the input of a layer without weights may have.
template <class F>
double best_layout(const Shape& s, const F& ms) {
  if (s.size() == 2) return ms(describe(s, Tag::ab));
  double best = kNone;
  for (const Tag tag : {Tag::nhwc, Tag::nChw16c, Tag::nChw8c}) {
    if (tag != Tag::nhwc && s[1] % 16 != 0) continue;
    best = std::min(best, ms(describe(s, tag)));
  }
  return best;
}

double conv(const Layer& layer, bool training, algorithm how) {
  const Shape& s = layer.x;
  const int64_t pad = layer.kernel / 2, stride = layer.stride;
  const auto x = describe(s, Tag::any);
  const auto w = describe({layer.out, s[1], layer.kernel, layer.kernel}, Tag::any);
  const auto b = describe({layer.out}, Tag::x);
  const auto y = describe({s[0], layer.out, (s[2] + 2 * pad - layer.kernel) / stride + 1,
                           (s[3] + 2 * pad - layer.kernel) / stride + 1},
                          Tag::any);
  const memory::dims strides{stride, stride}, padding{pad, pad}, dilation{0, 0};
  if (!training) {
    const auto pd = [&] {
      const auto kind = prop_kind::forward_inference;
      if (layer.bias) {
        return compat::make<dnnl::convolution_forward>(engine(), {}, kind, how, x, w, b, y, strides,
                                                       dilation, padding, padding);
      }
      return compat::make<dnnl::convolution_forward>(engine(), {}, kind, how, x, w, y, strides,
                                                     dilation, padding, padding);
    }();
    return time<dnnl::convolution_forward>(pd, {{DNNL_ARG_SRC, pd.src_desc()},
                                                {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                                {DNNL_ARG_BIAS, b},
                                                {DNNL_ARG_DST, pd.dst_desc()}});
  }
  const auto forward = compat::make<dnnl::convolution_forward>(
      engine(), {}, prop_kind::forward_training, how, x, w, y, strides, dilation, padding, padding);
  double sum = time<dnnl::convolution_forward>(forward, {{DNNL_ARG_SRC, forward.src_desc()},
                                                         {DNNL_ARG_WEIGHTS, forward.weights_desc()},
                                                         {DNNL_ARG_DST, forward.dst_desc()}});
  const auto weights = compat::make_backward<dnnl::convolution_backward_weights>(
      engine(), {}, forward, how, x, w, y, strides, dilation, padding, padding);
  sum += time<dnnl::convolution_backward_weights>(
      weights, {{DNNL_ARG_SRC, weights.src_desc()},
                {DNNL_ARG_DIFF_DST, weights.diff_dst_desc()},
                {DNNL_ARG_DIFF_WEIGHTS, weights.diff_weights_desc()}});
  if (layer.first) return sum;
  const auto data = compat::make_backward<dnnl::convolution_backward_data>(
      engine(), {}, forward, how, x, w, y, strides, dilation, padding, padding);
  return sum +
         time<dnnl::convolution_backward_data>(data, {{DNNL_ARG_DIFF_DST, data.diff_dst_desc()},
                                                      {DNNL_ARG_WEIGHTS, data.weights_desc()},
                                                      {DNNL_ARG_DIFF_SRC, data.diff_src_desc()}});
}

// oneDNN has Winograd only for some shapes, processors and versions.
double winograd(const Layer& layer, bool training) {
  try {
    return conv(layer, training, algorithm::convolution_winograd);
  } catch (const dnnl::error&) {
    return kNone;
  }
}

double matmul(int64_t m, int64_t k, int64_t n, Tag a, Tag b) {
  const auto x = describe({m, k}, a), w = describe({k, n}, b), y = describe({m, n}, Tag::ab);
  const auto pd = compat::make<dnnl::matmul>(engine(), {}, x, w, y);
  return time<dnnl::matmul>(pd, {{DNNL_ARG_SRC, pd.src_desc()},
                                 {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                 {DNNL_ARG_DST, pd.dst_desc()}});
}

double linear(const Layer& layer, bool training) {
  const int64_t n = layer.x[0], in = layer.x[1], out = layer.out;
  double sum =
      std::min(matmul(n, in, out, Tag::ab, Tag::ba), matmul(n, in, out, Tag::ab, Tag::any));
  if (!training) return sum;
  sum += matmul(out, n, in, Tag::ba, Tag::ab);
  return layer.first ? sum : sum + matmul(n, out, in, Tag::ab, Tag::ab);
}

double batch_norm(const memory::desc& data, int64_t channels, bool training, bool relu) {
  using dnnl::normalization_flags;
  auto flags = normalization_flags::use_scale | normalization_flags::use_shift;
  if (relu) flags |= normalization_flags::fuse_norm_relu;
  if (!training) flags |= normalization_flags::use_global_stats;
  const auto line = describe({channels}, Tag::x);
  const auto forward = compat::batch_norm_forward(
      engine(), {}, training ? prop_kind::forward_training : prop_kind::forward_inference, data,
      1e-5f, flags);
  const double ms = time<dnnl::batch_normalization_forward>(
      forward, {{DNNL_ARG_SRC, data},
                {DNNL_ARG_DST, data},
                {DNNL_ARG_MEAN, line},
                {DNNL_ARG_VARIANCE, line},
                {DNNL_ARG_SCALE, line},
                {DNNL_ARG_SHIFT, line},
                {DNNL_ARG_WORKSPACE, forward.workspace_desc()}});
  if (!training) return ms;
  const auto backward =
      compat::batch_norm_backward(engine(), {}, forward, prop_kind::backward, data, 1e-5f, flags);
  const auto shift = compat::kBatchNormBackwardTakesShift ? line : memory::desc();
  return ms + time<dnnl::batch_normalization_backward>(
                  backward, {{DNNL_ARG_SRC, data},
                             {DNNL_ARG_DIFF_DST, data},
                             {DNNL_ARG_DIFF_SRC, data},
                             {DNNL_ARG_MEAN, line},
                             {DNNL_ARG_VARIANCE, line},
                             {DNNL_ARG_SCALE, line},
                             {DNNL_ARG_SHIFT, shift},
                             {DNNL_ARG_DIFF_SCALE, line},
                             {DNNL_ARG_DIFF_SHIFT, line},
                             {DNNL_ARG_WORKSPACE, forward.workspace_desc()}});
}

double add(const memory::desc& data) {
  const auto pd = compat::make<dnnl::binary>(engine(), {}, algorithm::binary_add, data, data, data);
  return time<dnnl::binary>(pd,
                            {{DNNL_ARG_SRC_0, data}, {DNNL_ARG_SRC_1, data}, {DNNL_ARG_DST, data}});
}

dnnl::eltwise_forward::primitive_desc eltwise_pd(const memory::desc& data, algorithm function) {
  return compat::eltwise_forward(engine(), {}, function, data, 0, 0);
}

double eltwise_backward(const memory::desc& data, algorithm function) {
  const auto pd =
      compat::eltwise_backward(engine(), {}, eltwise_pd(data, function), function, data, 0, 0);
  return time<dnnl::eltwise_backward>(
      pd, {{DNNL_ARG_SRC, data}, {DNNL_ARG_DIFF_DST, data}, {DNNL_ARG_DIFF_SRC, data}});
}

double eltwise(const memory::desc& data, algorithm function, bool training) {
  const double ms = time<dnnl::eltwise_forward>(eltwise_pd(data, function),
                                                {{DNNL_ARG_SRC, data}, {DNNL_ARG_DST, data}});
  return training ? ms + eltwise_backward(data, function) : ms;
}

// oneDNN 3 takes a dilation as well.
template <class Pool>
typename Pool::primitive_desc pool_pd(prop_kind kind, algorithm how, const memory::desc& x,
                                      const memory::desc& y, const memory::dims& window) {
  const memory::dims none{0, 0};
  if constexpr (DNNL_VERSION_MAJOR >= 3) {
    return compat::make<Pool>(engine(), {}, kind, how, x, y, window, window, none, none, none);
  } else {
    return compat::make<Pool>(engine(), {}, kind, how, x, y, window, window, none, none);
  }
}
template <class Pool, class Hint>
typename Pool::primitive_desc pool_pd(const Hint& hint, algorithm how, const memory::desc& x,
                                      const memory::desc& y, const memory::dims& window) {
  const memory::dims none{0, 0};
  if constexpr (DNNL_VERSION_MAJOR >= 3) {
    return compat::make_backward<Pool>(engine(), {}, hint, how, x, y, window, window, none, none,
                                       none);
  } else {
    return compat::make_backward<Pool>(engine(), {}, hint, how, x, y, window, window, none, none);
  }
}

double pool(const Shape& s, const memory::desc& x, bool average, bool training) {
  const memory::dims window = average ? memory::dims{s[2], s[3]} : memory::dims{2, 2};
  const auto y = describe({s[0], s[1], s[2] / window[0], s[3] / window[1]}, Tag::any);
  const auto how = average ? algorithm::pooling_avg_exclude_padding : algorithm::pooling_max;
  const auto kind = training ? prop_kind::forward_training : prop_kind::forward_inference;
  const auto forward = pool_pd<dnnl::pooling_forward>(kind, how, x, y, window);
  const double ms =
      time<dnnl::pooling_forward>(forward, {{DNNL_ARG_SRC, x},
                                            {DNNL_ARG_DST, forward.dst_desc()},
                                            {DNNL_ARG_WORKSPACE, forward.workspace_desc()}});
  if (!training) return ms;
  const auto backward =
      pool_pd<dnnl::pooling_backward>(forward, how, x, forward.dst_desc(), window);
  return ms +
         time<dnnl::pooling_backward>(backward, {{DNNL_ARG_DIFF_SRC, x},
                                                 {DNNL_ARG_DIFF_DST, forward.dst_desc()},
                                                 {DNNL_ARG_WORKSPACE, forward.workspace_desc()}});
}

double without_weights(const Layer& layer, bool training) {
  const Shape& s = layer.x;
  return best_layout(s, [&](const memory::desc& data) {
    switch (layer.kind) {
      case Kind::batch_norm:
      case Kind::batch_norm_relu:
        return batch_norm(data, s[1], training, layer.kind == Kind::batch_norm_relu);
      case Kind::add_relu:  // the relu is fused with the addition
        return add(data) + (training ? eltwise_backward(data, algorithm::eltwise_relu) : 0);
      case Kind::join:
        return add(data);
      case Kind::max_pool:
      case Kind::average:
        return pool(s, data, layer.kind == Kind::average, training);
      case Kind::relu:
        return eltwise(data, algorithm::eltwise_relu, training);
      case Kind::tanh:
        return eltwise(data, algorithm::eltwise_tanh, training);
      default:
        return 0.0;
    }
  });
}

Floor floor_of(const Layer& layer, bool training) {
  if (layer.kind == Kind::conv) {
    const double direct = conv(layer, training, algorithm::convolution_direct);
    return {direct, std::min(direct, winograd(layer, training))};
  }
  double ms = 0;
  if (layer.kind == Kind::linear) {
    ms = linear(layer, training);
  } else if (layer.kind == Kind::sgd || layer.kind == Kind::adam) {
    ms = 2 * add(describe(layer.x, Tag::x));
  } else {
    ms = without_weights(layer, training);
  }
  return {ms, ms};
}

}  // namespace

Floor floor_of(const Layers& layers, bool training) {
  const tern::OpenMPThreads as_many;  // oneDNN runs with as many threads as Tern
  Floor sum{0, 0};
  for (const auto& [layer, count] : counted(layers)) {
    const Floor each = floor_of(layer, training);
    sum.direct += count * each.direct;
    sum.winograd += count * each.winograd;
  }
  return sum;
}

}  // namespace bench
