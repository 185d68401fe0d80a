// SPDX-License-Identifier: Apache-2.0
// The mathematics of the Winograd convolutions, and the kernels that each instruction set provides.
//
// Stride 1: F(4x4, 3x3)
// ---------------------
//
// A 3-tap filter g slides over six inputs d and gives four outputs y[i] = sum_s d[i+s] g[s].
// Its transpose is the product of a quadratic and a cubic polynomial, whose degree 5 is determined
// by the values at six points (Toom-Cook); the points here are 0, a, -a, b, -b and infinity. So
//
//   y = A^T [ (G g) . (B^T d) ]             "." multiplies element by element: 6 products, not 12
//
// with, per finite point p and N(p) = the product of (p - q) over the other finite points q,
//
//   B^T: row p = coefficients of prod_{q != p} (z - q),  row inf = those of prod_q (z - q)
//   G:   row p = (1, p, p^2) / N(p),                     row inf = (0, 0, 1)
//   A:   row p = (1, p, p^2, p^3),                       row inf = (0, 0, 0, 1)
//
// which is, written out,
//
//         | a2b2    0  -a2-b2     0   1  0 |        |  1/N0      0      0 |
//         |   0  -ab2   -b2       a   1  0 |        |  1/Na   a/Na  a2/Na |
//   B^T = |   0   ab2   -b2      -a   1  0 |    G = |  1/Na  -a/Na  a2/Na |
//         |   0  -a2b   -a2       b   1  0 |        |  1/Nb   b/Nb  b2/Nb |
//         |   0   a2b   -a2      -b   1  0 |        |  1/Nb  -b/Nb  b2/Nb |
//         |   0  a2b2     0  -a2-b2   0  1 |        |     0      0      1 |
//
//         | 1   1   1   1   1   0 |
//   A^T = | 0   a  -a   b  -b   0 |                 N0 = a2 b2
//         | 0  a2  a2  b2  b2   0 |                 Na = 2 a2 (a2 - b2)
//         | 0  a3 -a3  b3 -b3   1 |                 Nb = 2 b2 (b2 - a2)
//
// In two dimensions the same matrices act on rows and on columns. Over many 4x4 output tiles and
// all channels, the products element by element are 36 matrix products, one per element xi:
//
//   forward            V = B^T d B     U = G g G^T     M = V U over channels    y  = A^T M A + bias
//   backward weights   V = B^T d B     D = A dy A^T    M = D V over tiles       dg = G^T M G
//
// Backward data is forward with dy for x, C and K exchanged, g turned by 180 degrees and 2 - pad
// for pad; backward weights is the exact adjoint of forward in g.
//
// Stride 2: F(4x4, 2x2) for the even pixels
// -----------------------------------------
// y[i] = d[2i] g[0] + d[2i+1] g[1] + d[2i+2] g[2]: the two outer taps slide over every other input,
// e[i] = d[2i], with stride 1; the middle tap meets each of the others, o[i] = d[2i+1], once. So
// four outputs take five products with the points a, -a, b, -b and infinity and four plain ones,
//
//   v = (B^T e, o)      u = (G (g[0], g[2]), g[1])      y = A^T m[0..4] + m[5..8]
//
//         | -ab2   -b2    a   1  0 |        |  1/Na  a/Na |
//         |  ab2   -b2   -a   1  0 |        | -1/Na  a/Na |        A: as above, without its
//   B^T = | -a2b   -a2    b   1  0 |    G = |  1/Nb  b/Nb |           first row
//         |  a2b   -a2   -b   1  0 |        | -1/Nb  b/Nb |
//         | a2b2    0  -a2-b2  0  1 |       |    0     1  |        Na = 2 a (a2 - b2)
//                                                                  Nb = 2 b (b2 - a2)
//
// where m[5..8] are all products with u[5]. In two dimensions that is 9x9 products with 6x6
// transformed weights: 81 where the direct sum takes 144. Backward weights adds up the products
// that belong to one weight. Backward data is no such convolution, but its transpose: of five dy in
// a row come four pairs, d[2i+1] = dy[i] g[1] and d[2i+2] = dy[i] g[2] + dy[i+1] g[0], by
//
//   v = (B^T dy, dy[0..3])     u as above, g turned     odd d = m[5..8],  even d = A^T m[0..4]
//
// Both
// ----
// Points a = 5/8 and b = 3/2 give half the rounding error of the textbook's 1 and 2 at the same
// cost. Sums over channels and tiles are made in chunks of at most 64 that are then added, which
// keeps the error flat as channels grow.
//
// Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015: the method.
// Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep
// neural networks", 2020: the choice of points.
#pragma once

#include <cstdint>

#include "product_kernels.h"
#include "winograd.h"

namespace tern::kernels::winograd {

inline constexpr int kTaps = 3 * 3;                  // weights of a pair of channels
inline constexpr int kTile = 4;                      // outputs of a tile, per dimension
inline constexpr int kWeights = 6;                   // transformed weights, per dimension
inline constexpr int kPoints = kWeights * kWeights;  // and of a pair of channels
inline constexpr int kMaxPixels = 9 * 9;             // of a tile or its patch
inline constexpr int64_t kChunk = 64;                // channels that are stored and summed together

/// Where the weights of a convolution lie: tap s of the pair (out, in) at
/// w[out * out_stride + in * in_stride + s], s counted backwards if `turned`.
struct Weights {
  const float* w;
  int64_t out_stride, in_stride;
  bool turned;
};

/// The transforms of one kind of convolution. All keep channels contiguous: element xi of a
/// transformed tile is a row of channels at base + xi * xi_stride. `channels` may be any number;
/// transformed rows are filled up to the next multiple of `lanes` (with zeros), pixels never.
struct Transforms {
  int patch;     // pixels that a tile is computed from, per dimension
  int step;      // from a tile's patch to the next tile's
  int products;  // of a tile, per dimension; see for_products
  int tile;      // pixels of a tile, per dimension

  /// v = B^T d B for channels [first, first + channels). patch: its pixels of x; next: pixels worth
  /// prefetching meanwhile.
  void (*input)(const float* const* patch, const float* const* next, int64_t first,
                int64_t channels, float* v, int64_t xi_stride);
  /// y = A^T m A and the epilogue, written to channels [first, first + channels) of a tile's
  /// pixels.
  void (*output)(const float* m, int64_t xi_stride, const Epilogue& epilogue, int64_t first,
                 int64_t channels, float* const* tile, float* const* next);
  /// d = A dy A^T, as input. tile: its pixels of dy. Null for a transposed convolution.
  void (*gradient)(const float* const* tile, const float* const* next, int64_t first,
                   int64_t channels, float* d, int64_t xi_stride);
  /// u[xi][in][out] = G g G^T for outs x ins pairs; rows of u are u_stride floats apart.
  void (*weights)(const Weights& weights, int64_t outs, int64_t ins, float* u, int64_t u_stride,
                  int64_t xi_stride);
  /// dg[channels][kTaps] = G^T m G (added to dg if `add`) for one row of m.
  void (*weight_gradient)(const float* m, int64_t xi_stride, int64_t channels, bool add, float* dg);
};

/// What an instruction set provides.
struct Kernels {
  int64_t lanes;
  int64_t tiles;  // how many at once suit `product` and the second-level cache
  const product::Kernels<float>* product;
  Transforms stride_1, stride_2;
  Transforms stride_2_transposed;  // backward data
};

}  // namespace tern::kernels::winograd
