// SPDX-License-Identifier: Apache-2.0
#include "internal/selection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "../core/autograd.h"
#include "../core/error.h"
#include "../core/internal/convert.h"
#include "../core/internal/parallel.h"
#include "../core/internal/tensor_impl.h"
#include "arithmetic.h"
#include "kernels/indexing.h"
#include "reduce.h"

namespace tern {

namespace {

kernels::Rows rows_of(const Selection& selection) {
  return {selection.places.raw<int64_t>(), selection.places.numel(), selection.length,
          selection.count};
}

/// A selection as a node keeps it.
class SavedSelection {
 public:
  SavedSelection(Node* owner, Selection selection)
      : selection_(std::move(selection)), places_(owner, std::exchange(selection_.places, {})) {}
  Selection get() const {
    Selection selection = selection_;
    selection.places = places_.get();
    return selection;
  }

 private:
  Selection selection_;
  Saved places_;
};

class TakeNode final : public Node {
 public:
  TakeNode(const Tensor& x, const Selection& selection)
      : selection_(this, selection), shape_(x.shape()), format_(x.memory_format()) {}
  const char* name() const override { return "index"; }
  Gradients backward(const Tensor& dy) override {
    const Selection selection = selection_.get();
    if (selection.places.defined()) return {add_selected({}, shape_, selection, dy)};
    const Tensor dx = empty(shape_, dy.dtype(), format_);
    dx.zero_();
    write_selected("index_backward", dx, selection, dy);
    return {dx};
  }
  bool add_gradient(const Tensor& dy, const Tensor& sum) override {
    const Selection selection = selection_.get();
    if (!selection.places.defined()) {
      add_to_box(sum, selection.box, dy);
      return true;
    }
    if (sum.memory_format() != MemoryFormat::row_major) return false;
    kernels::add_rows(sum.dtype(), rows_of(selection), contiguous(dy).raw_data(), sum.raw_data());
    return true;
  }

 private:
  SavedSelection selection_;
  Shape shape_;
  MemoryFormat format_;
};

class AddNode final : public Node {
 public:
  explicit AddNode(const Selection& selection) : selection_(this, selection) {}
  const char* name() const override { return "index_add"; }
  Gradients backward(const Tensor& dy) override {
    Gradients gradients(2);
    if (needs(0)) gradients[0] = dy;
    if (needs(1)) gradients[1] = take(dy, selection_.get());
    return gradients;
  }

 private:
  SavedSelection selection_;
};

class WriteNode final : public Node {
 public:
  /// `last` says which of several values for one place has stayed; undefined if all have.
  WriteNode(const Selection& selection, const Shape& v, const Tensor& last)
      : selection_(this, selection), last_(this, last), v_(v) {}
  const char* name() const override { return "index_put_"; }
  Gradients backward(const Tensor& dy) override {
    const Selection selection = selection_.get();
    Gradients gradients(2);
    if (needs(1)) {
      Tensor dv = take(dy, selection);
      if (last_.defined()) {
        const Tensor last = view_as(last_.get(), {selection.places.numel(), 1});
        dv = where(last, view_as(dv, {selection.places.numel(), selection.length}), 0.0);
        dv = view_as(dv, selection.shape);
      }
      gradients[1] = sum_to(dv, v_);
    }
    if (needs(0)) {
      const bool in_place = dy.is_unshared() && !grad_enabled();  // Note [Gradients in place]
      gradients[0] = in_place ? dy : dy.clone();
      write_selected(name(), gradients[0], selection, zeros({}, dy.dtype()));
    }
    return gradients;
  }

