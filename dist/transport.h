// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace tern::dist {

/// How long a rank waits for the others.
struct Deadlines {
  /// Seconds after which a warning in the log says who is waited for, once per wait.
  double warn_after = 60;
  /// Seconds after which the wait throws Error that names the rank and the operation.
  double give_up_after = 1800;
};

/// What a rank is about to do: it goes before every message, so that ranks which do different
/// things get an Error that says so, instead of waiting for ever or reading garbage.
struct Label {
  uint64_t sequence = 0;         ///< the number of the operation on its channel
  uint64_t bytes = 0;            ///< of the message
  std::array<char, 112> text{};  ///< "all_reduce of bucket 2, f32[1024]", with a 0 at its end

  Label() = default;
  /// `text` is cut where it is too long.
  Label(uint64_t sequence, std::string_view text);
  /// The name of the operation: the first word of the text.
  std::string op() const;
  /// "operation 17, all_reduce of bucket 2, f32[1024]"
  std::string describe() const;
};

/// Moves bytes between the ranks of a group of processes or threads: what MPI, or anything else
/// that ranks can talk through, has to do for a Communicator. All algorithms are above it.
class Transport {
 public:
  /// A message to a rank.
  struct Outgoing {
    int to = 0;                       ///< the rank
    std::span<const std::byte> data;  ///< stays valid until exchange returns
  };
  /// A message from a rank.
  struct Incoming {
    int from = 0;  ///< the rank
    /// Gets the label that came with the message, and says where its bytes belong: as many as the
    /// label says. What it throws ends the exchange.
    std::function<std::span<std::byte>(const Label&)> place;
  };

  virtual ~Transport() = default;
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  virtual int rank() const = 0;  ///< of this process or thread, from 0
  virtual int size() const = 0;  ///< the number of ranks
  /// Sends and receives all of these messages, in any order, and returns when it has: messages from
  /// one rank to another arrive in the order in which they were sent, on each channel for itself.
  /// Called by several threads at once, on a channel each. Throws Error that names a rank that did
  /// not take part until the deadline, or if end() was called, by this rank or (where the transport
  /// knows) by another; the transport is of no more use then.
  virtual void exchange(int channel, const Label& label, std::span<const Outgoing> outgoing,
                        std::span<const Incoming> incoming, const Deadlines& deadlines) = 0;
  /// Ends all exchanges of this rank, those that run and those to come, with an Error that gives
  /// this reason; those of the other ranks as well where the transport can.
  virtual void end(const std::string& reason) = 0;
};

}  // namespace tern::dist
