// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../core/state_dict.h"

namespace tern::io {

/// The array of a .npy file (versions 1 to 3, as numpy.save writes). float16 becomes f32, the
/// integers besides uint8 become i64, bool stays bool; big-endian numbers and Fortran order are
/// read as what they mean. Throws Error that names the file for what is no number (objects, which
/// are pickles, strings, structured types, complex numbers), and for files that are truncated or
/// damaged.
Tensor load_npy(const std::string& path);

/// Writes a .npy file, version 1.0, row-major, for numpy.load. The file appears by rename, complete
/// or not at all.
void save_npy(const Tensor& x, const std::string& path);

/// The arrays of a .npz file (numpy.savez and savez_compressed) by their names, in the order of the
/// file. Arrays that load_npy refuses for their type are left out; asking the dict for one throws
/// Error. Throws Error that names the file if it is truncated or damaged.
StateDict load_npz(const std::string& path);

/// Writes a .npz file, not compressed, for numpy.load. The same dict gives the same bytes. Throws
/// Error for undefined tensors, names with control characters, and a path that cannot be written.
void save_npz(const StateDict& dict, const std::string& path);

}  // namespace tern::io