 private:
  SavedSelection selection_;
  Saved last_;
  Shape v_;
};

/// What is written of v: of x's dtype, without leading axes of length 1 that the selection has not,
/// and in memory of its own.
Tensor source_of(const char* op, const Tensor& x, const Shape& selected, const Tensor& v) {
  Tensor source = v.to(x.dtype());
  int extra = 0;
  while (source.shape().size() - extra > selected.size() && source.shape()[extra] == 1) ++extra;
  if (extra > 0) {
    const int64_t* sizes = source.shape().begin();
    source = view_as(source, Shape(std::span(sizes + extra, source.shape().end())));
  }
  const int lead = selected.size() - source.shape().size();
  bool fits = lead >= 0;
  for (int d = lead; fits && d < selected.size(); ++d) {
    fits = source.shape()[d - lead] == selected[d] || source.shape()[d - lead] == 1;
  }
  if (!fits) {
    fail(op, "the value is ", v, ", want a shape that stretches to ", selected,
         ", that of the places");
  }
  return source.storage() == x.storage() ? source.clone() : source;
}

/// Makes WriteNode(args...) the origin of x, which was changed in place, with edges to what x was
/// and to v.
template <class... Args>
void record_write(const Tensor& x, const Tensor& v, const Args&... args) {
  x.bump_version();
  if (!recording({x, v})) return;
  Tensor before;
  if (x.requires_grad()) {
    before = detail::without_graph(x);
    before.set_node(x.node(), x.edge().output);
    x.set_node(nullptr);
  }
  record<WriteNode>(x, {before, v}, args...);
}

}  // namespace

Selection Selection::of_middle(const Shape& shape, int64_t outer, int64_t size, int64_t inner,
                               const Tensor& along) {
  Selection selection{.shape = shape, .places = along, .length = inner, .count = outer * size};
  if (outer == 1) return selection;
  const int64_t n = along.numel();
  selection.places = empty({outer * n}, DType::i64);
  const int64_t* from = along.raw<int64_t>();
  int64_t* to = selection.places.raw<int64_t>();
  parallel_for(outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t o = begin; o < end; ++o) {
                   for (int64_t i = 0; i < n; ++i) to[o * n + i] = o * size + from[i];
                 }
               });
  return selection;
}

Tensor take(const Tensor& x, const Selection& selection, const Tensor& trained) {
  if (selection.places.defined()) {
    const Tensor plain = contiguous(x);
    const Tensor y = empty(selection.shape, x.dtype());
    kernels::take_rows(x.dtype(), rows_of(selection), plain.raw_data(), y.raw_data());
    if (!trained.defined()) return record<TakeNode>(y, {plain}, plain, selection);
    Selection counted = selection;
    counted.places = trained;
    return record<TakeNode>(y, {plain}, plain, counted);
  }
  const bool keeps_rank = selection.shape.size() == x.shape().size();
  const Tensor y =
      empty(selection.shape, x.dtype(), keeps_rank ? x.memory_format() : MemoryFormat::row_major);
  copy_box(x, selection.box, y, true);
  return record<TakeNode>(y, {x}, x, selection);
}

Tensor add_selected(const Tensor& base, const Shape& shape, const Selection& selection,
                    const Tensor& v) {
  const Tensor term = contiguous(v);
  const Tensor start = base.defined() ? contiguous(base) : base;
  const Tensor y = base.defined() ? empty(shape, v.dtype()) : zeros(shape, v.dtype());
  if (base.defined() && y.numel() > 0) {
    std::memcpy(y.raw_data(), start.raw_data(),
                static_cast<size_t>(y.numel()) * size_of(y.dtype()));
  }
  kernels::add_rows(y.dtype(), rows_of(selection), term.raw_data(), y.raw_data());
  return record<AddNode>(y, {start, term}, selection);
}

void write_selected(const char* op, const Tensor& x, const Selection& selection, const Tensor& v) {
  if (x.requires_grad() && x.is_leaf() && grad_enabled()) {
    fail(op, "changes ", x, " in place, a leaf that requires a gradient: do it inside a NoGrad ",
         "scope, or change x.clone()");
  }
  Tensor source = source_of(op, x, selection.shape, v);
  if (recording({x, source}) && x.storage().use_count() > 1) {
    fail(op, "changes ", x, " in place, whose memory others have too (what backward needs, or ",
         "reshape() and detach() of it), and whose gradient would be lost there: change x.clone()");
  }
  if (!selection.places.defined()) {
    copy_box(x, selection.box, source, false);
    record_write(x, source, selection, source.shape(), Tensor());
    return;
  }
  if (x.memory_format() == MemoryFormat::channels_last && !same_in_both_formats(x.shape())) {
    const Tensor plain = contiguous(x.clone());
    write_selected(op, plain, selection, source);
    return write_selected(op, x, {.shape = x.shape(), .box = Box::whole(x.shape())}, plain);
  }
  source = stretch(source, selection.shape, MemoryFormat::row_major);
  const kernels::Rows rows = rows_of(selection);
  Tensor last;
  if (recording({source})) {
    last = empty({rows.size}, DType::boolean);
    kernels::mark_last(rows, last.raw<uint8_t>());
    const uint8_t* marks = last.raw<uint8_t>();
    if (std::find(marks, marks + rows.size, 0) == marks + rows.size) last = Tensor();
  }
  kernels::write_rows(x.dtype(), rows, source.raw_data(), x.raw_data());
  record_write(x, source, selection, source.shape(), last);
}

}  // namespace tern
