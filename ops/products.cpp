// SPDX-License-Identifier: Apache-2.0
// Operations of matmul.h that are made of others.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "../core/error.h"
#include "../core/op_scope.h"
#include "arithmetic.h"
#include "internal/op.h"
#include "math.h"
#include "matmul.h"
#include "movement.h"
#include "reduce.h"

namespace tern {

namespace {

// ---- Einstein's sum: two operands at a time, by matrix products --------------------------------

/// A tensor with a letter for each axis. The axes of "..." are '0', '1', ... from the last on.
struct Labelled {
  Tensor x;
  std::string letters;

  int64_t size(char letter) const { return x.size(static_cast<int64_t>(letters.find(letter))); }
  bool has(char letter) const { return letters.find(letter) != std::string::npos; }
};

/// With its axes in the order of `letters`, which are its own.
Labelled ordered(const Labelled& in, const std::string& letters) {
  if (in.letters == letters) return in;
  std::vector<int64_t> axes;
  for (const char letter : letters) axes.push_back(static_cast<int64_t>(in.letters.find(letter)));
  return {permute(in.x, axes), letters};
}

/// Without the axes whose letters drop(letter) names, which are summed over.
template <class Drop>
Labelled summed(const Labelled& in, const Drop& drop) {
  std::vector<int64_t> axes;
  std::string letters;
  for (size_t i = 0; i < in.letters.size(); ++i) {
    if (drop(in.letters[i])) {
      axes.push_back(static_cast<int64_t>(i));
    } else {
      letters += in.letters[i];
    }
  }
  return axes.empty() ? in : Labelled{sum(in.x, axes), letters};
}

/// With each letter once: the diagonal where it was there twice.
Labelled without_twins(Labelled in) {
  for (size_t i = 0; i < in.letters.size(); ++i) {
    const size_t twin = in.letters.find(in.letters[i], i + 1);
    if (twin == std::string::npos) continue;
    std::vector<int64_t> axes, sizes;
    std::string letters;
    for (size_t k = 0; k < in.letters.size(); ++k) {
      if (k == i || k == twin) continue;
      axes.push_back(static_cast<int64_t>(k));
      sizes.push_back(in.x.size(static_cast<int64_t>(k)));
      letters += in.letters[k];
    }
    axes.insert(axes.end(), {static_cast<int64_t>(i), static_cast<int64_t>(twin)});
    const int64_t n = in.x.size(static_cast<int64_t>(i));
    if (in.x.size(static_cast<int64_t>(twin)) != n) {
      fail("einsum", "letter ", std::string(1, in.letters[i]), " is ", n, " and ",
           in.x.size(static_cast<int64_t>(twin)), " long in operand ", in.x, ", want one length");
    }
    sizes.push_back(n * n);
    const Tensor flat = reshape(permute(in.x, axes), sizes);
    in = {slice(flat, -1, 0, n * n, n + 1), letters + in.letters[i]};
    i = static_cast<size_t>(-1);  // look through it again
  }
  return in;
}

/// Without the axes of length 1 that are longer in `other`.
Labelled unstretched(const Labelled& in, const Labelled& other) {
  return summed(in, [&](char letter) {
    return other.has(letter) && in.size(letter) == 1 && other.size(letter) != 1;
  });
}

int64_t length_of(const Labelled& in, const std::string& letters) {
  int64_t length = 1;
  for (const char letter : letters) length *= in.size(letter);
  return length;
}

/// The sum of a b over the letters that `kept` does not have.
Labelled contract(Labelled a, Labelled b, const std::string& kept) {
  const Labelled whole_a = a;
  a = unstretched(a, b);
  b = unstretched(b, whole_a);
  const auto is_kept = [&](char letter) { return kept.find(letter) != std::string::npos; };
  a = summed(a, [&](char letter) { return !is_kept(letter) && !b.has(letter); });
  b = summed(b, [&](char letter) { return !is_kept(letter) && !a.has(letter); });
  std::string batch, inner, rows, columns;
  for (const char letter : a.letters) {
    (!b.has(letter) ? rows : is_kept(letter) ? batch : inner) += letter;
  }
  for (const char letter : b.letters) {
    if (!a.has(letter)) columns += letter;
  }
  a = ordered(a, batch + rows + inner);
  b = ordered(b, batch + inner + columns);
  std::vector<int64_t> sizes;
  for (const char letter : batch) sizes.push_back(a.size(letter));
  for (const char letter : rows) sizes.push_back(a.size(letter));
  for (const char letter : columns) sizes.push_back(b.size(letter));
  const int64_t count = length_of(a, batch), m = length_of(a, rows), k = length_of(a, inner),
                n = length_of(b, columns);
  const Tensor left = reshape(a.x, {count, m, k}), right = reshape(b.x, {count, k, n});
  // Nothing to sum: a product of elements.
  const Tensor y = inner.empty() ? left * right : matmul(left, right);
  return {reshape(y, sizes), batch + rows + columns};
}

/// An equation: the letters of each operand, and of the result.
struct Equation {
  std::vector<std::string> operands;
  std::string result;
};

[[noreturn]] void fail_equation(const std::string& equation, const std::string& what) {
  fail("einsum", "\"", equation, "\" ", what);
}

/// `term` with the axes of "..." as digits, of which there are `extra`.
std::string spelled_out(const std::string& equation, const std::string& term, size_t extra) {
  const size_t dots = term.find("...");
  std::string digits;
  for (size_t i = extra; i-- > 0;) digits += static_cast<char>('0' + i);
  const std::string letters =
      dots == std::string::npos ? term : term.substr(0, dots) + digits + term.substr(dots + 3);
  for (const char letter : letters) {
    const bool known = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                       (dots != std::string::npos && letter >= '0' && letter <= '9');
    if (!known) {
      fail_equation(equation, std::string("has \"") + letter +
                                  "\", want letters, commas, one -> "
                                  "and ... once in a term");
    }
  }
  return letters;
}

Equation parse(const std::string& text, const std::vector<Tensor>& tensors) {
  std::string equation;
  std::copy_if(text.begin(), text.end(), std::back_inserter(equation),
               [](char c) { return c != ' '; });
  const size_t arrow = equation.find("->");
  std::vector<std::string> terms(1);
  for (const char c : equation.substr(0, arrow)) {
    if (c == ',') {
      terms.emplace_back();
    } else {
      terms.back() += c;
    }
  }
  if (terms.size() != tensors.size()) {
    fail_equation(text, "is of " + std::to_string(terms.size()) + " operands, there are " +
                            std::to_string(tensors.size()));
  }
  Equation parsed;
  size_t most = 0;
  std::map<char, int> uses;
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto rank = static_cast<size_t>(tensors[i].dim());
    const bool open = terms[i].find("...") != std::string::npos;
    const size_t named = terms[i].size() - (open ? 3 : 0);
    if (open ? named > rank : named != rank) {
      fail("einsum", "operand ", i, " is ", tensors[i], ", \"", terms[i], "\" names ", named,
           " axes");
    }
    most = std::max(most, rank - named);
    parsed.operands.push_back(spelled_out(text, terms[i], rank - named));
    for (const char letter : parsed.operands.back()) ++uses[letter];
  }
  if (arrow != std::string::npos) {
    parsed.result = spelled_out(text, equation.substr(arrow + 2), most);
  } else {
    parsed.result = spelled_out(text, "...", most);
    for (const auto& [letter, count] : uses) {
      if (count == 1 && letter > '9') parsed.result += letter;
    }
  }
  for (const char letter : parsed.result) {
    if (uses[letter] == 0 || std::count(parsed.result.begin(), parsed.result.end(), letter) > 1) {
      fail_equation(text, std::string("has ") + letter +
                              " in its result, want letters of operands, each once");
    }
  }
  return parsed;
}

}  // namespace

Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands) {
  const OpScope scope("einsum", operands, "equation", equation.c_str());
  if (operands.empty()) fail("einsum", "there are no operands, want at least one");
  const Equation parsed = parse(equation, operands);
  std::vector<Labelled> terms;
  std::map<char, int64_t> lengths;
  for (size_t i = 0; i < operands.size(); ++i) {
    terms.push_back(without_twins({operands[i], parsed.operands[i]}));
    for (const char letter : terms.back().letters) {
      const int64_t size = terms.back().size(letter);
      const auto [known, is_new] = lengths.emplace(letter, size);
      if (!is_new && size != 1 && known->second != 1 && size != known->second) {
        fail("einsum", "letter ", std::string(1, letter), " is ", known->second, " and ", size,
             " long, want one length (operand ", i, " is ", operands[i], ")");
      }
      if (size != 1) known->second = size;
    }
  }
  Labelled total = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    std::string kept = parsed.result;
    for (size_t k = i + 1; k < terms.size(); ++k) kept += terms[k].letters;
    total = contract(total, terms[i], kept);
  }
  total =
      summed(total, [&](char letter) { return parsed.result.find(letter) == std::string::npos; });
  return scope.result(ordered(total, parsed.result).x);
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  const OpScope scope("bmm", a, b);
  if (a.dim() != 3 || b.dim() != 3 || a.size(0) != b.size(0)) {
    fail("bmm", "a is ", a, ", b is ", b, ", want [B, M, K] and [B, K, N]: use matmul");
  }
  return scope.result(matmul(a, b));
}

