// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "../dist/communicator.h"

namespace tern::mpi {

/// MPI for as long as it lives; make one, in main:
///
///     int main() {
///       mpi::Session session;
///       dist::Communicator world = session.world();
///       ...
///
/// and start the program with `mpirun -n 4 program`. Started without a launcher it is a world of
/// one, and MPI is not touched. If the program has initialized MPI itself, that is used, and not
/// finalized.
///
/// An exception that leaves the block of the session ends all ranks, and so does the end of a
/// session in which an operation has failed: the others get an Error that names this one where they
/// wait for it. MPI is not finalized then: print the message and return from main, after which the
/// launcher ends those that do not wait. Waits are polls with short naps, so that a rank which
/// waits leaves its processor to the others.
class Session {
 public:
  /// Throws Error if MPI cannot be initialized for several threads, or if ranks run different
  /// versions of Tern.
  Session();
  /// Waits for all ranks, unless something has failed.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const dist::Communicator& world() const { return world_; }  ///< all processes

 private:
  class Transport;
  std::shared_ptr<Transport> transport_;  // null: MPI is not touched
  dist::Communicator world_;
  int exceptions_;
  bool finalizes_ = false;
};

}  // namespace tern::mpi
