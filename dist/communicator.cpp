// SPDX-License-Identifier: Apache-2.0
#include "communicator.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <sstream>
#include <utility>

#include "../core/error.h"
#include "internal/loops.h"

namespace tern::dist {

namespace {

// Vectors of this many bytes or fewer go to every rank whole: one exchange instead of two.
constexpr size_t kSmall = 8192;
// Slices begin at multiples of this many elements, so that they fill cache lines.
constexpr size_t kAlign = 16;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<std::byte> bytes_of(const Tensor& x) {
  return {static_cast<std::byte*>(x.raw_data()),
          static_cast<size_t>(x.numel()) * size_of(x.dtype())};
}

// "broadcast of net.weight, f32[3,4]"
std::string label_text(const char* op, std::string_view what, const std::string& of) {
  std::string text = op;
  if (!what.empty()) (text += " of ") += what;
  return of.empty() ? text : text + ", " + of;
}

std::string describe(const Tensor& x) {
  return error_text(x) + (x.memory_format() == MemoryFormat::channels_last ? " channels-last" : "");
}

template <class T>
std::string describe(std::span<T> values) {
  return std::string(to_string(DTypeOf<T>::value)) + "[" + std::to_string(values.size()) + "]";
}

/// Adds the vectors of all ranks, which change, in the tree ((0 + 1) + (2 + 3)) + ...; the sum is
/// in the first.
template <class T>
void add_in_tree(const std::vector<T*>& of_rank, size_t count) {
  for (size_t step = 1; step < of_rank.size(); step *= 2) {
    for (size_t r = 0; r + step < of_rank.size(); r += 2 * step) {
      add(of_rank[r], of_rank[r + step], count);
    }
  }
}

}  // namespace

Label::Label(uint64_t number, std::string_view words) : sequence(number) {
  std::copy_n(words.begin(), std::min(words.size(), text.size() - 1), text.begin());
}

std::string Label::op() const {
  const std::string words = text.data();
  return words.substr(0, words.find_first_of(" ,"));
}

std::string Label::describe() const {
  return "operation " + std::to_string(sequence) + ", " + text.data();
}

struct Communicator::State {
  /// What all duplicates have in common.
  struct Group {
    std::shared_ptr<Transport> transport;
    std::atomic<int> channels = 0;
    std::atomic<uint64_t> bytes_sent = 0;
    Deadlines deadlines = {};
  };
  std::shared_ptr<Group> group;
  int channel = 0;
  uint64_t sequence = 0;

