// SPDX-License-Identifier: Apache-2.0
#include "rnn_steps.h"

#include <algorithm>

#include "../../core/internal/memory.h"
#include "matmul.h"

namespace tern::kernels::rnn {

template <class T>
void forward_rows(const Layer<T>& layer, const Forward<T>& x, const StepKernels<T>& kernels,
                  int64_t begin, int64_t end) {
  const Cells<T>& cells = kernels.cells;
  const int64_t n = layer.hidden, outputs = layer.outputs, width = layer.width();
  for (int64_t i = 0; i < layer.steps; ++i) {
    const int64_t t = layer.step(i), place = t * layer.batch;
    kernels.hidden.run(x.h + begin * outputs, begin, end);
    kernels.for_rows(begin, end, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        T* y = x.y + (place + row) * outputs;
        T* raw = x.raw ? x.raw + (place + row) * n : y;
        if (!layer.counts(t, row)) {
          std::fill_n(y, outputs, T{});
          if (x.raw) std::fill_n(raw, n, T{});
          continue;
        }
        T* hidden = kernels.hidden.y + row * kernels.hidden.y_stride;
        T* gates = x.gates + (place + row) * width;
        T* kept = x.kept ? x.kept + (place + row) * n : nullptr;
        T* h = x.h + row * outputs;
        switch (layer.cell) {
          case Cell::tanh:
            cells.tanh(n, hidden, y);
            break;
          case Cell::relu:
            cells.relu(n, hidden, y);
            break;
          case Cell::lstm: {
            T* c = x.c + row * n;
            cells.lstm(n, hidden, gates, c, raw);
            if (kept) std::copy_n(c, n, kept);
            break;
          }
          case Cell::gru:
            cells.gru(n, hidden, layer.b_hn, gates, kept ? kept : hidden + 2 * n, h);
            std::copy_n(h, n, y);
            continue;
        }
        if (!x.raw) std::copy_n(y, outputs, h);
      }
    });
    if (!x.raw) continue;
    kernels.projection.run(x.raw + (place + begin) * n, begin, end);
    for (int64_t row = begin; row < end; ++row) {
      if (!layer.counts(t, row)) continue;
      const T* projected = kernels.projection.y + row * kernels.projection.y_stride;
      std::copy_n(projected, outputs, x.y + (place + row) * outputs);
      std::copy_n(projected, outputs, x.h + row * outputs);
    }
  }
}

template <class T>
void backward_rows(const Layer<T>& layer, const Backward<T>& x, const StepKernels<T>& kernels,
                   int64_t begin, int64_t end) {
  const Cells<T>& cells = kernels.cells;
  const int64_t n = layer.hidden, outputs = layer.outputs, width = layer.width();
  for (int64_t i = layer.steps - 1; i >= 0; --i) {
    const int64_t t = layer.step(i), place = t * layer.batch;
    const int64_t place_before = (layer.reverse ? t + 1 : t - 1) * layer.batch;
    kernels.for_rows(begin, end, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const int64_t at = (place + row) * outputs;
        T* dh = x.dh + row * outputs;
        const bool counts = layer.counts(t, row);
        for (int64_t j = 0; counts && x.dy && j < outputs; ++j) dh[j] += x.dy[at + j];
        if (!x.dprojected) continue;
        if (counts) {
          std::copy_n(dh, outputs, x.dprojected + at);
        } else {
          std::fill_n(x.dprojected + at, outputs, T{});
        }
      }
    });
    if (x.dprojected) kernels.projection.run(x.dh + begin * outputs, begin, end);
    kernels.for_rows(begin, end, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        T* dgates = x.dgates + (place + row) * width;
        T* dhidden = x.dhidden + (place + row) * width;
        if (!layer.counts(t, row)) {
          std::fill_n(dgates, width, T{});
          std::fill_n(dhidden, width, T{});
          continue;
        }
        const T* gates = x.gates + (place + row) * width;
        const T* y = x.y + (place + row) * outputs;
        const bool is_first = layer.first(t, row);
        T* dh = x.dh + row * outputs;
        const auto before = [&](const T* initial, const T* all, int64_t size) {
          return is_first ? initial + row * size : all + (place_before + row) * size;
        };
        switch (layer.cell) {
          case Cell::tanh:
            cells.tanh_backward(n, y, dh, dgates);
            break;
          case Cell::relu:
            cells.relu_backward(n, y, dh, dgates);
            break;
          case Cell::lstm: {
            const T* draw =
                x.dprojected ? kernels.projection.y + row * kernels.projection.y_stride : dh;
            cells.lstm_backward(n, gates, before(x.c0, x.kept, n), x.kept + (place + row) * n, draw,
                                x.dc + row * n, dgates);
            break;
          }
          case Cell::gru:
            cells.gru_backward(n, gates, x.kept + (place + row) * n, before(x.h0, x.y, n), dh,
                               dgates, dhidden);
            break;
        }
      }
    });
    kernels.hidden.run(x.dhidden + (place + begin) * width, begin, end);
    for (int64_t row = begin; row < end; ++row) {
      if (!layer.counts(t, row)) continue;
      const T* of_gates = kernels.hidden.y + row * kernels.hidden.y_stride;
      T* dh = x.dh + row * outputs;
      if (layer.cell == Cell::gru) {
        for (int64_t j = 0; j < outputs; ++j) dh[j] += of_gates[j];
      } else {
        std::copy_n(of_gates, outputs, dh);
      }
    }
  }
}

