// A log server's disk as its callers see it: real files, real sockets, two driving threads, one process.
#include "server/lognode/log_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "log/env/faulty_file_system.h"
#include "log/env/file.h"
#include "log/format/batch.h"
#include "log/format/crc32c.h"
#include "log/metadata/embedded_metadata_store.h"
#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "server/lognode/disk_registration.h"
#include "server/lognode/log_node_testing.h"

namespace understudy::testing {
namespace {

using ::testing::HasSubstr;

class LogNodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/understudy_lognode_XXXXXX";
    folder_ = mkdtemp(name);
    metadata_ = std::move(OpenEmbeddedMetadataStore(folder_ + "/metadata", {}, SystemFileSystem())).value();
  }
  void TearDown() override {
    metadata_.reset();
    Shell("rm -rf " + folder_);
  }
  static void Shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }
  std::unique_ptr<Server> Start(const std::string& name = "disk") {
    return std::make_unique<Server>(folder_ + "/" + name, metadata_.get());
  }
  DiskEntry EntryOf(const Server& server) {
    EventLoop loop(SystemClock());
    auto read = Await<std::optional<MetadataEntry>>(&loop, [&](auto done) {
      metadata_->Get(DiskKey("test", ToHex(server.disk())),
                     [done](Result<std::optional<MetadataEntry>> entry) { done(std::move(entry)); });
    });
    EXPECT_TRUE(read.ok() && read->has_value());
    return *DecodeDiskEntry((*read)->value);
  }

  std::string folder_;
  std::unique_ptr<MetadataStore> metadata_;
};

