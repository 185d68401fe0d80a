// SPDX-License-Identifier: Apache-2.0
#include "lbfgs.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "../core/autograd.h"
#include "internal/loops.h"

namespace tern::optim {
namespace {

constexpr char kName[] = "optim::LBFGS";
// Of the line search: how much the loss and its slope have to fall, and calls of the closure.
constexpr double kArmijo = 1e-4, kCurvature = 0.9;
constexpr int kMaxTrials = 25;

void validate(const LBFGSOptions& o) {
  check_option(kName, "lr", o.lr);
  check_option(kName, "tolerance_grad", o.tolerance_grad);
  check_option(kName, "tolerance_change", o.tolerance_change);
  if (o.max_iter < 1 || o.max_eval < 0 || o.history_size < 1) {
    fail(kName, "max_iter is ", o.max_iter, ", max_eval ", o.max_eval, " and history_size ",
         o.history_size, ", want at least 1, 0 and 1");
  }
}

std::vector<OptionField> fields_of(LBFGSOptions& o) {
  return {{.name = "lr", .number = &o.lr},
          {.name = "tolerance_grad", .number = &o.tolerance_grad},
          {.name = "tolerance_change", .number = &o.tolerance_change}};
}

/// f(part(first), part(next)...) of fixed blocks, so that the sum does not depend on threads.
template <class T, class Part>
double sum_of_blocks(int64_t n, const Part& part) {
  constexpr int64_t kBlock = 4096;
  std::vector<double> sums(static_cast<size_t>(divide_up(n, kBlock)));
  parallel_for(static_cast<int64_t>(sums.size()), kGrain / kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      double sum = 0;
      for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) sum += part(i);
      sums[static_cast<size_t>(b)] = sum;
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// Of flat tensors.

double dot(const Tensor& a, const Tensor& b) {
  double result = 0;
  visit_floating(a.dtype(), [&]<class T>(T) {
    const T *x = a.raw<T>(), *y = b.raw<T>();
    result = sum_of_blocks<T>(a.numel(), [=](int64_t i) { return double{x[i]} * double{y[i]}; });
  });
  return result;
}

double absolute_sum(const Tensor& a) {
  double result = 0;
  visit_floating(a.dtype(), [&]<class T>(T) {
    const T* x = a.raw<T>();
    result = sum_of_blocks<T>(a.numel(), [=](int64_t i) { return std::abs(double{x[i]}); });
  });
  return result;
}

/// NaN if one is.
double largest(const Tensor& a) {
  double result = 0;
  visit_floating(a.dtype(), [&]<class T>(T) {
    const T* x = a.raw<T>();
    for (int64_t i = 0; i < a.numel(); ++i) {
      const double size = std::abs(double{x[i]});
      if (!(size <= result)) result = size;
      if (std::isnan(result)) return;
    }
  });
  return result;
}

/// x * factor
Tensor times(const Tensor& x, double factor) {
  const Tensor y = empty_like(x);
  for_elements(x, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    const T *from = x.raw<T>(), by = static_cast<T>(factor);
    for (int64_t i = begin; i < end; ++i) y.raw<T>()[i] = from[i] * by;
  });
  return y;
}

/// y += alpha * x
void add(const Tensor& y, double alpha, const Tensor& x) {
  for_elements(y, [&](int64_t begin, int64_t end, auto t) {
    using T = decltype(t);
    T* to = y.raw<T>();
    const T *from = x.raw<T>(), by = static_cast<T>(alpha);
    for (int64_t i = begin; i < end; ++i) to[i] += by * from[i];
  });
}

/// The minimum of the cubic through two points of a line, within bounds.
double cubic_minimum(double x1, double f1, double g1, double x2, double f2, double g2, double least,
                     double most) {
  const double d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2);
  const double square = d1 * d1 - g1 * g2;
  double at = std::numeric_limits<double>::quiet_NaN();
  if (square >= 0) {
    const double d2 = std::sqrt(square);
    at = x1 <= x2 ? x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
                  : x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2));
  }
  return std::isnan(at) ? (least + most) / 2 : std::min(std::max(at, least), most);
}

}  // namespace

