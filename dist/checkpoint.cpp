// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.h"

#include <bit>
#include <exception>

#include "../core/error.h"

namespace tern::dist {

void on_first(const Communicator& world, const std::function<void()>& f) {
  std::string outcome;  // of success
  std::exception_ptr error;
  if (world.is_first()) {
    try {
      f();
    } catch (const std::exception& caught) {
      outcome = caught.what();
      if (outcome.empty()) outcome = "an exception without a message";
      error = std::current_exception();
    }
  }
  outcome = world.broadcast(outcome, 0, "the outcome of what rank 0 has done");
  if (error) std::rethrow_exception(error);
  if (!outcome.empty()) throw Error(outcome + " (on rank 0)");
}

void save_checkpoint(const Communicator& world, const std::string& path,
                     const io::Checkpoint& checkpoint) {
  on_first(world, [&] { io::save_checkpoint(path, checkpoint); });
}

io::Checkpoint load_checkpoint(const Communicator& world, const std::string& path) {
  io::Checkpoint result;
  on_first(world, [&] { result = io::load_checkpoint(path); });
  for (StateDict* part :
       {&result.model, &result.optimizer, &result.scheduler, &result.loader, &result.extra}) {
    *part = world.broadcast(*part, 0, "the checkpoint");
  }
  StateDict numbers;
  const auto word = [](uint64_t bits) { return std::bit_cast<int64_t>(bits); };
  if (const auto& random = result.random) {
    numbers.insert("random",
                   tensor({word(random->seed), word(random->stream), word(random->position)}));
  }
  numbers.insert("epoch", tensor({result.epoch}));
  numbers = world.broadcast(numbers, 0, "the checkpoint");
  result.epoch = numbers["epoch"].item<int64_t>();
  result.random.reset();
  if (numbers.contains("random")) {
    const auto bits = numbers["random"].to_vector<int64_t>();
    const auto back = [&](size_t i) { return std::bit_cast<uint64_t>(bits[i]); };
    result.random = Generator::State{back(0), back(1), back(2)};
  }
  return result;
}

}  // namespace tern::dist
