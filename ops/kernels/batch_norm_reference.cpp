// SPDX-License-Identifier: Apache-2.0
// Batch norm as the formulas say it, channel by channel: the kernels of float64 and the oracle for
// float32.
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "../../core/internal/parallel.h"
#include "batch_norm.h"

namespace tern::kernels::batch_norm {

namespace {

// The elements of channel c, [inner, outer].
template <class T>
auto channel(const Layout& layout, T* data, int64_t c) {
  using Array = Eigen::Array<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic>;
  using Elements = std::conditional_t<std::is_const_v<T>, const Array, Array>;
  return Eigen::Map<Elements, Eigen::Unaligned, Eigen::OuterStride<>>(
      data + c * layout.inner, layout.inner, layout.outer,
      Eigen::OuterStride<>(layout.channels * layout.inner));
}

template <class F>
void for_channels(const Layout& layout, F&& f) {
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, layout.count()));
  parallel_for(layout.channels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) f(c);
  });
}

template <class T>
double value_or(const T* values, int64_t c, double otherwise) {
  return values ? static_cast<double>(values[c]) : otherwise;
}

}  // namespace

template <class T>
void forward_training_reference(const Problem<T>& p, double* mean, double* var, T* y) {
  for_channels(p.layout, [&](int64_t c) {
    const auto x = channel(p.layout, p.x, c).template cast<double>();
    const double rough = x.mean();
    mean[c] = std::isfinite(rough) ? rough + (x - rough).mean() : rough;  // inf stays inf
    var[c] = (x - mean[c]).square().mean();
  });
  forward_reference(p, {mean, var, true}, y);
}

template <class T>
void forward_reference(const Problem<T>& p, const Statistics& statistics, T* y) {
  for_channels(p.layout, [&](int64_t c) {
    const auto x = channel(p.layout, p.x, c).template cast<double>();
    const double r = inverse_std(statistics.var[c], p.eps, statistics.of_batch);
    const auto xh = (x - statistics.mean[c]) * r;
    const auto z = xh * value_or(p.weight, c, 1) + value_or(p.bias, c, 0);
    auto result = channel(p.layout, y, c);
    result = z.template cast<T>();
    if (p.relu) result = (result < T{0}).select(T{0}, result);
  });
}

template <class T>
void backward_reference(const Problem<T>& p, const Statistics& statistics, const T* dy,
                        const Gradients<T>& gradients) {
  using Array = Eigen::ArrayXXd;
  for_channels(p.layout, [&](int64_t c) {
    const double weight = value_or(p.weight, c, 1), bias = value_or(p.bias, c, 0);
    const double r = inverse_std(statistics.var[c], p.eps, statistics.of_batch);
    const Array xh = (channel(p.layout, p.x, c).template cast<double>() - statistics.mean[c]) * r;
    Array g = channel(p.layout, dy, c).template cast<double>();
    if (p.relu) g = (xh * weight + bias <= 0).select(0, g);
    if (gradients.dbias) gradients.dbias[c] = static_cast<T>(g.sum());
    if (gradients.dweight) gradients.dweight[c] = static_cast<T>((g * xh).sum());
    if (!gradients.dx) return;
    // The statistics depend on x: what a common shift or a common factor would do is taken out.
    if (statistics.of_batch) g = (g - g.mean() - xh * (g * xh).mean()).eval();
    channel(p.layout, gradients.dx, c) = (weight * r * g).template cast<T>();
  });
}

template void forward_training_reference(const Problem<float>&, double*, double*, float*);
template void forward_training_reference(const Problem<double>&, double*, double*, double*);
template void forward_reference(const Problem<float>&, const Statistics&, float*);
template void forward_reference(const Problem<double>&, const Statistics&, double*);
template void backward_reference(const Problem<float>&, const Statistics&, const float*,
                                 const Gradients<float>&);
template void backward_reference(const Problem<double>&, const Statistics&, const double*,
                                 const Gradients<double>&);

}  // namespace tern::kernels::batch_norm
