// SPDX-License-Identifier: Apache-2.0
// Every op against PyTorch's outputs and gradients: fixtures/make_fixtures.py has the same cases.
#include <gtest/gtest.h>
#include <tern/core/autograd.h>
#include <tern/core/tensor.h>
#include <tern/io/safetensors.h>
#include <tern/ops/activations.h>
#include <tern/ops/arithmetic.h>
#include <tern/ops/batch_norm.h>
#include <tern/ops/conv.h>
#include <tern/ops/interpolate.h>
#include <tern/ops/loss.h>
#include <tern/ops/math.h>
#include <tern/ops/matmul.h>
#include <tern/ops/movement.h>
#include <tern/ops/pool.h>
#include <tern/ops/reduce.h>
#include <tern/ops/softmax.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace tern;
using Inputs = std::vector<Tensor>;
using Function = std::function<Tensor(const Inputs&)>;
using Cases = std::map<std::string, Function>;

// Allowed error, relative to the largest element of a tensor (or to 1).
constexpr double kTolerance64 = 1e-12;
constexpr double kTolerance32 = 1e-5;

Function unary(Tensor (*f)(const Tensor&)) {
  return [f](const Inputs& in) { return f(in[0]); };
}
Function binary(Tensor (*f)(const Tensor&, const Tensor&)) {
  return [f](const Inputs& in) { return f(in[0], in[1]); };
}
Function on_first(const std::function<Tensor(const Tensor&)>& f) {
  return [f](const Inputs& in) { return f(in[0]); };
}

void add_elementwise(Cases& cases) {
  for (const std::string kind : {"same", "row", "both", "scalar", "image"}) {
    cases["add_" + kind] = binary(add);
    cases["sub_" + kind] = binary(sub);
    cases["mul_" + kind] = binary(mul);
    cases["div_" + kind] = binary(div);
    cases["pow_" + kind] = binary(pow);
  }
  cases["add_number"] = on_first([](const Tensor& x) { return x + 1.5; });
  cases["sub_number"] = on_first([](const Tensor& x) { return x - 1.5; });
  cases["number_sub"] = on_first([](const Tensor& x) { return 1.5 - x; });
  cases["mul_number"] = on_first([](const Tensor& x) { return -2.5 * x; });
  cases["div_number"] = on_first([](const Tensor& x) { return x / 3.0; });
  cases["number_div"] = on_first([](const Tensor& x) { return 3.0 / x; });
  cases["neg"] = unary(neg);
  cases["pow_number"] = on_first([](const Tensor& x) { return pow(x, 2.5); });
  cases["pow_square"] = on_first([](const Tensor& x) { return pow(x, 2.0); });
  cases["add_relu"] = binary([](const Tensor& a, const Tensor& b) { return add_relu(a, b); });
  cases["relu"] = unary(relu);
  cases["leaky_relu"] = on_first([](const Tensor& x) { return leaky_relu(x); });
  cases["leaky_relu_steep"] = on_first([](const Tensor& x) { return leaky_relu(x, 0.2); });
  cases["sigmoid"] = unary(sigmoid);
  cases["tanh"] = unary(tern::tanh);
  cases["gelu"] = unary(gelu);
  cases["silu"] = unary(silu);
  cases["exp"] = unary(tern::exp);
  cases["abs"] = unary(tern::abs);
  cases["log"] = unary(tern::log);
  cases["sqrt"] = unary(tern::sqrt);
  cases["eq"] = binary(eq);
  cases["gt"] = binary(gt);
  cases["lt"] = binary(lt);
}

