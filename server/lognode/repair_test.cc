// Background repair between real log servers: lost, short, retired and drained disks, checkpoints, missed trims.
#include "server/lognode/repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "log/env/faulty_file_system.h"
#include "log/env/logging.h"
#include "log/format/crc32c.h"
#include "log/metadata/embedded_metadata_store.h"
#include "server/lognode/log_node_testing.h"

namespace understudy::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr int64_t kPatienceNs = 60 * kNsPerSecond;
constexpr AttemptId kLater{8, 8};
constexpr size_t kPayload = 2000;

class RepairShellTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/understudy_repair_XXXXXX";
    folder_ = mkdtemp(name);
    metadata_ = std::move(OpenEmbeddedMetadataStore(folder_ + "/metadata", {}, SystemFileSystem())).value();
  }
  void TearDown() override {
    servers_.clear();
    metadata_.reset();
    Shell("rm -rf " + folder_);
  }
  static void Shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

  Server* Start(const std::string& name, const std::string& listen = "127.0.0.1:0", FileSystem* files = nullptr) {
    const std::string dir = files == nullptr ? folder_ + "/" + name : name;
    servers_[name] = std::make_unique<Server>(dir, metadata_.get(), files == nullptr ? SystemFileSystem() : files,
                                              [&](LogNodeOptions* options) {
                                                options->node = name;
                                                options->listen = listen;
                                                options->repair_after_ms = 300;
                                                options->repair_look_ms = 40;
                                                options->repair_bytes_per_s = 256u << 20;
                                              });
    EXPECT_TRUE(servers_[name]->started().ok()) << servers_[name]->started().ToString();
    return servers_[name].get();
  }
  void Stop(const std::string& name) { servers_.erase(name); }

  // Records [1, last] of log 1, epoch 1, ten a batch, on each of `holders`; their bytes.
  std::string Fill(const std::vector<Server*>& holders, uint64_t last, uint64_t log = 1) {
    std::string all;
    for (uint64_t lsn = 1; lsn <= last; lsn += 10) {
      std::vector<std::string> records;
      for (uint64_t i = 0; i < 10; ++i) records.push_back(Numbered("r", lsn + i) + std::string(kPayload, 'x'));
      all += *MakeBatch(log, 1, lsn, records);
      for (Server* holder : holders) EXPECT_EQ(holder->Append(log, 1, lsn, records).code, StatusCode::kOk);
    }
    return all;
  }
  static ReplicaRef Ref(const Server* server, const std::string& node) { return {server->disk(), node}; }
  // Epoch 1 closed at `last` on `disks`, epoch 2 open on the first of them.
  static Chain ClosedChain(std::vector<ReplicaRef> disks, uint64_t last, int wanted = 3, uint64_t log = 1) {
    Chain chain;
    chain.log = LogId(log);
    chain.name = "test";
    chain.replicas_target = wanted;
    chain.ack_quorum = std::min(static_cast<int>(disks.size()), 2);
    EpochEntry closed{Epoch(1), kAttempt, {"w", ""}, Lsn(1), Lsn(last), std::move(disks), chain.ack_quorum};
    EpochEntry open{Epoch(2), kLater, {"w", ""}, Lsn(last + 1), std::nullopt, {closed.disks[0]}, 1};
    chain.epochs = {closed, open};
    return chain;
  }
  std::optional<MetadataEntry> Entry(const std::string& key) {
    EventLoop loop(SystemClock());
    auto read = Await<std::optional<MetadataEntry>>(&loop, [&](auto done) {
      metadata_->Get(key, [done](Result<std::optional<MetadataEntry>> entry) { done(std::move(entry)); });
    });
    EXPECT_TRUE(read.ok());
    return *read;
  }
  void Put(const std::string& key, const std::string& value) {
    while (true) {  // repair swaps, too
      const std::optional<MetadataEntry> there = Entry(key);
      EventLoop loop(SystemClock());
      const auto put = Await<uint64_t>(&loop, [&](auto done) {
        metadata_->CompareAndSwap(key, there ? there->version : 0, value,
                                  [done](Result<uint64_t> version) { done(std::move(version)); });
      });
      if (put.ok()) return;
      ASSERT_EQ(put.status().code(), StatusCode::kConflict);
    }
  }
  void PutChain(const Chain& chain) { Put(LogKey("test", chain.log.value()), EncodeChain(chain)); }
  Chain ChainNow(uint64_t log = 1) { return *DecodeChain(Entry(LogKey("test", log))->value); }
  std::vector<DiskId> DisksOfEpoch1(uint64_t log = 1) {
    std::vector<DiskId> ids;
    const Chain chain = ChainNow(log);
    for (const ReplicaRef& disk : chain.epochs[0].disks) ids.push_back(disk.disk);
    return ids;
  }
  void SetState(const Server* server, DiskState state) {
    const std::string key = DiskKey("test", ToHex(server->disk()));
    DiskEntry entry = *DecodeDiskEntry(Entry(key)->value);
    entry.state = state;
    Put(key, EncodeDiskEntry(entry));
  }
  bool Until(const std::function<bool()>& condition) {
    EventLoop loop(SystemClock());
    return DriveUntil(&loop, kPatienceNs, condition);
  }
  std::string ReadAll(Server* server, uint64_t last, uint64_t log = 1) {
    std::string all;
    uint64_t next = 1;
    while (next <= last) {
      const ReadResponse read = server->Read(log, 1, next, last);
      if (read.code != StatusCode::kOk) return std::string(StatusCodeName(read.code)) + ": " + read.detail;
      std::string_view batches = read.batches;
      while (!batches.empty()) {
        const Result<BatchHeader> header = PeekBatch(batches);
        if (!header.ok()) return header.status().ToString();
        next = header->last_lsn().value() + 1;
        batches.remove_prefix(header->length);
      }
      all += read.batches;
    }
    return all;
  }
  nlohmann::json StatusOf(Server* server) {
    return nlohmann::json::parse(server->Call(&LogServiceClient::LogServerStatus, LogServerStatusRequest{}).document,
                                 nullptr, false);
  }
  void WriteCheckpoint(Server* server, uint64_t id, const std::string& content) {
    CheckpointChunk chunk{LogId(1), server->disk(), id, 0, content, Crc32c(content), true};
    ASSERT_EQ(server->Call(&LogServiceClient::CheckpointWrite, chunk).code, StatusCode::kOk);
  }
  std::string ReadCheckpoint(Server* server, uint64_t id) {
    CheckpointReadRequest read{LogId(1), server->disk(), id, 0, kCheckpointChunkBytesMax};
    const CheckpointReadResponse got = server->Call(&LogServiceClient::CheckpointRead, read);
    return got.code == StatusCode::kOk ? got.bytes : std::string(StatusCodeName(got.code));
  }

  std::string folder_;
  std::unique_ptr<MetadataStore> metadata_;
  FaultyFileSystem files_{1};
  std::map<std::string, std::unique_ptr<Server>> servers_;
};

