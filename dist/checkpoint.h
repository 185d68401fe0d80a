// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "../io/checkpoint.h"
#include "communicator.h"

namespace tern::dist {

/// Calls f on rank 0 alone; all ranks return when it has, or throw an Error with its message. So no
/// rank goes on, or waits for ever, because rank 0 could not write a file:
///
///     dist::on_first(world, [&] { io::save_safetensors(net.state_dict(), path); });
void on_first(const Communicator& world, const std::function<void()>& f);

/// Rank 0 writes the file as io::save_checkpoint does; every rank learns the outcome (on_first).
/// What the other ranks give does not matter.
void save_checkpoint(const Communicator& world, const std::string& path,
                     const io::Checkpoint& checkpoint);

/// Rank 0 reads the file, which the others need not have, and all get the same checkpoint, or throw
/// the same Error.
io::Checkpoint load_checkpoint(const Communicator& world, const std::string& path);

}  // namespace tern::dist
