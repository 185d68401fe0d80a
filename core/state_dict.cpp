// SPDX-License-Identifier: Apache-2.0
#include "state_dict.h"

#include <algorithm>
#include <numeric>

#include "error.h"

namespace tern {
namespace {

/// Levenshtein's distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

constexpr size_t kLongestCompared = 200;

}  // namespace

StateDict::StateDict(std::initializer_list<Entry> entries) {
  for (const auto& [name, value] : entries) insert(name, value);
}

void StateDict::insert(const std::string& name, const Tensor& value) {
  if (contains(name)) fail("state_dict", "the name ", name, " occurs twice");
  entries_.emplace_back(name, value);
  index_.emplace(name, entries_.size() - 1);
}

void StateDict::set(const std::string& name, const Tensor& value) {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    insert(name, value);
  } else {
    entries_[found->second].second = value;
  }
}

bool StateDict::erase(std::string_view name) {
  const auto found = index_.find(name);
  if (found == index_.end()) return false;
  const size_t position = found->second;
  index_.erase(found);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(position));
  for (size_t i = position; i < entries_.size(); ++i) index_[entries_[i].first] = i;
  return true;
}

void StateDict::refuse(const std::string& name, const std::string& reason) {
  refused_.emplace_back(name, reason);
}

void StateDict::merge(const StateDict& other) {
  for (const auto& [name, value] : other) insert(name, value);
  refused_.insert(refused_.end(), other.refused_.begin(), other.refused_.end());
}

bool StateDict::contains(std::string_view name) const { return index_.find(name) != index_.end(); }

const Tensor& StateDict::at(std::string_view name) const {
  const auto found = index_.find(name);
  if (found != index_.end()) return entries_[found->second].second;
  for (const auto& [refused, reason] : refused_) {
    if (refused == name) fail("state_dict", reason);
  }
  std::string hint = "it is empty";
  if (!entries_.empty()) {
    const std::string_view wanted = name.substr(0, kLongestCompared);
    const auto closest =
        std::min_element(entries_.begin(), entries_.end(), [&](const Entry& a, const Entry& b) {
          return distance(a.first.substr(0, kLongestCompared), wanted) <
                 distance(b.first.substr(0, kLongestCompared), wanted);
        });
    hint = "did you mean " + closest->first + "?";
  }
  fail("state_dict", "no tensor is called ", name, " among ", entries_.size(), "; ", hint);
}

std::vector<std::string> StateDict::names() const {
  std::vector<std::string> result;
  result.reserve(entries_.size());
  for (const auto& entry : entries_) result.push_back(entry.first);
  return result;
}

StateDict StateDict::clone() const {
  StateDict copy;
  copy.refused_ = refused_;
  for (const auto& [name, value] : entries_) {
    copy.insert(name, value.defined() ? value.detach().clone() : value);
  }
  return copy;
}

}  // namespace tern