TEST_F(RepairShellTest, AWipedServerGetsItsEpochsAndCheckpointsBackOnItsNewDisk) {
  Server* a = Start("a");
  Server* b = Start("b");
  Server* c = Start("c");
  const std::string all = Fill({a, b, c}, 2000);
  const std::string content(1'500'000, 'c');
  for (Server* server : {a, b, c}) WriteCheckpoint(server, 3, content);
  Chain chain = ClosedChain({Ref(a, "a"), Ref(b, "b"), Ref(c, "c")}, 2000);
  chain.checkpoints = {{3, Lsn(1500), content.size(), {a->disk(), b->disk(), c->disk()}}};
  PutChain(chain);
  const std::string address = c->address();
  const DiskId old_disk = c->disk();
  Stop("c");
  Shell("rm -rf " + folder_ + "/c");
  c = Start("c", address);
  ASSERT_NE(c->disk(), old_disk);
  EXPECT_TRUE(Until([&] { return !Entry(DiskKey("test", ToHex(old_disk))).has_value(); }))
      << "once nothing refers to it, the disk that was served at this address leaves the metadata";
  EXPECT_THAT(DisksOfEpoch1(), UnorderedElementsAre(a->disk(), b->disk(), c->disk()));
  EXPECT_THAT(ChainNow().checkpoints[0].disks, UnorderedElementsAre(a->disk(), b->disk(), c->disk()));
  EXPECT_EQ(ReadAll(c, 2000), all) << "byte for byte";
  EXPECT_EQ(ReadCheckpoint(c, 3), content);
  EXPECT_EQ(c->Append(1, 1, 2001, {"late"}).code, StatusCode::kFenced);
  const auto status = StatusOf(c);
  EXPECT_EQ(status["repair"]["repaired_epochs"], 1);
  EXPECT_EQ(status["repair"]["repaired_checkpoints"], 1);
  EXPECT_EQ(status["state"], "active");
  // It survives a restart: what was copied is in the journal like anything else.
  Stop("c");
  c = Start("c", address);
  EXPECT_EQ(ReadAll(c, 2000), all);
}

