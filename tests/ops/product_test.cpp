// SPDX-License-Identifier: Apache-2.0
#include "../../ops/kernels/product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "../../core/random.h"

namespace tern::kernels {

namespace {

using cpu::Isa;

std::vector<Isa> isas() {
  std::vector<Isa> result;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa <= cpu::isa()) result.push_back(isa);
  }
  return result;
}

template <class T>
std::vector<T> random_values(int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) value = static_cast<T>(default_generator().normal());
  return values;
}

/// Matrices whose rows are a few elements longer than they need to be. What lies behind them is
/// NaN: it must not be used. Without gaps memory ends with the last element, which the address
/// sanitizer sees.
template <class T>
struct Operands {
  Product p;
  int64_t a_step, b_step, c_step;
  std::vector<T> a, b, c;

  explicit Operands(const Product& product, bool gaps = true)
      : p(product),
        a_step(a_columns() + (gaps ? 3 : 0)),
        b_step(b_columns() + (gaps ? 2 : 0)),
        c_step(p.n + (gaps ? 1 : 0)),
        a(random_values<T>((p.transpose_a ? p.k : p.m) * a_step)),
        b(random_values<T>((p.transpose_b ? p.n : p.k) * b_step)),
        c(random_values<T>(p.m * c_step)) {
    mark(a, a_step, a_columns());
    mark(b, b_step, b_columns());
  }

  int64_t a_columns() const { return p.transpose_a ? p.m : p.k; }
  int64_t b_columns() const { return p.transpose_b ? p.k : p.n; }

  static void mark(std::vector<T>& x, int64_t step, int64_t columns) {
    for (size_t i = 0; i < x.size(); ++i) {
      const bool behind = static_cast<int64_t>(i) % step >= columns;
      if (behind) x[i] = std::numeric_limits<T>::quiet_NaN();
    }
  }

  std::vector<T> product(Isa isa) const {
    std::vector<T> result = c;
    multiply(p, a.data(), a_step, b.data(), b_step, result.data(), c_step, isa);
    return result;
  }

  double left(int64_t i, int64_t k) const {
    const int64_t at = p.transpose_a ? k * a_step + i : i * a_step + k;
    return static_cast<double>(a[static_cast<size_t>(at)]);
  }
  double right(int64_t k, int64_t j) const {
    const int64_t at = p.transpose_b ? j * b_step + k : k * b_step + j;
    return static_cast<double>(b[static_cast<size_t>(at)]);
  }
};

std::string name_of(const Product& p, Isa isa) {
  return std::to_string(p.m) + " x " + std::to_string(p.n) + ", k " + std::to_string(p.k) +
         (p.transpose_a ? ", a transposed" : "") + (p.transpose_b ? ", b transposed" : "") +
         (p.add ? ", added" : "") + ", isa " + std::to_string(static_cast<int>(isa));
}

template <class T>
void expect_right(const Product& p, bool gaps = true) {
  const Operands<T> operands(p, gaps);
  const auto at = [&](int64_t i, int64_t j) {
    return static_cast<size_t>(i * operands.c_step + j);
  };
  std::vector<double> exact(operands.c.begin(), operands.c.end()), sizes(exact.size());
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = p.add ? exact[at(i, j)] : 0, size = std::abs(sum);
      for (int64_t k = 0; k < p.k; ++k) {
        const double term = operands.left(i, k) * operands.right(k, j);
        sum += term;
        size += std::abs(term);
      }
      exact[at(i, j)] = sum;
      sizes[at(i, j)] = size;
    }
  }
  const auto epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  for (const Isa isa : isas()) {
    SCOPED_TRACE(name_of(p, isa));
    const std::vector<T> result = operands.product(isa);
    // Behind each row, where sizes are 0, c is as it was.
    for (size_t i = 0; i < result.size(); ++i) {
      const double error = std::abs(static_cast<double>(result[i]) - exact[i]);
      ASSERT_LE(error, 4 * epsilon * sizes[i]) << "element " << i;
    }
  }
}

TEST(Product, ReadsNothingBehindItsFactors) {
  for (const int64_t m : {1, 2, 17}) {
    for (const int64_t n : {1, 3, 16, 21}) {
      for (const int64_t k : {1, 5, 130}) {
        for (const bool transpose_a : {false, true}) {
          for (const bool transpose_b : {false, true}) {
            const Product p{.m = m,
                            .n = n,
                            .k = k,
                            .transpose_a = transpose_a,
                            .transpose_b = transpose_b,
                            .add = n == 3};
            expect_right<float>(p, false);
            expect_right<double>(p, false);
          }
        }
      }
    }
  }
}

}  // namespace

TEST(Product, IsRightForEverySizeAndLayout) {
  manual_seed(1);
  const int64_t sides[] = {1, 2, 7, 9, 16, 17, 33, 66};
  for (const int64_t m : sides) {
    for (const int64_t n : sides) {
      for (const int64_t k : {1, 130}) {
        for (const int layout : {0, 1, 2, 3}) {
          const Product p = {.m = m,
                             .n = n,
                             .k = k,
                             .transpose_a = layout % 2 == 1,
                             .transpose_b = layout >= 2,
                             .add = (m + n + k) % 2 == 1};
          expect_right<float>(p);
          expect_right<double>(p);
        }
      }
    }
  }
}

// Several blocks of rows, chunks of k and panels of columns, and a left matrix that is turned
// first.
TEST(Product, IsRightForSizesAboveTheBlocks) {
  manual_seed(2);
  for (const int layout : {0, 1, 2, 3}) {
    const Product p = {
        .m = 530, .n = 70, .k = 260, .transpose_a = layout % 2 == 1, .transpose_b = layout >= 2};
    expect_right<float>(p);
    expect_right<double>(p);
  }
}

TEST(Product, OrderOfASumIsTheSameInEveryTile) {
  manual_seed(3);
  const Operands<float> operands({.m = 40, .n = 90, .k = 300});
  for (const Isa isa : isas()) {
    const std::vector<float> all = operands.product(isa);
    for (const int64_t m : {2, 3, 8, 21}) {
      for (const int64_t n : {2, 5, 16, 70}) {
        for (const int64_t row : {0, 7}) {
          std::vector<float> part(static_cast<size_t>(m * n));
          multiply({.m = m, .n = n, .k = 300}, operands.a.data() + row * operands.a_step,
                   operands.a_step, operands.b.data() + 11, operands.b_step, part.data(), n, isa);
          for (int64_t i = 0; i < m * n; ++i) {
            const int64_t at = (row + i / n) * operands.c_step + 11 + i % n;
            ASSERT_EQ(part[static_cast<size_t>(i)], all[static_cast<size_t>(at)])
                << m << " x " << n << " from row " << row << ", element " << i;
          }
        }
      }
    }
  }
}

}  // namespace tern::kernels