// The metadata answer when the server is gone already.
TEST_F(LogNodeTest, ClosedWhileItRegistersItsDisk) {
  EventLoop loop(SystemClock());
  LogNodeOptions options;
  options.data_dir = folder_ + "/disk";
  options.listen = "127.0.0.1:0";
  options.segment_bytes = 1u << 20;
  auto node = LogNode::Open(&loop, SystemRandom(), SystemFileSystem(), metadata_.get(), options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  std::optional<Status> started;
  {
    const EventLoop::Section section(&loop);
    (*node)->Start([&](Status status) { started = std::move(status); });
    (*node)->Close();
  }
  ASSERT_TRUE(DriveUntil(&loop, 10 * kNsPerSecond, [&] { return started.has_value(); }));
  EXPECT_EQ(started->code(), StatusCode::kCancelled) << started->ToString();
  metadata_.reset();  // its thread may still be answering into the loop
}

TEST_F(LogNodeTest, AppendsReadsSealsAndTrims) {
  const auto server = Start();
  ASSERT_TRUE(server->started().ok()) << server->started().ToString();
  EXPECT_EQ(server->Append(1, 1, 1, {"a", "b"}).durable_tail, Lsn(2));
  EXPECT_EQ(server->Append(1, 1, 3, {"c"}, 2).durable_tail, Lsn(3));
  EXPECT_EQ(server->Append(1, 1, 9, {"z"}).code, StatusCode::kGap);
  EXPECT_EQ(server->Append(1, 1, 3, {"c"}).code, StatusCode::kOk) << "the same again";
  EXPECT_EQ(server->Append(1, 1, 3, {"x"}).code, StatusCode::kConflict);
  const ReadResponse open = server->Read(1, 1, 1, 0);
  EXPECT_EQ(open.batches, *MakeBatch(1, 1, 1, {"a", "b"})) << "byte for byte, up to the commit";
  EXPECT_EQ(open.commit, Lsn(2));
  EXPECT_EQ(server->Read(1, 1, 1, 3).batches, *MakeBatch(1, 1, 1, {"a", "b"}) + *MakeBatch(1, 1, 3, {"c"}));
  EXPECT_EQ(server->Call(&LogServiceClient::Barrier, BarrierRequest{LogId(1), server->disk(), Epoch(1)}).code,
            StatusCode::kOk);
  const auto status = server->Call(&LogServiceClient::ReplicaStatus, ReplicaStatusRequest{LogId(1), server->disk()});
  EXPECT_EQ(status.tail, Lsn(3));
  EXPECT_GT(status.bytes, 0u);
  const SealResponse sealed = server->Seal(1, 1);
  EXPECT_EQ(sealed.code, StatusCode::kOk);
  EXPECT_EQ(sealed.tail, Lsn(3));
  EXPECT_EQ(server->Append(1, 1, 4, {"d"}).code, StatusCode::kFenced);
  EXPECT_EQ(server->Call(&LogServiceClient::Barrier, BarrierRequest{LogId(1), server->disk(), Epoch(1)}).code,
            StatusCode::kFenced);
  EXPECT_EQ(server->Call(&LogServiceClient::Trim, TrimRequest{LogId(1), server->disk(), Lsn(2)}).code, StatusCode::kOk);
  EXPECT_EQ(server->Read(1, 1, 1, 3).code, StatusCode::kTrimmed);
  EXPECT_EQ(server->Read(1, 1, 3, 3).batches, *MakeBatch(1, 1, 3, {"c"}));
}

TEST_F(LogNodeTest, AnotherDiskIsNeverAnsweredFor) {
  const auto server = Start();
  AppendRequest append{LogId(1), DiskId{1, 2}, Epoch(1), kAttempt, Lsn(1), Lsn(), MakeBatch(1, 1, 1, {"a"})};
  EXPECT_EQ(server->Call(&LogServiceClient::Append, append).code, StatusCode::kWrongDisk);
  CheckpointChunk chunk;
  chunk.disk = DiskId{1, 2};
  EXPECT_EQ(server->Call(&LogServiceClient::CheckpointWrite, chunk).code, StatusCode::kWrongDisk);
}

TEST_F(LogNodeTest, KeepsEverythingOverARestartAndRaisesItsBootCount) {
  auto server = Start();
  const DiskId disk = server->disk();
  EXPECT_EQ(EntryOf(*server).address, server->address());
  for (uint64_t lsn = 1; lsn <= 50; ++lsn)
    ASSERT_EQ(server->Append(1, 1, lsn, {Numbered("r", lsn)}).code, StatusCode::kOk);
  ASSERT_EQ(server->Seal(2, 5).code, StatusCode::kOk) << "a log never heard of is sealed, too";
  const uint64_t boot_count = EntryOf(*server).boot_count;
  EXPECT_TRUE(DriveUntil(server->loop(), kTimeoutMs * kNsPerMs, [&] {
    return EntryOf(*server).boot_count > boot_count;
  })) << "it goes up while the server runs";
  server.reset();
  server = Start();
  ASSERT_TRUE(server->started().ok()) << server->started().ToString();
  EXPECT_EQ(server->disk(), disk);
  EXPECT_GT(EntryOf(*server).boot_count, boot_count + 1);
  EXPECT_EQ(EntryOf(*server).address, server->address());
  EXPECT_EQ(server->Append(1, 1, 51, {"on"}).durable_tail, Lsn(51));
  EXPECT_EQ(server->Append(2, 5, 1, {"no"}).code, StatusCode::kFenced);
  EXPECT_EQ(server->Read(1, 1, 50, 50).batches, *MakeBatch(1, 1, 50, {"r50"}));
}

TEST_F(LogNodeTest, ADirectoryRestoredFromAnOldCopyIsRetired) {
  auto server = Start();
  ASSERT_EQ(server->Append(1, 1, 1, {"old"}).code, StatusCode::kOk);
  server.reset();
  Shell("cp -a " + folder_ + "/disk " + folder_ + "/copy");
  server = Start();
  ASSERT_EQ(server->Append(1, 1, 2, {"new"}).code, StatusCode::kOk);
  server.reset();
  Shell("rm -rf " + folder_ + "/disk && mv " + folder_ + "/copy " + folder_ + "/disk");
  for (int start = 0; start < 2; ++start) {  // it stays so
    server = Start();
    ASSERT_TRUE(server->started().ok()) << server->started().ToString();
    EXPECT_EQ(server->Seal(1, 1).code, StatusCode::kDataUnknown);
    EXPECT_EQ(server->Append(1, 1, 2, {"other"}).code, StatusCode::kDataUnknown);
    EXPECT_EQ(server->Call(&LogServiceClient::Barrier, BarrierRequest{LogId(1), server->disk(), Epoch(1)}).code,
              StatusCode::kDataUnknown);
    EXPECT_EQ(server->Read(1, 1, 1, 1).batches, *MakeBatch(1, 1, 1, {"old"})) << "what its checksums vouch for";
    EXPECT_EQ(server->Read(1, 1, 2, 2).code, StatusCode::kDataUnknown) << "never SHORT: it cannot tell what it lacks";
    server.reset();
  }
}

TEST_F(LogNodeTest, CopiesFromAnotherDisk) {
  const auto source = Start("source");
  const auto target = Start("target");
  std::string all;
  for (uint64_t lsn = 1; lsn <= 200; ++lsn) {
    ASSERT_EQ(source->Append(1, 1, lsn, {std::string(1000, 'x')}, lsn - 1).code, StatusCode::kOk);
    all += *MakeBatch(1, 1, lsn, {std::string(1000, 'x')});
  }
  ASSERT_EQ(source->Seal(1, 1).code, StatusCode::kOk);
  FetchRequest fetch{LogId(1),
                     target->disk(),
                     Epoch(1),
                     Lsn(1),
                     Lsn(200),
                     Lsn(),
                     {{source->disk(), "127.0.0.1:1"}, {source->disk(), source->address()}}};
  const FetchResponse fetched = target->Call(&LogServiceClient::Fetch, fetch);
  EXPECT_EQ(fetched.code, StatusCode::kOk) << fetched.detail;
  EXPECT_EQ(fetched.tail, Lsn(200));
  EXPECT_EQ(target->Read(1, 1, 1, 200).batches, all) << "byte for byte";
  EXPECT_EQ(target->Append(1, 1, 201, {"late"}).code, StatusCode::kFenced) << "the copy is sealed";
}

TEST_F(LogNodeTest, KeepsCheckpoints) {
  const auto server = Start();
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += std::to_string(i);
  const size_t half = content.size() / 2;
  CheckpointChunk chunk{LogId(1), server->disk(), 4, 0, content.substr(0, half), Crc32c(content.substr(0, half)),
                        false};
  EXPECT_EQ(server->Call(&LogServiceClient::CheckpointWrite, chunk).code, StatusCode::kOk);
  CheckpointReadRequest read{LogId(1), server->disk(), 4, 0, kCheckpointChunkBytesMax};
  EXPECT_EQ(server->Call(&LogServiceClient::CheckpointRead, read).code, StatusCode::kNotFound) << "not complete yet";
  chunk = {LogId(1), server->disk(), 4, half, content.substr(half), Crc32c("wrong"), true};
  EXPECT_EQ(server->Call(&LogServiceClient::CheckpointWrite, chunk).code, StatusCode::kCorruption);
  chunk.crc32c = Crc32c(chunk.bytes);
  EXPECT_EQ(server->Call(&LogServiceClient::CheckpointWrite, chunk).code, StatusCode::kOk);
  std::string back;
  while (back.size() < content.size()) {
    read.offset = back.size();
    const CheckpointReadResponse got = server->Call(&LogServiceClient::CheckpointRead, read);
    ASSERT_EQ(got.code, StatusCode::kOk) << got.detail;
    ASSERT_FALSE(got.bytes.empty());
    EXPECT_EQ(got.total_bytes, content.size());
    EXPECT_EQ(got.crc32c, Crc32c(got.bytes));
    back += got.bytes;
  }
  EXPECT_EQ(back, content);
  EXPECT_EQ(
      server->Call(&LogServiceClient::CheckpointDelete, CheckpointDeleteRequest{LogId(1), server->disk(), 4}).code,
      StatusCode::kOk);
  read.offset = 0;
  EXPECT_EQ(server->Call(&LogServiceClient::CheckpointRead, read).code, StatusCode::kNotFound);
}

TEST_F(LogNodeTest, AFailedSyncEndsEverything) {
  FaultyFileSystem files(1);
  Server server("disk", metadata_.get(), &files);
  ASSERT_EQ(server.Append(1, 1, 1, {"kept"}).code, StatusCode::kOk);
  files.FailSyncs(true);
  EXPECT_EQ(server.Append(1, 1, 2, {"lost"}).code, StatusCode::kIoError);
  EXPECT_EQ(server.fatal().code(), StatusCode::kIoError);
  files.FailSyncs(false);  // a sync that succeeds later proves nothing
  EXPECT_EQ(server.Append(1, 1, 2, {"again"}).code, StatusCode::kIoError);
  EXPECT_EQ(server.Seal(1, 1).code, StatusCode::kDataUnknown);
  EXPECT_NE(server.Call(&LogServiceClient::Barrier, BarrierRequest{LogId(1), server.disk(), Epoch(1)}).code,
            StatusCode::kOk);
}

TEST_F(LogNodeTest, AFullDiskRefusesAppendsAndAdmitsSealsUntilThereIsSpace) {
  FaultyFileSystem files(1);
  Server server("disk", metadata_.get(), &files);
  const std::string payload(10'000, 'x');
  ASSERT_EQ(server.Append(1, 1, 1, {payload}).code, StatusCode::kOk);
  files.SetCapacity(files.BytesUsed());
  uint64_t next = 2;
  AppendResponse last;
  while (next < 10'000 && (last = server.Append(1, 1, next, {payload})).code == StatusCode::kOk) ++next;
  EXPECT_EQ(last.code, StatusCode::kResourceExhausted);
  EXPECT_THAT(last.detail, HasSubstr("disk full"));
  EXPECT_EQ(server.Append(1, 1, next, {}, next - 1).durable_tail, Lsn(next - 1)) << "heartbeats and commits go on";
  EXPECT_EQ(server.Append(1, 1, 1, {payload}).code, StatusCode::kOk) << "and what is there already";
  EXPECT_EQ(server.Read(1, 1, next - 1, next - 1).code, StatusCode::kOk);
  EXPECT_EQ(server.Seal(2, 3).code, StatusCode::kOk);
  EXPECT_EQ(server.fatal().code(), StatusCode::kOk);
  files.SetCapacity(UINT64_MAX);
  const Instant deadline = SystemClock()->Now() + kTimeoutMs * kNsPerMs;
  while ((last = server.Append(1, 1, next, {payload})).code != StatusCode::kOk && SystemClock()->Now() < deadline) {
  }
  EXPECT_EQ(last.durable_tail, Lsn(next)) << last.detail;
}

// A log that is never trimmed: slowed, then refused, while others go on; its takeover goes through, a trim ends it.
TEST_F(LogNodeTest, ALogOverItsQuotaIsSlowedThenRefusedAndStillFailsOver) {
  constexpr uint64_t kQuota = 200'000;
  const auto limit = [](LogNodeOptions* options) { options->log_quota_bytes = kQuota; };
  Server server(folder_ + "/disk", metadata_.get(), SystemFileSystem(), limit);
  const auto quota = [&] {
    LogServerStatusRequest ask;
    ask.needs_max = 10;
    return nlohmann::json::parse(server.Call(&LogServiceClient::LogServerStatus, ask).document)["quota"];
  };
  const std::string payload(10'000, 'x');
  uint64_t next = 1;
  while (next <= 15) ASSERT_EQ(server.Append(1, 1, next++, {payload}).code, StatusCode::kOk);
  EXPECT_EQ(quota()["bytes"], kQuota);
  EXPECT_TRUE(quota()["over"].empty()) << quota();

  while (next <= 18) ASSERT_EQ(server.Append(1, 1, next++, {payload}).code, StatusCode::kOk);
  const Instant began = SystemClock()->Now();
  ASSERT_EQ(server.Append(1, 1, next++, {payload}).durable_tail, Lsn(19));
  EXPECT_GE(SystemClock()->Now() - began, 50 * kNsPerMs) << "nineteen twentieths of the quota";
  ASSERT_EQ(quota()["over"].size(), 1u);
  EXPECT_EQ(quota()["over"][0]["word"], "slowed");

  const AppendResponse refused = server.Append(1, 1, next, {payload});
  EXPECT_EQ(refused.code, StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.durable_tail, Lsn(19));
  EXPECT_THAT(refused.detail, HasSubstr("log 1 is over its quota"));
  EXPECT_EQ(quota()["over"][0]["word"], "refused");
  EXPECT_EQ(quota()["over"][0]["log"], 1);
  EXPECT_EQ(server.Append(2, 1, 1, {payload}).code, StatusCode::kOk) << "the others go on";
  EXPECT_EQ(server.Append(1, 1, next, {}, 19).durable_tail, Lsn(19)) << "commits and heartbeats too";
  EXPECT_EQ(server.Append(1, 1, 19, {payload}).code, StatusCode::kOk) << "and what is there already";

  // A takeover: sealed, completed by copies from another disk, opened anew.
  const SealResponse sealed = server.Seal(1, 1);
  EXPECT_EQ(sealed.code, StatusCode::kOk);
  EXPECT_EQ(sealed.tail, Lsn(19));
  const auto source = Start("source");
  for (uint64_t lsn = 1; lsn <= 30; ++lsn) {
    ASSERT_EQ(source->Append(1, 1, lsn, {payload}, lsn - 1).code, StatusCode::kOk);
  }
  const FetchRequest fetch{
      LogId(1), server.disk(), Epoch(1), Lsn(1), Lsn(30), Lsn(), {{source->disk(), source->address()}}};
  EXPECT_EQ(server.Call(&LogServiceClient::Fetch, fetch).tail, Lsn(30));
  EXPECT_EQ(server.Call(&LogServiceClient::Barrier, BarrierRequest{LogId(1), server.disk(), Epoch(2)}).code,
            StatusCode::kOk);
  const auto append = [&](uint64_t lsn) {
    return server.Call(&LogServiceClient::Append, AppendRequest{LogId(1), server.disk(), Epoch(2), kAttempt, Lsn(31),
                                                                Lsn(30), MakeBatch(1, 2, lsn, {payload})});
  };
  EXPECT_EQ(append(31).code, StatusCode::kResourceExhausted) << "the new writer waits as the old one did";
  EXPECT_EQ(server.Call(&LogServiceClient::Trim, TrimRequest{LogId(1), server.disk(), Lsn(28)}).code, StatusCode::kOk);
  EXPECT_EQ(append(31).durable_tail, Lsn(31)) << "until the log is trimmed";
  EXPECT_TRUE(quota()["over"].empty()) << quota();
}

TEST_F(LogNodeTest, AnAcknowledgementThatIsHeldBackDoesNotOutliveItsNode) {
  const auto limit = [](LogNodeOptions* options) { options->log_quota_bytes = 100'000; };
  auto server = std::make_unique<Server>(folder_ + "/disk", metadata_.get(), SystemFileSystem(), limit);
  ASSERT_EQ(server->Append(1, 1, 1, {std::string(79'000, 'x')}).code, StatusCode::kOk);
  ASSERT_EQ(server->Append(1, 1, 2, {std::string(20'000, 'x')}).code, StatusCode::kOk);
  EXPECT_EQ(server->Append(1, 1, 3, {"y"}).code, StatusCode::kOk);
  server->AppendUnheard(1, 1, 4, {"z"});
  server.reset();
  server = Start();
  EXPECT_EQ(server->Seal(1, 1).tail, Lsn(4)) << "it was on the disk";
}

TEST_F(LogNodeTest, ABitThatFlipsInTheMiddleIsReportedAndNeverSkipped) {
  FaultyFileSystem files(1);
  DiskId disk;
  {
    Server server("disk", metadata_.get(), &files);
    disk = server.disk();
    for (uint64_t lsn = 1; lsn <= 300; ++lsn) {
      ASSERT_EQ(server.Append(1, 1, lsn, {Numbered("record ", lsn) + std::string(500, 'x')}).code, StatusCode::kOk);
    }
  }
  const std::string journal = "disk/journal";
  const std::string segment = journal + "/" + files.ListDir(journal)->front();
  const size_t at = files.Content(segment).find("record 100x");
  ASSERT_NE(at, std::string::npos);
  files.FlipBit(segment, at, 3);
  files.Kill();
  Server server("disk", metadata_.get(), &files);
  ASSERT_TRUE(server.started().ok()) << server.started().ToString();
  EXPECT_EQ(server.disk(), disk);
  // The damage may be found by the scan at the start or by the read itself; either way it is UNKNOWN, and from then on
  // the disk answers for nothing but what its checksums vouch for.
  EXPECT_EQ(server.Read(1, 1, 100, 100).code, StatusCode::kDataUnknown);
  EXPECT_EQ(server.Seal(1, 1).code, StatusCode::kDataUnknown);
  EXPECT_EQ(server.Append(1, 1, 301, {"on"}).code, StatusCode::kDataUnknown);
  EXPECT_EQ(server.fatal().code(), StatusCode::kOk) << "what is whole is still served";
}

TEST_F(LogNodeTest, TwoServersDoNotShareADirectory) {
  const auto server = Start();
  EventLoop loop(SystemClock());
  LogNodeOptions options;
  options.data_dir = folder_ + "/disk";
  const auto second = LogNode::Open(&loop, SystemRandom(), SystemFileSystem(), metadata_.get(), options);
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition) << second.status().ToString();
}

}  // namespace
}  // namespace understudy::testing