TEST_F(RepairShellTest, AServerThatStaysAwayIsReplacedByAFourthWhileAppendsGoOn) {
  Server* a = Start("a");
  Server* b = Start("b");
  Server* c = Start("c");
  Server* d = Start("d");
  const std::string all = Fill({a, b, c}, 3000);
  // The fourth holds later things of the same log already.
  ASSERT_EQ(d->Call(&LogServiceClient::Append, AppendRequest{LogId(1), d->disk(), Epoch(2), kLater, Lsn(3001),
                                                             Lsn(3000), MakeBatch(1, 2, 3001, {"later"})})
                .code,
            StatusCode::kOk);
  PutChain(ClosedChain({Ref(a, "a"), Ref(b, "b"), Ref(c, "c")}, 3000));
  Stop("c");
  uint64_t appended = 0;
  EXPECT_TRUE(Until([&] {
    EXPECT_EQ(d->Append(9, 1, appended + 1, {"foreground"}).code, StatusCode::kOk);
    ++appended;
    return DisksOfEpoch1() == std::vector<DiskId>{a->disk(), b->disk(), d->disk()};
  }));
  EXPECT_GT(appended, 1u);
  EXPECT_EQ(ReadAll(d, 3000), all);
  const ReadResponse later = d->Call(
      &LogServiceClient::Read, ReadRequest{LogId(1), d->disk(), Epoch(2), Lsn(3001), Lsn(3001), kReadBytesMax, 0});
  EXPECT_EQ(later.batches, *MakeBatch(1, 2, 3001, {"later"}));
}

TEST_F(RepairShellTest, AShortMemberCompletesItself) {
  Server* a = Start("a");
  Server* b = Start("b");
  Server* c = Start("c");
  const std::string all = Fill({a, b}, 1000);
  Fill({c}, 400);
  PutChain(ClosedChain({Ref(a, "a"), Ref(b, "b"), Ref(c, "c")}, 1000));
  EXPECT_TRUE(Until([&] { return ReadAll(c, 1000) == all; }));
}

TEST_F(RepairShellTest, ADrainedServerIsEmptiedAndSaysSo) {
  Server* a = Start("a");
  Server* b = Start("b");
  Server* c = Start("c");
  Server* d = Start("d");
  Fill({a, b, c}, 500);
  PutChain(ClosedChain({Ref(a, "a"), Ref(b, "b"), Ref(c, "c")}, 500));
  SetState(b, DiskState::kDraining);
  EXPECT_TRUE(Until([&] { return StatusOf(b)["state"] == "drained"; })) << StatusOf(b).dump(1);
  EXPECT_THAT(DisksOfEpoch1(), UnorderedElementsAre(a->disk(), c->disk(), d->disk()));
  EXPECT_EQ(StatusOf(b)["references"], 0);
}

TEST_F(RepairShellTest, ADamagedDiskRetiresIsRepairedElsewhereAndMayBeReplaced) {
  FaultyFileSystem& files = files_;
  Server* a = Start("a");
  Server* b = Start("b");
  Server* c = Start("c", "127.0.0.1:0", &files);
  const std::string all = Fill({a, b, c}, 500);
  const std::string address = c->address();
  const DiskId damaged = c->disk();
  Stop("c");
  const std::string journal = "c/journal";
  const std::string segment = journal + "/" + files.ListDir(journal)->front();
  const size_t at = files.Content(segment).find("r101x");
  ASSERT_NE(at, std::string::npos);
  files.FlipBit(segment, at, 3);
  files.Kill();
  PutChain(ClosedChain({{damaged, "c"}, Ref(a, "a"), Ref(b, "b")}, 500));
  c = Start("c", address, &files);
  ASSERT_EQ(c->disk(), damaged);
  const std::string key = DiskKey("test", ToHex(damaged));
  // Found by the scan at the start, or by the read; its entry says so to everybody.
  EXPECT_EQ(c->Read(1, 1, 101, 101).code, StatusCode::kDataUnknown);
  EXPECT_TRUE(Until([&] { return DecodeDiskEntry(Entry(key)->value)->state == DiskState::kRetired; }));
  EXPECT_EQ(StatusOf(c)["state"], "retired");
  EXPECT_FALSE(c->replaceable()) << "an open epoch and a closed one refer to it";
  Server* d = Start("d");
  EXPECT_TRUE(Until([&] { return ReadAll(d, 500) == all; }));
  EXPECT_TRUE(Until([&] {
    const std::vector<DiskId> disks = DisksOfEpoch1();
    return std::find(disks.begin(), disks.end(), damaged) == disks.end();
  }));
  EXPECT_FALSE(c->replaceable());
  Chain chain = ChainNow();
  chain.epochs[1].disks = {Ref(a, "a")};  // the writer moves away from it
  PutChain(chain);
  EXPECT_TRUE(Until([&] { return c->replaceable(); }));
  EXPECT_FALSE(Entry(key).has_value());
}

