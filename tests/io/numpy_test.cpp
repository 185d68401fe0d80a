// SPDX-License-Identifier: Apache-2.0
// .npy and .npz, which are zip archives, against what NumPy wrote (make_weight_fixtures.py).
#include <tern/tern.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "support.h"
#include "weight_files.h"

using namespace tern;
using tern::test::expect_error;
using tern::test::expect_same_tensors;
using tern::test::read_file;
using tern::test::weight_file;

namespace {

class Numpy : public tern::test::WeightFiles {};

TEST_F(Numpy, ReadsEveryTypeOrderAndByteOrder) {
  const StateDict expected = io::load_safetensors(weight_file("arrays.safetensors"));
  expect_same_tensors(io::load_npz(weight_file("arrays.npz")), expected);
  expect_same_tensors(io::load_npz(weight_file("arrays_compressed.npz")), expected);
}

TEST_F(Numpy, ReadsTheThreeVersions) {
  const Tensor matrix = reshape(arange(6, DType::f32), {2, 3});
  for (const char* name : {"matrix.npy", "version2.npy", "version3.npy"}) {
    expect_same_tensors({{"x", io::load_npy(weight_file(name))}}, {{"x", matrix}});
  }
}

TEST_F(Numpy, TheHeadersSpellingIsFree) {
  for (const char* dict :
       {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n",
        "{\"shape\":(2,),\"descr\":\"<f4\",\"fortran_order\":False}",
        "  { 'fortran_order' :False , 'shape' : ( 2L , ) , 'descr' : '=f4' }   \n"}) {
    const Tensor x = io::load_npy(npy(dict, std::string("\0\0\x80\x3f\0\0\0\x40", 8)));
    EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 2})) << dict;
  }
}

TEST_F(Numpy, RefusesHeadersThatLie) {
  const std::vector<std::pair<std::string, const char*>> lies = {
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
       "8 bytes after the header, want 12"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
       "save several arrays with numpy.savez"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
       "memory can hold"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, "
       "4611686018427387904)}",
       "memory can hold"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "64 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "a number"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2}", "',' or ')'"},
      {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", "True or False"},
      {"{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", "each key once"},
      {"{'descr': '<f4', 'shape': (2,)}", "the keys descr"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "'shape'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "its end"},
      {"{'descr': '<f4", "the end of a string"},
      {"{'descr': [('a', '<f4'", "the end of a list"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "a structured type"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "objects in a pickle"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "real numbers"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}", "9 axes"},
      {"(", "'{'"},
      {"", "'{'"},
  };
  for (const auto& [dict, part] : lies) {
    const std::string file = npy(dict, "12345678");
    expect_error([&] { io::load_npy(file); }, {part, file.c_str()});
  }
  const std::string file = path("b.npy");
  io::write_file_atomically(file, std::string("\x93NUMPY\x04\x00\x02\x00{}", 12));
  expect_error([&] { io::load_npy(file); }, "version of the format is 4");
  io::write_file_atomically(file, std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14));
  expect_error([&] { io::load_npy(file); }, "length of the header is 4294967295");
  io::write_file_atomically(file, "text");
  expect_error([&] { io::load_npy(file); }, "does not begin with");
}

TEST_F(Numpy, WhatIsNoTensorCostsOnlyItself) {
  const StateDict dict = io::load_npz(weight_file("refused.npz"));
  EXPECT_EQ(dict.names(), std::vector<std::string>{"good"});
  for (const auto& [name, part] :
       std::vector<std::pair<std::string, const char*>>{{"objects", "objects in a pickle"},
                                                        {"text", "has type '<U2', want numbers"},
                                                        {"complex", "save x.real and x.imag"},
                                                        {"structured", "a structured type"},
                                                        {"void", "bfloat16?"},
                                                        {"large", "above 2^63 - 1"},
                                                        {"axes", "has 9 axes"}}) {
    expect_error([&dict, &refused = name] { dict.at(refused); },
                 {part, "refused.npz", name.c_str()});
  }
}

