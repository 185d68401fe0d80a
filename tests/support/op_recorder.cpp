// SPDX-License-Identifier: Apache-2.0
#include "op_recorder.h"

#include <tern/ops/internal/attention.h>
#include <tern/ops/internal/conv_batch_norm.h>
#include <tern/ops/internal/rnn.h>

#include <cmath>
#include <functional>

namespace tern::test {

namespace {

using Sizes = std::vector<int64_t>;

Size2d size_of(const Recorded& op, const char* name) {
  const auto& sizes = op.get<Sizes>(name);
  return {sizes.at(0), sizes.at(1)};
}

Size3d volume_of(const Recorded& op, const char* name) {
  const auto& sizes = op.get<Sizes>(name);
  return {sizes.at(0), sizes.at(1), sizes.at(2)};
}

DataFormat data_format(const Recorded& op) {
  return op.get<std::string>("data_format") == "NHWC" ? DataFormat::NHWC : DataFormat::NCHW;
}

MemoryFormat memory_format(const Recorded& op, const char* name) {
  const bool last = op.get<std::string>(name) == to_string(MemoryFormat::channels_last);
  return last ? MemoryFormat::channels_last : MemoryFormat::row_major;
}

Reduction reduction(const Recorded& op) {
  const auto& name = op.get<std::string>("reduction");
  if (name == "none") return Reduction::none;
  return name == "sum" ? Reduction::sum : Reduction::mean;
}

Conv2dOptions conv_options(const Recorded& op) {
  const bool direct = op.get<std::string>("algorithm") == "direct";
  return {.stride = size_of(op, "stride"),
          .padding = size_of(op, "padding"),
          .dilation = size_of(op, "dilation"),
          .groups = op.get<int64_t>("groups"),
          .data_format = data_format(op),
          .algorithm = direct ? ConvAlgorithm::direct : ConvAlgorithm::automatic};
}

BatchNormOptions norm_options(const Recorded& op) {
  const bool onednn = op.get<std::string>("algorithm") == "onednn";
  const bool biased = op.get<std::string>("running_var") == "biased";
  return {.training = op.get<bool>("training"),
          .update_running = op.get<bool>("update_running"),
          .momentum = Momentum::update(op.get<double>("weight_of_new")),
          .eps = op.get<double>("eps"),
          .running_var = biased ? RunningVar::biased : RunningVar::unbiased,
          .data_format = data_format(op),
          .algorithm = onednn ? BatchNormAlgorithm::onednn : BatchNormAlgorithm::automatic,
          .skip_nonfinite = op.get<bool>("skip_nonfinite")};
}

Conv1dOptions conv1d_options(const Recorded& op) {
  return {.stride = op.get<int64_t>("stride"),
          .padding = op.get<int64_t>("padding"),
          .dilation = op.get<int64_t>("dilation"),
          .groups = op.get<int64_t>("groups")};
}

Interpolation interpolation(const Recorded& op) {
  const auto& name = op.get<std::string>("mode");
  if (name == "nearest") return Interpolation::nearest;
  return name == "area" ? Interpolation::area : Interpolation::bilinear;
}

template <class Options>
Options table_options(const Recorded& op) {
  Options options;
  const auto& padding = op.get<Sizes>("padding_idx");
  if (!padding.empty()) options.padding_idx = padding[0];
  const auto max_norm = op.get<double>("max_norm");
  if (std::isfinite(max_norm)) options.max_norm = max_norm;
  options.norm_type = op.get<double>("norm_type");
  return options;
}

EmbeddingBagOptions bag_options(const Recorded& op) {
  auto options = table_options<EmbeddingBagOptions>(op);
  const auto& mode = op.get<std::string>("mode");
  options.mode = mode == "sum" ? BagMode::sum : mode == "max" ? BagMode::max : BagMode::mean;
  options.include_last_offset = op.get<bool>("include_last_offset");
  return options;
}

AttentionOptions attention_options(const Recorded& op) {
  AttentionOptions options{.dropout_p = op.get<double>("dropout_p"),
                           .is_causal = op.get<bool>("is_causal")};
  const auto scale = op.get<double>("scale");
  if (!std::isnan(scale)) options.scale = scale;
  return options;
}

SequenceAxes sequence_axes(const Recorded& op) {
  return op.get<bool>("batch_first") ? SequenceAxes::batch_first : SequenceAxes::sequence_first;
}

std::optional<Size2d> stride(const Recorded& op) {
  if (op.get<Sizes>("stride").empty()) return std::nullopt;
  return size_of(op, "stride");
}

std::optional<int64_t> signal_stride(const Recorded& op) {
  const auto& sizes = op.get<Sizes>("stride");
  return sizes.empty() ? std::nullopt : std::optional(sizes[0]);
}

std::optional<Size3d> volume_stride(const Recorded& op) {
  if (op.get<Sizes>("stride").empty()) return std::nullopt;
  return volume_of(op, "stride");
}

using Again = std::function<Tensor(const Recorded&)>;

// Of two tensors, of a tensor and a number after it, and of a number before a tensor.
template <class Both, class After, class Before>
Again binary(Both both, After after, Before before) {
  return [=](const Recorded& op) -> Tensor {
    if (op.inputs.size() == 2) return both(op.in(0), op.in(1));
    if (op.call.attributes.at(0).name == "a") return before(op.get<double>("a"), op.in(0));
    return after(op.in(0), op.get<double>("b"));
  };
}
template <class F>
Again comparison(F f) {
  return [=](const Recorded& op) -> Tensor {
    if (op.inputs.size() == 2) return f(op.in(0), op.in(1));
    return f(op.in(0), op.get<double>("b"));
  };
}
// Of x and a tensor, perhaps with its factor, or of x and a number.
template <class F>
Again in_place(F f, const char* factor = nullptr) {
  return [=](const Recorded& op) {
    const NoGrad no_grad;
    if (op.inputs.size() == 1) {
      f(op.in(0), op.get<double>("y"));
    } else if constexpr (std::is_invocable_v<F, Tensor, Tensor, double>) {
      f(op.in(0), op.in(1), op.get<double>(factor));
    } else {
      f(op.in(0), op.in(1));
    }
    return op.in(0);
  };
}
Again unary(Tensor (*f)(const Tensor&)) {
  return [=](const Recorded& op) { return f(op.in(0)); };
}
Again reduction(Tensor (*f)(const Tensor&, const IntList&, bool)) {
  return [=](const Recorded& op) {
    return f(op.in(0), op.get<Sizes>("axes"), op.get<bool>("keepdim"));
  };
}
// Along an axis, or over everything.
template <class F>
Again place(F f) {
  return [=](const Recorded& op) -> Tensor {
    if (op.call.attributes.empty()) return f(op.in(0));
    return f(op.in(0), op.get<int64_t>("axis"), op.get<bool>("keepdim"));
  };
}
Again spread(Tensor (*f)(const Tensor&, const IntList&, const VarOptions&)) {
  return [=](const Recorded& op) {
    return f(op.in(0), op.get<Sizes>("axes"),
             {.correction = op.get<double>("correction"), .keepdim = op.get<bool>("keepdim")});
  };
}
Again along(Tensor (*f)(const Tensor&, int64_t)) {
  return [=](const Recorded& op) { return f(op.in(0), op.get<int64_t>("axis")); };
}

Again indexed_along(Tensor (*f)(const Tensor&, int64_t, const Tensor&)) {
  return [=](const Recorded& op) { return f(op.in(0), op.get<int64_t>("axis"), op.in(1)); };
}
// Four numbers for each: which of Index's kinds, and its values; tensors follow x.
std::vector<Index> indices(const Recorded& op) {
  const auto& numbers = op.get<Sizes>("indices");
  std::vector<Index> indices;
  size_t next = 1;
  for (size_t i = 0; i < numbers.size(); i += 4) {
    if (numbers[i] == 0) {
      indices.push_back(numbers[i + 1]);
    } else if (numbers[i] == 1) {
      indices.push_back(Range(numbers[i + 1], numbers[i + 2], numbers[i + 3]));
    } else {
      indices.push_back(op.in(next++));
    }
  }
  return indices;
}

const std::map<std::string, Again>& table() {
  static const std::map<std::string, Again> instance = {
      {"add", binary([](const Tensor& a, const Tensor& b) { return a + b; },
                     [](const Tensor& a, double b) { return a + b; },
                     [](double a, const Tensor& b) { return a + b; })},
      {"sub", binary([](const Tensor& a, const Tensor& b) { return a - b; },
                     [](const Tensor& a, double b) { return a - b; },
                     [](double a, const Tensor& b) { return a - b; })},
      {"mul", binary([](const Tensor& a, const Tensor& b) { return a * b; },
                     [](const Tensor& a, double b) { return a * b; },
                     [](double a, const Tensor& b) { return a * b; })},
      {"div", binary([](const Tensor& a, const Tensor& b) { return a / b; },
                     [](const Tensor& a, double b) { return a / b; },
                     [](double a, const Tensor& b) { return a / b; })},
      {"pow",
       [](const Recorded& op) {
         if (op.inputs.size() == 2) return pow(op.in(0), op.in(1));
         if (op.call.attributes.at(0).name == "a") return pow(op.get<double>("a"), op.in(0));
         return pow(op.in(0), op.get<double>("exponent"));
       }},
      {"eq", comparison([](const Tensor& a, const auto& b) { return eq(a, b); })},
      {"ne", comparison([](const Tensor& a, const auto& b) { return ne(a, b); })},
      {"lt", comparison([](const Tensor& a, const auto& b) { return lt(a, b); })},
      {"le", comparison([](const Tensor& a, const auto& b) { return le(a, b); })},
      {"gt", comparison([](const Tensor& a, const auto& b) { return gt(a, b); })},
      {"ge", comparison([](const Tensor& a, const auto& b) { return ge(a, b); })},
      {"minimum", [](const Recorded& op) { return minimum(op.in(0), op.in(1)); }},
      {"maximum", [](const Recorded& op) { return maximum(op.in(0), op.in(1)); }},
      {"remainder", [](const Recorded& op) { return remainder(op.in(0), op.in(1)); }},
      {"logical_and", [](const Recorded& op) { return logical_and(op.in(0), op.in(1)); }},
      {"logical_or", [](const Recorded& op) { return logical_or(op.in(0), op.in(1)); }},
      {"logical_xor", [](const Recorded& op) { return logical_xor(op.in(0), op.in(1)); }},
      {"logical_not", unary(logical_not)},
      {"lerp",
       [](const Recorded& op) {
         if (op.inputs.size() == 3) return lerp(op.in(0), op.in(1), op.in(2));
         return lerp(op.in(0), op.in(1), op.get<double>("weight"));
       }},
      {"addcmul",
       [](const Recorded& op) {
         return addcmul(op.in(0), op.in(1), op.in(2), op.get<double>("value"));
       }},
      {"addcdiv",
       [](const Recorded& op) {
         return addcdiv(op.in(0), op.in(1), op.in(2), op.get<double>("value"));
       }},
      {"neg", unary(neg)},
      {"exp", unary(exp)},
      {"log", unary(log)},
      {"log1p", unary(log1p)},
      {"log2", unary(log2)},
      {"log10", unary(log10)},
      {"expm1", unary(expm1)},
      {"rsqrt", unary(rsqrt)},
      {"atan", unary(atan)},
      {"floor", unary(floor)},
      {"ceil", unary(ceil)},
      {"round", unary(round)},
      {"trunc", unary(trunc)},
      {"sign", unary(sign)},
      {"isnan", unary(isnan)},
      {"isinf", unary(isinf)},
      {"isfinite", unary(isfinite)},
      {"nan_to_num",
       [](const Recorded& op) {
         return nan_to_num(op.in(0), op.get<double>("nan"), op.get<double>("posinf"),
                           op.get<double>("neginf"));
       }},
      {"square", unary(square)},
      {"clamp",
       [](const Recorded& op) {
         if (op.inputs.size() == 3) return clamp(op.in(0), op.in(1), op.in(2));
         return clamp(op.in(0), op.get<double>("lo"), op.get<double>("hi"));
       }},
      {"elu", [](const Recorded& op) { return elu(op.in(0), op.get<double>("alpha")); }},
      {"softplus",
       [](const Recorded& op) {
         return softplus(op.in(0), op.get<double>("beta"), op.get<double>("threshold"));
       }},
      {"sqrt", unary(sqrt)},
      {"abs", unary(abs)},
      {"sin", unary(sin)},
      {"cos", unary(cos)},
      {"erf", unary(erf)},
      {"relu", unary(relu)},
      {"sigmoid", unary(sigmoid)},
      {"tanh", unary(tanh)},
      {"gelu", unary(gelu)},
      {"gelu_tanh",
       [](const Recorded& op) {
         return gelu(op.in(0), {.approximate = GeluApproximation::tanh});
       }},
      {"hardtanh",
       [](const Recorded& op) {
         return hardtanh(op.in(0), op.get<double>("min_val"), op.get<double>("max_val"));
       }},
      {"hardsigmoid", unary(hardsigmoid)},
      {"hardswish", unary(hardswish)},
      {"mish", unary(mish)},
      {"logsigmoid", unary(logsigmoid)},
      {"softsign", unary(softsign)},
      {"prelu", [](const Recorded& op) { return prelu(op.in(0), op.in(1)); }},
      {"glu", along(glu)},
      {"silu", unary(silu)},
      {"leaky_relu",
       [](const Recorded& op) { return leaky_relu(op.in(0), op.get<double>("negative_slope")); }},
      {"add_relu", [](const Recorded& op) { return add_relu(op.in(0), op.in(1)); }},
      {"where",
       [](const Recorded& op) {
         if (op.inputs.size() == 3) return where(op.in(0), op.in(1), op.in(2));
         if (op.call.attributes.at(0).name == "a") {
           return where(op.in(0), op.get<double>("a"), op.in(1));
         }
         return where(op.in(0), op.in(1), op.get<double>("b"));
       }},
      {"masked_fill",
       [](const Recorded& op) {
         return masked_fill(op.in(0), op.in(1), op.get<double>("value"));
       }},
      {"sum_to", [](const Recorded& op) { return sum_to(op.in(0), op.get<Shape>("shape")); }},
      {"broadcast_to",
       [](const Recorded& op) { return broadcast_to(op.in(0), op.get<Shape>("shape")); }},
      {"sum", reduction(sum)},
      {"mean", reduction(mean)},
      {"max", reduction(max)},
      {"min", reduction(min)},
      {"prod", reduction(prod)},
      {"any", reduction(any)},
      {"all", reduction(all)},
      {"count_nonzero", reduction(count_nonzero)},
      {"logsumexp", reduction(logsumexp)},
      {"argmax", place([](auto... args) { return argmax(args...); })},
      {"argmin", place([](auto... args) { return argmin(args...); })},
      {"median", place([](auto... args) { return median(args...); })},
      {"var", spread(var)},
      {"std", spread(tern::std)},
      {"norm",
       [](const Recorded& op) {
         return norm(op.in(0), op.get<double>("p"), op.get<Sizes>("axes"),
                     op.get<bool>("keepdim"));
       }},
      {"normalize",
       [](const Recorded& op) {
         return normalize(op.in(0), {.p = op.get<double>("p"),
                                     .axis = op.get<int64_t>("axis"),
                                     .eps = op.get<double>("eps")});
       }},
      {"cumsum", along(cumsum)},
      {"softmax", along(softmax)},
      {"log_softmax", along(log_softmax)},
      {"unsqueeze", along(unsqueeze)},
      {"squeeze",
       [](const Recorded& op) {
         return op.call.attributes.empty() ? squeeze(op.in(0))
                                           : squeeze(op.in(0), op.get<int64_t>("axis"));
       }},
      {"matmul", [](const Recorded& op) { return matmul(op.in(0), op.in(1)); }},
      {"linear", [](const Recorded& op) { return linear(op.in(0), op.in(1), op.in(2)); }},
      {"conv2d",
       [](const Recorded& op) { return conv2d(op.in(0), op.in(1), op.in(2), conv_options(op)); }},
      {"conv2d_relu",
       [](const Recorded& op) {
         return conv2d_relu(op.in(0), op.in(1), op.in(2), conv_options(op));
       }},
      {"conv1d",
       [](const Recorded& op) { return conv1d(op.in(0), op.in(1), op.in(2), conv1d_options(op)); }},
      {"conv3d",
       [](const Recorded& op) {
         return conv3d(op.in(0), op.in(1), op.in(2),
                       {.stride = volume_of(op, "stride"),
                        .padding = volume_of(op, "padding"),
                        .dilation = volume_of(op, "dilation"),
                        .groups = op.get<int64_t>("groups")});
       }},
      {"max_pool3d",
       [](const Recorded& op) {
         return max_pool3d(op.in(0), volume_of(op, "kernel"),
                           {.stride = volume_stride(op),
                            .padding = volume_of(op, "padding"),
                            .dilation = volume_of(op, "dilation"),
                            .ceil_mode = op.get<bool>("ceil_mode")});
       }},
      {"avg_pool3d",
       [](const Recorded& op) {
         return avg_pool3d(op.in(0), volume_of(op, "kernel"),
                           {.stride = volume_stride(op),
                            .padding = volume_of(op, "padding"),
                            .ceil_mode = op.get<bool>("ceil_mode"),
                            .count_include_pad = op.get<bool>("count_include_pad")});
       }},
      {"adaptive_avg_pool3d",
       [](const Recorded& op) {
         return adaptive_avg_pool3d(op.in(0), volume_of(op, "output_size"));
       }},
      {"conv_transpose1d",
       [](const Recorded& op) {
         return conv_transpose1d(op.in(0), op.in(1), op.in(2),
                                 {.stride = op.get<int64_t>("stride"),
                                  .padding = op.get<int64_t>("padding"),
                                  .output_padding = op.get<int64_t>("output_padding"),
                                  .dilation = op.get<int64_t>("dilation"),
                                  .groups = op.get<int64_t>("groups")});
       }},
      {"conv_transpose2d",
       [](const Recorded& op) {
         const Conv2dOptions options = conv_options(op);
         return conv_transpose2d(op.in(0), op.in(1), op.in(2),
                                 {.stride = options.stride,
                                  .padding = options.padding,
                                  .output_padding = size_of(op, "output_padding"),
                                  .dilation = options.dilation,
                                  .groups = options.groups,
                                  .data_format = options.data_format,
                                  .algorithm = options.algorithm});
       }},
      {"interpolate",
       [](const Recorded& op) {
         return interpolate(op.in(0),
                            {.size = size_of(op, "size"),
                             .scale_factor = {op.get<double>("scale_h"), op.get<double>("scale_w")},
                             .mode = interpolation(op),
                             .align_corners = op.get<bool>("align_corners"),
                             .data_format = data_format(op)});
       }},
      {"pixel_shuffle",
       [](const Recorded& op) {
         return pixel_shuffle(op.in(0), op.get<int64_t>("upscale_factor"));
       }},
      {"pixel_unshuffle",
       [](const Recorded& op) {
         return pixel_unshuffle(op.in(0), op.get<int64_t>("downscale_factor"));
       }},
      {"conv2d_batch_norm",
       [](const Recorded& op) {
         return conv2d_batch_norm(op.in(0), op.in(1), op.in(2),
                                  {.running_mean = op.in(3),
                                   .running_var = op.in(4),
                                   .weight = op.in(5),
                                   .bias = op.in(6),
                                   .eps = op.get<double>("eps"),
                                   .relu = op.get<bool>("relu")},
                                  conv_options(op));
       }},
      {"batch_norm",
       [](const Recorded& op) {
         return batch_norm(op.in(0), op.in(1), op.in(2), op.in(3), op.in(4), norm_options(op));
       }},
      {"batch_norm_relu",
       [](const Recorded& op) {
         return batch_norm_relu(op.in(0), op.in(1), op.in(2), op.in(3), op.in(4), norm_options(op));
       }},
      {"layer_norm",
       [](const Recorded& op) {
         return layer_norm(op.in(0), op.get<Sizes>("normalized_shape"), op.in(1), op.in(2),
                           op.get<double>("eps"));
       }},
      {"rms_norm",
       [](const Recorded& op) {
         return rms_norm(op.in(0), op.get<Sizes>("normalized_shape"), op.in(1),
                         op.get<double>("eps"));
       }},
      {"group_norm",
       [](const Recorded& op) {
         return group_norm(op.in(0), op.get<int64_t>("num_groups"), op.in(1), op.in(2),
                           op.get<double>("eps"));
       }},
      {"instance_norm",
       [](const Recorded& op) {
         return instance_norm(op.in(0), op.in(1), op.in(2), op.in(3), op.in(4),
                              {.use_input_stats = op.get<bool>("use_input_stats"),
                               .momentum = op.get<double>("momentum"),
                               .eps = op.get<double>("eps")});
       }},
      {"scaled_dot_product_attention",
       [](const Recorded& op) {
         return scaled_dot_product_attention(op.in(0), op.in(1), op.in(2), op.in(3),
                                             attention_options(op));
       }},
      {"attention_of_heads",
       [](const Recorded& op) {
         return attention_of_heads(op.in(0), op.in(1), op.in(2), op.get<int64_t>("heads"),
                                   sequence_axes(op), op.in(3), attention_options(op));
       }},
      {"attention_with_weights",
       [](const Recorded& op) {
         return attention_with_weights(op.in(0), op.in(1), op.in(2), op.get<int64_t>("heads"),
                                       sequence_axes(op), op.in(3), attention_options(op))
             .first;
       }},
      {"max_pool2d",
       [](const Recorded& op) {
         return max_pool2d(op.in(0), size_of(op, "kernel"),
                           {.stride = stride(op),
                            .padding = size_of(op, "padding"),
                            .dilation = size_of(op, "dilation"),
                            .ceil_mode = op.get<bool>("ceil_mode"),
                            .data_format = data_format(op)});
       }},
      {"avg_pool2d",
       [](const Recorded& op) {
         return avg_pool2d(op.in(0), size_of(op, "kernel"),
                           {.stride = stride(op),
                            .padding = size_of(op, "padding"),
                            .ceil_mode = op.get<bool>("ceil_mode"),
                            .count_include_pad = op.get<bool>("count_include_pad"),
                            .data_format = data_format(op)});
       }},
      {"adaptive_avg_pool2d",
       [](const Recorded& op) {
         return adaptive_avg_pool2d(op.in(0), size_of(op, "output_size"), data_format(op));
       }},
      {"adaptive_max_pool2d",
       [](const Recorded& op) {
         return adaptive_max_pool2d(op.in(0), size_of(op, "output_size"), data_format(op));
       }},
      {"max_pool1d",
       [](const Recorded& op) {
         return max_pool1d(op.in(0), op.get<int64_t>("kernel"),
                           {.stride = signal_stride(op),
                            .padding = op.get<int64_t>("padding"),
                            .dilation = op.get<int64_t>("dilation"),
                            .ceil_mode = op.get<bool>("ceil_mode")});
       }},
      {"avg_pool1d",
       [](const Recorded& op) {
         return avg_pool1d(op.in(0), op.get<int64_t>("kernel"),
                           {.stride = signal_stride(op),
                            .padding = op.get<int64_t>("padding"),
                            .ceil_mode = op.get<bool>("ceil_mode"),
                            .count_include_pad = op.get<bool>("count_include_pad")});
       }},
      {"adaptive_avg_pool1d",
       [](const Recorded& op) {
         return adaptive_avg_pool1d(op.in(0), op.get<int64_t>("output_size"));
       }},
      {"adaptive_max_pool1d",
       [](const Recorded& op) {
         return adaptive_max_pool1d(op.in(0), op.get<int64_t>("output_size"));
       }},
      {"unflatten",
       [](const Recorded& op) {
         return unflatten(op.in(0), op.get<int64_t>("axis"), op.get<Sizes>("sizes"));
       }},
      {"flip", [](const Recorded& op) { return flip(op.in(0), op.get<Sizes>("axes")); }},
      {"roll",
       [](const Recorded& op) {
         return roll(op.in(0), op.get<Sizes>("shifts"), op.get<Sizes>("axes"));
       }},
      {"rot90",
       [](const Recorded& op) {
         return rot90(op.in(0), op.get<int64_t>("k"), op.get<Sizes>("axes"));
       }},
      {"repeat", [](const Recorded& op) { return repeat(op.in(0), op.get<Sizes>("times")); }},
      {"hstack", [](const Recorded& op) { return hstack(op.inputs); }},
      {"vstack", [](const Recorded& op) { return vstack(op.inputs); }},
      {"pad",
       [](const Recorded& op) {
         PadOptions options{.value = op.get<double>("value")};
         for (const PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::circular}) {
           if (op.get<std::string>("mode") == to_string(mode)) options.mode = mode;
         }
         return pad(op.in(0), op.get<Sizes>("amounts"), options);
       }},
      {"sort",
       [](const Recorded& op) {
         return sort(op.in(0), op.get<int64_t>("axis"), op.get<bool>("descending")).first;
       }},
      {"argsort",
       [](const Recorded& op) {
         return argsort(op.in(0), op.get<int64_t>("axis"), op.get<bool>("descending"));
       }},
      {"topk",
       [](const Recorded& op) {
         return topk(op.in(0), op.get<int64_t>("count"), op.get<int64_t>("axis"),
                     op.get<bool>("largest"))
             .first;
       }},
      {"randint",
       [](const Recorded& op) {
         return randint(op.get<int64_t>("low"), op.get<int64_t>("high"), op.get<Shape>("shape"),
                        op.get<DType>("dtype"));
       }},
      {"randperm", [](const Recorded& op) { return randperm(op.get<int64_t>("n")); }},
      {"linspace",
       [](const Recorded& op) {
         return linspace(op.get<double>("start"), op.get<double>("end"), op.get<int64_t>("count"),
                         op.get<DType>("dtype"));
       }},
      {"eye",
       [](const Recorded& op) {
         return eye(op.get<int64_t>("rows"), op.get<int64_t>("columns"), op.get<DType>("dtype"));
       }},
      {"tril", [](const Recorded& op) { return tril(op.in(0), op.get<int64_t>("offset")); }},
      {"triu", [](const Recorded& op) { return triu(op.in(0), op.get<int64_t>("offset")); }},
      {"diag", [](const Recorded& op) { return diag(op.in(0), op.get<int64_t>("offset")); }},
      {"meshgrid", [](const Recorded& op) { return meshgrid(op.inputs)[0]; }},
      {"one_hot", [](const Recorded& op) { return one_hot(op.in(0), op.get<int64_t>("count")); }},
      {"bernoulli", [](const Recorded& op) { return bernoulli(op.in(0)); }},
      {"normal",
       [](const Recorded& op) {
         if (op.inputs.size() == 2) return normal(op.in(0), op.in(1));
         if (op.inputs.empty()) {
           return normal(op.get<double>("mean"), op.get<double>("std"), op.get<Shape>("shape"),
                         op.get<DType>("dtype"));
         }
         if (op.call.attributes.at(0).name == "mean") {
           return normal(op.get<double>("mean"), op.in(0));
         }
         return normal(op.in(0), op.get<double>("std"));
       }},
      {"multinomial",
       [](const Recorded& op) {
         return multinomial(op.in(0), op.get<int64_t>("count"), op.get<bool>("replacement"));
       }},
      {"bmm", [](const Recorded& op) { return bmm(op.in(0), op.in(1)); }},
      {"dot", [](const Recorded& op) { return dot(op.in(0), op.in(1)); }},
      {"outer", [](const Recorded& op) { return outer(op.in(0), op.in(1)); }},
      {"addmm",
       [](const Recorded& op) {
         return addmm(op.in(0), op.in(1), op.in(2),
                      {.beta = op.get<double>("beta"), .alpha = op.get<double>("alpha")});
       }},
      {"einsum",
       [](const Recorded& op) { return einsum(op.get<std::string>("equation"), op.inputs); }},
      {"cosine_similarity",
       [](const Recorded& op) {
         return cosine_similarity(
             op.in(0), op.in(1),
             {.axis = op.get<int64_t>("axis"), .eps = op.get<double>("eps")});
       }},
      {"pairwise_distance",
       [](const Recorded& op) {
         return pairwise_distance(op.in(0), op.in(1),
                                  {.p = op.get<double>("p"),
                                   .eps = op.get<double>("eps"),
                                   .keepdim = op.get<bool>("keepdim")});
       }},
      {"cdist", [](const Recorded& op) { return cdist(op.in(0), op.in(1), op.get<double>("p")); }},
      {"lstm",
       [](const Recorded& op) {
         const RecurrentWeights weights{op.in(3), op.in(4), op.in(5), op.in(6), op.in(7)};
         return recurrent(RecurrentCell::lstm, op.in(0), op.in(1), op.in(2), weights,
                          op.get<bool>("reverse"), op.get<Sizes>("lengths"))[0];
       }},
      {"dropout",
       [](const Recorded& op) {
         return dropout(op.in(0), op.get<double>("p"), op.get<bool>("training"));
       }},
      {"dropout2d",
       [](const Recorded& op) {
         return dropout2d(op.in(0), op.get<double>("p"), op.get<bool>("training"));
       }},
      {"cross_entropy",
       [](const Recorded& op) {
         return cross_entropy(op.in(0), op.in(1),
                              {.ignore_index = op.get<int64_t>("ignore_index"),
                               .label_smoothing = op.get<double>("label_smoothing"),
                               .reduction = reduction(op),
                               .weight = op.in(2)});
       }},
      {"nll_loss",
       [](const Recorded& op) {
         return nll_loss(op.in(0), op.in(1),
                         {.weight = op.in(2),
                          .ignore_index = op.get<int64_t>("ignore_index"),
                          .reduction = reduction(op)});
       }},
      {"binary_cross_entropy",
       [](const Recorded& op) {
         return binary_cross_entropy(op.in(0), op.in(1),
                                     {.weight = op.in(2), .reduction = reduction(op)});
       }},
      {"binary_cross_entropy_with_logits",
       [](const Recorded& op) {
         return binary_cross_entropy_with_logits(
             op.in(0), op.in(1),
             {.weight = op.in(2), .pos_weight = op.in(3), .reduction = reduction(op)});
       }},
      {"l1_loss", [](const Recorded& op) { return l1_loss(op.in(0), op.in(1), reduction(op)); }},
      {"smooth_l1_loss",
       [](const Recorded& op) {
         return smooth_l1_loss(op.in(0), op.in(1), reduction(op), op.get<double>("beta"));
       }},
      {"huber_loss",
       [](const Recorded& op) {
         return huber_loss(op.in(0), op.in(1), reduction(op), op.get<double>("delta"));
       }},
      {"kl_div",
       [](const Recorded& op) {
         return kl_div(op.in(0), op.in(1), reduction(op), op.get<bool>("log_target"));
       }},
      {"ctc_loss",
       [](const Recorded& op) {
         return ctc_loss(op.in(0), op.in(1), op.in(2), op.in(3),
                         {.blank = op.get<int64_t>("blank"),
                          .reduction = reduction(op),
                          .zero_infinity = op.get<bool>("zero_infinity")});
       }},
      {"margin_ranking_loss",
       [](const Recorded& op) {
         return margin_ranking_loss(op.in(0), op.in(1), op.in(2), op.get<double>("margin"),
                                    reduction(op));
       }},
      {"triplet_margin_loss",
       [](const Recorded& op) {
         return triplet_margin_loss(op.in(0), op.in(1), op.in(2),
                                    {.margin = op.get<double>("margin"),
                                     .p = op.get<double>("p"),
                                     .eps = op.get<double>("eps"),
                                     .swap = op.get<bool>("swap"),
                                     .reduction = reduction(op)});
       }},
      {"cosine_embedding_loss",
       [](const Recorded& op) {
         return cosine_embedding_loss(op.in(0), op.in(1), op.in(2), op.get<double>("margin"),
                                      reduction(op));
       }},
      {"mse_loss", [](const Recorded& op) { return mse_loss(op.in(0), op.in(1), reduction(op)); }},
      {"reshape", [](const Recorded& op) { return reshape(op.in(0), op.get<Sizes>("sizes")); }},
      {"flatten",
       [](const Recorded& op) {
         return flatten(op.in(0), op.get<int64_t>("start_axis"), op.get<int64_t>("end_axis"));
       }},
      {"transpose",
       [](const Recorded& op) {
         return transpose(op.in(0), op.get<int64_t>("a"), op.get<int64_t>("b"));
       }},
      {"permute", [](const Recorded& op) { return permute(op.in(0), op.get<Sizes>("axes")); }},
      {"slice",
       [](const Recorded& op) {
         return slice(op.in(0), op.get<int64_t>("axis"), op.get<int64_t>("start"),
                      op.get<int64_t>("end"), op.get<int64_t>("step"));
       }},
      {"select",
       [](const Recorded& op) {
         return select(op.in(0), op.get<int64_t>("axis"), op.get<int64_t>("i"));
       }},
      {"narrow",
       [](const Recorded& op) {
         return narrow(op.in(0), op.get<int64_t>("axis"), op.get<int64_t>("start"),
                       op.get<int64_t>("length"));
       }},
      {"stack", [](const Recorded& op) { return stack(op.inputs, op.get<int64_t>("axis")); }},
      {"index_select", indexed_along(index_select)},
      {"embedding",
       [](const Recorded& op) {
         return embedding(op.in(0), op.in(1), table_options<EmbeddingOptions>(op));
       }},
      {"embedding_bag",
       [](const Recorded& op) {
         return embedding_bag(op.in(0), op.in(1), op.in(2), op.in(3), bag_options(op));
       }},
      {"gather", indexed_along(gather)},
      {"take_along", indexed_along(take_along)},
      {"scatter",
       [](const Recorded& op) {
         const auto axis = op.get<int64_t>("axis");
         if (op.inputs.size() == 3) return scatter(op.in(0), axis, op.in(1), op.in(2));
         return scatter(op.in(0), axis, op.in(1), op.get<double>("value"));
       }},
      {"scatter_add",
       [](const Recorded& op) {
         return scatter_add(op.in(0), op.get<int64_t>("axis"), op.in(1), op.in(2));
       }},
      {"index_add",
       [](const Recorded& op) {
         return index_add(op.in(0), op.get<int64_t>("axis"), op.in(1), op.in(2));
       }},
      {"index", [](const Recorded& op) { return index(op.in(0), indices(op)); }},
      {"index_put_",
       [](const Recorded& op) {
         const NoGrad no_grad;
         const std::vector<Index> at = indices(op);
         if (op.call.attributes.size() > 1) return index_put_(op.in(0), at, op.get<double>("v"));
         return index_put_(op.in(0), at, op.inputs.back());
       }},
      {"masked_select", [](const Recorded& op) { return masked_select(op.in(0), op.in(1)); }},
      {"nonzero", unary(nonzero)},
      {"split",
       [](const Recorded& op) {
         const auto axis = op.get<int64_t>("axis");
         if (op.call.attributes.at(0).name == "size") {
           return split(op.in(0), op.get<int64_t>("size"), axis)[0];
         }
         return split(op.in(0), op.get<Sizes>("sizes"), axis)[0];
       }},
      {"chunk",
       [](const Recorded& op) {
         return chunk(op.in(0), op.get<int64_t>("count"), op.get<int64_t>("axis"))[0];
       }},
      {"unbind", [](const Recorded& op) { return unbind(op.in(0), op.get<int64_t>("axis"))[0]; }},
      {"cat", [](const Recorded& op) { return cat(op.inputs, op.get<int64_t>("axis")); }},
      {"to", [](const Recorded& op) { return op.in(0).to(op.get<DType>("dtype")); }},
      {"to_memory_format",
       [](const Recorded& op) { return to_memory_format(op.in(0), memory_format(op, "format")); }},
      {"clone", [](const Recorded& op) { return op.in(0).clone(); }},
      {"detach", [](const Recorded& op) { return op.in(0).detach(); }},
      {"full",
       [](const Recorded& op) {
         const MemoryFormat format = memory_format(op, "memory_format");
         const Tensor x = empty(op.get<Shape>("shape"), op.get<DType>("dtype"), format);
         x.fill_(op.get<double>("value"));
         return x;
       }},
      {"rand",
       [](const Recorded& op) {
         return rand_like(empty(op.get<Shape>("shape"), op.get<DType>("dtype"),
                               memory_format(op, "memory_format")));
       }},
      {"randn",
       [](const Recorded& op) {
         return randn_like(empty(op.get<Shape>("shape"), op.get<DType>("dtype"),
                               memory_format(op, "memory_format")));
       }},
      {"arange",
       [](const Recorded& op) {
         return arange(op.get<double>("start"), op.get<double>("end"), op.get<double>("step"),
                       op.get<DType>("dtype"));
       }},
      // What comes from the program's memory is its result.
      {"tensor", [](const Recorded& op) { return op.call.results.at(0).clone(); }},
      {"from_blob", [](const Recorded& op) { return op.call.results.at(0).clone(); }},
      {"copy_",
       [](const Recorded& op) {
         const NoGrad no_grad;
         op.in(0).copy_(op.in(1));
         return op.in(0);
       }},
      {"add_", in_place([](const Tensor& x, const auto&... y) { add_(x, y...); }, "alpha")},
      {"sub_", in_place([](const Tensor& x, const auto&... y) { sub_(x, y...); }, "alpha")},
      {"mul_", in_place([](const Tensor& x, const auto& y) { mul_(x, y); })},
      {"div_", in_place([](const Tensor& x, const auto& y) { div_(x, y); })},
      {"lerp_",
       [](const Recorded& op) {
         const NoGrad no_grad;
         return lerp_(op.in(0), op.in(1), op.get<double>("weight"));
       }},
      {"clamp_",
       [](const Recorded& op) {
         const NoGrad no_grad;
         return clamp_(op.in(0), op.get<double>("lo"), op.get<double>("hi"));
       }},
      {"fill_",
       [](const Recorded& op) {
         const NoGrad no_grad;
         op.in(0).fill_(op.get<double>("value"));
         return op.in(0);
       }},
  };
  return instance;
}

}  // namespace

Tensor do_again(const Recorded& op) {
  const auto found = table().find(op.call.name);
  if (found == table().end()) fail("do_again", "there is no operation \"", op.call.name, "\" here");
  return found->second(op);
}

}  // namespace tern::test
