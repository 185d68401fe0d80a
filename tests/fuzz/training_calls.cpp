// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "layers.h"

namespace tern::fuzz {

namespace {

using namespace optim;

/// Parameters with gradients that fit, or not.
std::vector<Tensor> parameters(Draw& d) {
  std::vector<Tensor> list;
  for (int64_t count = d.between(d.hostile() ? 0 : 1, 3); count > 0; --count) {
    const Tensor x = d.floating().tensor(d.sizes(2)).detach().clone();
    if (!d.hostile() && is_floating(x.dtype())) x.set_requires_grad();
    if (x.requires_grad() && d.chance(0.8)) {
      x.set_grad(d.tensor({x.shape().begin(), x.shape().end()}, x.dtype()).detach());
    }
    list.push_back(x);
  }
  if (d.hostile() && !list.empty()) list.push_back(list[0]);
  return list;
}

template <class O>
std::vector<Tensor> train(Draw& d, O&& optimizer) {
  optimizer.step();
  if (d.flag()) optimizer.load_state_dict(damaged(d, optimizer.state_dict()));
  if (d.chance(0.2)) optimizer.set_lr(d.real(0, 1));
  if (d.chance(0.2)) optimizer.set_momentum(d.real(0, 1), static_cast<size_t>(d.between(0, 1)));
  optimizer.step();
  optimizer.zero_grad(d.flag());
  return optimizer.params();
}

void add_optimizers(Calls& calls) {
  calls.add("SGD", [](Draw& d) {
    return train(d, SGD(parameters(d), {.lr = d.real(0, 1),
                                        .momentum = d.flag() ? 0 : d.real(0, 1),
                                        .dampening = d.flag() ? 0 : d.real(0, 1),
                                        .weight_decay = d.real(0, 1),
                                        .nesterov = d.flag(),
                                        .maximize = d.flag()}));
  });
  calls.add("Adam", [](Draw& d) {
    return train(d, Adam(parameters(d), {.lr = d.real(0, 1),
                                         .beta1 = d.real(0, 1),
                                         .beta2 = d.real(0, 1),
                                         .eps = d.real(0, 1),
                                         .weight_decay = d.real(0, 1),
                                         .amsgrad = d.flag(),
                                         .maximize = d.flag()}));
  });
  calls.add("AdamW", [](Draw& d) {
    return train(d, AdamW(parameters(d), {.lr = d.real(0, 1),
                                          .beta1 = d.real(0, 1),
                                          .beta2 = d.real(0, 1),
                                          .eps = d.real(0, 1),
                                          .weight_decay = d.real(0, 1),
                                          .amsgrad = d.flag()}));
  });
  calls.add("Adagrad", [](Draw& d) {
    return train(d, Adagrad(parameters(d), {.lr = d.real(0, 1),
                                            .lr_decay = d.real(0, 1),
                                            .weight_decay = d.real(0, 1),
                                            .initial_accumulator_value = d.real(0, 1),
                                            .eps = d.real(0, 1)}));
  });
  calls.add("RMSprop", [](Draw& d) {
    return train(d, RMSprop(parameters(d), {.lr = d.real(0, 1),
                                            .alpha = d.real(0, 1),
                                            .eps = d.real(0, 1),
                                            .weight_decay = d.real(0, 1),
                                            .momentum = d.flag() ? 0 : d.real(0, 1),
                                            .centered = d.flag()}));
  });
  calls.add("LBFGS", [](Draw& d) {
    const std::vector<Tensor> list = parameters(d);
    LBFGS lbfgs(list, {.lr = d.real(0, 1),
                       .max_iter = d.between(-1, 5),
                       .max_eval = d.between(-1, 9),
                       .tolerance_grad = d.real(0, 1e-3),
                       .tolerance_change = d.real(0, 1e-3),
                       .history_size = d.integer(0, 3),
                       .line_search_fn = d.one_of({LineSearch::none, LineSearch::strong_wolfe})});
    const auto closure = [&] {
      lbfgs.zero_grad();
      Tensor loss = zeros({}, list[0].dtype());
      for (const Tensor& p : list) loss = loss + sum(square(p));
      loss.backward();
      return loss;
    };
    (void)lbfgs.step(closure);
    if (d.flag()) lbfgs.load_state_dict(damaged(d, lbfgs.state_dict()));
    return lbfgs.step(closure);
  });
  calls.add("AveragedWeights", [](Draw& d) {
    AveragedWeights averaged(parameters(d), {.decay = d.real(0, 1)});
    averaged.update();
    averaged.update();
    if (d.flag()) averaged.load_state_dict(damaged(d, averaged.state_dict()));
    averaged.swap();
    averaged.copy_to(d.hostile() ? parameters(d) : averaged.averages());
    return averaged.averages();
  });
  calls.add("clip_grad_norm_", [](Draw& d) {
    (void)clip_grad_norm_(parameters(d), d.real(0, 2), d.real(1, 3), d.flag());
  });
  calls.add("clip_grad_value_", [](Draw& d) { clip_grad_value_(parameters(d), d.real(0, 2)); });
  calls.add("grad", [](Draw& d) {
    const Tensor x = d.floating().tensor();
    return grad(d.flag() ? sum(x * x) : x, {x, d.tensor()});
  });
}

/// Steps, perhaps with the state of another schedule.
template <class S>
void follow(Draw& d, S& schedule) {
  for (int64_t count = d.between(0, 4); count > 0; --count) schedule.step();
  if (d.flag()) schedule.load_state_dict(damaged(d, schedule.state_dict()));
  schedule.step();
  (void)schedule.last_lr();
}

void add_schedules(Calls& calls) {
  calls.add("StepLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    StepLR schedule(sgd, d.integer(1, 3), d.real(0, 1));
    follow(d, schedule);
  });
  calls.add("MultiStepLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    MultiStepLR schedule(sgd, d.integers(2, 0, 4), d.real(0, 1));
    follow(d, schedule);
  });
  calls.add("ExponentialLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    ExponentialLR schedule(sgd, d.real(0, 1));
    follow(d, schedule);
  });
  calls.add("CosineAnnealingLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    CosineAnnealingLR schedule(sgd, d.integer(1, 5), d.real(0, 1));
    follow(d, schedule);
  });
  calls.add("LinearLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    LinearLR schedule(
        sgd,
        {.start_factor = d.real(0, 1), .end_factor = d.real(0, 1), .total_iters = d.integer(1, 5)});
    follow(d, schedule);
  });
  calls.add("LambdaLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    LambdaLR schedule(sgd, [&](int64_t) { return d.real(0, 1); });
    follow(d, schedule);
  });
  calls.add("OneCycleLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1), .momentum = 0.9});
    OneCycleLR schedule(sgd, {.max_lr = d.real(0, 1),
                              .total_steps = d.integer(1, 9),
                              .pct_start = d.real(0, 1),
                              .anneal_strategy = d.one_of({Anneal::cos, Anneal::linear}),
                              .cycle_momentum = d.flag(),
                              .base_momentum = d.real(0, 1),
                              .max_momentum = d.real(0, 1),
                              .div_factor = d.real(1, 9),
                              .final_div_factor = d.real(1, 9),
                              .three_phase = d.flag()});
    follow(d, schedule);
  });
  calls.add("SequentialLR", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    LinearLR first(sgd, {.total_iters = d.integer(1, 4)});
    CosineAnnealingLR second(sgd, d.integer(1, 5), d.real(0, 1));
    SequentialLR schedule(sgd, {first, second}, d.integers(1, 1, 3));
    follow(d, schedule);
  });
  calls.add("ChainedScheduler", [](Draw& d) {
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    LinearLR first(sgd, {.total_iters = d.integer(1, 4)});
    StepLR second(sgd, d.integer(1, 5), d.real(0, 1));
    ChainedScheduler schedule(sgd, {first, second});
    follow(d, schedule);
  });
  calls.add("ReduceLROnPlateau", [](Draw& d) {
    using Options = ReduceLROnPlateauOptions;
    SGD sgd({ones({1}).set_requires_grad()}, {.lr = d.real(0, 1)});
    ReduceLROnPlateau schedule(
        sgd,
        {.mode = d.one_of({Options::Mode::min, Options::Mode::max}),
         .factor = d.real(0, 1),
         .patience = d.integer(0, 2),
         .threshold = d.real(0, 1),
         .threshold_mode = d.one_of({Options::ThresholdMode::rel, Options::ThresholdMode::abs}),
         .cooldown = d.integer(0, 2),
         .min_lr = d.real(0, 0.1),
         .eps = d.real(0, 1e-3)});
    for (int64_t count = d.between(0, 5); count > 0; --count) schedule.step(d.real());
    if (d.flag()) schedule.load_state_dict(damaged(d, schedule.state_dict()));
    schedule.step(d.real());
  });
}

