// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <tern/core/error.h>
#include <tern/core/random.h>
#include <tern/core/tensor.h>
#include <tern/data/images.h>
#include <tern/data/loader.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support.h"

using tern::test::contains;
using tern::test::expect_error;
using tern::test::message_of;

namespace {

using namespace tern;
using data::DataLoader;
using data::LoaderOptions;

/// `size` images of 5x6 pixels and 3 channels with a random transform.
data::ImageDataset images(int64_t size) {
  data::ImageData d{.channels = 3, .height = 5, .width = 6, .num_classes = 10};
  Generator random(9);
  for (int64_t i = 0; i < size * 90; ++i) d.pixels.push_back(static_cast<uint8_t>(random.bits()));
  for (int64_t i = 0; i < size; ++i) d.labels.push_back(static_cast<uint8_t>(random.integer(10)));
  return data::ImageDataset(std::move(d),
                            data::Compose({data::RandomCrop(5, 2), data::RandomHorizontalFlip()}));
}

/// Everything that `epochs` epochs hand out, one after the other.
std::vector<float> contents(DataLoader& loader, int epochs = 1) {
  std::vector<float> all;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (auto [x, y] : loader) {
      for (const float value : x.to_vector<float>()) all.push_back(value);
      for (const int64_t value : y.to_vector<int64_t>()) all.push_back(static_cast<float>(value));
    }
  }
  return all;
}

data::TensorDataset numbers(int64_t size) {
  return data::TensorDataset(arange(static_cast<double>(size)).to(DType::f32),
                             arange(static_cast<double>(size)));
}

std::vector<int64_t> order_of(DataLoader& loader) {
  std::vector<int64_t> order;
  for (const auto& [x, y] : loader) {
    for (const int64_t value : y.to_vector<int64_t>()) order.push_back(value);
  }
  return order;
}

