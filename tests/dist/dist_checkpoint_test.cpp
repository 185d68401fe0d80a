// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <stdexcept>
#include <vector>

#include "support.h"

using namespace tern;
using dist::Communicator;
using dist::run_threads;

namespace {

class Ranks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, ::testing::Values(1, 3));

TEST_P(Ranks, OneWritesAndAllReadTheSame) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "checkpoint.safetensors";
  run_threads(GetParam(), [&](Communicator world) {
    const double mine = world.rank() + 0.5;
    io::Checkpoint written{.model = {{"w", full({2, 2}, mine)}, {"n", full({}, 2, DType::i64)}},
                           .optimizer = {{"m", full({3}, mine, DType::f64)}},
                           .extra = {{"x", full({1}, mine)}},
                           .epoch = 4 + world.rank()};
    if (world.is_first()) written.random = Generator::State{1, 2, ~uint64_t{0}};
    dist::save_checkpoint(world, path, written);
    const io::Checkpoint read = dist::load_checkpoint(world, path);
    EXPECT_EQ(read.epoch, 4);
    EXPECT_EQ(read.random, (Generator::State{1, 2, ~uint64_t{0}}));
    EXPECT_EQ(read.model["w"].to_vector<float>(), std::vector<float>(4, 0.5f));
    EXPECT_EQ(read.model["n"].item<int64_t>(), 2);
    EXPECT_EQ(read.optimizer["m"].to_vector<double>(), std::vector<double>(3, 0.5));
    EXPECT_TRUE(read.scheduler.empty() && read.loader.empty());
    EXPECT_EQ(read.extra["x"].item<float>(), 0.5f);
    dist::save_checkpoint(world, path, {.epoch = 1});
    EXPECT_EQ(dist::load_checkpoint(world, path).random, std::nullopt);
  });
}

TEST_P(Ranks, EveryRankLearnsThatItCannotBeWrittenOrRead) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "no/such/file.safetensors";
  run_threads(GetParam(), [&](Communicator world) {
    const std::vector<std::string> messages{
        test::message_of([&] { dist::save_checkpoint(world, path, {}); }),
        test::message_of([&] { dist::load_checkpoint(world, path); })};
    for (const std::string& message : messages) {
      EXPECT_TRUE(test::contains(message, "file.safetensors")) << message;
      EXPECT_EQ(test::contains(message, "(on rank 0)"), !world.is_first()) << message;
    }
    EXPECT_TRUE(test::contains(messages[0], "[save_safetensors]")) << messages[0];
    // The world is still of use.
    EXPECT_EQ(world.sum({1})[0], world.size());
  });
}

TEST_P(Ranks, OnlyTheFirstDoesIt) {
  int count = 0;
  run_threads(GetParam(), [&](Communicator world) {
    dist::on_first(world, [&] { ++count; });
    EXPECT_EQ(count, 1);
    world.barrier();
    EXPECT_THROW(dist::on_first(world, [] { throw std::runtime_error(""); }), std::runtime_error);
  });
}

}  // namespace
