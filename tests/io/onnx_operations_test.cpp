// SPDX-License-Identifier: Apache-2.0
// Every operation as a graph: exported, read again, and computing the same; or refused, with a
// reason.
#include <tern/io/internal/onnx_emit.h>
#include <tern/ops/internal/attention.h>
#include <tern/ops/internal/rnn.h>
#include <tern/tern.h>

#include <map>
#include <set>

#include "operations.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::all_operations;
using tern::test::contains;
using tern::test::message_of;
using tern::test::Operation;
using tern::test::OperationNet;

std::string path() { return ::testing::TempDir() + "operation.onnx"; }

std::string export_of(const Operation& op) {
  const NoGrad no_grad;
  const OperationNet net(op);
  return message_of([&] { io::save_onnx(net, {rand({2, 3})}, path(), {.dynamic_batch = false}); });
}

void expect_exported(const Operation& op) {
  const std::string message = export_of(op);
  ASSERT_EQ(message, "nothing was thrown");
  const NoGrad no_grad;
  const io::OnnxNet read = io::load_onnx(path());
  const Tensor wanted = op.call().detach(), found = read.run({rand({2, 3})})[0].detach();
  EXPECT_EQ(found.dtype(), wanted.dtype());
  EXPECT_EQ(found.shape(), wanted.shape());
  EXPECT_LE(test::max_distance(found, wanted), 1e-6 * (1 + test::largest(wanted)));
}

// What is in the list of all operations with options that a graph cannot have.
const std::map<std::string, const char*> kRefusedOptions = {
    {"batch_norm_relu", "the statistics of the batch"},
    {"scaled_dot_product_attention", "drops weights at random"},
    {"attention_with_weights", "drops weights at random"},
    {"recurrent", "the lengths of the sequences"},
    {"dropout", "draws random numbers"},
    {"dropout2d", "draws random numbers"},
    {"embedding", "max_norm changes the table"},
    {"contiguous", "comes from nowhere"}};  // there it is of `empty`

TEST(OnnxOperations, EachIsExportedOrRefused) {
  manual_seed(4);
  std::set<std::string> refused;
  for (const Operation& op : all_operations()) {
    SCOPED_TRACE(op.declared);
    const auto reason = io::not_exported().find(op.reported);
    const auto options = kRefusedOptions.find(op.declared);
    if (op.reported.ends_with('_')) {  // of a tensor from elsewhere, whatever it does
      EXPECT_PRED2(contains, export_of(op), "changes a tensor that was there before");
    } else if (reason != io::not_exported().end()) {
      EXPECT_PRED2(contains, export_of(op), reason->second);
      refused.insert(op.reported);
    } else if (options != kRefusedOptions.end()) {
      EXPECT_PRED2(contains, export_of(op), options->second);
    } else {
      expect_exported(op);
    }
  }
  const Tensor x = rand({3});
  const Operation put{"index_put_", "index_put_", [=] { return index_put_(x.clone(), {-1}, 2.0); }};
  EXPECT_PRED2(contains, export_of(put), "it changes parts of a tensor in place");
  refused.insert("index_put_");
  std::set<std::string> listed;
  for (const auto& [name, why] : io::not_exported()) listed.insert(name);
  EXPECT_EQ(refused, listed) << "what is refused is an operation that there is";
}

