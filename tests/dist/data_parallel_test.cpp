// SPDX-License-Identifier: Apache-2.0
// Data parallel training on threads. Built with ThreadSanitizer too, which does not know libgomp's
// barriers, so there every thread computes alone.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include "support.h"

using namespace tern;
using dist::Communicator;
using dist::DataParallel;
using dist::run_threads;
using test::expect_error;

namespace {

class Ranks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, ::testing::Values(1, 2, 3, 4, 7));

class Net : public nn::Module {
  nn::Linear a = register_module("a", nn::Linear(6, 17));
  nn::Linear b = register_module("b", nn::Linear(17, 9));
  nn::Linear c = register_module("c", nn::Linear(9, 3));

 public:
  Tensor forward(const Tensor& x) override { return c(tanh(b(tanh(a(x))))); }
};

Net net_of(uint64_t seed, DType dtype = DType::f64) {
  manual_seed(seed);
  Net net;
  net.to(dtype);
  return net;
}

struct Examples {
  Tensor x, y;
  Tensor loss(const Net& net) const { return cross_entropy(net(x), y); }
  int64_t count() const { return x.size(0); }
};

Examples examples(int64_t count, DType dtype = DType::f64) {
  manual_seed(50);
  return {randn({count, 6}, DType::f64).to(dtype), randint(3, {count})};
}

// Rank r's: sizes 2, 0, 5, 3, 1... in turn, so that some are empty.
Examples part_of(const Examples& all, const std::vector<int64_t>& sizes, int rank) {
  int64_t begin = 0;
  for (int r = 0; r < rank; ++r) begin += sizes[static_cast<size_t>(r)];
  const int64_t end = begin + sizes[static_cast<size_t>(rank)];
  return {slice(all.x, 0, begin, end), slice(all.y, 0, begin, end)};
}

std::vector<int64_t> uneven(int ranks) {
  const std::vector<int64_t> sizes{2, 0, 5, 3, 1, 0, 4};
  return {sizes.begin(), sizes.begin() + ranks};
}

int64_t total(const std::vector<int64_t>& sizes) {
  int64_t sum = 0;
  for (const int64_t size : sizes) sum += size;
  return sum;
}

std::vector<Tensor> gradients_of(const Tensor& loss, const Net& net) {
  return grad(loss, net.parameters());
}

void expect_gradients(const Net& net, const std::vector<Tensor>& expected, double tolerance) {
  const auto parameters = net.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_LT(test::max_distance(parameters[i].grad(), expected[i]), tolerance) << i;
  }
}

bool backward_of(DataParallel& parallel, const Net& net, const Examples& mine) {
  return parallel.backward(mine.count() > 0 ? mine.loss(net) : Tensor(), mine.count());
}

nn::Sequential image_net() {
  return nn::Sequential(nn::Conv2d(1, 4, 3, {.bias = false}), nn::BatchNorm2d(4), nn::ReLU(),
                        nn::Flatten(), nn::Dropout(0.3), nn::Linear(4 * 36, 5));
}

TEST_P(Ranks, GetTheGradientsOfTheWholeBatchHoweverItIsDivided) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const std::vector<int64_t> sizes = uneven(GetParam());
    const Examples all = examples(total(sizes), dtype);
    const Net whole = net_of(7, dtype);
    const auto expected = gradients_of(all.loss(whole), whole);
    run_threads(GetParam(), [&](Communicator world) {
      const Net net = net_of(static_cast<uint64_t>(7 + world.rank()), dtype);  // 7 is rank 0's
      DataParallel parallel(net, world, {.bucket_bytes = 500});
      for (int step = 0; step < 3; ++step) {  // in another order from the second on
        EXPECT_TRUE(backward_of(parallel, net, part_of(all, sizes, world.rank())));
        expect_gradients(net, expected, dtype == DType::f64 ? 1e-14 : 1e-6);
        for (const Tensor& x : net.parameters()) x.set_grad({});
      }
      EXPECT_EQ(parallel.steps(), 3);
    });
  }
}

