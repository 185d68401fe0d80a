// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/op_scope.h"
#include "activations.h"
#include "arithmetic.h"
#include "internal/arithmetic.h"
#include "internal/unary.h"
#include "math.h"

namespace tern {

using kernels::Numbers;
using kernels::Saves;
using kernels::Unary;
using kernels::UnaryFunctions;

// A word of kernels/unary_functions.h that no operation is. Not in a namespace of its own, where
// the templates would not find it.

static Tensor bounded(const Tensor& x, double limit) { return clamp(x, -limit, limit); }
static Tensor gaussian(const Tensor& x, double scale) { return exp(-scale * (x * x)); }
static Tensor lorentzian(const Tensor& x) { return 1.0 / (1.0 + x * x); }

namespace {

// The formula in recorded operations, built for size.
template <class F>
[[gnu::cold]] Tensor recorded_gradient(const Tensor& dy, const Tensor& saved, Numbers numbers) {
  return kernels::gradient_of(F{}, dy, saved, numbers[0], numbers[1]);
}

/// What is known of a function at run time.
struct Row {
  const char* name;
  bool integers;
  const char* const* parameters;
  size_t parameter_count;
  Saves (*saves)(Numbers);
  Tensor (*gradient)(const Tensor& dy, const Tensor& saved, Numbers);  // recorded operations
};
constexpr auto kRows = UnaryFunctions::table([]<class F>() -> Row {
  return {F::name,
          F::integers,
          F::parameters.data(),
          F::parameters.size(),
          [](Numbers numbers) { return F::saves(numbers); },
          recorded_gradient<F>};
});
const Row& row_of(Unary function) { return kRows[static_cast<size_t>(function)]; }

// The numbers beside x, under their names in the function's declaration.
struct Parameters {
  const Row& row;
  Numbers numbers;
};
std::vector<OpAttribute> attributes_of(const Parameters& parameters) {
  std::vector<OpAttribute> attributes;
  for (size_t i = 0; i < parameters.row.parameter_count; ++i) {
    attributes.push_back({parameters.row.parameters[i], parameters.numbers[i]});
  }
  return attributes;
}

class UnaryNode final : public Node {
 public:
  UnaryNode(Unary function, Numbers numbers, Saves saves, const Tensor& x, const Tensor& y)
      : function_(function),
        saves_(saves),
        numbers_(numbers),
        saved_(this,
               saves == Saves::nothing  ? Tensor()
               : saves == Saves::output ? y
                                        : x,
               saves == Saves::output ? Saved::Role::output : Saved::Role::input) {}
  const char* name() const override { return row_of(function_).name; }
  Gradients backward(const Tensor& dy) override {
    if (saves_ == Saves::nothing) return {row_of(function_).gradient(dy, {}, numbers_)};
    return {unary_backward(function_, dy, saved_.get(), numbers_)};
  }

 private:
  Unary function_;
  Saves saves_;
  Numbers numbers_;
  Saved saved_;
};

}  // namespace

void check_scalar(const char* op, DType dtype, double value) {
  if (is_floating(dtype)) return;
  const bool whole = value == std::trunc(value);
  if (whole && std::fabs(value) <= 0x1p53) return;
  fail(op, "the number ", value,
       whole ? " is not between -2^53 and 2^53, where a double holds every whole number"
             : " is not a whole number",
       ", the tensor is ", dtype, ": convert it with .to(DType::f32)");
}

// Throws unless the function is one of x's dtype and the numbers are elements of it.
static void check(const char* op, const Row& row, const Tensor& x, Numbers numbers) {
  if (is_floating(x.dtype())) return;
  if (!row.integers) fail(op, "x is ", x, ", want f32 or f64: convert with .to(DType::f32)");
  for (const double number : numbers) check_scalar(op, x.dtype(), number);
}

static void run(Unary function, Numbers numbers, const Tensor& x, const Tensor& y) {
  visit(y.dtype(),
        [&]<class T>(T) { kernels::unary(function, numbers, x.numel(), x.raw<T>(), y.raw<T>()); });
}

Tensor unary(Unary function, const Tensor& x, Numbers numbers) {
  const Row& row = row_of(function);
  const OpScope scope(row.name, x, Parameters{row, numbers});
  check(row.name, row, x, numbers);
  // bool counts as u8, which has the same bytes.
  const DType dtype = x.dtype() == DType::boolean ? DType::u8 : x.dtype();
  const Tensor y = empty(x.shape(), dtype, x.memory_format());
  run(function, numbers, x, y);
  return scope.result(record<UnaryNode>(y, {x}, function, numbers, row.saves(numbers), x, y));
}

void unary_into(const char* op, Unary function, const Tensor& x, Numbers numbers) {
  check(op, row_of(function), x, numbers);
  if (x.dtype() == DType::boolean) fail(op, "x is ", x, ", want numbers: use logical operations");
  OpScope::writes(x);
  run(function, numbers, x, x);
}

Tensor unary_backward(Unary function, const Tensor& dy, const Tensor& saved, Numbers numbers) {
  if (recording({dy, saved})) return row_of(function).gradient(dy, saved, numbers);
  const bool in_place = dy.is_unshared();  // Note [Gradients in place]
  const Tensor aligned = to_memory_format(dy, saved.memory_format());
  const Tensor dx = in_place ? aligned : empty_like(saved);
  if (in_place) OpScope::writes(dx);
  visit_floating(saved.dtype(), [&]<class T>(T) {
    kernels::unary_backward(function, numbers, dx.numel(), saved.raw<T>(), aligned.raw<T>(),
                            dx.raw<T>());
  });
  return dx;
}

}  // namespace tern