Tensor dot(const Tensor& a, const Tensor& b) {
  const OpScope scope("dot", a, b);
  if (a.dim() != 1 || b.shape() != a.shape()) {
    fail("dot", "a is ", a, ", b is ", b, ", want two vectors of one length");
  }
  return scope.result(is_floating(a.dtype()) ? matmul(a, b) : sum(a * b));
}

Tensor outer(const Tensor& a, const Tensor& b) {
  const OpScope scope("outer", a, b);
  if (a.dim() != 1 || b.dim() != 1) fail("outer", "a is ", a, ", b is ", b, ", want two vectors");
  return scope.result(unsqueeze(a, 1) * b);
}

Tensor addmm(const Tensor& x, const Tensor& a, const Tensor& b, const AddmmOptions& options) {
  const OpScope scope("addmm", x, a, b, "beta", options.beta, "alpha", options.alpha);
  if (a.dim() != 2 || b.dim() != 2) fail("addmm", "a is ", a, ", b is ", b, ", want two matrices");
  Tensor product = matmul(a, b);
  if (broadcast_shapes("addmm", x.shape(), product.shape()) != product.shape()) {
    fail("addmm", "x is ", x, ", want a shape that stretches to ", product.shape());
  }
  if (options.alpha != 1) product = product * options.alpha;
  // A factor of 0 means that x is not read.
  if (options.beta == 0) return scope.result(product);
  return scope.result((options.beta == 1 ? x : x * options.beta) + product);
}

