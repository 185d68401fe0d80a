# SPDX-License-Identifier: Apache-2.0
# Common mistakes do not compile, or warn, and the compiler's first lines say what to write:
#   cmake -D ROOT=<source root> -D COMPILER=<C++ compiler> -D WORK=<directory> -P check_mistakes.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

# Compiles `code` and looks for `wanted` in the first eight lines of what the compiler says. Without
# `wanted` there must be nothing to say.
function(check code wanted)
  file(WRITE "${WORK}/use.cpp" "#include \"nn/anomaly.h\"
#include \"nn/batch_norm.h\"
#include \"core/autograd.h\"
#include \"core/profiler.h\"
#include \"ops/backend.h\"
using namespace tern;
void use(nn::Module& net, std::vector<int64_t> sizes) {
  static_cast<void>(net), static_cast<void>(sizes);
  ${code}
}
")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -Wall -Wextra -fsyntax-only "-I${ROOT}"
            "${WORK}/use.cpp"
    RESULT_VARIABLE failed
    ERROR_VARIABLE messages)
  string(REPLACE ";" "," first "${messages}")
  string(REPLACE "\n" ";" first "${first}")
  string(REGEX REPLACE "[][]" " " first "${first}")
  list(SUBLIST first 0 8 first)
  if(NOT wanted AND NOT messages STREQUAL "")
    message(FATAL_ERROR "'${code}' should compile without a warning:\n${messages}")
  elseif(wanted AND NOT first MATCHES "${wanted}")
    message(FATAL_ERROR "'${code}' should be answered with '${wanted}':\n${messages}")
  endif()
endfunction()

check("nn::BatchNorm2d bn(3, {.momentum = Momentum::update(0.1)});" "")
check("nn::BatchNorm2d bn(3, {.momentum = 0.1});" "write Momentum::update")
check("nn::BatchNorm2d bn(3, {.eps = 1e-3, .momentum = 1});" "write Momentum::update")
check("static_cast<void>(BatchNormOptions{.momentum = 0.1});" "write Momentum::update")

check("const NoGrad no_grad; const Profiler profiler; const ReferenceKernels kernels;
  const nn::EvalMode mode(net); const nn::DetectAnomaly anomaly; const GradMode grad(true);" "")
foreach(guard "NoGrad()" "Profiler()" "ReferenceKernels()" "nn::EvalMode{net}" "nn::DetectAnomaly()"
              "GradMode(true)")
  check("${guard};" "nodiscard")
endforeach()

check("const Tensor x = empty(sizes), y = tensor({1.f, 2.f}), z = tensor({1}, {1});" "")
message("common mistakes are explained")
