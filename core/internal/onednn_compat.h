// SPDX-License-Identifier: Apache-2.0
// The one file that knows what differs between oneDNN 2.x and 3.x.
//
// Descriptors are created in the argument order of oneDNN 3. Silent traps that live here: the bit
// values of normalization_flags changed in 3.0 (never store them as integers), the backward of
// batch norm takes SHIFT as an input on 2.x and rejects it on 3.x, and the reorder of 3.7 loses
// values (uxlfoundation/oneDNN#3280), so that weights are packed by loops of our own.
#pragma once

#include <dnnl.hpp>

namespace tern::onednn::compat {

using dnnl::memory;
using dims = memory::dims;
using desc = memory::desc;

inline constexpr bool kBatchNormBackwardTakesShift = DNNL_VERSION_MAJOR < 3;

/// How a blocked layout runs: the step from block to block of each axis, and the blocks inside,
/// the innermost one last.
struct Blocking {
  dims strides, inner_sizes, inner_axes;
};

#if DNNL_VERSION_MAJOR >= 3

inline bool is_blocked(const desc& layout) {
  return layout.get_format_kind() == memory::format_kind::blocked;
}
inline Blocking blocking(const desc& layout) {
  return {layout.get_strides(), layout.get_inner_blks(), layout.get_inner_idxs()};
}

template <class Primitive, class... Args>
typename Primitive::primitive_desc make(const dnnl::engine& engine,
                                        const dnnl::primitive_attr& attr, Args&&... args) {
  return typename Primitive::primitive_desc(engine, std::forward<Args>(args)..., attr);
}
template <class Primitive, class Hint, class... Args>
typename Primitive::primitive_desc make_backward(const dnnl::engine& engine,
                                                 const dnnl::primitive_attr& attr, const Hint& hint,
                                                 Args&&... args) {
  return typename Primitive::primitive_desc(engine, std::forward<Args>(args)..., hint, attr);
}

inline auto batch_norm_forward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                               dnnl::prop_kind kind, const desc& data, float eps,
                               dnnl::normalization_flags flags) {
  return make<dnnl::batch_normalization_forward>(engine, attr, kind, data, data, eps, flags);
}
inline auto batch_norm_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                                const dnnl::batch_normalization_forward::primitive_desc& hint,
                                dnnl::prop_kind kind, const desc& data, float eps,
                                dnnl::normalization_flags flags) {
  return make_backward<dnnl::batch_normalization_backward>(engine, attr, hint, kind, data, data,
                                                           data, eps, flags);
}
inline auto eltwise_forward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                            dnnl::algorithm algorithm, const desc& data, float alpha, float beta) {
  return make<dnnl::eltwise_forward>(engine, attr, dnnl::prop_kind::forward_training, algorithm,
                                     data, data, alpha, beta);
}
inline auto eltwise_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                             const dnnl::eltwise_forward::primitive_desc& hint,
                             dnnl::algorithm algorithm, const desc& data, float alpha, float beta) {
  return make_backward<dnnl::eltwise_backward>(engine, attr, hint, algorithm, data, data, data,
                                               alpha, beta);
}

#else

inline bool is_blocked(const desc& layout) { return layout.data.format_kind == dnnl_blocked; }
inline Blocking blocking(const desc& layout) {
  const auto& blocks = layout.data.format_desc.blocking;
  return {dims(blocks.strides, blocks.strides + layout.data.ndims),
          dims(blocks.inner_blks, blocks.inner_blks + blocks.inner_nblks),
          dims(blocks.inner_idxs, blocks.inner_idxs + blocks.inner_nblks)};
}

template <class Primitive, class... Args>
typename Primitive::primitive_desc make(const dnnl::engine& engine,
                                        const dnnl::primitive_attr& attr, Args&&... args) {
  return {typename Primitive::desc(std::forward<Args>(args)...), attr, engine};
}
template <class Primitive, class Hint, class... Args>
typename Primitive::primitive_desc make_backward(const dnnl::engine& engine,
                                                 const dnnl::primitive_attr& attr, const Hint& hint,
                                                 Args&&... args) {
  return {typename Primitive::desc(std::forward<Args>(args)...), attr, engine, hint};
}

inline auto batch_norm_forward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                               dnnl::prop_kind kind, const desc& data, float eps,
                               dnnl::normalization_flags flags) {
  return make<dnnl::batch_normalization_forward>(engine, attr, kind, data, eps, flags);
}
inline auto batch_norm_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                                const dnnl::batch_normalization_forward::primitive_desc& hint,
                                dnnl::prop_kind kind, const desc& data, float eps,
                                dnnl::normalization_flags flags) {
  return make_backward<dnnl::batch_normalization_backward>(engine, attr, hint, kind, data, data,
                                                           eps, flags);
}
inline auto eltwise_forward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                            dnnl::algorithm algorithm, const desc& data, float alpha, float beta) {
  return make<dnnl::eltwise_forward>(engine, attr, dnnl::prop_kind::forward_training, algorithm,
                                     data, alpha, beta);
}
inline auto eltwise_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                             const dnnl::eltwise_forward::primitive_desc& hint,
                             dnnl::algorithm algorithm, const desc& data, float alpha, float beta) {
  return make_backward<dnnl::eltwise_backward>(engine, attr, hint, algorithm, data, data, alpha,
                                               beta);
}

#endif

// Convolution takes the same lists in both: make<...>(engine, attr, list...).

}  // namespace tern::onednn::compat
