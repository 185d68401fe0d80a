// SPDX-License-Identifier: Apache-2.0
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;
using Flags = std::vector<bool>;

Tensor mask(const Flags& values) { return tensor(values, {static_cast<int64_t>(values.size())}); }

TEST(Logical, TruthTables) {
  const Tensor a = mask({false, false, true, true}), b = mask({false, true, false, true});
  EXPECT_EQ(logical_and(a, b).to_vector<bool>(), (Flags{false, false, false, true}));
  EXPECT_EQ(logical_or(a, b).to_vector<bool>(), (Flags{false, true, true, true}));
  EXPECT_EQ(logical_xor(a, b).to_vector<bool>(), (Flags{false, true, true, false}));
  EXPECT_EQ(logical_not(a).to_vector<bool>(), (Flags{true, true, false, false}));
  EXPECT_EQ((a & b).to_vector<bool>(), logical_and(a, b).to_vector<bool>());
  EXPECT_EQ((a | b).to_vector<bool>(), logical_or(a, b).to_vector<bool>());
  EXPECT_EQ((a ^ b).to_vector<bool>(), logical_xor(a, b).to_vector<bool>());
  EXPECT_EQ((!a).to_vector<bool>(), logical_not(a).to_vector<bool>());
  EXPECT_EQ((~a).to_vector<bool>(), logical_not(a).to_vector<bool>());
}

// What holds is what is not 0, of every dtype, also of two.
TEST(Logical, OfNumbers) {
  const Tensor x = tensor(std::vector<double>{0, -0.0, 0.5, NAN, -INFINITY}, {5});
  const Tensor u = tensor(std::vector<uint8_t>{2, 2, 1, 4, 0}, {5});
  for (const Tensor& v : {x, x.to(DType::f32)}) {
    EXPECT_EQ(logical_and(v, u).to_vector<bool>(), (Flags{false, false, true, true, false}));
    EXPECT_EQ(logical_or(u, v).to_vector<bool>(), (Flags{true, true, true, true, true}));
    EXPECT_EQ(logical_xor(v, u).to_vector<bool>(), (Flags{true, true, false, false, true}));
    EXPECT_EQ(logical_not(v).to_vector<bool>(), (Flags{true, true, false, false, false}));
  }
  EXPECT_EQ(logical_not(arange(-1, 2)).to_vector<bool>(), (Flags{false, true, false}));
  EXPECT_EQ((u & full({}, 1, DType::u8)).to_vector<bool>(), (Flags{true, true, true, true, false}))
      << "masks, not bits";
  EXPECT_EQ((~u).to_vector<bool>(), (Flags{false, false, false, false, true}));
}

TEST(Logical, ShapesFormatsAndErrors) {
  const Tensor column = mask({true, false}), row = mask({true, false, true});
  EXPECT_EQ((reshape(column, {2, 1}) & row).to_vector<bool>(),
            (Flags{true, false, true, false, false, false}));
  EXPECT_EQ((zeros({0, 3}, DType::boolean) | row).shape(), (Shape{0, 3}));
  const Tensor image = to_memory_format(gt(randn({2, 3, 4, 5}), 0), MemoryFormat::channels_last);
  EXPECT_EQ((image & !image).memory_format(), MemoryFormat::channels_last);
  EXPECT_FALSE(max(image & !image).item<bool>());
  EXPECT_FALSE(logical_not(ones({2}).set_requires_grad()).requires_grad());
  expect_error([&] { ones({2}) & column; }, {"[&]", "f32[2]", "logical_and"});
  expect_error([&] { column | arange(2); }, {"[|]", "i64[2]"});
  expect_error([&] { column ^ arange(2); }, {"[^]", "i64[2]"});
  expect_error([&] { !arange(2); }, {"[!]", "i64[2]"});
  expect_error([&] { ~arange(2); }, {"[~]", "i64[2]"});
  expect_error([&] { column& row; }, {"[2]", "[3]"});
}

}  // namespace
}  // namespace tern
