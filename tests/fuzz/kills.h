// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace tern::fuzz {

/// Kills examples/train_cnn at random moments of its training and its saving, and resumes it, again
/// and again. Each checkpoint has to load, and a run that gets to its end has to leave the files of
/// an undisturbed one, and no others. Prints what is wrong; returns how often.
int kill_and_resume(double seconds, uint64_t seed);

}  // namespace tern::fuzz
