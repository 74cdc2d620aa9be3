// Checkpoints to and from real log servers: many chunks, a server that is away, an epoch that is no longer ours.
#include "client/replay/checkpoint_io.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/testing/cluster_testing.h"
#include "client/testing/relay.h"
#include "gtest/gtest.h"
#include "log/env/clock.h"
#include "log/epoch/retention.h"
#include "log/format/crc32c.h"
#include "log/rpc/await.h"

namespace understudy {
namespace {

using testing::Relay;
using testing::TestCluster;

constexpr int64_t kPatienceNs = 40 * kNsPerSecond;

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

class BytesSnapshot : public Snapshot {
 public:
  BytesSnapshot(std::string bytes, size_t piece) : bytes_(std::move(bytes)), piece_(piece) {}
  Status Write(CheckpointWriter& out) override {
    for (size_t at = 0; at < bytes_.size(); at += piece_) {
      UNDERSTUDY_RETURN_IF_ERROR(out.Write(std::string_view(bytes_).substr(at, piece_)));
    }
    return Status::Ok();
  }

 private:
  const std::string bytes_;
  const size_t piece_;
};

// Something happens after its first half.
class InterruptedSnapshot : public Snapshot {
 public:
  InterruptedSnapshot(std::string bytes, std::function<void()> halfway)
      : bytes_(std::move(bytes)), halfway_(std::move(halfway)) {}
  Status Write(CheckpointWriter& out) override {
    const size_t half = bytes_.size() / 2;
    UNDERSTUDY_RETURN_IF_ERROR(out.Write(std::string_view(bytes_).substr(0, half)));
    halfway_();
    return out.Write(std::string_view(bytes_).substr(half));
  }

