// SPDX-License-Identifier: Apache-2.0
// The examples of the reference: dist. docs/examples.dox assigns them to classes.
#include <tern/tern.h>

#include "support.h"

using namespace tern;

namespace {

TEST(Documentation, Communicator) {
  //! [Communicator]
  dist::run_threads(3, [](dist::Communicator world) {
    world.set_deadlines({.warn_after = 5, .give_up_after = 20});
    const Tensor x = full({2}, world.rank() + 1.0);
    world.all_reduce(x, "x");
    EXPECT_EQ(x.to_vector<float>(), std::vector<float>({6, 6}));
    EXPECT_EQ(world.broadcast("from rank " + std::to_string(world.rank()), 1), "from rank 1");
  });
  //! [Communicator]
}

TEST(Documentation, Shard) {
  //! [Shard]
  const data::TensorDataset set(arange(10));
  dist::run_threads(3, [&](dist::Communicator world) {
    data::DataLoader loader(set, {.batch_size = 4, .shard = {.first = world.rank(), .of = 3}});
    double count = 0;
    for (const auto& [x, y] : loader) count += static_cast<double>(x.size(0));
    EXPECT_EQ(world.sum({count})[0], 10);
  });
  //! [Shard]
}

TEST(Documentation, DataParallel) {
  //! [DataParallel]
  const data::TensorDataset set(randn({10, 3}), randint(2, {10}));
  dist::run_threads(2, [&](dist::Communicator world) {
    nn::Linear net(3, 2);
    dist::DataParallel parallel(net, world, {.bucket_bytes = 1 << 20});
    optim::SGD sgd(net.parameters(), {.lr = 0.1});
    data::DataLoader loader(
        set, {.batch_size = 4, .shuffle = true, .seed = 1, .shard = parallel.shard()});
    for (const auto& [x, y] : loader) {
      parallel.backward(cross_entropy(net(x), y), x.size(0));
      sgd.step();
      sgd.zero_grad();
    }
    EXPECT_EQ(parallel.steps(), 3);
    world.require_same("the weight", to_string(net.weight()));
  });
  //! [DataParallel]
}

TEST(Documentation, SyncBatchNorm) {
  //! [SyncBatchNorm]
  dist::run_threads(2, [](dist::Communicator world) {
    nn::Sequential net(nn::Linear(3, 4), nn::BatchNorm1d(4), nn::ReLU());
    dist::convert_sync_batch_norm(net, world);
    net(randn({5, 3}));
    const auto& norm = dynamic_cast<const nn::BatchNorm1d&>(*net.children()[1]);
    world.require_same("the mean of all ten", to_string(norm.running_mean()));
    EXPECT_EQ(dist::SyncBatchNorm(4, world)(ones({1, 4})).size(0), 1);
  });
  //! [SyncBatchNorm]
}

//! [Transport]
/// A transport that counts what goes through another one.
class Counted final : public dist::Transport {
 public:
  explicit Counted(dist::Transport& real) : real_(real) {}
  int rank() const override { return real_.rank(); }
  int size() const override { return real_.size(); }
  void exchange(int channel, const dist::Label& label, std::span<const Outgoing> outgoing,
                std::span<const Incoming> incoming, const dist::Deadlines& deadlines) override {
    for (const Outgoing& message : outgoing) sent += message.data.size();
    real_.exchange(channel, label, outgoing, incoming, deadlines);
  }
  void end(const std::string& reason) override { real_.end(reason); }

  size_t sent = 0;

 private:
  dist::Transport& real_;
};
//! [Transport]

/// One rank, which sends messages to nobody.
class Nobody final : public dist::Transport {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void exchange(int, const dist::Label& label, std::span<const Outgoing> outgoing,
                std::span<const Incoming> incoming, const dist::Deadlines&) override {
    EXPECT_TRUE(outgoing.empty() && incoming.empty());
    EXPECT_EQ(label.op(), "barrier");
  }
  void end(const std::string&) override {}
};

TEST(Documentation, Transport) {
  Nobody nobody;
  const auto counted = std::make_shared<Counted>(nobody);
  dist::Communicator(counted).barrier();
  EXPECT_EQ(counted->sent, 0u);
}

}  // namespace