  explicit State(std::shared_ptr<Group> of) : group(std::move(of)), channel(group->channels++) {}
};

Communicator::Communicator(std::shared_ptr<Transport> transport) {
  if (!transport) fail("Communicator", "transport is a null pointer, want a transport");
  auto group = std::make_shared<State::Group>();
  group->transport = std::move(transport);
  state_ = std::make_shared<State>(std::move(group));
}

int Communicator::rank() const { return state_ ? state_->group->transport->rank() : 0; }
int Communicator::size() const { return state_ ? state_->group->transport->size() : 1; }

const Deadlines& Communicator::deadlines() const {
  static const Deadlines none;
  return state_ ? state_->group->deadlines : none;
}

uint64_t Communicator::bytes_sent() const { return state_ ? state_->group->bytes_sent.load() : 0; }

void Communicator::set_deadlines(const Deadlines& deadlines) {
  if (!(deadlines.warn_after > 0) || !(deadlines.give_up_after > 0)) {
    fail("set_deadlines", "warn_after and give_up_after are ", deadlines.warn_after, " and ",
         deadlines.give_up_after, ", want positive numbers of seconds");
  }
  if (state_) state_->group->deadlines = deadlines;
}

Communicator Communicator::duplicate() const {
  Communicator other;
  if (state_) other.state_ = std::make_shared<State>(state_->group);
  return other;
}

void Communicator::end(const std::string& reason) const {
  if (state_) state_->group->transport->end(reason);
}

Label Communicator::next_label(const std::string& text) const {
  return Label(++state_->sequence, text);
}

void Communicator::exchange(const Label& label, std::span<const Transport::Outgoing> outgoing,
                            std::span<const Transport::Incoming> incoming) const {
  std::vector<Transport::Incoming> checked(incoming.begin(), incoming.end());
  for (Transport::Incoming& message : checked) {
    message.place = [this, &label, from = message.from,
                     place = std::move(message.place)](const Label& theirs) {
      if (theirs.sequence != label.sequence || theirs.text != label.text) {
        fail(label.op(), "rank ", rank(), " is at ", label.describe(), ", and rank ", from, " at ",
             theirs.describe(), ": every rank has to do the same in the same order");
      }
      const std::span<std::byte> where = place(theirs);
      if (where.size() != theirs.bytes) {
        fail(label.op(), "rank ", from, " sends ", theirs.bytes, " bytes, and rank ", rank(),
             " wants ", where.size(), " (", label.describe(), ")");
      }
      return where;
    };
  }
  State::Group& group = *state_->group;
  for (const Transport::Outgoing& message : outgoing) group.bytes_sent += message.data.size();
  group.transport->exchange(state_->channel, label, outgoing, checked, group.deadlines);
}

void Communicator::check_root(const char* op, int root) const {
  if (root < 0 || root >= size()) {
    fail(op, "root is ", root, ", want a rank from 0 to ", size() - 1);
  }
}

void Communicator::barrier(std::string_view what) const {
  if (state_) gather(next_label(label_text("barrier", what, "")), {});
}

// From rank to rank in a binomial tree around the root. `any` is given for bytes whose number only
// the root knows, else `fixed`.
void Communicator::broadcast_placed(const Label& label, int root, std::vector<std::byte>* any,
                                    std::span<std::byte> fixed) const {
  const int ranks = size();
  const int self = (rank() - root + ranks) % ranks;  // the root is 0
  const auto real = [&](int place) { return (place + root) % ranks; };
  int step = 1;
  while (step < ranks && (self & step) == 0) step *= 2;
  if (self != 0) {
    const Transport::Incoming incoming{real(self - step), [&](const Label& theirs) {
                                         if (!any) return fixed;
                                         any->resize(theirs.bytes);
                                         return std::span(*any);
                                       }};
    exchange(label, {}, {&incoming, 1});
  }
  const std::span<const std::byte> data = any ? std::span<const std::byte>(*any) : fixed;
  std::vector<Transport::Outgoing> outgoing;
  for (step /= 2; step > 0; step /= 2) {
    if (self + step < ranks) outgoing.push_back({real(self + step), data});
  }
  if (!outgoing.empty()) exchange(label, outgoing, {});
}

std::vector<std::byte> Communicator::broadcast(std::vector<std::byte> bytes, int root,
                                               std::string_view what) const {
  check_root("broadcast", root);
  if (!state_) return bytes;
  broadcast_placed(next_label(label_text("broadcast", what, "from rank " + std::to_string(root))),
                   root, &bytes, {});
  return bytes;
}

std::string Communicator::broadcast(const std::string& text, int root,
                                    std::string_view what) const {
  const auto bytes = bytes_of(text);
  return text_of(broadcast(std::vector(bytes.begin(), bytes.end()), root, what));
}

void Communicator::broadcast(const Tensor& x, int root, std::string_view what) const {
  check_root("broadcast", root);
  if (!x.defined()) fail("broadcast", "x is ", x, ", want a tensor");
  if (!state_) return;
  if (rank() != root) x.bump_version();
  broadcast_placed(next_label(label_text("broadcast", what, describe(x))), root, nullptr,
                   bytes_of(x));
}

StateDict Communicator::broadcast(const StateDict& dict, int root, std::string_view what) const {
  check_root("broadcast", root);
  if (!state_) return dict;
  // Names, dtypes, formats and shapes first, as numbers and text.
  std::string header;
  const auto put = [&](int64_t value) {
    header.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const bool sends = rank() == root;
  if (sends) {
    for (const auto& [name, value] : dict) {
      put(static_cast<int64_t>(name.size()));
      header += name;
      put(static_cast<int64_t>(value.dtype()));
      put(static_cast<int64_t>(value.memory_format()));
      put(value.dim());
      for (int64_t axis = 0; axis < value.dim(); ++axis) put(value.size(axis));
    }
  }
  header = broadcast(header, root, what);
  StateDict result;
  if (!sends) {
    size_t at = 0;
    const auto get = [&] {
      int64_t value = 0;
      std::memcpy(&value, header.data() + at, sizeof value);
      at += sizeof value;
      return value;
    };
    while (at < header.size()) {
      const auto length = static_cast<size_t>(get());
      const std::string name = header.substr(at, length);
      at += length;
      const auto dtype = static_cast<DType>(get());
      const auto format = static_cast<MemoryFormat>(get());
      std::vector<int64_t> sizes(static_cast<size_t>(get()));
      for (int64_t& size : sizes) size = get();
      result.insert(name, empty(Shape(sizes), dtype, format));
    }
  }
  const StateDict& all = sends ? dict : result;
  for (const auto& [name, value] : all) broadcast(value, root, name);
  return all;
}

std::vector<std::vector<std::byte>> Communicator::gather(const Label& label,
                                                         std::span<const std::byte> bytes) const {
  std::vector<std::vector<std::byte>> all(static_cast<size_t>(size()));
  std::vector<Transport::Outgoing> outgoing;
  std::vector<Transport::Incoming> incoming;
  // Each begins with its neighbour, so that not all send to one rank at once.
  for (int i = 1; i < size(); ++i) {
    outgoing.push_back({(rank() + i) % size(), bytes});
    const int from = (rank() - i + size()) % size();
    incoming.push_back({from, [&all, from](const Label& theirs) {
                          auto& place = all[static_cast<size_t>(from)];
                          place.resize(theirs.bytes);
                          return std::span(place);
                        }});
  }
  all[static_cast<size_t>(rank())].assign(bytes.begin(), bytes.end());
  exchange(label, outgoing, incoming);
  return all;
}

std::vector<std::vector<std::byte>> Communicator::all_gather(std::span<const std::byte> bytes,
                                                             std::string_view what) const {
  if (!state_) return {std::vector(bytes.begin(), bytes.end())};
  return gather(next_label(label_text("all_gather", what, "")), bytes);
}

std::vector<std::string> Communicator::all_gather(const std::string& text,
                                                  std::string_view what) const {
  std::vector<std::string> all;
  for (const auto& bytes : all_gather(bytes_of(text), what)) all.push_back(text_of(bytes));
  return all;
}

// Note [Sums over ranks]
// The transport moves, this adds. Every element is the sum over ranks in one fixed tree, so it does
// not matter which rank adds it: small vectors are added by everybody, of large ones every rank
// adds a slice, which costs 2 (R - 1) / R of the bytes, as a ring does.
template <class T>
void Communicator::reduce(std::span<T> values, std::string_view what, const std::string& of) const {
  if (!state_ || size() == 1) return;
  const auto ranks = static_cast<size_t>(size()), self = static_cast<size_t>(rank());
  const size_t count = values.size();
  const Label label = next_label(label_text("all_reduce", what, of));
  std::vector<T*> of_rank(ranks);
  if (count * sizeof(T) <= kSmall) {
    auto all = gather(label, std::as_bytes(values));
    for (size_t r = 0; r < ranks; ++r) {
      of_rank[r] = reinterpret_cast<T*>(all[r].data());
    }
    add_in_tree(of_rank, count);
    std::copy_n(of_rank[0], count, values.begin());
    return;
  }
  const auto slice = [&](size_t r) {
    const auto bound = [&](size_t i) {
      return i == ranks ? count : count / ranks * i / kAlign * kAlign;
    };
    return values.subspan(bound(r), bound(r + 1) - bound(r));
  };
  const std::span<T> own = slice(self);
  std::vector<T> received(own.size() * (ranks - 1));
  std::vector<Transport::Outgoing> outgoing;
  std::vector<Transport::Incoming> incoming;
  of_rank[self] = own.data();
  for (size_t i = 1; i < ranks; ++i) {
    const size_t to = (self + i) % ranks, from = (self + ranks - i) % ranks;
    outgoing.push_back({static_cast<int>(to), std::as_bytes(slice(to))});
    const std::span<T> place(received.data() + (i - 1) * own.size(), own.size());
    of_rank[from] = place.data();
    incoming.push_back(
        {static_cast<int>(from), [place](const Label&) { return std::as_writable_bytes(place); }});
  }
  exchange(label, outgoing, incoming);
  add_in_tree(of_rank, own.size());
  if (of_rank[0] != own.data()) std::copy_n(of_rank[0], own.size(), own.begin());
  outgoing.clear();
  incoming.clear();
  for (size_t i = 1; i < ranks; ++i) {
    const size_t to = (self + i) % ranks, from = (self + ranks - i) % ranks;
    outgoing.push_back({static_cast<int>(to), std::as_bytes(own)});
    incoming.push_back({static_cast<int>(from), [place = slice(from)](const Label&) {
                          return std::as_writable_bytes(place);
                        }});
  }
  exchange(label, outgoing, incoming);
}

void Communicator::all_reduce(std::span<float> values, std::string_view what) const {
  reduce(values, what, describe(values));
}

void Communicator::all_reduce(std::span<double> values, std::string_view what) const {
  reduce(values, what, describe(values));
}

void Communicator::all_reduce(const Tensor& x, std::string_view what) const {
  if (!x.defined() || !is_floating(x.dtype())) fail("all_reduce", "x is ", x, ", want f32 or f64");
  x.bump_version();
  visit_floating(x.dtype(), [&]<class T>(T) {
    reduce(std::span(x.raw<T>(), static_cast<size_t>(x.numel())), what, describe(x));
  });
}

std::vector<double> Communicator::sum(std::vector<double> values, std::string_view what) const {
  all_reduce(std::span(values), what);
  return values;
}

void Communicator::require_same(const std::string& what, const std::string& text) const {
  const std::vector<std::string> all = all_gather(text, what);
  for (size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    std::istringstream first(all[0]), other(all[r]);
    std::string a, b;
    do {
      if (!std::getline(first, a)) a = "nothing more";
      if (!std::getline(other, b)) b = "nothing more";
    } while (a == b && first && other);
    fail("require_same", what, " differs: rank 0 has ", a, ", rank ", r, " has ", b,
         ": want the same on every rank");
  }
}

}  // namespace tern::dist
