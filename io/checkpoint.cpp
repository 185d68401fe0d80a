// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.h"

#include <bit>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/error.h"
#include "safetensors.h"

namespace tern::io {
namespace {

constexpr std::string_view kFormat = "tern-checkpoint-1";
constexpr char kEpoch[] = "epoch";
constexpr char kRandom[] = "random";

template <class C>
auto sections(C& checkpoint) {
  return std::vector{std::pair{std::string_view("model."), &checkpoint.model},
                     std::pair{std::string_view("optimizer."), &checkpoint.optimizer},
                     std::pair{std::string_view("scheduler."), &checkpoint.scheduler},
                     std::pair{std::string_view("loader."), &checkpoint.loader},
                     std::pair{std::string_view("extra."), &checkpoint.extra}};
}

}  // namespace

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  StateDict all;
  for (const auto& [prefix, part] : sections(checkpoint)) {
    for (const auto& [name, value] : *part) all.insert(std::string(prefix) + name, value);
  }
  if (const auto& random = checkpoint.random) {
    const auto bits = [](uint64_t word) { return std::bit_cast<int64_t>(word); };
    all.insert(kRandom, tensor(std::vector<int64_t>{bits(random->seed), bits(random->stream),
                                                    bits(random->position)},
                               Shape{3}));
  }
  all.insert(kEpoch, tensor(std::vector<int64_t>{checkpoint.epoch}, Shape{}));
  save_safetensors(all, path, {{"format", std::string(kFormat)}});
}

Checkpoint load_checkpoint(const std::string& path) {
  const char* op = "load_checkpoint";
  const StateDict all = load_safetensors(path);
  const auto metadata = load_safetensors_metadata(path);
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat || !all.contains(kEpoch)) {
    fail(op, path,
         " is not a checkpoint of Tern, want one from save_checkpoint: read weights with "
         "load_safetensors");
  }
  Checkpoint result;
  result.epoch = all.at(kEpoch).item<int64_t>();
  if (all.contains(kRandom)) {
    const auto bits = all.at(kRandom).to_vector<int64_t>();
    if (bits.size() != 3) fail(op, path, ": ", kRandom, " has ", bits.size(), " numbers, want 3");
    const auto word = [&](size_t i) { return std::bit_cast<uint64_t>(bits[i]); };
    result.random = Generator::State{word(0), word(1), word(2)};
  }
  for (const auto& [prefix, part] : sections(result)) {
    for (const auto& [name, value] : all) {
      if (name.starts_with(prefix)) part->insert(name.substr(prefix.size()), value);
    }
  }
  return result;
}

}  // namespace tern::io
