// SPDX-License-Identifier: Apache-2.0
// Files of ours in the eyes of ONNX's own checker and shape inference.
#include <onnx/checker.h>
#include <onnx/shape_inference/implementation.h>
#include <tern/tern.h>

#include "onnx_nets.h"
#include "operations.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::all_operations;
using tern::test::Operation;
using tern::test::OperationNet;

/// The file as the checker sees it, with the shapes that it infers; throws if it is not right.
onnx::ModelProto checked(const std::string& path) {
  onnx::ModelProto model;
  if (!model.ParseFromString(test::read_file(path))) throw std::runtime_error("no ModelProto");
  onnx::checker::check_model(model);
  onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                     onnx::ShapeInferenceOptions(true, 1, true));
  return model;
}

void expect_right(const std::string& path) {
  try {
    (void)checked(path);
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

TEST(OnnxChecker, TakesEveryNet) {
  manual_seed(1);
  test::for_each_net([](const char* name, auto net, const Tensor& example, double) {
    SCOPED_TRACE(name);
    const std::string path = ::testing::TempDir() + "checked.onnx";
    for (const bool dynamic : {true, false}) {
      io::save_onnx(net, {example}, path, {.dynamic_batch = dynamic});
      expect_right(path);
    }
  });
}

TEST(OnnxChecker, TakesEveryOperation) {
  manual_seed(2);
  const std::string path = ::testing::TempDir() + "checked_operation.onnx";
  int count = 0;
  for (const Operation& op : all_operations()) {
    SCOPED_TRACE(op.declared);
    const NoGrad no_grad;
    try {
      io::save_onnx(OperationNet(op), {rand({2})}, path, {.dynamic_batch = false});
    } catch (const Error&) {
      continue;  // onnx_operations_test says which and why
    }
    expect_right(path);
    ++count;
  }
  EXPECT_GT(count, 150);
}

TEST(OnnxChecker, ReadsBackTheSameBytes) {
  const std::string path = ::testing::TempDir() + "same.onnx";
  io::save_onnx(train_cnn::Cnn(), {rand({2, 1, 28, 28})}, path);
  const onnx::ModelProto model = checked(path);
  EXPECT_EQ(model.ir_version(), 8);
  EXPECT_EQ(model.opset_import(0).version(), 17);
  EXPECT_EQ(model.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "batch");
  onnx::ModelProto plain;
  ASSERT_TRUE(plain.ParseFromString(test::read_file(path)));
  EXPECT_EQ(plain.ByteSizeLong(), test::read_file(path).size()) << "nothing is lost or unusual";
}

}  // namespace