void add_movement(Cases& cases) {
  cases["reshape"] = on_first([](const Tensor& x) { return reshape(x, {6, -1}); });
  cases["flatten"] = on_first([](const Tensor& x) { return flatten(x, 1); });
  cases["flatten_middle"] = on_first([](const Tensor& x) { return flatten(x, 1, 2); });
  cases["transpose"] = on_first([](const Tensor& x) { return transpose(x, 1, -1); });
  cases["permute"] = on_first([](const Tensor& x) { return permute(x, {2, 0, 3, 1}); });
  cases["permute_nhwc"] = on_first([](const Tensor& x) { return permute(x, {0, 2, 3, 1}); });
  cases["permute_nchw"] = on_first([](const Tensor& x) { return permute(x, {0, 3, 1, 2}); });
  cases["slice"] = on_first([](const Tensor& x) { return slice(x, 2, 1, 4); });
  cases["slice_step"] = on_first([](const Tensor& x) { return slice(x, 3, 0, 5, 2); });
  cases["slice_negative"] = on_first([](const Tensor& x) { return slice(x, 1, -2, 3); });
  cases["cat"] = [](const Inputs& in) { return cat(in, 1); };
  cases["cat_three"] = [](const Inputs& in) { return cat(in); };
  cases["unsqueeze"] = on_first([](const Tensor& x) { return unsqueeze(x, 1); });
  cases["squeeze"] = on_first([](const Tensor& x) { return squeeze(x, 1); });
  cases["broadcast_to"] = on_first([](const Tensor& x) { return broadcast_to(x, {4, 2, 3}); });
  cases["sum_to"] = on_first([](const Tensor& x) { return sum_to(x, {3, 1}); });
}

void add_reductions(Cases& cases) {
  const std::map<std::string, std::vector<int64_t>> axes = {
      {"all", {}}, {"channels", {0, 2, 3}}, {"last", {-1}}, {"middle", {1, 2}}, {"image", {2, 3}}};
  // Under another name, as clang before 16 captures no structured bindings.
  for (const auto& [name, a] : axes) {
    cases["sum_" + name] = on_first([over = a](const Tensor& x) { return sum(x, over); });
    cases["mean_" + name] = on_first([over = a](const Tensor& x) { return mean(x, over); });
    cases["max_" + name] = on_first([over = a](const Tensor& x) { return max(x, over); });
  }
  cases["sum_keepdim"] = on_first([](const Tensor& x) { return sum(x, {1, 3}, true); });
  cases["mean_keepdim"] = on_first([](const Tensor& x) { return mean(x, {0, 2}, true); });
  cases["max_keepdim"] = on_first([](const Tensor& x) { return max(x, {1}, true); });
  cases["max_ties_shared"] = on_first([](const Tensor& x) { return max(x, {0, 1}); });
  cases["argmax"] = on_first([](const Tensor& x) { return argmax(x, 1); });
  cases["argmax_keepdim"] = on_first([](const Tensor& x) { return argmax(x, -1, true); });
}

void add_products(Cases& cases) {
  for (const std::string kind :
       {"", "_batch", "_broadcast", "_shared", "_dot", "_vector_left", "_vector_right"}) {
    cases["matmul" + kind] = binary(matmul);
  }
  for (const std::string kind : {"", "_no_bias", "_rank_3", "_vector"}) {
    cases["linear" + kind] = [](const Inputs& in) {
      return linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor());
    };
  }
}

Function conv(const Conv2dOptions& params) {
  return [params](const Inputs& in) {
    return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), params);
  };
}

void add_convolutions(Cases& cases) {
  cases["conv2d"] = conv({});
  cases["conv2d_no_bias"] = conv({.padding = 1});
  cases["conv2d_uneven"] = conv({.stride = {2, 1}, .padding = {1, 2}});
  cases["conv2d_stride"] = conv({.stride = 2, .padding = 1});
  cases["conv2d_dilation"] = conv({.padding = 2, .dilation = 2});
  cases["conv2d_groups"] = conv({.padding = 1, .groups = 3});
  cases["conv2d_depthwise"] = conv({.stride = 2, .padding = 1, .groups = 5});
  cases["conv2d_1x1"] = conv({});
  cases["conv2d_1x1_stride"] = conv({.stride = 2});
  cases["conv2d_5x5"] = conv({.padding = 2});
  cases["conv2d_large"] = conv({.padding = 1});
  cases["conv2d_nhwc"] = conv({.stride = 2, .padding = 1, .data_format = DataFormat::NHWC});
}