LBFGS::LBFGS(const std::vector<Tensor>& params, const LBFGSOptions& options)
    : OptimizerWith(kName, {{params, options}}, {}, 0, {fields_of, validate}) {
  for (const Tensor& param : params) {
    if (param.dtype() == params[0].dtype()) continue;
    fail(kName, "a parameter is ", param, ", want ", params[0].dtype(), " as the first one");
  }
}

void LBFGS::update(size_t, const Tensor&, const Tensor&, State&) {
  fail(kName, "step() was called without a function, want one that computes the loss: ",
       "step([&] { ...; loss.backward(); return loss; })");
}

Tensor LBFGS::gradient() const {
  int64_t count = 0;
  for (const Tensor& param : params()) count += param.numel();
  const Tensor flat = empty({count}, params()[0].dtype());
  int64_t place = 0;
  for (const Tensor& param : params()) {
    const Tensor grad = gradient_to_use(param);
    if (grad.defined() && (grad.shape() != param.shape() || grad.dtype() != param.dtype())) {
      fail(kName, "a gradient is ", grad, ", want ", param, " as its parameter");
    }
    const Tensor placed =
        grad.defined() ? to_memory_format(grad, param.memory_format()) : zeros_like(param);
    for_elements(param, [&](int64_t begin, int64_t end, auto t) {
      using T = decltype(t);
      std::copy(placed.raw<T>() + begin, placed.raw<T>() + end, flat.raw<T>() + place + begin);
    });
    place += param.numel();
  }
  return flat;
}

void LBFGS::move(double t, const Tensor& d) const {
  int64_t place = 0;
  for (const Tensor& param : params()) {
    for_elements(param, [&](int64_t begin, int64_t end, auto type) {
      using T = decltype(type);
      T* to = param.raw<T>();
      const T *from = d.raw<T>() + place, by = static_cast<T>(t);
      for (int64_t i = begin; i < end; ++i) to[i] += by * from[i];
    });
    param.bump_version();
    place += param.numel();
  }
}

double LBFGS::evaluate(const Closure& closure, Tensor* loss) {
  const GradMode recording(true);
  const Tensor result = closure();
  if (!result.defined() || result.numel() != 1) {
    fail(kName, "the closure returned ", result, ", want the loss, one number");
  }
  ++state_.func_evals;
  if (loss) *loss = result;
  return result.item<double>();
}

void LBFGS::find_direction(const Tensor& g) {
  Memory& m = state_;
  if (m.n_iter == 1) {
    m.d = times(g, -1);
    m.changes.clear();
    m.steps.clear();
    m.ro.clear();
    m.h_diag = 1;
    return;
  }
  Tensor change = g.clone(), step = times(m.d, m.t);
  add(change, -1, m.previous_gradient);
  const double product = dot(change, step);
  if (product > 1e-10) {
    if (static_cast<int64_t>(m.ro.size()) == options().history_size) {
      m.changes.erase(m.changes.begin());
      m.steps.erase(m.steps.begin());
      m.ro.erase(m.ro.begin());
    }
    m.h_diag = product / dot(change, change);
    m.ro.push_back(1 / product);
    m.changes.push_back(std::move(change));
    m.steps.push_back(std::move(step));
  }
  // H g by the two loops
  std::vector<double> al(m.ro.size());
  const Tensor q = times(g, -1);
  for (size_t i = m.ro.size(); i-- > 0;) {
    al[i] = dot(m.steps[i], q) * m.ro[i];
    add(q, -al[i], m.changes[i]);
  }
  m.d = times(q, m.h_diag);
  for (size_t i = 0; i < m.ro.size(); ++i) {
    add(m.d, al[i] - dot(m.changes[i], m.d) * m.ro[i], m.steps[i]);
  }
}

LBFGS::Point LBFGS::evaluate_at(const Closure& closure, double t,
                                const std::vector<Tensor>& origin) {
  move(t, state_.d);
  Point point{t, evaluate(closure), gradient(), 0};
  point.slope = dot(point.gradient, state_.d);
  for (size_t i = 0; i < origin.size(); ++i) params()[i].copy_(origin[i]);
  return point;
}

