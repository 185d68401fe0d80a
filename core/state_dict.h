// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tensor.h"

namespace tern {

/// An ordered list of (name, Tensor) with look-up by name: the parameters and buffers of a module,
/// the state of an optimizer, the contents of a safetensors file. Holds handles: a module's
/// state_dict shares memory with the module.
class StateDict {
 public:
  using Entry = std::pair<std::string, Tensor>;  ///< name and tensor

  StateDict() = default;
  /// Throws Error if a name occurs twice.
  StateDict(std::initializer_list<Entry> entries);

  /// Appends. Throws Error if the name is taken.
  void insert(const std::string& name, const Tensor& value);
  /// Replaces in its place, or appends.
  void set(const std::string& name, const Tensor& value);
  /// Whether there was such a name to remove.
  bool erase(std::string_view name);

  bool contains(std::string_view name) const;  ///< whether it has that name
  /// Throws Error that suggests the closest name there is, or says why the entry was refused.
  const Tensor& at(std::string_view name) const;
  const Tensor& operator[](std::string_view name) const { return at(name); }  ///< at(name)

  /// Makes at(name) throw Error with this reason instead: for an entry that cannot be a tensor. It
  /// does not count as contained.
  void refuse(const std::string& name, const std::string& reason);
  /// Names and reasons of what was refused.
  const std::vector<std::pair<std::string, std::string>>& refused() const { return refused_; }
  /// Appends all that `other` has, what was refused as well. Throws Error if a name is taken.
  void merge(const StateDict& other);

  size_t size() const { return entries_.size(); }  ///< the number of entries
  bool empty() const { return entries_.empty(); }  ///< whether there are no entries
  std::vector<std::string> names() const;          ///< all names in order
  /// Iteration in order: `for (const auto& [name, tensor] : dict)`.
  std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
  std::vector<Entry>::const_iterator end() const { return entries_.end(); }  ///< the end

  /// A dict of deep copies.
  StateDict clone() const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> index_;
  std::vector<std::pair<std::string, std::string>> refused_;  // names and reasons
};

}  // namespace tern
