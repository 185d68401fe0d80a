// SPDX-License-Identifier: Apache-2.0
// Layer, RMS, group and instance norm as the formulas say it, part by part: the kernels of float64
// and the oracle for float32.
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "../../core/internal/parallel.h"
#include "batch_norm.h"
#include "norm.h"

namespace tern::kernels::norm {

namespace {

using Array = Eigen::ArrayXXd;

/// The elements of a part, [inner, channels].
template <class T>
auto elements(const Layout& layout, T* data, int64_t part) {
  using Values = Eigen::Array<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic>;
  using Mapped = std::conditional_t<std::is_const_v<T>, const Values, Values>;
  const int64_t image = part / layout.groups, group = part % layout.groups;
  const int64_t first = group * layout.channels;
  const int64_t all = layout.all_channels();
  const int64_t offset = layout.channels_last ? image * layout.inner * all + first
                                              : (image * all + first) * layout.inner;
  using Steps = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  const Steps steps = layout.channels_last ? Steps(1, all) : Steps(layout.inner, 1);
  return Eigen::Map<Mapped, Eigen::Unaligned, Steps>(data + offset, layout.inner, layout.channels,
                                                     steps);
}

/// A value per channel of a part, as a row for each of its elements.
template <class T>
Array spread(const Layout& layout, const T* values, int64_t part, double otherwise) {
  if (!values) return Array::Constant(layout.inner, layout.channels, otherwise);
  const int64_t first = part % layout.groups * layout.channels;
  const Eigen::Map<const Eigen::Array<T, 1, Eigen::Dynamic>> row(values + first, layout.channels);
  return row.template cast<double>().replicate(layout.inner, 1);
}

template <class T>
Array normalized(const Problem<T>& p, const double* mean, const double* var, int64_t part) {
  return (elements(p.layout, p.x, part).template cast<double>() - mean[part]) *
         batch_norm::inverse_std(var[part], p.eps, true);
}

template <class F>
void for_parts(const Layout& layout, const F& f) {
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, layout.count()));
  parallel_for(layout.parts(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) f(part);
  });
}

}  // namespace

template <class T>
void forward_reference(const Problem<T>& p, double* mean, double* var, T* y) {
  for_parts(p.layout, [&](int64_t part) {
    const Array x = elements(p.layout, p.x, part).template cast<double>();
    mean[part] = p.centered ? x.mean() : 0;
    if (p.centered && std::isfinite(mean[part])) mean[part] += (x - mean[part]).mean();
    var[part] = (x - mean[part]).square().mean();
    elements(p.layout, y, part) =
        (normalized(p, mean, var, part) * spread(p.layout, p.weight, part, 1) +
         spread(p.layout, p.bias, part, 0))
            .template cast<T>();
  });
}

template <class T>
void backward_reference(const Problem<T>& p, const double* mean, const double* var, const T* dy,
                        const Gradients<T>& gradients) {
  const Layout& layout = p.layout;
  if (gradients.dx) {
    for_parts(layout, [&](int64_t part) {
      const Array xh = normalized(p, mean, var, part);
      Array g =
          elements(layout, dy, part).template cast<double>() * spread(layout, p.weight, part, 1);
      const double along = (g * xh).mean();
      if (p.centered) g -= g.mean();
      elements(layout, gradients.dx, part) =
          ((g - xh * along) * batch_norm::inverse_std(var[part], p.eps, true)).template cast<T>();
    });
  }
  if (!gradients.dweight && !gradients.dbias) return;
  parallel_for(layout.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      Eigen::ArrayXd dweight = Eigen::ArrayXd::Zero(layout.channels), dbias = dweight;
      for (int64_t image = 0; image < layout.images; ++image) {
        const int64_t part = image * layout.groups + group;
        const Array g = elements(layout, dy, part).template cast<double>();
        dbias += g.colwise().sum().transpose();
        dweight += (g * normalized(p, mean, var, part)).colwise().sum().transpose();
      }
      for (int64_t k = 0; k < layout.channels; ++k) {
        const int64_t c = group * layout.channels + k;
        if (gradients.dweight) gradients.dweight[c] = static_cast<T>(dweight[k]);
        if (gradients.dbias) gradients.dbias[c] = static_cast<T>(dbias[k]);
      }
    }
  });
}

template void forward_reference(const Problem<float>&, double*, double*, float*);
template void forward_reference(const Problem<double>&, double*, double*, double*);
template void backward_reference(const Problem<float>&, const double*, const double*, const float*,
                                 const Gradients<float>&);
template void backward_reference(const Problem<double>&, const double*, const double*,
                                 const double*, const Gradients<double>&);

}  // namespace tern::kernels::norm
