// SPDX-License-Identifier: Apache-2.0
#include "internal/pickle.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "../core/error.h"
#include "internal/elements.h"
#include "internal/names.h"

// The opcodes: Lib/pickletools.py of Python.
namespace tern::io {

namespace {

constexpr size_t kMostValues = 4'000'000;
constexpr int kHighestProtocol = 5;

}  // namespace

class PickleMachine {
 public:
  using Value = PickleValue;
  using Kind = PickleValue::Kind;

  PickleMachine(const char* op, std::string_view bytes, size_t begin, const std::string& where,
                Pickle& pickle)
      : op_(op), bytes_(bytes), next_(begin), where_(where), pickle_(pickle) {}

  void run() {
    while (step()) {
    }
    pickle_.root_ = pop();
    pickle_.end_ = next_;
  }

 private:
  template <class... Parts>
  [[noreturn]] void wrong(const Parts&... parts) const {
    fail(op_, where_, ": the pickle at byte ", opcode_, " ", parts...,
         ": the file is damaged, or not what torch.save writes");
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - next_)
      wrong("wants ", count, " bytes, of which ", bytes_.size() - next_, " are there");
    const std::string_view taken = bytes_.substr(next_, count);
    next_ += count;
    return taken;
  }
  template <class T>
  T number() {
    return little_endian<T>(take(sizeof(T)).data());
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', next_);
    if (end == std::string_view::npos) wrong("has a line without an end");
    const std::string_view taken = take(end - next_);
    ++next_;
    return taken;
  }

  Value* make(Kind kind) {
    if (pickle_.values_.size() >= kMostValues) wrong("makes more than ", kMostValues, " values");
    Value& value = pickle_.values_.emplace_back();
    value.kind = kind;
    value.position = opcode_;
    return &value;
  }
  void push(Value* value) { stack_.push_back(value); }
  void push_integer(int64_t value) {
    push(make(Kind::integer));
    stack_.back()->integer = value;
  }
  void push_text(std::string_view text) {
    push(make(Kind::text));
    stack_.back()->text = text;
  }
  void push_global(std::string_view module, std::string_view name) {
    push(make(Kind::global));
    stack_.back()->text = std::string(module) + "." + std::string(name);
  }

  // The first value above the last mark: what is below belongs to others.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value* pop() {
    if (stack_.size() <= floor()) wrong("takes a value from an empty stack");
    Value* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  Value* top() {
    if (stack_.size() <= floor()) wrong("needs a value on an empty stack");
    return stack_.back();
  }
  std::vector<Value*> pop_to_mark() {
    if (marks_.empty()) wrong("needs a mark");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Value*> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }

  void memoize(uint64_t index) {
    if (memo_.size() >= kMostValues) wrong("remembers more than ", kMostValues, " values");
    memo_[index] = top();
  }
  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) wrong("recalls value ", index, ", which it does not remember");
    push(found->second);
  }

  void push_tuple(std::vector<Value*> items) {
    push(make(Kind::tuple));
    stack_.back()->items = std::move(items);
  }
  void push_tuple_of(size_t count) {
    std::vector<Value*> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_tuple(std::move(items));
  }

  void set_items(const std::vector<Value*>& values) {
    Value* target = top();
    if (target->kind != Kind::dict && target->kind != Kind::object)
      wrong("sets items of what is no dict");
    if (values.size() % 2 != 0) wrong("sets a key without a value");
    for (size_t i = 0; i < values.size(); i += 2)
      target->pairs.emplace_back(values[i], values[i + 1]);
  }
  void append(const std::vector<Value*>& values) {
    Value* target = top();
    if (target->kind != Kind::list && target->kind != Kind::object)
      wrong("appends to what is no list");
    target->items.insert(target->items.end(), values.begin(), values.end());
  }
  void build() {
    Value* state = pop();
    Value* target = top();
    if (target->kind != Kind::dict && target->kind != Kind::object)
      wrong("sets the state of what has none");
    target->state = state;
  }

  // REDUCE and NEWOBJ: calls nothing, but knows what dicts and sizes are called.
  void call() {
    Value* arguments = pop();
    Value* callee = pop();
    if (arguments->kind != Kind::tuple) wrong("calls with arguments that are no tuple");
    if (callee->kind == Kind::global) {
      const std::string& name = callee->text;
      if (name == "collections.OrderedDict" || name == "collections.defaultdict") {
        push(make(Kind::dict));
        if (name == "collections.OrderedDict" && arguments->items.size() == 1)
          fill(*arguments->items[0]);
        return;
      }
      if (name == "torch.Size" && arguments->items.size() == 1 &&
          arguments->items[0]->kind == Kind::tuple) {
        push(arguments->items[0]);
        return;
      }
    }
    push(make(Kind::object));
    stack_.back()->items = {callee, arguments};
  }
  // Python 2 has OrderedDict([[key, value], ...]).
  void fill(const Value& list) {
    for (const Value* pair : list.items) {
      if (pair->items.size() != 2) wrong("makes a dict of what are no pairs");
      stack_.back()->pairs.emplace_back(pair->items[0], pair->items[1]);
    }
  }

  void push_long(std::string_view digits) {
    if (digits.size() > sizeof(int64_t)) {  // PyTorch's magic number, as bytes
      push_text(digits);
      return;
    }
    uint64_t value = 0;
    for (size_t i = digits.size(); i-- > 0;)
      value = value << 8 | static_cast<unsigned char>(digits[i]);
    const auto unused = static_cast<int>(64 - 8 * digits.size());
    push_integer(unused == 64 ? 0 : static_cast<int64_t>(value << unused) >> unused);
  }

  // False at the end.
  bool step();

  const char* op_;
  std::string_view bytes_;
  size_t next_;
  const std::string& where_;
  Pickle& pickle_;
  size_t opcode_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value*> memo_;
};

