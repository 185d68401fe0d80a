// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

namespace tern::fuzz {

namespace {

void add_creation(Calls& calls) {
  calls.add("zeros", [](Draw& d) { return zeros(d.shape(), d.dtype()); });
  calls.add("ones", [](Draw& d) { return ones(d.shape(), d.dtype()); });
  calls.add("full", [](Draw& d) { return full(d.shape(), d.real(), d.dtype()); });
  calls.add("zeros_like", [](Draw& d) { return zeros_like(d.tensor()); });
  calls.add("ones_like", [](Draw& d) { return ones_like(d.tensor()); });
  calls.add("full_like", [](Draw& d) { return full_like(d.tensor(), d.real()); });
  calls.add("rand", [](Draw& d) { return rand(d.shape(), d.floating().dtype()); });
  calls.add("randn", [](Draw& d) { return randn(d.shape(), d.floating().dtype()); });
  calls.add("rand_like", [](Draw& d) { return rand_like(d.floating().tensor()); });
  calls.add("randn_like", [](Draw& d) { return randn_like(d.floating().tensor()); });
  calls.add("randint", [](Draw& d) {
    return randint(d.integer(-5, 0), d.integer(0, 5), d.shape(), d.dtype());
  });
  calls.add("randint", [](Draw& d) { return randint(d.integer(0, 5), d.shape(), d.dtype()); });
  calls.add("randperm", [](Draw& d) { return randperm(d.integer(0, 9)); });
  calls.add("arange", [](Draw& d) { return arange(d.real(-2, 9), d.dtype()); });
  calls.add("arange", [](Draw& d) {
    return arange(d.real(-5, 2), d.real(-2, 5), d.real(-0.5, 1), d.dtype());
  });
  calls.add("linspace",
            [](Draw& d) { return linspace(d.real(), d.real(), d.integer(0, 9), d.dtype()); });
  calls.add("eye", [](Draw& d) { return eye(d.integer(0, 5), d.integer(0, 5), d.dtype()); });
  calls.add("eye", [](Draw& d) { return eye(d.integer(0, 5), d.dtype()); });
  calls.add("tensor", [](Draw& d) { return tensor(std::vector<float>(3), d.shape()); });
  calls.add("tensor", [](Draw& d) { return tensor(std::vector<double>(3), d.shape()); });
  calls.add("tensor", [](Draw& d) { return tensor(std::vector<int64_t>(3), d.shape()); });
  calls.add("tensor", [](Draw& d) { return tensor(std::vector<uint8_t>(3), d.shape()); });
  calls.add("tensor", [](Draw& d) { return tensor(std::vector<bool>(3), d.shape()); });
  calls.add("from_blob", [](Draw& d) {
    static double memory[720];  // for the shapes that are not huge
    const Shape shape = d.shape();
    if (shape.numel() > 720) return Tensor();
    return from_blob(d.chance(0.1) ? nullptr : memory, shape, d.dtype());
  });
  calls.add("tril", [](Draw& d) { return tril(d.tensor(d.sizes(3)), d.integer(-3, 3)); });
  calls.add("triu", [](Draw& d) { return triu(d.tensor(d.sizes(2)), d.integer(-3, 3)); });
  calls.add("diag",
            [](Draw& d) { return diag(d.tensor(d.sizes(d.between(1, 2))), d.integer(-3, 3)); });
  calls.add("meshgrid", [](Draw& d) {
    return meshgrid({d.tensor(d.sizes(1)), d.tensor(d.sizes(1))});
  });
  calls.add("one_hot", [](Draw& d) { return one_hot(d.ids(d.sizes(2), 4), d.integer(-1, 5)); });
  calls.add("bernoulli", [](Draw& d) { return bernoulli(d.fraction(d.sizes(2))); });
  calls.add("normal", [](Draw& d) { return normal(d.floating().tensor(), d.fraction({1})); });
  calls.add("normal", [](Draw& d) { return normal(d.real(), d.fraction(d.sizes(2))); });
  calls.add("normal", [](Draw& d) { return normal(d.floating().tensor(), d.real(0, 2)); });
  calls.add("normal", [](Draw& d) {
    return normal(d.real(), d.real(0, 2), d.shape(), d.floating().dtype());
  });
  calls.add("multinomial", [](Draw& d) {
    return multinomial(d.fraction(d.sizes(d.between(1, 2))), d.integer(0, 3), d.flag());
  });
}

void add_shapes(Calls& calls) {
  calls.add("reshape", [](Draw& d) {
    const Tensor x = d.tensor({2, 3, d.length()});
    return reshape(x, d.flag() ? std::vector<int64_t>{6, -1} : d.integers(2, -1, 6));
  });
  calls.add("unflatten", [](Draw& d) {
    const Tensor x = d.tensor({d.length(), 6});
    return unflatten(x, d.integer(-1, 1), d.integers(2, -1, 6));
  });
  calls.add("flatten", [](Draw& d) { return flatten(d.tensor(), d.axis(), d.axis()); });
  calls.add("unsqueeze", [](Draw& d) { return unsqueeze(d.tensor(), d.axis()); });
  calls.add("squeeze", [](Draw& d) { return squeeze(d.tensor(), d.axis()); });
  calls.add("squeeze", [](Draw& d) { return squeeze(d.tensor()); });
  calls.add("transpose", [](Draw& d) { return transpose(d.tensor(), d.axis(), d.axis()); });
  calls.add("permute", [](Draw& d) {
    const Tensor x = d.tensor(d.sizes(4));
    return d.flag() ? permute(x, {0, 2, 3, 1}) : permute(x, d.integers(4, -4, 3));
  });
  calls.add("flip", [](Draw& d) { return flip(d.tensor(), d.axes()); });
  calls.add("roll", [](Draw& d) {
    const size_t count = static_cast<size_t>(d.between(0, 2));
    return roll(d.tensor(), d.integers(std::max<size_t>(count, 1), -9, 9),
                d.integers(count, -2, 2));
  });
  calls.add("rot90", [](Draw& d) {
    return rot90(d.tensor(d.sizes(3)), d.integer(-5, 5), d.integers(2, -3, 2));
  });
  calls.add("broadcast_to", [](Draw& d) { return broadcast_to(d.like(), d.shape()); });
  calls.add("repeat", [](Draw& d) { return repeat(d.tensor(), d.integers(3, 0, 3)); });
  calls.add("pad", [](Draw& d) {
    const auto mode =
        d.one_of({PadMode::constant, PadMode::reflect, PadMode::replicate, PadMode::circular});
    return pad(d.tensor(), d.integers(2 * static_cast<size_t>(d.between(0, 3)), -1, 3),
               {.mode = mode, .value = d.real()});
  });
  calls.add("sum_to", [](Draw& d) {
    const Tensor x = d.tensor({2, 3, 4});
    return sum_to(x, d.flag() ? Shape{3, 1} : d.shape());
  });
  calls.add("to", [](Draw& d) { return d.tensor().to(d.dtype()); });
  calls.add("detach", [](Draw& d) { return d.tensor().detach(); });
  calls.add("clone", [](Draw& d) { return d.tensor().clone(); });
  calls.add("contiguous", [](Draw& d) { return contiguous(d.tensor(d.sizes(4))); });
  calls.add("to_memory_format", [](Draw& d) {
    return to_memory_format(d.tensor(d.sizes(4)),
                            d.one_of({MemoryFormat::channels_last, MemoryFormat::row_major}));
  });
  calls.add("to_order", [](Draw& d) { return to_order(d.tensor(), MemoryFormat::channels_last); });
  calls.add("item and to_vector", [](Draw& d) {
    const Tensor x = d.tensor();
    (void)to_string(x);
    (void)x.size(d.axis());
    if (d.flag()) (void)x.to_vector<float>();
    if (d.flag()) (void)x.item<uint8_t>();
    (void)x.item<int64_t>();
  });
  calls.add("equal", [](Draw& d) { (void)equal(d.tensor(), d.like()); });
}

void add_parts(Calls& calls) {
  calls.add("slice", [](Draw& d) {
    return slice(d.tensor(), d.axis(), d.integer(-3, 3), d.integer(-3, 6), d.integer(1, 3));
  });
  calls.add("select", [](Draw& d) { return select(d.tensor(), d.axis(), d.integer(-2, 2)); });
  calls.add("narrow", [](Draw& d) {
    return narrow(d.tensor(), d.axis(), d.integer(-3, 3), d.integer(0, 3));
  });
  calls.add("split", [](Draw& d) { return split(d.tensor(), d.integer(1, 4), d.axis()); });
  calls.add("split", [](Draw& d) {
    const Tensor x = d.tensor({d.length(), 4});
    return split(x, d.flag() ? std::vector<int64_t>{1, 3} : d.integers(2, 0, 4), d.integer(0, 1));
  });
  calls.add("split", [](Draw& d) {
    const int64_t first = d.integer(0, 4);
    return split(d.tensor({d.length(), 4}), {first, d.integer(0, 4)}, 1);
  });
  calls.add("chunk", [](Draw& d) { return chunk(d.tensor(), d.integer(1, 4), d.axis()); });
  calls.add("unbind", [](Draw& d) { return unbind(d.tensor(), d.axis()); });
  calls.add("cat", [](Draw& d) { return cat(d.tensors(), d.axis()); });
  calls.add("stack", [](Draw& d) { return stack(d.tensors(), d.axis()); });
  calls.add("hstack", [](Draw& d) { return hstack(d.tensors()); });
  calls.add("vstack", [](Draw& d) { return vstack(d.tensors()); });
}

void add_indexing(Calls& calls) {
  calls.add("index", [](Draw& d) {
    const Tensor x = d.tensor();
    return index(x, d.indices(x));
  });
  calls.add("index_put_", [](Draw& d) {
    const Tensor x = d.tensor();
    const std::vector<Index> indices = d.indices(x);
    return index_put_(x, indices, d.tensor(d.flag() ? std::vector<int64_t>{} : d.sizes(1)));
  });
  calls.add("index_put_", [](Draw& d) {
    const Tensor x = d.tensor();
    return index_put_(x, d.indices(x), d.real());
  });
  calls.add("operator[]", [](Draw& d) {
    const Tensor x = d.tensor();
    x[d.integer(-2, 1)][Range(d.integer(0, 1))] = d.real();
    return x[d.integer(-2, 1)];
  });
  calls.add("masked_select", [](Draw& d) {
    const Tensor x = d.tensor(d.sizes(2));
    const Shape shape = d.last();
    return masked_select(x, d.mask({shape.begin(), shape.end()}));
  });
  calls.add("nonzero", [](Draw& d) { return nonzero(d.tensor()); });
  calls.add("index_select", [](Draw& d) {
    return index_select(d.tensor(d.sizes(3)), d.axis(), d.ids({d.between(0, 4)}, 2));
  });
  calls.add("gather", [](Draw& d) {
    const Tensor x = d.tensor({3, 4});
    return gather(x, d.axis(), d.ids({d.between(0, 3), d.between(0, 4)}, 3));
  });
  calls.add("take_along", [](Draw& d) {
    const Tensor x = d.tensor({3, 4});
    return take_along(x, d.axis(), d.ids({d.between(0, 3), d.one_of<int64_t>({1, 4})}, 3));
  });
  calls.add("scatter", [](Draw& d) {
    const Tensor x = d.tensor({3, 4});
    const Tensor index = d.ids({d.between(0, 3), d.between(0, 4)}, 3);
    return scatter(x, d.axis(), index, d.tensor({3, 4}));
  });
  calls.add("scatter", [](Draw& d) {
    const Tensor x = d.tensor({3, 4});
    return scatter(x, d.axis(), d.ids({d.between(0, 3), d.between(0, 4)}, 3), d.real());
  });
  calls.add("scatter_add", [](Draw& d) {
    const Tensor x = d.tensor({3, 4});
    const Tensor index = d.ids({d.between(0, 3), d.between(0, 4)}, 3);
    return scatter_add(x, d.axis(), index, d.tensor({3, 4}));
  });
  calls.add("index_add", [](Draw& d) {
    const int64_t count = d.between(0, 4), columns = d.length();
    const Tensor x = d.tensor({3, columns}), index = d.ids({count}, 3);
    return index_add(x, d.integer(0, 0), index, d.tensor({count, columns}));
  });
  calls.add("embedding", [](Draw& d) {
    const Tensor weight = d.floating().tensor({5, d.length()});
    return embedding(d.ids(d.sizes(2), 5), weight,
                     {.padding_idx = d.maybe_integer(-5, 4),
                      .max_norm = d.maybe_real(0, 2),
                      .norm_type = d.real(0, 3)});
  });
  calls.add("embedding_bag", [](Draw& d) {
    const Tensor weight = d.floating().tensor({5, d.length()});
    const bool bags = d.flag();
    const int64_t count = d.between(0, 5);
    const std::vector<int64_t> sizes = bags ? std::vector{d.length(), count} : std::vector{count};
    const Tensor ids = d.ids(sizes, 5);
    const Tensor offsets = bags ? Tensor() : d.ids({d.between(0, 3)}, 2);
    return embedding_bag(ids, weight, offsets, d.flag() ? Tensor() : d.tensor(sizes),
                         {.mode = d.one_of({BagMode::sum, BagMode::mean, BagMode::max}),
                          .padding_idx = d.maybe_integer(-5, 4),
                          .max_norm = d.maybe_real(0, 2),
                          .norm_type = d.real(0, 3),
                          .include_last_offset = d.chance(0.2)});
  });
}

}  // namespace

void add_movement(Calls& calls) {
  add_creation(calls);
  add_shapes(calls);
  add_parts(calls);
  add_indexing(calls);
}

}  // namespace tern::fuzz
