// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.h"

#include <utility>

#include "error.h"
#include "internal/checkpoint.h"
#include "internal/pass.h"

namespace tern {

namespace detail {

namespace {

thread_local CheckpointScope* innermost = nullptr;
thread_local int recomputations = 0;

/// Stands for a tensor that f of a checkpoint has saved.
class FromCheckpoint final : public Recipe {
 public:
  FromCheckpoint(std::shared_ptr<const Checkpoint> checkpoint, size_t index, const Tensor& x)
      : checkpoint_(std::move(checkpoint)),
        index_(index),
        shape_(x.shape()),
        dtype_(x.dtype()),
        version_(x.version()) {}

  Tensor compute() const override {
    const Kept kept = checkpoint_->saved(index_);
    const Tensor value = kept.get("checkpoint");
    if (value.shape() != shape_ || value.dtype() != dtype_) {
      fail("checkpoint", "f saved ", value, " where it had saved ", dtype_, shape_,
           " the first time: it has to do the same when it runs again");
    }
    if (kept.version != version_) {
      fail("checkpoint", "the tensor ", value,
           " that f uses was changed in place after it ran (version ", kept.version, ", saved at ",
           version_, "): change a copy, or call backward first");
    }
    return value;
  }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  size_t index_;
  Shape shape_;
  DType dtype_;
  uint64_t version_;
};

/// A generator's state, put back at the end.
class RandomFrom {
 public:
  explicit RandomFrom(const Generator::State& state) : before_(default_generator().state()) {
    default_generator().set_state(state);
  }
  ~RandomFrom() { default_generator().set_state(before_); }
  RandomFrom(const RandomFrom&) = delete;
  RandomFrom& operator=(const RandomFrom&) = delete;

 private:
  Generator::State before_;
};

struct Recomputing {
  Recomputing() { ++recomputations; }
  ~Recomputing() { --recomputations; }
  Recomputing(const Recomputing&) = delete;
  Recomputing& operator=(const Recomputing&) = delete;
};

}  // namespace

CheckpointScope::CheckpointScope(Checkpoint* checkpoint, std::vector<Kept>* saved)
    : first_(checkpoint), again_(saved), outer_(std::exchange(innermost, this)) {}
CheckpointScope::~CheckpointScope() { innermost = outer_; }
CheckpointScope* CheckpointScope::current() { return innermost; }

Kept CheckpointScope::keep(const Tensor& x) {
  if (again_) return again_->emplace_back(Kept::itself(x));
  Kept kept;
  kept.version = x.version();
  kept.recipe =
      std::make_shared<FromCheckpoint>(first_->shared_from_this(), first_->saved_count_++, x);
  return kept;
}

Checkpoint::Checkpoint(Function f, const std::vector<Tensor>& inputs)
    : f_(std::move(f)), random_(default_generator().state()), first_node_(next_number()) {
  for (const Tensor& x : inputs) {
    inputs_.push_back({x.defined() ? Kept::of(x) : Kept(), x.defined(), x.requires_grad()});
  }
}

std::vector<Tensor> Checkpoint::run(const std::vector<Tensor>& inputs) {
  const CheckpointScope scope(*this);
  std::vector<Tensor> results = f_(inputs);
  complete_ = true;
  return results;
}

std::vector<Kept> Checkpoint::compute_again() const {
  std::vector<Tensor> inputs;
  for (const Input& input : inputs_) {
    inputs.push_back(input.defined ? without_graph(input.value.get("checkpoint")) : Tensor());
    if (input.requires_grad) inputs.back().set_requires_grad();
  }
  std::vector<Kept> saved;
  const CheckpointScope scope(saved);
  const Recomputing recomputing;
  const RandomFrom random(random_);
  const GradMode recording(true);
  f_(inputs);
  if (complete_ && saved.size() != saved_count_) {
    fail("checkpoint", "f saved ", saved.size(), " tensors for backward where it had saved ",
         saved_count_, " the first time: it has to do the same when it runs again");
  }
  return saved;
}

Kept Checkpoint::saved(size_t index) const {
  std::vector<Recomputed>* pass = Pass::recomputed_here();
  if (!pass) return compute_again().at(index);
  for (const Recomputed& known : *pass) {
    if (known.checkpoint.get() == this) return known.saved.at(index);
  }
  // Computing may in turn compute others again, so the list is looked at afterwards.
  std::vector<Kept> saved = compute_again();
  return pass->emplace_back(Recomputed{shared_from_this(), std::move(saved)}).saved.at(index);
}

}  // namespace detail

bool recomputing() { return detail::recomputations > 0; }

std::vector<Tensor> checkpoint(std::function<std::vector<Tensor>(const std::vector<Tensor>&)> f,
                               const std::vector<Tensor>& inputs) {
  if (!f) fail("checkpoint", "f is empty, want a function");
  if (!grad_enabled()) return f(inputs);
  return std::make_shared<detail::Checkpoint>(std::move(f), inputs)->run(inputs);
}

Tensor checkpoint(std::function<Tensor(const std::vector<Tensor>&)> f,
                  const std::vector<Tensor>& inputs) {
  if (!f) fail("checkpoint", "f is empty, want a function");
  return checkpoint([f = std::move(f)](const std::vector<Tensor>& x) { return std::vector{f(x)}; },
                    inputs)[0];
}

Tensor checkpoint(std::function<Tensor(const Tensor&)> f, const Tensor& x) {
  if (!f) fail("checkpoint", "f is empty, want a function");
  return checkpoint([f = std::move(f)](const std::vector<Tensor>& inputs) { return f(inputs[0]); },
                    std::vector{x});
}

}  // namespace tern
