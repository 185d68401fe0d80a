// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../core/state_dict.h"
#include "../core/tensor.h"
#include "transport.h"

namespace tern::dist {

/// The ranks of a group, and what they do together. A handle: copies mean the same group.
///
///     dist::Communicator world;                  // one rank: everything returns at once
///     dist::run_threads(4, f);                   // f(world) in four threads of this program
///     const mpi::Session session;                // processes (tern::mpi):
///     f(session.world());
///
/// Every rank calls the same functions in the same order. Where one calls another function, or
/// gives another size, all get an Error that says what each was about to do; one that does not come
/// is named after Deadlines::give_up_after seconds. After an Error the group is of no more use.
///
/// Functions that take a name (`what`) use it in messages. A communicator belongs to one thread at
/// a time; duplicate() gives one for another thread.
class Communicator {
 public:
  /// The world of one rank.
  Communicator() = default;
  /// The ranks of a transport. All ranks make their communicators of it in the same order.
  explicit Communicator(std::shared_ptr<Transport> transport);

  int rank() const;                              ///< this one's number, from 0
  int size() const;                              ///< the number of ranks
  bool is_first() const { return rank() == 0; }  ///< whether this is rank 0
  const Deadlines& deadlines() const;            ///< how long it waits
  /// Sets how long this rank waits for others, in every handle and duplicate of this communicator.
  /// Not while an operation runs. Throws Error unless both are positive numbers.
  void set_deadlines(const Deadlines& deadlines);
  /// How many bytes this rank has sent so far, by all handles and duplicates.
  uint64_t bytes_sent() const;
  /// The same ranks once more: for another thread, whose operations are independent of this one's.
  /// All ranks duplicate in the same order.
  Communicator duplicate() const;
  /// Ends this rank's part: what it waits for, and what it is asked for from now on, throws Error
  /// with this reason; threads of the same program (run_threads) end with it.
  void end(const std::string& reason) const;

  /// Returns when all ranks have called it.
  void barrier(std::string_view what = "") const;
  /// The bytes of rank `root`, on every rank; what the others give does not matter. Throws Error if
  /// there is no such rank.
  std::vector<std::byte> broadcast(std::vector<std::byte> bytes, int root = 0,
                                   std::string_view what = "") const;
  /// As above, of text.
  std::string broadcast(const std::string& text, int root = 0, std::string_view what = "") const;
  /// Copies the values of rank `root` into x, which has the same shape, dtype and memory format on
  /// every rank.
  void broadcast(const Tensor& x, int root = 0, std::string_view what = "") const;
  /// The dict of rank `root`, on every rank: names, order and tensors.
  StateDict broadcast(const StateDict& dict, int root = 0, std::string_view what = "") const;

  /// What each rank gave, by rank. Sizes may differ.
  std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes,
                                                 std::string_view what = "") const;
  /// As above, of text.
  std::vector<std::string> all_gather(const std::string& text, std::string_view what = "") const;

  /// Replaces the numbers by their sums over all ranks, which are the same bits on every rank. The
  /// ranks are added in a fixed binary tree, ((0 + 1) + (2 + 3)) + ..., so that the bits depend
  /// neither on how many numbers there are nor on the transport.
  void all_reduce(std::span<float> values, std::string_view what = "") const;
  void all_reduce(std::span<double> values, std::string_view what = "") const;  ///< as above
  /// As above: x is f32 or f64, with the same shape, dtype and memory format on every rank.
  void all_reduce(const Tensor& x, std::string_view what = "") const;
  /// The sums of `values` over all ranks: for counts and losses that speak of the whole.
  std::vector<double> sum(std::vector<double> values, std::string_view what = "") const;

  /// Throws the same Error on every rank unless all give the same text, of any number of lines: it
  /// names `what`, the first rank that differs from rank 0, and the first line where it does.
  void require_same(const std::string& what, const std::string& text) const;

 private:
  struct State;
  Label next_label(const std::string& text) const;
  void exchange(const Label& label, std::span<const Transport::Outgoing> outgoing,
                std::span<const Transport::Incoming> incoming) const;
  void broadcast_placed(const Label& label, int root, std::vector<std::byte>* any,
                        std::span<std::byte> fixed) const;
  void check_root(const char* op, int root) const;
  std::vector<std::vector<std::byte>> gather(const Label& label,
                                             std::span<const std::byte> bytes) const;
  template <class T>
  void reduce(std::span<T> values, std::string_view what, const std::string& of) const;

  std::shared_ptr<State> state_;  // null: the world of one
};

}  // namespace tern::dist
