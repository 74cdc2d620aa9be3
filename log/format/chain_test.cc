#include "log/format/chain.h"

#include <gtest/gtest.h>

#include "log/env/random.h"

namespace understudy {
namespace {

Chain Example() {
  Chain chain;
  chain.log = LogId(7);
  chain.name = "orders \"quoted\" \xc3\xa9";
  chain.replicas_target = 3;
  chain.ack_quorum = 2;
  EpochEntry first;
  first.epoch = Epoch(4);
  first.attempt = {1, 2};
  first.owner = {"n1", "127.0.0.1:7001"};
  first.first_lsn = Lsn(101);
  first.last_lsn = Lsn(200);
  first.disks = {{{3, 3}, "n1"}, {{4, 4}, "n2"}, {{5, 5}, "n3"}};
  first.ack_quorum = 2;
  EpochEntry second = first;
  second.epoch = Epoch(6);
  second.attempt = {UINT64_MAX, 9};
  second.first_lsn = Lsn(201);
  second.last_lsn.reset();
  chain.epochs = {first, second};
  chain.trim_lsn = Lsn(110);
  chain.checkpoints = {{1, Lsn(120), 1000, {{3, 3}}}, {2, Lsn(190), 2000, {{3, 3}, {4, 4}}}};
  chain.pins = {{"n4", 1, Lsn(120), 1'700'000'000'000}};
  chain.next_checkpoint_id = 3;
  chain.quota_bytes = 100u << 20;
  return chain;
}

TEST(ChainTest, ComesBackAsItWas) {
  const Chain chain = Example();
  const Result<Chain> back = DecodeChain(EncodeChain(chain));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(*back, chain);
  EXPECT_EQ(EncodeChain(*back), EncodeChain(chain));
}

// The example of docs/formats.md, word for word.
TEST(ChainTest, TheDocumentedExampleIsAChain) {
  const Result<Chain> chain = DecodeChain(R"(
    {"ack_quorum":1,
     "chain":[{"ack_quorum":1,"attempt":"11111111111111112222222222222222",
               "disks":[{"disk":"0123456789abcdeffedcba9876543210","node":"n1"}],
               "epoch":3,"first_lsn":1000,"owner":{"endpoint":"127.0.0.1:7001","node":"n1"}}],
     "checkpoints":[{"bytes":5,"disks":["0123456789abcdeffedcba9876543210"],"id":2,"lsn":999}],
     "log_id":7,"name":"orders","next_checkpoint_id":3,"pins":[],"replicas_target":1,"trim_lsn":999})");
  ASSERT_TRUE(chain.ok()) << chain.status().ToString();
  EXPECT_EQ(chain->last()->attempt, (AttemptId{0x1111111111111111, 0x2222222222222222}));
  EXPECT_EQ(chain->trim_lsn, Lsn(999));
}

TEST(ChainTest, FindsEpochs) {
  const Chain chain = Example();
  EXPECT_EQ(chain.last()->epoch, Epoch(6));
  EXPECT_EQ(chain.Find(Epoch(4))->first_lsn, Lsn(101));
  EXPECT_EQ(chain.Find(Epoch(5)), nullptr);
  EXPECT_EQ(chain.FindAttempt({UINT64_MAX, 9})->epoch, Epoch(6));
  EXPECT_EQ(chain.FindAttempt({8, 8}), nullptr);
  EXPECT_EQ(chain.Covering(Lsn(100)), nullptr);
  EXPECT_EQ(chain.Covering(Lsn(200))->epoch, Epoch(4));
  EXPECT_EQ(chain.Covering(Lsn(201))->epoch, Epoch(6));
  EXPECT_EQ(chain.Covering(Lsn(1'000'000))->epoch, Epoch(6));
  EXPECT_EQ(chain.TrimBound(), Lsn(120));
  EXPECT_EQ(Chain().TrimBound(), Lsn(0));
}

TEST(ChainTest, EveryRuleIsChecked) {
  const auto broken = [](void (*change)(Chain*)) {
    Chain chain = Example();
    change(&chain);
    return !ValidateChain(chain).ok() && !DecodeChain(EncodeChain(chain)).ok();
  };
  EXPECT_TRUE(ValidateChain(Example()).ok());
  EXPECT_TRUE(broken([](Chain* c) { c->log = LogId(0); }));
  EXPECT_TRUE(broken([](Chain* c) { c->ack_quorum = 4; }));
  EXPECT_TRUE(broken([](Chain* c) { c->ack_quorum = 0; }));
  EXPECT_TRUE(broken([](Chain* c) { c->replicas_target = 0; }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].epoch = Epoch(0); }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].first_lsn = Lsn(0); }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].attempt = {}; }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].ack_quorum = 4; }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].disks[1] = c->epochs[0].disks[0]; }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].last_lsn = Lsn(99); }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[0].last_lsn.reset(); }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[1].epoch = Epoch(4); }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[1].first_lsn = Lsn(200); }));
  EXPECT_TRUE(broken([](Chain* c) { c->epochs[1].attempt = c->epochs[0].attempt; }));
  EXPECT_TRUE(broken([](Chain* c) { std::swap(c->checkpoints[0], c->checkpoints[1]); }));
  EXPECT_TRUE(broken([](Chain* c) { c->trim_lsn = Lsn(121); }));
  Chain empty_epoch = Example();
  empty_epoch.epochs[0].last_lsn = Lsn(100);
  EXPECT_TRUE(ValidateChain(empty_epoch).ok()) << "an epoch may hold nothing";
}

TEST(ChainTest, WhatIsNoChainIsRefusedWithoutHarm) {
  const std::string good = EncodeChain(Example());
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_FALSE(DecodeChain(std::string_view(good).substr(0, size)).ok()) << size;
  }
  SeededRandom random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    bad[random.Below(bad.size())] = static_cast<char>(random.Next64());
    const Result<Chain> decoded = DecodeChain(bad);  // some changes are harmless; none may crash or break a rule
    if (decoded.ok()) {
      ASSERT_TRUE(ValidateChain(*decoded).ok());
    } else {
      ASSERT_EQ(decoded.status().code(), StatusCode::kCorruption);
    }
  }
  for (const char* text : {"", "null", "[]", "{}", "{\"log_id\":-1}", "[[[[[[[[[[[[[[[[[[", "\"\xff\"", "1e999"}) {
    EXPECT_EQ(DecodeChain(text).status().code(), StatusCode::kCorruption) << text;
  }
}

}  // namespace
}  // namespace understudy