Tensor cosine_similarity(const Tensor& a, const Tensor& b, const CosineSimilarityOptions& options) {
  const OpScope scope("cosine_similarity", a, b, "axis", options.axis, "eps", options.eps);
  check_operands("cosine_similarity", "a", a, "b", b);
  const Shape shape = broadcast_shapes("cosine_similarity", a.shape(), b.shape());
  const int axis = resolve_axis("cosine_similarity", options.axis, shape);
  const auto unit = [&](const Tensor& x) {
    return normalize(broadcast_to(x, shape), {.axis = axis, .eps = options.eps});
  };
  return scope.result(sum(unit(a) * unit(b), axis));
}

Tensor pairwise_distance(const Tensor& a, const Tensor& b, const PairwiseDistanceOptions& options) {
  const OpScope scope("pairwise_distance", a, b, "p", options.p, "eps", options.eps, "keepdim",
                      options.keepdim);
  check_operands("pairwise_distance", "a", a, "b", b);
  return scope.result(norm(a - b + options.eps, options.p, -1, options.keepdim));
}

Tensor cdist(const Tensor& a, const Tensor& b, double p) {
  const OpScope scope("cdist", a, b, "p", p);
  check_operands("cdist", "a", a, "b", b);
  if (a.dim() < 2 || b.dim() < 2 || a.size(-1) != b.size(-1)) {
    fail("cdist", "a is ", a, ", b is ", b, ", want [..., M, K] and [..., N, K]");
  }
  if (!(p >= 0)) fail("cdist", "p is ", p, ", want at least 0");
  if (p == 2 && std::max(a.size(-2), b.size(-2)) > 25) {
    // As PyTorch: |a|^2 + |b|^2 - 2 a b by a product, where differences would take M N K numbers.
    const Tensor from = sum(square(a), -1, true);
    const Tensor to = transpose(sum(square(b), -1, true), -1, -2);
    const Tensor squares = from + to - 2.0 * matmul(a, transpose(b, -1, -2));
    const Tensor apart = gt(squares, 0.0);
    return scope.result(where(apart, sqrt(where(apart, squares, ones_like(squares))), {}));
  }
  return scope.result(norm(unsqueeze(a, -2) - unsqueeze(b, -3), p, -1));
}

}  // namespace tern
