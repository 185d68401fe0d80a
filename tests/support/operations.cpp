// SPDX-License-Identifier: Apache-2.0
#include "operations.h"

#include <tern/ops/internal/attention.h>
#include <tern/ops/internal/conv_batch_norm.h>
#include <tern/ops/internal/rnn.h>
#include <tern/tern.h>

#include <algorithm>

#include "op_recorder.h"

namespace tern::test {

namespace {

Tensor random(const Shape& shape) { return rand(shape).set_requires_grad(); }

std::function<Tensor()> in_place(std::function<Tensor()> call) {
  return [call = std::move(call)] {
    const NoGrad no_grad;
    return call();
  };
}

}  // namespace

std::vector<Operation> all_operations() {
  const Tensor a = random({2, 3, 4, 4}), b = random({2, 3, 4, 4}), row = random({6});
  const Tensor m = random({3, 6}), n = random({6, 3}), w = random({2, 3, 3, 3}), k = random({2});
  const Tensor mask = gt(a, 0.5), one = random({3, 1, 6}), none;
  const Tensor mu = rand({3}), var = rand({3}), gamma = random({3}), beta = random({3});
  const Tensor classes = tensor(std::vector<int64_t>{0, 1, 5}, {3});
  const Tensor places = unsqueeze(classes, 1), n3 = random({3, 3});
  const Tensor n3d = random({2, 3, 6}), w1 = random({2, 3, 3}), w1t = random({3, 2, 3});
  const Tensor volume = random({2, 3, 3, 4, 4}), w3 = random({2, 3, 2, 3, 3});
  const Tensor three = random({3, 3, 3, 3});
  const Tensor wt = random({3, 2, 3, 3}), four = random({2, 4, 3, 3});
  const Conv2dOptions conv{.stride = {1, 2}, .padding = 1, .algorithm = ConvAlgorithm::direct};
  const BatchNormOptions training{.training = true, .eps = 0.1, .running_var = RunningVar::biased};
  const BatchNormOptions eval{.eps = 0.1};
  const Shape small{3, 1, 1}, wide{3, 6};
  static float memory[6] = {1, 2, 3, 4, 5, 6};
  return {
      {"add", "add", [=] { return add(a, b); }},
      {"add", "add", [=] { return add(a, 2.0); }},
      {"sub", "sub", [=] { return sub(a, b); }},
      {"mul", "mul", [=] { return mul(a, b); }},
      {"mul", "mul", [=] { return mul(a, 2.0); }},
      {"div", "div", [=] { return div(a, b); }},
      {"neg", "neg", [=] { return neg(a); }},
      {"operator+", "add", [=] { return a + b; }},
      {"operator+", "add", [=] { return a + 2.0; }},
      {"operator+", "add", [=] { return 2.0 + a; }},
      {"operator-", "sub", [=] { return a - b; }},
      {"operator-", "add", [=] { return a - 2.0; }},
      {"operator-", "sub", [=] { return 2.0 - a; }},
      {"operator-", "neg", [=] { return -a; }},
      {"operator*", "mul", [=] { return a * b; }},
      {"operator*", "mul", [=] { return a * 2.0; }},
      {"operator*", "mul", [=] { return 2.0 * a; }},
      {"operator/", "div", [=] { return a / b; }},
      {"operator/", "div", [=] { return a / 2.0; }},
      {"operator/", "div", [=] { return 2.0 / a; }},
      {"pow", "pow", [=] { return pow(a, b); }},
      {"pow", "pow", [=] { return pow(a, 3.0); }},
      {"pow", "pow", [=] { return pow(3.0, a); }},
      {"minimum", "minimum", [=] { return minimum(a, b); }},
      {"maximum", "maximum", [=] { return maximum(a, b); }},
      {"min", "minimum", [=] { return min(a, b); }},
      {"max", "maximum", [=] { return max(a, b); }},
      {"remainder", "remainder", [=] { return remainder(a, b); }},
      {"remainder", "remainder", [=] { return remainder(a, 0.3); }},
      {"lerp", "lerp", [=] { return lerp(a, b, 0.3); }},
      {"lerp", "lerp", [=] { return lerp(a, b, 1.0 - b); }},
      {"addcmul", "addcmul", [=] { return addcmul(a, b, a, 0.3); }},
      {"addcdiv", "addcdiv", [=] { return addcdiv(a, b, a, 0.3); }},
      {"logical_and", "logical_and", [=] { return logical_and(a, mask); }},
      {"logical_or", "logical_or", [=] { return logical_or(a, mask); }},
      {"logical_xor", "logical_xor", [=] { return logical_xor(a, mask); }},
      {"logical_not", "logical_not", [=] { return logical_not(a); }},
      {"operator&", "logical_and", [=] { return mask & gt(b, 0.5); }},
      {"operator|", "logical_or", [=] { return mask | gt(b, 0.5); }},
      {"operator^", "logical_xor", [=] { return mask ^ gt(b, 0.5); }},
      {"operator!", "logical_not", [=] { return !mask; }},
      {"operator~", "logical_not", [=] { return ~mask; }},
      {"add_", "add_", in_place([=] { return add_(mu, var, 0.5); })},
      {"add_", "add_", in_place([=] { return add_(mu, 0.5); })},
      {"sub_", "sub_", in_place([=] { return sub_(mu, var, 0.5); })},
      {"sub_", "sub_", in_place([=] { return sub_(mu, 0.5); })},
      {"mul_", "mul_", in_place([=] { return mul_(mu, var); })},
      {"mul_", "mul_", in_place([=] { return mul_(mu, 0.5); })},
      {"div_", "div_", in_place([=] { return div_(mu, var); })},
      {"div_", "div_", in_place([=] { return div_(mu, 0.5); })},
      {"lerp_", "lerp_", in_place([=] { return lerp_(mu, var, 0.5); })},
      {"clamp_", "clamp_", in_place([=] { return clamp_(mu, 0.25, 0.5); })},
      {"add_relu", "add_relu", [=] { return add_relu(a, b); }},
      {"eq", "eq", [=] { return eq(a, b); }},
      {"eq", "eq", [=] { return eq(a, 0.5); }},
      {"ne", "ne", [=] { return ne(a, b); }},
      {"ne", "ne", [=] { return ne(classes, 0.5); }},
      {"lt", "lt", [=] { return lt(a, b); }},
      {"lt", "lt", [=] { return lt(classes, 0.5); }},
      {"le", "le", [=] { return le(a, b); }},
      {"le", "le", [=] { return le(a, 0.5); }},
      {"gt", "gt", [=] { return gt(a, b); }},
      {"gt", "gt", [=] { return gt(a, 0.5); }},
      {"ge", "ge", [=] { return ge(a, b); }},
      {"ge", "ge", [=] { return ge(a, 0.5); }},
      {"where", "where", [=] { return where(mask, a, none); }},
      {"where", "where", [=] { return where(mask, a, 2.0); }},
      {"where", "where", [=] { return where(mask, 0.0, a); }},
      {"masked_fill", "masked_fill", [=] { return masked_fill(a, mask, -1.0); }},
      {"sum_to", "sum_to", [=] { return sum_to(a, small); }},
      {"broadcast_to", "broadcast_to", [=] { return broadcast_to(row, wide); }},
      {"exp", "exp", [=] { return exp(a); }},
      {"log", "log", [=] { return log(a); }},
      {"log1p", "log1p", [=] { return log1p(a); }},
      {"log2", "log2", [=] { return log2(a); }},
      {"log10", "log10", [=] { return log10(a); }},
      {"expm1", "expm1", [=] { return expm1(a); }},
      {"rsqrt", "rsqrt", [=] { return rsqrt(a); }},
      {"reciprocal", "div", [=] { return reciprocal(a); }},
      {"atan", "atan", [=] { return atan(a); }},
      {"floor", "floor", [=] { return floor(a); }},
      {"ceil", "ceil", [=] { return ceil(a); }},
      {"round", "round", [=] { return round(a); }},
      {"trunc", "trunc", [=] { return trunc(a); }},
      {"sign", "sign", [=] { return sign(a); }},
      {"isnan", "isnan", [=] { return isnan(a); }},
      {"isinf", "isinf", [=] { return isinf(a); }},
      {"isfinite", "isfinite", [=] { return isfinite(a); }},
      {"nan_to_num", "nan_to_num", [=] { return nan_to_num(a / 0.0, 1, 2, -3); }},
      {"square", "square", [=] { return square(a); }},
      {"clamp", "clamp", [=] { return clamp(a, 0.25, 0.75); }},
      {"clamp", "clamp", [=] { return clamp(a, b, none); }},
      {"clamp_min", "clamp", [=] { return clamp_min(a, 0.25); }},
      {"clamp_max", "clamp", [=] { return clamp_max(a, 0.75); }},
      {"sqrt", "sqrt", [=] { return sqrt(a); }},
      {"abs", "abs", [=] { return abs(a); }},
      {"sin", "sin", [=] { return sin(a); }},
      {"cos", "cos", [=] { return cos(a); }},
      {"erf", "erf", [=] { return erf(a); }},
      {"relu", "relu", [=] { return relu(a); }},
      {"leaky_relu", "leaky_relu", [=] { return leaky_relu(a - 0.5, 0.3); }},
      {"sigmoid", "sigmoid", [=] { return sigmoid(a); }},
      {"tanh", "tanh", [=] { return tanh(a); }},
      {"gelu", "gelu", [=] { return gelu(a); }},
      {"gelu", "gelu_tanh", [=] { return gelu(a, {.approximate = GeluApproximation::tanh}); }},
      {"hardtanh", "hardtanh", [=] { return hardtanh(a, 0.25, 0.75); }},
      {"relu6", "hardtanh", [=] { return relu6(a); }},
      {"hardsigmoid", "hardsigmoid", [=] { return hardsigmoid(a); }},
      {"hardswish", "hardswish", [=] { return hardswish(a); }},
      {"mish", "mish", [=] { return mish(a); }},
      {"logsigmoid", "logsigmoid", [=] { return logsigmoid(a); }},
      {"softsign", "softsign", [=] { return softsign(a); }},
      {"prelu", "prelu", [=] { return prelu(a - 0.5, gamma); }},
      {"glu", "glu", [=] { return glu(a, 2); }},
      {"silu", "silu", [=] { return silu(a); }},
      {"elu", "elu", [=] { return elu(a - 0.5, 0.3); }},
      {"softplus", "softplus", [=] { return softplus(a, 2.0, 1.0); }},
      {"sum", "sum",
       [=] {
         return sum(a, {1, 2}, true);
       }},
      {"mean", "mean", [=] { return mean(a, {1}); }},
      {"max", "max", [=] { return max(a, {3}); }},
      {"argmax", "argmax", [=] { return argmax(a, 1, true); }},
      {"sort", "sort", [=] { return sort(a, 1, true).first; }},
      {"argsort", "argsort", [=] { return argsort(a, 2); }},
      {"topk", "topk", [=] { return topk(a, 2, -1, false).first; }},
      {"min", "min",
       [=] {
         return min(a, {0, 1}, true);
       }},
      {"argmax", "argmax", [=] { return argmax(a); }},
      {"argmin", "argmin", [=] { return argmin(a, 1, true); }},
      {"argmin", "argmin", [=] { return argmin(a); }},
      {"prod", "prod",
       [=] {
         return prod(a, {0, 3});
       }},
      {"any", "any", [=] { return any(gt(a, 0.9), -1); }},
      {"all", "all",
       [=] {
         return all(a, {1, 2});
       }},
      {"count_nonzero", "count_nonzero", [=] { return count_nonzero(mask, 1); }},
      {"logsumexp", "logsumexp",
       [=] {
         return logsumexp(a, {1, 3});
       }},
      {"var", "var", [=] { return tern::var(a, 1, {.correction = 0, .keepdim = true}); }},
      {"std", "std", [=] { return tern::std(a); }},
      {"norm", "norm",
       [=] {
         return norm(a, 3, {1, 2});
       }},
      {"normalize", "normalize", [=] { return normalize(a, {.p = 1, .axis = 2, .eps = 0.5}); }},
      {"median", "median", [=] { return median(a); }},
      {"median", "median", [=] { return median(a, 2, true); }},
      {"cumsum", "cumsum", [=] { return cumsum(a, -2); }},
      {"softmax", "softmax", [=] { return softmax(a, 1); }},
      {"log_softmax", "log_softmax", [=] { return log_softmax(a, -1); }},
      {"matmul", "matmul", [=] { return matmul(one, n); }},
      {"bmm", "bmm", [=] { return bmm(unsqueeze(m, 0), unsqueeze(n, 0)); }},
      {"dot", "dot", [=] { return dot(row, row); }},
      {"outer", "outer", [=] { return outer(row, k); }},
      {"addmm", "addmm", [=] { return addmm(gamma, m, n, {.beta = 2, .alpha = 0.5}); }},
      {"einsum", "einsum",
       [=] {
         return einsum("ij,jk->ki", {m, n});
       }},
      {"cosine_similarity", "cosine_similarity",
       [=] { return cosine_similarity(m, m + 1.0, {.axis = 0, .eps = 0.1}); }},
      {"pairwise_distance", "pairwise_distance",
       [=] { return pairwise_distance(m, m + 1.0, {.p = 1, .eps = 0.1, .keepdim = true}); }},
      {"cdist", "cdist", [=] { return cdist(m, m + 1.0, 1); }},
      {"linear", "linear", [=] { return linear(one, m, none); }},
      {"conv2d", "conv2d", [=] { return conv2d(a, w, k, conv); }},
      {"conv2d_relu", "conv2d_relu", [=] { return conv2d_relu(a, w, none, conv); }},
      {"conv1d", "conv1d", [=] { return conv1d(n3d, w1, k, {.stride = 2, .padding = 1}); }},
      {"conv3d", "conv3d",
       [=] {
         return conv3d(volume, w3, k, {.stride = {2, 1, 1}});
       }},
      {"max_pool3d", "max_pool3d", [=] { return max_pool3d(volume, 2, {.stride = 1}); }},
      {"avg_pool3d", "avg_pool3d",
       [=] {
         return avg_pool3d(volume, {1, 2, 2});
       }},
      {"adaptive_avg_pool3d", "adaptive_avg_pool3d",
       [=] {
         return adaptive_avg_pool3d(volume, {1, 2, 3});
       }},
      {"conv_transpose1d", "conv_transpose1d",
       [=] { return conv_transpose1d(n3d, w1t, {}, {.stride = 2, .output_padding = 1}); }},
      {"conv_transpose2d", "conv_transpose2d",
       [=] {
         return conv_transpose2d(a, wt, k, {.stride = {1, 2}, .output_padding = {0, 1}});
       }},
      {"conv2d_batch_norm", "conv2d_batch_norm",
       [=] {
         const NoGrad no_grad;
         return conv2d_batch_norm(a, three, none, {mu, var, gamma, beta, 0.1, true}, conv);
       }},
      {"batch_norm", "batch_norm", [=] { return batch_norm(a, mu, var, gamma, beta, eval); }},
      {"batch_norm_relu", "batch_norm_relu",
       [=] { return batch_norm_relu(a, none, none, gamma, beta, training); }},
      {"layer_norm", "layer_norm", [=] { return layer_norm(m, 6, row, row, 0.1); }},
      {"rms_norm", "rms_norm",
       [=] {
         return rms_norm(m, {3, 6}, m, 0.1);
       }},
      {"group_norm", "group_norm", [=] { return group_norm(a, 3, gamma, beta, 0.1); }},
      {"instance_norm", "instance_norm",
       [=] { return instance_norm(a, mu, var, none, beta, {.momentum = 0, .eps = 0.1}); }},
      {"scaled_dot_product_attention", "scaled_dot_product_attention",
       [=] {
         return scaled_dot_product_attention(a, b, b, mask, {.dropout_p = 0.25, .scale = 0.7});
       }},
      {"attention_of_heads", "attention_of_heads",
       [=] { return attention_of_heads(one, none, none, 2, SequenceAxes::batch_first, none, {}); }},
      {"attention_with_weights", "attention_with_weights",
       [=] {
         return attention_with_weights(one, one, one, 2, SequenceAxes::sequence_first, mu,
                                       {.dropout_p = 0.5})
             .first;
       }},
      {"max_pool2d", "max_pool2d",
       [=] {
         return max_pool2d(a, {2, 3}, {.stride = 1, .padding = 1});
       }},
      {"avg_pool2d", "avg_pool2d",
       [=] { return avg_pool2d(a, 3, {.padding = 1, .count_include_pad = false}); }},
      {"adaptive_avg_pool2d", "adaptive_avg_pool2d",
       [=] {
         return adaptive_avg_pool2d(a, {1, 3});
       }},
      {"adaptive_max_pool2d", "adaptive_max_pool2d",
       [=] {
         return adaptive_max_pool2d(a, {3, 2});
       }},
      {"max_pool1d", "max_pool1d", [=] { return max_pool1d(n3d, 2, {.stride = 1}); }},
      {"avg_pool1d", "avg_pool1d",
       [=] { return avg_pool1d(n3d, 3, {.stride = 2, .padding = 1, .count_include_pad = false}); }},
      {"adaptive_avg_pool1d", "adaptive_avg_pool1d", [=] { return adaptive_avg_pool1d(n3d, 4); }},
      {"adaptive_max_pool1d", "adaptive_max_pool1d", [=] { return adaptive_max_pool1d(n3d, 4); }},
      {"interpolate", "interpolate",
       [=] {
         return interpolate(a, {.scale_factor = {2, 1.5}, .mode = Interpolation::bilinear});
       }},
      {"pixel_shuffle", "pixel_shuffle", [=] { return pixel_shuffle(four, 2); }},
      {"pixel_unshuffle", "pixel_unshuffle", [=] { return pixel_unshuffle(a, 2); }},
      {"recurrent", "lstm",
       [=] {
         const RecurrentWeights weights{random({8, 6}), random({8, 2}), random({8}), random({8})};
         return recurrent(RecurrentCell::lstm, one, random({1, 2}), none, weights, true, {2})[0];
       }},
      {"dropout", "dropout", [=] { return dropout(a, 0.3, true); }},
      {"dropout2d", "dropout2d", [=] { return dropout2d(a, 0.4); }},
      {"cross_entropy", "cross_entropy",
       [=] {
         return cross_entropy(m, classes,
                              {.ignore_index = 1, .label_smoothing = 0.2, .weight = row});
       }},
      {"nll_loss", "nll_loss",
       [=] { return nll_loss(m, classes, {.weight = row, .ignore_index = 1}); }},
      {"binary_cross_entropy", "binary_cross_entropy",
       [=] { return binary_cross_entropy(a, b, {.weight = b, .reduction = Reduction::sum}); }},
      {"binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits",
       [=] { return binary_cross_entropy_with_logits(a, b, {.weight = b, .pos_weight = a}); }},
      {"mse_loss", "mse_loss", [=] { return mse_loss(a, b, Reduction::sum); }},
      {"l1_loss", "l1_loss", [=] { return l1_loss(a, b, Reduction::none); }},
      {"smooth_l1_loss", "smooth_l1_loss",
       [=] { return smooth_l1_loss(a, b, Reduction::sum, 0.3); }},
      {"huber_loss", "huber_loss", [=] { return huber_loss(a, b, Reduction::sum, 0.3); }},
      {"kl_div", "kl_div", [=] { return kl_div(a, b, Reduction::sum, true); }},
      {"ctc_loss", "ctc_loss",
       [=] {
         const Tensor labels = tensor(std::vector<int64_t>{1, 2}, {2, 1});
         return ctc_loss(log_softmax(reshape(a, {12, 2, 4}), -1), labels, full({2}, 3, DType::i64),
                         full({2}, 1, DType::i64), {.reduction = Reduction::sum});
       }},
      {"margin_ranking_loss", "margin_ranking_loss",
       [=] { return margin_ranking_loss(a, b, a, 0.3); }},
      {"triplet_margin_loss", "triplet_margin_loss",
       [=] { return triplet_margin_loss(a, b, a * b, {.margin = 2, .p = 3, .swap = true}); }},
      {"cosine_embedding_loss", "cosine_embedding_loss",
       [=] { return cosine_embedding_loss(m, m * m, ones({3}), 0.3, Reduction::sum); }},
      {"reshape", "reshape",
       [=] {
         return reshape(a, {-1, 8});
       }},
      {"flatten", "flatten", [=] { return flatten(a, 1, 2); }},
      {"transpose", "transpose", [=] { return transpose(a, 0, -1); }},
      {"permute", "permute",
       [=] {
         return permute(a, {3, 0, 2, 1});
       }},
      {"slice", "slice", [=] { return slice(a, 2, 1, -1, 2); }},
      {"select", "select", [=] { return select(a, 1, -1); }},
      {"narrow", "narrow", [=] { return narrow(a, 1, 1, 2); }},
      {"stack", "stack",
       [=] {
         return stack(std::vector{a, b}, -1);
       }},
      {"index_select", "index_select", [=] { return index_select(m, 1, classes); }},
      {"embedding", "embedding",
       [=] { return embedding(places, n, {.padding_idx = -1, .max_norm = 9, .norm_type = 1}); }},
      {"embedding_bag", "embedding_bag",
       [=] { return embedding_bag(places, n, none, unsqueeze(gamma, 1), {.mode = BagMode::sum}); }},
      {"gather", "gather", [=] { return gather(m, 1, places); }},
      {"take_along", "take_along", [=] { return take_along(m, 1, places); }},
      {"scatter", "scatter", [=] { return scatter(m, 1, places, m); }},
      {"scatter", "scatter", [=] { return scatter(m, 1, places, 2.0); }},
      {"scatter_add", "scatter_add", [=] { return scatter_add(m, 1, places, m); }},
      {"index_add", "index_add", [=] { return index_add(m, 1, classes, n3); }},
      {"index", "index",
       [=] {
         return index(m, {Range(0, 3, 2), classes});
       }},
      {"index_put_", "index_put_",
       [=] {
         const NoGrad no_grad;
         return index_put_(mu, {tensor(std::vector<bool>{true, false, true}, {3})}, var[0]);
       }},
      {"index_put_", "index_put_",
       [=] {
         const NoGrad no_grad;
         return index_put_(mu, {-1}, 2.0);
       }},
      {"masked_select", "masked_select", [=] { return masked_select(a, mask); }},
      {"nonzero", "nonzero", [=] { return nonzero(a); }},
      {"split", "split", [=] { return split(a, 2, 1)[0]; }},
      {"split", "split",
       [=] {
         return split(a, {1, 2}, 1)[0];
       }},
      {"split", "split",
       [=] {
         return split(a, std::vector<int64_t>{2, 1}, 1)[0];
       }},
      {"chunk", "chunk", [=] { return chunk(a, 3, 1)[0]; }},
      {"unbind", "unbind", [=] { return unbind(a, 1)[0]; }},
      {"cat", "cat",
       [=] {
         return cat(std::vector{a, b, a}, 1);
       }},
      {"unflatten", "unflatten",
       [=] {
         return unflatten(a, -1, {2, -1});
       }},
      {"squeeze", "squeeze", [=] { return squeeze(one); }},
      {"flip", "flip",
       [=] {
         return flip(a, {0, -1});
       }},
      {"roll", "roll",
       [=] {
         return roll(a, {1, -1}, {0, 2});
       }},
      {"rot90", "rot90",
       [=] {
         return rot90(a, 3, {1, 2});
       }},
      {"repeat", "repeat",
       [=] {
         return repeat(m, {2, 1, 3});
       }},
      {"hstack", "hstack",
       [=] {
         return hstack({m, m});
       }},
      {"vstack", "vstack",
       [=] {
         return vstack({m, m});
       }},
      {"pad", "pad",
       [=] {
         return pad(a, {1, 2, 0, 1}, {.mode = PadMode::reflect});
       }},
      {"unsqueeze", "unsqueeze", [=] { return unsqueeze(a, -1); }},
      {"squeeze", "squeeze", [=] { return squeeze(one, 1); }},
      {"to", "to", [=] { return a.to(DType::f64); }},
      {"detach", "detach", [=] { return a.detach(); }},
      {"clone", "clone", [=] { return a.clone(); }},
      {"to_memory_format", "to_memory_format",
       [=] { return to_memory_format(a, MemoryFormat::channels_last); }},
      {"to_order", "to_memory_format", [=] { return to_order(a, MemoryFormat::channels_last); }},
      {"contiguous", "to_memory_format",
       [=] {
         const Tensor last = [&] {
           const NoGrad no_grad;
           return empty(a.shape(), DType::f32, MemoryFormat::channels_last);
         }();
         last.set_requires_grad();
         return contiguous(last);
       }},
      {"zeros", "full",
       [] {
         return zeros({2, 3});
       }},
      {"ones", "full",
       [] {
         return ones({2, 3}, DType::u8);
       }},
      {"full", "full",
       [] {
         return full({2, 3}, 7, DType::i64);
       }},
      {"zeros_like", "full", [=] { return zeros_like(a); }},
      {"ones_like", "full", [=] { return ones_like(a); }},
      {"rand", "rand", [] { return rand({5}, DType::f64); }},
      {"randn", "randn", [] { return randn({5}); }},
      {"arange", "arange", [] { return arange(5); }},
      {"arange", "arange", [] { return arange(1, 2, 0.3, DType::f32); }},
      {"full_like", "full", [=] { return full_like(a, 3); }},
      {"rand_like", "rand", [=] { return rand_like(a); }},
      {"randn_like", "randn", [=] { return randn_like(a); }},
      {"randint", "randint",
       [] {
         return randint(-3, 5, {2, 3});
       }},
      {"randint", "randint", [] { return randint(5, {3}, DType::f32); }},
      {"randperm", "randperm", [=] { return randperm(9); }},
      {"linspace", "linspace", [=] { return linspace(0, 1, 7); }},
      {"eye", "eye", [=] { return eye(2, 3); }},
      {"eye", "eye", [=] { return eye(3, DType::i64); }},
      {"tril", "tril", [=] { return tril(a, 1); }},
      {"triu", "triu", [=] { return triu(m, -1); }},
      {"diag", "diag", [=] { return diag(row, 1); }},
      {"meshgrid", "meshgrid",
       [=] {
         return meshgrid({row, row})[0];
       }},
      {"one_hot", "one_hot", [=] { return one_hot(classes, 6); }},
      {"bernoulli", "bernoulli", [=] { return bernoulli(row); }},
      {"normal", "normal", [=] { return normal(row, row); }},
      {"normal", "normal", [=] { return normal(2.0, row); }},
      {"normal", "normal", [=] { return normal(row, 0.5); }},
      {"normal", "normal", [=] { return normal(1.0, 2.0, {3}, DType::f64); }},
      {"multinomial", "multinomial", [=] { return multinomial(m, 2); }},
      {"tensor", "tensor", [] { return tensor(std::vector<float>{1}, {1}); }},
      {"tensor", "tensor", [] { return tensor(std::vector<double>{1}, {1}); }},
      {"tensor", "tensor", [] { return tensor(std::vector<int64_t>{1}, {1}); }},
      {"tensor", "tensor", [] { return tensor(std::vector<uint8_t>{1}, {1}); }},
      {"tensor", "tensor", [] { return tensor(std::vector<bool>{true}, {1}); }},
      {"from_blob", "from_blob",
       [] {
         return from_blob(memory, {2, 3}, DType::f32, [](void*) {});
       }},
      {"copy_", "copy_",
       [=] {
         const NoGrad no_grad;
         mu.copy_(var);
         return mu;
       }},
      {"fill_", "fill_",
       [=] {
         const NoGrad no_grad;
         mu.fill_(3);
         return mu;
       }},
      {"zero_", "fill_",
       [=] {
         const NoGrad no_grad;
         mu.zero_();
         return mu;
       }},
  };
}

OperationNet::OperationNet(const Operation& op) : op_(op) {
  OpRecorder recorder;
  {
    const OpListening listening(recorder);
    (void)op.call();
  }
  // What the call takes and does not make itself.
  std::vector<Tensor> made, taken;
  const auto has = [](const std::vector<Tensor>& list, const Tensor& x) {
    return std::any_of(list.begin(), list.end(), [&](const Tensor& t) { return t.is_same(x); });
  };
  for (const Recorded& one : recorder.calls) {
    made.insert(made.end(), one.call.results.begin(), one.call.results.end());
  }
  for (const Recorded& one : recorder.outermost()) {
    for (const Tensor& input : one.inputs) {
      if (!input.defined() || has(made, input) || has(taken, input)) continue;
      const std::string name = "t" + std::to_string(taken.size());
      input.requires_grad() && input.is_leaf() ? register_parameter(name, input)
                                               : register_buffer(name, input);
      taken.push_back(input);
    }
  }
}

}  // namespace tern::test
