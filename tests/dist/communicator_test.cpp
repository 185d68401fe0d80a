// SPDX-License-Identifier: Apache-2.0
// What ranks do together, by threads of this program. Built with ThreadSanitizer too.
#include <gtest/gtest.h>
#include <tern/tern.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support.h"

using namespace tern;
using dist::Communicator;
using dist::run_threads;
using test::expect_error;

namespace {

class Ranks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, ::testing::Values(1, 2, 3, 4, 7));

// Numbers whose sums depend on the order of the additions.
template <class T>
std::vector<T> numbers(int rank, size_t count) {
  Generator random(11, static_cast<uint64_t>(rank));
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(random.normal() * std::exp(6 * random.normal()));
  return values;
}

// ((0 + 1) + (2 + 3)) + ((4 + 5) + 6), written as a recursion.
template <class T>
T tree(const std::vector<std::vector<T>>& of_rank, size_t i, size_t first, size_t count) {
  if (count == 1) return of_rank[first][i];
  size_t half = 1;
  while (2 * half < count) half *= 2;
  return tree(of_rank, i, first, half) + tree(of_rank, i, first + half, count - half);
}

template <class T>
void check_sums(int ranks, size_t count) {
  std::vector<std::vector<T>> parts;
  for (int r = 0; r < ranks; ++r) parts.push_back(numbers<T>(r, count));
  std::vector<std::vector<T>> sums(static_cast<size_t>(ranks));
  run_threads(ranks, [&](Communicator world) {
    const auto rank = static_cast<size_t>(world.rank());
    sums[rank] = parts[rank];
    world.all_reduce(std::span(sums[rank]), "numbers");
  });
  std::vector<T> expected(count);
  for (size_t i = 0; i < count; ++i) expected[i] = tree(parts, i, 0, parts.size());
  for (int r = 0; r < ranks; ++r) {
    EXPECT_TRUE(sums[static_cast<size_t>(r)] == expected) << "rank " << r << ", " << count;
  }
}

TEST_P(Ranks, AddInATreeWhateverTheSize) {
  for (const size_t count : {0u, 1u, 5u, 16u, 100u, 2000u, 2049u, 5003u}) {
    check_sums<float>(GetParam(), count);
    check_sums<double>(GetParam(), count);
  }
}

TEST_P(Ranks, BroadcastBytesTextTensorsAndDictsFromEveryRoot) {
  run_threads(GetParam(), [&](Communicator world) {
    EXPECT_EQ(world.size(), GetParam());
    for (int root = 0; root < world.size(); ++root) {
      const double number = world.rank() == root ? 7.5 + root : -1;
      EXPECT_EQ(world.broadcast(std::string(static_cast<size_t>(world.rank()), 'x'), root),
                std::string(static_cast<size_t>(root), 'x'));
      const Tensor image = full({2, 3, 4, 5}, number);
      const Tensor last = to_memory_format(image, MemoryFormat::channels_last);
      const uint64_t version = last.version();
      world.broadcast(last, root, "image");
      EXPECT_EQ(last.to_vector<float>(), std::vector<float>(120, 7.5f + static_cast<float>(root)));
      if (world.rank() != root) {
        EXPECT_GT(last.version(), version);
      }
      StateDict dict;
      if (world.rank() == root) {
        dict = {{"w", full({2, 2}, number, DType::f64)},
                {"n", full({}, 3, DType::i64)},
                {"image", last},
                {"none", zeros({0, 4})}};
      }
      const StateDict all = world.broadcast(dict, root);
      EXPECT_EQ(all.names(), (std::vector<std::string>{"w", "n", "image", "none"}));
      EXPECT_EQ(all["w"].to_vector<double>(), std::vector<double>(4, 7.5 + root));
      EXPECT_EQ(all["n"].item<int64_t>(), 3);
      EXPECT_EQ(all["image"].memory_format(), MemoryFormat::channels_last);
      EXPECT_EQ(all["none"].shape(), (Shape{0, 4}));
    }
  });
}