// What a rank's steps leave in the parameters.
std::vector<float> trained(Communicator world, const dist::DataParallelOptions& options) {
  const std::vector<int64_t> sizes = uneven(world.size());
  const Examples all = examples(total(sizes), DType::f32);
  Net net = net_of(static_cast<uint64_t>(world.rank()), DType::f32);
  DataParallel parallel(net, world, options);
  optim::SGD sgd(net.parameters(), {.lr = 0.3, .momentum = 0.9});
  for (int step = 0; step < 4; ++step) {
    backward_of(parallel, net, part_of(all, sizes, world.rank()));
    optim::clip_grad_norm_(net.parameters(), 0.3);
    sgd.step();
    sgd.zero_grad();
  }
  std::vector<float> values;
  for (const Tensor& x : net.parameters()) {
    const auto more = x.to_vector<float>();
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

TEST_P(Ranks, EndWithTheSameBitsWhateverTheBuckets) {
  std::vector<std::vector<float>> results(static_cast<size_t>(2 * GetParam()));
  for (const int64_t bytes : {1, 25 << 20}) {
    run_threads(GetParam(), [&](Communicator world) {
      const auto place = static_cast<size_t>(world.rank() + (bytes == 1 ? 0 : world.size()));
      results[place] = trained(world, {.bucket_bytes = bytes, .check_every = 1});
    });
  }
  for (const auto& result : results) EXPECT_TRUE(result == results[0]);
}

TEST_P(Ranks, AccumulateWithoutExchangeUntilTheLast) {
  const std::vector<int64_t> sizes = uneven(GetParam());
  const Examples first = examples(total(sizes));
  manual_seed(51);
  const Examples second{randn({total(sizes), 6}, DType::f64), randint(3, {total(sizes)})};
  const Net whole = net_of(7);
  const auto expected =
      gradients_of(cross_entropy(whole(cat({first.x, second.x})), cat({first.y, second.y})), whole);
  run_threads(GetParam(), [&](Communicator world) {
    const Net net = net_of(7);
    DataParallel parallel(net, world);
    for (int step = 0; step < 2; ++step) {
      for (const Tensor& x : net.parameters()) x.set_grad({});
      const uint64_t before = world.bytes_sent();
      {
        const auto accumulate = parallel.no_sync();
        EXPECT_FALSE(backward_of(parallel, net, part_of(first, sizes, world.rank())));
      }
      EXPECT_EQ(world.bytes_sent(), before);
      EXPECT_TRUE(backward_of(parallel, net, part_of(second, sizes, world.rank())));
      expect_gradients(net, expected, 1e-14);
    }
    EXPECT_EQ(parallel.steps(), 2);
  });
}

TEST_P(Ranks, AddToTheGradientsThatAreThereAlready) {
  const std::vector<int64_t> sizes = uneven(GetParam());
  const Examples all = examples(total(sizes));
  const Net whole = net_of(7);
  auto expected = gradients_of(all.loss(whole), whole);
  for (Tensor& gradient : expected) gradient = gradient * 2.0 + 1.0;
  run_threads(GetParam(), [&](Communicator world) {
    const Net net = net_of(7);
    DataParallel parallel(net, world);
    for (const Tensor& x : net.parameters()) x.set_grad(ones_like(x));
    for (int i = 0; i < 2; ++i) backward_of(parallel, net, part_of(all, sizes, world.rank()));
    expect_gradients(net, expected, 1e-14);
  });
}

class Branches : public nn::ModuleOf<Branches> {
 public:
  Tensor even = register_parameter("even", ones({2}));
  Tensor odd = register_parameter("odd", ones({2}));
  Tensor never = register_parameter("never", ones({2}));
  Tensor frozen = register_parameter("frozen", ones({2}));
  Tensor forward(int which) { return sum((which % 2 == 0 ? even : odd) * (which + 1.0)); }
};

TEST_P(Ranks, ParametersThatSomeOrNoRankUsesAreRight) {
  run_threads(GetParam(), [&](Communicator world) {
    Branches net;
    net.frozen.set_requires_grad(false);
    DataParallel parallel(net, world, {.bucket_bytes = 1});
    for (int step = 0; step < 2; ++step) {
      net.never.set_grad(step == 0 ? Tensor() : full({2}, 5));
      net.even.set_grad({});
      net.odd.set_grad({});
      parallel.backward(net(world.rank()), 1);
      float even = 0, odd = 0;
      const int ranks = world.size();
      for (int r = 0; r < ranks; ++r) (r % 2 == 0 ? even : odd) += static_cast<float>(r + 1);
      const float n = static_cast<float>(ranks);
      EXPECT_EQ(net.even.grad().to_vector<float>(), std::vector<float>(2, even / n));
      EXPECT_EQ(net.odd.grad().defined(), ranks > 1);
      if (ranks > 1) {
        EXPECT_EQ(net.odd.grad().to_vector<float>(), std::vector<float>(2, odd / n));
      }
      EXPECT_EQ(net.never.grad().defined(), step == 1);
      if (step == 1) {
        EXPECT_EQ(net.never.grad().to_vector<float>(), std::vector<float>(2, 5));
      }
      EXPECT_FALSE(net.frozen.grad().defined());
    }
  });
}

// While the first layer's backward has still to run, gradients of the last have been sent.
TEST(DataParallel, ExchangesWhileTheBackwardPassRuns) {
  const Examples all = examples(4);
  run_threads(2, [&](Communicator world) {
    const Net net = net_of(7);
    DataParallel parallel(net, world, {.bucket_bytes = 1});
    const uint64_t before = world.bytes_sent();
    bool early = false;
    net.parameters()[0].register_hook([&](const Tensor&) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!early && std::chrono::steady_clock::now() < end) {
        early = world.bytes_sent() > before + 400;  // those of c, 30 numbers, both ways
        std::this_thread::yield();
      }
    });
    backward_of(parallel, net, all);
    EXPECT_TRUE(early);
  });
}

