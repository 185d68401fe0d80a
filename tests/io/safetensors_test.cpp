// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <tern/core/error.h>
#include <tern/core/random.h>
#include <tern/core/tensor.h>
#include <tern/io/checkpoint.h>
#include <tern/io/file.h>
#include <tern/io/safetensors.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "support.h"

using tern::test::contains;
using tern::test::message_of;
using tern::test::read_file;

namespace {

using namespace tern;
namespace fs = std::filesystem;

class Safetensors : public ::testing::Test {
 protected:
  std::string path(const std::string& name = "a.safetensors") const {
    return (directory_ / name).string();
  }
  size_t files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  /// A file with this header and data.
  std::string make(const std::string& header, const std::string& data) const {
    const uint64_t length = header.size();
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    io::write_file_atomically(path(), bytes + header + data);
    return path();
  }
  /// The message of loading a file with this header and 8 bytes of data.
  std::string load_error(const std::string& header, size_t data_bytes = 8) const {
    const std::string file = make(header, std::string(data_bytes, 'x'));
    const std::string message = message_of([&] { io::load_safetensors(file); });
    EXPECT_TRUE(contains(message, file)) << message;  // every message names the file
    return message;
  }

  tern::test::TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

StateDict example() {
  StateDict dict;
  dict.insert("conv.weight",
              tensor(std::vector<float>{1, -2.5f, NAN, INFINITY, 1e-42f, 0}, {2, 3}));
  dict.insert("bn.num_batches_tracked", tensor(std::vector<int64_t>{-7}, Shape{}));
  dict.insert("mask", tensor(std::vector<uint8_t>{0, 1, 255}, {3}));
  dict.insert("exact", tensor(std::vector<double>{0.1, 1e300}, {2, 1}));
  dict.insert("empty", zeros({0, 4}));
  dict.insert("größe \"quoted\" \\ /", tensor(std::vector<float>{4}, {1}));
  return dict;
}

template <class T>
bool same_bits(const Tensor& a, const Tensor& b) {
  const auto x = a.to_vector<T>();
  const auto y = b.to_vector<T>();
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

TEST_F(Safetensors, KeepsOrderNamesTypesAndBits) {
  const StateDict dict = example();
  io::save_safetensors(dict, path(), {{"made by", "a test"}});
  const StateDict loaded = io::load_safetensors(path());
  EXPECT_EQ(loaded.names(), dict.names());
  for (const auto& [name, x] : dict) {
    EXPECT_EQ(loaded.at(name).shape(), x.shape()) << name;
    EXPECT_EQ(loaded.at(name).dtype(), x.dtype()) << name;
  }
  EXPECT_TRUE(same_bits<float>(loaded.at("conv.weight"), dict.at("conv.weight")));
  EXPECT_TRUE(same_bits<double>(loaded.at("exact"), dict.at("exact")));
  EXPECT_EQ(loaded.at("mask").to_vector<uint8_t>(), (std::vector<uint8_t>{0, 1, 255}));
  EXPECT_EQ(loaded.at("bn.num_batches_tracked").item<int64_t>(), -7);
  EXPECT_EQ(io::load_safetensors_metadata(path()),
            (std::map<std::string, std::string>{{"made by", "a test"}}));
}

TEST_F(Safetensors, BoolStaysBool) {
  const Tensor x = gt(tensor(std::vector<float>{1, -1, 2}, {3}), 0.0);
  io::save_safetensors({{"x", x}}, path());
  EXPECT_TRUE(contains(read_file(path()), R"("dtype":"BOOL")"));
  const Tensor loaded = io::load_safetensors(path()).at("x");
  EXPECT_EQ(loaded.dtype(), DType::boolean);
  EXPECT_EQ(loaded.to_vector<bool>(), (std::vector<bool>{true, false, true}));
  // What others wrote as true is one.
  make(R"({"t":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}} )", std::string("\x00\x07", 2));
  EXPECT_EQ(io::load_safetensors(path()).at("t").to_vector<uint8_t>(),
            (std::vector<uint8_t>{0, 1}));
}

/// Bytes of this process's memory that hold pages of the file at `path`, from /proc/self/smaps.
int64_t resident_bytes(const std::string& path) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  int64_t kilobytes = 0;
  while (std::getline(maps, line)) {
    const bool begins_mapping = line.find_first_not_of("0123456789abcdef") == line.find('-');
    if (begins_mapping) inside = line.ends_with(path);
    if (inside && line.starts_with("Rss:")) kilobytes += std::stoll(line.substr(4));
  }
  return kilobytes * 1024;
}

TEST_F(Safetensors, LargeFilesAreMapped) {
  const Tensor first = randn({1 << 20}), second = randn({1 << 20});
  io::save_safetensors({{"first", first}, {"second", second}}, path());
  const int64_t in_use = counters().bytes_in_use;
  StateDict loaded = io::load_safetensors(path());
  // Only the page of the header and what the kernel reads ahead around it.
  EXPECT_LT(resident_bytes(path()), 1 << 20);
  EXPECT_EQ(counters().bytes_in_use, in_use);
  EXPECT_TRUE(same_bits<float>(loaded.at("first"), first));
  EXPECT_GE(resident_bytes(path()), 4 << 20);

  // In-place changes are this process's own.
  loaded.at("second").fill_(1);
  EXPECT_TRUE(same_bits<float>(io::load_safetensors(path()).at("second"), second));

  // The mapping outlives the dict, the other tensors, and the file under this name.
  const Tensor kept = reshape(loaded.at("first"), {1 << 10, 1 << 10});
  loaded = StateDict();
  io::save_safetensors({{"other", zeros({1 << 20})}}, path());
  EXPECT_TRUE(same_bits<float>(kept, first));
  fs::remove(path());
  EXPECT_TRUE(same_bits<float>(kept, first));
}

TEST_F(Safetensors, TheMappingEndsWithTheLastTensor) {
  io::save_safetensors({{"x", randn({1 << 20})}}, path());
  const auto mapped = [&] {
    return read_file("/proc/self/maps").find(path()) != std::string::npos;
  };
  {
    const StateDict loaded = io::load_safetensors(path());
    EXPECT_TRUE(mapped());
  }
  EXPECT_FALSE(mapped());
  const StateDict copied = io::load_safetensors(path(), {.map = false});
  EXPECT_FALSE(mapped());
  fs::resize_file(path(), 0);  // harmless to a copy
  EXPECT_TRUE(std::isfinite(sum(copied.at("x")).item<float>()));
}

TEST_F(Safetensors, LoadingIntoAModuleCopiesWhatIsMapped) {
  nn::Linear net(512, 1024);
  io::save_safetensors(net.state_dict(), path());
  net.load_state_dict(io::load_safetensors(path()));
  EXPECT_EQ(read_file("/proc/self/maps").find(path()), std::string::npos);
}

TEST_F(Safetensors, TheSameDictGivesTheSameBytesInTheFormatsLayout) {
  io::save_safetensors(example(), path("a"));
  io::save_safetensors(example(), path("b"));
  io::save_safetensors(io::load_safetensors(path("a")), path("c"));
  const std::string bytes = read_file(path("a"));
  EXPECT_EQ(bytes, read_file(path("b")));
  EXPECT_EQ(bytes, read_file(path("c")));

  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(bytes[8], '{');
  EXPECT_TRUE(contains(bytes, R"("exact":{"dtype":"F64","shape":[2,1],"data_offsets":[8,24]})"));
  EXPECT_TRUE(contains(bytes, R"("mask":{"dtype":"U8","shape":[3],"data_offsets":[52,55]})"));
  EXPECT_EQ(bytes.size(), 8 + length + 55);
}

TEST_F(Safetensors, WritesRowMajorWhateverTheMemoryOrder) {
  const Tensor x = randn({2, 3, 4, 5});
  io::save_safetensors({{"x", x}}, path("a"));
  io::save_safetensors({{"x", to_memory_format(x, MemoryFormat::channels_last)}}, path("b"));
  EXPECT_EQ(read_file(path("a")), read_file(path("b")));
  EXPECT_EQ(io::load_safetensors(path("b")).at("x").to_vector<float>(), x.to_vector<float>());
}

TEST_F(Safetensors, ReadsTheOtherTypes) {
  // Little-endian: f16 1.5, -2, smallest subnormal, -inf; bf16 1.5, -2; i32 -3; i16 -4; i8 -5;
  // u16 65535; u32 4294967295; bool 1.
  const std::string data(
      "\x00\x3e\x00\xc0\x01\x00\x00\xfc\xc0\x3f\x00\xc0\xfd\xff\xff\xff\xfc\xff"
      "\xfb\x01\xff\xff\xff\xff\xff\xff",
      26);
  make(R"({"h":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
       R"("i":{"dtype":"I32","shape":[],"data_offsets":[12,16]},)"
       R"("s":{"dtype":"I16","shape":[1],"data_offsets":[16,18]},)"
       R"("c":{"dtype":"I8","shape":[1],"data_offsets":[18,19]},)"
       R"("t":{"dtype":"BOOL","shape":[1],"data_offsets":[19,20]},)"
       R"("v":{"dtype":"U16","shape":[1],"data_offsets":[20,22]},)"
       R"("u":{"dtype":"U32","shape":[1],"data_offsets":[22,26]}} )",
       data);
  const StateDict dict = io::load_safetensors(path());
  EXPECT_EQ(dict.at("h").to_vector<float>(),
            (std::vector<float>{1.5f, -2.0f, 0x1p-24f, -std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(dict.at("b").to_vector<float>(), (std::vector<float>{1.5f, -2.0f}));
  EXPECT_EQ(dict.at("i").item<int64_t>(), -3);
  EXPECT_EQ(dict.at("s").item<int64_t>(), -4);
  EXPECT_EQ(dict.at("c").item<int64_t>(), -5);
  EXPECT_EQ(dict.at("t").dtype(), DType::boolean);
  EXPECT_EQ(dict.at("t").to_vector<uint8_t>(), (std::vector<uint8_t>{1}));
  EXPECT_EQ(dict.at("v").item<int64_t>(), 65535);
  EXPECT_EQ(dict.at("u").item<int64_t>(), 4294967295);
}

TEST_F(Safetensors, Float16IsExactForEveryBitPattern) {
  std::string data(2 * 65536, '\0');
  for (unsigned i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    std::memcpy(data.data() + 2 * size_t{i}, &bits, 2);
  }
  make(R"({"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})", data);
  const std::vector<float> values = io::load_safetensors(path()).at("h").to_vector<float>();
  for (int i = 0; i < 65536; ++i) {
    const int exponent = (i >> 10) & 31;
    const double fraction = i & 1023;
    double expected =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) expected = fraction == 0 ? HUGE_VAL : NAN;
    const float found = values[static_cast<size_t>(i)];
    ASSERT_EQ(std::signbit(found), i >= 32768) << i;
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(found)) << i;
    } else {
      ASSERT_EQ(std::abs(static_cast<double>(found)), expected) << i;
    }
  }
}

TEST_F(Safetensors, RefusesHeadersThatLie) {
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  EXPECT_EQ(message_of([&] {
              make(entry("F32", "[2]", "[0,8]"), "12345678");
              io::load_safetensors(path());
            }),
            "nothing was thrown");
  const std::vector<std::pair<std::string, std::string>> lies = {
      {entry("F32", "[2]", "[0,12]"), "truncated"},
      {entry("F32", "[2]", "[8,0]"), "is at bytes 8 to 0"},
      {entry("F32", "[3]", "[0,8]"), "has 8 bytes"},
      {entry("F32", "[1]", "[0,4]"), "4 bytes after the last tensor"},
      {entry("F32", "[1]", "[4,8]"), "leave a hole"},
      {entry("F8_E4M3", "[8]", "[0,12]"), "truncated"},
      {entry("F8_E4M3", "[8]", "[1,8]"), "leave a hole"},
      {entry("F32", "[-2]", "[0,8]"), "a negative number"},
      {entry("F32", "[2.0]", "[0,8]"), "not an integer"},
      {entry("F32", "[4611686018427387904,4]", "[0,8]"), "too large"},
      {entry("F32", "[0,4611686018427387904,4611686018427387904]", "[0,0]"), "too large"},
      {entry("F32", "[99999999999999999999999]", "[0,8]"), "not an integer"},
      {entry("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), "more than 8"},
      {entry("F32", "[2]", "[0]"), "fewer than 2"},
      {entry("F32", "[2]", "[0,8,9]"), "more than 2"},
      {entry("F32", "2", "[0,8]"), "a number"},
      {entry("F32", "[[2]]", "[0,8]"), "an array"},
      {R"({"x":{"dtype":"F32","shape":[2]}})", "has no data_offsets"},
      {R"({"x":{"dtype":"F32","dtype":"F64","shape":[2],"data_offsets":[0,8]}})",
       "'dtype' occurs twice"},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}})", "'stride'"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "the name 'x' occurs twice"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "overlap"},
      {R"({"a\nb":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "'a?b'"},
      {R"({"a\u0000b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "control characters"},
      {"{\"" + std::string(5000, 'n') + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "too long"},
      {R"({"__metadata__":{"a":1}})", "a number"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", "'a' occurs twice"},
      {R"({"x":null})", "null"},
      {R"({"x":[]})", "an array"},
      {"{\"x\":" + std::string(100000, '['), "an array"},
      {"{", "not valid JSON"},
      {"{}}", "not valid JSON"},
      {"{\"\xff\":1}", "not valid JSON"},
      {entry("F32", "[2]", "[0,8]") + std::string(1, '\0'), "a NUL byte"},
      {entry("F32", "[2]", "[0,8]") + std::string("\0 trailing", 10), "a NUL byte"},
      {entry("F32", "[2]", "[0,8]") + " x", "not valid JSON"},
      {entry("F32", "[2]", "[0,8]") + "{}", "not valid JSON"},
      {std::string("{\0}", 3), "a NUL byte"},
      {"[]", "does not begin with '{'"},
      {"", "does not begin with '{'"},
      {" {}", "does not begin with '{'"},
  };
  for (const auto& [header, part] : lies) {
    const std::string message = load_error(header);
    EXPECT_TRUE(contains(message, part)) << header.substr(0, 200) << "\n" << message;
    EXPECT_LT(message.size(), 500u);
    EXPECT_FALSE(contains(message, "\n")) << message;
  }
}

TEST_F(Safetensors, ADtypeThatCannotBeReadIsAnErrorWhenAskedFor) {
  make(R"({"scale":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("weight":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[4,8]},)"
       R"("bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
       std::string("\0\0\x80\x3f....\0\0\0\x40", 12));
  const StateDict dict = io::load_safetensors(path());
  EXPECT_EQ(dict.names(), (std::vector<std::string>{"scale", "bias"}));
  EXPECT_EQ(dict.at("scale").item<float>(), 1.0f);
  EXPECT_EQ(dict.at("bias").item<float>(), 2.0f);
  EXPECT_FALSE(dict.contains("weight"));
  for (const StateDict& each : {dict, dict.clone()}) {
    const std::string message = message_of([&] { each.at("weight"); });
    EXPECT_TRUE(contains(message, path())) << message;
    EXPECT_TRUE(contains(message, "'weight' has dtype 'F8_E4M3'")) << message;
  }
}

TEST_F(Safetensors, PyTorchsFilesAreRecognised) {
  const auto load_file = [&](const std::string& bytes) {
    io::write_file_atomically(path("net.pth"), bytes);
    return message_of([&] { io::load_safetensors(path("net.pth")); });
  };
  const std::string zip = load_file("PK\3\4    archive/data.pkl");
  EXPECT_TRUE(contains(zip, "net.pth is a zip archive, as torch.save writes")) << zip;
  EXPECT_TRUE(contains(zip, "load it with load_pytorch or load_weights")) << zip;
  const std::string pickle = load_file("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 jPP");
  EXPECT_TRUE(contains(pickle, "net.pth is a pickle, as torch.save writes")) << pickle;
}

TEST_F(Safetensors, RefusesWrongLengthsAndMissingFiles) {
  const auto with_length = [&](uint64_t length, const std::string& rest) {
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    io::write_file_atomically(path(), bytes + rest);
    return message_of([&] { io::load_safetensors(path()); });
  };
  EXPECT_TRUE(contains(with_length(3, "{}"), "truncated"));
  EXPECT_TRUE(contains(with_length(100'000'001, "{}"), "at most 100000000"));
  EXPECT_TRUE(contains(with_length(std::numeric_limits<uint64_t>::max(), "{}"), "at most"));
  EXPECT_TRUE(contains(with_length(2, "{}trailing"), "8 bytes after the last tensor"));
  EXPECT_EQ(with_length(2, "{}"), "nothing was thrown");
  io::write_file_atomically(path(), "1234567");
  EXPECT_TRUE(contains(message_of([&] { io::load_safetensors(path()); }), "7 bytes"));
  EXPECT_TRUE(contains(message_of([&] { io::load_safetensors(path("none")); }),
                       "none: No such file or directory"));
  EXPECT_TRUE(contains(message_of([&] { io::load_safetensors(directory_.string()); }),
                       "not a regular file"));
}

// Whatever happens to the bytes, loading gives a dict or an Error.
TEST_F(Safetensors, SurvivesDamage) {
  io::save_safetensors(example(), path("whole"), {{"format", "pt"}});
  const std::string whole = read_file(path("whole"));
  Generator random(1);
  const auto pick = [&](size_t bound) {
    return static_cast<size_t>(random.integer(static_cast<int64_t>(bound)));
  };
  int refused = 0;
  for (int round = 0; round < 600; ++round) {
    std::string bytes = whole;
    if (round % 3 == 0) bytes.resize(pick(bytes.size()));
    if (round % 3 == 1) bytes.insert(pick(bytes.size()), 1 + pick(9), static_cast<char>(pick(256)));
    // Most of the damage goes to the header.
    const size_t reach = round % 2 == 0 ? 500 : bytes.size();
    for (size_t flips = pick(4); flips > 0 && !bytes.empty(); --flips) {
      bytes[pick(std::min(reach, bytes.size()))] = static_cast<char>(pick(256));
    }
    std::ofstream(path(), std::ios::binary) << bytes;
    try {
      for (const auto& [name, x] : io::load_safetensors(path())) {
        ASSERT_LE(x.numel(), 1000) << name;
      }
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 300);
}

TEST_F(Safetensors, RefusesDictsThatCannotBeWrittenAndLeavesNothing) {
  const Tensor x = ones({2});
  const auto save = [&](const std::string& name, const Tensor& value) {
    return message_of([&] { io::save_safetensors({{"good", x}, {name, value}}, path()); });
  };
  EXPECT_TRUE(contains(save("x", Tensor()), "'x' is undefined"));
  EXPECT_TRUE(contains(save("__metadata__", x), "name is '__metadata__'"));
  EXPECT_TRUE(contains(save("a\nb", x), "name is 'a?b'"));
  EXPECT_TRUE(contains(save("\xff", x), "UTF-8"));
  EXPECT_EQ(files(), 0u);
}

TEST_F(Safetensors, UnwritablePathsAreErrorsAndLeaveNothing) {
  const StateDict dict{{"x", ones({2})}};
  const auto save = [&](const std::string& where) {
    return message_of([&] { io::save_safetensors(dict, where); });
  };
  EXPECT_TRUE(contains(save(path("no/such/place")), "create the directory"));
  EXPECT_TRUE(contains(save(directory_.string()), "is a directory"));
  EXPECT_TRUE(contains(save(""), "want the name of a file"));
  EXPECT_TRUE(contains(save("/dev/null"), "not a regular file"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_EQ(files(), 0u);
  EXPECT_TRUE(contains(save("/proc/tern"), "cannot write /proc/tern"));
}

TEST_F(Safetensors, CheckWritableSaysTheSameAndChangesNothing) {
  io::write_file_atomically(path("a"), "old");
  io::check_writable(path("a"));
  io::check_writable(path("b"));
  EXPECT_EQ(read_file(path("a")), "old");
  EXPECT_EQ(files(), 1u);
  for (const std::string& bad : {path("no/such/place"), directory_.string(), std::string()}) {
    EXPECT_THROW(io::check_writable(bad), Error) << bad;
  }
}

TEST_F(Safetensors, ReplacesAFileWholeAndLeavesNoOther) {
  io::write_file_atomically(path("report.html"), "old");
  const std::string bytes("new\0bytes", 9);
  io::write_file_atomically(path("report.html"), bytes);
  EXPECT_EQ(read_file(path("report.html")), bytes);
  EXPECT_EQ(files(), 1u);
}

TEST_F(Safetensors, ASymbolicLinkStaysAndItsTargetIsWritten) {
  fs::create_directory(directory_ / "store");
  io::write_file_atomically(path("store/run7"), "old");
  fs::create_symlink("store/run7", path("latest"));
  fs::create_symlink("latest", path("newest"));
  io::write_file_atomically(path("newest"), "new");
  EXPECT_EQ(read_file(path("store/run7")), "new");
  EXPECT_EQ(fs::read_symlink(path("latest")), "store/run7");
  EXPECT_EQ(fs::read_symlink(path("newest")), "latest");
  fs::create_symlink("store/run8", path("next"));  // to a file that is not there yet
  io::write_file_atomically(path("next"), "first");
  EXPECT_EQ(read_file(path("store/run8")), "first");
  EXPECT_TRUE(fs::is_symlink(path("next")));
  fs::create_symlink("loop", path("loop"));
  EXPECT_THROW(io::write_file_atomically(path("loop"), "x"), Error);
  EXPECT_EQ(files(), 5u);
}

TEST_F(Safetensors, AnExistingFileKeepsItsMode) {
  io::write_file_atomically(path(), "old");
  for (const auto mode : {0600u, 0644u, 0640u}) {
    fs::permissions(path(), static_cast<fs::perms>(mode));
    io::save_safetensors({{"x", ones({2})}}, path());
    EXPECT_EQ(fs::status(path()).permissions(), static_cast<fs::perms>(mode));
  }
}

TEST_F(Safetensors, WhatAKilledWriterLeftIsRemovedByTheNext) {
  const auto write = [&](const std::string& name) { std::ofstream(path(name)) << "x"; };
  const std::string mine = std::to_string(getpid());
  // Names that this process would choose itself, as process 1 of a container does again and again.
  for (int i = 0; i < 300; ++i) write("a.safetensors.tmp-" + mine + "-" + std::to_string(i));
  write("a.safetensors.tmp-1-0");
  const std::vector<std::string> others{"a.safetensors.tmp-backup", "a.safetensors.tmp-1-",
                                        "a.safetensors.tmp-1-x", "b.safetensors.tmp-1-0"};
  for (const std::string& name : others) write(name);
  io::save_safetensors({{"x", ones({2})}}, path());
  EXPECT_EQ(io::load_safetensors(path()).at("x").numel(), 2);
  for (const std::string& name : others) EXPECT_TRUE(fs::exists(path(name))) << name;
  EXPECT_EQ(files(), 1 + others.size());
}

TEST_F(Safetensors, AWriterThatIsStillAtWorkIsLeftAlone) {
  // A child that is killed in the middle of a large file, after another save.
  int begun[2];
  ASSERT_EQ(pipe(begun), 0);
  const pid_t child = fork();
  if (child == 0) {
    rlimit limit{};  // the write stops there, and SIGXFSZ stops the process
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 4096;
    setrlimit(RLIMIT_FSIZE, &limit);
    static int ready = begun[1];
    std::signal(SIGXFSZ, [](int) {
      [[maybe_unused]] const auto said = ::write(ready, "x", 1);
      while (true) pause();
    });
    io::write_file_atomically(path(), std::string(100000, 'x'));
    _exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(begun[0], &byte, 1), 1);
  close(begun[0]), close(begun[1]);
  EXPECT_EQ(files(), 1u);
  io::write_file_atomically(path(), "new");
  EXPECT_EQ(files(), 2u);  // with that of the child
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(files(), 2u);
  io::write_file_atomically(path(), "newer");
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(read_file(path()), "newer");
}

// As on a full disk: the system refuses to write more.
TEST_F(Safetensors, AWriteThatFailsHalfwayLeavesTheOldFile) {
  io::write_file_atomically(path(), "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 10000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = message_of([&] {
    io::save_safetensors({{"x", zeros({100000})}}, path());
  });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(contains(message, "cannot write " + path())) << message;
  EXPECT_EQ(read_file(path()), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Safetensors, CheckpointsKeepEverything) {
  Generator generator(0xfedcba9876543210u, 5);
  generator.bits();
  io::save_checkpoint(path(), {.model = example(),
                               .optimizer = {{"state.0.step", ones({1})}},
                               .scheduler = {{"last_epoch", ones({1})}},
                               .loader = {{"batch", ones({1})}},
                               .extra = {{"losses", ones({3})}},
                               .random = generator.state(),
                               .epoch = 3});
  const io::Checkpoint loaded = io::load_checkpoint(path());
  EXPECT_EQ(loaded.model.names(), example().names());
  EXPECT_EQ(loaded.optimizer.names(), std::vector<std::string>{"state.0.step"});
  EXPECT_EQ(loaded.scheduler.names(), std::vector<std::string>{"last_epoch"});
  EXPECT_EQ(loaded.loader.names(), std::vector<std::string>{"batch"});
  EXPECT_EQ(loaded.extra.at("losses").numel(), 3);
  ASSERT_TRUE(loaded.random.has_value());
  EXPECT_EQ(*loaded.random, generator.state());
  EXPECT_EQ(loaded.epoch, 3);

  io::save_safetensors(example(), path());
  EXPECT_TRUE(contains(message_of([&] { io::load_checkpoint(path()); }), "is not a checkpoint"));
}

}  // namespace
