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

// The weights of a model. Some of the models also compute their outputs: what shapes and nodes have
// become may not fit, and is an Error then. They may also ask for any amount of memory (a padding
// of a million pixels), which only a limit refuses, so not under the address sanitizer.
StateDict from_onnx(const std::string& file) {
  static int count = 0;
  const io::OnnxNet net = io::load_onnx(file);
#ifdef __SANITIZE_ADDRESS__
  constexpr bool kLimited = false;
#else
  constexpr bool kLimited = true;
#endif
  if (!kLimited || ++count % 16 != 0) return net.state_dict();
  try {
    const NoGrad no_grad;
    (void)net.run(std::vector<Tensor>(net.input_names().size(), zeros({2, 1, 6, 6})));
  } catch (const Error& error) {
    EXPECT_TRUE(contains(error.what(), "[OnnxNet]")) << error.what();
  }
  return net.state_dict();
}

std::string small_model() {
  const nn::Sequential net(nn::Conv2d(1, 2, 3, {.stride = 2, .padding = 1}), nn::BatchNorm2d(2),
                           nn::LeakyReLU(), nn::AvgPool2d(2, {.padding = 1, .ceil_mode = true}),
                           nn::Flatten(), nn::Linear(8, 2), nn::Softmax(1));
  const std::string file = ::testing::TempDir() + "small.onnx";
  io::save_onnx(net, {rand({2, 1, 6, 6})}, file);
  return read_file(file);
}

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

TEST_F(HostileInput, DamagedOnnxModels) {
  EXPECT_EQ(beginnings_that_load(from_onnx, small_model()), 0);
  survives(from_onnx, small_model());
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