TEST_P(Ranks, GatherWhatEachGives) {
  run_threads(GetParam(), [&](Communicator world) {
    const auto all =
        world.all_gather(std::string(static_cast<size_t>(3 * world.rank()), 'a'), "it");
    ASSERT_EQ(all.size(), static_cast<size_t>(world.size()));
    for (size_t r = 0; r < all.size(); ++r) EXPECT_EQ(all[r], std::string(3 * r, 'a'));
    EXPECT_EQ(world.sum({1, static_cast<double>(world.rank())}),
              (std::vector<double>{static_cast<double>(world.size()),
                                   world.size() * (world.size() - 1) / 2.0}));
  });
}

TEST_P(Ranks, ABarrierLetsNobodyPassBeforeAllHaveCome) {
  std::atomic<int> come = 0;
  run_threads(GetParam(), [&](Communicator world) {
    for (int round = 1; round <= 20; ++round) {
      ++come;
      world.barrier();
      EXPECT_GE(come, round * world.size());
      world.barrier();
    }
  });
}

// Each rank adds on two threads at once, whose operations come in any order.
TEST_P(Ranks, DuplicatesAreIndependent) {
  run_threads(GetParam(), [&](Communicator world) {
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
  });
}

TEST_P(Ranks, DrawDifferentNumbersTheSameInEveryRun) {
  const auto drawn = [&] {
    manual_seed(3);
    std::vector<double> first(static_cast<size_t>(GetParam()));
    run_threads(GetParam(), [&](Communicator world) {
      first[static_cast<size_t>(world.rank())] = rand({1}, DType::f64).item<double>();
    });
    return first;
  };
  auto first = drawn();
  EXPECT_EQ(first, drawn());
  std::sort(first.begin(), first.end());
  EXPECT_EQ(std::unique(first.begin(), first.end()), first.end());
}

TEST(Communicator, OneRankAloneNeedsNobody) {
  const Communicator world;
  EXPECT_EQ(world.rank(), 0);
  EXPECT_EQ(world.size(), 1);
  EXPECT_TRUE(world.is_first());
  world.barrier();
  EXPECT_EQ(world.broadcast("text"), "text");
  EXPECT_EQ(world.all_gather("text"), std::vector<std::string>{"text"});
  EXPECT_EQ(world.sum({4}), std::vector<double>{4});
  world.require_same("it", "x");
  world.duplicate().end("no reason");
  expect_error([&] { world.broadcast("text", 1); }, "root is 1, want a rank from 0 to 0");
}

// What each rank's Error says; "" of one that has none.
std::vector<std::string> messages(int ranks, const std::function<void(Communicator)>& f) {
  std::vector<std::string> all(static_cast<size_t>(ranks));
  try {
    run_threads(ranks, [&](Communicator world) {
      try {
        f(world);
      } catch (const Error& error) {
        all[static_cast<size_t>(world.rank())] = error.what();
        throw;
      }
    });
  } catch (const std::exception&) {
  }
  return all;
}

TEST(Communicator, AnExceptionEndsTheOthersAndIsRethrown) {
  const auto run = [](const std::function<void(Communicator)>& f) { run_threads(3, f); };
  EXPECT_THROW(run([](Communicator world) {
                 if (world.rank() == 1) throw std::out_of_range("no such thing");
                 world.barrier();
               }),
               std::out_of_range);
  EXPECT_THROW(run([](Communicator world) {
                 if (world.rank() == 1) throw 5;
                 world.barrier();
               }),
               int);
  const auto all = messages(3, [](Communicator world) {
    world.barrier();
    if (world.rank() == 1) fail("train", "the loss is nan");
    world.all_reduce(zeros({100}), "the gradients");
  });
  EXPECT_EQ(all[1], "[train] the loss is nan");
  for (const size_t rank : {0u, 2u}) {
    for (const char* part :
         {"[all_reduce] rank ", "at operation 2, all_reduce of the gradients, f32[100]",
          "rank 1 has failed: [train] the loss is nan"}) {
      EXPECT_TRUE(test::contains(all[rank], part)) << all[rank];
    }
  }
}

