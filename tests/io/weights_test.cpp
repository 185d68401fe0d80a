// SPDX-License-Identifier: Apache-2.0
// Weights of any format by their first bytes, models in several files, and other names.
#include <tern/tern.h>

#include <filesystem>

#include "support.h"
#include "weight_files.h"

using namespace tern;
using tern::test::expect_error;
using tern::test::expect_same_tensors;
using tern::test::message_of;
using tern::test::weight_file;

namespace {

class Weights : public tern::test::WeightFiles {
 protected:
  std::string write(const std::string& name, const std::string& bytes) const {
    io::write_file_atomically(path(name), bytes);
    return path(name);
  }
};

TEST_F(Weights, TheFirstBytesSayTheFormat) {
  const auto same = [](const char* file, const char* expected) {
    SCOPED_TRACE(file);
    expect_same_tensors(io::load_weights(weight_file(file)),
                        io::load_safetensors(weight_file(expected)));
  };
  same("state_dict.pt", "state_dict.safetensors");
  same("checkpoint_legacy.pt", "checkpoint.safetensors");
  same("arrays.npz", "arrays.safetensors");
  same("mindspore.ckpt", "mindspore.safetensors");
  same("tied.safetensors", "tied.safetensors");
  expect_same_tensors(io::load_weights(weight_file("matrix.npy")),
                      {{"matrix", reshape(arange(6, DType::f32), {2, 3})}});
  // Of a checkpoint the model.
  const StateDict model{{"w", ones({2})}};
  io::save_checkpoint(path("last.safetensors"), {.model = model, .epoch = 3});
  expect_same_tensors(io::load_weights(path("last.safetensors")), model);
}

TEST_F(Weights, OtherFormatsAreNamed) {
  const auto refuses = [&](const std::string& bytes, const char* part) {
    const std::string file = write("x", bytes);
    expect_error([&] { io::load_weights(file); }, {part, file.c_str(), "[load_weights]"});
  };
  refuses("\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?): docs/weights.md converts it");
  refuses("\x1f\x8b\x08", "compressed by gzip");
  refuses("\x08\x08\x12\x07pytorch", "an ONNX model");
  refuses("text", "begins as no format does");
  refuses("", "of 0 bytes begins as no format does");
  write_zip({{"config.json", "{}"}, {"model.weights.h5", ""}});
  expect_error([&] { io::load_weights(zip()); }, "is a model of Keras");
  write_zip({{"a", ""}});
  expect_error([&] { io::load_weights(zip()); }, "a zip archive without weights");
  expect_error([&] { io::load_weights(path("none")); }, "No such file");
}

TEST_F(Weights, AnIndexJoinsSeveralFiles) {
  const StateDict first{{"a", randn({2})}, {"c", randn({3})}}, second{{"b", randn({4})}};
  io::save_safetensors(first, path("model-00001-of-00002.safetensors"));
  io::save_safetensors(second, path("model-00002-of-00002.safetensors"));
  const std::string index = write(
      "model.safetensors.index.json",
      R"({"metadata": {"total_size": 36, "x": [{}]}, "weight_map": {"a": "model-00001-of-00002.safetensors",)"
      R"( "b": "model-00002-of-00002.safetensors", "c": "model-00001-of-00002.safetensors"}})");
  StateDict all = first;
  all.insert("b", second.at("b"));
  expect_same_tensors(io::load_safetensors(index), all);
  expect_same_tensors(io::load_weights(index), all);
  // Of one tensor, only its file.
  std::filesystem::remove(path("model-00001-of-00002.safetensors"));
  expect_same_tensors(io::load_safetensors(index, {.names = {"b"}}), second);
  expect_error([&] { io::load_safetensors(index); },
               "model-00001-of-00002.safetensors: No such file");
  expect_error([&] { io::load_safetensors(index, {.names = {"d"}}); },
               "index.json has no tensor called 'd'");
}

TEST_F(Weights, AnIndexCannotLeadElsewhere) {
  io::save_safetensors({{"a", ones({2})}}, path("one.safetensors"));
  const auto refuses = [&](const std::string& json, const char* part) {
    const std::string file = write("index.json", json);
    expect_error([&] { io::load_safetensors(file); }, {part, file.c_str()});
  };
  for (const char* file :
       {"../one.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\u0000b"}) {
    refuses(R"({"weight_map": {"a": ")" + std::string(file) + "\"}}",
            "want the name of a file beside");
  }
  refuses(R"({"weight_map": {"a": 1}})", "no name of a file at 'a'");
  refuses(R"({"weight_map": {"a": ["one.safetensors"]}})", "no name of a file at 'a'");
  refuses(R"({"weight_map": ["one.safetensors"]})", "no name of a file");
  refuses(R"({"weights": {}})", "it has no weight_map");
  refuses(R"({"weight_map": {)", "not valid JSON");
  refuses(R"({"weight_map": {"b": "one.safetensors"}})", "has no such tensor");
  refuses("{\"metadata\": " + std::string(100'000, '['), "not valid JSON");
}

TEST_F(Weights, TensorsAreReadByName) {
  const StateDict dict{{"a", randn({2})}, {"b", randn({1 << 19})}, {"c", randn({3})}};
  io::save_safetensors(dict, path("x"));
  const int64_t before = counters().bytes_in_use;
  const StateDict some = io::load_safetensors(path("x"), {.map = false, .names = {"c", "a"}});
  EXPECT_LT(counters().bytes_in_use - before, 1 << 20);
  expect_same_tensors(some, {{"a", dict.at("a")}, {"c", dict.at("c")}});
  expect_error([&] { io::load_safetensors(path("x"), {.names = {"aa"}}); },
               "x has no tensor called 'aa'");
}

TEST_F(Weights, NamesAreReplacedByPatterns) {
  const Tensor x = ones({1}), y = zeros({1}), z = ones({2});
  const StateDict dict{{"module.bn.gamma", x}, {"module.bn.beta", y}, {"head.module.0", z}};
  EXPECT_EQ(
      io::rename(dict, {{"^module\\.", ""}, {"gamma$", "weight"}, {"\\.beta$", ".bias"}}).names(),
      (std::vector<std::string>{"bn.weight", "bn.bias", "head.module.0"}));
  EXPECT_EQ(io::rename(dict, {{"([a-z]+)\\.([a-z0]+)$", "\\2.\\1"}}).names(),
            (std::vector<std::string>{"module.gamma.bn", "module.beta.bn", "head.0.module"}));
  EXPECT_EQ(io::rename({{"aXbX", x}}, {{"X", "\\\\-"}}).names(),
            std::vector<std::string>{"a\\-b\\-"});
  EXPECT_EQ(io::rename({{"ab", x}}, {{"x*", "-"}}).names(), std::vector<std::string>{"-a-b-"});
  EXPECT_TRUE(io::rename(dict, {})["module.bn.beta"].is_same(y));
  expect_error(
      [&] {
        io::rename(dict, {{"(", ""}});
      },
      "'(', want a POSIX extended regular expression");
  expect_error(
      [&] {
        io::rename(dict, {{"gamma|beta", "x"}});
      },
      "two tensors would be called module.bn.x, the second of them module.bn.beta");
}

TEST_F(Weights, APrefixPicksAPart) {
  StateDict dict{
      {"backbone.conv.weight", ones({1})}, {"backbone.fc.weight", ones({2})}, {"head", ones({3})}};
  dict.refuse("backbone.q", "quantized");
  const StateDict part = io::pick(dict, "backbone.");
  EXPECT_EQ(part.names(), (std::vector<std::string>{"conv.weight", "fc.weight"}));
  expect_error([&] { part.at("q"); }, "quantized");
  expect_error([&] { io::rename(dict, {{"^backbone", "b"}}).at("b.q"); }, "quantized");
  expect_error([&] { io::pick(dict, "neck."); },
               "begins with neck., the first is backbone.conv.weight");
}

}  // namespace
