// SPDX-License-Identifier: Apache-2.0
// oneDNN's sgemm rather than its matmul primitive: as fast on large matrices, and on small ones (a
// few layers of 64) ten times faster, since nothing is created, looked up or shared among threads.
#include <dnnl.hpp>

#include <algorithm>
#include <csignal>

#include "../../core/error.h"
#include "../../core/internal/onednn.h"
#include "../../core/internal/parallel.h"
#include "../backend.h"
#include "matmul.h"

namespace tern::kernels {

namespace {

// Multiplications that are worth a thread.
constexpr int64_t kAlone = 1 << 18;
// Rows or columns of the result: a thread's piece is a multiple of this many...
constexpr int64_t kBlock = 16;
// ... and in deterministic mode, where a piece must not depend on the number of threads, exactly
// this many.
constexpr int64_t kFixedPiece = 192;

// Note [Signals and sgemm]
// For sums of more than 41 products (AVX2: 82), sgemm's kernels point the stack pointer into a
// block of the heap. A signal handler (of a profiler, a timer, Ctrl-C) that runs then overwrites
// what lies below it: "corrupted size vs. prev_size" (oneDNN's issue 4845, mended in its 3.12). So
// signals wait during each call of it, except those that an instruction raises; a caller that makes
// several in a row lets them wait until its last, which costs two system calls instead of two each.
constexpr int64_t kSumsOnTheStack = 41;

class SignalsWait {
 public:
  explicit SignalsWait(int64_t k) : waits_(!waiting && k > kSumsOnTheStack && needed()) {
    if (!waits_) return;
    waiting = true;
    pthread_sigmask(SIG_BLOCK, &asynchronous(), &before_);
  }
  ~SignalsWait() {
    if (!waits_) return;
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    waiting = false;
  }
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;

 private:
  static bool needed() {
#ifdef __x86_64__
    static const bool old = [] {
      const dnnl_version_t* version = dnnl_version();
      return version->major < 3 || (version->major == 3 && version->minor < 12);
    }();
    return old;
#else
    return false;
#endif
  }
  static const sigset_t& asynchronous() {
    static const sigset_t signals = [] {
      sigset_t set;
      sigfillset(&set);
      for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) {
        sigdelset(&set, signal);
      }
      return set;
    }();
    return signals;
  }
  static thread_local bool waiting;  // in this thread already
  bool waits_;
  sigset_t before_;
};

thread_local bool SignalsWait::waiting = false;

struct Piece {
  int64_t row, rows, column, columns;
};

// One thread's piece of y = op(a) op(b) + bias.
void multiply_piece(const MatmulShape& s, const Piece& p, const float* a, const float* b,
                    const float* bias, float* y) {
  a += s.transpose_a ? p.row : p.row * s.k;
  b += s.transpose_b ? p.column * s.k : p.column;
  y += p.row * s.n + p.column;
  if (bias) {
    for (int64_t i = 0; i < p.rows; ++i) std::copy_n(bias + p.column, p.columns, y + i * s.n);
  }
  multiply({p.rows, p.columns, s.k, s.transpose_a, s.transpose_b}, 1, a, s.transpose_a ? s.m : s.k,
           b, s.transpose_b ? s.k : s.n, bias ? 1 : 0, y, s.n);
}

}  // namespace

void multiply(const Product& product, float alpha, const float* a, int64_t a_step, const float* b,
              int64_t b_step, float beta, float* c, int64_t c_step) {
  const OpenMPThreads one(1);
  const SignalsWait signals_wait(product.k);
  const auto status =
      dnnl::sgemm(product.transpose_a ? 'T' : 'N', product.transpose_b ? 'T' : 'N', product.m,
                  product.n, product.k, alpha, a, a_step, b, b_step, beta, c, c_step);
  if (status != dnnl::status::success) {
    fail("matmul", "oneDNN refused (status ", static_cast<int>(status), ")");
  }
}

void matmul_fast(const MatmulShape& s, const float* a, const float* b, const float* bias,
                 float* y) {
  OpScope::implementation("onednn:sgemm");
  // sgemm would divide long sums among its threads, so it gets one thread and a piece of the longer
  // side. An element's bits depend on the piece it is in.
  const bool by_rows = s.m >= s.n, fixed = deterministic();
  const int64_t side = by_rows ? s.m : s.n, other_side = by_rows ? s.n : s.m;
  const int64_t block = std::min(side, fixed ? kFixedPiece : kBlock);
  const int64_t blocks = divide_up(side, block);
  const int64_t grain = std::max<int64_t>(1, kAlone / (block * other_side * s.k));
  parallel_for(s.batch * blocks, grain, [&](int64_t begin, int64_t end) {
    const SignalsWait signals_wait(s.k);
    while (begin < end) {
      const int64_t i = begin / blocks, first = begin % blocks;
      const int64_t last = fixed ? first + 1 : std::min(first + end - begin, blocks);
      begin += last - first;
      const int64_t from = first * block, to = std::min(last * block, side);
      const Piece piece = by_rows ? Piece{from, to - from, 0, s.n} : Piece{0, s.m, from, to - from};
      multiply_piece(s, piece, a + (s.repeat_a ? 0 : i * s.m * s.k),
                     b + (s.repeat_b ? 0 : i * s.k * s.n), bias, y + i * s.m * s.n);
    }
  });
}

}  // namespace tern::kernels