TEST(Communicator, RanksThatDoDifferentThingsGetAnErrorThatSaysWhat) {
  for (const int ranks : {2, 3, 7}) {
    const auto all = messages(ranks, [](Communicator world) {
      if (world.rank() == 1) {
        world.broadcast(zeros({4}), 0, "weight");
      } else {
        world.all_reduce(zeros({4}), "loss");
      }
    });
    bool both = false;
    for (const std::string& message : all) {
      both |= test::contains(message, "all_reduce of loss, f32[4]") &&
              test::contains(message, "broadcast of weight, f32[4]") &&
              test::contains(message, "every rank has to do the same in the same order");
    }
    EXPECT_TRUE(both) << all[0];
    for (const std::string& message : all) EXPECT_FALSE(message.empty());
  }
}

TEST(Communicator, OtherShapesAreAnError) {
  const auto sizes =
      messages(2, [](Communicator world) { world.all_reduce(zeros({4 + world.rank()}), "loss"); });
  EXPECT_TRUE(test::contains(sizes[0] + sizes[1], "f32[5]")) << sizes[0];
  const auto formats = messages(2, [](Communicator world) {
    const Tensor x = zeros({1, 2, 3, 3});
    world.broadcast(world.is_first() ? x : to_memory_format(x, MemoryFormat::channels_last));
  });
  EXPECT_TRUE(test::contains(formats[1], "f32[1,2,3,3] channels-last")) << formats[1];
  expect_error([] { Communicator().all_reduce(zeros({2}, DType::i64)); }, "want f32 or f64");
  expect_error([] { Communicator().all_reduce(Tensor()); }, "undefined");
  expect_error([] { Communicator().broadcast(Tensor()); }, "undefined");
}

TEST(Communicator, ARankThatHasReturnedIsNotWaitedFor) {
  const auto all = messages(3, [](Communicator world) {
    world.barrier();
    if (world.rank() != 2) world.barrier("epoch 2");
  });
  EXPECT_TRUE(test::contains(all[0] + all[1], "rank 2 has returned")) << all[0];
  EXPECT_TRUE(test::contains(all[0] + all[1], "operation 2, barrier of epoch 2")) << all[0];
}

TEST(Communicator, ADeadlineNamesTheRankAndTheOperation) {
  const auto all = messages(2, [](Communicator world) {
    world.set_deadlines({.warn_after = 0.01, .give_up_after = 0.1});
    const Communicator other = world.duplicate();
    if (world.is_first()) {
      other.barrier("the end");
    } else {
      // It comes to the deadline by itself, or is ended by rank 0's.
      world.all_reduce(zeros({10000}), "gradients");
    }
  });
  EXPECT_TRUE(test::contains(all[0] + all[1], "has waited 0.1 s for rank ")) << all[0] << all[1];
  EXPECT_TRUE(test::contains(all[0], "operation 1, barrier of the end")) << all[0];
  EXPECT_TRUE(test::contains(all[1], "operation 1, all_reduce of gradients")) << all[1];
  expect_error([] { Communicator().set_deadlines({.give_up_after = 0}); }, "want positive");
}

TEST(Communicator, EndEndsEverybody) {
  const auto all = messages(3, [](Communicator world) {
    if (world.rank() == 2) world.end("the user wants it");
    world.barrier();
  });
  for (const std::string& message : all) {
    EXPECT_TRUE(test::contains(message, "the user wants it")) << message;
  }
}

TEST(Communicator, RequireSameNamesTheFirstLineThatDiffers) {
  const auto all = messages(3, [](Communicator world) {
    world.require_same("the net", "a\nb\nc");
    world.require_same("the net", world.rank() == 2 ? "a\nB\nd" : "a\nb\nc");
  });
  for (const std::string& message : all) {
    EXPECT_EQ(message,
              "[require_same] the net differs: rank 0 has b, rank 2 has B: want the same on every "
              "rank");
  }
  const auto longer = messages(2, [](Communicator world) {
    world.require_same("the net", world.is_first() ? "a" : "a\nb");
  });
  EXPECT_TRUE(test::contains(longer[0], "rank 0 has nothing more, rank 1 has b")) << longer[0];
}

TEST(Communicator, BadArgumentsAreErrors) {
  expect_error([] { run_threads(0, [](Communicator) {}); }, "count is 0, want at least 1");
  expect_error([] { Communicator(nullptr); }, "null pointer");
}

}  // namespace
