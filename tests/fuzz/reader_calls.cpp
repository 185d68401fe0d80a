// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "../support/damage.h"
#include "calls.h"

namespace tern::fuzz {

namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of the process, with files in every format that Tern reads.
class Files {
 public:
  Files() : directory_(fs::temp_directory_path() / ("tern-fuzz-" + std::to_string(getpid()))) {
    fs::create_directories(directory_);
    const StateDict dict{{"a", arange(6, DType::f32)}, {"b.weight", ones({2, 3}, DType::f64)}};
    io::save_safetensors(dict, path("some.safetensors"), {{"format", "pt"}});
    io::save_checkpoint(path("checkpoint.safetensors"),
                        {.model = dict, .random = Generator::State{1, 2, 3}, .epoch = 4});
    io::save_onnx(nn::Sequential(nn::Conv2d(1, 2, 3), nn::BatchNorm2d(2), nn::ReLU()),
                  {ones({2, 1, 5, 5})}, path("net.onnx"));
    const std::string magic("\0\0\x08\x03\0\0\0\2\0\0\0\3\0\0\0\4", 16);
    write("images.idx", magic + std::string(24, '\7'));
    write("labels.idx", std::string("\0\0\x08\x01\0\0\0\2\0\1", 10));
    const gzFile compressed = gzopen(path("images.gz").c_str(), "wb");
    const std::string images = read(path("images.idx"));
    gzwrite(compressed, images.data(), static_cast<unsigned>(images.size()));
    gzclose(compressed);
    fs::create_directories(directory_ / "cifar");
    for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                             "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
      write(std::string("cifar/") + name, std::string(2 * 3073, '\3'));
    }
  }
  ~Files() {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  std::string path(const std::string& name) const { return directory_ / name; }
  void write(const std::string& name, const std::string& bytes) const {
    test::overwrite(path(name), bytes);
  }

  static const Files& instance() {
    static const Files files;
    return files;
  }

 private:
  fs::path directory_;
};

/// The path of a damaged copy of a file: one of ours, or of tests/fixtures/weights.
std::string damaged(Draw& d, const std::string& name) {
  const Files& files = Files::instance();
  const std::string own = files.path(name);
  const std::string whole =
      read(fs::exists(own) ? own : TERN_SOURCE_DIR "/tests/fixtures/weights/" + name);
  files.write("damaged", d.chance(0.05) ? whole : test::damaged(whole, d.generator()));
  return files.path("damaged");
}

std::vector<Tensor> tensors_of(const StateDict& dict) {
  std::vector<Tensor> tensors;
  for (const auto& [name, x] : dict) tensors.push_back(x);
  return tensors;
}

}  // namespace

Calls readers() {
  Calls calls("readers");
  calls.add("load_safetensors", [](Draw& d) {
    const std::string file = damaged(d, d.one_of({"some.safetensors", "dtypes.safetensors"}));
    io::LoadSafetensorsOptions options{.map = d.flag()};
    if (d.chance(0.2)) options.names = {d.text("a")};
    return tensors_of(io::load_safetensors(file, options));
  });
  calls.add("load_safetensors_metadata",
            [](Draw& d) { (void)io::load_safetensors_metadata(damaged(d, "some.safetensors")); });
  calls.add("load_checkpoint", [](Draw& d) {
    return tensors_of(io::load_checkpoint(damaged(d, "checkpoint.safetensors")).model);
  });
  calls.add("load_pytorch", [](Draw& d) {
    const char* name = d.one_of({"tied.pt", "strides.pt", "nested_legacy.pt", "dtypes.pt",
                                 "parameter_legacy.pt", "checkpoint.pt"});
    return tensors_of(io::load_pytorch(damaged(d, name), {.key = d.flag() ? "" : d.text("model")}));
  });
  calls.add("load_mindspore", [](Draw& d) {
    const char* name = d.one_of({"mindspore.ckpt", "mindspore_crc.ckpt", "mindspore_dtypes.ckpt"});
    return tensors_of(io::load_mindspore(damaged(d, name), {.optimizer_state = d.flag()}));
  });
  calls.add("load_npy", [](Draw& d) {
    return io::load_npy(damaged(d, d.one_of({"matrix.npy", "version2.npy", "version3.npy"})));
  });
  calls.add("load_npz", [](Draw& d) {
    return tensors_of(io::load_npz(damaged(d, d.one_of({"arrays.npz", "arrays_compressed.npz"}))));
  });
  calls.add("load_weights", [](Draw& d) {
    const char* name = d.one_of({"matrix.npy", "tied.pt", "mindspore.ckpt", "tied.safetensors",
                                 "arrays.npz", "nested_legacy.pt", "torchscript.pt"});
    return tensors_of(io::load_weights(damaged(d, name)));
  });
  calls.add("load_onnx",
            [](Draw& d) { return tensors_of(io::load_onnx(damaged(d, "net.onnx")).state_dict()); });
  calls.add("rename", [](Draw& d) {
    const StateDict dict{{"a.b", ones({1})}, {"a.c", ones({2})}};
    const StateDict other = io::rename(dict, {{d.text("^a\\.(.)"), d.text("\\1")}});
    return tensors_of(io::pick(dict, d.text("a.")));
  });
  calls.add("read_idx", [](Draw& d) { (void)data::read_idx(damaged(d, "images.idx")); });
  calls.add("read_gz", [](Draw& d) { (void)data::read_gz(damaged(d, "images.gz")); });
  calls.add("IdxImages", [](Draw& d) {
    const Files& files = Files::instance();
    const std::string bad = damaged(d, d.flag() ? "images.gz" : "labels.idx");
    const bool labels = d.flag();
    const data::IdxImages set({.images = labels ? files.path("images.gz") : bad,
                               .labels = labels ? bad : files.path("labels.idx"),
                               .num_classes = d.integer(1, 3),
                               .first_label = d.integer(0, 1)});
    return set.size() > 0 ? set.get(0).x : Tensor();
  });
  calls.add("CIFAR10", [](Draw& d) {
    const Files& files = Files::instance();
    files.write("cifar/test_batch.bin", test::damaged(std::string(2 * 3073, '\3'), d.generator()));
    return data::CIFAR10({.train = false, .root = files.path("cifar")}).get(0).x;
  });
  return calls;
}

}  // namespace tern::fuzz