Function max_pool(Size2d kernel, const MaxPool2dOptions& params = {}) {
  return on_first([=](const Tensor& x) { return max_pool2d(x, kernel, params); });
}
Function avg_pool(Size2d kernel, const AvgPool2dOptions& params = {}) {
  return on_first([=](const Tensor& x) { return avg_pool2d(x, kernel, params); });
}
Function adaptive_pool(Size2d size, DataFormat format = DataFormat::NCHW) {
  return on_first([=](const Tensor& x) { return adaptive_avg_pool2d(x, size, format); });
}

void add_pools(Cases& cases) {
  cases["max_pool2d"] = max_pool(2);
  cases["max_pool2d_overlap"] = max_pool(3, {.stride = 2, .padding = 1});
  cases["max_pool2d_uneven"] = max_pool({3, 2}, {.stride = Size2d{1, 2}, .padding = {1, 0}});
  cases["max_pool2d_dilation"] = max_pool(2, {.stride = 1, .dilation = 2});
  cases["max_pool2d_ceil"] = max_pool(2, {.ceil_mode = true});
  cases["max_pool2d_nhwc"] = max_pool(2, {.data_format = DataFormat::NHWC});
  cases["avg_pool2d"] = avg_pool(2);
  cases["avg_pool2d_pad"] = avg_pool(3, {.stride = 2, .padding = 1});
  cases["avg_pool2d_exclude_pad"] =
      avg_pool(3, {.stride = 2, .padding = 1, .count_include_pad = false});
  cases["avg_pool2d_ceil"] = avg_pool(3, {.stride = 2, .padding = 1, .ceil_mode = true});
  cases["avg_pool2d_nhwc"] = avg_pool(2, {.data_format = DataFormat::NHWC});
  cases["adaptive_avg_pool2d"] = adaptive_pool({3, 4});
  cases["adaptive_avg_pool2d_one"] = adaptive_pool(1);
  cases["adaptive_avg_pool2d_grow"] = adaptive_pool({9, 6});
  cases["adaptive_avg_pool2d_nhwc"] = adaptive_pool({3, 4}, DataFormat::NHWC);
}

void add_normalizers(Cases& cases) {
  const auto norm = [](const BatchNormOptions& params, bool with_relu = false) -> Function {
    return [=](const Inputs& in) {
      const Tensor weight = in.size() > 3 ? in[3] : Tensor();
      const Tensor bias = in.size() > 4 ? in[4] : Tensor();
      return with_relu ? batch_norm_relu(in[0], in[1], in[2], weight, bias, params)
                       : batch_norm(in[0], in[1], in[2], weight, bias, params);
    };
  };
  for (const std::string kind : {"", "_plain", "_rank_2", "_rank_3"}) {
    cases["batch_norm" + kind] = norm({.training = true});
  }
  cases["batch_norm_momentum"] =
      norm({.training = true, .momentum = Momentum::update(0.3), .eps = 1e-3});
  cases["batch_norm_eval"] = norm({});
  cases["batch_norm_nhwc"] = norm({.training = true, .data_format = DataFormat::NHWC});
  cases["batch_norm_relu"] = norm({.training = true}, true);
  cases["batch_norm_relu_eval"] = norm({}, true);
}

void add_losses(Cases& cases) {
  cases["softmax"] = on_first([](const Tensor& x) { return softmax(x, 1); });
  cases["softmax_first"] = on_first([](const Tensor& x) { return softmax(x, 0); });
  cases["softmax_channels"] = on_first([](const Tensor& x) { return softmax(x, 1); });
  cases["softmax_large"] = on_first([](const Tensor& x) { return softmax(x, -1); });
  cases["log_softmax"] = on_first([](const Tensor& x) { return log_softmax(x, -1); });
  cases["log_softmax_channels"] = on_first([](const Tensor& x) { return log_softmax(x, 1); });
  cases["log_softmax_large"] = on_first([](const Tensor& x) { return log_softmax(x, 1); });
  const auto entropy = [](const CrossEntropyOptions& params) -> Function {
    return [=](const Inputs& in) { return cross_entropy(in[0], in[1], params); };
  };
  const std::map<std::string, Reduction> reductions = {
      {"mean", Reduction::mean}, {"sum", Reduction::sum}, {"none", Reduction::none}};
  for (const auto& [name, reduction] : reductions) {
    const Reduction r = reduction;
    cases["cross_entropy_" + name] = entropy({.reduction = r});
    cases["cross_entropy_" + name + "_smooth_ignore"] =
        entropy({.label_smoothing = 0.1, .reduction = r});
    cases["mse_loss_" + name] = [r](const Inputs& in) { return mse_loss(in[0], in[1], r); };
  }
  cases["cross_entropy_ignore_index"] = entropy({.ignore_index = 2});
  cases["cross_entropy_smooth"] = entropy({.label_smoothing = 0.3});
}

