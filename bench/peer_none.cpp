// SPDX-License-Identifier: Apache-2.0
// Replaces peer_torch.cpp in builds without PyTorch.
#include "work.h"

namespace bench {

Peer peer(const Work&) { return {}; }
std::string peer_version() { return {}; }

}  // namespace bench
