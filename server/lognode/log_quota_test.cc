#include "server/lognode/log_quota.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace understudy {
namespace {

using ::testing::HasSubstr;

const LogId kLog(3);

class LogQuotaTest : public ::testing::Test {
 protected:
  Instant At(int64_t ms) { return Instant(1) + ms * kNsPerMs; }
  Status Admit(uint64_t bytes, int64_t ms) { return quota_.Admit(kLog, bytes, At(ms)); }

  std::map<LogId, uint64_t> stored_;
  int counts_ = 0;
  LogQuota quota_{1000, [this](LogId log) {
                    ++counts_;
                    return stored_[log];
                  }};
};

TEST_F(LogQuotaTest, DelaysGrowFromTheSoftMarkAndAppendsAboveTheQuotaAreRefused) {
  EXPECT_TRUE(Admit(799, 0).ok());
  EXPECT_EQ(quota_.DelayMs(kLog), 0);
  EXPECT_TRUE(Admit(1, 0).ok());
  EXPECT_EQ(quota_.DelayMs(kLog), 1);
  EXPECT_TRUE(Admit(100, 0).ok());
  EXPECT_GT(quota_.DelayMs(kLog), LogQuota::kDelayMsMax / 3);
  EXPECT_TRUE(Admit(100, 0).ok()) << "up to the quota itself";
  EXPECT_EQ(quota_.DelayMs(kLog), LogQuota::kDelayMsMax);
  const Status refused = Admit(1, 0);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.message(), HasSubstr("log 3 is over its quota, its appends are refused: 1000 bytes of 1000"));
  EXPECT_THAT(refused.message(), HasSubstr("checkpoints"));
  EXPECT_TRUE(quota_.Admit(LogId(4), 500, At(0)).ok()) << "another log is not concerned";
  EXPECT_EQ(quota_.DelayMs(LogId(4)), 0);
}

TEST_F(LogQuotaTest, NobodyIsRefusedForWhatWasSentTwice) {
  stored_[kLog] = 100;
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(Admit(100, 0).ok());
  EXPECT_TRUE(Admit(100, 10).ok()) << "counted first: 100 bytes are stored";
  EXPECT_EQ(quota_.DelayMs(kLog), 0);
}

TEST_F(LogQuotaTest, CountsAgainOnceASecondAndNotForEveryAppendThatIsRefused) {
  stored_[kLog] = 1000;
  for (int ms = 0; ms < 3000; ++ms) EXPECT_FALSE(Admit(10, ms).ok());
  EXPECT_LE(counts_, 4);
  stored_[kLog] = 10;
  EXPECT_TRUE(Admit(10, 4000).ok()) << "trimmed by somebody else";
}

TEST_F(LogQuotaTest, ATrimHelpsAtOnce) {
  stored_[kLog] = 1000;
  EXPECT_FALSE(Admit(10, 0).ok());
  stored_[kLog] = 500;
  EXPECT_FALSE(Admit(10, 1).ok());
  quota_.Trimmed(kLog);
  EXPECT_TRUE(Admit(10, 2).ok());
  EXPECT_EQ(quota_.DelayMs(kLog), 0);
}

TEST_F(LogQuotaTest, TellsWhoIsOver) {
  stored_ = {{LogId(1), 100}, {LogId(2), 850}, {LogId(3), 1200}, {LogId(4), 999}};
  for (const auto& [log, bytes] : stored_) (void)quota_.Admit(log, 5, At(0));
  std::vector<QuotaStatus> over = quota_.Over(10, At(0));
  ASSERT_EQ(over.size(), 3u);
  EXPECT_EQ(over[0].log, LogId(3));
  EXPECT_EQ(over[0].word, QuotaWord::kRefused);
  EXPECT_EQ(over[0].bytes, 1200u);
  EXPECT_EQ(over[1].log, LogId(4));
  EXPECT_EQ(over[1].word, QuotaWord::kRefused) << "its batch did not fit";
  EXPECT_EQ(over[2].log, LogId(2));
  EXPECT_EQ(over[2].word, QuotaWord::kSlowed);
  EXPECT_THAT(over[2].text, HasSubstr("slowed"));
  EXPECT_EQ(quota_.Over(1, At(0)).size(), 1u);
  stored_[LogId(3)] = 0;
  stored_[LogId(4)] = 900;
  over = quota_.Over(10, At(1));
  ASSERT_EQ(over.size(), 2u);
  EXPECT_EQ(over[0].word, QuotaWord::kSlowed) << "trimmed since";
}

