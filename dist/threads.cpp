// SPDX-License-Identifier: Apache-2.0
// The transport between threads of one program.
#include "threads.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "../core/error.h"
#include "../core/internal/resources.h"
#include "../core/log.h"
#include "../core/random.h"

namespace tern::dist {

namespace {

using Clock = std::chrono::steady_clock;

Clock::time_point after(double seconds) {
  // Longer than any program runs, but no overflow.
  return Clock::now() +
         std::chrono::milliseconds(static_cast<int64_t>(std::min(seconds, 1e9) * 1000));
}

/// A message on its way. Its bytes stay with the sender, which waits until they have been copied.
struct Message {
  enum class Progress : uint8_t { posted, taken, done };
  int from, channel;
  Label label;
  std::span<const std::byte> data;
  Progress progress = Progress::posted;
};

struct Rank {
  std::condition_variable changed;
  std::list<Message*> inbox;
  bool has_failed = false;
  bool has_returned = false;
};

struct Group {
  explicit Group(int count) : ranks(static_cast<size_t>(count)) {}
  Rank& at(int rank) { return ranks[static_cast<size_t>(rank)]; }
  void wake_all() {
    for (Rank& rank : ranks) rank.changed.notify_all();
  }
  /// The rank takes part in nothing any more, and neither do those that wait for it.
  void end(int rank, const std::string& reason) {
    at(rank).has_failed = true;
    if (!ended) ended_by = rank;
    if (!ended) ended = reason;
    wake_all();
  }

  std::mutex mutex;
  std::vector<Rank> ranks;
  std::optional<std::string> ended;  // why the first rank failed
  int ended_by = 0;                  // which one
};

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_->ranks.size()); }
  void exchange(int channel, const Label& label, std::span<const Outgoing> outgoing,
                std::span<const Incoming> incoming, const Deadlines& deadlines) override;
  void end(const std::string& reason) override {
    const std::lock_guard lock(group_->mutex);
    group_->end(rank_, reason);
  }

 private:
  class Exchange;
  const std::shared_ptr<Group> group_;
  const int rank_;
};

/// One call of exchange.
class ThreadTransport::Exchange {
 public:
  Exchange(ThreadTransport& transport, int channel, const Label& label, const Deadlines& deadlines)
      : group_(*transport.group_),
        rank_(transport.rank_),
        channel_(channel),
        label_(label),
        deadlines_(deadlines),
        warn_(after(deadlines.warn_after)),
        give_up_(after(deadlines.give_up_after)) {}

  /// Takes back what nobody has taken, and waits for those that copy right now.
  ~Exchange() {
    for (Sent& sent : mine_) {
      std::erase(group_.at(sent.to).inbox, &sent.message);
      const auto& progress = sent.message.progress;
      group_.at(rank_).changed.wait(lock_, [&] { return progress != Message::Progress::taken; });
    }
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void send(std::span<const Outgoing> outgoing) {
    for (const Outgoing& out : outgoing) {
      Label label = label_;
      label.bytes = out.data.size();
      mine_.push_back({{rank_, channel_, label, out.data}, out.to});
      group_.at(out.to).inbox.push_back(&mine_.back().message);
      group_.at(out.to).changed.notify_all();
    }
  }

  void receive(std::span<const Incoming> incoming) {
    std::vector<const Incoming*> expected;
    for (const Incoming& in : incoming) expected.push_back(&in);
    while (!expected.empty()) {
      size_t found = expected.size();
      Message* message = nullptr;
      wait([&] { return (found = find(expected, message)) < expected.size(); },
           [&] {
             for (const Incoming* in : expected) {
               if (is_over(in->from)) return in->from;
             }
             return expected.front()->from;
           });
      const Incoming& in = *expected[found];
      expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(found));
      take(*message, in);
    }
  }

  void finish() {
    for (const Sent& sent : mine_) {
      wait([&] { return sent.message.progress == Message::Progress::done; },
           [&] { return sent.to; });
    }
  }

 private:
  struct Sent {
    Message message;
    int to;
  };

  /// The first expected message that has come.
  size_t find(const std::vector<const Incoming*>& expected, Message*& message) {
    for (Message* candidate : group_.at(rank_).inbox) {
      if (candidate->channel != channel_) continue;
      for (size_t i = 0; i < expected.size(); ++i) {
        if (expected[i]->from != candidate->from) continue;
        message = candidate;
        return i;
      }
    }
    return expected.size();
  }

