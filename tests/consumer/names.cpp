// SPDX-License-Identifier: Apache-2.0
// Every public name that existing programs may use, used as they use it: none may disappear.
#include <tern/tern.h>

#include <span>
#include <string>
#include <vector>

using namespace tern;

namespace {

void tensors() {
  set_num_threads(num_threads());
  manual_seed(1);
  const Shape shape = {2, 3};
  const bool same = shape.size() == 2 && shape[1] == 3 && shape == Shape{2, 3};
  Tensor a = zeros({2, 3});
  Tensor b = zeros({2, 3}, DType::f64);
  Tensor c = full({2}, 3.0);
  Tensor d = tensor(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  Tensor e = tensor(std::vector<double>{1, 2}, {2});
  Tensor f = tensor(std::vector<int64_t>{1, 2}, {2});
  Tensor g = ones({2}) + rand({2}) + randn({2}) + arange(2).to(DType::f32);
  const DType dtypes[] = {DType::f32, DType::f64, DType::bf16, DType::i64, DType::u8};
  d.set_requires_grad();
  Tensor y = sum(d * d + d - d / 2.0 + 1.0);
  y.backward();
  Tensor z = d * d;
  z.backward(ones({2, 3}));
  const std::span<float> values = d.data<float>();
  const std::vector<float> copy = d.grad().to_vector<float>();
  if (!same || y.item<float>() == 0 || values.size() != copy.size() || d.dim() != 2 ||
      d.size(0) != 2 || d.numel() != 6 || d.dtype() != dtypes[0] || !d.defined() ||
      d.detach().requires_grad()) {
    throw Error("tensors");
  }
}

void functions() {
  Tensor x = randn({2, 4, 8, 8}).set_requires_grad();
  Tensor w = randn({6, 4, 3, 3}).set_requires_grad();
  Tensor h = conv2d(x, w);
  h = max_pool2d(h, 2);
  h = avg_pool2d(h, 2);
  h = adaptive_avg_pool2d(h, 1);
  h = batch_norm(h, zeros({6}), ones({6}));
  h = batch_norm_relu(h, zeros({6}), ones({6}));
  h = add_relu(h, h);
  h = reshape(h, {2, 6});
  h = transpose(transpose(flatten(h, 1), 0, 1), 0, 1);
  h = linear(h, randn({3, 6}), zeros({3}));
  h = relu(h) + leaky_relu(h) + sigmoid(h) + tanh(h) + gelu(h) + silu(h) + exp(h) + log(exp(h)) +
      sqrt(exp(h));
  h = cat({h, dropout(h)}, 0);
  h = matmul(h, transpose(h, 0, 1));
  h = softmax(h, 1) + log_softmax(h, 1);
  const Tensor classes = tensor(std::vector<int64_t>{0, 1, 2, 3}, {4});
  Tensor loss = cross_entropy(h, classes, {.ignore_index = 3, .label_smoothing = 0.1}) +
                cross_entropy(h, classes, {.reduction = Reduction::sum}) + mse_loss(h, h) + mean(h);
  const std::vector<Tensor> gradients = grad(loss, {x, w}, {.create_graph = false});
  const NoGrad no_grad;
  if (gradients.size() != 2 || x.grad().defined()) throw Error("functions");
}

class Net : public nn::Module {
  nn::Conv2d conv{1,
                  8,
                  3,
                  {.stride = 1,
                   .padding = 1,
                   .dilation = 1,
                   .groups = 1,
                   .bias = false,
                   .data_format = DataFormat::NCHW}};
  nn::BatchNorm2d bn{8,
                     {.eps = 1e-5,
                      .momentum = Momentum::keep(0.9),
                      .affine = true,
                      .gamma_init = "ones",
                      .beta_init = "zeros",
                      .moving_mean_init = "zeros",
                      .moving_var_init = "ones",
                      .use_batch_statistics = std::nullopt,
                      .data_format = DataFormat::NCHW,
                      .track_running_stats = true,
                      .running_var = RunningVar::unbiased}};
  nn::Linear fc{8 * 4 * 4, 10, {.bias = true}};
  Tensor scale, offset;

 public:
  Net() {
    register_module("conv", conv);
    register_module("bn", bn);
    register_module("fc", fc);
    scale = register_parameter("scale", ones({10}));
    offset = register_buffer("offset", zeros({10}));
  }
  Tensor forward(const Tensor& x) override {
    return fc(flatten(max_pool2d(bn.forward_relu(conv(x)), 2), 1)) * scale + offset;
  }
};

void modules() {
  Net net;
  net.train();
  net.train(true);
  const Tensor x = randn({4, 1, 8, 8});
  Tensor y = net(x) + net.forward(x);
  net.eval();
  net.zero_grad();
  Net copy = net.clone();
  const auto dict = net.state_dict();
  copy.load_state_dict(dict);
  copy.to(DType::f64);
  nn::BatchNorm2d bn(3, {.momentum = Momentum::update(0.1)});
  nn::BatchNorm2d cumulative(3, {.momentum = Momentum::cumulative()});
  nn::BatchNorm2d inits(3, {.gamma_init = 0.5, .beta_init = zeros({3})});
  nn::Sequential sequential(nn::Conv2d(1, 2, 3), nn::BatchNorm2d(2), nn::ReLU(), nn::MaxPool2d(2),
                            nn::AvgPool2d(1), nn::AdaptiveAvgPool2d(1), nn::Flatten(),
                            nn::Dropout(0.1), nn::Identity(), nn::Linear(2, 2));
  sequential(x);
  const bool named = net.named_parameters().size() == net.parameters().size() &&
                     net.named_buffers().size() == 4 && dict.contains("bn.num_batches_tracked") &&
                     bn.weight().defined() && bn.bias().defined() && bn.running_mean().defined() &&
                     bn.running_var().defined() && bn.num_batches_tracked().defined();
  if (!named || net.is_training() || !y.defined()) throw Error("modules");

  optim::SGD sgd(
      net.parameters(),
      {.lr = 0.1, .momentum = 0.9, .dampening = 0.0, .weight_decay = 5e-4, .nesterov = false});
  optim::Adam adam(net.parameters(),
                   {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0});
  optim::AdamW adamw(net.parameters(), {.lr = 1e-3});
  sgd.zero_grad();
  sgd.step();
  sgd.set_lr(sgd.lr() / 2);
  sgd.load_state_dict(sgd.state_dict());
}

void files(const std::string& directory) {
  const std::string path = directory + "/names.safetensors";
  Net net;
  io::save_safetensors(net.state_dict(), path);
  net.load_state_dict(io::load_safetensors(path));
  net.load_state_dict(io::load_weights(path));
  io::save_pytorch(net.state_dict(), directory + "/names.pt");
  net.load_state_dict(io::load_pytorch(directory + "/names.pt"));
  io::save_npz(net.state_dict(), directory + "/names.npz");
  net.load_state_dict(io::load_npz(directory + "/names.npz"));
  io::save_npy(zeros({2}), directory + "/names.npy");
  const Tensor array = io::load_npy(directory + "/names.npy");
  io::write_file_atomically(directory + "/names.ckpt",
                            "\x0a\x21\x0a\x08"
                            "bn.gamma"
                            "\x12\x15\x08\x02\x12\x07"
                            "Float32"
                            "\x1a\x08"
                            "********");
  const StateDict checkpoint = io::load_mindspore(directory + "/names.ckpt");
  if (array.numel() + checkpoint.at("bn.gamma").numel() != 4) throw Error("files");
  const StateDict part = io::pick(io::rename(net.state_dict(), {{"^", "net."}}), "net.");
  net.load_state_dict(part);
}

void checks() {
  const Tensor x = randn({3}, DType::f64).set_requires_grad();
  testing::gradcheck([](const std::vector<Tensor>& inputs) { return tanh(inputs[0]); }, {x});
  try {
    (void)(zeros({2}) + zeros({3}));
  } catch (const std::runtime_error& error) {
    if (dynamic_cast<const Error*>(&error)) return;
  }
  throw Error("checks");
}

}  // namespace

int main(int argc, char** argv) {
  tensors();
  functions();
  modules();
  files(argc > 1 ? argv[1] : ".");
  checks();
}