namespace {

// Elements of a cell's row that are worth a thread.
constexpr int64_t kCells = 4096;

template <class T, class Run>
void by_step(const Layer<T>& layer, const Cells<T>& cells, bool backward, const Run& run) {
  const int64_t batch = layer.batch, n = layer.hidden;
  // a [batch, k] times weights [k, columns], or their transpose [columns, k]
  const auto multiply = [&](const T* a, int64_t k, const T* weights, int64_t columns, T* y) {
    matmul(MatmulShape{1, batch, columns, k, false, !backward, false, false}, a, weights,
           static_cast<const T*>(nullptr), y);
  };
  const int64_t columns = backward ? layer.outputs : layer.width();
  const int64_t depth = backward ? layer.width() : layer.outputs;
  const int64_t projected = backward ? n : layer.outputs,
                unprojected = backward ? layer.outputs : n;
  const memory::Scratch scratch(static_cast<size_t>(batch * (columns + projected)) * sizeof(T));
  T *hidden = scratch.as<T>(), *projection = hidden + batch * columns;
  const auto of_hidden = [&](const T* a, int64_t, int64_t) {
    multiply(a, depth, layer.w_hh, columns, hidden);
  };
  const auto of_projection = [&](const T* a, int64_t, int64_t) {
    multiply(a, unprojected, layer.w_hr, projected, projection);
  };
  const int64_t grain = std::max<int64_t>(1, kCells / layer.width());
  const auto for_rows = [&](int64_t, int64_t, typename StepKernels<T>::Rows rows) {
    parallel_for(batch, grain, rows);
  };
  run(StepKernels<T>{
      cells, {of_hidden, hidden, columns}, {of_projection, projection, projected}, for_rows});
}

}  // namespace

template <class T>
void forward_by_step(const Layer<T>& layer, const Forward<T>& tensors, const Cells<T>& cells) {
  by_step(layer, cells, false, [&](const StepKernels<T>& kernels) {
    forward_rows(layer, tensors, kernels, 0, layer.batch);
  });
}

template <class T>
void backward_by_step(const Layer<T>& layer, const Backward<T>& tensors, const Cells<T>& cells) {
  by_step(layer, cells, true, [&](const StepKernels<T>& kernels) {
    backward_rows(layer, tensors, kernels, 0, layer.batch);
  });
}

template void forward_rows(const Layer<float>&, const Forward<float>&, const StepKernels<float>&,
                           int64_t, int64_t);
template void backward_rows(const Layer<float>&, const Backward<float>&, const StepKernels<float>&,
                            int64_t, int64_t);
template void forward_by_step(const Layer<float>&, const Forward<float>&, const Cells<float>&);
template void forward_by_step(const Layer<double>&, const Forward<double>&, const Cells<double>&);
template void backward_by_step(const Layer<float>&, const Backward<float>&, const Cells<float>&);
template void backward_by_step(const Layer<double>&, const Backward<double>&, const Cells<double>&);

}  // namespace tern::kernels::rnn
