// SPDX-License-Identifier: Apache-2.0
#include "layers.h"

namespace tern::fuzz {

namespace {

Sizes image(Draw& d, int64_t channels) {
  const int64_t batch = d.length(), height = d.between(1, 9);
  return {batch, channels, height, d.between(1, 9)};
}
Sizes volume(Draw& d, int64_t channels) {
  Sizes sizes = {d.length(), channels};
  for (int axis = 0; axis < 3; ++axis) sizes.push_back(d.between(1, 5));
  return sizes;
}
Sizes signal(Draw& d, int64_t channels) { return {d.length(), channels, d.between(1, 9)}; }

void add_functions(Calls& calls) {
  calls.add("ReLU", [](Draw& d) { return use(d, nn::ReLU(), d.tensor()); });
  calls.add("Sigmoid", [](Draw& d) { return use(d, nn::Sigmoid(), d.tensor()); });
  calls.add("Tanh", [](Draw& d) { return use(d, nn::Tanh(), d.tensor()); });
  calls.add("GELU", [](Draw& d) {
    return use(d, nn::GELU({d.one_of({GeluApproximation::none, GeluApproximation::tanh})}),
               d.tensor());
  });
  calls.add("SiLU", [](Draw& d) { return use(d, nn::SiLU(), d.tensor()); });
  calls.add("LeakyReLU", [](Draw& d) { return use(d, nn::LeakyReLU(d.real()), d.tensor()); });
  calls.add("ReLU6", [](Draw& d) { return use(d, nn::ReLU6(), d.tensor()); });
  calls.add("Hardsigmoid", [](Draw& d) { return use(d, nn::Hardsigmoid(), d.tensor()); });
  calls.add("Hardswish", [](Draw& d) { return use(d, nn::Hardswish(), d.tensor()); });
  calls.add("Mish", [](Draw& d) { return use(d, nn::Mish(), d.tensor()); });
  calls.add("LogSigmoid", [](Draw& d) { return use(d, nn::LogSigmoid(), d.tensor()); });
  calls.add("Softsign", [](Draw& d) { return use(d, nn::Softsign(), d.tensor()); });
  calls.add("Hardtanh",
            [](Draw& d) { return use(d, nn::Hardtanh(d.real(-2, 0), d.real(0, 2)), d.tensor()); });
  calls.add("ELU", [](Draw& d) { return use(d, nn::ELU(d.real()), d.tensor()); });
  calls.add("Softplus",
            [](Draw& d) { return use(d, nn::Softplus(d.real(), d.real()), d.tensor()); });
  calls.add("PReLU", [](Draw& d) {
    return use(d, nn::PReLU(d.integer(1, 3), d.real()), d.floating().tensor({2, 3, d.length()}));
  });
  calls.add("GLU", [](Draw& d) { return use(d, nn::GLU(d.axis()), d.floating().tensor({4, 2})); });
  calls.add("Softmax", [](Draw& d) { return use(d, nn::Softmax(d.axis()), d.tensor()); });
  calls.add("LogSoftmax", [](Draw& d) { return use(d, nn::LogSoftmax(d.axis()), d.tensor()); });
  calls.add("Dropout", [](Draw& d) { return use(d, nn::Dropout(d.real(0, 1)), d.tensor()); });
  calls.add("Dropout2d", [](Draw& d) {
    return use(d, nn::Dropout2d(d.real(0, 1)), d.floating().tensor(d.sizes(4)));
  });
  calls.add("Flatten", [](Draw& d) { return use(d, nn::Flatten(d.axis(), d.axis()), d.tensor()); });
  calls.add("Unflatten", [](Draw& d) {
    return use(d, nn::Unflatten(d.axis(), d.integers(2, -1, 3)), d.tensor({6, 6}));
  });
  calls.add("Identity", [](Draw& d) { return use(d, nn::Identity(), d.tensor()); });
  calls.add("Upsample", [](Draw& d) {
    const bool scaled = d.flag();
    return use(d,
               nn::Upsample({.size = scaled ? Size2d(0) : d.size2d(1, 9),
                             .scale_factor = scaled ? d.real(0.5, 3) : 0,
                             .mode = d.one_of({Interpolation::nearest, Interpolation::bilinear}),
                             .align_corners = d.chance(0.2)}),
               d.floating().tensor(d.sizes(4)));
  });
  calls.add("PixelShuffle", [](Draw& d) {
    return use(d, nn::PixelShuffle(d.integer(1, 2)), d.tensor({2, 4, 3, 3}));
  });
  calls.add("PixelUnshuffle", [](Draw& d) {
    return use(d, nn::PixelUnshuffle(d.integer(1, 2)), d.tensor({2, 4, 4, 2}));
  });
  calls.add("ZeroPad2d", [](Draw& d) {
    return use(d, nn::ZeroPad2d(d.integers(4, -1, 2)), d.tensor(d.sizes(4)));
  });
  calls.add("ReflectionPad2d", [](Draw& d) {
    return use(d, nn::ReflectionPad2d(d.integers(4, 0, 2)), d.tensor(d.sizes(4)));
  });
  calls.add("ReplicationPad2d", [](Draw& d) {
    return use(d, nn::ReplicationPad2d(d.integers(1, 0, 2)), d.tensor(d.sizes(4)));
  });
}

/// A number of channels that groups of 2 divide.
int64_t even(Draw& d) { return d.hostile() ? d.integer(1, 4) : 2 * d.between(1, 2); }

template <class Loss>
Results lose(Draw& d, Loss loss) {
  const Sizes sizes = d.floating().sizes(2);
  return use(d, std::move(loss), d.tensor(sizes), d.fraction(sizes));
}

void add_losses(Calls& calls) {
  calls.add("CrossEntropyLoss", [](Draw& d) {
    return use(d, nn::CrossEntropyLoss({.label_smoothing = d.real(0, 1)}),
               d.floating().tensor({3, 4}), d.ids({3}, 4));
  });
  calls.add("NLLLoss", [](Draw& d) {
    return use(d, nn::NLLLoss({.ignore_index = d.integer(-1, 4)}), d.floating().tensor({3, 4}),
               d.ids({3}, 4));
  });
  calls.add("MSELoss", [](Draw& d) { return lose(d, nn::MSELoss(d.reduction())); });
  calls.add("L1Loss", [](Draw& d) { return lose(d, nn::L1Loss(d.reduction())); });
  calls.add("SmoothL1Loss",
            [](Draw& d) { return lose(d, nn::SmoothL1Loss(d.reduction(), d.real(0, 2))); });
  calls.add("HuberLoss",
            [](Draw& d) { return lose(d, nn::HuberLoss(d.reduction(), d.real(0, 2))); });
  calls.add("KLDivLoss", [](Draw& d) { return lose(d, nn::KLDivLoss(d.reduction(), d.flag())); });
  calls.add("BCELoss", [](Draw& d) {
    const Tensor p = d.floating().fraction({2, 3});
    return use(d, nn::BCELoss({.reduction = d.reduction()}), p, d.fraction({2, 3}));
  });
  calls.add("BCEWithLogitsLoss",
            [](Draw& d) { return lose(d, nn::BCEWithLogitsLoss({.reduction = d.reduction()})); });
  calls.add("MarginRankingLoss", [](Draw& d) {
    const Sizes sizes = d.floating().sizes(1);
    return use(d, nn::MarginRankingLoss(d.real(), d.reduction()), d.tensor(sizes), d.tensor(sizes),
               d.tensor(sizes));
  });
  calls.add("CTCLoss", [](Draw& d) {
    return use(d, nn::CTCLoss({.blank = d.integer(0, 2), .reduction = d.reduction()}),
               d.floating().tensor({4, 2, 3}), d.ids({2, 2}, 3), d.ids({2}, 5), d.ids({2}, 3));
  });
  calls.add("TripletMarginLoss", [](Draw& d) {
    const Sizes sizes = d.floating().sizes(2);
    return use(d, nn::TripletMarginLoss({.margin = d.real(), .p = d.real(0, 3)}), d.tensor(sizes),
               d.tensor(sizes), d.tensor(sizes));
  });
  calls.add("CosineEmbeddingLoss", [](Draw& d) {
    const Sizes sizes = d.floating().sizes(2);
    return use(d, nn::CosineEmbeddingLoss(d.real(), d.reduction()), d.tensor(sizes),
               d.tensor(sizes), d.tensor({sizes[0]}));
  });
}

PadMode pad_mode(Draw& d) {
  return d.one_of({PadMode::zeros, PadMode::reflect, PadMode::replicate, PadMode::circular});
}

void add_weights(Calls& calls) {
  calls.add("Linear", [](Draw& d) {
    const int64_t in = d.integer(1, 5);
    return use(d, nn::Linear(in, d.integer(1, 5), {.bias = d.flag()}),
               d.tensor({d.length(), in}, DType::f32));
  });
  calls.add("Conv1d", [](Draw& d) {
    const int64_t in = 2 * d.between(1, 3);
    return use(d,
               nn::Conv1d(in, even(d), d.integer(1, 3),
                          {.stride = d.integer(1, 2),
                           .padding = d.integer(0, 2),
                           .dilation = d.integer(1, 2),
                           .groups = d.integer(1, 2),
                           .bias = d.flag(),
                           .padding_mode = pad_mode(d)}),
               d.tensor(signal(d, in), DType::f32));
  });
  calls.add("Conv2d", [](Draw& d) {
    const int64_t in = 2 * d.between(1, 3);
    return use(d,
               nn::Conv2d(in, even(d), d.size2d(1, 3),
                          {.stride = d.size2d(1, 2),
                           .padding = d.size2d(0, 2),
                           .dilation = d.size2d(1, 2),
                           .groups = d.integer(1, 2),
                           .bias = d.flag(),
                           .padding_mode = pad_mode(d),
                           .data_format = d.data_format()}),
               d.tensor(image(d, in), DType::f32));
  });
  calls.add("Conv3d", [](Draw& d) {
    const int64_t in = 2 * d.between(1, 2);
    return use(d,
               nn::Conv3d(in, even(d), d.size3d(1, 2),
                          {.stride = d.size3d(1, 2),
                           .padding = d.size3d(0, 1),
                           .dilation = d.size3d(1, 2),
                           .groups = d.integer(1, 2),
                           .bias = d.flag()}),
               d.tensor(volume(d, in), DType::f32));
  });
  calls.add("ConvTranspose1d", [](Draw& d) {
    const int64_t in = 2 * d.between(1, 2);
    nn::ConvTranspose1d layer(in, even(d), d.integer(1, 3),
                              {.stride = d.integer(1, 2),
                               .padding = d.integer(0, 1),
                               .output_padding = d.integer(0, 1),
                               .dilation = d.integer(1, 2),
                               .groups = d.integer(1, 2),
                               .bias = d.flag()});
    const Tensor x = d.tensor(signal(d, in), DType::f32);
    return d.flag() ? use(d, layer, x) : use(d, layer, x, d.integer(1, 20));
  });
  calls.add("ConvTranspose2d", [](Draw& d) {
    const int64_t in = 2 * d.between(1, 2);
    nn::ConvTranspose2d layer(in, even(d), d.size2d(1, 3),
                              {.stride = d.size2d(1, 2),
                               .padding = d.size2d(0, 1),
                               .output_padding = d.size2d(0, 1),
                               .dilation = d.size2d(1, 2),
                               .groups = d.integer(1, 2),
                               .bias = d.flag()});
    const Tensor x = d.tensor(image(d, in), DType::f32);
    return d.flag() ? use(d, layer, x) : use(d, layer, x, d.size2d(1, 20));
  });
  calls.add("Embedding", [](Draw& d) {
    return use(d,
               nn::Embedding(d.integer(4, 6), d.integer(1, 3),
                             {.padding_idx = d.maybe_integer(-4, 3),
                              .max_norm = d.maybe_real(0, 2),
                              .norm_type = d.real(0, 3)}),
               d.ids(d.sizes(2), 4));
  });
  calls.add("EmbeddingBag", [](Draw& d) {
    const nn::EmbeddingBag bag(d.integer(4, 6), d.integer(1, 3),
                               {.mode = d.one_of({BagMode::sum, BagMode::mean, BagMode::max}),
                                .include_last_offset = d.chance(0.2)});
    return d.flag() ? use(d, bag, d.ids(d.sizes(2), 4))
                    : use(d, bag, d.ids(d.sizes(1), 4), d.ids({2}, 1));
  });
}

template <class M>
Results normalize(Draw& d, const Sizes& of_nchw) {
  const double weight = d.real(0, 1);
  Sizes sizes = of_nchw;
  const int64_t channels = sizes[1];
  const DataFormat format = d.data_format();
  if (format == DataFormat::NHWC) {
    sizes.erase(sizes.begin() + 1);
    sizes.push_back(channels);
  }
  M norm(d.hostile() ? d.integer(1, 3) : channels,
         {.eps = d.real(0, 1),
          .momentum = d.flag() ? Momentum::update(weight) : Momentum::cumulative(),
          .affine = d.flag(),
          .gamma_init = d.real(),
          .beta_init = "normal",
          .use_batch_statistics = d.one_of<std::optional<bool>>({{}, true, false}),
          .data_format = format,
          .track_running_stats = d.flag(),
          .running_var = d.one_of({RunningVar::biased, RunningVar::unbiased}),
          .algorithm = d.one_of({BatchNormAlgorithm::automatic, BatchNormAlgorithm::onednn}),
          .skip_nonfinite = d.flag()});
  return use(d, norm, d.tensor(sizes, DType::f32));
}

template <class M>
Results normalize_each(Draw& d, const Sizes& sizes) {
  return use(d,
             M(d.hostile() ? d.integer(1, 3) : sizes[1], {.eps = d.real(0, 1),
                                                          .momentum = d.real(0, 1),
                                                          .affine = d.flag(),
                                                          .track_running_stats = d.flag()}),
             d.tensor(sizes, DType::f32));
}

void add_norms(Calls& calls) {
  calls.add("BatchNorm1d", [](Draw& d) {
    return normalize<nn::BatchNorm1d>(d, d.flag() ? signal(d, 3) : Sizes{d.length(), 3});
  });
  calls.add("BatchNorm2d", [](Draw& d) { return normalize<nn::BatchNorm2d>(d, image(d, 3)); });
  calls.add("BatchNorm3d", [](Draw& d) { return normalize<nn::BatchNorm3d>(d, volume(d, 3)); });
  calls.add("InstanceNorm1d",
            [](Draw& d) { return normalize_each<nn::InstanceNorm1d>(d, signal(d, 3)); });
  calls.add("InstanceNorm2d",
            [](Draw& d) { return normalize_each<nn::InstanceNorm2d>(d, image(d, 3)); });
  calls.add("InstanceNorm3d",
            [](Draw& d) { return normalize_each<nn::InstanceNorm3d>(d, volume(d, 3)); });
  calls.add("LayerNorm", [](Draw& d) {
    return use(
        d,
        nn::LayerNorm(d.integers(1, 3, 3),
                      {.eps = d.real(0, 1), .elementwise_affine = d.flag(), .bias = d.flag()}),
        d.tensor({2, d.length(), 3}, DType::f32));
  });
  calls.add("RMSNorm", [](Draw& d) {
    return use(
        d, nn::RMSNorm(d.integers(1, 3, 3), {.eps = d.real(0, 1), .elementwise_affine = d.flag()}),
        d.tensor({2, d.length(), 3}, DType::f32));
  });
  calls.add("GroupNorm", [](Draw& d) {
    return use(
        d,
        nn::GroupNorm(d.integer(1, 2), d.integer(4, 4), {.eps = d.real(0, 1), .affine = d.flag()}),
        d.tensor({2, 4, d.length()}, DType::f32));
  });
}

void add_pools(Calls& calls) {
  calls.add("MaxPool1d", [](Draw& d) {
    return use(d,
               nn::MaxPool1d(d.integer(1, 3), {.stride = d.maybe_integer(1, 2),
                                               .padding = d.integer(0, 1),
                                               .dilation = d.integer(1, 2),
                                               .ceil_mode = d.flag()}),
               d.floating().tensor(signal(d, 2)));
  });
  calls.add("MaxPool2d", [](Draw& d) {
    return use(d,
               nn::MaxPool2d(d.size2d(1, 3), {.stride = d.maybe_size2d(1, 2),
                                              .padding = d.size2d(0, 1),
                                              .dilation = d.size2d(1, 2),
                                              .ceil_mode = d.flag()}),
               d.floating().tensor(image(d, 2)));
  });
  calls.add("MaxPool3d", [](Draw& d) {
    return use(d,
               nn::MaxPool3d(d.size3d(1, 3), {.stride = d.maybe_size3d(1, 2),
                                              .padding = d.size3d(0, 1),
                                              .dilation = d.size3d(1, 2),
                                              .ceil_mode = d.flag()}),
               d.floating().tensor(volume(d, 2)));
  });
  calls.add("AvgPool1d", [](Draw& d) {
    return use(d,
               nn::AvgPool1d(d.integer(1, 3), {.stride = d.maybe_integer(1, 2),
                                               .padding = d.integer(0, 1),
                                               .ceil_mode = d.flag(),
                                               .count_include_pad = d.flag()}),
               d.floating().tensor(signal(d, 2)));
  });
  calls.add("AvgPool2d", [](Draw& d) {
    return use(d,
               nn::AvgPool2d(d.size2d(1, 3), {.stride = d.maybe_size2d(1, 2),
                                              .padding = d.size2d(0, 1),
                                              .ceil_mode = d.flag(),
                                              .count_include_pad = d.flag()}),
               d.floating().tensor(image(d, 2)));
  });
  calls.add("AvgPool3d", [](Draw& d) {
    return use(d,
               nn::AvgPool3d(d.size3d(1, 3), {.stride = d.maybe_size3d(1, 2),
                                              .padding = d.size3d(0, 1),
                                              .ceil_mode = d.flag(),
                                              .count_include_pad = d.flag()}),
               d.floating().tensor(volume(d, 2)));
  });
  calls.add("AdaptiveAvgPool1d", [](Draw& d) {
    return use(d, nn::AdaptiveAvgPool1d(d.integer(1, 4)), d.floating().tensor(signal(d, 2)));
  });
  calls.add("AdaptiveAvgPool2d", [](Draw& d) {
    return use(d, nn::AdaptiveAvgPool2d(d.size2d(1, 4)), d.floating().tensor(image(d, 2)));
  });
  calls.add("AdaptiveAvgPool3d", [](Draw& d) {
    return use(d, nn::AdaptiveAvgPool3d(d.size3d(1, 4)), d.floating().tensor(volume(d, 2)));
  });
  calls.add("AdaptiveMaxPool1d", [](Draw& d) {
    return use(d, nn::AdaptiveMaxPool1d(d.integer(1, 4)), d.floating().tensor(signal(d, 2)));
  });
  calls.add("AdaptiveMaxPool2d", [](Draw& d) {
    return use(d, nn::AdaptiveMaxPool2d(d.size2d(1, 4)), d.floating().tensor(image(d, 2)));
  });
}

}  // namespace

Calls layers() {
  Calls calls("layers");
  add_functions(calls);
  add_losses(calls);
  add_weights(calls);
  add_norms(calls);
  add_pools(calls);
  add_sequence_layers(calls);
  return calls;
}

}  // namespace tern::fuzz