TEST(DataLoader, CoversTheDataOnceInOrder) {
  DataLoader loader(numbers(10), {.batch_size = 4});
  EXPECT_EQ(loader.size(), 3);
  std::vector<int64_t> sizes;
  for (auto [x, y] : loader) sizes.push_back(x.size(0));
  EXPECT_EQ(sizes, (std::vector<int64_t>{4, 4, 2}));
  EXPECT_EQ(order_of(loader), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));

  DataLoader dropping(numbers(10), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(dropping.size(), 2);
  EXPECT_EQ(order_of(dropping), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(DataLoader, ShufflesAnewInEveryEpoch) {
  manual_seed(1);
  DataLoader loader(numbers(1000), {.batch_size = 64, .shuffle = true});
  const auto first = order_of(loader);
  const auto second = order_of(loader);
  EXPECT_NE(first, second);
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  DataLoader plain(numbers(1000), {.batch_size = 64});
  EXPECT_EQ(sorted, order_of(plain));
  EXPECT_NE(sorted, first);
  manual_seed(1);
  DataLoader again(numbers(1000), {.batch_size = 64, .shuffle = true});
  EXPECT_EQ(order_of(again), first);
}

TEST(DataLoader, ASeedOfItsOwnLeavesTheDefaultGeneratorAlone) {
  manual_seed(1);
  const Generator::State before = default_generator().state();
  DataLoader loader(numbers(100), {.batch_size = 7, .shuffle = true, .seed = 5});
  const auto first = order_of(loader);
  const auto second = order_of(loader);
  EXPECT_EQ(default_generator().state(), before);
  EXPECT_NE(first, second);
  DataLoader resumed(numbers(100), {.batch_size = 7, .shuffle = true, .seed = 5});
  resumed.set_epoch(1);
  EXPECT_EQ(order_of(resumed), second);
  DataLoader other(numbers(100), {.batch_size = 7, .shuffle = true, .seed = 6});
  EXPECT_NE(order_of(other), first);
}

TEST(DataLoader, TheNumberOfWorkersChangesNoBit) {
  const auto set = std::make_shared<const data::ImageDataset>(images(101));
  std::vector<std::vector<float>> results;
  for (const int64_t workers : {0, 1, 2, 4, 40}) {
    for (const int64_t prefetch : {1, 3}) {
      manual_seed(7);
      DataLoader loader(
          set, {.batch_size = 8, .shuffle = true, .workers = workers, .prefetch = prefetch});
      results.push_back(contents(loader, 2));
    }
  }
  for (const auto& result : results) EXPECT_EQ(result, results.front());
  manual_seed(8);
  DataLoader other(set, {.batch_size = 8, .shuffle = true});
  EXPECT_NE(contents(other, 2), results.front());
}

TEST(DataLoader, RandomChangesBelongToTheExampleNotToItsPlace) {
  // The same example in batches of another size gets the same random changes in the same epoch.
  DataLoader small(images(20), {.batch_size = 3, .seed = 4});
  DataLoader large(images(20), {.batch_size = 20, .seed = 4});
  std::vector<float> a;
  for (auto [x, y] : small) {
    const auto values = x.to_vector<float>();
    a.insert(a.end(), values.begin(), values.end());
  }
  EXPECT_EQ(a, large.begin()->x.to_vector<float>());
}

/// Fails at one example; slow, so that workers are in the middle of something.
class Failing final : public data::Dataset {
 public:
  explicit Failing(int64_t bad) : bad_(bad) {}
  int64_t size() const override { return 40; }
  data::Example get(int64_t index) const override {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (index == bad_) throw std::out_of_range("example " + std::to_string(index));
    return {full({2}, static_cast<double>(index)), {}};
  }

 private:
  int64_t bad_;
};

TEST(DataLoader, WhatADataSetThrowsComesOutOfTheLoopInItsPlace) {
  for (const int64_t workers : {0, 1, 3}) {
    DataLoader loader(Failing(21), {.batch_size = 5, .workers = workers});
    int batches = 0;
    try {
      for (auto [x, y] : loader) {
        EXPECT_FALSE(y.defined());
        ++batches;
      }
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::out_of_range& error) {
      EXPECT_STREQ(error.what(), "example 21");
    }
    EXPECT_EQ(batches, 4) << workers;
  }
}

TEST(DataLoader, AnIteratorThatHasThrownOrEndedSaysSo) {
  for (const int64_t workers : {0, 2}) {
    DataLoader loader(Failing(7), {.batch_size = 5, .workers = workers});
    auto it = loader.begin();
    EXPECT_THROW(++it, std::out_of_range);
    EXPECT_TRUE(it == loader.end());
    EXPECT_FALSE(it->x.defined());
    EXPECT_TRUE(contains(message_of([&] { ++it; }), "the epoch has ended"));
    DataLoader whole(numbers(2), {.workers = workers});
    auto at_end = whole.begin();
    ++at_end, ++at_end;
    EXPECT_TRUE(contains(message_of([&] { at_end++; }), "the epoch has ended"));
  }
}

/// Runs out of something at one example.
template <class Exception>
class Exhausted final : public data::Dataset {
 public:
  int64_t size() const override { return 4; }
  data::Example get(int64_t index) const override {
    if (index == 2) throw Exception();
    return {ones({1}), {}};
  }
};

TEST(DataLoader, ExhaustedMemoryIsAnError) {
  for (const int64_t workers : {0, 2}) {
    DataLoader loader(Exhausted<std::bad_alloc>(), {.batch_size = 2, .workers = workers});
    auto it = loader.begin();
    EXPECT_TRUE(contains(message_of([&] { ++it; }), "out of memory"));
  }
  /// Claims more examples than any memory holds the order of.
  struct Endless final : data::Dataset {
    int64_t size() const override { return std::numeric_limits<int64_t>::max(); }
    data::Example get(int64_t) const override { return {ones({1}), {}}; }
  };
  DataLoader endless(Endless{}, {.batch_size = std::numeric_limits<int64_t>::max()});
  EXPECT_EQ(endless.size(), 1);
  EXPECT_TRUE(contains(message_of([&] { endless.begin(); }), "[DataLoader]"));
}

TEST(DataLoader, OptionsWithoutBoundsAreHarmless) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  DataLoader loader(numbers(6), {.batch_size = 4, .workers = kMost, .prefetch = kMost});
  EXPECT_EQ(order_of(loader), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(DataLoader, ThreadsThatTheSystemRefusesAreAnError) {
  pthread_attr_t before, huge;
  ASSERT_EQ(pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, size_t{1} << 50), 0);  // no such address space
  DataLoader loader(numbers(10), {.workers = 2});
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  const std::string message = message_of([&] { loader.begin(); });
  ASSERT_EQ(pthread_setattr_default_np(&before), 0);
  EXPECT_TRUE(contains(message, "[DataLoader] the system refuses")) << message;
  EXPECT_EQ(order_of(loader).size(), 10u);
  pthread_attr_destroy(&before), pthread_attr_destroy(&huge);
}

TEST(DataLoader, AnEpochOfTheParentIsAnErrorInTheChild) {
  DataLoader loader(numbers(100), {.batch_size = 2, .workers = 2});
  auto it = loader.begin();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that hangs is a failure
    const bool refused = contains(message_of([&] { ++it; }), "begun by the parent");
    // Without workers, as the thread sanitizer allows no threads here.
    DataLoader fresh(numbers(100), {.batch_size = 2});
    const bool works = order_of(fresh).size() == 100;
    _exit(refused && works ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ++it;
  EXPECT_EQ(it->y.to_vector<int64_t>()[0], 2);
}

TEST(DataLoader, LeavingTheLoopEarlyJoinsTheWorkers) {
  for (int round = 0; round < 50; ++round) {
    DataLoader loader(Failing(round % 2 == 0 ? -1 : 12),
                      {.batch_size = 2, .workers = 3, .prefetch = 1 + round % 3});
    int batches = 0;
    for (auto [x, y] : loader) {
      if (++batches > round % 5) break;
    }
  }
}

TEST(DataLoader, TwoLoopsOverOneLoaderDoNotMix) {
  DataLoader loader(numbers(6), {.batch_size = 2, .workers = 2});
  std::vector<int64_t> pairs;
  for (auto [x, y] : loader) {
    for (auto [x2, y2] : loader) {
      pairs.push_back(y.to_vector<int64_t>()[0] * 10 + y2.to_vector<int64_t>()[0]);
    }
  }
  EXPECT_EQ(pairs, (std::vector<int64_t>{0, 2, 4, 20, 22, 24, 40, 42, 44}));
}

/// A data set as a user writes one, with nothing but size and get.
class Squares final : public data::Dataset {
 public:
  int64_t size() const override { return 5; }
  data::Example get(int64_t index) const override {
    const auto value = static_cast<float>(index);
    if (index == 4 && uneven) return {zeros({3}), {}};
    return {tensor(std::vector<float>{value, value * value}, {2}),
            tensor(std::vector<int64_t>{index}, Shape{})};
  }
  bool uneven = false;
};

TEST(DataLoader, StacksTheExamplesOfAUsersDataSet) {
  DataLoader loader(Squares(), {.batch_size = 3});
  const data::Batch batch = *loader.begin();
  EXPECT_EQ(batch.x.shape(), (Shape{3, 2}));
  EXPECT_EQ(batch.x.to_vector<float>(), (std::vector<float>{0, 0, 1, 1, 2, 4}));
  EXPECT_EQ(batch.y.to_vector<int64_t>(), (std::vector<int64_t>{0, 1, 2}));
  Squares uneven;
  uneven.uneven = true;
  DataLoader bad(uneven, {.batch_size = 5});
  EXPECT_TRUE(contains(message_of([&] { bad.begin(); }), "y of example 4 is undefined"));
}

/// One with random changes of its own.
class Noisy final : public data::Dataset {
 public:
  int64_t size() const override { return 6; }
  data::Example get(int64_t index) const override {
    return {full({1}, 10.0 * static_cast<double>(index)), {}};
  }
  data::Example augmented(int64_t index, Generator& random) const override {
    return {full({1}, 10.0 * static_cast<double>(index) + random.uniform()), {}};
  }
};

TEST(DataLoader, RandomChangesOfAUsersDataSetAreTheSameForAnyWorkers) {
  const auto run = [](int64_t workers) {
    DataLoader loader(Noisy(), {.batch_size = 2, .workers = workers, .seed = 1});
    std::vector<float> all;
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (auto [x, y] : loader) {
        for (const float value : x.to_vector<float>()) all.push_back(value);
      }
    }
    return all;
  };
  const std::vector<float> values = run(0);
  EXPECT_EQ(values, run(3));
  ASSERT_EQ(values.size(), 12u);
  std::vector<float> noise;
  for (size_t i = 0; i < 12; ++i) noise.push_back(values[i] - 10.0f * static_cast<float>(i % 6));
  std::sort(noise.begin(), noise.end());
  for (size_t i = 0; i + 1 < 12; ++i) EXPECT_GT(noise[i + 1] - noise[i], 1e-5f);  // all differ
  EXPECT_GE(noise.front(), 0.0f);
  EXPECT_LE(noise.back(), 1.0f);
}

/// Draws from the default generator, as a user's code may: in get, in batch, in a transform.
class DrawsInGet final : public data::Dataset {
 public:
  int64_t size() const override { return 6; }
  data::Example get(int64_t) const override { return {randn({1}), {}}; }
};
class DrawsInBatch final : public data::Dataset {
 public:
  int64_t size() const override { return 6; }
  data::Example get(int64_t) const override { return {randn({1}), {}}; }
  data::Batch batch(std::span<const int64_t> indices, uint64_t) const override {
    return {randn({static_cast<int64_t>(indices.size())}), {}};
  }
};
data::ImageDataset draws_in_transform() {
  data::ImageData pixels{.height = 1, .width = 1, .num_classes = 1};
  pixels.pixels.resize(6), pixels.labels.resize(6);
  return data::ImageDataset(
      pixels, [](data::Image& image, Generator&) { image.pixels[0] = rand({1}).item<float>(); });
}

TEST(DataLoader, TheDefaultGeneratorBelongsToTheExample) {
  const auto check = [](const auto& dataset) {
    const auto run = [&](int64_t workers) {
      manual_seed(3);
      DataLoader loader(dataset, {.batch_size = 2, .workers = workers});
      std::vector<float> values;
      for (int epoch = 0; epoch < 2; ++epoch) {
        for (const auto& [x, y] : loader) {
          for (const float value : x.template to_vector<float>()) values.push_back(value);
        }
      }
      // The loop's own generator is where two seeds of epochs have left it.
      EXPECT_EQ(default_generator().state().position, 2u);
      return values;
    };
    const std::vector<float> values = run(0);
    EXPECT_EQ(run(1), values);
    EXPECT_EQ(run(2), values);
    EXPECT_EQ(std::set<float>(values.begin(), values.end()).size(), 12u);  // neighbours, epochs
  };
  check(DrawsInGet());
  check(DrawsInBatch());
  check(draws_in_transform());
}

// Every example once, in the same order for any number of parts, whoever has how many.
TEST(DataLoader, ShardsTogetherGiveEveryExampleOnce) {
  for (const bool shuffle : {false, true}) {
    for (const bool drop_last : {false, true}) {
      const LoaderOptions options{
          .batch_size = 10, .shuffle = shuffle, .drop_last = drop_last, .seed = 4};
      DataLoader whole(numbers(23), options);
      whole.set_epoch(3);
      const auto expected = order_of(whole);
      for (const auto& [of, own] :
           std::vector<std::pair<int, int>>{{2, 1}, {3, 1}, {7, 1}, {8, 2}, {4, 4}}) {
        std::vector<std::vector<int64_t>> batches(static_cast<size_t>(whole.size()));
        for (int first = 0; first < of; first += own) {
          LoaderOptions mine = options;
          mine.shard = {.first = first, .own = own, .of = of};
          mine.workers = first % 3;
          DataLoader loader(numbers(23), mine);
          EXPECT_EQ(loader.size(), whole.size() * own);
          loader.set_epoch(3);
          int64_t k = 0, largest = 0, smallest = 10;
          for (const auto& [x, y] : loader) {
            EXPECT_EQ(x.dtype(), DType::f32);
            const auto values = y.to_vector<int64_t>();
            auto& batch = batches[static_cast<size_t>(k++ / own)];
            batch.insert(batch.end(), values.begin(), values.end());
            if (k > own) continue;  // of the first batch, which is whole
            largest = std::max(largest, y.size(0));
            smallest = std::min(smallest, y.size(0));
          }
          EXPECT_EQ(k, loader.size());
          EXPECT_LE(largest, (10 + of - 1) / of);
          EXPECT_GE(smallest, 10 / of);
        }
        std::vector<int64_t> all;
        for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
        EXPECT_EQ(all, expected) << of << " parts";
      }
    }
  }
}

TEST(DataLoader, ShardsDrawWhatTheWholeBatchDraws) {
  const LoaderOptions options{.batch_size = 6, .shuffle = true, .seed = 4};
  DataLoader whole(images(11), options);
  std::vector<std::vector<float>> pixels;
  for (const auto& [x, y] : whole) {
    const auto values = x.to_vector<float>();
    for (size_t i = 0; i < values.size(); i += 75) {
      pixels.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i),
                          values.begin() + static_cast<std::ptrdiff_t>(i + 75));
    }
  }
  std::vector<std::vector<float>> found;
  LoaderOptions first = options, second = options;
  first.shard = {.first = 0, .own = 1, .of = 2};
  second.shard = {.first = 1, .own = 1, .of = 2};
  DataLoader a(images(11), first), b(images(11), second);
  auto in_b = b.begin();
  for (const auto& [x, y] : a) {
    for (const Tensor& part : {x, in_b->x}) {
      EXPECT_EQ(part.size(1), 3);
      const auto values = part.to_vector<float>();
      for (size_t i = 0; i < values.size(); i += 75) {
        found.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i),
                           values.begin() + static_cast<std::ptrdiff_t>(i + 75));
      }
    }
    ++in_b;
  }
  EXPECT_TRUE(found == pixels);
}

