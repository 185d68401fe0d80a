// SPDX-License-Identifier: Apache-2.0
// Models put together by hand: every form that files have, and what no file may have.
#include <tern/io/internal/onnx_model.h>
#include <tern/io/internal/protobuf.h>
#include <tern/tern.h>

#include <filesystem>

#include "support.h"

namespace {

using namespace tern;
using io::OnnxType;
using io::ProtoMessage;
using tern::test::expect_error;
namespace fs = std::filesystem;

using Fields = std::function<void(ProtoMessage&)>;
std::string message(const Fields& fields) {
  ProtoMessage one;
  fields(one);
  return one.str();
}

std::string value(const std::string& name) {  // f32[2]
  const std::string dim = message([](ProtoMessage& m) { m.number(1, 2); });
  const std::string shape = message([&](ProtoMessage& m) { m.bytes(1, dim); });
  const std::string tensor = message([&](ProtoMessage& m) {
    m.number(1, 1);
    m.bytes(2, shape);
  });
  const std::string type = message([&](ProtoMessage& m) { m.bytes(1, tensor); });
  return message([&](ProtoMessage& m) {
    m.bytes(1, name);
    m.bytes(2, type);
  });
}

std::string node(const std::string& op, const std::vector<std::string>& inputs,
                 const std::string& output) {
  return message([&](ProtoMessage& m) {
    for (const std::string& input : inputs) m.bytes(1, input);
    m.bytes(2, output);
    m.bytes(3, "the " + op);
    m.bytes(4, op);
  });
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// y = x + w, with w as the fields say.
class OnnxRead : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  std::string graph(
      const std::string& tensor, const Fields& more = [](ProtoMessage&) {}) {
    return message([&](ProtoMessage& m) {
      m.bytes(1, node("Add", {"x", "w"}, "y"));
      m.bytes(2, "graph");
      if (!tensor.empty()) m.bytes(5, tensor);
      m.bytes(11, value("x"));
      m.bytes(12, value("y"));
      more(m);
    });
  }
  std::string write(const std::string& graph, int64_t opset = 17) {
    io::write_file_atomically(path(), message([&](ProtoMessage& m) {
                                m.number(1, 8);
                                m.bytes(2, "somebody");
                                m.bytes(7, graph);
                                m.bytes(8, message([&](ProtoMessage& o) {
                                          o.bytes(1, "");
                                          o.number(2, opset);
                                        }));
                                m.number(1000, 5);  // of a newer version
                              }));
    return path();
  }
  std::vector<float> sum(const std::string& tensor) {
    const io::OnnxNet net = io::load_onnx(write(graph(tensor)));
    const NoGrad no_grad;
    return net(tensor_of({1, 2})).to_vector<float>();
  }
  void expect_refused(const std::string& tensor, std::initializer_list<const char*> parts) {
    const std::string file = write(graph(tensor));
    expect_error([&] { (void)io::load_onnx(file); }, parts);
    expect_error([&] { (void)io::load_onnx(file); }, file.c_str());
  }
  static Tensor tensor_of(const std::vector<float>& values) { return tensor(values); }
  std::string path() const { return (folder_ / "model.onnx").string(); }

  const fs::path folder_ = fs::path(::testing::TempDir()) / "onnx_read";
};

/// An initializer w of this type, sizes and whatever else.
std::string weight(OnnxType type, const Fields& elements, std::vector<int64_t> sizes = {2}) {
  return message([&](ProtoMessage& m) {
    for (const int64_t size : sizes) m.number(1, size);
    m.number(2, static_cast<int64_t>(type));
    m.bytes(8, "w");
    elements(m);
  });
}

TEST_F(OnnxRead, EveryFormOfElements) {
  const std::vector<float> wanted{11, 22};
  EXPECT_EQ(sum(weight(OnnxType::f32, [](auto& m) { m.bytes(9, floats({10, 20})); })), wanted);
  EXPECT_EQ(sum(weight(OnnxType::f32, [](auto& m) { m.bytes(4, floats({10, 20})); })), wanted);
  EXPECT_EQ(sum(weight(OnnxType::f32,
                       [](auto& m) {
                         m.real(4, 10);
                         m.real(4, 20);
                       })),
            wanted);
  EXPECT_EQ(sum(weight(OnnxType::f16,  // bits of 10 and 20, not packed
                       [](auto& m) {
                         m.number(5, 0x4900);
                         m.number(5, 0x4d00);
                       })),
            wanted);
  const auto numbers = [&](OnnxType type, int field) {
    write(message([&](ProtoMessage& m) {
      m.bytes(1, node("Identity", {"w"}, "y"));
      m.bytes(2, "graph");
      m.bytes(5, weight(type, [&](auto& w) {
                for (const int64_t number : {3, -4}) w.number(field, number);
              }));
      m.bytes(12, value("y"));
    }));
    return io::load_onnx(path()).run({})[0].to_vector<int64_t>();
  };
  EXPECT_EQ(numbers(OnnxType::i64, 7), (std::vector<int64_t>{3, -4}));
  EXPECT_EQ(numbers(OnnxType::i32, 5), (std::vector<int64_t>{3, -4}));
  EXPECT_EQ(numbers(OnnxType::i8, 5), (std::vector<int64_t>{3, -4}));
  EXPECT_EQ(numbers(OnnxType::u16, 5), (std::vector<int64_t>{3, 65532}));
}

TEST_F(OnnxRead, InitializersAmongTheInputs) {
  const std::string w = weight(OnnxType::f32, [](auto& m) { m.bytes(9, floats({10, 20})); });
  const io::OnnxNet net =
      io::load_onnx(write(graph(w, [](ProtoMessage& m) { m.bytes(11, value("w")); }), 6));
  EXPECT_EQ(net.input_names(), std::vector<std::string>{"x"});
}

TEST_F(OnnxRead, TensorsThatAreNot) {
  const auto raw = [](size_t bytes) {
    return [bytes](ProtoMessage& m) { m.bytes(9, std::string(bytes, '\0')); };
  };
  expect_refused(weight(OnnxType::f32, raw(7)), {"'w' has 7 bytes, want those of FLOAT[2]"});
  expect_refused(weight(OnnxType::f32, raw(8), {2, 1'000'000'000'000}), {"has 8 bytes"});
  expect_refused(weight(OnnxType::f32, raw(8), {int64_t{1} << 40, int64_t{1} << 40}),
                 {"more axes or elements than can be"});
  expect_refused(weight(OnnxType::f32, raw(8), {-2}), {"more axes or elements than can be"});
  expect_refused(weight(OnnxType::f32, raw(8), std::vector<int64_t>(9, 1)),
                 {"more axes or elements than can be"});
  expect_refused(weight(OnnxType::text, raw(8)), {"has type STRING, want numbers"});
  expect_refused(weight(static_cast<OnnxType>(99), raw(8)), {"has type 99"});
}

TEST_F(OnnxRead, NamesThatDoNotFit) {
  const std::string w = weight(OnnxType::f32, [](auto& m) { m.bytes(9, floats({10, 20})); });
  expect_refused("", {"'w', an input of Add node 'the Add', is not defined before it"});
  const auto with = [&](const Fields& more) { return write(graph(w, more)); };
  expect_error([&] { (void)io::load_onnx(with([&](ProtoMessage& m) { m.bytes(5, w); })); },
               {"'w' of the initializers is defined twice"});
  expect_error(
      [&] {
        (void)io::load_onnx(with([](ProtoMessage& m) { m.bytes(1, node("Relu", {"x"}, "y")); }));
      },
      {"'y' of Relu node 'the Relu' is defined twice"});
  expect_error([&] { (void)io::load_onnx(with([](ProtoMessage& m) { m.bytes(12, value("z")); })); },
               {"the output 'z' is not defined"});
  const std::string null("a\0b", 3);
  expect_error(
      [&] { (void)io::load_onnx(with([&](ProtoMessage& m) { m.bytes(11, value(null)); })); },
      {"of the inputs is defined twice, or no name"});
}

TEST_F(OnnxRead, OperatorsThatAreNotThere) {
  const std::string file = write(message([](ProtoMessage& m) {
    m.bytes(1, node("Frobnicate", {"x"}, "a"));
    m.bytes(1, node("Frobnicate", {"a"}, "b"));
    m.bytes(1, node("Loop", {"b"}, "y"));
    m.bytes(2, "graph");
    m.bytes(11, value("x"));
    m.bytes(12, value("y"));
  }));
  expect_error(
      [&] { (void)io::load_onnx(file); },
      {"has operators that Tern does not have",
       "\n  Frobnicate, 2 times, first Frobnicate node 'the Frobnicate'", "\n  Loop, 1 times"});
  const std::string w = weight(OnnxType::f32, [](auto& m) { m.bytes(9, floats({10, 20})); });
  expect_error([&] { (void)io::load_onnx(write(graph(w), 99)); }, {"has opset 99, want 1 to 22"});
}

TEST_F(OnnxRead, ExternalData) {
  const auto external = [](const std::string& location, const char* offset, const char* length) {
    return weight(OnnxType::f32, [=](ProtoMessage& m) {
      for (const auto& [key, text] : {std::pair<std::string, std::string>{"location", location},
                                      {"offset", offset},
                                      {"length", length}}) {
        m.bytes(13, message([&name = key, &value = text](ProtoMessage& entry) {
                  entry.bytes(1, name);
                  entry.bytes(2, value);
                }));
      }
      m.number(14, 1);
    });
  };
  io::write_file_atomically((folder_ / "weights.bin").string(), floats({0, 10, 20}));
  EXPECT_EQ(sum(external("weights.bin", "4", "8")), (std::vector<float>{11, 22}));
  expect_refused(external("weights.bin", "8", "8"), {"'w' ends behind the external data"});
  expect_refused(external("weights.bin", "4", "4"), {"'w' has 4 bytes"});
  expect_refused(external("weights.bin", "x", "8"), {"a place in external data is 'x'"});
  expect_refused(external("none.bin", "0", "8"), {"the external data 'none.bin' is not there"});
  expect_refused(external("../onnx_read/weights.bin", "0", "8"), {"want a file beside the model"});
  expect_refused(external("/etc/passwd", "0", "8"), {"want a file beside the model"});
  const fs::path outside = fs::path(::testing::TempDir()) / "outside.bin";
  io::write_file_atomically(outside.string(), floats({0, 10, 20}));
  fs::create_symlink(outside, folder_ / "link.bin");
  expect_refused(external("link.bin", "0", "8"), {"a link out of the model's folder"});
}

}  // namespace
