// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "init.h"
#include "module_of.h"

namespace tern {
enum class RecurrentCell : uint8_t;
struct RecurrentWeights;
}  // namespace tern

namespace tern::nn {

/// Options of RNN, as torch.nn.RNN's arguments.
struct RNNOptions {
  int64_t num_layers = 1;                          ///< each but the first takes the one before
  Nonlinearity nonlinearity = Nonlinearity::tanh;  ///< or relu
  bool bias = true;                                ///< whether there are biases
  bool batch_first = false;                        ///< x and y are [batch, steps, ...]
  double dropout = 0;          ///< of every layer's output but the last one's, in training
  bool bidirectional = false;  ///< a second net runs backwards; y has the outputs of both
};
/// Options of GRU, as torch.nn.GRU's arguments.
struct GRUOptions {
  int64_t num_layers = 1;      ///< as RNNOptions, like all below
  bool bias = true;            ///< whether there are biases
  bool batch_first = false;    ///< x and y are [batch, steps, ...]
  double dropout = 0;          ///< of every layer's output but the last one's, in training
  bool bidirectional = false;  ///< a second net runs backwards; y has the outputs of both
};
/// Options of LSTM, as torch.nn.LSTM's arguments.
struct LSTMOptions {
  int64_t num_layers = 1;      ///< as RNNOptions, like all but the last
  bool bias = true;            ///< whether there are biases
  bool batch_first = false;    ///< x and y are [batch, steps, ...]
  double dropout = 0;          ///< of every layer's output but the last one's, in training
  bool bidirectional = false;  ///< a second net runs backwards; y has the outputs of both
  int64_t proj_size = 0;       ///< the size of h, which is weight_hr times the cell's output
};

/// An LSTM's state: h [layers * directions, batch, outputs] and c [layers * directions, batch,
/// hidden_size], of an LSTMCell without the first axis. `auto [h, c] = state`.
using LSTMState = std::tuple<Tensor, Tensor>;
/// An LSTM's result: y and the last state. `auto [y, state] = lstm(x)`.
using LSTMOutput = std::tuple<Tensor, LSTMState>;
/// The result of an RNN or a GRU: y, and h after the last step. `auto [y, h] = gru(x)`.
using RNNOutput = std::tuple<Tensor, Tensor>;

/// What RNN, LSTM and GRU have in common: x [steps, batch, input_size] (with batch_first [batch,
/// steps, input_size]; [steps, input_size] is one sequence) gives y [steps, batch, outputs], where
/// outputs are hidden_size, or LSTM's proj_size, and twice that in both directions. The initial
/// state is zero unless it is given, in the shape that the last state has: [layers * directions,
/// batch, ...], layer by layer, forwards before backwards; without batch for one sequence.
///
/// `lengths`, one for each sequence of the batch in any order, say how many steps of it count, as
/// PyTorch's packed sequences do: y is 0 in the others, the last state is that of the last step
/// that counts, and what runs backwards begins there.
///
/// Parameters of layer k: weight_ih_lk [gates * hidden_size, inputs], weight_hh_lk [gates *
/// hidden_size, outputs], bias_ih_lk and bias_hh_lk [gates * hidden_size], weight_hr_lk [proj_size,
/// hidden_size]; backwards with the ending _reverse. All begin uniform within 1 /
/// sqrt(hidden_size). These are PyTorch's names and the order of its gates.
///
/// A layer is one node of the graph: one product with the inputs of all steps, and one fused step
/// for each. Throws Error for shapes and dtypes that do not fit.
class RNNBase : public Module {
 public:
  int64_t input_size() const { return input_size_; }       ///< as given
  int64_t hidden_size() const { return hidden_size_; }     ///< as given
  int64_t num_layers() const { return num_layers_; }       ///< as given
  bool bidirectional() const { return directions_ == 2; }  ///< as given
  bool batch_first() const { return batch_first_; }        ///< as given
  double dropout() const { return dropout_; }              ///< as given
  /// Draws new initial values.
  void reset_parameters();
  std::string extra_repr() const override;

 protected:
  /// Registers the parameters of all layers. Throws Error for options out of range.
  RNNBase(const char* name, RecurrentCell cell, int64_t input_size, int64_t hidden_size,
          const LSTMOptions& options);
  /// y, h, and c for an LSTM.
  std::vector<Tensor> run(const Tensor& x, const Tensor& h0, const Tensor& c0,
                          const std::vector<int64_t>& lengths) const;

 private:
  void check(const Tensor& x, const Tensor& h0, const Tensor& c0,
             const std::vector<int64_t>& lengths) const;
  void check_state(const char* name, const Tensor& state, const Tensor& x, int64_t size) const;
  RecurrentWeights weights(int64_t part) const;