Function conv1d_of(const Conv1dOptions& options) {
  return [=](const Inputs& in) {
    return conv1d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), options);
  };
}
Function transposed(const ConvTranspose1dOptions& options) {
  return [=](const Inputs& in) { return conv_transpose1d(in[0], in[1], in[2], options); };
}
Function transposed(const ConvTranspose2dOptions& options) {
  return [=](const Inputs& in) {
    return conv_transpose2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), options);
  };
}

void add_vision(Cases& cases) {
  cases["conv1d"] = conv1d_of({});
  cases["conv1d_options"] = conv1d_of({.stride = 2, .padding = 3, .dilation = 2, .groups = 2});
  cases["conv1d_same"] = conv1d_of({.padding = kSame});
  cases["conv1d_same_dilation"] = conv1d_of({.padding = kSame, .dilation = 3});
  cases["conv2d_same"] = conv({.padding = kSame});
  cases["conv2d_same_dilation"] = conv({.padding = kSame, .dilation = {3, 2}, .groups = 2});
  cases["conv_transpose1d"] = transposed(ConvTranspose1dOptions{});
  cases["conv_transpose1d_options"] = transposed(ConvTranspose1dOptions{
      .stride = 3, .padding = 2, .output_padding = 1, .dilation = 2, .groups = 2});
  using Options = ConvTranspose2dOptions;
  cases["conv_transpose2d"] = transposed(Options{});
  cases["conv_transpose2d_no_bias"] = transposed(Options{.stride = 2});
  cases["conv_transpose2d_double"] =
      transposed(Options{.stride = 2, .padding = 1, .output_padding = 1});
  cases["conv_transpose2d_dcgan"] = transposed(Options{.stride = 2, .padding = 1});
  cases["conv_transpose2d_uneven"] =
      transposed(Options{.stride = {2, 3}, .padding = {1, 0}, .output_padding = {0, 2}});
  cases["conv_transpose2d_groups"] =
      transposed(Options{.padding = 2, .dilation = {1, 2}, .groups = 3});
  cases["conv_transpose2d_depthwise"] = transposed(Options{.stride = 2, .groups = 5});
  cases["conv_transpose2d_gap"] =
      transposed(Options{.stride = {1, 2}, .output_padding = 2, .dilation = 3});
  cases["conv_transpose2d_large"] = transposed(Options{.padding = 1});
  cases["conv_transpose2d_nhwc"] =
      transposed(Options{.stride = 2, .padding = 1, .data_format = DataFormat::NHWC});
  const auto resize = [](const InterpolateOptions& options) {
    return on_first([=](const Tensor& x) { return interpolate(x, options); });
  };
  constexpr auto bilinear = Interpolation::bilinear;
  cases["interpolate_nearest_double"] = resize({.scale_factor = 2});
  cases["interpolate_nearest_size"] = resize({.size = {7, 3}});
  cases["interpolate_nearest_factor"] = resize({.scale_factor = {1.7, 0.6}});
  cases["interpolate_bilinear"] = resize({.size = {9, 7}, .mode = bilinear});
  cases["interpolate_bilinear_double"] = resize({.scale_factor = 2, .mode = bilinear});
  cases["interpolate_bilinear_factor"] = resize({.scale_factor = {2.3, 0.7}, .mode = bilinear});
  cases["interpolate_bilinear_corners"] =
      resize({.size = {8, 3}, .mode = bilinear, .align_corners = true});
  cases["interpolate_bilinear_corners_one"] =
      resize({.size = {1, 9}, .mode = bilinear, .align_corners = true});
  cases["interpolate_bilinear_corners_factor"] =
      resize({.scale_factor = 1.5, .mode = bilinear, .align_corners = true});
  cases["interpolate_area"] = resize({.size = {3, 6}, .mode = Interpolation::area});
  cases["interpolate_nhwc"] =
      resize({.scale_factor = 2, .mode = bilinear, .data_format = DataFormat::NHWC});
  cases["interpolate_linear"] = resize({.size = 9, .mode = Interpolation::linear});
  cases["interpolate_linear_corners"] =
      resize({.size = 4, .mode = Interpolation::linear, .align_corners = true});
  cases["interpolate_nearest_signal"] = resize({.scale_factor = 2.5});
  cases["pixel_shuffle"] = on_first([](const Tensor& x) { return pixel_shuffle(x, 2); });
  cases["pixel_unshuffle"] = on_first([](const Tensor& x) { return pixel_unshuffle(x, 3); });
  cases["max_pool1d"] = on_first(
      [](const Tensor& x) { return max_pool1d(x, 3, {.stride = 2, .padding = 1, .dilation = 2}); });
  cases["max_pool1d_ceil"] =
      on_first([](const Tensor& x) { return max_pool1d(x, 2, {.ceil_mode = true}); });
  cases["avg_pool1d"] =
      on_first([](const Tensor& x) { return avg_pool1d(x, 3, {.stride = 2, .padding = 1}); });
  cases["avg_pool1d_exclude_pad"] = on_first([](const Tensor& x) {
    return avg_pool1d(x, 4,
                      {.stride = 3, .padding = 2, .ceil_mode = true, .count_include_pad = false});
  });
  cases["adaptive_avg_pool1d"] =
      on_first([](const Tensor& x) { return adaptive_avg_pool1d(x, 4); });
  cases["adaptive_max_pool1d"] =
      on_first([](const Tensor& x) { return adaptive_max_pool1d(x, 4); });
  const auto adaptive_max = [](Size2d size) {
    return on_first([=](const Tensor& x) { return adaptive_max_pool2d(x, size); });
  };
  cases["adaptive_max_pool2d"] = adaptive_max({3, 4});
  cases["adaptive_max_pool2d_grow"] = adaptive_max({9, 2});
  cases["adaptive_max_pool2d_ties"] = adaptive_max({3, 2});
  const auto volumes = [](const Conv3dOptions& options) -> Function {
    return [=](const Inputs& in) {
      return conv3d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), options);
    };
  };
  cases["conv3d"] = volumes({.padding = 1});
  cases["conv3d_options"] =
      volumes({.stride = {2, 1, 2}, .padding = {2, 0, 1}, .dilation = {2, 1, 1}, .groups = 2});
  cases["max_pool3d"] = on_first([](const Tensor& x) {
    return max_pool3d(x, {2, 3, 2}, {.stride = Size3d{1, 2, 2}, .padding = {1, 1, 0}});
  });
  cases["max_pool3d_ties"] =
      on_first([](const Tensor& x) { return max_pool3d(x, 2, {.ceil_mode = true}); });
  cases["avg_pool3d"] = on_first([](const Tensor& x) {
    return avg_pool3d(x, {3, 2, 2}, {.stride = 2, .padding = {1, 0, 1}, .ceil_mode = true});
  });
  cases["avg_pool3d_exclude_pad"] = on_first([](const Tensor& x) {
    return avg_pool3d(x, 3, {.stride = Size3d{2, 1, 3}, .padding = 1, .count_include_pad = false});
  });
  cases["adaptive_avg_pool3d"] = on_first([](const Tensor& x) {
    return adaptive_avg_pool3d(x, {2, 3, 4});
  });
}

