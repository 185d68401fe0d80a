// SPDX-License-Identifier: Apache-2.0
// PyTorch's files against what PyTorch itself reads from them (make_weight_fixtures.py), and what
// no PyTorch writes.
#include <tern/tern.h>

#include <cstring>
#include <filesystem>

#include "support.h"
#include "weight_files.h"

using namespace tern;
using tern::test::expect_error;
using tern::test::expect_same_tensors;
using tern::test::message_of;
using tern::test::read_file;
using tern::test::weight_file;

namespace {

// A pickle by hand.
std::string text(const std::string& value) {
  std::string length(4, '\0');
  const auto bytes = static_cast<uint32_t>(value.size());
  std::memcpy(length.data(), &bytes, 4);
  return "X" + length + value;
}
std::string integer(int64_t value) {
  std::string digits(8, '\0');
  std::memcpy(digits.data(), &value, 8);
  return "\x8a\x08" + digits;
}
const std::string kBegin("\x80\x02", 2), kFloat = "ctorch\nFloatStorage\n";

struct Made {
  std::string type = kFloat;
  std::string key = "0";
  int64_t elements = 2;
  int64_t offset = 0;
  std::vector<int64_t> sizes = {2};
  std::vector<int64_t> strides = {1};
};

std::string tensor_pickle(const Made& made = {}) {
  std::string pickle = "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + made.type +
                       text(made.key) + text("cpu") + integer(made.elements) + "tQ" +
                       integer(made.offset);
  for (const auto* numbers : {&made.sizes, &made.strides}) {
    pickle += "(";
    for (const int64_t number : *numbers) pickle += integer(number);
    pickle += "t";
  }
  return pickle + "\x89}tR";
}

const std::string kTwo("\0\0\x80\x3f\0\0\0\x40", 8);  // 1 and 2

class Pytorch : public tern::test::WeightFiles {
 protected:
  /// A zip file with this pickle and a storage "0" of the floats 1 and 2.
  std::string make(const std::string& pickle, const std::string& storage = kTwo) const {
    write_zip({{"a/data.pkl", pickle}, {"a/data/0", storage}, {"a/version", "3\n"}});
    return zip();
  }
  /// One whose root is {"x": this}.
  std::string make_dict(const std::string& value) const {
    return make(kBegin + "}" + text("x") + value + "s.");
  }
  void refuses(const std::string& file, const char* part) const {
    expect_error([&] { io::load_pytorch(file); }, {part, file.c_str(), "[load_pytorch]"});
  }
};

TEST_F(Pytorch, ReadsTheSameBitsAsPyTorch) {
  for (const char* name :
       {"state_dict", "module", "checkpoint", "nested", "parameter", "dtypes", "strides", "tied"}) {
    SCOPED_TRACE(name);
    const StateDict expected =
        io::load_safetensors(weight_file(std::string(name) + ".safetensors"));
    expect_same_tensors(io::load_pytorch(weight_file(std::string(name) + ".pt")), expected);
    expect_same_tensors(io::load_pytorch(weight_file(std::string(name) + "_legacy.pt")), expected);
  }
  expect_same_tensors(io::load_pytorch(weight_file("protocol4.pt")),
                      io::load_safetensors(weight_file("state_dict.safetensors")));
  expect_same_tensors(io::load_pytorch(weight_file("torchscript.pt")),
                      io::load_safetensors(weight_file("torchscript.safetensors")));
}

TEST_F(Pytorch, TiedWeightsStayTied) {
  for (const char* name : {"tied.pt", "tied_legacy.pt"}) {
    const StateDict dict = io::load_pytorch(weight_file(name));
    EXPECT_TRUE(dict.at("a.weight").is_same(dict.at("b.weight")));
    EXPECT_FALSE(dict.at("a.bias").is_same(dict.at("b.bias")));
  }
}

TEST_F(Pytorch, TheKeyChoosesAPartOfACheckpoint) {
  const std::string file = weight_file("checkpoint.pt");
  expect_same_tensors(io::load_pytorch(file, {.key = "state_dict"}), io::load_pytorch(file));
  const StateDict moments = io::load_pytorch(file, {.key = "optimizer.state"});
  EXPECT_TRUE(moments.contains("0.exp_avg"));
  EXPECT_EQ(io::load_pytorch(weight_file("nested.pt"), {.key = "decoder"}).names(),
            (std::vector<std::string>{"w", "b"}));
  expect_error([&] { io::load_pytorch(file, {.key = "ema"}); },
               {"has nothing under 'ema', only 'epoch', 'state_dict' (11 tensors), 'optimizer'"});
  expect_error([&] { io::load_pytorch(file, {.key = "epoch"}); }, "has no tensors under 'epoch'");
}

TEST_F(Pytorch, WritesWhatItReads) {
  const Tensor shared = randn({2, 3}), image = randn({2, 3, 4, 5});
  const StateDict dict{{"größe", randn({3}, DType::f64)},
                       {"image", to_memory_format(image, MemoryFormat::channels_last)},
                       {"a", shared},
                       {"b", shared},
                       {"count", tensor({1, -2}, {2, 1})},
                       {"mask", tensor(std::vector<bool>{true, false}, {2})},
                       {"bytes", tensor(std::vector<uint8_t>{0, 255}, {2})},
                       {"scalar", full({}, 7)},
                       {"empty", zeros({0, 4})}};
  io::save_pytorch(dict, path("a.pt"));
  const StateDict loaded = io::load_pytorch(path("a.pt"));
  expect_same_tensors(loaded, dict);
  EXPECT_TRUE(loaded.at("a").is_same(loaded.at("b")));
  io::save_pytorch(dict, path("b.pt"));
  EXPECT_EQ(read_file(path("a.pt")), read_file(path("b.pt")));
  // Storages are where PyTorch can map them.
  const std::string bytes = read_file(path("a.pt"));
  const std::string values(static_cast<const char*>(shared.raw_data()), 24);
  EXPECT_EQ(bytes.find(values) % 64, 0u);
  EXPECT_EQ(bytes.find(values, bytes.find(values) + 1), std::string::npos);
  expect_error([&] { io::save_pytorch({{"x", Tensor()}}, path("c.pt")); }, "'x' is undefined");
  expect_error([&] { io::save_pytorch({{"a\nb", shared}}, path("c.pt")); }, "name is 'a?b'");
  EXPECT_FALSE(std::filesystem::exists(path("c.pt")));
}

TEST_F(Pytorch, BigEndianFilesAreSwapped) {
  std::string swapped = kTwo;
  std::reverse(swapped.begin(), swapped.begin() + 4);
  std::reverse(swapped.begin() + 4, swapped.end());
  const std::string pickle = kBegin + "}" + text("x") + tensor_pickle() + "s.";
  write_zip({{"a/data.pkl", pickle}, {"a/byteorder", "big"}, {"a/data/0", swapped}});
  EXPECT_EQ(io::load_pytorch(zip()).at("x").to_vector<float>(), (std::vector<float>{1, 2}));
  write_zip({{"a/data.pkl", pickle}, {"a/byteorder", "middle"}, {"a/data/0", swapped}});
  refuses(zip(), "byteorder is 'middle'");
}

// What PyTorch 2.3 and later write for dtypes that have no storage class.
TEST_F(Pytorch, ReadsUntypedStorages) {
  const auto typed = [](const std::string& dtype, int64_t elements) {
    std::string made = tensor_pickle(
        {.type = "ctorch.storage\nUntypedStorage\n", .elements = 8, .sizes = {elements}});
    made.replace(made.find("_v2"), 3, "_v3");
    return made.replace(made.size() - 2, 2, "ctorch\n" + dtype + "\n}tR");
  };
  EXPECT_EQ(io::load_pytorch(make_dict(typed("uint16", 4))).at("x").to_vector<int64_t>(),
            (std::vector<int64_t>{0, 0x3f80, 0, 0x4000}));
  EXPECT_EQ(io::load_pytorch(make_dict(typed("float32", 2))).at("x").to_vector<float>(),
            (std::vector<float>{1, 2}));
  refuses(make_dict(typed("float32", 3)), "does not lie in its storage of 2 elements");
  const StateDict dict = io::load_pytorch(make_dict(typed("float8_e4m3fn", 8)));
  expect_error([&] { dict.at("x"); }, "'x' has type 'torch.float8_e4m3fn'");
}

TEST_F(Pytorch, ADtypeThatCannotBeReadCostsOnlyItsTensor) {
  const std::string complex =
      tensor_pickle({.type = "ctorch\nComplexFloatStorage\n", .elements = 1, .sizes = {1}});
  const StateDict dict =
      io::load_pytorch(make(kBegin + "}(" + text("z") + complex + text("x") + tensor_pickle() +
                            text("q") + "ctorch._utils\n_rebuild_qtensor\n)Ru."));
  EXPECT_EQ(dict.names(), std::vector<std::string>{"x"});
  expect_error([&] { dict.at("z"); }, "'z' has type 'torch.ComplexFloatStorage'");
  expect_error([&] { dict.at("q"); }, "is made by 'torch._utils._rebuild_qtensor'");
}

TEST_F(Pytorch, RefusesTensorsThatLie) {
  refuses(make_dict(tensor_pickle({.elements = 3})), "has 8 bytes, want 12");
  refuses(make_dict(tensor_pickle({.elements = -1})), "impossible size");
  refuses(make_dict(tensor_pickle({.elements = int64_t{1} << 60})), "impossible size");
  refuses(make_dict(tensor_pickle({.offset = 1})), "does not lie in its storage of 2 elements");
  refuses(make_dict(tensor_pickle({.offset = INT64_MAX})), "does not lie in its storage");
  refuses(make_dict(tensor_pickle({.offset = -1})), "no offset");
  refuses(make_dict(tensor_pickle({.sizes = {3}})), "does not lie in its storage");
  refuses(make_dict(tensor_pickle({.strides = {2}})), "does not lie in its storage");
  refuses(make_dict(tensor_pickle({.strides = {INT64_MAX}})), "does not lie in its storage");
  refuses(make_dict(tensor_pickle({.strides = {-1}})), "negative size or stride");
  refuses(make_dict(tensor_pickle({.sizes = {-1}})), "negative size or stride");
  refuses(make_dict(tensor_pickle({.strides = {1, 1}})), "no offset, sizes and strides");
  refuses(make_dict(tensor_pickle({.sizes = {1 << 30, 1 << 30, 1 << 30}, .strides = {0, 0, 0}})),
          "larger than any memory");
  // 4 TB out of 8 bytes.
  refuses(make_dict(tensor_pickle({.sizes = {1 << 20, 1 << 20}, .strides = {0, 0}})),
          "are all views of 8");
  refuses(make_dict(tensor_pickle({.key = "../../etc/passwd"})), "which the file does not have");
  refuses(make_dict(tensor_pickle({.type = "cos\nsystem\n"})), "unknown class");
  refuses(make_dict("ctorch._utils\n_rebuild_tensor_v2\n)R"), "no storage, offset");
  refuses(make(kBegin + "}" + text(std::string("x\0y", 3)) + tensor_pickle() + "s."),
          "name is 'x?y'");
  const std::string expanded = make_dict(tensor_pickle({.sizes = {3, 2}, .strides = {0, 1}}));
  EXPECT_EQ(io::load_pytorch(expanded).at("x").to_vector<float>(),
            (std::vector<float>{1, 2, 1, 2, 1, 2}));
}

TEST_F(Pytorch, NothingIsCalledWhateverThePickleSays) {
  const std::string marker = path("called");
  const std::string calls = "cos\nsystem\n(" + text("touch " + marker) + "tR";
  EXPECT_EQ(io::load_pytorch(
                make(kBegin + "}(" + text("evil") + calls + text("x") + tensor_pickle() + "u."))
                .names(),
            std::vector<std::string>{"x"});
  refuses(make(kBegin + calls + "."), "has no tensors, only an object of class 'os.system'");
  EXPECT_FALSE(std::filesystem::exists(marker));
}

TEST_F(Pytorch, RefusesPicklesThatLie) {
  const std::vector<std::pair<std::string, const char*>> lies = {
      {"", "ends without its end mark"},
      {"N", "ends without its end mark"},
      {".", "empty stack"},
      {"(.", "empty stack"},
      {"N(0.", "empty stack"},
      {"R.", "empty stack"},
      {"NNR.", "no tuple"},
      {"N)R", "ends without its end mark"},
      {"t.", "needs a mark"},
      {"u.", "needs a mark"},
      {"}(Nu.", "a key without a value"},
      {"N(NNu.", "no dict"},
      {"NNa.", "no list"},
      {"NNb.", "the state of what has none"},
      {"h\1.", "recalls value 1"},
      {"q\1.", "empty stack"},
      {"cos\nsystem", "a line without an end"},
      {"X\xff\xff\xff\x7fx.", "wants 2147483647 bytes"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.", "wants 18446744073709551615 bytes"},
      {"\x8a\xff.", "wants 255 bytes"},
      {"NN\x93.", "no name of a class"},
      {"i.", "the opcode 105"},
      {"\x80\x06N.", "has protocol 6"},
      {"ccollections\nOrderedDict\n(](NNNtatR.", "no pairs"},
      {"N.", "has no tensors, only values of other kinds"},
      {"}.", "has no tensors, only an empty dict"},
      {std::string("]q\0h\0a.", 7), "is nested more than"},  // a list of itself
  };
  for (const auto& [pickle, part] : lies) refuses(make(kBegin + pickle), part);
}

TEST_F(Pytorch, BombsAreRefused) {
  // 40 tuples, each twice the one before: 2^40 values.
  std::string bomb = kBegin + "N";
  for (int i = 0; i < 40; ++i)
    bomb += "q" + std::string(1, static_cast<char>(i)) + "h" +
            std::string(1, static_cast<char>(i)) + "\x86";
  refuses(make(bomb + "."), "more than 5000000 values");
  // A pickle as deep as it is long.
  refuses(make(kBegin + std::string(100'000, ']') + std::string(99'999, 'a') + "."),
          "is nested more than 128 deep");
  refuses(make(kBegin + std::string(100'000, '(')), "ends without its end mark");
  refuses(make(kBegin + std::string(4'100'000, ')') + "."), "makes more than 4000000 values");
}

TEST_F(Pytorch, RefusesArchivesWithoutWeights) {
  write_zip({{"a/b", "c"}});
  refuses(zip(), "without data.pkl");
  write_zip({{"a/data.pkl", kBegin + tensor_pickle() + "."}});
  refuses(zip(), "is in storage '0', which the file does not have");
  write_zip({{"model.weights.h5", ""}});
  refuses(zip(), "docs/weights.md");
  io::write_file_atomically(path("x"), "text");
  refuses(path("x"), "neither a zip archive nor a pickle");
  io::write_file_atomically(path("x"), kBegin + "}.");
  refuses(path("x"), "that torch.save did not write");
}

// PyTorch can be told to write no checksums.
TEST_F(Pytorch, AWrongChecksumIsAWarning) {
  std::string bytes = read_file(weight_file("state_dict.pt"));
  const size_t entry = bytes.rfind("PK\1\2", bytes.rfind("data/0"));
  bytes[entry + 16] = static_cast<char>(bytes[entry + 16] ^ 1);
  io::write_file_atomically(path("a.pt"), bytes);
  expect_same_tensors(io::load_pytorch(path("a.pt")),
                      io::load_safetensors(weight_file("state_dict.safetensors")));
}

}  // namespace