bool PickleMachine::step() {
  opcode_ = next_;
  if (next_ >= bytes_.size()) wrong("ends without its end mark");
  const auto code = static_cast<unsigned char>(bytes_[next_++]);
  switch (code) {
    case 0x80:  // PROTO
      if (const int protocol = number<uint8_t>(); protocol > kHighestProtocol) {
        wrong("has protocol ", protocol, ", want at most ", kHighestProtocol);
      }
      break;
    case 0x95:  // FRAME
      number<uint64_t>();
      break;
    case '.':  // STOP
      return false;
    case '(':  // MARK
      marks_.push_back(stack_.size());
      break;
    case '0':  // POP
      pop();
      break;
    case '1':  // POP_MARK
      pop_to_mark();
      break;
    case 'q':  // BINPUT
      memoize(number<uint8_t>());
      break;
    case 'r':  // LONG_BINPUT
      memoize(number<uint32_t>());
      break;
    case 0x94:  // MEMOIZE
      memoize(memo_.size());
      break;
    case 'h':  // BINGET
      recall(number<uint8_t>());
      break;
    case 'j':  // LONG_BINGET
      recall(number<uint32_t>());
      break;
    case 'N':  // NONE
      push(make(Kind::none));
      break;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push(make(Kind::boolean));
      stack_.back()->integer = code == 0x88;
      break;
    case 'K':  // BININT1
      push_integer(number<uint8_t>());
      break;
    case 'M':  // BININT2
      push_integer(number<uint16_t>());
      break;
    case 'J':  // BININT
      push_integer(number<int32_t>());
      break;
    case 0x8a:  // LONG1
      push_long(take(number<uint8_t>()));
      break;
    case 0x8b:  // LONG4
      push_long(take(number<uint32_t>()));
      break;
    case 'G': {  // BINFLOAT, big-endian
      std::string digits(take(sizeof(double)));
      std::reverse(digits.begin(), digits.end());
      push(make(Kind::real));
      stack_.back()->real = little_endian<double>(digits.data());
      break;
    }
    case 'X':  // BINUNICODE
    case 'T':  // BINSTRING
    case 'B':  // BINBYTES
      push_text(take(number<uint32_t>()));
      break;
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING
    case 'C':   // SHORT_BINBYTES
      push_text(take(number<uint8_t>()));
      break;
    case 0x8d:  // BINUNICODE8
    case 0x8e:  // BINBYTES8
      push_text(take(number<uint64_t>()));
      break;
    case ')':  // EMPTY_TUPLE
      push_tuple({});
      break;
    case 't':  // TUPLE
      push_tuple(pop_to_mark());
      break;
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      push_tuple_of(code - 0x84u);
      break;
    case ']':   // EMPTY_LIST
    case 0x8f:  // EMPTY_SET
      push(make(Kind::list));
      break;
    case 0x91: {  // FROZENSET
      std::vector<Value*> items = pop_to_mark();
      push(make(Kind::list));
      stack_.back()->items = std::move(items);
      break;
    }
    case 'a': {  // APPEND
      Value* item = pop();
      append({item});
      break;
    }
    case 'e':   // APPENDS
    case 0x90:  // ADDITEMS
      append(pop_to_mark());
      break;
    case '}':  // EMPTY_DICT
      push(make(Kind::dict));
      break;
    case 's': {  // SETITEM
      Value* value = pop();
      Value* key = pop();
      set_items({key, value});
      break;
    }
    case 'u':  // SETITEMS
      set_items(pop_to_mark());
      break;
    case 'c': {  // GLOBAL
      const std::string_view module = line();
      push_global(module, line());
      break;
    }
    case 0x93: {  // STACK_GLOBAL
      const Value* name = pop();
      const Value* module = pop();
      if (name->kind != Kind::text || module->kind != Kind::text) wrong("has no name of a class");
      push_global(module->text, name->text);
      break;
    }
    case 0x92:  // NEWOBJ_EX, whose third value are named arguments
      pop();
      call();
      break;
    case 'R':   // REDUCE
    case 0x81:  // NEWOBJ
      call();
      break;
    case 'b':  // BUILD
      build();
      break;
    case 'Q': {  // BINPERSID
      Value* id = pop();
      push(make(Kind::persistent));
      stack_.back()->items = {id};
      pickle_.persistent_.push_back(stack_.back());
      break;
    }
    default:
      wrong("has the opcode ", code, ", which PyTorch does not write");
  }
  return true;
}

Pickle::Pickle(const char* op, std::string_view bytes, size_t begin, const std::string& where) {
  PickleMachine(op, bytes, begin, where, *this).run();
}

const PickleValue* PickleValue::find(std::string_view key) const {
  const auto found = std::find_if(pairs.rbegin(), pairs.rend(),
                                  [&](const auto& pair) { return pair.first->is_text(key); });
  return found == pairs.rend() ? nullptr : found->second;
}

}  // namespace tern::io