TEST(DataParallel, SendsHardlyMoreThanTheGradients) {
  for (const int ranks : {2, 3, 4}) {
    run_threads(ranks, [&](Communicator world) {
      nn::Sequential net(nn::Linear(200, 300), nn::Tanh(), nn::Linear(300, 200));
      DataParallel parallel(net, world, {.bucket_bytes = 100000, .check_every = 0});
      const auto step = [&] { parallel.backward(mean(net(randn({4, 200}))), 4); };
      step();  // which also agrees on the order
      const uint64_t before = world.bytes_sent();
      step();
      double bytes = 0;
      for (const Tensor& x : net.parameters()) bytes += 4.0 * static_cast<double>(x.numel());
      const auto sent = static_cast<double>(world.bytes_sent() - before);
      EXPECT_LE(sent, 1.02 * 2 * (ranks - 1) / ranks * bytes);
    });
  }
}

std::string message_of_ranks(int ranks, const std::function<void(Communicator)>& f) {
  return test::message_of([&] { run_threads(ranks, f); });
}

TEST(DataParallel, NamesWhatDiffersBetweenNets) {
  const auto message = [](const std::function<nn::Sequential(bool)>& make) {
    return message_of_ranks(
        3, [&](Communicator world) { DataParallel(make(world.rank() == 1), world); });
  };
  const auto shape = message([](bool other) {
    return nn::Sequential(nn::Linear(2, 3), nn::Tanh(), nn::Linear(3, other ? 4 : 5));
  });
  test::expect_mentions(
      shape, {"the net of DataParallel differs", "rank 0 has parameter 2.weight f32[5,3]",
              "rank 1 has parameter 2.weight f32[4,3]"});
  const auto name = message([](bool other) {
    return other ? nn::Sequential(nn::Linear(2, 3)) : nn::Sequential(nn::Tanh(), nn::Linear(2, 3));
  });
  test::expect_mentions(name, {"rank 0 has parameter 1.weight", "rank 1 has parameter 0.weight"});
  const auto dtype = message([](bool other) {
    nn::Sequential net{nn::Linear(2, 3)};
    if (other) net.to(DType::f64);
    return net;
  });
  test::expect_mentions(dtype, {"0.weight f32[3,2]", "0.weight f64[3,2]"});
  const auto buffer = message([](bool other) {
    return nn::Sequential(nn::BatchNorm1d(2, {.track_running_stats = !other}));
  });
  test::expect_mentions(buffer, {"rank 0 has buffer 0.running_mean", "rank 1 has nothing more"});
  const auto frozen = message([](bool other) {
    nn::Sequential net{nn::Linear(2, 3)};
    if (other) net.requires_grad_(false);
    return net;
  });
  test::expect_mentions(frozen, {"0.weight f32[3,2], frozen"});
  const auto options = message_of_ranks(2, [&](Communicator world) {
    DataParallel(nn::Linear(2, 3), world, {.bucket_bytes = 100 + world.rank()});
  });
  test::expect_mentions(options,
                        {"rank 0 has bucket_bytes = 100", "rank 1 has bucket_bytes = 101"});
}

