// Checkpoints to and from real log servers: many chunks, a server that is away, an epoch that is no longer ours.
#include "client/replay/checkpoint_io.h"

#include <memory>
#include <string>
#include <vector>

#include "client/testing/cluster_testing.h"
#include "log/epoch/retention.h"
#include "gtest/gtest.h"

namespace understudy {
namespace {

using testing::TestCluster;

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