  void take(Message& message, const Incoming& in) {
    std::erase(group_.at(rank_).inbox, &message);
    message.progress = Message::Progress::taken;
    lock_.unlock();
    std::exception_ptr error;
    try {
      const std::span<std::byte> place = in.place(message.label);
      if (!place.empty()) std::memcpy(place.data(), message.data.data(), place.size());
    } catch (...) {
      error = std::current_exception();
    }
    lock_.lock();
    message.progress = Message::Progress::done;
    group_.at(message.from).changed.notify_all();
    if (error) std::rethrow_exception(error);
  }

  bool is_over(int rank) { return group_.at(rank).has_failed || group_.at(rank).has_returned; }

  /// `whom` is a rank that is waited for, one that will not come if there is one.
  template <class Condition, class Whom>
  void wait(const Condition& condition, const Whom& whom) {
    while (!condition()) {
      const int other = whom();
      if (group_.at(rank_).has_failed || group_.at(other).has_failed) {
        fail(label_.op(), "rank ", rank_, ", at ", label_.describe(), ": ", *group_.ended);
      }
      if (group_.at(other).has_returned) {
        fail(label_.op(), "rank ", other, " has returned, and rank ", rank_, " waits for it at ",
             label_.describe(), ": every rank has to do the same in the same order");
      }
      const Clock::time_point now = Clock::now();
      if (now >= give_up_) {
        fail(label_.op(), "rank ", rank_, " has waited ", deadlines_.give_up_after, " s for rank ",
             other, " at ", label_.describe(),
             ": see what it does, or wait longer with set_deadlines");
      }
      if (!warned_ && now >= warn_) {
        warned_ = true;
        log_message(LogLevel::warn, "rank " + std::to_string(rank_) + " waits for rank " +
                                        std::to_string(other) + " at " + label_.describe());
      }
      group_.at(rank_).changed.wait_until(lock_, warned_ ? give_up_ : std::min(warn_, give_up_));
    }
  }

  Group& group_;
  const int rank_, channel_;
  const Label& label_;
  const Deadlines& deadlines_;
  const Clock::time_point warn_, give_up_;
  bool warned_ = false;
  std::unique_lock<std::mutex> lock_{group_.mutex};
  std::list<Sent> mine_;  // whose addresses do not change
};

void ThreadTransport::exchange(int channel, const Label& label, std::span<const Outgoing> outgoing,
                               std::span<const Incoming> incoming, const Deadlines& deadlines) {
  try {
    Exchange exchange(*this, channel, label, deadlines);
    exchange.send(outgoing);
    exchange.receive(incoming);
    exchange.finish();
  } catch (const std::exception& error) {
    end("rank " + std::to_string(rank_) + " has failed: " + error.what());
    throw;
  }
}

}  // namespace

void run_threads(int count, const std::function<void(Communicator)>& f) {
  if (count < 1) fail("run_threads", "count is ", count, ", want at least 1");
  const uint64_t seed = default_generator().bits();
  const auto group = std::make_shared<Group>(count);
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(static_cast<size_t>(count));
  const auto failed = [&](int rank, const std::string& why) {
    const std::lock_guard lock(group->mutex);
    errors[static_cast<size_t>(rank)] = std::current_exception();
    group->end(rank, "rank " + std::to_string(rank) + " has failed: " + why);
  };
  const auto run = [&](int rank) {
    default_generator().set_state({.seed = seed, .stream = static_cast<uint64_t>(rank)});
    try {
      f(Communicator(std::make_shared<ThreadTransport>(group, rank)));
    } catch (const std::exception& error) {
      failed(rank, error.what());
    } catch (...) {
      failed(rank, "an exception that is no std::exception");
    }
    const std::lock_guard lock(group->mutex);
    group->at(rank).has_returned = true;
    group->wake_all();
  };
  try {
    with_resources("run_threads", [&] {
      for (int rank = 0; rank < count; ++rank) threads.emplace_back(run, rank);
    });
  } catch (const std::exception& error) {
    failed(static_cast<int>(threads.size()), error.what());
  }
  for (std::thread& thread : threads) thread.join();
  // The cause before what followed from it.
  std::rotate(errors.begin(), errors.begin() + group->ended_by, errors.end());
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace tern::dist
