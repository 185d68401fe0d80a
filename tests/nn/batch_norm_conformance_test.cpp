// SPDX-License-Identifier: Apache-2.0
// The layer against PyTorch's results (fixtures/make_batch_norm_fixtures.py): every row of the
// table "Which statistics are used, and are they updated?" (docs/batch_norm.md), affine or not,
// three momenta, fused ReLU or not, two dtypes, two data formats, and both float32 algorithms. The
// names of the cases list their settings.
#include "support.h"

using namespace tern;
using namespace tern::test;

namespace {

const StateDict& fixtures() {
  static const StateDict dict =
      io::load_safetensors(TERN_SOURCE_DIR "/tests/fixtures/batch_norm.safetensors");
  return dict;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// The cases "group.a.b.c" that have an entry "group.a.b.c.y".
std::vector<std::string> cases(const std::string& group) {
  std::vector<std::string> names;
  for (const auto& [name, value] : fixtures()) {
    if (name.rfind(group + ".", 0) == 0 && name.size() > 2 &&
        name.substr(name.size() - 2) == ".y") {
      names.push_back(name.substr(0, name.size() - 2));
    }
  }
  return names;
}

enum class Lie { nchw, nchw_channels_last, nhwc, nhwc_channels_last };

struct Variant {
  std::string name;
  DType dtype;
  Lie lie;
  BatchNormAlgorithm algorithm = BatchNormAlgorithm::automatic;
  friend void PrintTo(const Variant& v, std::ostream* out) { *out << v.name; }
};

std::string label(const ::testing::TestParamInfo<Variant>& info) {
  const char* lies[] = {"nchw", "nchw_channels_last", "nhwc", "nhwc_channels_last"};
  std::string text = info.param.name.substr(info.param.name.find('.') + 1);
  std::replace(text.begin(), text.end(), '.', '_');
  return text + "_" + to_string(info.param.dtype) + "_" + lies[static_cast<int>(info.param.lie)] +
         (info.param.algorithm == BatchNormAlgorithm::onednn ? "_onednn" : "");
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string& name : cases("table")) {
    for (Lie lie : {Lie::nchw, Lie::nhwc}) all.push_back({name, DType::f64, lie});
    for (Lie lie : {Lie::nchw, Lie::nchw_channels_last, Lie::nhwc, Lie::nhwc_channels_last}) {
      all.push_back({name, DType::f32, lie});
      all.push_back({name, DType::f32, lie, BatchNormAlgorithm::onednn});
    }
  }
  return all;
}

class Table : public ::testing::TestWithParam<Variant> {
 protected:
  bool nhwc() const {
    return GetParam().lie == Lie::nhwc || GetParam().lie == Lie::nhwc_channels_last;
  }
  bool channels_last() const {
    return GetParam().lie == Lie::nchw_channels_last || GetParam().lie == Lie::nhwc_channels_last;
  }
  Tensor given(const std::string& name) const {
    return fixtures().at("table." + name).to(GetParam().dtype);
  }
  Tensor image(const std::string& name) const {
    Tensor x = given(name);
    if (nhwc()) x = permute(x, {0, 2, 3, 1});
    return to_memory_format(
        x, channels_last() ? MemoryFormat::channels_last : MemoryFormat::row_major);
  }
  Tensor back(const Tensor& x) const { return nhwc() ? permute(x, {0, 3, 1, 2}) : x; }
  Tensor wanted(const std::string& what) const {
    return fixtures().at(GetParam().name + "." + what);
  }
};

}  // namespace

