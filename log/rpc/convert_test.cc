// Every field of every message survives the way from Thrift's struct to ours and back.
#include "log/rpc/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace understudy::rpc_internal {
namespace {

const std::string kId(16, '\x9a');
const std::string kOtherId = "0123456789abcdef";

template <class Plain, class Wire>
void ExpectUnchanged(const Wire& wire) {
  EXPECT_NE(wire, Wire()) << "nothing to lose";
  Plain plain;
  const Status status = FromWire(Wire(wire), &plain);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(ToWire(std::move(plain)), wire);
}

template <class Wire>
Wire LogAndDisk() {
  Wire wire;
  wire.log = -3;  // an id above 2^63
  wire.disk = kId;
  return wire;
}

template <class Wire>
Wire CodeAndDetail() {
  Wire wire;
  wire.code = 5;
  wire.detail = "why";
  return wire;
}

TEST(Convert, LogServiceRequests) {
  auto append = LogAndDisk<wire::AppendRequest>();
  append.epoch = 4;
  append.attempt = kOtherId;
  append.epoch_first_lsn = 5;
  append.commit = std::numeric_limits<int64_t>::min();
  append.batch = std::string("b\0tch", 5);
  ExpectUnchanged<AppendRequest>(append);
  auto seal = LogAndDisk<wire::SealRequest>();
  seal.epoch = 4;
  ExpectUnchanged<SealRequest>(seal);
  auto barrier = LogAndDisk<wire::BarrierRequest>();
  barrier.epoch = 4;
  ExpectUnchanged<BarrierRequest>(barrier);
  auto read = LogAndDisk<wire::ReadRequest>();
  read.epoch = 4;
  read.from_lsn = 5;
  read.to_lsn = 6;
  read.bytes_max = 7;
  read.wait_ms = 8;
  ExpectUnchanged<ReadRequest>(read);
  auto fetch = LogAndDisk<wire::FetchRequest>();
  fetch.epoch = 4;
  fetch.from_lsn = 5;
  fetch.to_lsn = 6;
  fetch.trim = 7;
  fetch.sources.resize(2);
  fetch.sources[0].disk = kId;
  fetch.sources[0].address = "a:1";
  fetch.sources[1].disk = kOtherId;
  ExpectUnchanged<FetchRequest>(fetch);
  auto trim = LogAndDisk<wire::TrimRequest>();
  trim.lsn = 4;
  ExpectUnchanged<TrimRequest>(trim);
  ExpectUnchanged<ReplicaStatusRequest>(LogAndDisk<wire::ReplicaStatusRequest>());
  auto chunk = LogAndDisk<wire::CheckpointChunk>();
  chunk.id = 4;
  chunk.offset = 5;
  chunk.bytes = "bytes";
  chunk.crc32c = -6;
  chunk.last = true;
  ExpectUnchanged<CheckpointChunk>(chunk);
  auto checkpoint_read = LogAndDisk<wire::CheckpointReadRequest>();
  checkpoint_read.id = 4;
  checkpoint_read.offset = 5;
  checkpoint_read.bytes_max = 6;
  ExpectUnchanged<CheckpointReadRequest>(checkpoint_read);
  auto checkpoint_delete = LogAndDisk<wire::CheckpointDeleteRequest>();
  checkpoint_delete.id = 4;
  ExpectUnchanged<CheckpointDeleteRequest>(checkpoint_delete);
  wire::LogServerStatusRequest server_status;
  server_status.needs_max = 7;
  ExpectUnchanged<LogServerStatusRequest>(server_status);
  wire::MirrorPush push;
  push.log = 1;
  push.epoch = 2;
  push.attempt = kId;
  push.commit = 3;
  push.batch = "batch";
  push.next_owner = kOtherId;
  ExpectUnchanged<MirrorPush>(push);
}

TEST(Convert, LogServiceAnswers) {
  auto append = CodeAndDetail<wire::AppendReply>();
  append.durable_tail = 3;
  ExpectUnchanged<AppendResponse>(append);
  auto seal = CodeAndDetail<wire::SealReply>();
  seal.tail = 3;
  seal.highest_epoch = 4;
  ExpectUnchanged<SealResponse>(seal);
  ExpectUnchanged<BarrierResponse>(CodeAndDetail<wire::BarrierReply>());
  auto read = CodeAndDetail<wire::ReadReply>();
  read.batches = "batches";
  read.commit = 3;
  read.trim = 4;
  ExpectUnchanged<ReadResponse>(read);
  auto fetch = CodeAndDetail<wire::FetchReply>();
  fetch.tail = 3;
  ExpectUnchanged<FetchResponse>(fetch);
  ExpectUnchanged<TrimResponse>(CodeAndDetail<wire::TrimReply>());
  auto status = CodeAndDetail<wire::ReplicaStatusReply>();
  status.sealed = 3;
  status.highest_epoch = 4;
  status.tail = 5;
  status.commit = 6;
  status.writer_age_ms = 7;
  status.bytes = 8;
  status.open_epochs = 9;
  ExpectUnchanged<ReplicaStatusResponse>(status);
  ExpectUnchanged<CheckpointWriteResponse>(CodeAndDetail<wire::CheckpointWriteReply>());
  auto checkpoint_read = CodeAndDetail<wire::CheckpointReadReply>();
  checkpoint_read.bytes = "bytes";
  checkpoint_read.crc32c = -3;
  checkpoint_read.total_bytes = 4;
  ExpectUnchanged<CheckpointReadResponse>(checkpoint_read);
}

wire::AppReport FullAppReport() {
  wire::AppReport app;
  app.pid = 1;
  app.role = wire::AppRole::MIRRORING;
  app.service_name = "kv1";
  app.log = 2;
  app.epoch = 3;
  app.applied = 4;
  app.commit = 5;
  app.caught_up = true;
  app.endpoint = "a:1";
  app.mirror_address = "a:2";
  app.attempt = kId;
  app.done.resize(1);
  app.done[0].id = 6;
  app.done[0].code = 7;
  app.done[0].detail = "done";
  app.gauges = {{"rss", 8.5}, {"fds", 9}};
  app.last_appended = 10;
  app.checkpoint_lsn = 11;
  app.append_p50_us = 12;
  app.append_p99_us = 13;
  app.may_serve = true;
  app.start_ticks = 14;
  app.replayed = 15;
  app.serving_since_unix_ms = 16;
  app.waiting = "for disks";
  app.lost_from = 17;
  app.lost_to = 18;
  return app;
}

wire::AgentReport FullAgentReport() {
  wire::AgentReport agent;
  agent.node = "n1";
  agent.address = "host";
  agent.incarnation = 1;
  agent.process = wire::ProcessState::EXITED;
  agent.exit_reason = "killed by signal 9";
  agent.has_app = true;
  agent.app = FullAppReport();
  agent.done.resize(1);
  agent.done[0].id = 2;
  agent.done[0].code = 3;
  agent.done[0].detail = "detail";
  agent.samples.resize(2);
  agent.samples[0].unix_ms = 4;
  agent.samples[0].monotonic_ms = 5;
  agent.samples[0].metrics.resize(1);
  agent.samples[0].metrics[0].name = "load";
  agent.samples[0].metrics[0].value = 0.5;
  agent.labels = {"zone=a", "rack=2"};
  agent.starts = 6;
  agent.process_service = "kv1";
  return agent;
}

TEST(Convert, ControlMessages) {
  ExpectUnchanged<AppReport>(FullAppReport());
  ExpectUnchanged<AgentReport>(FullAgentReport());
  auto next = CodeAndDetail<wire::NextCommandReply>();
  wire::Command& command = next.command;
  command.id = 1;
  command.kind = wire::CommandKind::HANDOVER;
  command.service_name = "kv1";
  command.log = 2;
  command.epoch = 3;
  command.attempt = kId;
  command.node = "n2";
  command.endpoint = "a:1";
  command.address = "a:2";
  command.interval_ms = 4;
  command.program = "/bin/true";
  command.arguments = {"-x", ""};
  command.environment = {{"A", "1"}};
  command.grace_ms = 5;
  command.cluster = "test";
  command.coordinators = {"c:1", "c:2"};
  command.memory_limit_bytes = 6;
  command.accept_data_loss = true;
  command.disks = {kId, kOtherId};
  next.leader = "l:1";
  ExpectUnchanged<NextCommandResponse>(next);
  auto document = CodeAndDetail<wire::DocumentReply>();
  document.document = "{}";
  document.leader = "l:2";
  ExpectUnchanged<DocumentResponse>(document);
}

TEST(Convert, IdsAreBigEndianAndNoneIsEmpty) {
  EXPECT_EQ(IdToWire(DiskId{0x3031323334353637, 0x3839616263646566}), kOtherId);
  EXPECT_EQ(IdToWire(DiskId{}), "");
  DiskId id{1, 2};
  EXPECT_TRUE(IdFromWire(std::string(), &id).ok());
  EXPECT_TRUE(id.none());
  EXPECT_EQ(IdFromWire(std::string(15, 'x'), &id).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(IdFromWire(std::string(17, 'x'), &id).code(), StatusCode::kInvalidArgument);
}

TEST(Convert, RefusesWhatNoValueOfOursCanHold) {
  const auto code = [](auto wire, auto plain) { return FromWire(std::move(wire), &plain).code(); };
  auto read = LogAndDisk<wire::ReadRequest>();
  read.bytes_max = -1;
  EXPECT_EQ(code(read, ReadRequest()), StatusCode::kInvalidArgument);
  auto chunk = LogAndDisk<wire::CheckpointChunk>();
  chunk.bytes.assign(kCheckpointChunkBytesMax + 1, 'x');
  EXPECT_EQ(code(chunk, CheckpointChunk()), StatusCode::kInvalidArgument);
  auto app = FullAppReport();
  app.role = static_cast<wire::AppRole::type>(6);
  EXPECT_EQ(code(app, AppReport()), StatusCode::kInvalidArgument);
  auto agent = FullAgentReport();
  agent.process = static_cast<wire::ProcessState::type>(7);
  EXPECT_EQ(code(agent, AgentReport()), StatusCode::kInvalidArgument);
  auto push = wire::MirrorPush();
  push.next_owner = "x";
  EXPECT_EQ(code(push, MirrorPush()), StatusCode::kInvalidArgument);
}

TEST(Convert, BoundsWhatAReadMayAskFor) {
  auto wire = LogAndDisk<wire::ReadRequest>();
  wire.bytes_max = std::numeric_limits<int32_t>::max();
  wire.wait_ms = std::numeric_limits<int32_t>::max();
  ReadRequest read;
  ASSERT_TRUE(FromWire(std::move(wire), &read).ok());
  EXPECT_EQ(read.bytes_max, kReadBytesMax);
  EXPECT_EQ(read.wait_ms, kReadWaitMsMax);
}

// One bad gauge must not make a node look dead: it is a missing gauge.
TEST(Convert, NumbersThatAreNoneAreMissing) {
  auto wire = FullAgentReport();
  wire.samples[0].metrics.resize(3);
  wire.samples[0].metrics[1].value = std::nan("");
  wire.samples[0].metrics[2].value = INFINITY;
  wire.app.gauges["bad"] = std::nan("");
  AgentReport agent;
  ASSERT_TRUE(FromWire(std::move(wire), &agent).ok());
  EXPECT_EQ(agent.samples[0].metrics.size(), 1U);
  EXPECT_EQ(agent.app.gauges.size(), 2U);
}

TEST(Convert, CodesOfLaterVersionsAreInternal) {
  EXPECT_EQ(CodeFromWire(5), StatusCode::kFenced);
  EXPECT_EQ(CodeFromWire(22), StatusCode::kInternal);
  EXPECT_EQ(CodeFromWire(23), StatusCode::kInternal);
  EXPECT_EQ(CodeFromWire(-1), StatusCode::kInternal);
}

}  // namespace
}  // namespace understudy::rpc_internal
