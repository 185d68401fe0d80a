// SPDX-License-Identifier: Apache-2.0
// Embedding, norms, attention and transformers against PyTorch's outputs and gradients:
// fixtures/make_transformer_fixtures.py has the same cases. Then what the modules do besides.
#include <limits>
#include <map>
#include <set>

#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Names = std::vector<std::string>;

const StateDict& fixture() {
  static const StateDict dict =
      io::load_safetensors(TERN_SOURCE_DIR "/tests/fixtures/transformer.safetensors");
  return dict;
}

/// A case's inputs in a dtype; those that PyTorch differentiated require gradients.
Inputs inputs_of(const std::string& name, DType dtype) {
  Inputs in;
  for (size_t i = 0; fixture().contains(name + ".in." + std::to_string(i)); ++i) {
    const std::string number = std::to_string(i);
    const Tensor x = fixture().at(name + ".in." + number);
    in.push_back((is_floating(x.dtype()) ? x.to(dtype) : x).clone());
    if (is_floating(x.dtype())) in.back().set_requires_grad();
  }
  return in;
}

/// The module with the case's state, whose names have to be the module's.
template <class M>
M loaded(const std::string& name, M module, DType dtype) {
  StateDict state;
  const std::string prefix = name + ".state.";
  for (const std::string& key : fixture().names()) {
    if (key.starts_with(prefix)) state.set(key.substr(prefix.size()), fixture().at(key));
  }
  module.to(dtype);
  module.load_state_dict(state);
  return module;
}

void compare(const std::string& name, const Tensor& y, const Inputs& in, DType dtype,
             const nn::Module* module = nullptr, const Tensor& weights = {}) {
  const double tolerance = dtype == DType::f64 ? 1e-12 : 2e-5;
  expect_close(y, fixture().at(name + ".y"), tolerance, name);
  if (weights.defined()) expect_close(weights, fixture().at(name + ".weights"), tolerance, name);
  y.backward(fixture().at(name + ".dy").to(dtype));
  for (size_t i = 0; i < in.size(); ++i) {
    const std::string key = name + ".grad." + std::to_string(i);
    if (in[i].requires_grad()) expect_close(in[i].grad(), fixture().at(key), tolerance, key);
  }
  if (!module) return;
  for (const auto& [parameter, value] : module->named_parameters()) {
    const std::string key = name + ".grad." + parameter;
    expect_close(value.grad(), fixture().at(key), tolerance, key);
  }
}

TEST(Transformer, FunctionsEqualPyTorch) {
  const auto bag = [](BagMode mode) {
    return [mode](const Inputs& in) {
      return embedding_bag(in[0], in[1], in[2], {}, {.mode = mode, .padding_idx = 2});
    };
  };
  const std::map<std::string, Function> cases{
      {"embedding", [](const Inputs& in) { return embedding(in[0], in[1], {.padding_idx = 4}); }},
      {"embedding_max_norm",
       [](const Inputs& in) {
         const NoGrad no_grad;  // the table changes
         embedding(in[0], in[1], {.max_norm = 1, .norm_type = 3});
         const GradMode mode(true);
         return embedding(in[0], in[1]);
       }},
      {"embedding_bag_sum", bag(BagMode::sum)},
      {"embedding_bag_mean", bag(BagMode::mean)},
      {"embedding_bag_max", bag(BagMode::max)},
      {"embedding_bag_weights",
       [](const Inputs& in) {
         return embedding_bag(in[0], in[1], {}, in[2], {.mode = BagMode::sum});
       }},
      {"layer_norm",
       [](const Inputs& in) {
         return layer_norm(in[0], {4, 5}, in[1], in[2]);
       }},
      {"group_norm", [](const Inputs& in) { return group_norm(in[0], 3, in[1], in[2], 1e-3); }},
      {"instance_norm",
       [](const Inputs& in) { return instance_norm(in[0], {}, {}, in[1], in[2]); }},
  };
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const auto& [name, f] : cases) {
      const Inputs in = inputs_of(name, dtype);
      compare(name, f(in), in, dtype);
    }
  }
}