// The strong Wolfe conditions, as PyTorch's line search and lswolfe.lua before it: first a bracket
// around a point that satisfies them, then smaller ones.
LBFGS::Point LBFGS::strong_wolfe(const Closure& closure, const Point& start, double t) {
  std::vector<Tensor> origin;
  for (const Tensor& param : params()) origin.push_back(param.detach().clone());
  const auto too_high = [&](const Point& p) {
    return !(p.loss <= start.loss + kArmijo * p.t * start.slope);
  };
  const auto flat_enough = [&](const Point& p) {
    return std::abs(p.slope) <= -kCurvature * start.slope;
  };
  Point before = start, now = evaluate_at(closure, t, origin);
  int trials = 0;
  for (;; ++trials) {
    if (trials == kMaxTrials) return start.loss <= now.loss ? start : now;
    if (too_high(now) || (trials > 1 && now.loss >= before.loss)) break;
    if (flat_enough(now)) return now;
    if (now.slope >= 0) break;
    const double next = cubic_minimum(before.t, before.loss, before.slope, now.t, now.loss,
                                      now.slope, now.t + 0.01 * (now.t - before.t), now.t * 10);
    before = std::move(now);
    now = evaluate_at(closure, next, origin);
  }
  Point low = std::move(before), high = std::move(now);
  // PyTorch's bracket keeps the order of its ends, which the interpolation is not sensitive to.
  if (!(low.loss <= high.loss) && !std::isnan(high.loss)) std::swap(low, high);
  const double longest = largest(state_.d);
  bool little_progress = false;
  while (trials < kMaxTrials) {
    const double least = std::min(low.t, high.t), most = std::max(low.t, high.t);
    if ((most - least) * longest < options().tolerance_change) break;
    t = cubic_minimum(low.t, low.loss, low.slope, high.t, high.loss, high.slope, least, most);
    // Twice close to the same end, or at it: away from it.
    const double margin = 0.1 * (most - least);
    if (std::min(most - t, t - least) < margin) {
      if (little_progress || t >= most || t <= least) {
        t = std::abs(t - most) < std::abs(t - least) ? most - margin : least + margin;
        little_progress = false;
      } else {
        little_progress = true;
      }
    } else {
      little_progress = false;
    }
    Point trial = evaluate_at(closure, t, origin);
    ++trials;
    if (too_high(trial) || trial.loss >= low.loss) {
      high = std::move(trial);
      if (high.loss < low.loss) std::swap(low, high);
      continue;
    }
    const bool done = flat_enough(trial);
    if (!done && trial.slope * (high.t - low.t) >= 0) high = low;
    low = std::move(trial);
    if (done) break;
  }
  return low;
}

Tensor LBFGS::step(const Closure& closure) {
  if (!closure) fail(kName, "the closure is empty, want a function that computes the loss");
  const NoGrad no_grad;
  const LBFGSOptions o = options();
  const int64_t max_eval = o.max_eval > 0 ? o.max_eval : o.max_iter * 5 / 4;
  Memory& m = state_;
  const int64_t evals_before = m.func_evals;
  Tensor first_loss;
  double loss = evaluate(closure, &first_loss);
  Tensor g = gradient();
  if (largest(g) <= o.tolerance_grad) return first_loss;
  for (int64_t i = 1; i <= o.max_iter; ++i) {
    ++m.n_iter;
    find_direction(g);
    m.previous_gradient = g;
    m.previous_loss = loss;
    m.t = m.n_iter == 1 ? std::min(1.0, 1.0 / absolute_sum(g)) * o.lr : o.lr;
    const double slope = dot(g, m.d);
    if (!(slope <= -o.tolerance_change)) break;
    if (o.line_search_fn == LineSearch::strong_wolfe) {
      const Point end = strong_wolfe(closure, Point{0, loss, g, slope}, m.t);
      m.t = end.t;
      loss = end.loss;
      g = end.gradient;
      move(m.t, m.d);
    } else {
      move(m.t, m.d);
      if (i < o.max_iter) {  // the last one would not be used
        loss = evaluate(closure);
        g = gradient();
      }
    }
    if (m.func_evals - evals_before >= max_eval || largest(g) <= o.tolerance_grad) break;
    if (std::abs(m.t) * largest(m.d) <= o.tolerance_change) break;
    if (std::abs(loss - m.previous_loss) < o.tolerance_change) break;
  }
  return first_loss;
}