const Cases& cases() {
  static const Cases all = [] {
    Cases c;
    add_elementwise(c);
    add_movement(c);
    add_reductions(c);
    add_products(c);
    add_convolutions(c);
    add_pools(c);
    add_normalizers(c);
    add_losses(c);
    add_vision(c);
    return c;
  }();
  return all;
}

const StateDict& fixture() {
  static const StateDict dict = [] {
    const std::string folder = TERN_SOURCE_DIR "/tests/fixtures/";
    StateDict all = io::load_safetensors(folder + "ops.safetensors");
    for (const auto& [name, tensor] : io::load_safetensors(folder + "vision.safetensors")) {
      all.insert(name, tensor);
    }
    return all;
  }();
  return dict;
}

std::vector<double> values(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

void expect_close(const Tensor& found, const Tensor& expected, double tolerance,
                  const std::string& what) {
  ASSERT_TRUE(found.defined()) << what;
  ASSERT_EQ(found.shape(), expected.shape()) << what;
  const std::vector<double> a = values(found);
  const std::vector<double> b = values(expected);
  double scale = 1;
  for (const double value : b) scale = std::max(scale, std::abs(value));
  double worst = 0;
  size_t where = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::isfinite(a[i]) ? std::abs(a[i] - b[i]) / scale : HUGE_VAL;
    if (error > worst) {
      worst = error;
      where = i;
    }
  }
  EXPECT_LE(worst, tolerance) << what << ": element " << where << " is " << a[where] << ", not "
                              << b[where];
}