/// What an initializer gets.
Tensor weight(Draw& d) {
  const NoGrad no_grad;
  return d.floating().tensor(d.sizes(d.between(2, 4))).detach();
}

nn::FanMode fan_mode(Draw& d) {
  return d.one_of({nn::FanMode::fan_in, nn::FanMode::fan_out, nn::FanMode::fan_avg});
}
nn::Nonlinearity nonlinearity(Draw& d) {
  return d.one_of({nn::Nonlinearity::linear, nn::Nonlinearity::tanh, nn::Nonlinearity::relu,
                   nn::Nonlinearity::leaky_relu, nn::Nonlinearity::selu});
}

void add_initializers(Calls& calls) {
  using namespace nn::init;
  calls.add("constant_", [](Draw& d) { return constant_(weight(d), d.real()); });
  calls.add("zeros_", [](Draw& d) { return zeros_(weight(d)); });
  calls.add("ones_", [](Draw& d) { return ones_(weight(d)); });
  calls.add("eye_", [](Draw& d) { return eye_(d.tensor(d.sizes(2)).detach()); });
  calls.add("dirac_", [](Draw& d) { return dirac_(weight(d), d.integer(1, 2)); });
  calls.add("normal_", [](Draw& d) { return normal_(weight(d), d.real(), d.real(0, 1)); });
  calls.add("uniform_", [](Draw& d) { return uniform_(weight(d), d.real(-1, 0), d.real(0, 1)); });
  calls.add("trunc_normal_", [](Draw& d) {
    return trunc_normal_(weight(d), d.real(), d.real(0, 1), d.real(-2, 0), d.real(0, 2));
  });
  calls.add("xavier_uniform_", [](Draw& d) { return xavier_uniform_(weight(d), d.real()); });
  calls.add("xavier_normal_", [](Draw& d) { return xavier_normal_(weight(d), d.real(0, 2)); });
  calls.add("kaiming_uniform_", [](Draw& d) {
    return kaiming_uniform_(weight(d), d.real(), fan_mode(d), nonlinearity(d));
  });
  calls.add("kaiming_normal_", [](Draw& d) {
    return kaiming_normal_(weight(d), d.real(), fan_mode(d), nonlinearity(d));
  });
  calls.add("orthogonal_", [](Draw& d) { return orthogonal_(weight(d), d.real()); });
  calls.add("sparse_", [](Draw& d) { return sparse_(weight(d), d.real(0, 1), d.real(0, 1)); });
  calls.add("Init", [](Draw& d) {
    const char* name =
        d.one_of({"zeros", "ones", "normal", "xavier_uniform", "HeNormal", "HeUniform",
                  "TruncatedNormal", "identity", "dirac", "orthogonal", "uniform"});
    return nn::Init(d.text(name)).make(d.shape(), d.floating().dtype());
  });
  calls.add("initializers", [](Draw& d) {
    const Tensor w = weight(d);
    nn::init::TruncatedNormal{d.real(0, 1), d.real(), d.real(-2, 0), d.real(0, 2)}(w);
    nn::init::VarianceScaling{d.real(0, 2), fan_mode(d),
                              d.one_of({nn::Distribution::uniform, nn::Distribution::normal,
                                        nn::Distribution::truncated_normal})}(w);
    nn::init::Sparse{d.real(0, 1), d.real(0, 1)}(w);
    return w;
  });
}