TEST(DataLoader, AnotherShardGoesOnWhereOneHasStopped) {
  const auto loader_of = [](int first, int own) {
    return DataLoader(numbers(23), {.batch_size = 5,
                                    .shuffle = true,
                                    .seed = 4,
                                    .shard = {.first = first, .own = own, .of = 4}});
  };
  DataLoader whole = loader_of(0, 4), half = loader_of(0, 2);
  const auto expected = order_of(whole);
  StateDict state;
  int64_t parts = 0;
  for (auto it = half.begin(); it != half.end(); ++it) {
    if (++parts == 3) {
      expect_error([&] { half.state_dict(); }, "in the middle of a batch");
    }
    if (parts == 4) {
      state = half.state_dict();
      break;
    }
  }
  EXPECT_EQ(state["batch"].item<int64_t>(), 2);
  whole.load_state_dict(state);
  EXPECT_EQ(order_of(whole), std::vector<int64_t>(expected.begin() + 10, expected.end()));
  state.set("batch", tensor(std::vector<int64_t>{6}, Shape{}));
  expect_error([&] { whole.load_state_dict(state); }, "at most 5 batches");
}

TEST(DataLoader, ChecksShards) {
  const auto make = [](data::Shard shard, bool shuffle = false) {
    DataLoader(numbers(8), {.batch_size = 2, .shuffle = shuffle, .shard = shard});
  };
  for (const data::Shard shard :
       {data::Shard{-1, 1, 2}, {2, 1, 2}, {0, 0, 2}, {1, 2, 2}, {0, 1, 0}}) {
    expect_error([&] { make(shard); }, "want parts from 0 to");
  }
  make({1, 1, 2});
  expect_error([&] { make({1, 1, 2}, true); }, "give all of them one seed");
}

