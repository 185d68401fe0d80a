// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

namespace tern::fuzz {

namespace {

void add_sums(Calls& calls) {
  calls.add("sum", [](Draw& d) { return sum(d.tensor(), d.axes(), d.flag()); });
  calls.add("mean", [](Draw& d) { return mean(d.floating().tensor(), d.axes(), d.flag()); });
  calls.add("prod", [](Draw& d) { return prod(d.tensor(), d.axes(), d.flag()); });
  calls.add("max", [](Draw& d) { return max(d.tensor(), d.axes(), d.flag()); });
  calls.add("min", [](Draw& d) { return min(d.tensor(), d.axes(), d.flag()); });
  calls.add("argmax", [](Draw& d) { return argmax(d.tensor(), d.axis(), d.flag()); });
  calls.add("argmax", [](Draw& d) { return argmax(d.tensor()); });
  calls.add("argmin", [](Draw& d) { return argmin(d.tensor(), d.axis(), d.flag()); });
  calls.add("argmin", [](Draw& d) { return argmin(d.tensor()); });
  calls.add("any", [](Draw& d) { return any(d.tensor(), d.axes(), d.flag()); });
  calls.add("all", [](Draw& d) { return all(d.tensor(), d.axes(), d.flag()); });
  calls.add("count_nonzero", [](Draw& d) { return count_nonzero(d.tensor(), d.axes(), d.flag()); });
  calls.add("logsumexp",
            [](Draw& d) { return logsumexp(d.floating().tensor(), d.axes(), d.flag()); });
  calls.add("var", [](Draw& d) {
    return tern::var(d.floating().tensor(), d.axes(),
                     {.correction = d.real(0, 2), .keepdim = d.flag()});
  });
  calls.add("std", [](Draw& d) {
    return tern::std(d.floating().tensor(), d.axes(),
                     {.correction = d.real(0, 2), .keepdim = d.flag()});
  });
  calls.add("norm", [](Draw& d) {
    const double p = d.one_of({0.0, 1.0, 2.0, 3.0, d.real(0, 4)});
    return norm(d.floating().tensor(), p, d.axes(), d.flag());
  });
  calls.add("normalize", [](Draw& d) {
    return normalize(d.floating().tensor(d.sizes(3)),
                     {.p = d.real(0, 3), .axis = d.axis(), .eps = d.real(0, 1)});
  });
  calls.add("median", [](Draw& d) { return median(d.tensor()); });
  calls.add("median", [](Draw& d) { return median(d.tensor(), d.axis(), d.flag()); });
  calls.add("cumsum", [](Draw& d) { return cumsum(d.tensor(), d.axis()); });
  calls.add("sort", [](Draw& d) { return sort(d.tensor(), d.axis(), d.flag()); });
  calls.add("argsort", [](Draw& d) { return argsort(d.tensor(), d.axis(), d.flag()); });
  calls.add("topk", [](Draw& d) { return topk(d.tensor(), d.integer(0, 3), d.axis(), d.flag()); });
}

void add_products(Calls& calls) {
  calls.add("matmul", [](Draw& d) {
    const int64_t inner = d.length();
    const Tensor a = d.tensor({d.length(), d.length(), inner});
    return matmul(a, d.flag() ? d.tensor({inner, d.length()}) : d.tensor({inner}));
  });
  calls.add("linear", [](Draw& d) {
    const int64_t in = d.length(), out = d.length();
    const Tensor x = d.floating().tensor({d.length(), in});
    return linear(x, d.tensor({out, in}), d.maybe({out}));
  });
  calls.add("bmm", [](Draw& d) {
    const int64_t batch = d.length(), inner = d.length();
    return bmm(d.tensor({batch, d.length(), inner}), d.tensor({batch, inner, d.length()}));
  });
  calls.add("dot", [](Draw& d) { return dot(d.tensor({4}), d.tensor({4})); });
  calls.add("outer", [](Draw& d) { return outer(d.tensor(d.sizes(1)), d.tensor(d.sizes(1))); });
  calls.add("addmm", [](Draw& d) {
    const int64_t rows = d.length(), inner = d.length(), columns = d.length();
    return addmm(d.tensor({columns}), d.tensor({rows, inner}), d.tensor({inner, columns}),
                 {.beta = d.real(), .alpha = d.real()});
  });
  calls.add("einsum", [](Draw& d) {
    const char* equation = d.one_of({"ij,jk->ik", "ij,jk", "...j,jk->...k", "ii,ij->j", "ij,jk->"});
    const int64_t length = d.length();
    return einsum(d.text(equation), {d.tensor({length, length}), d.tensor({length, length})});
  });
  calls.add("cosine_similarity", [](Draw& d) {
    return cosine_similarity(d.floating().tensor(d.sizes(2)), d.like(),
                             {.axis = d.axis(), .eps = d.real(0, 1)});
  });
  calls.add("pairwise_distance", [](Draw& d) {
    return pairwise_distance(d.floating().tensor(d.sizes(2)), d.like(),
                             {.p = d.real(0, 3), .eps = d.real(0, 1), .keepdim = d.flag()});
  });
  calls.add("cdist", [](Draw& d) {
    const int64_t inner = d.length();
    return cdist(d.floating().tensor({d.length(), inner}), d.tensor({d.length(), inner}),
                 d.one_of({1.0, 2.0, d.real(0, 3)}));
  });
}

void add_losses(Calls& calls) {
  calls.add("cross_entropy", [](Draw& d) {
    const int64_t batch = d.length(), classes = d.length();
    const bool pixels = d.chance(0.3), probable = d.chance(0.2);
    const std::vector<int64_t> sizes =
        pixels ? std::vector{batch, classes, int64_t{2}, int64_t{3}} : std::vector{batch, classes};
    const std::vector<int64_t> of_ids =
        pixels ? std::vector{batch, int64_t{2}, int64_t{3}} : std::vector{batch};
    const Tensor logits = d.floating().tensor(sizes);
    return cross_entropy(logits, probable ? d.fraction(sizes) : d.ids(of_ids, classes),
                         {.ignore_index = d.integer(-100, 3),
                          .label_smoothing = d.real(0, 1),
                          .reduction = d.reduction(),
                          .weight = d.flag() ? Tensor() : d.fraction({classes})});
  });
  calls.add("nll_loss", [](Draw& d) {
    const int64_t batch = d.length(), classes = d.length();
    return nll_loss(d.floating().tensor({batch, classes}), d.ids({batch}, classes),
                    {.weight = d.flag() ? Tensor() : d.fraction({classes}),
                     .ignore_index = d.integer(-100, 3),
                     .reduction = d.reduction()});
  });
  calls.add("binary_cross_entropy", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return binary_cross_entropy(d.fraction(sizes), d.fraction(sizes),
                                {.weight = d.maybe(sizes), .reduction = d.reduction()});
  });
  calls.add("binary_cross_entropy_with_logits", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return binary_cross_entropy_with_logits(
        d.tensor(sizes), d.fraction(sizes),
        {.weight = d.maybe({sizes[1]}), .pos_weight = d.maybe(sizes), .reduction = d.reduction()});
  });
  calls.add("mse_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return mse_loss(d.tensor(sizes), d.tensor(sizes), d.reduction());
  });
  calls.add("l1_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return l1_loss(d.tensor(sizes), d.tensor(sizes), d.reduction());
  });
  calls.add("smooth_l1_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return smooth_l1_loss(d.tensor(sizes), d.tensor(sizes), d.reduction(), d.real(0, 2));
  });
  calls.add("huber_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return huber_loss(d.tensor(sizes), d.tensor(sizes), d.reduction(), d.real(0, 2));
  });
  calls.add("kl_div", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return kl_div(d.tensor(sizes), d.fraction(sizes), d.reduction(), d.flag());
  });
  calls.add("ctc_loss", [](Draw& d) {
    const int64_t steps = d.length(), batch = d.length(), classes = d.length();
    const int64_t longest = d.length();
    const Tensor log_p = log_softmax(d.floating().tensor({steps, batch, classes}), -1);
    return ctc_loss(
        log_p, d.ids({batch, longest}, classes), d.ids({batch}, steps + 1),
        d.ids({batch}, longest + 1),
        {.blank = d.integer(0, 2), .reduction = d.reduction(), .zero_infinity = d.flag()});
  });
  calls.add("margin_ranking_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(1);
    return margin_ranking_loss(d.tensor(sizes), d.tensor(sizes), d.tensor(sizes), d.real(),
                               d.reduction());
  });
  calls.add("triplet_margin_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return triplet_margin_loss(d.tensor(sizes), d.tensor(sizes), d.tensor(sizes),
                               {.margin = d.real(0, 2),
                                .p = d.real(1, 3),
                                .eps = d.real(0, 0.1),
                                .swap = d.flag(),
                                .reduction = d.reduction()});
  });
  calls.add("cosine_embedding_loss", [](Draw& d) {
    const std::vector<int64_t> sizes = d.floating().sizes(2);
    return cosine_embedding_loss(d.tensor(sizes), d.tensor(sizes), d.tensor({sizes[0]}), d.real(),
                                 d.reduction());
  });
}

}  // namespace

void add_reductions(Calls& calls) {
  add_sums(calls);
  add_products(calls);
  add_losses(calls);
}

}  // namespace tern::fuzz
