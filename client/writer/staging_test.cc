#include "client/writer/staging.h"

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace understudy {
namespace {

StagingLimits Limits(size_t outstanding, size_t batch) {
  StagingLimits limits;
  limits.outstanding_bytes_max = outstanding;
  limits.batch_bytes_max = batch;
  return limits;
}

uint64_t MustAdd(Staging* staging, std::string_view payload) {
  Result<Lsn> lsn = staging->Add(payload, 1, {}, false);
  EXPECT_TRUE(lsn.ok()) << lsn.status().ToString();
  return lsn.ok() ? lsn->value() : 0;
}

TEST(Staging, RefusesUntilOpened) {
  Staging staging(SystemClock(), Limits(1000, 1000));
  EXPECT_EQ(staging.Add("a", 1, {}, false).status().code(), StatusCode::kFailedPrecondition);
  staging.Open(Lsn(7));
  EXPECT_EQ(MustAdd(&staging, "a"), 7u);
  EXPECT_EQ(staging.last_appended(), Lsn(7));
}

TEST(Staging, GathersIntoOneBatchUntilItIsFull) {
  Staging staging(SystemClock(), Limits(100'000, 1000));
  staging.Open(Lsn(1));
  for (int i = 0; i < 20; ++i) MustAdd(&staging, std::string(100, 'x'));  // 8 fit beside the header
  StagedBatch batch;
  ASSERT_TRUE(staging.Take(SIZE_MAX, &batch)) << "a batch with another behind it is ready";
  EXPECT_EQ(batch.first, Lsn(1));
  EXPECT_EQ(batch.records.count(), 8u);
  EXPECT_EQ(batch.waiters.size(), 8u);
  EXPECT_EQ(batch.bytes, 8u * 112);
  const std::string encoded = batch.records.Finish(LogId(1), Epoch(1), batch.first);
  ASSERT_TRUE(VerifyBatch(encoded).ok());
  EXPECT_LE(encoded.size(), 1000u);
  ASSERT_TRUE(staging.Take(SIZE_MAX, &batch));
  EXPECT_EQ(batch.first, Lsn(9));
  EXPECT_FALSE(staging.Take(SIZE_MAX, &batch)) << "the last one still gathers";
  EXPECT_FALSE(staging.empty());
  ASSERT_TRUE(staging.Take(0, &batch));
  EXPECT_EQ(batch.first, Lsn(17));
  EXPECT_EQ(batch.records.count(), 4u);
  EXPECT_TRUE(staging.empty());
}

TEST(Staging, WhatIsRefusedForNowIsNotWaitedFor) {
  Staging staging(SystemClock(), Limits(300, 1000));
  staging.Open(Lsn(1));
  MustAdd(&staging, std::string(200, 'x'));
  std::thread waits([&] {  // for room
    EXPECT_EQ(staging.Add(std::string(200, 'x'), 1, {}, true).status().message(), "over its quota");
  });
  staging.RefuseForNow({StatusCode::kResourceExhausted, "over its quota"});
  waits.join();
  for (const bool block : {false, true}) {
    EXPECT_EQ(staging.Add("a", 1, {}, block).status().code(), StatusCode::kResourceExhausted);
  }
  StagedBatch batch;
  EXPECT_TRUE(staging.Take(0, &batch)) << "what was let in goes on";
  staging.Refuse({StatusCode::kFenced, "deposed"});
  EXPECT_EQ(staging.Add("a", 1, {}, true).status().code(), StatusCode::kFenced) << "the worse word";
  staging.Readmit();
  EXPECT_FALSE(staging.Add("a", 1, {}, false).ok());
  staging.RefuseForNow(Status::Ok());
  EXPECT_EQ(MustAdd(&staging, "a"), 2u);
  staging.RefuseForNow({StatusCode::kResourceExhausted, "over its quota"});
  staging.Refuse({StatusCode::kFenced, "deposed"});
  staging.Drop();
  staging.Release(staging.outstanding_bytes());
  staging.Open(Lsn(9));
  EXPECT_EQ(MustAdd(&staging, "a"), 9u);
}

TEST(Staging, BoundsOutstandingBytes) {
  Staging staging(SystemClock(), Limits(300, 1000));
  staging.Open(Lsn(1));
  MustAdd(&staging, std::string(100, 'x'));
  MustAdd(&staging, std::string(100, 'x'));
  EXPECT_EQ(staging.Add(std::string(100, 'x'), 1, {}, false).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(staging.outstanding_bytes(), 224u);
  StagedBatch batch;
  ASSERT_TRUE(staging.Take(0, &batch));
  EXPECT_EQ(staging.Add(std::string(100, 'x'), 1, {}, false).status().code(), StatusCode::kResourceExhausted)
      << "taken is not yet answered";
  staging.Release(batch.bytes);
  EXPECT_EQ(MustAdd(&staging, std::string(100, 'x')), 3u) << "a refused record takes no LSN";
}

TEST(Staging, ARecordAboveTheBoundPassesAlone) {
  Staging staging(SystemClock(), Limits(300, 200));
  staging.Open(Lsn(1));
  MustAdd(&staging, std::string(5000, 'x'));
  EXPECT_EQ(staging.Add("x", 1, {}, false).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(staging.Add(std::string(kRecordBytesMax + 1, 'x'), 1, {}, false).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(Staging, BlockedProducersGoOnWhenThereIsRoomAndFailWhenRefused) {
  Staging staging(SystemClock(), Limits(300, 1000));
  staging.Open(Lsn(1));
  MustAdd(&staging, std::string(250, 'x'));
  Result<Lsn> first = Status(StatusCode::kInternal, "");
  std::thread producer([&] { first = staging.Add(std::string(250, 'y'), 1, {}, true); });
  StagedBatch batch;
  ASSERT_TRUE(staging.Take(0, &batch));
  staging.Release(batch.bytes);
  producer.join();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*first, Lsn(2));

  Result<Lsn> second = Lsn(0);
  std::thread blocked([&] { second = staging.Add(std::string(250, 'z'), 1, {}, true); });
  staging.Refuse(Status(StatusCode::kFenced, "epoch 2 has begun"));
  blocked.join();
  EXPECT_EQ(second.status().code(), StatusCode::kFenced);
  EXPECT_EQ(staging.Drop().size(), 1u);
  EXPECT_TRUE(staging.empty());
}

TEST(Staging, LsnsFollowTheOrderOfTheRecordsWhateverTheThreads) {
  Staging staging(SystemClock(), Limits(64 << 20, 4096));
  staging.Open(Lsn(1));
  constexpr int kThreads = 8;
  constexpr int kEach = 2000;
  std::vector<std::vector<std::pair<uint64_t, std::string>>> mine(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string payload = std::to_string(t) + ":" + std::to_string(i);
        mine[t].emplace_back(staging.Add(payload, 1, {}, true)->value(), payload);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::string> by_lsn(kThreads * kEach + 1);
  StagedBatch batch;
  uint64_t expected = 1;
  while (staging.Take(0, &batch)) {
    EXPECT_EQ(batch.first, Lsn(expected));
    const std::string encoded = batch.records.Finish(LogId(1), Epoch(1), batch.first);
    Record record;
    BatchIterator records(encoded);
    while (records.Next(&record)) by_lsn[record.lsn.value()] = std::string(record.payload);
    expected += batch.waiters.size();
  }
  EXPECT_EQ(expected, by_lsn.size());
  for (const auto& list : mine) {
    for (const auto& [lsn, payload] : list) EXPECT_EQ(by_lsn[lsn], payload);
  }
}

}  // namespace
}  // namespace understudy