TEST_F(Numpy, WritesWhatItReads) {
  const StateDict dict{{"conv.weight", randn({2, 3, 4, 5})},
                       {"größe/x", randn({3}, DType::f64)},
                       {"count", tensor({1, -2}, {2, 1})},
                       {"mask", tensor(std::vector<bool>{true, false}, {2})},
                       {"bytes", tensor(std::vector<uint8_t>{0, 255}, {2})},
                       {"scalar", full({}, 7)},
                       {"empty", zeros({0, 4})}};
  io::save_npz(dict, path("a.npz"));
  expect_same_tensors(io::load_npz(path("a.npz")), dict);
  io::save_npz(dict, path("b.npz"));
  EXPECT_EQ(read_file(path("a.npz")), read_file(path("b.npz")));
  for (const auto& [name, x] : dict) {
    io::save_npy(x, path("x.npy"));
    EXPECT_EQ(read_file(path("x.npy")).size() % 64,
              static_cast<size_t>(x.numel()) * size_of(x.dtype()) % 64);
    expect_same_tensors({{"x", io::load_npy(path("x.npy"))}}, {{"x", x}});
  }
  // The bytes that NumPy writes.
  io::save_npy(reshape(arange(6, DType::f32), {2, 3}), path("x.npy"));
  EXPECT_EQ(read_file(path("x.npy")), read_file(weight_file("matrix.npy")));
  // Row-major, whatever the memory format.
  const Tensor& image = dict.at("conv.weight");
  io::save_npz({{"conv.weight", to_memory_format(image, MemoryFormat::channels_last)}},
               path("c.npz"));
  EXPECT_EQ(io::load_npz(path("c.npz")).at("conv.weight").to_vector<float>(),
            image.to_vector<float>());
}