TEST(DataParallel, NamesTheParameterAndTheRankThatHasDrifted) {
  const Examples all = examples(4);
  const auto message = message_of_ranks(3, [&](Communicator world) {
    const Net net = net_of(7);
    DataParallel parallel(net, world, {.check_every = 2});
    backward_of(parallel, net, all);
    if (world.rank() == 1) net.parameters()[3].mutable_data<double>()[8] += 1e-15;
    backward_of(parallel, net, all);
    ADD_FAILURE() << "the drift went unnoticed";
  });
  test::expect_mentions(message, {"parameter b.bias has other values on rank 1", "at step 2"});
}

TEST(DataParallel, AnotherNumberOfStepsIsAnError) {
  const Examples all = examples(4);
  const auto message = message_of_ranks(2, [&](Communicator world) {
    const Net net = net_of(7);
    DataParallel parallel(net, world);
    for (int step = 0; step < 3 - world.rank(); ++step) backward_of(parallel, net, all);
  });
  test::expect_mentions(message, {"rank 1 has returned", "the gradients of bucket 0"});
}

TEST(DataParallel, AnExceptionInTheBackwardPassOfOneRankEndsTheOthers) {
  const Examples all = examples(4);
  std::vector<std::string> messages(3);
  const auto message = message_of_ranks(3, [&](Communicator world) {
    const Net net = net_of(7);
    DataParallel parallel(net, world, {.bucket_bytes = 1});
    world.barrier();
    if (world.rank() == 2) {
      net.parameters()[2].register_hook([](const Tensor&) { fail("hook", "no more"); });
    }
    try {
      backward_of(parallel, net, all);
    } catch (const Error& error) {
      messages[static_cast<size_t>(world.rank())] = error.what();
      throw;
    }
  });
  EXPECT_EQ(message, "[hook] no more");
  for (const size_t rank : {0u, 1u}) {
    test::expect_mentions(messages[rank], {"rank 2 has failed: [hook] no more", "all_reduce of"});
  }
}

TEST(DataParallel, AloneItGoesOnAfterAnException) {
  const Examples all = examples(4);
  const Net net = net_of(7);
  const auto expected = gradients_of(all.loss(net), net);
  for (const int shards : {1, 2}) {
    DataParallel parallel(net, {}, {.shards = shards});
    auto hook = net.parameters()[2].register_hook([](const Tensor&) { fail("hook", "no more"); });
    expect_error([&] { backward_of(parallel, net, all); }, "no more");
    hook.remove();
    for (int i = 0; i < shards; ++i) {
      for (const Tensor& x : net.parameters()) {
        if (i == 0) x.set_grad({});
      }
      EXPECT_EQ(backward_of(parallel, net, all), i + 1 == shards);
    }
    expect_gradients(net, expected, 1e-14);
  }
}