// What refuses is the writer; here it is slowed, and told of.
TEST_F(LogQuotaTest, ALogsOwnQuotaSlowsAndRefusesNothing) {
  quota_.UseOwn({{kLog, 500}});
  EXPECT_TRUE(Admit(399, 0).ok());
  EXPECT_EQ(quota_.DelayMs(kLog), 0);
  EXPECT_TRUE(Admit(1, 0).ok());
  EXPECT_EQ(quota_.DelayMs(kLog), 1);
  EXPECT_TRUE(Admit(300, 0).ok()) << "under way when its writer began to refuse";
  EXPECT_EQ(quota_.DelayMs(kLog), LogQuota::kDelayMsMax);
  EXPECT_FALSE(Admit(301, 0).ok()) << "the server's quota holds for it as well";
  EXPECT_TRUE(quota_.Admit(LogId(4), 790, At(0)).ok()) << "another log is not concerned";
  EXPECT_EQ(quota_.DelayMs(LogId(4)), 0);
  quota_.UseOwn({});
  EXPECT_EQ(quota_.DelayMs(kLog), 0) << "700 of 1000";
}

TEST_F(LogQuotaTest, TellsOfALogThatIsOverItsOwnQuotaAlsoWhenNothingComes) {
  quota_.UseOwn({{kLog, 500}, {LogId(4), 2000}});
  stored_ = {{kLog, 450}, {LogId(4), 900}};
  std::vector<QuotaStatus> over = quota_.Over(10, At(0));
  ASSERT_EQ(over.size(), 2u);
  EXPECT_EQ(over[0].log, LogId(4)) << "the server's quota is the smaller one";
  EXPECT_THAT(over[0].text, HasSubstr("log 4 nears its quota, its appends are slowed: 900 bytes of 1000"));
  EXPECT_THAT(over[1].text, HasSubstr("log 3 nears its log_quota_bytes, its appends are slowed: 450 bytes of 500"));
  stored_[kLog] = 500;
  over = quota_.Over(10, At(1));
  EXPECT_EQ(over[1].word, QuotaWord::kRefused);
  EXPECT_THAT(over[1].text, HasSubstr("raise the log_quota_bytes of its service"));
  stored_[kLog] = 300;
  EXPECT_EQ(quota_.Over(10, At(2)).size(), 1u) << "trimmed";
}

TEST_F(LogQuotaTest, ALogMayHaveTheOnlyQuota) {
  LogQuota none(0, [](LogId) -> uint64_t { return 450; });
  none.UseOwn({{kLog, 500}});
  EXPECT_TRUE(none.Admit(kLog, UINT64_MAX / 2, At(0)).ok());
  EXPECT_EQ(none.DelayMs(kLog), LogQuota::kDelayMsMax);
  EXPECT_EQ(none.Over(10, At(0)).size(), 1u);
  none.UseOwn({});
  EXPECT_TRUE(none.Over(10, At(1)).empty());
  EXPECT_EQ(none.DelayMs(kLog), 0);
}

TEST_F(LogQuotaTest, NoQuotaCountsNothing) {
  LogQuota none(0, [](LogId) -> uint64_t {
    ADD_FAILURE();
    return 0;
  });
  EXPECT_TRUE(none.Admit(kLog, UINT64_MAX, At(0)).ok());
  EXPECT_EQ(none.DelayMs(kLog), 0);
  EXPECT_TRUE(none.Over(10, At(0)).empty());
}

}  // namespace
}  // namespace understudy