  const char* name_;
  RecurrentCell cell_;
  int64_t input_size_, hidden_size_, num_layers_, directions_, proj_size_;
  bool bias_, batch_first_;
  double dropout_;
  std::vector<Tensor> weights_;  // five for each layer and direction
};

/// h_t = act(weight_ih x_t + bias_ih + weight_hh h_(t-1) + bias_hh), a net of Elman's, in one or
/// several layers: see RNNBase.
class RNN : public ModuleOf<RNN, RNNBase> {
 public:
  /// Throws Error for options out of range.
  RNN(int64_t input_size, int64_t hidden_size, RNNOptions options = {});
  /// y and the last h, from the initial h (undefined: zero).
  RNNOutput forward(const Tensor& x, const Tensor& h0 = {},
                    const std::vector<int64_t>& lengths = {});
  RNNOutput forward(const Tensor& x, const std::vector<int64_t>& lengths);  ///< from zero
};

/// Long short-term memory (Hochreiter and Schmidhuber, 1997), in one or several layers: see
/// RNNBase. Gates i, f, g, o are the parts of weight_ih x_t + bias_ih + weight_hh h_(t-1) +
/// bias_hh:
///   c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),  h_t = sigmoid(o) tanh(c_t)
/// and with proj_size h_t = weight_hr (sigmoid(o) tanh(c_t)).
class LSTM : public ModuleOf<LSTM, RNNBase> {
 public:
  /// Throws Error for options out of range.
  LSTM(int64_t input_size, int64_t hidden_size, LSTMOptions options = {});
  /// y and the last state, from the initial state (undefined tensors: zero).
  LSTMOutput forward(const Tensor& x, const LSTMState& state = {},
                     const std::vector<int64_t>& lengths = {});
  LSTMOutput forward(const Tensor& x, const std::vector<int64_t>& lengths);  ///< from zero
};

/// Gated recurrent unit (Cho and others, 2014), in one or several layers: see RNNBase. With parts
/// r, z, n of weight_ih x_t + bias_ih and R, Z, N of weight_hh h_(t-1) + bias_hh:
///   n_t = tanh(n + sigmoid(r + R) N),  h_t = (1 - sigmoid(z + Z)) n_t + sigmoid(z + Z) h_(t-1)
class GRU : public ModuleOf<GRU, RNNBase> {
 public:
  /// Throws Error for options out of range.
  GRU(int64_t input_size, int64_t hidden_size, GRUOptions options = {});
  /// y and the last h, from the initial h (undefined: zero).
  RNNOutput forward(const Tensor& x, const Tensor& h0 = {},
                    const std::vector<int64_t>& lengths = {});
  RNNOutput forward(const Tensor& x, const std::vector<int64_t>& lengths);  ///< from zero
};

/// Options of RNNCell.
struct RNNCellOptions {
  bool bias = true;                                ///< whether there are biases
  Nonlinearity nonlinearity = Nonlinearity::tanh;  ///< or relu
};
/// Options of LSTMCell and GRUCell.
struct RecurrentCellOptions {
  bool bias = true;  ///< whether there are biases
};

/// What RNNCell, LSTMCell and GRUCell have in common: one step of x [batch, input_size], or
/// [input_size], for a loop of one's own. Parameters: weight_ih, weight_hh, bias_ih, bias_hh, as
/// those of one layer (RNNBase). Throws Error for shapes and dtypes that do not fit.
class RNNCellBase : public Module {
 public:
  int64_t input_size() const { return weight_ih_.size(1); }   ///< as given
  int64_t hidden_size() const { return weight_hh_.size(1); }  ///< as given
  /// Draws new initial values.
  void reset_parameters();
  std::string extra_repr() const override;

 protected:
  /// Registers the parameters. Throws Error unless both sizes are at least 1.
  RNNCellBase(const char* name, RecurrentCell cell, int64_t input_size, int64_t hidden_size,
              bool bias);
  /// h, and c for an LSTM.
  std::vector<Tensor> run(const Tensor& x, const Tensor& h, const Tensor& c) const;

 private:
  const char* name_;
  RecurrentCell cell_;
  Tensor weight_ih_, weight_hh_, bias_ih_, bias_hh_;
};

/// One step of an RNN: the next h [batch, hidden_size].
class RNNCell : public ModuleOf<RNNCell, RNNCellBase> {
 public:
  /// Throws Error unless both sizes are at least 1.
  RNNCell(int64_t input_size, int64_t hidden_size, RNNCellOptions options = {});
  /// The next h; an undefined one is zero.
  Tensor forward(const Tensor& x, const Tensor& h);
  Tensor forward(const Tensor& x) override { return forward(x, Tensor()); }
};

/// One step of an LSTM: `auto [h, c] = cell(x, nn::LSTMState(h, c))`.
class LSTMCell : public ModuleOf<LSTMCell, RNNCellBase> {
 public:
  /// Throws Error unless both sizes are at least 1.
  LSTMCell(int64_t input_size, int64_t hidden_size, RecurrentCellOptions options = {});
  /// The next state; undefined tensors are zero.
  LSTMState forward(const Tensor& x, const LSTMState& state = {});
};

/// One step of a GRU: the next h [batch, hidden_size].
class GRUCell : public ModuleOf<GRUCell, RNNCellBase> {
 public:
  /// Throws Error unless both sizes are at least 1.
  GRUCell(int64_t input_size, int64_t hidden_size, RecurrentCellOptions options = {});
  /// The next h; an undefined one is zero.
  Tensor forward(const Tensor& x, const Tensor& h);
  Tensor forward(const Tensor& x) override { return forward(x, Tensor()); }
};

}  // namespace tern::nn