TEST_P(Table, EqualsPyTorch) {
  // table . train|eval . track|free . auto|batch|running . affine|plain . relu|linear . momentum
  const auto parts = split(GetParam().name);
  const bool training = parts[1] == "train", track = parts[2] == "track";
  const bool affine = parts[4] == "affine", fused = parts[5] == "relu";
  const Momentum momentum = parts[6] == "tenth"  ? Momentum::keep(0.9)
                            : parts[6] == "most" ? Momentum::update(0.75)
                                                 : Momentum::cumulative();
  nn::BatchNormOptions options{.eps = 1e-3,
                               .momentum = momentum,
                               .affine = affine,
                               .moving_mean_init = given("mean"),
                               .moving_var_init = given("var"),
                               .data_format = nhwc() ? DataFormat::NHWC : DataFormat::NCHW,
                               .track_running_stats = track,
                               .algorithm = GetParam().algorithm};
  if (parts[3] != "auto") options.use_batch_statistics = parts[3] == "batch";
  nn::BatchNorm2d layer(3, options);
  layer.to(GetParam().dtype);
  layer.train(training);
  {
    const NoGrad no_grad;
    if (affine) layer.weight().copy_(given("weight")), layer.bias().copy_(given("bias"));
    if (track) {
      layer.running_mean().copy_(given("mean"));
      layer.running_var().copy_(given("var"));
      layer.num_batches_tracked().fill_(2);
    }
  }
  const double tolerance = GetParam().dtype == DType::f64 ? 1e-13 : 4e-6;

  layer(image("first"));
  const Tensor x = leaf(image("second"));
  const Tensor y = fused ? layer.forward_relu(x) : layer(x);
  EXPECT_EQ(y.memory_format(), x.memory_format());
  y.backward(image("dy"));

  EXPECT_LT(max_distance(back(y), wanted("y")), tolerance);
  EXPECT_LT(max_distance(back(x.grad()), wanted("dx")), tolerance);
  EXPECT_EQ(x.grad().memory_format(), x.memory_format());
  if (affine) {
    EXPECT_LT(max_distance(layer.weight().grad(), wanted("dweight")), 8 * tolerance);
    EXPECT_LT(max_distance(layer.bias().grad(), wanted("dbias")), 8 * tolerance);
  } else {
    EXPECT_FALSE(layer.weight().defined());
    EXPECT_TRUE(layer.parameters().empty());
  }
  if (track) {
    EXPECT_LT(max_distance(layer.running_mean(), wanted("mean")), tolerance);
    EXPECT_LT(max_distance(layer.running_var(), wanted("var")), 4 * tolerance);
    EXPECT_EQ(layer.num_batches_tracked().item<int64_t>(), wanted("count").item<int64_t>());
    EXPECT_FALSE(layer.running_mean().requires_grad());
  } else {
    EXPECT_FALSE(layer.running_mean().defined());
    EXPECT_TRUE(layer.buffers().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(BatchNorm, Table, ::testing::ValuesIn(variants()), label);

namespace {

class Shapes : public ::testing::TestWithParam<Variant> {
 protected:
  Tensor given(const std::string& what) const {
    return fixtures().at(GetParam().name + "." + what).to(GetParam().dtype);
  }
};

std::vector<Variant> shape_variants() {
  std::vector<Variant> all;
  for (const std::string& name : cases("shapes")) {
    for (DType dtype : {DType::f64, DType::f32}) all.push_back({name, dtype, Lie::nchw});
    all.push_back({name, DType::f32, Lie::nchw, BatchNormAlgorithm::onednn});
  }
  return all;
}

}  // namespace

TEST_P(Shapes, EqualPyTorch) {
  const Tensor x = leaf(given("x")), weight = leaf(given("weight")), bias = leaf(given("bias"));
  const Tensor mean = given("mean").clone(), var = given("var").clone();
  const bool training = GetParam().name.find(".train") != std::string::npos;
  const Tensor y =
      batch_norm(x, mean, var, weight, bias,
                 {.training = training,
                  .momentum = Momentum::update(given("momentum").to(DType::f64).item<double>()),
                  .eps = fixtures().at(GetParam().name + ".eps").item<double>(),
                  .algorithm = GetParam().algorithm});
  y.backward(given("dy"));
  // Relative to the largest value: "range" in evaluation divides by sqrt(1e-4).
  const auto expect_near = [&](const Tensor& got, const char* what) {
    const Tensor want = fixtures().at(GetParam().name + "." + what);
    const double tolerance = GetParam().dtype == DType::f64 ? 1e-13 : 2e-6;
    EXPECT_LT(max_distance(got, want), tolerance * (1 + largest(want))) << what;
  };
  expect_near(y, "y");
  expect_near(x.grad(), "dx");
  expect_near(weight.grad(), "dweight");
  expect_near(bias.grad(), "dbias");
  expect_near(mean, "new_mean");
  expect_near(var, "new_var");
}

INSTANTIATE_TEST_SUITE_P(BatchNorm, Shapes, ::testing::ValuesIn(shape_variants()), label);

TEST(BatchNormConformance, DoubleBackwardEqualsPyTorch) {
  for (const char* mode : {"train", "eval"}) {
    for (const char* end : {"linear", "relu"}) {
      const std::string prefix = std::string("double.") + mode + "." + end + ".";
      const auto given = [&](const char* what) { return fixtures().at(prefix + what); };
      const Tensor x = leaf(given("x")), dy = leaf(given("dy"));
      const Tensor weight = leaf(given("weight")), bias = leaf(given("bias"));
      const auto function = std::string(end) == "relu" ? batch_norm_relu : batch_norm;
      const Tensor y = function(x, given("mean").clone(), given("var").clone(), weight, bias,
                                {.training = std::string(mode) == "train", .eps = 1e-2});
      const auto gradients = grad(y, {x, weight, bias}, {.create_graph = true, .grad_output = dy});
      const Tensor total = sum(gradients[0] * given("u")) + sum(gradients[1] * given("p")) +
                           sum(gradients[2] * given("q"));
      const auto second = grad(total, {x, weight, dy}, {.allow_unused = true});
      const char* names[] = {"d_x", "d_weight", "d_dy"};
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_LT(max_distance(second[i], given(names[i])), 1e-12) << prefix << names[i];
      }
    }
  }
}

TEST(BatchNormConformance, LoadsPyTorchsStateDict) {
  StateDict dict;
  for (const auto& [name, value] : fixtures()) {
    if (name.rfind("state.dict.", 0) == 0) dict.insert(name.substr(11), value);
  }
  nn::BatchNorm2d layer(3);
  // The names, their order, shapes and dtypes (but for the fixture's float64) are PyTorch's.
  EXPECT_EQ(layer.state_dict().names(), dict.names());
  for (const auto& [name, value] : layer.state_dict()) {
    EXPECT_EQ(value.shape(), dict.at(name).shape()) << name;
    EXPECT_EQ(value.dtype() == DType::i64, dict.at(name).dtype() == DType::i64) << name;
  }
  layer.to(DType::f64);
  layer.load_state_dict(dict);
  EXPECT_EQ(layer.num_batches_tracked().item<int64_t>(), 3);
  layer.eval();
  EXPECT_LT(max_distance(layer(fixtures().at("state.x")), fixtures().at("state.y")), 1e-13);
}

TEST(BatchNormConformance, PrintsAsPyTorch) {
  const auto metadata =
      io::load_safetensors_metadata(TERN_SOURCE_DIR "/tests/fixtures/batch_norm.safetensors");
  EXPECT_EQ(nn::to_string(nn::BatchNorm2d(3)), metadata.at("repr"));
  EXPECT_EQ(nn::to_string(nn::BatchNorm2d(3, {.momentum = Momentum::update(0.1)})),
            metadata.at("repr"));
}
