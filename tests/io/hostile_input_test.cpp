// SPDX-License-Identifier: Apache-2.0
// Every reader of weights against files cut off at every byte and files damaged at random: each
// gives tensors or an Error that names the file. TERN_MUTATIONS=1000000 tries more than a test has
// time for.
#include <fcntl.h>
#include <sys/resource.h>
#include <tern/tern.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "support.h"
#include "weight_files.h"

using namespace tern;
using tern::test::contains;
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

/// At most 2 GB of addresses for as long as it lives. The address sanitizer takes more for itself.
class SmallMemory {
 public:
  SmallMemory() {
    getrlimit(RLIMIT_AS, &before_);
#ifndef __SANITIZE_ADDRESS__
    rlimit small = before_;
    small.rlim_cur = rlim_t{2} << 30;
    setrlimit(RLIMIT_AS, &small);
#endif
  }
  ~SmallMemory() { setrlimit(RLIMIT_AS, &before_); }
  SmallMemory(const SmallMemory&) = delete;
  SmallMemory& operator=(const SmallMemory&) = delete;

 private:
  rlimit before_{};
};

class HostileInput : public tern::test::WeightFiles {
 protected:
  using Load = StateDict (*)(const std::string&);

  /// Whether these bytes load; all elements of what does are read.
  bool loads(Load load, const std::string& bytes) {
    write(bytes);
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
    const SmallMemory small;
    EXPECT_TRUE(loads(load, whole));
    int count = 0;
    for (size_t size = 0; size < whole.size(); ++size) count += loads(load, whole.substr(0, size));
    return count;
  }

  // Overwrites the file: file systems flush one that is truncated to nothing and written again.
  void write(const std::string& bytes) const {
    const int file = open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const auto size = static_cast<ssize_t>(bytes.size());
    if (file < 0 || pwrite(file, bytes.data(), bytes.size(), 0) != size ||
        ftruncate(file, size) != 0 || close(file) != 0) {
      fail("test", "cannot write ", file_);
    }
  }

  size_t random(size_t bound) {
    return static_cast<size_t>(random_.integer(static_cast<int64_t>(bound)));
  }

  // Damage as it happens and as an attacker makes it: bits, numbers, and parts that come twice, are
  // missing or lie elsewhere.
  std::string mutate(std::string bytes) {
    constexpr uint64_t kNumbers[] = {0,
                                     1,
                                     2,
                                     127,
                                     128,
                                     255,
                                     256,
                                     0x7fff,
                                     0xffff,
                                     0x7fffffff,
                                     1u << 31,
                                     0xffffffff,
                                     0xfffffff0,
                                     uint64_t(1) << 62,
                                     uint64_t(1) << 63,
                                     ~uint64_t{0}};
    for (size_t count = 1 + random(3); count > 0 && !bytes.empty(); --count) {
      const size_t at = random(bytes.size());
      const size_t length = 1 + random(std::min<size_t>(bytes.size() - at, 64));
      switch (random(7)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random(8)));
          break;
        case 1:
          bytes[at] = static_cast<char>(random(256));
          break;
        case 2: {
          const uint64_t number =
              random(4) == 0 ? bytes.size() : kNumbers[random(std::size(kNumbers))];
          const size_t width = size_t{1} << random(4);
          std::memcpy(&bytes[at], &number, std::min(width, bytes.size() - at));
          break;
        }
        case 3:
          bytes.erase(at, length);
          break;
        case 4:
          bytes.insert(at, bytes.substr(at, length));
          break;
        case 5:
          bytes.insert(at, bytes.substr(random(bytes.size()), length));
          break;
        default:
          bytes.replace(at, length, bytes.substr(random(bytes.size()), length));
      }
    }
    return bytes;
  }

  void survives(Load load, const std::string& whole) {
    const SmallMemory small;
    int loaded = 0;
    const int rounds = mutations();
    for (int i = 0; i < rounds; ++i) {
      const std::string bytes = mutate(whole);
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
// become may not fit, and is an Error then.
StateDict from_onnx(const std::string& file) {
  static int count = 0;
  const io::OnnxNet net = io::load_onnx(file);
  if (++count % 16 != 0) return net.state_dict();
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
