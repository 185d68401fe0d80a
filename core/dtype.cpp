// SPDX-License-Identifier: Apache-2.0
#include "dtype.h"

#include <ostream>

#include "error.h"

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
    case DType::boolean:
      return "bool";
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
    case DType::boolean:
      return 1;
    case DType::f64:
    case DType::i64:
      return 8;
  }
  return 0;
}

void detail::no_elements(DType dtype, const char* wanted) {
  fail("dtype", "elements are ", dtype, ", want ", wanted, ": convert with .to(dtype)");
}

const char* to_string(MemoryFormat order) {
  return order == MemoryFormat::row_major ? "row-major" : "channels-last";
}

const char* to_string(DataFormat format) { return format == DataFormat::NCHW ? "NCHW" : "NHWC"; }

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << to_string(dtype); }
std::ostream& operator<<(std::ostream& out, MemoryFormat format) {
  return out << to_string(format);
}
std::ostream& operator<<(std::ostream& out, DataFormat format) { return out << to_string(format); }

}  // namespace tern