void add_distributions(Calls& calls) {
  using namespace distributions;
  calls.add("Categorical", [](Draw& d) {
    const Sizes sizes = d.floating().sizes(2);
    const Categorical p =
        d.flag() ? Categorical({.logits = d.tensor(sizes)}) : Categorical(d.fraction(sizes));
    const Categorical q({.logits = d.tensor(sizes)});
    return std::vector{p.sample(d.shape()), p.log_prob(d.ids({sizes[0]}, sizes[1])), p.entropy(),
                       p.mode(), kl_divergence(p, q)};
  });
  calls.add("Bernoulli", [](Draw& d) {
    const Sizes sizes = d.floating().sizes(2);
    const Bernoulli p =
        d.flag() ? Bernoulli({.logits = d.tensor(sizes)}) : Bernoulli(d.fraction(sizes));
    const Bernoulli q({.probs = d.fraction(sizes)});
    return std::vector{p.sample(d.shape()), p.log_prob(d.fraction(sizes)), p.entropy(),
                       kl_divergence(p, q)};
  });
  calls.add("Normal", [](Draw& d) {
    const Sizes sizes = d.floating().sizes(2);
    const Tensor loc = d.tensor(sizes);
    const Normal p = d.flag() ? Normal(loc, d.fraction(sizes)) : Normal(loc, d.real(0, 2));
    const Normal q(d.tensor(sizes), d.real(0, 2));
    return std::vector{p.sample(d.shape()), p.rsample(d.shape()), p.log_prob(d.tensor(sizes)),
                       p.entropy(), kl_divergence(p, q)};
  });
}

