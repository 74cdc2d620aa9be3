#include "log/epoch/chain_client.h"

#include <gtest/gtest.h>

#include "log/epoch/testing/make.h"

namespace understudy::testing {
namespace {

class ChainClientTest : public ::testing::Test {
 protected:
  ChainClientTest() {
    base_ = {5, ChainOf({Entry(1, kA1, 1, {kD1, kD2, kD3}, 2)})};
    won_ = CloseAndOpen(base_.chain, Lsn(9), Entry(2, kA2, 10, {kD1, kD2, kD3}, 2));
    client_.Propose(base_, won_, kA2, Ms(0), &ops_);
  }
  ChainOp Take() {
    EXPECT_EQ(ops_.size(), 1u);
    const ChainOp op = ops_.empty() ? ChainOp{} : ops_.back();
    ops_.clear();
    return op;
  }
  std::optional<ChainClient::Outcome> Cas(Token token, StatusCode code, uint64_t version = 0) {
    return client_.Step(ChainCasDone{token, code == StatusCode::kOk ? Status::Ok() : Status(code, ""), version}, Ms(1),
                        &ops_);
  }
  std::optional<ChainClient::Outcome> Read(Token token, uint64_t version, const Chain& chain) {
    return client_.Step(ChainReadDone{token, Status::Ok(), {version, chain}}, Ms(1), &ops_);
  }

  ChainClient client_{1, 20};
  std::vector<ChainOp> ops_;
  VersionedChain base_;
  Chain won_;
};

TEST_F(ChainClientTest, Wins) {
  const ChainOp op = Take();
  EXPECT_EQ(op.kind, ChainOp::Kind::kCas);
  EXPECT_EQ(op.expected_version, 5u);
  EXPECT_TRUE(client_.in_doubt());
  const auto outcome = Cas(op.token, StatusCode::kOk, 6);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kWon);
  EXPECT_EQ(outcome->current.version, 6u);
  EXPECT_EQ(outcome->current.chain, won_);
  EXPECT_FALSE(client_.busy());
}

TEST_F(ChainClientTest, ConflictIsLostAndBringsTheChain) {
  EXPECT_FALSE(Cas(Take().token, StatusCode::kConflict).has_value());
  Chain other = base_.chain;
  other.next_checkpoint_id = 2;
  const auto outcome = Read(Take().token, 7, other);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kLost);
  EXPECT_EQ(outcome->current.chain, other);
}

TEST_F(ChainClientTest, NeverSentIsLostAtOnce) {
  const auto outcome = Cas(Take().token, StatusCode::kUnavailable);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kLost);
  EXPECT_EQ(outcome->current.version, 5u);
}

TEST_F(ChainClientTest, RuleUnknownOutcomeIsWonByFindingTheAttempt) {
  Cas(Take().token, StatusCode::kOutcomeUnknown);
  const auto outcome = Read(Take().token, 6, won_);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kWon);
}

TEST_F(ChainClientTest, RuleUnknownOutcomeIsLostByANewerVersionWithoutTheAttempt) {
  Cas(Take().token, StatusCode::kDeadlineExceeded);
  const auto outcome = Read(Take().token, 6, base_.chain);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kLost);
}

TEST_F(ChainClientTest, RuleReadingAnUnchangedChainSettlesNothing) {
  Cas(Take().token, StatusCode::kOutcomeUnknown);
  EXPECT_FALSE(Read(Take().token, 5, base_.chain).has_value());
  EXPECT_TRUE(client_.in_doubt());
  const ChainOp noop = Take();  // the same value over the same version: then ours finds nothing to match
  EXPECT_EQ(noop.kind, ChainOp::Kind::kCas);
  EXPECT_EQ(noop.expected_version, 5u);
  EXPECT_EQ(noop.chain, base_.chain);
  const auto outcome = Cas(noop.token, StatusCode::kOk, 6);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kLost);
  EXPECT_EQ(outcome->current.version, 6u);
}

TEST_F(ChainClientTest, LostNoopIsDecidedByReading) {
  Cas(Take().token, StatusCode::kOutcomeUnknown);
  Read(Take().token, 5, base_.chain);
  EXPECT_FALSE(Cas(Take().token, StatusCode::kConflict).has_value());  // ours landed meanwhile, or another's
  const auto outcome = Read(Take().token, 6, won_);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->verdict, ChainClient::Verdict::kWon);
}

TEST_F(ChainClientTest, KeepsReadingUntilItKnows) {
  Cas(Take().token, StatusCode::kOutcomeUnknown);
  client_.Step(ChainReadDone{Take().token, Status(StatusCode::kUnavailable, ""), {}}, Ms(1), &ops_);
  EXPECT_TRUE(client_.in_doubt());
  EXPECT_EQ(client_.wake_at(), Ms(21));
  client_.Step(Tick{}, Ms(20), &ops_);
  EXPECT_TRUE(ops_.empty());
  client_.Step(Tick{}, Ms(21), &ops_);
  EXPECT_TRUE(Read(Take().token, 6, won_).has_value());
}

TEST(CloseAndOpen, DropsEpochsThatAreTrimmedAway) {
  Chain chain = ChainOf({Closed(Entry(1, kA1, 1, {kD1, kD2}, 2), 5), Entry(2, kA2, 6, {kD1, kD2}, 2)});
  chain.trim_lsn = Lsn(5);
  const Chain next = CloseAndOpen(chain, Lsn(8), Entry(3, AttemptId{0xA, 3}, 9, {kD1, kD2}, 2));
  ASSERT_EQ(next.epochs.size(), 2u);
  EXPECT_EQ(next.epochs[0].epoch, Epoch(2));
  EXPECT_EQ(next.epochs[0].last_lsn, Lsn(8));
  EXPECT_FALSE(next.epochs[1].closed());
}

}  // namespace
}  // namespace understudy::testing
