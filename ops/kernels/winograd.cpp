// SPDX-License-Identifier: Apache-2.0
#include "winograd.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "../../core/error.h"
#include "../../core/internal/memory.h"
#include "../../core/op_scope.h"
#include "isa.h"
#include "winograd_kernels.h"
#include "winograd_tiles.h"

namespace tern::kernels::winograd {
namespace {

// ---- Forward and backward data ----

/// y = x * w and the epilogue, for either direction: backward data is a convolution (with stride 2
/// a transposed one) of dy with the turned weights, "in" and "out" exchanged.
struct Convolution {
  const Transforms& transforms;
  Tiles tiles;
  Images<const float> x;
  Window x_window;
  Images<float> y;
  Window y_window;
  Weights weights;
  Epilogue epilogue;

  int64_t in() const { return x.channels; }
  int64_t out() const { return y.channels; }
  int64_t products() const { return int64_t{transforms.products} * transforms.products; }
};

/// Pixels outside of the image: what is read there is zero, what is written there is lost.
struct Outside {
  explicit Outside(const Convolution& conv)
      : zeros(float_bytes(conv.in())), lost(float_bytes(conv.out())) {
    std::memset(zeros.as<float>(), 0, float_bytes(conv.in()));
  }
  memory::Scratch zeros, lost;
};

/// V of tiles [first, first + count), as tiles [to, to + count) of v.
void transform_inputs(const Convolution& conv, const float* zeros, int64_t first, int64_t count,
                      float* v, const TransformedTiles& layout, int64_t to) {
  transform_tiles(conv.transforms.input, conv.tiles, conv.x, conv.x_window, zeros, first, count, v,
                  layout, to);
}

/// y of `channels` outputs from first_channel for tiles [first, first + count), from
/// m[xi][tile][out]
void transform_outputs(const Convolution& conv, float* lost, int64_t first, int64_t count,
                       const float* m, int64_t row, int64_t xi_stride, int64_t first_channel,
                       int64_t channels) {
  conv.tiles.for_each(first, count, conv.y, conv.y_window, lost,
                      [&](float** tile, float** next, int64_t i) {
                        conv.transforms.output(m + i * row, xi_stride, conv.epilogue, first_channel,
                                               channels, tile, next);
                      });
}

/// Schedule A, few weights or many tiles: U of all weights first; then each task takes a few tiles
/// through all three steps, 64 output channels at a time, with V and M in the second-level cache.
void convolve_by_tiles(const Kernels& kernels, const Convolution& conv, int threads) {
  constexpr int64_t kPanel = 64;
  const int64_t panels = divide_up(conv.out(), kPanel);
  const int64_t block = conv.out() < kPanel ? 2 * kernels.tiles : kernels.tiles;
  const auto panel_width = [&](int64_t panel) {
    return round_up(std::min(kPanel, conv.out() - panel * kPanel), kernels.lanes);
  };
  const int64_t u_panel = kPoints * padded(conv.in() * kPanel);  // u[panel][xi][in][width]
  const auto u_xi = [&](int64_t panel) { return padded(conv.in() * panel_width(panel)); };
  const TransformedTiles v_layout(conv.transforms, block, conv.in(), kernels.lanes);
  const int64_t m_xi = padded(block * panel_width(0));
  const int64_t u_floats = panels * u_panel;

  const bool own_u = conv.in() * conv.out() <= kMaxOwnWeights;
  const memory::Scratch u_memory(own_u ? 0 : float_bytes(u_floats));
  const OwnMemory own_memory(threads,
                             v_layout.floats + conv.products() * m_xi + (own_u ? u_floats : 0));
  const Outside outside(conv);

  // U of input channels [in, in + ins) for the output channels of a panel.
  const auto transform_weights = [&](int64_t panel, int64_t in, int64_t ins, float* u) {
    Weights part = conv.weights;
    part.w += panel * kPanel * part.out_stride + in * part.in_stride;
    conv.transforms.weights(part, std::min(kPanel, conv.out() - panel * kPanel), ins,
                            u + panel * u_panel + in * panel_width(panel), panel_width(panel),
                            u_xi(panel));
  };
  const auto own_u_is_ready = std::make_unique<bool[]>(static_cast<size_t>(threads));
  if (!own_u) {
    constexpr int64_t kInsAtOnce = 16;
    const int64_t parts = divide_up(conv.in(), kInsAtOnce);
    run_tasks(threads, panels * parts, [&](int, int64_t task) {
      const int64_t in = task % parts * kInsAtOnce;
      transform_weights(task / parts, in, std::min(kInsAtOnce, conv.in() - in),
                        u_memory.as<float>());
    });
  }

  run_tasks(threads, divide_up(conv.tiles.count, block), [&](int thread, int64_t task) {
    float* v = own_memory.of(thread);
    float* m = v + v_layout.floats;
    float* u = own_u ? m + conv.products() * m_xi : u_memory.as<float>();
    if (own_u && !std::exchange(own_u_is_ready[static_cast<size_t>(thread)], true)) {
      for (int64_t panel = 0; panel < panels; ++panel) transform_weights(panel, 0, conv.in(), u);
    }
    const int64_t first = task * block, count = std::min(block, conv.tiles.count - first);
    transform_inputs(conv, outside.zeros.as<float>(), first, count, v, v_layout, 0);
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t width = panel_width(panel);
      for_products(conv.transforms, [&](int xi, int weight, bool) {
        for_chunks(conv.in(), [&](int64_t in, int64_t ins) {
          kernels.product->multiply({.a = v + v_layout.offset(in, xi, 0),
                                     .a_stride = v_layout.row,
                                     .b = u + panel * u_panel + weight * u_xi(panel) + in * width,
                                     .b_stride = width,
                                     .m = m + xi * m_xi,
                                     .m_stride = width,
                                     .rows = count,
                                     .columns = width,
                                     .depth = ins,
                                     .add = in > 0});
        });
      });
      transform_outputs(conv, outside.lost.as<float>(), first, count, m, width, m_xi,
                        panel * kPanel, std::min(kPanel, conv.out() - panel * kPanel));
    }
  });
}

/// Schedule B, many weights and few tiles (V smaller than U): V of all tiles first; then each task
/// takes a few output channels and transforms their weights chunk by chunk. U never exists in
/// memory.
void convolve_by_channels(const Kernels& kernels, const Convolution& conv, int threads) {
  const int64_t max_tiles = 5184 / conv.products();  // M of 64 channels: 1.3 MB
  int64_t width = 64;                                // narrower where that keeps the threads busy
  while (width > 16 && conv.out() < 2 * threads * width) width /= 2;
  const int64_t groups = divide_up(conv.out(), width);
  const int64_t block = std::min(max_tiles, conv.tiles.count);
  const TransformedTiles v_layout(conv.transforms, conv.tiles.count, conv.in(), kernels.lanes);
  const int64_t u_xi = padded(kChunk * width), m_xi = padded(block * width);

  const memory::Scratch v_memory(float_bytes(v_layout.floats));
  const OwnMemory own_memory(threads, kPoints * u_xi + conv.products() * m_xi);
  const Outside outside(conv);
  float* v = v_memory.as<float>();

  constexpr int64_t kTilesAtOnce = 4;
  run_tasks(threads, divide_up(conv.tiles.count, kTilesAtOnce), [&](int, int64_t task) {
    const int64_t first = task * kTilesAtOnce;
    transform_inputs(conv, outside.zeros.as<float>(), first,
                     std::min(kTilesAtOnce, conv.tiles.count - first), v, v_layout, first);
  });

  run_tasks(threads, groups * divide_up(conv.tiles.count, block), [&](int thread, int64_t task) {
    float* u = own_memory.of(thread);
    float* m = u + kPoints * u_xi;
    const int64_t first_out = task % groups * width, outs = std::min(width, conv.out() - first_out);
    const int64_t columns = round_up(outs, kernels.lanes);
    const int64_t first = task / groups * block, count = std::min(block, conv.tiles.count - first);
    for_chunks(conv.in(), [&](int64_t in, int64_t ins) {
      Weights part = conv.weights;
      part.w += first_out * part.out_stride + in * part.in_stride;
      conv.transforms.weights(part, outs, ins, u, width, u_xi);
      for_products(conv.transforms, [&](int xi, int weight, bool) {
        kernels.product->multiply({.a = v + v_layout.offset(in, xi, first),
                                   .a_stride = v_layout.row,
                                   .b = u + weight * u_xi,
                                   .b_stride = width,
                                   .m = m + xi * m_xi,
                                   .m_stride = width,
                                   .rows = count,
                                   .columns = columns,
                                   .depth = ins,
                                   .add = in > 0});
      });
    });
    transform_outputs(conv, outside.lost.as<float>(), first, count, m, width, m_xi, first_out,
                      outs);
  });
}

void convolve(const Kernels& kernels, const Convolution& conv) {
  const int threads = num_threads();
  if (conv.tiles.count == 0) return;
  if (conv.in() * conv.out() > kMaxOwnWeights && conv.tiles.count < conv.out()) {
    convolve_by_channels(kernels, conv, threads);
  } else {
    convolve_by_tiles(kernels, conv, threads);
  }
}

}  // namespace

