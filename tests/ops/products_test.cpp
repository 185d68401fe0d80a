// SPDX-License-Identifier: Apache-2.0
// Products and distances that are made of matrix products.
#include "op_checks.h"

namespace tern {
namespace {

using namespace test;

using Doubles = std::vector<double>;

TEST(Products, BmmDotOuterAddmm) {
  const Tensor a = tensor(Doubles{1, 2, 3}, {3}), b = tensor(Doubles{4, 5, 6}, {3});
  EXPECT_EQ(dot(a, b).item<double>(), 32);
  EXPECT_EQ(dot(arange(4), arange(4)).item<int64_t>(), 14);
  EXPECT_EQ(outer(a, b).to_vector<double>(), (Doubles{4, 5, 6, 8, 10, 12, 12, 15, 18}));
  EXPECT_EQ(outer(zeros({0}), zeros({2})).shape(), (Shape{0, 2}));
  const Tensor m = reshape(b, {1, 3});
  EXPECT_EQ(addmm(ones({3}, DType::f64), reshape(a, {3, 1}), m, {.beta = 2, .alpha = 10})
                .to_vector<double>(),
            (Doubles{42, 52, 62, 82, 102, 122, 122, 152, 182}));
  EXPECT_EQ(
      addmm(full({1}, NAN, DType::f64), reshape(a, {3, 1}), m, {.beta = 0}).to_vector<double>(),
      outer(a, b).to_vector<double>())
      << "a factor of 0 reads nothing";
  const Inputs in{leaf({2, 3, 4}, 1), leaf({2, 4, 2}, 2)};
  const Function f = [](const Inputs& x) { return bmm(x[0], x[1]); };
  expect_gradients(f, in);
  expect_f32_follows_f64(f, in);
  expect_gradients(
      [](const Inputs& x) { return addmm(x[0], x[1], x[2], {.beta = 2, .alpha = 0.5}); },
      {leaf({2}, 1), leaf({3, 4}, 2), leaf({4, 2}, 3)});
  expect_gradients([](const Inputs& x) { return outer(x[0], x[1]) * dot(x[0], x[0]); },
                   {leaf({3}, 1), leaf({2}, 2)});
  expect_error([] { bmm(zeros({2, 3, 4}), zeros({1, 4, 2})); }, {"[bmm]", "f32[1,4,2]"});
  expect_error([] { dot(zeros({2}), zeros({3})); }, {"[dot]", "f32[3]"});
  expect_error([] { outer(zeros({2, 1}), zeros({3})); }, {"[outer]", "f32[2,1]"});
  expect_error([] { addmm(zeros({3}), zeros({2, 2}), zeros({2, 2})); }, {"[addmm]"});
}

/// The definition: every combination of all letters.
Tensor einsum_by_hand(const std::vector<std::string>& terms, const std::string& result,
                      const Inputs& operands) {
  std::string letters;
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < terms.size(); ++i) {
    for (size_t d = 0; d < terms[i].size(); ++d) {
      if (letters.find(terms[i][d]) != std::string::npos) continue;
      letters += terms[i][d];
      sizes.push_back(operands[i].size(static_cast<int64_t>(d)));
    }
  }
  std::vector<int64_t> index(letters.size(), 0);
  const auto place = [&](const std::string& term) {
    int64_t at = 0;
    for (const char letter : term)
      at = at * sizes[letters.find(letter)] + index[letters.find(letter)];
    return at;
  };
  std::vector<int64_t> shape;
  for (const char letter : result) shape.push_back(sizes[letters.find(letter)]);
  const Tensor y = zeros(shape, DType::f64);
  for (int64_t i = 0; i < Shape(sizes).numel(); ++i) {
    int64_t rest = i;
    for (size_t d = sizes.size(); d-- > 0; rest /= sizes[d]) index[d] = rest % sizes[d];
    double product = 1;
    for (size_t k = 0; k < terms.size(); ++k) product *= operands[k].raw<double>()[place(terms[k])];
    y.raw<double>()[place(result)] += product;
  }
  return y;
}

TEST(Einsum, AgainstItsDefinition) {
  struct Case {
    std::vector<std::string> terms;
    std::string result;
    std::vector<Shape> shapes;
  };
  const std::vector<Case> cases{
      {{"ij", "jk"}, "ik", {{2, 3}, {3, 4}}},
      {{"ij", "jk"}, "ki", {{2, 3}, {3, 4}}},
      {{"bij", "bjk"}, "bik", {{2, 3, 2}, {2, 2, 4}}},
      {{"bhqd", "bhkd"}, "bhqk", {{2, 2, 3, 4}, {2, 2, 2, 4}}},
      {{"i", "i"}, "", {{5}, {5}}},
      {{"i", "i"}, "i", {{5}, {5}}},
      {{"i", "j"}, "ji", {{2}, {3}}},
      {{"ij"}, "ji", {{2, 3}}},
      {{"ij"}, "", {{2, 3}}},
      {{"ii"}, "", {{3, 3}}},
      {{"iji"}, "ji", {{3, 2, 3}}},
      {{"iii"}, "i", {{3, 3, 3}}},
      {{"ij", "j"}, "i", {{2, 3}, {3}}},
      {{"ijk", "jl"}, "l", {{2, 3, 4}, {3, 2}}},
      {{"ij", "jk", "kl"}, "il", {{2, 3}, {3, 2}, {2, 4}}},
      {{"ij", "ij", "ij"}, "i", {{2, 3}, {2, 3}, {2, 3}}},
      {{"bn", "anm", "bm"}, "ba", {{2, 3}, {4, 3, 2}, {2, 2}}},
      {{"iJ", "JZ"}, "Zi", {{2, 3}, {3, 4}}},
  };
  for (const Case& c : cases) {
    std::string equation;
    Inputs in;
    for (size_t i = 0; i < c.terms.size(); ++i) {
      equation += (i > 0 ? ", " : "") + c.terms[i];
      in.push_back(leaf(c.shapes[i], i + 1));
    }
    equation += " -> " + c.result;
    SCOPED_TRACE(equation);
    const Function f = [&](const Inputs& x) { return einsum(equation, x); };
    expect_close(f(in), einsum_by_hand(c.terms, c.result, in), 1e-14);
    expect_gradients(f, in);
    expect_f32_follows_f64(f, in);
  }
}

TEST(Einsum, DotsBroadcastingAndImplicitResults) {
  const Tensor a = values({2, 3, 4, 5}, 1), b = values({3, 5, 2}, 2), one = values({1, 3}, 3);
  expect_close(einsum("...ij,...jk->...ik", {a, b}), matmul(a, b), 1e-14);
  expect_close(einsum("ij,jk", {values({2, 3}, 1), values({3, 4}, 2)}),
               matmul(values({2, 3}, 1), values({3, 4}, 2)), 1e-14);
  expect_close(einsum("ba", {values({2, 3}, 1)}), transpose(values({2, 3}, 1), 0, 1), 0);
  expect_close(einsum("...i", {a}), a, 0);
  expect_close(einsum("...->", {a}), sum(a), 1e-14);
  expect_close(einsum("i...->...", {a}), sum(a, 0), 1e-14);
  expect_close(einsum("ij,ij->ij", {one, values({2, 3}, 4)}), one * values({2, 3}, 4), 0);
  expect_close(einsum("ij,kj->k", {one, values({2, 3}, 4)}), sum(one * values({2, 3}, 4), 1),
               1e-14);
  EXPECT_EQ(einsum("ij,jk->ik", {zeros({0, 3}), zeros({3, 2})}).shape(), (Shape{0, 2}));
  EXPECT_EQ(einsum("ij,jk->ik", {ones({2, 0}), ones({0, 2})}).to_vector<float>(),
            (std::vector<float>{0, 0, 0, 0}));
}

TEST(Einsum, Errors) {
  const Tensor x = zeros({2, 3});
  expect_error([&] { einsum("ij,jk->ik", {x}); }, {"[einsum]", "2 operands", "there are 1"});
  expect_error([&] { einsum("ijk->i", {x}); }, {"[einsum]", "f32[2,3]", "3 axes"});
  expect_error([&] { einsum("i", {x}); }, {"[einsum]", "1 axes"});
  expect_error([&] { einsum("ij->k", {x}); }, {"[einsum]", "k"});
  expect_error([&] { einsum("ij->ii", {x}); }, {"[einsum]", "once"});
  expect_error([&] { einsum("i1->i", {x}); }, {"[einsum]", "\"1\""});
  expect_error([&] { einsum("ii->i", {x}); }, {"[einsum]", "letter i is 2 and 3"});
  expect_error([&] { einsum("ij,jk->ik", {x, x}); }, {"[einsum]", "letter j is 3 and 2"});
  expect_error([] { einsum("", {}); }, {"[einsum]", "no operands"});
}

TEST(Distances, Values) {
  const Tensor a = tensor(Doubles{1, 0, 3, 4}, {2, 2}), b = tensor(Doubles{0, 1, 4, -3}, {2, 2});
  expect_close(cosine_similarity(a, b), tensor(Doubles{0, 0}, {2}), 1e-16);
  expect_close(cosine_similarity(a, a), ones({2}, DType::f64), 1e-15);
  expect_close(cosine_similarity(a, -a, {.axis = 0}), -ones({2}, DType::f64), 1e-15);
  expect_close(cosine_similarity(a, zeros({2}, DType::f64)), zeros({2}, DType::f64), 0);
  expect_close(pairwise_distance(a, b, {.eps = 0}),
               tensor(Doubles{std::sqrt(2.0), std::sqrt(50.0)}, {2}), 1e-15);
  EXPECT_EQ(pairwise_distance(a, b, {.p = 1, .keepdim = true}).shape(), (Shape{2, 1}));
  expect_close(
      cdist(a, b),
      tensor(Doubles{std::sqrt(2.0), std::sqrt(18.0), std::sqrt(18.0), std::sqrt(50.0)}, {2, 2}),
      1e-15);
  expect_close(cdist(a, b, 1), tensor(Doubles{2, 6, 6, 8}, {2, 2}), 1e-15);
  expect_close(cdist(a, b, INFINITY), tensor(Doubles{1, 3, 3, 7}, {2, 2}), 1e-15);
  // The product that is used for many rows, in batches that broadcast.
  const Tensor x = values({3, 1, 30, 5}, 1), y = values({2, 7, 5}, 2);
  expect_close(cdist(x, y), norm(unsqueeze(x, -2) - unsqueeze(y, -3), 2, -1), 1e-12);
  EXPECT_EQ(cdist(zeros({0, 3}), zeros({2, 3})).shape(), (Shape{0, 2}));
  expect_error([&] { cdist(a, zeros({2, 3}, DType::f64)); }, {"[cdist]", "f64[2,3]"});
  expect_error([&] { cdist(a, b, -1); }, {"[cdist]", "p is -1"});
  expect_error([&] { cosine_similarity(a, zeros({2, 2})); }, {"[cosine_similarity]", ".to"});
}

TEST(Distances, Gradients) {
  const Inputs in{leaf({3, 4}, 1), leaf({3, 4}, 2)};
  for (const double p : {1.0, 2.0, 3.0}) {
    const Function between = [p](const Inputs& x) {
      return pairwise_distance(x[0], x[1], {.p = p});
    };
    const Function all = [p](const Inputs& x) { return cdist(x[0], x[1], p); };
    expect_gradients(between, in);
    expect_gradients(all, in);
    expect_f32_follows_f64(all, in, 1e-5);
  }
  const Function cosine = [](const Inputs& x) { return cosine_similarity(x[0], x[1]); };
  expect_gradients(cosine, in);
  expect_f32_follows_f64(cosine, in);
  expect_gradients([](const Inputs& x) { return cdist(x[0], x[1]); },
                   {leaf({26, 3}, 1), leaf({2, 3}, 2)});
  for (const int64_t rows : {2, 30}) {
    const Tensor x = ones({rows, 4}, DType::f64).set_requires_grad();
    sum(cdist(x, x)).backward();
    expect_close(x.grad(), zeros({rows, 4}, DType::f64), 0);
  }
}

}  // namespace
}  // namespace tern