TEST(DataParallel, AloneItChangesNothing) {
  const auto run = [](bool parallel) {
    manual_seed(62);
    nn::Sequential net = image_net();
    std::optional<DataParallel> alone;
    if (parallel) alone.emplace(net, Communicator());
    optim::SGD sgd(net.parameters(), {.lr = 0.1});
    for (int step = 0; step < 3; ++step) {
      const Tensor x = randn({7, 1, 8, 8});
      const Tensor loss = cross_entropy(net(x), randint(5, {7}));
      sgd.zero_grad();
      if (alone) {
        EXPECT_TRUE(alone->backward(loss, 7));
      } else {
        loss.backward();
      }
      sgd.step();
    }
    std::vector<std::vector<float>> state;
    for (const auto& [name, value] : net.state_dict()) {
      state.push_back(value.to(DType::f32).to_vector<float>());
    }
    return std::pair(state, default_generator().state());
  };
  EXPECT_TRUE(run(true) == run(false));
}

TEST(DataParallel, BadArgumentsAreErrors) {
  const Examples all = examples(4);
  const Net net = net_of(7);
  expect_error([&] { DataParallel(net, {}, {.bucket_bytes = 0}); }, "bucket_bytes");
  expect_error([&] { DataParallel(net, {}, {.shards = 3}); }, "want a power of two");
  expect_error([&] { DataParallel(net, {}, {.shards = -1}); }, "want a multiple");
  EXPECT_TRUE(test::contains(
      message_of_ranks(2,
                       [&](Communicator world) { DataParallel(net_of(7), world, {.shards = 3}); }),
      "shards is 3, want a multiple of the 2 ranks"));
  DataParallel parallel(net, {});
  expect_error([&] { parallel.backward(all.loss(net), -1); }, "examples is -1");
  expect_error([&] { parallel.backward(net(all.x), 4); }, "loss is f64[4,3], want one number");
  expect_error([&] { parallel.backward({}, 4); }, "loss is undefined");
  expect_error([&] { parallel.backward({}, 0); }, "no rank has an example");
  expect_error([&] { parallel.load_state_dict({{"steps", ones({})}}); }, "'steps' is f32[]");
  net.parameters()[1].set_requires_grad(false);
  DataParallel frozen(net, {});
  net.parameters()[1].set_requires_grad();
  expect_error([&] { frozen.backward(all.loss(net), 4); }, "parameter a.bias requires a gradient");
  DataParallel cut(net, {}, {.shards = 2});
  expect_error([&] { cut.backward(all.loss(net_of(3)), 4); }, "the net has not run");
  net(all.x);
  const auto accumulate = cut.no_sync();
  expect_error([&] { cut.backward(all.loss(net), 4); }, "no_sync");
}

// ---- Shards

struct Training {
  std::vector<std::vector<float>> state;  // everything that the net holds
  StateDict parallel;
};

/// Steps `begin` to `end` of a training of `ranks` ranks; from `start` if there is one.
Training run_of(int ranks, int shards, int begin, int end, const StateDict* net_state = nullptr,
                const StateDict* parallel_state = nullptr, StateDict* left = nullptr) {
  manual_seed(60);
  const Tensor x = randn({6 * 14, 1, 8, 8}), y = randint(5, {6 * 14});
  Training run;
  run_threads(ranks, [&](Communicator world) {
    manual_seed(static_cast<uint64_t>(3 + world.rank()));
    nn::Sequential net = image_net();
    if (net_state) net.load_state_dict(*net_state);
    DataParallel parallel(net, world, {.bucket_bytes = 700, .shards = shards, .seed = 9});
    if (parallel_state) parallel.load_state_dict(*parallel_state);
    const optim::SGDOptions options{.lr = 0.1};
    optim::SGD sgd(net.parameters(), options);
    const data::Shard shard = parallel.shard();
    for (int step = begin; step < end; ++step) {
      const int64_t size = step == 2 ? 2 : 14;  // one with empty shards
      for (int64_t part = shard.first; part < shard.first + shard.own; ++part) {
        const int64_t from = 14 * step + part * size / shard.of;
        const int64_t to = 14 * step + (part + 1) * size / shard.of;
        const Tensor logits = net(slice(x, 0, from, to));
        const Tensor loss = to > from ? cross_entropy(logits, slice(y, 0, from, to)) : sum(logits);
        if (!parallel.backward(loss, to - from)) continue;
        sgd.step();
        sgd.zero_grad();
        rand({3});  // what else the program draws does not matter
      }
    }
    if (!world.is_first()) return;
    for (const auto& [name, value] : net.state_dict()) {
      run.state.push_back(value.to(DType::f32).to_vector<float>());
    }
    run.parallel = parallel.state_dict();
    if (left) *left = net.state_dict().clone();
  });
  return run;
}

