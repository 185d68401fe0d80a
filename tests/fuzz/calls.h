// SPDX-License-Identifier: Apache-2.0
// The public interface as calls with drawn arguments, and what each call has to keep.
#pragma once

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "draw.h"

namespace tern::fuzz {

/// The tensors that a call gave.
class Results {
 public:
  Results() = default;                                          ///< none
  Results(Tensor x) : tensors_{std::move(x)} {}                 ///< one
  Results(std::vector<Tensor> xs) : tensors_(std::move(xs)) {}  ///< many
  /// Several.
  template <class... Ts>
  Results(const std::tuple<Ts...>& xs) {
    std::apply([&](const auto&... x) { (append(x), ...); }, xs);
  }
  /// Two.
  Results(const std::pair<Tensor, Tensor>& xs) : tensors_{xs.first, xs.second} {}

  const std::vector<Tensor>& tensors() const { return tensors_; }  ///< all

 private:
  void append(const Results& other) {
    tensors_.insert(tensors_.end(), other.tensors_.begin(), other.tensors_.end());
  }
  std::vector<Tensor> tensors_;
};

/// Something that is called with what a Draw gives.
struct Call {
  const char* name;
  Results (*run)(Draw& d);
};

/// A table of calls.
class Calls {
 public:
  explicit Calls(const char* name) : name_(name) {}  ///< how ./run fuzz calls it
  /// `f` draws its arguments and returns tensors, or nothing. Overloads are calls of one name.
  template <class F>
  void add(const char* name, F f) {
    static_cast<void>(f);
    list_.push_back({name, [](Draw& d) -> Results {
                       if constexpr (std::is_void_v<std::invoke_result_t<F, Draw&>>) {
                         F{}(d);
                         return {};
                       } else {
                         return F{}(d);
                       }
                     }});
  }
  const char* name() const { return name_; }                ///< as given
  const std::vector<Call>& list() const& { return list_; }  ///< in the order of add
  const std::vector<Call>& list() && = delete;              ///< it would dangle

 private:
  const char* name_;
  std::vector<Call> list_;
};

/// Every public operation, an entry for each overload.
void add_elementwise(Calls& calls);
void add_movement(Calls& calls);    ///< as above: creation, shapes, indices
void add_reductions(Calls& calls);  ///< as above: and products, losses
void add_windows(Calls& calls);     ///< as above: convolution, pooling, norms, attention
Calls operations();                 ///< all of the above
Calls layers();                     ///< every module, with its options, its state and its clone
Calls training();                   ///< optimizers, schedules, initializers, distributions, data
Calls readers();                    ///< every reader of files, given damaged ones

/// Runs call `number` of a seed: number modulo the table's length says which. It may give results,
/// whose backward is run as well, or throw tern::Error; anything else is a fault, and returned as
/// its description with the order that repeats it alone. A crash, and a call that does not end,
/// print that order.
std::string run(const Calls& calls, uint64_t seed, uint64_t number);
/// What all calls have to do with. The sanitizer's own memory counts as well.
#ifdef __SANITIZE_ADDRESS__
inline constexpr size_t kMemory = size_t{4} << 30;
#else
inline constexpr size_t kMemory = size_t{1} << 30;
#endif
/// The faults of the first `count` calls.
std::vector<std::string> run_first(const Calls& calls, uint64_t seed, uint64_t count);

}  // namespace tern::fuzz