TEST(OnnxOperations, OtherOptions) {
  manual_seed(5);
  const NoGrad no_grad;
  const Tensor a = randn({2, 3, 7, 6}), weight = randn({4, 3, 3, 2}), bias = randn({4});
  const Tensor q = randn({2, 2, 4, 6}), k = randn({2, 2, 5, 6}), v = randn({2, 2, 5, 3});
  const Tensor allowed = gt(rand({4, 5}), 0.4), added = randn({2, 1, 4, 5});
  const Tensor lines = randn({2, 4, 12}), packed = randn({4, 2, 36}), none;
  const Tensor table = randn({7, 3}), ids = randint(0, 7, {4, 5}), rates = rand({4, 5});
  const Tensor steps = randn({5, 2, 6}), h = randn({2, 3}), c = randn({2, 3});
  const RecurrentWeights lstm{randn({12, 6}), randn({12, 3}), randn({12}), randn({12})};
  const RecurrentWeights gru{randn({9, 6}), randn({9, 3}), {}, {}};
  const RecurrentWeights rnn{randn({3, 6}), randn({3, 3}), randn({3}), randn({3})};
  const Tensor mean = rand({3}), var = rand({3}), gamma = rand({3}), beta = rand({3});
  const Tensor integers = randint(-9, 9, {2, 3, 4}), bytes = randint(0, 200, {5}).to(DType::u8);
  const Tensor mask = gt(a, 0.0), signal = randn({2, 3, 9});
  const auto heads = [=](auto&&... args) { return attention_of_heads(args...); };
  const std::vector<std::function<Tensor()>> calls = {
      [=] { return batch_norm_relu(a, mean, var, gamma, {}, {}); },
      [=] { return batch_norm(a, mean, var, {}, {}, {}); },
      [=] { return scaled_dot_product_attention(q, k, v); },
      [=] { return scaled_dot_product_attention(q, k, v, allowed, {.scale = 0.3}); },
      [=] { return scaled_dot_product_attention(q, k, v, added, {.is_causal = true}); },
      [=] {
        return heads(packed, none, none, 3, SequenceAxes::sequence_first, none,
                     AttentionOptions{.is_causal = true});
      },
      [=] {
        return attention_with_weights(lines, lines, lines, 3, SequenceAxes::batch_first, none, {})
            .second;
      },
      [=] { return embedding(ids, table); },
      [=] { return embedding_bag(ids, table); },
      [=] { return embedding_bag(ids, table, {}, rates, {.mode = BagMode::sum}); },
      [=] { return embedding_bag(ids, table, {}, {}, {.mode = BagMode::max}); },
      [=] { return recurrent(RecurrentCell::lstm, steps, h, c, lstm, true, {})[2]; },
      [=] { return recurrent(RecurrentCell::gru, steps, none, none, gru, false, {})[0]; },
      [=] { return recurrent(RecurrentCell::tanh, steps, h, none, rnn, false, {})[1]; },
      [=] { return recurrent(RecurrentCell::relu, steps, h, none, rnn, true, {})[0]; },
      [=] {
        return conv2d(a, weight, bias, {.padding = kSame, .dilation = {2, 3}});
      },
      [=] {
        return max_pool2d(a, 3, {.stride = 2, .padding = 1, .dilation = 2, .ceil_mode = true});
      },
      [=] { return avg_pool2d(a, 3, {.stride = 2, .padding = 1, .ceil_mode = true}); },
      [=] {
        return avg_pool2d(a, {3, 2}, {.ceil_mode = true, .count_include_pad = false});
      },
      [=] { return avg_pool2d(a, 3, {.padding = 1}); },
      [=] { return adaptive_avg_pool2d(a, 1); },
      [=] { return adaptive_max_pool2d(a, 1); },
      [=] {
        return adaptive_max_pool2d(a, {7, 2});
      },
      [=] {
        return interpolate(a, {.size = {1, 9}, .mode = Interpolation::bilinear});
      },
      [=] {
        return interpolate(
            a, {.size = {9, 4}, .mode = Interpolation::bilinear, .align_corners = true});
      },
      [=] {
        return interpolate(a, {.scale_factor = {1.7, 0.6}});
      },
      [=] {
        return interpolate(a, {.size = {3, 4}, .mode = Interpolation::area});
      },
      [=] { return interpolate(signal, {.scale_factor = 1.5, .mode = Interpolation::bilinear}); },
      [=] {
        return pad(a, {1, 2, 0, 1}, {.mode = PadMode::circular});
      },
      [=] {
        return pad(a, {1, 2, 0, 1}, {.mode = PadMode::replicate});
      },
      [=] {
        return pad(a, {-1, 2}, {.value = 3});
      },
      [=] { return remainder(integers, full({}, -4, DType::i64)); },
      [=] { return clamp(a, -0.5, INFINITY); },
      [=] { return lt(integers, 1.5); },
      [=] { return ge(bytes, 300.0); },
      [=] { return sum(bytes); },
      [=] { return sum(mask, 1); },
      [=] {
        return max(mask, {0, 1});
      },
      [=] { return mask * mask; },
      [=] { return bytes + bytes; },
      [=] { return -integers; },
      [=] { return a.to(DType::i64).to(DType::boolean); },
      [=] { return slice(a, -1, -4, INT64_MAX, 2); },
      [=] {
        return index(a, {-1, Range(1, 3), remainder(ids, 5.0)});
      },
      [=] { return roll(a, 5); },
      [=] { return softplus(a); },
      [=] {
        return layer_norm(a, {7, 6});
      },
      [=] { return group_norm(a, 3); },
      [=] { return instance_norm(a); },
      [=] { return instance_norm(a, mean, var, {}, {}, {.use_input_stats = false}); },
      [=] { return cdist(q, k); },
      [=] { return sort(integers, 2).second; },
      [=] {
        Tensor y = a.clone();
        y += a;
        mul_(y, 0.5);
        add_(y, a, -2.0);
        return y;
      },
  };
  for (size_t i = 0; i < calls.size(); ++i) {
    SCOPED_TRACE(i);
    expect_exported({"call", "call", calls[i]});
  }
}

}  // namespace
