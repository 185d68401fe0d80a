// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../core/error.h"
#include "../core/log.h"
#include "../core/version.h"

namespace tern::mpi {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// MPI counts by int.
constexpr size_t kMostBytes = size_t{1} << 30;
// Of the message that a rank has failed; the others are those of channels.
constexpr int kNoticeTag = 0;

void check(int code, const char* op, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(op, call, " fails: ", std::string(text, static_cast<size_t>(length)));
}

/// Whether a launcher of MPI programs has started this process: MPI_Init without one takes long,
/// and ends the process where the installation is broken.
bool is_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"}) {
    if (std::getenv(name)) return true;
  }
  return false;
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Polls at first, then naps for longer and longer: a rank that spins takes the processor from
/// those that it waits for.
class Patience {
 public:
  void wait() {
    if (seconds_since(since_) < 30e-6) {
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(nap_);
    nap_ = std::min<std::chrono::microseconds>(nap_ * 2, 1000us);
  }
  /// Something has happened.
  void reset() {
    since_ = Clock::now();
    nap_ = 50us;
  }

 private:
  Clock::time_point since_ = Clock::now();
  std::chrono::microseconds nap_ = 50us;
};

/// A message of any size, in pieces that MPI can count.
struct Piece {
  MPI_Request request = MPI_REQUEST_NULL;
  int rank = 0;
  bool receives = false;
};

}  // namespace

/// MPI moves bytes by its non-blocking messages, which go through the network's own transports. One
/// thread at a time calls MPI.
class Session::Transport final : public dist::Transport {
 public:
  explicit Transport(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_rank(comm, &rank_);
    MPI_Comm_size(comm, &size_);
    void* most = nullptr;
    int found = 0;
    MPI_Comm_get_attr(comm, MPI_TAG_UB, &most, &found);
    if (found) last_tag_ = *static_cast<int*>(most);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void exchange(int channel, const dist::Label& label, std::span<const Outgoing> outgoing,
                std::span<const Incoming> incoming, const dist::Deadlines& deadlines) override;
  void end(const std::string& reason) override;
  MPI_Comm comm() const { return comm_; }
  bool has_ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  /// Whether it has not failed because of another rank.
  bool is_cause() const { return is_cause_; }

 private:
  class Exchange;
  void look_for_notices();
  void give_up(const std::string& reason, bool is_cause);

  MPI_Comm comm_;
  int rank_ = 0, size_ = 1, last_tag_ = 32767;
  std::mutex mutex_;
  bool ended_ = false, is_cause_ = false;
  std::string reason_;                  // why this rank has ended
  std::map<int, std::string> reasons_;  // why others have
  std::vector<MPI_Request> notices_;
};

/// One call of exchange: labels and bytes of messages go out at once; where a label comes in, it
/// says where the bytes after it belong.
class Session::Transport::Exchange {
 public:
  Exchange(Transport& transport, int tag, const dist::Label& label,
           std::span<const Outgoing> outgoing, std::span<const Incoming> incoming)
      : transport_(transport),
        tag_(tag),
        label_(label),
        incoming_(incoming),
        sent_(outgoing.size(), label),
        received_(incoming.size()),
        placed_(incoming.size()) {
    const std::lock_guard lock(transport_.mutex_);
    for (size_t i = 0; i < incoming.size(); ++i) {
      start(incoming[i].from, std::as_writable_bytes(std::span(&received_[i], 1)));
    }
    for (size_t i = 0; i < outgoing.size(); ++i) {
      sent_[i].bytes = outgoing[i].data.size();
      start(outgoing[i].to, std::as_bytes(std::span(&sent_[i], 1)));
      start(outgoing[i].to, outgoing[i].data);
    }
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// Whether something has happened since the last call.
  bool poll() {
    bool progress = false;
    {
      const std::lock_guard lock(transport_.mutex_);
      for (Piece& piece : pieces_) {
        if (piece.request == MPI_REQUEST_NULL) continue;
        int done = 0;
        check(MPI_Test(&piece.request, &done, MPI_STATUS_IGNORE), label_.op().c_str(), "MPI_Test");
        progress |= done != 0;
      }
    }
    for (size_t i = 0; i < incoming_.size(); ++i) {
      if (placed_[i] || pieces_[i].request != MPI_REQUEST_NULL) continue;
      placed_[i] = true;
      const std::span<std::byte> place = incoming_[i].place(received_[i]);
      const std::lock_guard lock(transport_.mutex_);
      start(incoming_[i].from, place);
      progress = true;
    }
    return progress;
  }

  /// A rank that something is still missing from or for, one that will not come if there is one; -1
  /// if nothing is missing.
  int missing() {
    const std::lock_guard lock(transport_.mutex_);
    int first = -1;
    const auto consider = [&](int rank) {
      if (first < 0 || transport_.reasons_.contains(rank)) first = rank;
    };
    for (const Piece& piece : pieces_) {
      if (piece.request != MPI_REQUEST_NULL) consider(piece.rank);
    }
    for (size_t i = 0; i < incoming_.size(); ++i) {
      if (!placed_[i]) consider(incoming_[i].from);
    }
    return first;
  }

  /// Takes back what can be. The caller's memory has to be safe from what comes too late.
  void cancel() {
    const std::lock_guard lock(transport_.mutex_);
    for (Piece& piece : pieces_) {
      if (piece.request == MPI_REQUEST_NULL) continue;
      if (piece.receives) MPI_Cancel(&piece.request);
      MPI_Request_free(&piece.request);
    }
  }

 private:
  void start(int to, std::span<const std::byte> data) {
    for (size_t at = 0; at < data.size(); at += kMostBytes) {
      const int count = static_cast<int>(std::min(kMostBytes, data.size() - at));
      Piece& piece = pieces_.emplace_back(Piece{.rank = to});
      check(
          MPI_Isend(data.data() + at, count, MPI_BYTE, to, tag_, transport_.comm_, &piece.request),
          label_.op().c_str(), "MPI_Isend");
    }
  }
  void start(int from, std::span<std::byte> place) {
    for (size_t at = 0; at < place.size(); at += kMostBytes) {
      const int count = static_cast<int>(std::min(kMostBytes, place.size() - at));
      Piece& piece = pieces_.emplace_back(Piece{.rank = from, .receives = true});
      check(MPI_Irecv(place.data() + at, count, MPI_BYTE, from, tag_, transport_.comm_,
                      &piece.request),
            label_.op().c_str(), "MPI_Irecv");
    }
  }

  Transport& transport_;
  const int tag_;
  const dist::Label label_;
  const std::span<const Incoming> incoming_;
  std::vector<dist::Label> sent_, received_;
  std::vector<bool> placed_;   // whether the label has come
  std::vector<Piece> pieces_;  // the first ones are the labels that come in
};

void Session::Transport::exchange(int channel, const dist::Label& label,
                                  std::span<const Outgoing> outgoing,
                                  std::span<const Incoming> incoming,
                                  const dist::Deadlines& deadlines) {
  if (channel >= last_tag_) {
    fail(label.op(), "channel ", channel, " is more than this MPI has, ", last_tag_ - 1,
         ": duplicate communicators less often");
  }
  // Not on the stack: after an Error, messages may still come to its labels.
  auto exchange =
      std::make_unique<Exchange>(*this, channel + 1 + kNoticeTag, label, outgoing, incoming);
  std::string cause;  // what has ended another rank
  try {
    Patience patience;
    const Clock::time_point begin = Clock::now();
    bool warned = false;
    while (true) {
      if (exchange->poll()) patience.reset();
      look_for_notices();
      const int rank = exchange->missing();
      if (rank < 0) return;
      const double waited = seconds_since(begin);
      if (waited >= deadlines.give_up_after) {
        fail(label.op(), "rank ", rank_, " has waited ", deadlines.give_up_after, " s for rank ",
             rank, " at ", label.describe(),
             ": see what it does, or wait longer with set_deadlines");
      }
      if (!warned && waited >= deadlines.warn_after) {
        warned = true;
        log_message(LogLevel::warn, "rank " + std::to_string(rank_) + " waits for rank " +
                                        std::to_string(rank) + " at " + label.describe());
      }
      {
        const std::lock_guard lock(mutex_);
        if (const auto theirs = reasons_.find(rank); theirs != reasons_.end()) {
          cause = theirs->second;
        }
        if (ended_ || !cause.empty()) {
          fail(label.op(), "rank ", rank_, ", at ", label.describe(), ": ",
               ended_ ? reason_ : cause);
        }
      }
      patience.wait();
    }
  } catch (const std::exception& error) {
    exchange->cancel();
    static_cast<void>(exchange.release());
    if (cause.empty()) {
      end("rank " + std::to_string(rank_) + " has failed: " + error.what());
    } else {
      give_up(cause, false);
    }
    throw;
  }
}

/// Takes the messages of ranks that have failed.
void Session::Transport::look_for_notices() {
  const std::lock_guard lock(mutex_);
  while (true) {
    int is_there = 0, length = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, kNoticeTag, comm_, &is_there, &status) != MPI_SUCCESS) return;
    if (!is_there) return;
    MPI_Get_count(&status, MPI_BYTE, &length);
    std::string& reason = reasons_[status.MPI_SOURCE];
    reason.resize(static_cast<size_t>(length));
    MPI_Recv(reason.data(), length, MPI_BYTE, status.MPI_SOURCE, kNoticeTag, comm_,
             MPI_STATUS_IGNORE);
  }
}

