// SPDX-License-Identifier: Apache-2.0
// MindSpore's checkpoints, as protobuf's own encoder makes them (make_weight_fixtures.py).
#include <tern/tern.h>

#include "support.h"
#include "weight_files.h"

using namespace tern;
using tern::test::expect_error;
using tern::test::expect_same_tensors;
using tern::test::read_file;
using tern::test::weight_file;

namespace {

// Protobuf by hand: fields that have a length.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number * 8 + 2), static_cast<char>(bytes.size())} + bytes;
}
std::string tensor_proto(const std::string& dims, const std::string& type,
                         const std::string& content) {
  return dims + field(2, type) + field(3, content);
}
std::string value(const std::string& tag, const std::string& tensor) {
  return field(1, field(1, tag) + field(2, tensor));
}

class Mindspore : public tern::test::WeightFiles {
 protected:
  std::string make(const std::string& bytes) const {
    io::write_file_atomically(path("a.ckpt"), bytes);
    return path("a.ckpt");
  }
  void refuses(const std::string& bytes, const char* part) const {
    const std::string file = make(bytes);
    expect_error([&] { io::load_mindspore(file); }, {part, file.c_str(), "[load_mindspore]"});
  }
};

const std::string kTwo("\0\0\x80\x3f\0\0\0\x40", 8);

TEST_F(Mindspore, ReadsWeightsAndLeavesTheOptimizerOut) {
  const StateDict expected = io::load_safetensors(weight_file("mindspore.safetensors"));
  for (const char* name : {"mindspore.ckpt", "mindspore_crc.ckpt"}) {
    const StateDict dict = io::load_mindspore(weight_file(name));
    expect_same_tensors(dict, expected);
    expect_error([&] { dict.at("moments.layer.0.bn.gamma"); }, "{.optimizer_state = true}");
    expect_error([&] { dict.at("learning_rate"); }, "is the optimizer's");
    const StateDict all = io::load_mindspore(weight_file(name), {.optimizer_state = true});
    EXPECT_EQ(all.size(), 10u);
    EXPECT_EQ(all.at("learning_rate").item<float>(), 0.1f);
    EXPECT_EQ(all.at("epoch_num").item<int64_t>(), 3);
  }
}

TEST_F(Mindspore, ReadsEveryTypeScalarsAndSlices) {
  const StateDict dict = io::load_mindspore(weight_file("mindspore_dtypes.ckpt"));
  expect_same_tensors(dict, io::load_safetensors(weight_file("mindspore_dtypes.safetensors")));
  expect_error([&] { dict.at("x.text"); }, "has type 'str', want numbers");
}

TEST_F(Mindspore, LoadsIntoANetWithItsNames) {
  nn::Sequential net = tern::test::mindspore_net();
  EXPECT_TRUE(net.load_state_dict(io::load_mindspore(weight_file("mindspore.ckpt"))).ok());
  EXPECT_EQ(net.state_dict().at("layer.0.bn.running_var").to_vector<float>(),
            (std::vector<float>{1.5f, 2}));
}

TEST_F(Mindspore, DimsMayBePacked) {
  for (const std::string& dims :
       {std::string("\x08\x02\x08\x01"), field(1, std::string("\x02\x01"))}) {
    const Tensor x =
        io::load_mindspore(make(value("x", tensor_proto(dims, "Float32", kTwo)))).at("x");
    EXPECT_EQ(x.shape(), (Shape{2, 1}));
    EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{1, 2}));
  }
  const std::string named = value("x", tensor_proto("\x08\x02", "mindspore.float32", kTwo));
  EXPECT_EQ(io::load_mindspore(make(named)).at("x").numel(), 2);
}

TEST_F(Mindspore, RefusesWhatIsDamaged) {
  const std::string good = value("x", tensor_proto("\x08\x02", "Float32", kTwo));
  EXPECT_EQ(io::load_mindspore(make(good)).size(), 1u);
  refuses("", "there is nothing");
  refuses("\x12\x01x", "no checkpoint has");
  refuses("\x0b", "no field of a message");
  refuses("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a number has no end");
  refuses(good + "\x0a\x05x", "ends behind its message");
  refuses(good + good + value("y", tensor_proto("", "Float32", kTwo.substr(4))) + good,
          "'x' at byte");
  refuses(value("x", tensor_proto("\x08\x03", "Float32", kTwo)),
          "has 8 bytes, want those of Float32");
  refuses(value("x", tensor_proto("\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "Float32", kTwo)),
          "larger than any memory");
  refuses(field(1, field(1, "x")), "no tag or tensor");
  refuses(field(1, field(1, "x") + field(3, "")), "is a map parameter");
  refuses(value("a\nb", tensor_proto("\x08\x02", "Float32", kTwo)), "control characters");
  std::string wrong = read_file(weight_file("mindspore_crc.ckpt"));
  wrong[60] = static_cast<char>(wrong[60] ^ 1);
  refuses(wrong, "the checksum at byte");
}

TEST_F(Mindspore, TheSameNameTwiceIsDamage) {
  const std::string x = value("x", tensor_proto("\x08\x02", "Float32", kTwo));
  const std::string y = value("y", tensor_proto("\x08\x02", "Float32", kTwo));
  refuses(x + y + x, "occurs twice");
}

}  // namespace