/// Images of a class each.
data::ImageData images(Draw& d) {
  data::ImageData images{.channels = d.integer(1, 3),
                         .height = d.integer(1, 5),
                         .width = d.integer(1, 5),
                         .num_classes = d.integer(3, 3)};
  const int64_t count = d.between(0, 4);
  const double pixels = static_cast<double>(images.channels) * static_cast<double>(images.height) *
                        static_cast<double>(images.width) * static_cast<double>(count);
  images.pixels.resize(pixels < 0 || pixels > 1e6 ? 8 : static_cast<size_t>(pixels));
  for (int64_t i = 0; i < count; ++i) images.labels.push_back(static_cast<uint8_t>(i % 3));
  return images;
}

void add_data(Calls& calls) {
  calls.add("TensorDataset", [](Draw& d) {
    const Tensor x = d.tensor(d.sizes(2));
    const data::TensorDataset set(x, d.flag() ? Tensor() : d.like());
    (void)set.get(d.integer(0, 2));
    return set.batch(d.integers(2, 0, 2), 1).x;
  });
  calls.add("DataLoader", [](Draw& d) {
    Tensor x = d.tensor({5, 2});
    if (x.size(0) > 1000) x = zeros({5, 2});  // empty, but with many examples
    data::DataLoader loader(data::TensorDataset(x),
                            {.batch_size = d.integer(1, 3),
                             .shuffle = d.flag(),
                             .drop_last = d.flag(),
                             .workers = d.chance(0.9) ? d.between(0, 1) : d.integer(0, 1),
                             .seed = d.flag() ? std::optional<uint64_t>(3) : std::nullopt,
                             .prefetch = d.integer(1, 2)});
    loader.set_epoch(d.integer(0, 3));
    std::vector<Tensor> seen;
    for (const auto& batch : loader) seen.push_back(batch.x);
    loader.load_state_dict(damaged(d, loader.state_dict()));
    for (const auto& batch : loader) seen.push_back(batch.x);
    return seen;
  });
  calls.add("ImageDataset", [](Draw& d) {
    data::Transform transform;
    switch (d.between(0, 3)) {
      case 0:
        transform = data::RandomCrop(d.integer(1, 4), d.integer(0, 2));
        break;
      case 1:
        transform = data::RandomHorizontalFlip(d.real(0, 1));
        break;
      case 2:
        transform = data::Normalize({d.real(0, 1)}, {d.real(0.1, 1)});
        break;
      default:
        break;
    }
    const data::ImageDataset set(images(d), transform);
    Generator random(1);
    (void)set.augmented(d.integer(0, 3), random);
    return set.batch(d.integers(2, 0, 3), 1).x;
  });
}

}  // namespace

Calls training() {
  Calls calls("training");
  add_optimizers(calls);
  add_schedules(calls);
  add_initializers(calls);
  add_distributions(calls);
  add_data(calls);
  return calls;
}

}  // namespace tern::fuzz