// What its checksums vouch for is copied from a retired disk when nobody else has it.
TEST_F(RepairShellTest, ARetiredDiskIsASource) {
  Server* a = Start("a", "127.0.0.1:0", &files_);
  const std::string all = Fill({a}, 200);
  Fill({a}, 200, 2);
  const std::string address = a->address();
  const DiskId disk = a->disk();
  Stop("a");
  const std::string segment = "a/journal/" + files_.ListDir("a/journal")->front();
  const size_t first = files_.Content(segment).find("r101x");
  const size_t second = files_.Content(segment).find("r101x", first + 1);  // of log 2
  ASSERT_NE(second, std::string::npos);
  files_.FlipBit(segment, second, 3);
  files_.Kill();
  PutChain(ClosedChain({{disk, "a"}}, 200, 2));
  a = Start("a", address, &files_);
  EXPECT_EQ(a->Read(2, 1, 101, 101).code, StatusCode::kDataUnknown);
  Server* b = Start("b");
  EXPECT_TRUE(Until([&] { return ReadAll(b, 200) == all; }));
  EXPECT_TRUE(Until([&] { return DisksOfEpoch1() == std::vector<DiskId>{b->disk()}; }));
}

TEST_F(RepairShellTest, TrimsThatADiskMissedAreMadeUpFor) {
  Server* a = Start("a");
  Server* b = Start("b");
  Fill({a, b}, 500);
  WriteCheckpoint(a, 2, "old");
  WriteCheckpoint(a, 5, "kept");
  Chain chain = ClosedChain({Ref(a, "a"), Ref(b, "b")}, 500, 2);
  chain.checkpoints = {{5, Lsn(300), 4, {a->disk(), b->disk()}}, {6, Lsn(400), 4, {a->disk(), b->disk()}}};
  chain.trim_lsn = Lsn(300);
  PutChain(chain);
  EXPECT_TRUE(Until([&] { return a->Read(1, 1, 300, 500).code == StatusCode::kTrimmed; }));
  EXPECT_TRUE(Until([&] { return ReadCheckpoint(a, 2) == StatusCodeName(StatusCode::kNotFound); }));
  EXPECT_EQ(ReadCheckpoint(a, 5), "kept");
  EXPECT_EQ(a->Read(1, 1, 301, 500).code, StatusCode::kOk);
}

TEST_F(RepairShellTest, WhatNobodyHasIsSaidAndTheRestGoesOn) {
  Server* a = Start("a");
  Server* b = Start("b");
  const std::string other = Fill({a}, 100, 2);
  Fill({a}, 100);
  // The chain says 200; no disk has more than 100.
  PutChain(ClosedChain({Ref(a, "a")}, 200, 2));
  PutChain(ClosedChain({Ref(a, "a")}, 100, 2, 2));
  EXPECT_TRUE(Until([&] { return StatusOf(b)["repair"]["lost"] == 1; })) << StatusOf(b).dump(1);
  EXPECT_TRUE(Until([&] { return DisksOfEpoch1(2).size() == 2; }));
  EXPECT_EQ(ReadAll(b, 100, 2), other);
  EXPECT_THAT(DisksOfEpoch1(), ElementsAre(a->disk())) << "what is short is not listed";
  const auto list = StatusOf(b)["repair"]["list"];
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["held"], 100);
  EXPECT_THAT(list[0]["text"].get<std::string>(),
              ::testing::HasSubstr("log 1 epoch 1: LSN 101 (of 1 to 200) is on no disk"));
}

}  // namespace
}  // namespace understudy::testing
