// SPDX-License-Identifier: Apache-2.0
// Every reader of weights against files cut off at every byte and files damaged at random: each
// gives tensors or an Error that names the file. TERN_MUTATIONS=1000000 tries more than a test has
// time for.
#include <tern/tern.h>

#include <cstdlib>
#include <fstream>

#include "damage.h"
#include "support.h"
#include "weight_files.h"

using namespace tern;
using tern::test::contains;
using tern::test::damaged;
using tern::test::LittleMemory;
using tern::test::overwrite;
using tern::test::read_file;
using tern::test::weight_file;

namespace {

int mutations() {
  const char* text = std::getenv("TERN_MUTATIONS");
#ifdef __SANITIZE_ADDRESS__
  constexpr int kDefault = 4000;
#else
  constexpr int kDefault = 20'000;
#endif
  return text ? std::atoi(text) : kDefault;
}

class HostileInput : public tern::test::WeightFiles {
 protected:
  using Load = StateDict (*)(const std::string&);

  /// Whether these bytes load; all elements of what does are read.
  bool loads(Load load, const std::string& bytes) {
    overwrite(file_, bytes);
    try {
      for (const auto& [name, x] : load(file_)) {
        volatile char sum = 0;
        const auto* elements = static_cast<const char*>(x.raw_data());
        const size_t size = static_cast<size_t>(x.numel()) * size_of(x.dtype());
        for (size_t i = 0; i < size; ++i) sum = static_cast<char>(sum + elements[i]);
      }
      return true;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_TRUE(contains(message, directory())) << message;
      EXPECT_LT(message.size(), 2000u) << message;
      EXPECT_FALSE(contains(message, "out of memory")) << message;
      return false;
    }
  }

  /// How many of all beginnings of a file load.
  int beginnings_that_load(Load load, const std::string& whole) {
    const LittleMemory little(size_t{2} << 30);
    EXPECT_TRUE(loads(load, whole));
    int count = 0;
    for (size_t size = 0; size < whole.size(); ++size) count += loads(load, whole.substr(0, size));
    return count;
  }

  size_t random(size_t bound) {
    return static_cast<size_t>(random_.integer(static_cast<int64_t>(bound)));
  }

  void survives(Load load, const std::string& whole) {
    const LittleMemory little(size_t{2} << 30);
    int loaded = 0;
    const int rounds = mutations();
    for (int i = 0; i < rounds; ++i) {
      const std::string bytes = damaged(whole, random_);
      loaded += loads(load, bytes);
      if (HasFailure()) {
        std::ofstream(::testing::TempDir() + "hostile_input", std::ios::binary) << bytes;
        FAIL() << "mutation " << i << ", kept as " << ::testing::TempDir() << "hostile_input";
      }
    }
    EXPECT_LT(loaded, rounds);
  }

  const std::string file_ = path("input");
  Generator random_{1};
};

StateDict from_pytorch(const std::string& file) { return io::load_pytorch(file); }
StateDict from_mindspore(const std::string& file) { return io::load_mindspore(file); }
StateDict from_safetensors(const std::string& file) { return io::load_safetensors(file); }
StateDict from_npy(const std::string& file) { return {{"x", io::load_npy(file)}}; }

TEST_F(HostileInput, ACutOffFileIsAnError) {
  EXPECT_EQ(beginnings_that_load(io::load_npz, read_file(weight_file("arrays_compressed.npz"))), 0);
  EXPECT_EQ(beginnings_that_load(from_npy, read_file(weight_file("matrix.npy"))), 0);
  EXPECT_EQ(beginnings_that_load(from_pytorch, read_file(weight_file("parameter.pt"))), 0);
  EXPECT_EQ(beginnings_that_load(from_pytorch, read_file(weight_file("tied_legacy.pt"))), 0);
  EXPECT_EQ(beginnings_that_load(from_safetensors, read_file(weight_file("tied.safetensors"))), 0);
  // A checkpoint of MindSpore has no end: it may be cut off between two of its ten tensors.
  EXPECT_EQ(beginnings_that_load(from_mindspore, read_file(weight_file("mindspore_crc.ckpt"))), 10);
  EXPECT_EQ(beginnings_that_load(io::load_weights, read_file(weight_file("tied.safetensors"))), 0);
}

TEST_F(HostileInput, DamagedNumpyFiles) {
  survives(io::load_npz, read_file(weight_file("arrays_compressed.npz")));
  survives(from_npy, read_file(weight_file("version2.npy")));
}

TEST_F(HostileInput, DamagedPytorchFiles) {
  survives(from_pytorch, read_file(weight_file("tied.pt")));
  survives(from_pytorch, read_file(weight_file("strides_legacy.pt")));
  survives(from_pytorch, read_file(weight_file("nested_legacy.pt")));
}

TEST_F(HostileInput, DamagedMindsporeFiles) {
  survives(from_mindspore, read_file(weight_file("mindspore.ckpt")));
  survives(from_mindspore, read_file(weight_file("mindspore_dtypes.ckpt")));
}

TEST_F(HostileInput, DamagedSafetensorsFilesAndIndices) {
  survives(from_safetensors, read_file(weight_file("tied.safetensors")));
  io::save_safetensors({{"a", ones({2})}, {"b", ones({3})}}, path("one.safetensors"));
  survives(from_safetensors, R"({"metadata": {"total_size": 20, "more": [1, null]},)"
                             R"( "weight_map": {"a": "one.safetensors", "b": "one.safetensors"}})");
}

TEST_F(HostileInput, TheFirstBytesChooseAReader) {
  for (const char* name : {"matrix.npy", "tied.pt", "mindspore.ckpt", "tied.safetensors"}) {
    const std::string whole = read_file(weight_file(name));
    for (int i = 0; i < 300; ++i) {
      std::string bytes = whole;
      bytes[random(16)] = static_cast<char>(random(256));
      loads(io::load_weights, bytes);
    }
  }
}

}  // namespace
