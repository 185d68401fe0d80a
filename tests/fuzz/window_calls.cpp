// SPDX-License-Identifier: Apache-2.0
#include <tern/ops/internal/attention.h>
#include <tern/ops/internal/conv_batch_norm.h>
#include <tern/ops/internal/rnn.h>

#include "calls.h"

namespace tern::fuzz {

namespace {

/// A convolution of so many axes whose sizes fit.
struct Channels {
  explicit Channels(Draw& d)
      : groups(d.one_of<int64_t>({1, 1, 1, 2, 3})),
        in(groups * d.between(1, 4)),
        out(groups * d.between(1, 4)),
        kernel(d.between(1, 3)) {}
  int64_t groups, in, out, kernel;
};

Conv2dOptions conv_options(Draw& d, const Channels& c, DataFormat format) {
  return {.stride = d.size2d(1, 2),
          .padding = d.chance(0.1) ? Size2d(kSame) : d.size2d(0, 2),
          .dilation = d.size2d(1, 2),
          .groups = d.chance(0.9) ? c.groups : d.integer(0, 3),
          .data_format = format,
          .algorithm = d.one_of({ConvAlgorithm::automatic, ConvAlgorithm::direct})};
}

std::vector<int64_t> image(Draw& d, DataFormat format, int64_t channels) {
  const int64_t batch = d.length(), height = d.between(1, 9), width = d.between(1, 9);
  return format == DataFormat::NHWC ? std::vector{batch, height, width, channels}
                                    : std::vector{batch, channels, height, width};
}

template <class F>
Tensor convolve(Draw& d, F f) {
  const Channels c(d);
  const DataFormat format = d.data_format();
  const Tensor x = d.floating().tensor(image(d, format, c.in));
  const Tensor weight = d.tensor({c.out, c.in / c.groups, c.kernel, d.between(1, 3)});
  return f(x, weight, d.maybe({c.out}), conv_options(d, c, format));
}

void add_convolutions(Calls& calls) {
  calls.add("conv2d", [](Draw& d) { return convolve(d, conv2d); });
  calls.add("conv2d_relu", [](Draw& d) { return convolve(d, conv2d_relu); });
  calls.add("conv2d_batch_norm", [](Draw& d) {
    const NoGrad no_grad;
    return convolve(d, [&](const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Conv2dOptions& options) {
      const int64_t channels = weight.defined() && weight.dim() > 0 ? weight.size(0) : 1;
      const FixedBatchNorm norm{.running_mean = d.tensor({channels}),
                                .running_var = d.fraction({channels}),
                                .weight = d.maybe({channels}),
                                .bias = d.maybe({channels}),
                                .eps = d.real(0, 1),
                                .relu = d.flag()};
      return conv2d_batch_norm(x, weight, bias, norm, options);
    });
  });
  calls.add("conv1d", [](Draw& d) {
    const Channels c(d);
    const Tensor x = d.floating().tensor({d.length(), c.in, d.between(1, 9)});
    const Tensor weight = d.tensor({c.out, c.in / c.groups, c.kernel});
    return conv1d(x, weight, d.maybe({c.out}),
                  {.stride = d.integer(1, 2),
                   .padding = d.chance(0.1) ? kSame : d.integer(0, 2),
                   .dilation = d.integer(1, 2),
                   .groups = c.groups});
  });
  calls.add("conv3d", [](Draw& d) {
    const Channels c(d);
    const Tensor x =
        d.floating().tensor({d.length(), c.in, d.between(1, 4), d.between(1, 6), d.between(1, 6)});
    const Tensor weight = d.tensor({c.out, c.in / c.groups, d.between(1, 2), c.kernel, c.kernel});
    return conv3d(x, weight, d.maybe({c.out}),
                  {.stride = d.size3d(1, 2),
                   .padding = d.size3d(0, 1),
                   .dilation = d.size3d(1, 2),
                   .groups = c.groups});
  });
  calls.add("conv_transpose2d", [](Draw& d) {
    const Channels c(d);
    const DataFormat format = d.data_format();
    const Tensor x = d.floating().tensor(image(d, format, c.in));
    const Tensor weight = d.tensor({c.in, c.out / c.groups, c.kernel, d.between(1, 3)});
    return conv_transpose2d(
        x, weight, d.maybe({c.out}),
        {.stride = d.size2d(1, 2),
         .padding = d.size2d(0, 1),
         .output_padding = d.size2d(0, 1),
         .dilation = d.size2d(1, 2),
         .groups = c.groups,
         .data_format = format,
         .algorithm = d.one_of({ConvAlgorithm::automatic, ConvAlgorithm::direct})});
  });
  calls.add("conv_transpose1d", [](Draw& d) {
    const Channels c(d);
    const Tensor x = d.floating().tensor({d.length(), c.in, d.between(1, 9)});
    const Tensor weight = d.tensor({c.in, c.out / c.groups, c.kernel});
    return conv_transpose1d(x, weight, d.maybe({c.out}),
                            {.stride = d.integer(1, 2),
                             .padding = d.integer(0, 1),
                             .output_padding = d.integer(0, 1),
                             .dilation = d.integer(1, 2),
                             .groups = c.groups});
  });
}

Tensor images(Draw& d, DataFormat format = DataFormat::NCHW) {
  return d.floating().tensor(image(d, format, d.length()));
}
Tensor signals(Draw& d) { return d.floating().tensor({d.length(), d.length(), d.between(1, 9)}); }
Tensor volumes(Draw& d) {
  return d.floating().tensor(
      {d.length(), d.length(), d.between(1, 4), d.between(1, 6), d.between(1, 6)});
}

void add_pools(Calls& calls) {
  calls.add("max_pool2d", [](Draw& d) {
    const DataFormat format = d.data_format();
    return max_pool2d(images(d, format), d.size2d(1, 4),
                      {.stride = d.maybe_size2d(1, 3),
                       .padding = d.size2d(0, 1),
                       .dilation = d.size2d(1, 2),
                       .ceil_mode = d.flag(),
                       .data_format = format});
  });
  calls.add("avg_pool2d", [](Draw& d) {
    const DataFormat format = d.data_format();
    return avg_pool2d(images(d, format), d.size2d(1, 4),
                      {.stride = d.maybe_size2d(1, 3),
                       .padding = d.size2d(0, 1),
                       .ceil_mode = d.flag(),
                       .count_include_pad = d.flag(),
                       .data_format = format});
  });
  calls.add("adaptive_avg_pool2d", [](Draw& d) {
    const DataFormat format = d.data_format();
    return adaptive_avg_pool2d(images(d, format), d.size2d(1, 4), format);
  });
  calls.add("adaptive_max_pool2d", [](Draw& d) {
    const DataFormat format = d.data_format();
    return adaptive_max_pool2d(images(d, format), d.size2d(1, 4), format);
  });
  calls.add("max_pool1d", [](Draw& d) {
    return max_pool1d(signals(d), d.integer(1, 4),
                      {.stride = d.maybe_integer(1, 3),
                       .padding = d.integer(0, 1),
                       .dilation = d.integer(1, 2),
                       .ceil_mode = d.flag()});
  });
  calls.add("avg_pool1d", [](Draw& d) {
    return avg_pool1d(signals(d), d.integer(1, 4),
                      {.stride = d.maybe_integer(1, 3),
                       .padding = d.integer(0, 1),
                       .ceil_mode = d.flag(),
                       .count_include_pad = d.flag()});
  });
  calls.add("adaptive_avg_pool1d",
            [](Draw& d) { return adaptive_avg_pool1d(signals(d), d.integer(1, 4)); });
  calls.add("adaptive_max_pool1d",
            [](Draw& d) { return adaptive_max_pool1d(signals(d), d.integer(1, 4)); });
  calls.add("max_pool3d", [](Draw& d) {
    return max_pool3d(volumes(d), d.size3d(1, 3),
                      {.stride = d.maybe_size3d(1, 3),
                       .padding = d.size3d(0, 1),
                       .dilation = d.size3d(1, 2),
                       .ceil_mode = d.flag()});
  });
  calls.add("avg_pool3d", [](Draw& d) {
    return avg_pool3d(volumes(d), d.size3d(1, 3),
                      {.stride = d.maybe_size3d(1, 3),
                       .padding = d.size3d(0, 1),
                       .ceil_mode = d.flag(),
                       .count_include_pad = d.flag()});
  });
  calls.add("adaptive_avg_pool3d",
            [](Draw& d) { return adaptive_avg_pool3d(volumes(d), d.size3d(1, 3)); });
  calls.add("interpolate", [](Draw& d) {
    const DataFormat format = d.data_format();
    const bool scaled = d.flag();
    const double height = d.real(0.5, 3), width = d.real(0.5, 3);
    return interpolate(
        images(d, format),
        {.size = scaled && !d.hostile() ? Size2d(0) : d.size2d(1, 9),
         .scale_factor = scaled ? Scale2d(height, width) : Scale2d(0),
         .mode = d.one_of({Interpolation::nearest, Interpolation::bilinear, Interpolation::area}),
         .align_corners = d.chance(0.3),
         .data_format = format});
  });
  calls.add("pixel_shuffle", [](Draw& d) {
    return pixel_shuffle(d.tensor({d.length(), 4, d.length(), d.length()}), d.integer(1, 2));
  });
  calls.add("pixel_unshuffle", [](Draw& d) {
    return pixel_unshuffle(d.tensor({d.length(), d.length(), 4, 2}), d.integer(1, 2));
  });
}

BatchNormOptions norm_options(Draw& d, DataFormat format) {
  const double weight = d.real(0, 1);
  return {.training = d.flag(),
          .update_running = d.flag(),
          .momentum = d.chance(0.2)   ? Momentum::cumulative()
                      : d.chance(0.5) ? Momentum::keep(weight)
                                      : Momentum::update(weight),
          .batches_tracked = d.integer(0, 9),
          .eps = d.real(0, 1),
          .running_var = d.one_of({RunningVar::biased, RunningVar::unbiased}),
          .data_format = format,
          .algorithm = d.one_of({BatchNormAlgorithm::automatic, BatchNormAlgorithm::onednn}),
          .skip_nonfinite = d.flag()};
}

template <class F>
Tensor normalize_batch(Draw& d, F f) {
  const DataFormat format = d.data_format();
  const int64_t channels = d.one_of<int64_t>({1, 3, 8, 17});
  std::vector<int64_t> sizes = d.sizes(d.between(2, 5));
  (format == DataFormat::NHWC ? sizes.back() : sizes[1]) = channels;
  const Tensor x = d.floating().tensor(sizes);
  Tensor mean, var;
  if (d.chance(0.8)) {  // what does not require a gradient, mostly
    mean = d.chance(0.9) ? d.tensor({channels}).detach() : d.tensor({channels});
    var = d.fraction({channels}).detach();
  }
  return f(x, mean, var, d.maybe({channels}), d.maybe({channels}), norm_options(d, format));
}

void add_norms(Calls& calls) {
  calls.add("batch_norm", [](Draw& d) { return normalize_batch(d, batch_norm); });
  calls.add("batch_norm_relu", [](Draw& d) { return normalize_batch(d, batch_norm_relu); });
  calls.add("layer_norm", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    const Tensor x = d.tensor({d.length(), sizes[0], sizes[1]});
    const bool one = d.flag();
    const std::vector<int64_t> shape = one ? std::vector{sizes[1]} : sizes;
    return layer_norm(x, d.hostile() ? d.integers(2, 0, 5) : shape, d.maybe(shape), d.maybe(shape),
                      d.real(0, 1));
  });
  calls.add("rms_norm", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(1);
    const Tensor x = d.tensor({d.length(), d.length(), sizes[0]});
    return rms_norm(x, d.hostile() ? d.integers(2, 0, 5) : sizes, d.maybe(sizes), d.real(0, 1));
  });
  calls.add("group_norm", [](Draw& d) {
    const int64_t groups = d.between(1, 3), channels = groups * d.between(1, 3);
    std::vector<int64_t> sizes = d.floating().sizes(d.between(2, 4));
    sizes[1] = channels;
    const Tensor x = d.tensor(sizes);
    return group_norm(x, d.hostile() ? d.integer(0, 4) : groups, d.maybe({channels}),
                      d.maybe({channels}), d.real(0, 1));
  });
  calls.add("instance_norm", [](Draw& d) {
    const int64_t channels = d.between(1, 3);
    std::vector<int64_t> sizes = d.floating().sizes(d.between(3, 4));
    sizes[1] = channels;
    const Tensor x = d.tensor(sizes);
    Tensor mean, var;
    if (d.flag()) {
      mean = d.tensor({channels}).detach();
      var = d.fraction({channels}).detach();
    }
    return instance_norm(
        x, mean, var, d.maybe({channels}), d.maybe({channels}),
        {.use_input_stats = d.flag(), .momentum = d.real(0, 1), .eps = d.real(0, 1)});
  });
}

