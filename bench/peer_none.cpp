// SPDX-License-Identifier: Apache-2.0
// In the place of peer_torch.cpp, where PyTorch is not wanted.
#include "work.h"

namespace bench {

Peer peer(const Work&) { return {}; }
std::string peer_version() { return {}; }

}  // namespace bench
