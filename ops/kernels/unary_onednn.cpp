// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of float32: oneDNN's generated code for those that take many instructions,
// plain loops, which the compiler vectorises, for those that wait for memory anyway.
#include "../../core/onednn.h"
#include "../../core/parallel.h"
#include "strided.h"
#include "unary.h"
#include "unary_functions.h"
#include "vector_math.h"

namespace tern::kernels {

namespace {

namespace compat = onednn::compat;
using dnnl::algorithm;

/// Fewer elements are done by the loops below before oneDNN has found its primitive and woken its
/// threads.
constexpr int64_t kFew = 4096;

/// oneDNN's name of the function, or undef if a plain loop is as good. Its exp makes a number of
/// NaN and its log is 50 ulp off (2.6.3, AVX-512), so that these two are always our own.
algorithm algorithm_of(Unary kind) {
  switch (kind) {
    case Unary::sigmoid:
      return algorithm::eltwise_logistic;
    case Unary::tanh:
      return algorithm::eltwise_tanh;
    case Unary::gelu:
      return algorithm::eltwise_gelu_erf;
    case Unary::silu:
      return algorithm::eltwise_swish;
    default:
      return algorithm::undef;
  }
}

auto forward_desc(algorithm a, const dnnl::memory::desc& layout) {
  // alpha is swish's factor of x.
  return compat::eltwise_forward(onednn::engine(), onednn::attributes(), a, layout, 1, 0);
}

void forward(algorithm a, int64_t count, const float* x, float* y) {
  onednn::guarded("eltwise", [&] {
    const Team team;
    const onednn::ThreadLimit limit(team.size());
    const auto primitive =
        onednn::cached(onednn::Key("eltwise").add(static_cast<int64_t>(a)).add(count), [&] {
          const auto layout = onednn::describe(Shape{count});
          return onednn::Primitive::make<dnnl::eltwise_forward>(
              forward_desc(a, layout), {{DNNL_ARG_SRC, layout}, {DNNL_ARG_DST, layout}});
        });
    primitive->execute({{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
  });
}

void backward(algorithm a, int64_t count, const float* x, const float* dy, float* dx) {
  onednn::guarded("eltwise_backward", [&] {
    const Team team;
    const onednn::ThreadLimit limit(team.size());
    const auto primitive = onednn::cached(
        onednn::Key("eltwise_backward").add(static_cast<int64_t>(a)).add(count), [&] {
          const auto layout = onednn::describe(Shape{count});
          const auto desc = compat::eltwise_backward(onednn::engine(), onednn::attributes(),
                                                     forward_desc(a, layout), a, layout, 1, 0);
          return onednn::Primitive::make<dnnl::eltwise_backward>(
              desc,
              {{DNNL_ARG_SRC, layout}, {DNNL_ARG_DIFF_DST, layout}, {DNNL_ARG_DIFF_SRC, layout}});
        });
    primitive->execute({{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_DIFF_SRC, dx}});
  });
}

}  // namespace

void unary_f32(Unary kind, double alpha, int64_t count, const float* x, float* y) {
  const algorithm a = algorithm_of(kind);
  if (a != algorithm::undef && count >= kFew) {
    forward(a, count, x, y);
    return;
  }
  const auto loop = [&](const auto& f) {
    parallel_for(count, kGrain / 4, [&](int64_t begin, int64_t end) {
      transform(end - begin, x + begin, y + begin, f);
    });
  };
  switch (kind) {
    case Unary::exp:
      return loop([](Vec v) { return exp(v); });
    case Unary::log:
      return loop([](Vec v) { return log(v); });
    case Unary::sigmoid:
      return loop([](Vec v) { return logistic(v); });
    case Unary::tanh:
      return loop([](Vec v) { return tanh(v); });
    case Unary::silu:
      return loop([](Vec v) { return v * logistic(v); });
    default:
      break;
  }
  with_function<float>(kind, static_cast<float>(alpha), [&](const auto& f) {
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
    });
  });
}

void unary_backward_f32(Unary kind, double alpha, int64_t count, const float* saved,
                        const float* dy, float* dx) {
  const algorithm a = algorithm_of(kind);
  if ((kind == Unary::gelu || kind == Unary::silu) && count >= kFew) {
    backward(a, count, saved, dy, dx);
    return;
  }
  if (kind == Unary::silu) {
    return transform(count, saved, dy, dx, [](Vec v, Vec dv) {
      const Vec l = logistic(v);
      return dv * (l * (1.0f + v * (1.0f - l)));
    });
  }
  with_derivative<float>(kind, static_cast<float>(alpha), [&](const auto& f) {
    parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) dx[i] = f(saved[i], dy[i]);
    });
  });
}

}  // namespace tern::kernels