AttentionOptions attention_options(Draw& d) {
  return {.dropout_p = d.flag() ? 0 : d.real(0, 1),
          .is_causal = d.flag(),
          .scale = d.maybe_real(-1, 2)};
}

void add_sequences(Calls& calls) {
  calls.add("scaled_dot_product_attention", [](Draw& d) {
    const int64_t batch = d.length(), rows = d.length(), keys = d.length(), width = d.length();
    const Tensor q = d.floating().tensor({batch, rows, width});
    const Tensor k = d.tensor({batch, keys, width}), v = d.tensor({batch, keys, d.length()});
    const std::vector<int64_t> of_mask = {rows, keys};
    return scaled_dot_product_attention(q, k, v, d.flag() ? d.maybe(of_mask) : d.mask(of_mask),
                                        attention_options(d));
  });
  // The checks of these three are their callers': nn::MultiheadAttention, nn::RNN and their like.
  calls.add("attention_of_heads", [](Draw& d) {
    const int64_t heads = d.between(1, 3), width = d.between(1, 4);
    const Tensor q = randn({d.between(1, 3), d.between(1, 5), 3 * heads * width});
    return attention_of_heads(q, {}, {}, heads, SequenceAxes::batch_first, {}, {});
  });
  calls.add("attention_with_weights", [](Draw& d) {
    const int64_t heads = d.between(1, 3), width = heads * d.between(1, 4);
    const Tensor q = randn({d.between(1, 3), d.between(1, 5), width});
    return attention_with_weights(q, q, q, heads, SequenceAxes::batch_first, {}, {});
  });
  calls.add("recurrent", [](Draw& d) {
    const int64_t in = d.between(1, 4), units = d.between(1, 4);
    const RecurrentWeights weights{randn({3 * units, in}), randn({3 * units, units})};
    return recurrent(RecurrentCell::gru, randn({d.between(1, 3), d.between(1, 3), in}), {}, {},
                     weights, d.flag(), {});
  });
}

}  // namespace

void add_windows(Calls& calls) {
  add_convolutions(calls);
  add_pools(calls);
  add_norms(calls);
  add_sequences(calls);
}

}  // namespace tern::fuzz