/// Runs a case in a dtype, with rank-4 tensors (all but weights) lying in `order`.
void check(const std::string& name, const Function& f, DType dtype, MemoryFormat order) {
  const StateDict& data = fixture();
  const double tolerance = dtype == DType::f64 ? kTolerance64 : kTolerance32;
  const bool has_weights = name.starts_with("conv");
  const auto load = [&](const std::string& key, bool is_weight) {
    Tensor x = data.at(key);
    if (is_floating(x.dtype())) x = x.to(dtype);
    if (x.dim() == 4 && !is_weight) x = to_memory_format(x, order);
    return x.is_same(data.at(key)) ? x.clone() : x;  // running statistics change in place
  };
  Inputs in;
  for (size_t i = 0; data.contains(name + ".in." + std::to_string(i)); ++i) {
    const std::string number = std::to_string(i);
    const Tensor x = load(name + ".in." + number, has_weights && i > 0);
    if (data.contains(name + ".grad." + number)) x.set_requires_grad();
    in.push_back(x);
  }
  ASSERT_FALSE(in.empty()) << name;
  const std::string what = name + " " + to_string(dtype) + " " + to_string(order);
  const Tensor y = f(in);
  expect_close(y, data.at(name + ".y"), tolerance, what + " output");
  if (!data.contains(name + ".dy")) {
    // Comparisons were stored as u8.
    const DType stored = y.dtype() == DType::boolean ? DType::u8 : y.dtype();
    EXPECT_EQ(stored, data.at(name + ".y").dtype()) << what;
    return;
  }
  EXPECT_EQ(y.dtype(), dtype) << what;
  y.backward(load(name + ".dy", false));
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string number = std::to_string(i);
    if (in[i].requires_grad()) {
      expect_close(in[i].grad(), data.at(name + ".grad." + number), tolerance,
                   what + " gradient " + number);
    }
    if (data.contains(name + ".after." + number)) {
      expect_close(in[i], data.at(name + ".after." + number), tolerance, what + " after " + number);
    }
  }
}

void check_all(DType dtype) {
  for (const auto& [name, f] : cases()) {
    try {
      check(name, f, dtype, MemoryFormat::row_major);
      check(name, f, dtype, MemoryFormat::channels_last);
    } catch (const std::exception& error) {
      ADD_FAILURE() << name << ": " << error.what();
    }
  }
}

TEST(Fixtures, EveryCaseIsKnownAndEveryKnownCaseIsThere) {
  std::set<std::string> there;
  for (const std::string& name : fixture().names()) {
    there.insert(name.substr(0, name.find('.')));
  }
  std::set<std::string> known;
  for (const auto& entry : cases()) known.insert(entry.first);
  EXPECT_EQ(there, known);
}

TEST(Fixtures, Float64EqualsPyTorch) { check_all(DType::f64); }

TEST(Fixtures, Float32EqualsPyTorch) { check_all(DType::f32); }

}  // namespace