TEST(Transformer, ModulesEqualPyTorch) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto check = [&](const std::string& name, auto made, const auto& f) {
      const auto module = loaded(name, std::move(made), dtype);
      const Inputs in = inputs_of(name, dtype);
      const auto result = f(module, in);
      if constexpr (std::is_same_v<decltype(result), const Tensor>) {
        compare(name, result, in, dtype, &module);
      } else {
        compare(name, result.first, in, dtype, &module, result.second);
      }
    };
    const auto heads = [&](bool need_weights) {
      check("attention", nn::MultiheadAttention(6, 2), [=](const auto& net, const Inputs& in) {
        return net(in[0], in[0], in[0], Tensor(), need_weights);
      });
      check("attention_masks", nn::MultiheadAttention(6, 2),
            [=](const auto& net, const Inputs& in) {
              return net(in[0], in[1], in[1], in[2], need_weights, in[3], false);
            });
      check(
          "attention_dims",
          nn::MultiheadAttention(6, 3, {.bias = false, .kdim = 5, .vdim = 4, .batch_first = true}),
          [=](const auto& net, const Inputs& in) {
            return net(in[0], in[1], in[2], Tensor(), need_weights, in[3]);
          });
    };
    heads(true);
    heads(false);
    const nn::TransformerLayerOptions small{.dim_feedforward = 7, .dropout = 0};
    check("encoder_layer", nn::TransformerEncoderLayer(6, 2, small),
          [](const auto& net, const Inputs& in) { return net(in[0], in[1], in[2]); });
    check("encoder_layer_norm_first",
          nn::TransformerEncoderLayer(6, 2,
                                      {.dim_feedforward = 7,
                                       .dropout = 0,
                                       .activation = "gelu",
                                       .batch_first = true,
                                       .norm_first = true}),
          [](const auto& net, const Inputs& in) { return net(in[0]); });
    check("decoder_layer", nn::TransformerDecoderLayer(6, 2, small),
          [](const auto& net, const Inputs& in) {
            return net(in[0], in[1], in[2], Tensor(), in[3]);
          });
    check(
        "decoder_layer_norm_first",
        nn::TransformerDecoderLayer(6, 2, {.dim_feedforward = 7, .dropout = 0, .norm_first = true}),
        [](const auto& net, const Inputs& in) { return net(in[0], in[1]); });
    check("transformer",
          nn::Transformer({.d_model = 6,
                           .nhead = 2,
                           .num_encoder_layers = 2,
                           .num_decoder_layers = 1,
                           .dim_feedforward = 5,
                           .dropout = 0}),
          [](const auto& net, const Inputs& in) { return net(in[0], in[1], Tensor(), in[2]); });
  }
}

TEST(Transformer, EveryCaseOfTheFixtureIsTested) {
  std::set<std::string> there;
  for (const std::string& name : fixture().names()) there.insert(name.substr(0, name.find('.')));
  EXPECT_EQ(there, (std::set<std::string>{
                       "attention", "attention_dims", "attention_masks", "decoder_layer",
                       "decoder_layer_norm_first", "embedding", "embedding_bag_max",
                       "embedding_bag_mean", "embedding_bag_sum", "embedding_bag_weights",
                       "embedding_max_norm", "encoder_layer", "encoder_layer_norm_first",
                       "group_norm", "instance_norm", "layer_norm", "transformer"}));
}

TEST(MultiheadAttention, IsCausalMasksAndNoN) {
  manual_seed(1);
  const nn::MultiheadAttention net(8, 2, {.batch_first = true});
  const Tensor x = randn({3, 5, 8});
  const Tensor mask = nn::Transformer::generate_square_subsequent_mask(5);
  const auto [y, weights] = net(x, x, x, Tensor(), true, Tensor(), true, true);
  EXPECT_EQ(weights.shape(), (Shape{3, 5, 5}));
  EXPECT_EQ(sum(triu(weights, 1)).item<float>(), 0);
  for (const Tensor& m : {mask, lt(mask, 0.0)}) {
    const auto [z, none] = net(x, x, x, Tensor(), false, m);
    expect_close(z, y.detach(), 1e-5);
    EXPECT_FALSE(none.defined());
  }
  // Other copies of the sequence are projected apart.
  expect_close(net(x, x.clone(), x.clone(), Tensor(), false, mask).first, y.detach(), 1e-5);
  // A mask of each kind.
  const Tensor padding = gt(tensor(std::vector<double>{0, 0, 0, 1, 1}, {1, 5}), 0.5);
  const Tensor one = narrow(x, 0, 0, 1);
  const auto a = net(one, one, one, padding, false, mask).first;
  const auto b = net(one, one, one, padding, false, lt(mask, 0.0)).first;
  expect_close(a, b.detach(), 1e-6);
  const auto [single, w] = net(x[0], x[0], x[0], padding[0], true, mask);
  expect_close(single, a[0].detach(), 1e-5);
  EXPECT_EQ(w.shape(), (Shape{5, 5}));
  const nn::MultiheadAttention other(8, 2);  // sequence first: the same without N
  EXPECT_EQ(other(x[0], x[0], x[0]).first.shape(), (Shape{5, 8}));
}

TEST(MultiheadAttention, DropsInTrainingOnly) {
  manual_seed(2);
  nn::MultiheadAttention net(4, 2, {.dropout = 0.5});
  const Tensor x = randn({6, 1, 4});
  const auto run = [&](bool need_weights) { return net(x, x, x, Tensor(), need_weights).first; };
  EXPECT_GT(max_distance(run(false), run(false)), 1e-3);
  EXPECT_GT(max_distance(run(true), run(true)), 1e-3);
  net.eval();
  EXPECT_EQ(max_distance(run(false), run(false)), 0);
  expect_close(run(false), run(true).detach(), 1e-6);
}

