// SPDX-License-Identifier: Apache-2.0
// Python's pickles, as data.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::io {

/// What a pickle made. Values refer to each other, maybe in circles, and belong to their Pickle.
struct PickleValue {
  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    real,
    text,  ///< str or bytes
    tuple,
    list,        ///< or a set
    dict,        ///< dict, OrderedDict or defaultdict
    global,      ///< the name of a class or function, in `text`: "torch.FloatStorage"
    object,      ///< what would be made by calling items[0] with the tuple items[1]
    persistent,  ///< what items[0] stands for
  };
  Kind kind = Kind::none;
  int64_t integer = 0;  ///< also a boolean's
  double real = 0;
  std::string text = {};
  std::vector<PickleValue*> items = {};
  std::vector<std::pair<PickleValue*, PickleValue*>> pairs = {};  ///< of a dict, or an object's
  PickleValue* state = nullptr;                                   ///< what BUILD gave it
  uint64_t position = 0;                                          ///< of the opcode that made it

  /// Whether it is the text `value`.
  bool is_text(std::string_view value) const { return kind == Kind::text && text == value; }
  /// The last value under a key, or null: also of an object's own pairs.
  const PickleValue* find(std::string_view key) const;
};

/// A machine for pickles of protocol 2 to 5 that imports nothing and calls nothing: classes and
/// functions are names. The constructor runs the pickle that begins at `begin`, and throws Error
/// that begins with `where` and says the position for anything that Python would not take. Memory
/// is limited by the length of the pickle.
class Pickle {
 public:
  using Value = PickleValue;

  Pickle(const char* op, std::string_view bytes, size_t begin, const std::string& where);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const Value& root() const { return *root_; }
  /// The position after the pickle.
  size_t end() const { return end_; }
  /// All values of kind persistent.
  const std::vector<const Value*>& persistent() const { return persistent_; }

 private:
  friend class PickleMachine;

  std::deque<Value> values_;  // whose destruction is flat, whatever refers to whatever
  std::vector<const Value*> persistent_;
  Value* root_ = nullptr;
  size_t end_ = 0;
};

}  // namespace tern::io
