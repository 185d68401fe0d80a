// SPDX-License-Identifier: Apache-2.0
#include "internal/parameter_hashes.h"

#include <algorithm>
#include <cstring>

#include "../core/error.h"

namespace tern::dist {

namespace {

uint64_t hash_of(const Tensor& x) {
  const auto* bytes = static_cast<const char*>(x.raw_data());
  const size_t count = static_cast<size_t>(x.numel()) * size_of(x.dtype());
  uint64_t hash = count;
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 32;
  };
  uint64_t word = 0;
  size_t at = 0;
  for (; at + sizeof word <= count; at += sizeof word) {
    std::memcpy(&word, bytes + at, sizeof word);
    mix(word);
  }
  word = 0;
  if (at < count) std::memcpy(&word, bytes + at, count - at);
  mix(word);
  return hash;
}

}  // namespace

void check_parameters_agree(const Communicator& world,
                            const std::vector<std::pair<std::string, Tensor>>& parameters,
                            int64_t step) {
  if (world.size() == 1) return;
  std::vector<uint64_t> mine;
  for (const auto& [name, x] : parameters) mine.push_back(hash_of(x));
  const auto all = world.all_gather(std::as_bytes(std::span(mine)), "the hashes of parameters");
  for (size_t i = 0; i < parameters.size(); ++i) {
    std::vector<uint64_t> hashes(all.size());
    for (size_t r = 0; r < all.size(); ++r) {
      std::memcpy(&hashes[r], all[r].data() + i * sizeof(uint64_t), sizeof(uint64_t));
    }
    const auto votes = [&](uint64_t hash) {
      return std::count(hashes.begin(), hashes.end(), hash);
    };
    const uint64_t most = *std::max_element(
        hashes.begin(), hashes.end(), [&](uint64_t a, uint64_t b) { return votes(a) < votes(b); });
    std::string others;
    for (size_t r = 0; r < hashes.size(); ++r) {
      if (hashes[r] != most) others += (others.empty() ? "" : ", ") + std::to_string(r);
    }
    if (others.empty()) continue;
    fail("DataParallel::backward", "parameter ", parameters[i].first, " has other values on rank ",
         others, " than on the rest at step ", step,
         ": something there changed it besides the optimizer, or the optimizer is another one");
  }
}

}  // namespace tern::dist