TEST(DataLoader, ValidatesOptions) {
  EXPECT_TRUE(contains(message_of([] { DataLoader(numbers(5), LoaderOptions{.batch_size = 0}); }),
                       "batch_size is 0"));
  EXPECT_TRUE(contains(
      message_of([] { DataLoader(numbers(5), LoaderOptions{.batch_size = 8, .drop_last = true}); }),
      "drop_last leaves no batch"));
  EXPECT_TRUE(contains(message_of([] { DataLoader(numbers(5), LoaderOptions{.workers = -1}); }),
                       "workers and prefetch are -1"));
  EXPECT_TRUE(contains(message_of([] {
                         DataLoader(data::TensorDataset(zeros({0, 2})));
                       }),
                       "empty"));
  EXPECT_TRUE(contains(message_of([] { DataLoader(std::shared_ptr<const data::Dataset>()); }),
                       "null pointer"));
  DataLoader loader(numbers(5), {.batch_size = 8});
  EXPECT_EQ(loader.size(), 1);
  for (const int64_t epoch : {int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_TRUE(contains(message_of([&] { loader.set_epoch(epoch); }), "the epoch is"));
    StateDict dict = loader.state_dict();
    dict.set("epoch", tensor(std::vector<int64_t>{epoch}, Shape{}));
    EXPECT_THROW(loader.load_state_dict(dict), Error);
  }
  EXPECT_EQ(loader.epoch(), 0);
}

// The batches after an interruption are those of an undisturbed loop, in both epochs.
TEST(DataLoader, GoesOnInsideAnEpoch) {
  const auto values = [](DataLoader& loader, int64_t count) {
    std::vector<float> list;
    for (const data::Batch& batch : loader) {
      for (const float v : batch.x.to_vector<float>()) list.push_back(v);
      if (--count == 0) break;
    }
    return list;
  };
  constexpr int64_t kAll = 100;
  for (const std::optional<uint64_t> seed :
       {std::optional<uint64_t>(), std::optional<uint64_t>(7)}) {
    for (const int64_t received : {1, 3, 5}) {
      const auto make = [&](int64_t workers) {
        return DataLoader(data::TensorDataset(randn({18, 2})),
                          {.batch_size = 4, .shuffle = true, .workers = workers, .seed = seed});
      };
      manual_seed(3);
      DataLoader whole = make(0);
      const std::vector<float> first = values(whole, kAll), second = values(whole, kAll);
      manual_seed(3);
      DataLoader interrupted = make(1);
      std::vector<float> got = values(interrupted, received);
      const StateDict state = interrupted.state_dict();
      const Generator::State random = default_generator().state();
      EXPECT_EQ(state.at("batch").item<int64_t>(), received);
      manual_seed(3);
      DataLoader resumed = make(2);
      manual_seed(99);
      default_generator().set_state(random);
      resumed.load_state_dict(state);
      EXPECT_EQ(resumed.state_dict().at("batch").item<int64_t>(), received);
      for (const float v : values(resumed, kAll)) got.push_back(v);
      EXPECT_EQ(got, first);
      EXPECT_EQ(resumed.state_dict().at("batch").item<int64_t>(), 0);
      EXPECT_EQ(resumed.epoch(), 1);
      EXPECT_EQ(values(resumed, kAll), second);
    }
  }
}

TEST(DataLoader, RefusesStatesOfOthers) {
  DataLoader loader(data::TensorDataset(zeros({10, 1})), {.batch_size = 4});
  const auto state = [](int64_t epoch, int64_t batch) {
    const auto number = [](int64_t n) { return tensor(std::vector<int64_t>{n}, Shape{}); };
    return StateDict{{"epoch", number(epoch)}, {"seed", number(1)}, {"batch", number(batch)}};
  };
  EXPECT_EQ(message_of([&] { loader.load_state_dict(state(2, 3)); }), "nothing was thrown");
  EXPECT_EQ(loader.epoch(), 2);
  expect_error([&] { loader.load_state_dict(state(-1, 0)); }, "want at least 0");
  expect_error([&] { loader.load_state_dict(state(0, 4)); }, "at most 3 batches");
  expect_error([&] { loader.load_state_dict({{"epoch", ones({1})}}); }, "want one number of i64");
  expect_error([&] { loader.load_state_dict({{"last", ones({1})}}); }, "'last' is unexpected");
  EXPECT_EQ(loader.epoch(), 2);
}

}  // namespace
