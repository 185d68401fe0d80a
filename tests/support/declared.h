// SPDX-License-Identifier: Apache-2.0
// What the public headers declare, so that a list in a test is known to be complete.
#pragma once

#include <map>
#include <set>
#include <string>

namespace tern::test {

/// Names of functions and methods in public headers that give or change tensors, by how often.
std::map<std::string, int> declared_operations(const std::string& root);

/// What the first group of a regular expression matches in the headers of a folder.
std::set<std::string> declared_in(const std::string& folder, const std::string& pattern);

}  // namespace tern::test