TEST_F(Numpy, RefusesWhatCannotBeWrittenAndLeavesNothing) {
  expect_error([&] { io::save_npz({{"x", Tensor()}}, path("a.npz")); }, "'x' is undefined");
  expect_error([&] { io::save_npz({{"a\nb", ones({1})}}, path("a.npz")); }, "name is 'a?b'");
  expect_error([&] { io::save_npy(Tensor(), path("a.npy")); }, "'x' is undefined");
  expect_error([&] { io::save_npy(ones({1}), path("no/such/place")); }, "create the directory");
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

TEST_F(Numpy, ArchivesOfOthersAreNamed) {
  write_zip({{"a.txt", "text"}, {"b.npy", read_file(weight_file("matrix.npy"))}});
  const StateDict dict = io::load_npz(zip());
  EXPECT_EQ(dict.names(), std::vector<std::string>{"b"});
  expect_error([&] { dict.at("a.txt"); }, "is not an array");
  write_zip({{"model.weights.h5", ""}});
  expect_error([&] { io::load_npz(zip()); }, "is Keras's");
  write_zip({{"archive/data.pkl", ""}});
  expect_error([&] { io::load_npz(zip()); }, "load it with load_pytorch");
}

TEST_F(Numpy, RefusesArchivesThatLie) {
  const std::string array = read_file(weight_file("matrix.npy"));
  write_zip({{"a.npy", array}, {"b.npy", array}});
  const std::string whole = read_file(zip());
  // Writes `value` at `offset` of the part that begins with `signature`, the `which`th.
  const auto change = [&](const char* signature, size_t which, size_t offset, auto value) {
    std::string bytes = whole;
    size_t at = bytes.find(signature);
    for (; which > 0; --which) at = bytes.find(signature, at + 1);
    std::memcpy(&bytes[at + offset], &value, sizeof value);
    io::write_file_atomically(zip(), bytes);
  };
  const auto refuses = [&](const char* part) {
    expect_error([&] { io::load_npz(zip()); }, {part, zip().c_str()});
  };
  const char *central = "PK\1\2", *local = "PK\3\4", *end = "PK\5\6";
  change(central, 0, 8, uint16_t{1});
  refuses("is encrypted");
  change(central, 0, 10, uint16_t{12});
  refuses("compressed by method 12");
  change(central, 0, 10, uint16_t{8});
  refuses("cannot be inflated");
  change(central, 0, 16, uint32_t{1});
  refuses("checksum");
  change(central, 0, 20, uint32_t{1});
  refuses("claims 152 bytes in 1");
  change(central, 0, 24, uint32_t{0xfffffff0});
  refuses("claims 4294967280 bytes");
  change(central, 0, 42, uint32_t{0xfffffff0});
  refuses("behind the data");
  change(central, 0, 42, uint32_t{1});
  refuses("is not at byte 1");
  change(central, 0, 28, uint16_t{0xffff});
  refuses("is cut off");
  change(local, 0, 28, uint16_t{0xffff});
  refuses("more than there are");
  change(end, 0, 4, uint16_t{1});
  refuses("in several parts");
  change(end, 0, 10, uint16_t{3});
  refuses("has 2 entries, want 3");
  change(end, 0, 16, uint32_t{0x7fffffff});
  refuses("want it before");
  change(central, 1, 46, 'a');
  refuses("is not at byte");  // the local header says b.npy
  std::string twice = whole;
  for (size_t at = 0; (at = twice.find("b.npy", at)) != std::string::npos;) twice[at] = 'a';
  io::write_file_atomically(zip(), twice);
  refuses("two entries called 'a.npy'");
  // Two entries of the same bytes, as bombs have them.
  std::string overlapping = whole;
  const size_t first = overlapping.find(central), second = overlapping.find(central, first + 1);
  overlapping[overlapping.find("b.npy")] = 'a';
  std::memcpy(&overlapping[second + 42], &overlapping[first + 42], 4);
  overlapping[second + 46] = 'a';
  io::write_file_atomically(zip(), overlapping);
  refuses("overlap");
  io::write_file_atomically(zip(), "PK\3\4 nothing else");
  refuses("without its directory");
}

// Deflate makes 1000 bytes of one; what claims more is not unpacked.
TEST_F(Numpy, ABombIsRefusedBeforeItGoesOff) {
  const std::string bytes = read_file(weight_file("arrays_compressed.npz"));
  const size_t at = bytes.find("PK\1\2");
  for (const uint32_t claim : {uint32_t{100}, uint32_t{1} << 16, uint32_t{0xfffffffe}}) {
    std::string lie = bytes;
    std::memcpy(&lie[at + 24], &claim, sizeof claim);
    io::write_file_atomically(zip(), lie);
    expect_error([&] { io::load_npz(zip()); },
                 claim == 0xfffffffe ? "claims" : "cannot be inflated");
  }
}

// An entry behind 5 GB of nothing, which takes no room on the disk.
TEST_F(Numpy, ReadsZip64) {
  const std::string array = read_file(weight_file("matrix.npy"));
  write_zip({{"a.npy", array}});
  const std::string whole = read_file(zip());
  const size_t directory = whole.find("PK\1\2"), end = whole.find("PK\5\6");
  constexpr uint64_t kHole = uint64_t{5} << 30;
  std::string entry = whole.substr(directory, end - directory);
  const auto put = [](std::string& bytes, size_t at, auto value) {
    std::memcpy(&bytes[at], &value, sizeof value);
  };
  put(entry, 30, uint16_t{12});          // bytes of the extra field
  put(entry, 42, uint32_t{0xffffffff});  // the position is there
  std::string extra(12, '\0');
  put(extra, 0, uint16_t{1});
  put(extra, 2, uint16_t{8});
  put(extra, 4, kHole);
  entry += extra;
  std::string record(56 + 20, '\0');
  record.replace(0, 4, "PK\6\6");
  put(record, 32, uint64_t{1});
  put(record, 40, uint64_t{entry.size()});
  put(record, 48, kHole + directory);
  record.replace(56, 4, "PK\6\7");
  put(record, 64, kHole + directory + entry.size());
  std::string last = whole.substr(end);
  put(last, 16, uint32_t{0xffffffff});
  std::ofstream file(zip(), std::ios::binary);
  file.seekp(static_cast<std::streamoff>(kHole));
  file << whole.substr(0, directory) << entry << record << last;
  file.close();
  EXPECT_EQ(std::filesystem::file_size(zip()), kHole + directory + entry.size() + 76 + 22);
  EXPECT_EQ(io::load_npz(zip()).at("a").to_vector<float>(),
            arange(6, DType::f32).to_vector<float>());
}

}  // namespace