TEST(Shards, GiveTheSameBitsForAnyNumberOfRanks) {
  for (const int shards : {2, 4, 8}) {
    const Training one = run_of(1, shards, 0, 6);
    for (int ranks = 2; ranks <= shards; ranks *= 2) {
      EXPECT_TRUE(run_of(ranks, shards, 0, 6).state == one.state) << ranks << " of " << shards;
    }
  }
  EXPECT_FALSE(run_of(1, 2, 0, 6).state == run_of(1, 4, 0, 6).state);  // the test sees something
}

TEST(Shards, ARunGoesOnWithAnotherNumberOfRanks) {
  const Training undisturbed = run_of(1, 4, 0, 6);
  StateDict left;
  const Training interrupted = run_of(4, 4, 0, 3, nullptr, nullptr, &left);
  EXPECT_TRUE(run_of(2, 4, 3, 6, &left, &interrupted.parallel).state == undisturbed.state);
}

// Running statistics are the averages over ranks by examples, on every rank, and so is their count.
TEST(DataParallel, AveragesRunningStatistics) {
  manual_seed(61);
  const Tensor x = randn({9, 2}, DType::f64);
  const std::vector<int64_t> sizes{2, 0, 7};
  std::vector<double> expected(2);
  for (const auto& [from, to] : {std::pair<int64_t, int64_t>{0, 2}, {2, 9}}) {
    nn::BatchNorm1d alone(2);
    alone.to(DType::f64);
    alone(slice(x, 0, from, to));
    const auto mean = alone.running_mean().to_vector<double>();
    for (size_t c = 0; c < 2; ++c) expected[c] += mean[c] * static_cast<double>(to - from) / 9;
  }
  run_threads(3, [&](Communicator world) {
    nn::BatchNorm1d net(2);
    net.to(DType::f64);
    DataParallel parallel(net, world);
    const int64_t from = world.rank() == 2 ? 2 : world.rank() * 2;
    const int64_t count = sizes[static_cast<size_t>(world.rank())];
    parallel.backward(sum(net(slice(x, 0, from, from + count))), count);
    EXPECT_LT(test::max_distance(net.running_mean(), tensor(expected)), 1e-15);
    EXPECT_EQ(net.num_batches_tracked().item<int64_t>(), 1);
  });
}

TEST(DataParallel, FixedBuffersStayAsTheyAre) {
  run_threads(3, [&](Communicator world) {
    nn::BatchNorm1d net(2, {.moving_mean_init = nn::Init(0.1)});
    net.to(DType::f64);
    DataParallel parallel(net, world);
    net.freeze();
    for (int i = 0; i < 3; ++i) parallel.backward(sum(net(randn({3, 2}, DType::f64))), 3);
    EXPECT_EQ(net.running_mean().to_vector<double>(),
              full({2}, 0.1).to(DType::f64).to_vector<double>());
  });
}

TEST(DataParallel, TwoNetsTrainOverOneWorld) {
  run_threads(2, [](Communicator world) {
    nn::Linear first(3, 2), second(2, 1);
    DataParallel of_first(first, world), of_second(second, world);
    for (int step = 0; step < 3; ++step) {
      of_second.backward(mean(second(first(ones({2, 3})).detach())), 2);
      first.zero_grad();
      of_first.backward(mean(second(first(ones({2, 3})))), 2);
    }
    world.require_same("gradients",
                       to_string(first.weight().grad()) + "\n" + std::to_string(of_first.steps()));
  });
}

}  // namespace