namespace {

constexpr char kPrefix[] = "state.0.";

Tensor number(double value) { return full(Shape{}, value, DType::f64); }

/// Flat tensors as the rows of one.
Tensor rows(const std::vector<Tensor>& flat) {
  const Tensor all = empty({static_cast<int64_t>(flat.size()), flat.empty() ? 0 : flat[0].numel()},
                           flat.empty() ? DType::f32 : flat[0].dtype());
  visit_floating(all.dtype(), [&]<class T>(T) {
    T* to = all.raw<T>();
    for (const Tensor& row : flat) to = std::copy_n(row.raw<T>(), row.numel(), to);
  });
  return all;
}

}  // namespace

StateDict LBFGS::state_dict() const {
  StateDict dict = Optimizer::state_dict();
  if (state_.func_evals == 0) return dict;
  const auto add_entry = [&](const char* name, const Tensor& value) {
    dict.insert(kPrefix + std::string(name), value);
  };
  add_entry("func_evals", number(static_cast<double>(state_.func_evals)));
  add_entry("n_iter", number(static_cast<double>(state_.n_iter)));
  if (state_.n_iter == 0) return dict;
  add_entry("d", state_.d);
  add_entry("t", number(state_.t));
  add_entry("prev_flat_grad", state_.previous_gradient);
  add_entry("prev_loss", number(state_.previous_loss));
  add_entry("H_diag", number(state_.h_diag));
  add_entry("old_dirs", rows(state_.changes));
  add_entry("old_stps", rows(state_.steps));
  add_entry("ro", tensor(state_.ro, {static_cast<int64_t>(state_.ro.size())}));
  return dict;
}

void LBFGS::load_state_dict(const StateDict& dict) {
  const NoGrad no_grad;
  StateDict others, own;
  for (const auto& [name, value] : dict) {
    if (name.starts_with(kPrefix)) {
      own.insert(name.substr(sizeof(kPrefix) - 1), value);
    } else {
      others.insert(name, value);
    }
  }
  const auto find = [&](const char* name, const Shape& shape) {
    if (!own.contains(name)) fail(kName, "the state has no ", kPrefix, name);
    const Tensor& value = own.at(name);
    if (!value.defined() || value.shape() != shape) {
      fail(kName, "the state's ", name, " is ", value, ", want ", shape);
    }
    return value;
  };
  const auto count = [&](const char* name) {
    const std::optional<int64_t> value = whole_number(find(name, Shape{}));
    if (!value) fail(kName, "the state's ", name, " is no whole number of at least 0");
    return *value;
  };
  Memory loaded;
  if (!own.empty()) {
    loaded.func_evals = count("func_evals");
    loaded.n_iter = count("n_iter");
  }
  if (loaded.n_iter > 0) {
    int64_t size = 0;
    for (const Tensor& param : params()) size += param.numel();
    const auto flat = [&](const Tensor& value) {
      return value.detach().to(params()[0].dtype()).clone();
    };
    const auto history = own.contains("ro") && own.at("ro").defined() ? own.at("ro").numel() : 0;
    loaded.d = flat(find("d", {size}));
    loaded.previous_gradient = flat(find("prev_flat_grad", {size}));
    loaded.t = find("t", Shape{}).item<double>();
    loaded.previous_loss = find("prev_loss", Shape{}).item<double>();
    loaded.h_diag = find("H_diag", Shape{}).item<double>();
    loaded.ro = find("ro", {history}).to(DType::f64).to_vector<double>();
    for (const auto& [name, list] :
         {std::pair("old_dirs", &loaded.changes), std::pair("old_stps", &loaded.steps)}) {
      const Tensor all = flat(find(name, {history, history > 0 ? size : 0}));
      visit_floating(all.dtype(), [&, into = list]<class T>(T) {
        for (int64_t i = 0; i < history; ++i) {
          into->push_back(empty({size}, all.dtype()));
          std::copy_n(all.raw<T>() + i * size, size, into->back().template raw<T>());
        }
      });
    }
  }
  Optimizer::load_state_dict(others);
  state_ = std::move(loaded);
}

}  // namespace tern::optim
