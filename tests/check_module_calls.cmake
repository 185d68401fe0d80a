# SPDX-License-Identifier: Apache-2.0
# Calls of modules that do not fit explain themselves, and those that do compile without a warning:
#   cmake -D ROOT=<source root> -D COMPILER=<C++ compiler> -D WORK=<directory> -P check_module_calls.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${WORK}")
file(WRITE "${WORK}/use.cpp" "#include \"nn/linear.h\"
using namespace tern;
struct Attention : nn::ModuleOf<Attention> {
  Tensor forward(const Tensor& x, const Tensor& mask) { return x.defined() ? x : mask; }
};
struct One : nn::Module {
  Tensor forward(const Tensor& x) override { return x; }
};
struct Hides : nn::Module {
  Tensor forward(const Tensor& x, const Tensor& mask) { return x.defined() ? x : mask; }
};
void use(const Attention& attention, const One& one, const nn::Linear& linear, const Tensor& x) {
  static_cast<void>(attention), static_cast<void>(one), static_cast<void>(linear);
  static_cast<void>(CALL);
}
")

set(of "the arguments fit no public")
set(plain "takes and returns one Tensor: derive it from ")
foreach(call "attention(x, x).defined()" "one(x).defined()" "linear(x).defined()" # these fit
             "attention(x)" "linear(x, x)" "one(x, x)" "one(1.0)" "Hides()(x, x)")
  # clang warns of a hidden virtual at the class that hides it: of Hides, as it should, not of Attention.
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -Wall -Wextra -Woverloaded-virtual
            -fsyntax-only "-I${ROOT}" "-DCALL=${call}" "${WORK}/use.cpp"
    RESULT_VARIABLE failed
    ERROR_VARIABLE messages)
  if(call MATCHES "defined")
    if(failed OR (messages MATCHES "warning" AND NOT messages MATCHES "Hides::forward"))
      message(FATAL_ERROR "${call} should compile without a warning:\n${messages}")
    endif()
  else()
    set(wanted "${plain}")
    if(call MATCHES "^(attention|linear)")
      set(wanted "${of}")
    endif()
    if(NOT failed OR NOT messages MATCHES "${wanted}")
      message(FATAL_ERROR "${call} should be explained by '${wanted}...':\n${messages}")
    endif()
  endif()
endforeach()
message("calls of modules that do not fit say so")
