// SPDX-License-Identifier: Apache-2.0
// tern::mpi under mpirun (CMakeLists.txt): every rank runs all tests. What ranks compute is
// compared with as many threads of each process, which have tests of their own (communicator_test,
// data_parallel_test). With an argument, something goes wrong instead.
#include <gtest/gtest.h>
#include <signal.h>
#include <tern/mpi/session.h>
#include <tern/tern.h>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "support.h"

using namespace tern;
using dist::Communicator;

namespace {

Communicator world;  // NOLINT: of all processes

/// What f gives on this rank, of the processes and of as many threads.
template <class F>
void expect_as_threads(const F& f) {
  using Result = decltype(f(world));
  std::vector<Result> of_threads(static_cast<size_t>(world.size()));
  dist::run_threads(world.size(), [&](Communicator threads) {
    of_threads[static_cast<size_t>(threads.rank())] = f(threads);
  });
  EXPECT_TRUE(f(world) == of_threads[static_cast<size_t>(world.rank())]);
}

TEST(Mpi, AddsToTheSameBitsAsThreads) {
  for (const size_t count : {0u, 1u, 7u, 2000u, 100003u}) {
    expect_as_threads([&](const Communicator& ranks) {
      Generator random(11, static_cast<uint64_t>(ranks.rank()));
      std::vector<float> values(count);
      for (float& value : values) {
        value = static_cast<float>(random.normal() * std::exp(6 * random.normal()));
      }
      ranks.all_reduce(std::span(values), "numbers");
      return values;
    });
  }
}

TEST(Mpi, BroadcastsAndGathers) {
  for (int root = 0; root < world.size(); ++root) {
    const std::string mine(static_cast<size_t>(1 + 100000 * world.rank()), 'a');
    EXPECT_EQ(world.broadcast(mine, root).size(), static_cast<size_t>(1 + 100000 * root));
    const auto all = world.all_gather(mine);
    for (size_t r = 0; r < all.size(); ++r) EXPECT_EQ(all[r].size(), 1 + 100000 * r);
    const StateDict dict = world.broadcast(StateDict{{"x", full({3}, world.rank())}}, root);
    EXPECT_EQ(dict["x"].to_vector<float>(), std::vector<float>(3, static_cast<float>(root)));
  }
}

TEST(Mpi, DuplicatesAreIndependentOnThreads) {
  const Communicator other = world.duplicate();
  std::vector<double> slow(3000, 1), fast(3000, 2);
  std::thread thread([&] {
    if (world.is_first()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (int i = 0; i < 5; ++i) other.all_reduce(std::span(slow), "slow");
  });
  for (int i = 0; i < 5; ++i) world.all_reduce(std::span(fast), "fast");
  thread.join();
  const double factor = std::pow(world.size(), 5);
  EXPECT_EQ(slow, std::vector<double>(3000, factor));
  EXPECT_EQ(fast, std::vector<double>(3000, 2 * factor));
}

/// Everything that a net holds after a few steps.
std::vector<std::vector<float>> trained(const Communicator& ranks, bool synchronised) {
  const Generator::State before = default_generator().state();
  manual_seed(5);
  const data::TensorDataset set(randn({22, 2, 8, 8}), randint(4, {22}));
  nn::Sequential net(nn::Conv2d(2, 4, 3, {.bias = false}), nn::BatchNorm2d(4), nn::ReLU(),
                     nn::Flatten(), nn::Dropout(0.2), nn::Linear(4 * 36, 4));
  if (synchronised) dist::convert_sync_batch_norm(net, ranks);
  dist::DataParallel parallel(net, ranks, {.bucket_bytes = 500, .seed = 1, .check_every = 2});
  optim::SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  data::DataLoader loader(
      set, {.batch_size = 10, .shuffle = true, .seed = 2, .shard = parallel.shard()});
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const auto& [x, y] : loader) {
      const Tensor logits = net(x);
      const Tensor loss = x.size(0) > 0 ? cross_entropy(logits, y) : sum(logits);
      parallel.backward(loss, x.size(0));
      sgd.step();
      sgd.zero_grad();
    }
  }
  std::vector<std::vector<float>> state;
  for (const auto& [name, value] : net.state_dict()) {
    state.push_back(value.to(DType::f32).to_vector<float>());
  }
  default_generator().set_state(before);
  return state;
}

TEST(Mpi, TrainsToTheSameBitsAsThreads) {
  for (const bool synchronised : {false, true}) {
    expect_as_threads([&](const Communicator& ranks) { return trained(ranks, synchronised); });
  }
}

TEST(Mpi, SavesAndLoads) {
  const test::TemporaryDirectory directory;  // another one for each rank: only the first's is used
  const std::string path = directory.path() / "checkpoint.safetensors";
  dist::save_checkpoint(world, path, {.model = {{"x", full({2}, world.rank())}}, .epoch = 3});
  const io::Checkpoint read = dist::load_checkpoint(world, path);
  EXPECT_EQ(read.epoch, 3);
  EXPECT_EQ(read.model["x"].to_vector<float>(), std::vector<float>(2));
  if (world.is_first()) std::filesystem::remove(path);
  const std::string message = test::message_of([&] { dist::load_checkpoint(world, path); });
  EXPECT_TRUE(test::contains(message, "checkpoint.safetensors")) << message;
}

/// What goes wrong on rank 1, in the middle of a training.
void go_wrong(const std::string& how) {
  world.barrier("the beginning");
  world.set_deadlines({.warn_after = 0.5, .give_up_after = how == "hang" ? 1.0 : 30.0});
  if (world.rank() == 1) {
    if (how == "hang") std::this_thread::sleep_for(std::chrono::seconds(300));
    if (how == "kill") raise(SIGKILL);
    if (how == "throw") fail("train", "the loss is nan");
    if (how == "mismatch") world.barrier("the epoch");
  }
  world.sum({1}, "the loss");
}

int run(int argc, char** argv) {
  //! [Session]
  const mpi::Session session;
  world = session.world();
  EXPECT_GE(world.sum({1})[0], 1);
  //! [Session]
  set_num_threads(1);
  if (argc > 1 && argv[1][0] != '-') {
    go_wrong(argv[1]);
    return 0;
  }
  const int result = RUN_ALL_TESTS();
  world = Communicator();
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
