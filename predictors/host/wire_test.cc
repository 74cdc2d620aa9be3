#include "predictors/host/wire.h"

#include <gtest/gtest.h>

#include "log/env/random.h"

namespace understudy {
namespace {

WorkerBatch Batch() {
  WorkerBatch batch;
  batch.id = 7;
  WorkerOp& create = batch.ops.emplace_back();
  create.kind = OpKind::kCreate;
  create.instance = 3;
  create.config = "{\"a\":1}";
  create.state = std::string("\0\1", 2);
  create.seed = 99;
  WorkerOp& observe = batch.ops.emplace_back();
  observe.kind = OpKind::kObserve;
  observe.samples = {{-5, {1.5, -0.0}}, {6, {}}};
  WorkerOp& predict = batch.ops.emplace_back();
  predict.time_ns = 1234567890123;
  predict.horizons_ms = {1000, 60'000};
  WorkerOp& feedback = batch.ops.emplace_back();
  feedback.kind = OpKind::kFeedback;
  feedback.code = -3;
  feedback.lead_s = 2.25;
  return batch;
}

WorkerReply Reply() {
  WorkerReply reply;
  reply.id = 7;
  reply.name = "plain";
  reply.version = "1";
  reply.log = {"a line"};
  WorkerResult& made = reply.results.emplace_back();
  made.metrics = {"proc.rss_bytes", "app.x"};
  WorkerResult& told = reply.results.emplace_back();
  told.code = UNDERSTUDY_FAILED;
  told.text = "why";
  told.state = "state";
  Forecast& forecast = told.forecasts.emplace_back();
  forecast.horizon_ms = 60'000;
  forecast.probability = 0.5;
  forecast.has_ttf = true;
  forecast.ttf_p90_s = 4;
  forecast.reason = "because";
  return reply;
}

TEST(WireTest, WhatIsEncodedIsDecoded) {
  WorkerBatch batch;
  const std::string bytes = EncodeBatch(Batch());
  ASSERT_TRUE(DecodeBatch(bytes, &batch));
  EXPECT_EQ(EncodeBatch(batch), bytes);
  ASSERT_EQ(batch.ops.size(), 4u);
  EXPECT_EQ(batch.ops[0].state, std::string("\0\1", 2));
  EXPECT_EQ(batch.ops[1].samples, Batch().ops[1].samples);
  EXPECT_EQ(batch.ops[2].horizons_ms, Batch().ops[2].horizons_ms);
  EXPECT_EQ(batch.ops[3].code, -3);
  WorkerReply reply;
  const std::string answer = EncodeReply(Reply());
  ASSERT_TRUE(DecodeReply(answer, &reply));
  EXPECT_EQ(EncodeReply(reply), answer);
  EXPECT_EQ(reply.results[1].forecasts[0].reason, "because");
}

TEST(WireTest, CutAndPaddedFramesAreRefused) {
  const std::string batch = EncodeBatch(Batch()), reply = EncodeReply(Reply());
  WorkerBatch b;
  WorkerReply r;
  for (size_t n = 0; n < batch.size(); ++n) EXPECT_FALSE(DecodeBatch(std::string_view(batch).substr(0, n), &b)) << n;
  for (size_t n = 0; n < reply.size(); ++n) EXPECT_FALSE(DecodeReply(std::string_view(reply).substr(0, n), &r)) << n;
  EXPECT_FALSE(DecodeBatch(batch + "x", &b));
  EXPECT_FALSE(DecodeReply(reply + "x", &r));
}

TEST(WireTest, CountsBeyondTheFrameTakeNoMemory) {
  std::string reply = EncodeReply(WorkerReply{});
  for (size_t at = 8; at + 4 <= reply.size(); ++at) {
    std::string bad = reply;
    bad.replace(at, 4, "\xFF\xFF\xFF\x7F");
    WorkerReply out;
    EXPECT_FALSE(DecodeReply(bad, &out)) << at;
    EXPECT_LE(out.results.capacity(), 16u);
  }
}

TEST(WireTest, DamagedFramesAreDecodedSafely) {
  const uint64_t seed = 20240607;
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  const std::string batch = EncodeBatch(Batch()), reply = EncodeReply(Reply());
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = i % 2 == 0 ? batch : reply;
    for (uint64_t k = random.Below(4) + 1; k > 0; --k)
      bytes[random.Below(bytes.size())] = static_cast<char>(random.Next64());
    WorkerBatch b;
    WorkerReply r;
    const bool good = i % 2 == 0 ? DecodeBatch(bytes, &b) : DecodeReply(bytes, &r);
    refused += good ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace understudy