bool available() { return isa_kernels().winograd != nullptr; }

const Kernels& kernels_for(cpu::Isa isa) {
  const Kernels* kernels = isa <= cpu::isa() ? kernels_of(isa).winograd : nullptr;
  if (!kernels) {
    fail("winograd",
         "this CPU lacks AVX2 and FMA (or AVX-512, where that is asked for), or "
         "ONEDNN_MAX_CPU_ISA forbids them; use the direct convolution");
  }
  constexpr const char* kNames[] = {"winograd", "winograd:avx2", "winograd:avx512"};
  OpScope::implementation(kNames[static_cast<size_t>(isa)]);
  return *kernels;
}

const Transforms& transforms_of(const Kernels& kernels, const Shape& s) {
  return s.stride == 1 ? kernels.stride_1 : kernels.stride_2;
}

Tiles tiles_of(const Shape& s) {
  return {s.n, divide_up(s.output_h(), kTile), divide_up(s.output_w(), kTile)};
}

Window patches_of(const Kernels& kernels, const Shape& s) {
  const Transforms& transforms = transforms_of(kernels, s);
  return {transforms.patch, transforms.step, -s.pad_h, -s.pad_w};
}

void check(const char* op, const Shape& s) {
  if (s.n < 0 || s.c < 1 || s.k < 1 || s.h < 1 || s.w < 1) {
    fail(op, "found sizes n ", s.n, ", c ", s.c, ", k ", s.k, ", h ", s.h, ", w ", s.w,
         "; all but n must be at least 1");
  }
  if (s.stride != 1 && s.stride != 2) {
    fail(op, "found stride ", s.stride, "; Winograd computes 1 and 2");
  }
  if (s.pad_h < 0 || s.pad_h > 2 || s.pad_w < 0 || s.pad_w > 2) {
    fail(op, "found padding ", s.pad_h, ", ", s.pad_w, "; Winograd computes 0 to 2");
  }
  if (s.output_h() < 1 || s.output_w() < 1) {
    fail(op, "an image of ", s.h, "x", s.w, " with padding ", s.pad_h, ", ", s.pad_w,
         " is smaller than the 3x3 kernel");
  }
}

