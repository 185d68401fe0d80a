// SPDX-License-Identifier: Apache-2.0
// What ONNX Runtime computes of Tern's files, beside Tern.
#include <onnxruntime_cxx_api.h>
#include <tern/tern.h>

#include "onnx_nets.h"
#include "operations.h"
#include "support.h"

namespace {

using namespace tern;
using tern::test::all_operations;
using tern::test::Operation;
using tern::test::OperationNet;

DType dtype_of(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return DType::f32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return DType::f64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return DType::i64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return DType::u8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return DType::boolean;
    default:
      fail("test", "the runtime gives type ", static_cast<int>(type));
  }
}

/// A file in ONNX Runtime.
class Runtime {
 public:
  explicit Runtime(const std::string& path) : session_(environment(), path.c_str(), options()) {}

  Tensor operator()(const Tensor& x) {
    const Tensor plain = contiguous(x);
    const std::vector<int64_t> sizes(plain.shape().begin(), plain.shape().end());
    const auto type = plain.dtype() == DType::i64 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
                                                  : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Ort::Value input = Ort::Value::CreateTensor(
        memory, plain.raw_data(), static_cast<size_t>(plain.numel()) * size_of(plain.dtype()),
        sizes.data(), sizes.size(), type);
    const char *in = "x", *out = "y";
    std::vector<Ort::Value> outputs = session_.Run(Ort::RunOptions(), &in, &input, 1, &out, 1);
    const auto info = outputs[0].GetTensorTypeAndShapeInfo();
    const Tensor y = empty(Shape(info.GetShape()), dtype_of(info.GetElementType()));
    std::memcpy(y.raw_data(), outputs[0].GetTensorRawData(),
                static_cast<size_t>(y.numel()) * size_of(y.dtype()));
    return y;
  }

 private:
  static const Ort::Env& environment() {
    static const Ort::Env instance(ORT_LOGGING_LEVEL_ERROR);
    return instance;
  }
  static Ort::SessionOptions options() {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    return options;
  }

  Ort::Session session_;
};

void expect_close(const Tensor& found, const Tensor& wanted) {
  EXPECT_EQ(found.dtype(), wanted.dtype());
  EXPECT_EQ(found.shape(), wanted.shape());
  EXPECT_LE(test::max_distance(found, wanted), 1e-5 * test::largest(wanted) + 1e-30);
}

TEST(OnnxRuntime, EveryNetAtEveryBatchSize) {
  manual_seed(1);
  const std::string path = ::testing::TempDir() + "runtime.onnx";
  test::for_each_net([&](const char* name, auto net, const Tensor& example, double) {
    SCOPED_TRACE(name);
    net.eval();
    test::randomize_statistics(net);
    io::save_onnx(net, {example}, path);
    Runtime runtime(path);
    const NoGrad no_grad;
    for (const int64_t batch : {1, 2, 7}) {
      std::vector<Tensor> rows;
      for (int64_t i = 0; i < batch; ++i) rows.push_back(narrow(example, 0, i % 2, 1));
      const Tensor x = cat(rows);
      expect_close(runtime(x), net(x));
    }
  });
}

TEST(OnnxRuntime, EveryOperation) {
  manual_seed(2);
  const std::string path = ::testing::TempDir() + "runtime_operation.onnx";
  const NoGrad no_grad;
  const Tensor x = rand({2});
  int count = 0;
  for (const Operation& op : all_operations()) {
    SCOPED_TRACE(op.declared);
    try {
      io::save_onnx(OperationNet(op), {x}, path, {.dynamic_batch = false});
    } catch (const Error&) {
      continue;  // onnx_operations_test says which and why
    }
    expect_close(Runtime(path)(x), op.call().detach());
    ++count;
  }
  EXPECT_GT(count, 150);
}

}  // namespace
