// SPDX-License-Identifier: Apache-2.0
#include "dtype.h"

namespace tern {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
  }
  return "unknown";
}

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
    case DType::f64:
    case DType::i64:
      return 8;
  }
  return 0;
}

const char* to_string(Order order) {
  return order == Order::row_major ? "row-major" : "channels-last";
}

const char* to_string(DataFormat format) { return format == DataFormat::NCHW ? "NCHW" : "NHWC"; }

}  // namespace tern