void Session::Transport::end(const std::string& reason) { give_up(reason, true); }

void Session::Transport::give_up(const std::string& reason, bool is_cause) {
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  ended_ = true;
  is_cause_ = is_cause;
  reason_ = reason;
  // They may never be received, so nobody waits for them.
  for (int to = 0; to < size_; ++to) {
    if (to == rank_) continue;
    MPI_Isend(reason_.data(), static_cast<int>(std::min<size_t>(reason_.size(), 4000)), MPI_BYTE,
              to, kNoticeTag, comm_, &notices_.emplace_back());
  }
}

Session::Session() : exceptions_(std::uncaught_exceptions()) {
  int is_initialized = 0, level = MPI_THREAD_SINGLE;
  MPI_Initialized(&is_initialized);
  if (!is_initialized) {
    if (!is_launched()) return;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
    finalizes_ = true;
  } else {
    MPI_Query_thread(&level);
  }
  if (level < MPI_THREAD_SERIALIZED) {
    fail("mpi::Session", "MPI is initialized for one thread, want MPI_THREAD_SERIALIZED or more: ",
         "pass that to MPI_Init_thread");
  }
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  transport_ = std::make_shared<Transport>(comm);
  world_ = dist::Communicator(transport_);
  world_.require_same("the version of Tern", kVersion);
}

Session::~Session() {
  if (!transport_) return;
  // MPI_Finalize waits for ranks that may wait for this one. Without it, the launcher ends the
  // others as soon as this process has ended, which has a message to print first.
  if (std::uncaught_exceptions() > exceptions_ || transport_->has_ended()) {
    transport_->end("rank " + std::to_string(transport_->rank()) +
                    " has failed: an exception ends it");
    if (transport_->is_cause()) std::this_thread::sleep_for(500ms);  // theirs are printed, too
    return;
  }
  if (finalizes_) MPI_Finalize();
}

}  // namespace tern::mpi