bool profitable(const Shape& s) {
  if (!available() || s.output_h() < 1 || s.output_w() < 1) return false;
  const Tiles tiles = tiles_of(s);
  const bool vectors_filled = s.c >= 8 && s.k >= 8 && s.c * s.k >= (s.stride == 1 ? 256 : 1024);
  const bool tiles_filled = 2 * s.n * s.output_h() * s.output_w() >= tiles.count * kTile * kTile;
  const bool worth_the_weights = tiles.count >= 16;  // which are transformed once per call
  const bool worth_the_threads = tiles.count * s.c * s.k >= s.stride << 16;  // which have to start
  return vectors_filled && tiles_filled && worth_the_weights && worth_the_threads;
}

void forward(const Shape& s, const float* x, const float* w, const Epilogue& epilogue, float* y,
             cpu::Isa isa) {
  check("winograd::forward", s);
  const Kernels& kernels = kernels_for(isa);
  convolve(kernels, {.transforms = transforms_of(kernels, s),
                     .tiles = tiles_of(s),
                     .x = {x, s.h, s.w, s.c},
                     .x_window = patches_of(kernels, s),
                     .y = {y, s.output_h(), s.output_w(), s.k},
                     .y_window = kResults,
                     .weights = {w, kTaps * s.c, kTaps, false},
                     .epilogue = epilogue});
}

void backward_data(const Shape& s, const float* dy, const float* w, float* dx, cpu::Isa isa) {
  check("winograd::backward_data", s);
  const Kernels& kernels = kernels_for(isa);
  // Where dy's first patch and dx's first tile begin. With stride 2, a tile begins with a pixel
  // that the middle tap alone reaches; if that is not the first, then before the image.
  const auto first = [&](int64_t pad) {
    const int64_t of_tile = s.stride == 1 || pad == 1 ? 0 : -1;
    const int64_t of_patch = s.stride == 1 ? pad - 2 : (of_tile + pad - 1) / 2;
    return std::pair(of_patch, of_tile);
  };
  const auto [patch_h, tile_h] = first(s.pad_h);
  const auto [patch_w, tile_w] = first(s.pad_w);
  const Transforms& transforms = s.stride == 1 ? kernels.stride_1 : kernels.stride_2_transposed;
  const int64_t tile = transforms.tile;
  convolve(kernels, {.transforms = transforms,
                     .tiles = {s.n, divide_up(s.h - tile_h, tile), divide_up(s.w - tile_w, tile)},
                     .x = {dy, s.output_h(), s.output_w(), s.k},
                     .x_window = {transforms.patch, transforms.step, patch_h, patch_w},
                     .y = {dx, s.h, s.w, s.c},
                     .y_window = {tile, tile, tile_h, tile_w},
                     .weights = {w, kTaps, kTaps * s.c, true},
                     .epilogue = {}});
}

}  // namespace tern::kernels::winograd