 private:
  const std::string bytes_;
  const std::function<void()> halfway_;
};

class FailingSnapshot : public Snapshot {
 public:
  Status Write(CheckpointWriter& out) override {
    UNDERSTUDY_RETURN_IF_ERROR(out.Write("half of it"));
    return {StatusCode::kIoError, "the other half is unreadable"};
  }
};

Result<std::string> ReadAll(CheckpointReader* reader) {
  std::string all;
  std::vector<char> buffer(100'000);
  while (true) {
    const Result<size_t> count = reader->Read(buffer.data(), buffer.size());
    if (!count.ok()) return count.status();
    if (*count == 0) return all;
    all.append(buffer.data(), *count);
  }
}

// A log with one writer, and what SaveCheckpoint needs to know of it.
class CheckpointIo : public ::testing::Test {
 protected:
  void SetUpCluster(int log_servers, int ack_quorum) {
    cluster_ = std::make_unique<TestCluster>(log_servers);
    LogOptions options = cluster_->log_options("n1");
    options.replicas = log_servers;
    options.ack_quorum = ack_quorum;
    uint64_t epoch = 0;
    do {  // on a busy machine a server may have answered too late to be in the epoch
      Result<std::unique_ptr<Log>> log = Log::Open(options, "a", true);
      ASSERT_TRUE(log.ok()) << log.status().ToString();
      log_ = std::move(log).value();
      const Result<Lsn> last = log_->TakeOver(Epoch(epoch++));
      ASSERT_TRUE(last.ok()) << last.status().ToString();
    } while (cluster_->ChainOf(LogId(1)).last()->disks.size() < static_cast<size_t>(log_servers));
    runtime_ = std::make_unique<Runtime>(SystemClock());
    ClusterOptions client;
    client.cluster = testing::kClusterName;
    client.coordinators = {cluster_->coordinator()};
    client.name = "test";
    client_ = std::make_unique<Cluster>(runtime_->loop(), client);
    chains_ = std::make_unique<ChainStore>(client_.get(), LogId(1));
    target_.runtime = runtime_.get();
    target_.cluster = client_.get();
    target_.chains = chains_.get();
    target_.epoch = *cluster_->ChainOf(LogId(1)).last();
    target_.when_committed = [](Lsn, const std::function<void(Status)>& done) { done(Status::Ok()); };
  }
  void TearDown() override {
    runtime_->Call<bool>([this](std::function<void(bool)> done) {
      client_->Close();
      done(true);
    });
    runtime_->Stop();
    log_.reset();
  }
  Result<CheckpointInfo> Save(const std::string& bytes, uint64_t lsn) {
    BytesSnapshot snapshot(bytes, 333'333);
    return SaveCheckpoint(target_, &snapshot, Lsn(lsn));
  }
  Result<std::string> Load(const CheckpointEntry& checkpoint) {
    return ReadAll(OpenCheckpoint(runtime_.get(), client_.get(), LogId(1), checkpoint).get());
  }

  // From now on log servers that start look at the metadata, and keep house, all the time.
  void RepairSoon() {
    cluster_->SetLogServerOptions([](LogNodeOptions* options) { options->repair_look_ms = 20; });
  }
  void Restart(int index) {
    cluster_->StopLogServer(index);
    cluster_->StartLogServer(index);
  }
  // The link that the client under test has to a log server. Its server, and others, are not behind it.
  std::unique_ptr<Relay> PutRelayBefore(int index) {
    auto relay = std::make_unique<Relay>(cluster_->log_server_address(index));
    cluster_->EditDisk(index, [&](DiskEntry* entry) { entry->address = relay->address(); });
    return relay;
  }
  bool Until(const std::function<bool()>& condition) {
    EventLoop loop(SystemClock());
    return DriveUntil(&loop, kPatienceNs, condition);
  }
  DiskId DiskOf(int index) {
    const EpochEntry last = *cluster_->ChainOf(LogId(1)).last();
    for (const ReplicaRef& replica : last.disks) {
      if (replica.node == cluster_->node_of(index)) return replica.disk;
    }
    ADD_FAILURE() << "no disk of " << cluster_->node_of(index);
    return {};
  }
  // Every checkpoint that is listed is on all `disks`.
  bool ListedOn(size_t disks) {
    const Chain chain = cluster_->ChainOf(LogId(1));
    return std::all_of(chain.checkpoints.begin(), chain.checkpoints.end(),
                       [&](const CheckpointEntry& entry) { return entry.disks.size() == disks; });
  }
  // The checkpoint files of a log server, unfinished ones too, by their ids.
  std::multiset<uint64_t> FilesOf(int index) {
    std::multiset<uint64_t> ids;
    for (const auto& file : std::filesystem::directory_iterator(cluster_->data_dir(index) + "/checkpoints")) {
      const std::string name = file.path().stem().string();
      ids.insert(std::stoull(name.substr(name.find('-') + 1)));
    }
    return ids;
  }
  bool Complete(int index) {
    const auto files = std::filesystem::directory_iterator(cluster_->data_dir(index) + "/checkpoints");
    return std::any_of(begin(files), end(files), [](const auto& file) { return file.path().extension() == ".ckpt"; });
  }
  std::multiset<uint64_t> ListedIds() {
    std::multiset<uint64_t> ids;
    for (const CheckpointEntry& entry : cluster_->ChainOf(LogId(1)).checkpoints) ids.insert(entry.id);
    return ids;
  }
  // What a writer that died has left behind.
  void BeginAndDie(int index, uint64_t id) {
    const CheckpointChunk chunk{LogId(1), DiskOf(index), id, 0, "half", Crc32c("half"), false};
    const auto written = runtime_->Call<Result<CheckpointWriteResponse>>([&](auto done) {
      client_->LogServer(cluster_->log_server_address(index), Traffic::kBulk)->CheckpointWrite(chunk, 10'000, done);
    });
    ASSERT_TRUE(written.ok() && written->code == StatusCode::kOk);
  }

  std::unique_ptr<TestCluster> cluster_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Cluster> client_;
  std::unique_ptr<ChainStore> chains_;
  CheckpointTarget target_;
};

TEST_F(CheckpointIo, ComesBackAsItWasWritten) {
  SetUpCluster(1, 1);
  uint64_t lsn = 0;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1} << 20, (size_t{5} << 20) + 17}) {
    const std::string bytes = Bytes(size);
    const Result<CheckpointInfo> saved = Save(bytes, ++lsn);
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    EXPECT_EQ(saved->bytes, size);
    const CheckpointEntry listed = cluster_->ChainOf(LogId(1)).checkpoints.back();
    EXPECT_EQ(listed.id, saved->id);
    EXPECT_EQ(listed.lsn, Lsn(lsn));
    const Result<std::string> loaded = Load(listed);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    EXPECT_TRUE(*loaded == bytes);
  }
  EXPECT_EQ(cluster_->ChainOf(LogId(1)).checkpoints.size(), kCheckpointsRetained);
}

TEST_F(CheckpointIo, NeedsTheQuorumAndLoadsFromWhoeverHasIt) {
  SetUpCluster(3, 2);
  cluster_->StopLogServer(0);
  const std::string bytes = Bytes(3'000'000);
  const Result<CheckpointInfo> saved = Save(bytes, 1);
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const CheckpointEntry listed = cluster_->ChainOf(LogId(1)).checkpoints.back();
  EXPECT_EQ(listed.disks.size(), 2u);
  cluster_->StopLogServer(1);
  const Result<std::string> loaded = Load(listed);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_TRUE(*loaded == bytes);
  EXPECT_FALSE(Save(bytes, 2).ok()) << "one copy of two that are needed";
  EXPECT_EQ(cluster_->ChainOf(LogId(1)).checkpoints.size(), 1u);
}

TEST_F(CheckpointIo, ADeadDiskGetsItsCopyWhenItIsBack) {
  SetUpCluster(3, 2);
  RepairSoon();
  cluster_->StopLogServer(0);
  const std::string bytes = Bytes(3'000'000);
  ASSERT_TRUE(Save(bytes, 1).ok());
  EXPECT_TRUE(ListedOn(2));
  cluster_->StartLogServer(0);
  EXPECT_TRUE(Until([&] { return ListedOn(3); }));
  cluster_->StopLogServer(1);
  cluster_->StopLogServer(2);
  const Result<std::string> loaded = Load(cluster_->ChainOf(LogId(1)).checkpoints.back());
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_TRUE(*loaded == bytes);
}

TEST_F(CheckpointIo, ADiskThatDiesHalfwayIsLeftOut) {
  SetUpCluster(3, 2);
  RepairSoon();
  const std::string bytes = Bytes(12'000'000);
  InterruptedSnapshot snapshot(bytes, [&] { cluster_->StopLogServer(2); });
  const Result<CheckpointInfo> saved = SaveCheckpoint(target_, &snapshot, Lsn(1));
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  EXPECT_TRUE(ListedOn(2));
  cluster_->StartLogServer(2);
  EXPECT_TRUE(Until([&] { return ListedOn(3); }));
  cluster_->StopLogServer(0);
  cluster_->StopLogServer(1);
  const Result<std::string> loaded = Load(cluster_->ChainOf(LogId(1)).checkpoints.back());
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_TRUE(*loaded == bytes);
}

// Neither from the start nor from the middle on does a disk that hangs hold the others up for long.
TEST_F(CheckpointIo, ADiskThatHangsIsLeftBehind) {
  SetUpCluster(3, 2);
  const std::unique_ptr<Relay> relay = PutRelayBefore(2);
  target_.patience_ms = 20;
  const std::string bytes = Bytes(12'000'000);
  InterruptedSnapshot snapshot(bytes, [&] { relay->Cut(true); });
  const Instant began = SystemClock()->Now();
  ASSERT_TRUE(SaveCheckpoint(target_, &snapshot, Lsn(1)).ok());
  EXPECT_TRUE(ListedOn(2));
  ASSERT_TRUE(Save(bytes, 2).ok());
  EXPECT_TRUE(ListedOn(2));
  EXPECT_LT(SystemClock()->Now() - began, 25 * kNsPerSecond) << "less than the timeout of a call";
  const CheckpointEntry listed = cluster_->ChainOf(LogId(1)).checkpoints.back();
  const Result<std::string> loaded = Load(listed);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_TRUE(*loaded == bytes);

  relay->Cut(false);
  RepairSoon();
  Restart(2);  // on its own address again: the others may ask it
  EXPECT_TRUE(Until([&] { return ListedOn(3); }));
  cluster_->StopLogServer(0);
  cluster_->StopLogServer(1);
  EXPECT_TRUE(*Load(cluster_->ChainOf(LogId(1)).checkpoints.back()) == bytes);
  EXPECT_EQ(FilesOf(2), ListedIds());
}

TEST_F(CheckpointIo, ASlowDiskIsWaitedForWhileItsPaceWillDo) {
  SetUpCluster(3, 2);
  const std::unique_ptr<Relay> relay = PutRelayBefore(2);
  target_.patience_ms = 60'000;
  InterruptedSnapshot snapshot(Bytes(3'900'000), [&] { relay->Cut(true); });  // what may be in flight
  std::thread heals([&] {
    EXPECT_TRUE(Until([&] { return Complete(0) && Complete(1); }));
    relay->Cut(false);
  });
  EXPECT_TRUE(SaveCheckpoint(target_, &snapshot, Lsn(1)).ok());
  heals.join();
  EXPECT_TRUE(ListedOn(3));
}

TEST_F(CheckpointIo, LoadsPastADiskThatHangs) {
  SetUpCluster(3, 2);
  const std::unique_ptr<Relay> relay = PutRelayBefore(2);
  const std::string bytes = Bytes(8'000'000);
  ASSERT_TRUE(Save(bytes, 1).ok());
  CheckpointEntry listed = cluster_->ChainOf(LogId(1)).checkpoints.back();
  ASSERT_EQ(listed.disks.size(), 3u);
  const DiskId hangs = DiskOf(2);
  std::stable_partition(listed.disks.begin(), listed.disks.end(), [&](const DiskId& disk) { return disk == hangs; });
  relay->Cut(true);
  const Instant began = SystemClock()->Now();
  const Result<std::string> loaded = Load(listed);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_TRUE(*loaded == bytes);
  const int64_t took_ns = SystemClock()->Now() - began;
  EXPECT_GE(took_ns, kNsPerSecond) << "it was asked";
  EXPECT_LT(took_ns, 9 * kNsPerSecond) << "it is not waited for as long as a slow disk may take";
}

TEST_F(CheckpointIo, WhatWasDeletedWhileADiskWasAwayIsDeletedThereWhenItIsBack) {
  SetUpCluster(3, 2);
  uint64_t lsn = 0;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Save(Bytes(100'000), ++lsn).ok());
  ASSERT_TRUE(ListedOn(3));
  const std::multiset<uint64_t> old = FilesOf(0);
  EXPECT_EQ(old.size(), 2u);
  cluster_->StopLogServer(0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Save(Bytes(100'000), ++lsn).ok());
  EXPECT_EQ(FilesOf(0), old);
  RepairSoon();
  cluster_->StartLogServer(0);
  EXPECT_TRUE(Until([&] { return ListedOn(3) && FilesOf(0) == ListedIds(); }))
      << ::testing::PrintToString(FilesOf(0)) << ", listed " << ::testing::PrintToString(ListedIds());
  EXPECT_EQ(ListedIds().size(), kCheckpointsRetained);
  for (const int other : {1, 2}) EXPECT_TRUE(Until([&] { return FilesOf(other) == ListedIds(); }));
}

// A server would take no more of them once many are unfinished.
TEST_F(CheckpointIo, WhatDeadWritersLeftUnfinishedGoes) {
  SetUpCluster(1, 1);
  RepairSoon();
  Restart(0);
  ASSERT_TRUE(Save("first", 1).ok());
  const uint64_t first = *ListedIds().begin();
  const Result<VersionedChain> numbered = runtime_->Call<Result<VersionedChain>>([&](ChainStore::ReadCallback done) {
    chains_->Edit(
        [](Chain* chain) -> Result<bool> {
          chain->next_checkpoint_id += 3;
          return true;
        },
        std::move(done));
  });
  ASSERT_TRUE(numbered.ok());
  for (const uint64_t id : {first + 1, first + 2, first + 3}) BeginAndDie(0, id);
  EXPECT_EQ(FilesOf(0).size(), 4u) << "they could still be written to the end";
  ASSERT_TRUE(Save("second", 2).ok());
  EXPECT_TRUE(Until([&] { return FilesOf(0) == ListedIds(); })) << ::testing::PrintToString(FilesOf(0));
  // One that is above all that are listed is not taken away from its writer, by the sweep that takes another.
  const uint64_t next = cluster_->ChainOf(LogId(1)).next_checkpoint_id;
  BeginAndDie(0, next);
  BeginAndDie(0, first + 1);
  EXPECT_TRUE(Until([&] { return !FilesOf(0).contains(first + 1); }));
  EXPECT_TRUE(FilesOf(0).contains(next));
}

TEST_F(CheckpointIo, IsNotListedWhenItsRecordsAreNotCommitted) {
  SetUpCluster(1, 1);
  target_.when_committed = [](Lsn, const std::function<void(Status)>& done) {
    done(Status(StatusCode::kFenced, "the epoch is lost"));
  };
  EXPECT_EQ(Save("state", 1).status().code(), StatusCode::kFenced);
  EXPECT_TRUE(cluster_->ChainOf(LogId(1)).checkpoints.empty());
}

TEST_F(CheckpointIo, IsNotListedByADeposedPrimary) {
  SetUpCluster(1, 1);
  Result<std::unique_ptr<Log>> heir = Log::Open(cluster_->log_options("n2"), "a", false);
  ASSERT_TRUE(heir.ok() && (*heir)->TakeOver(Epoch(1)).ok());
  EXPECT_EQ(Save("state", 1).status().code(), StatusCode::kFenced);
  EXPECT_TRUE(cluster_->ChainOf(LogId(1)).checkpoints.empty());
}

TEST_F(CheckpointIo, ASnapshotThatFailsIsNotListed) {
  SetUpCluster(1, 1);
  FailingSnapshot snapshot;
  const Status failed = SaveCheckpoint(target_, &snapshot, Lsn(1)).status();
  EXPECT_EQ(failed.code(), StatusCode::kIoError);
  EXPECT_NE(failed.message().find("the other half"), std::string::npos);
  EXPECT_TRUE(cluster_->ChainOf(LogId(1)).checkpoints.empty());
}

TEST_F(CheckpointIo, APinKeepsCheckpointAndLog) {
  SetUpCluster(1, 1);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(log_->Append("x", 1).Get().ok());
  ASSERT_TRUE(Save("one", 5).ok());
  const uint64_t pinned = cluster_->ChainOf(LogId(1)).checkpoints.back().id;
  const int64_t now = SystemClock()->WallUnixMs();
  auto pin = [&](int64_t expires) {
    const Result<VersionedChain> chain = runtime_->Call<Result<VersionedChain>>([&](ChainStore::ReadCallback done) {
      chains_->Edit(
          [&](Chain* edited) -> Result<bool> {
            edited->pins = {{"spare", pinned, Lsn(5), expires}};
            return true;
          },
          std::move(done));
    });
    ASSERT_TRUE(chain.ok()) << chain.status().ToString();
  };
  pin(now + 1'000'000);
  for (const uint64_t lsn : {8, 10, 12}) ASSERT_TRUE(Save("more", lsn).ok());
  Chain chain = cluster_->ChainOf(LogId(1));
  EXPECT_EQ(chain.checkpoints.front().id, pinned);
  EXPECT_EQ(chain.trim_lsn, Lsn(5));
  EXPECT_TRUE(Load(chain.checkpoints.front()).ok());
  pin(now - 1);  // expired
  ASSERT_TRUE(Save("last", 15).ok());
  chain = cluster_->ChainOf(LogId(1));
  EXPECT_EQ(chain.checkpoints.size(), kCheckpointsRetained);
  EXPECT_EQ(chain.trim_lsn, Lsn(12));
  EXPECT_TRUE(chain.pins.empty());
}

}  // namespace
}  // namespace understudy