TEST(MultiheadAttention, Errors) {
  expect_error([] { nn::MultiheadAttention(6, 4); }, {"[MultiheadAttention]", "num_heads is 4"});
  expect_error([] { nn::MultiheadAttention(6, 2, {.dropout = 1}); }, {"dropout is 1"});
  expect_error([] { nn::MultiheadAttention(6, 2, {.kdim = 0}); }, {"kdim is 0"});
  const nn::MultiheadAttention net(6, 2);
  const Tensor x = zeros({4, 2, 6}), none;
  expect_error([&] { net(zeros({4, 2, 5}), x, x); }, {"query is f32[4,2,5]", "[L, N, 6]"});
  expect_error([&] { net(x, zeros({4, 6}), x); }, {"key is f32[4,6]"});
  expect_error([&] { net(x, zeros({4, 3, 6}), zeros({4, 3, 6})); }, {"the same N"});
  expect_error([&] { net(x, x, x, zeros({4, 2})); }, {"key_padding_mask is f32[4,2]", "[2,4]"});
  expect_error(
      [&] {
        net(x, x, x, none, true, zeros({4, 5}));
      },
      {"attn_mask is f32[4,5]", "[4,4] or [4,4,4]"});
}

TEST(Transformer, EncodersAndDecodersAreCopiesWithPyTorchsNames) {
  manual_seed(3);
  nn::TransformerEncoderLayer layer(4, 2, {.dim_feedforward = 3, .dropout = 0});
  EXPECT_EQ(
      layer.state_dict().names(),
      (Names{"self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
             "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight",
             "linear2.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"}));
  const nn::TransformerEncoder encoder(layer, 2, nn::LayerNorm(4));
  const Names names = encoder.state_dict().names();
  EXPECT_EQ(names.size(), 2u * 12 + 2);
  EXPECT_EQ(names.front(), "layers.0.self_attn.in_proj_weight");
  EXPECT_EQ(names.back(), "norm.bias");
  const Tensor x = randn({5, 2, 4});
  expect_close(encoder(x), nn::LayerNorm(4)(layer(layer(x))).detach(), 1e-5);
  sum(square(encoder(x))).backward();
  EXPECT_FALSE(layer.parameters()[0].grad().defined()) << "the layer itself is not in the encoder";
  for (const Tensor& p : encoder.parameters()) EXPECT_TRUE(p.grad().defined());

  const nn::TransformerDecoderLayer half(4, 2, {.dim_feedforward = 3, .dropout = 0});
  const nn::TransformerDecoder decoder(half, 2);
  expect_close(decoder(x, x), half(half(x, x), x).detach(), 1e-5);
  EXPECT_EQ(nn::Sequential(encoder)(x).shape(), x.shape());
  const nn::TransformerEncoder copy = encoder.clone();
  EXPECT_TRUE(same_bits(copy(x), encoder(x)));
  EXPECT_FALSE(copy.is_same(encoder));
  expect_error([&] { nn::TransformerEncoder(layer, 0); },
               {"[TransformerEncoder]", "num_layers is 0"});
  expect_error([] { nn::TransformerEncoderLayer(4, 2, {.activation = "selu"}); },
               {"\"selu\"", "\"relu\" or \"gelu\""});
}

TEST(Transformer, CausalAttentionSeesNoFuture) {
  manual_seed(4);
  const nn::TransformerEncoderLayer layer(4, 2, {.dropout = 0, .batch_first = true});
  const Tensor x = randn({1, 6, 4});
  const Tensor y = layer(x, Tensor(), Tensor(), true);
  const Tensor changed = x.clone();
  changed.data<float>()[5 * 4] += 1;  // of the last token
  const Tensor z = layer(changed, Tensor(), Tensor(), true);
  EXPECT_TRUE(same_bits(narrow(y, 1, 0, 5), narrow(z, 1, 0, 5)));
  EXPECT_GT(max_distance(y, z), 1e-3);
}

TEST(Transformer, TokenByTokenWithACacheIsTheSame) {
  manual_seed(5);
  const NoGrad no_grad;
  const Tensor q = randn({1, 2, 7, 4}), k = randn({1, 2, 7, 4}), v = randn({1, 2, 7, 4});
  const Tensor whole = scaled_dot_product_attention(q, k, v, {}, {.is_causal = true});
  Tensor keys = zeros({1, 2, 0, 4}), values = zeros({1, 2, 0, 4});
  for (int64_t t = 0; t < 7; ++t) {
    keys = cat({keys, narrow(k, 2, t, 1)}, 2);
    values = cat({values, narrow(v, 2, t, 1)}, 2);
    const Tensor y = scaled_dot_product_attention(narrow(q, 2, t, 1), keys, values);
    expect_close(y, narrow(whole, 2, t, 1), 1e-6);
  }
}

}  // namespace
}  // namespace tern
