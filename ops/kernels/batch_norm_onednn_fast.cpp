// SPDX-License-Identifier: Apache-2.0
// float32 batch norm on oneDNN's fused primitives. They normalize with statistics that are given:
// for a batch Tern's own, which neither the layout nor the number of threads changes. The backward
// sums per thread, so its bits depend on the number of threads, and it takes the mean as a float.
#include <algorithm>
#include <cmath>
#include <vector>

#include "../../core/internal/memory.h"
#include "../../core/internal/onednn.h"
#include "batch_norm.h"

namespace tern::kernels::batch_norm::onednn {

namespace {

namespace compat = tern::onednn::compat;
using dnnl::normalization_flags;
using tern::onednn::Key;
using tern::onednn::Primitive;

// The bytes as [images, C, pixels, 1] in either order. Where channels do not lie innermost, what
// lies outside of them counts as images: also of N,W,C,H, which a channels-last N,H,W,C tensor is.
dnnl::memory::desc describe(const Problem<float>& p) {
  int64_t images = p.primitive_images;
  const bool channels_last = p.layout.inner == 1;
  if (!channels_last) images = p.layout.outer;
  return tern::onednn::describe(
      Shape{images, p.layout.channels, p.layout.count() / images, 1},
      channels_last ? MemoryFormat::channels_last : MemoryFormat::row_major);
}

normalization_flags flags(bool relu) {
  const auto affine = normalization_flags::use_scale | normalization_flags::use_shift;
  return relu ? affine | normalization_flags::fuse_norm_relu : affine;
}

auto forward_desc(const Problem<float>& p) {
  return compat::batch_norm_forward(tern::onednn::engine(), tern::onednn::attributes(),
                                    dnnl::prop_kind::forward_training, describe(p),
                                    static_cast<float>(p.eps),
                                    flags(p.relu) | normalization_flags::use_global_stats);
}

Key key_of(const char* op, const Problem<float>& p, bool of_batch) {
  Key key(op);
  for (int64_t value : {p.primitive_images, p.layout.channels, p.layout.outer, p.layout.inner,
                        int64_t{p.relu}, int64_t{of_batch}}) {
    key.add(value);
  }
  return key.add(p.eps);
}

std::shared_ptr<const Primitive> forward_primitive(const Problem<float>& p) {
  return tern::onednn::cached(key_of("batch_norm", p, false), [&] {
    const auto pd = forward_desc(p);
    const auto channels = tern::onednn::describe(Shape{p.layout.channels});
    return Primitive::make<dnnl::batch_normalization_forward>(
        pd, {{DNNL_ARG_SRC, pd.src_desc()},
             {DNNL_ARG_DST, pd.dst_desc()},
             {DNNL_ARG_MEAN, channels},
             {DNNL_ARG_VARIANCE, channels},
             {DNNL_ARG_SCALE, channels},
             {DNNL_ARG_SHIFT, channels},
             {DNNL_ARG_WORKSPACE, pd.workspace_desc()}});
  });
}

std::shared_ptr<const Primitive> backward_primitive(const Problem<float>& p, bool of_batch) {
  return tern::onednn::cached(key_of("batch_norm backward", p, of_batch), [&] {
    // Statistics of the batch are given to the forward, but the gradient flows through them: the
    // backward must not be told that they were given.
    const auto hint = forward_desc(p);
    const auto pd = compat::batch_norm_backward(
        tern::onednn::engine(), tern::onednn::attributes(), hint, dnnl::prop_kind::backward,
        describe(p), static_cast<float>(p.eps),
        of_batch ? flags(p.relu) : flags(p.relu) | normalization_flags::use_global_stats);
    const auto channels = tern::onednn::describe(Shape{p.layout.channels});
    return Primitive::make<dnnl::batch_normalization_backward>(
        pd, {{DNNL_ARG_SRC, pd.src_desc()},
             {DNNL_ARG_DIFF_DST, pd.diff_dst_desc()},
             {DNNL_ARG_DIFF_SRC, pd.diff_src_desc()},
             {DNNL_ARG_MEAN, channels},
             {DNNL_ARG_VARIANCE, channels},
             {DNNL_ARG_SCALE, channels},
             {DNNL_ARG_SHIFT, channels},
             {DNNL_ARG_DIFF_SCALE, channels},
             {DNNL_ARG_DIFF_SHIFT, channels},
             {DNNL_ARG_WORKSPACE, pd.workspace_desc()}});
  });
}

// What the primitives take per channel. The part of the mean that a float loses goes into the
// shift, which keeps y exact where the mean is large.
struct Channels {
  Channels(const Problem<float>& p, const Statistics& statistics) {
    const auto count = static_cast<size_t>(p.layout.channels);
    for (auto* values : {&mean, &var, &scale, &shift}) values->resize(count);
    rest.resize(count);
    for (size_t c = 0; c < count; ++c) {
      mean[c] = static_cast<float>(statistics.mean[c]);
      var[c] = static_cast<float>(statistics.var[c]);
      scale[c] = p.weight ? p.weight[c] : 1.0f;
      rest[c] = (statistics.mean[c] - static_cast<double>(mean[c])) *
                inverse_std(statistics.var[c], p.eps, statistics.of_batch);
      if (!std::isfinite(rest[c])) rest[c] = 0;
      shift[c] = static_cast<float>((p.bias ? static_cast<double>(p.bias[c]) : 0.0) -
                                    static_cast<double>(scale[c]) * rest[c]);
    }
  }
  std::vector<float> mean, var, scale, shift;
  std::vector<double> rest;  // of the mean, in standard deviations
};

}  // namespace

size_t workspace_bytes(const Problem<float>& p) {
  size_t bytes = 0;
  if (p.relu) {
    tern::onednn::guarded(
        "batch_norm", [&] { bytes = forward_primitive(p)->layout(DNNL_ARG_WORKSPACE).get_size(); });
  }
  return bytes;
}

void forward(const Problem<float>& p, const Statistics& statistics, float* y) {
  const Channels channels(p, statistics);
  tern::onednn::guarded("batch_norm", [&] {
    forward_primitive(p)->execute({{DNNL_ARG_SRC, p.x},
                                   {DNNL_ARG_DST, y},
                                   {DNNL_ARG_MEAN, channels.mean.data()},
                                   {DNNL_ARG_VARIANCE, channels.var.data()},
                                   {DNNL_ARG_SCALE, channels.scale.data()},
                                   {DNNL_ARG_SHIFT, channels.shift.data()},
                                   {DNNL_ARG_WORKSPACE, p.workspace}});
  });
}

void backward(const Problem<float>& p, const Statistics& statistics, const float* dy,
              const Gradients<float>& gradients) {
  const Channels channels(p, statistics);
  // The primitive writes all three, wanted or not.
  const memory::Scratch scratch(
      gradients.dx ? 0 : static_cast<size_t>(p.layout.count() * p.layout.channels) * sizeof(float));
  std::vector<float> dscale(channels.mean.size()), dshift(channels.mean.size());
  tern::onednn::guarded("batch_norm backward", [&] {
    backward_primitive(p, statistics.of_batch)
        ->execute({{DNNL_ARG_SRC, p.x},
                   {DNNL_ARG_DIFF_DST, dy},
                   {DNNL_ARG_DIFF_SRC, gradients.dx ? gradients.dx : scratch.as<float>()},
                   {DNNL_ARG_MEAN, channels.mean.data()},
                   {DNNL_ARG_VARIANCE, channels.var.data()},
                   {DNNL_ARG_SCALE, channels.scale.data()},
                   {DNNL_ARG_SHIFT,
                    compat::kBatchNormBackwardTakesShift ? channels.shift.data() : nullptr},
                   {DNNL_ARG_DIFF_SCALE, dscale.data()},
                   {DNNL_ARG_DIFF_SHIFT, dshift.data()},
                   {DNNL_ARG_WORKSPACE, p.workspace}});
  });
  for (size_t c = 0; c < dscale.size(); ++c) {
    // sum(dy (x - mean)) with the mean as it is, not as a float.
    if (gradients.dweight) {
      gradients.dweight[c] = static_cast<float>(static_cast<double>(dscale[c]) -
                                                channels.rest[c] * static_cast<double>(dshift[c]));
    }
    if (gradients.dbias) gradients.dbias[c] = dshift[c];
  }
}

}  // namespace tern::kernels::batch_norm::onednn
