// Four log servers, three replicas: a server is killed and its directory wiped, another one's journal is damaged. What
// was closed is on three disks again each time, byte for byte, checkpoints too; the damaged disk is put aside and a new
// one takes its place; the writer appends all the while.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "log/env/clock.h"
#include "log/format/chain.h"
#include "log/format/crc32c.h"
#include "log/format/disk_entry.h"
#include "log/rpc/await.h"
#include "log/rpc/clients.h"
#include "tests/e2e/server_process.h"
#include "understudy/log.h"

namespace understudy::e2e {
namespace {

using ::testing::SizeIs;

constexpr int kServers = 4;
constexpr uint64_t kRecords = 4000;
constexpr int64_t kPatienceNs = 60 * kNsPerSecond;
constexpr int64_t kCallMs = 5000;

std::string PayloadOf(uint64_t lsn) { return "record " + std::to_string(lsn) + ";" + std::string(700, 'p'); }

class RepairE2eTest : public ::testing::Test {
 protected:
  void SetUp() override {
    coordinator_.Start();
    for (int i = 0; i < kServers; ++i) {
      servers_.push_back(std::make_unique<ServerProcess>(DirOf(i), "log"));
      StartServer(i);
    }
    RpcClientOptions options;
    options.cluster = "understudy";
    const EventLoop::Section section(&loop_);
    metadata_ = MetadataServiceClient::Create(&loop_, options, coordinator_.coordinator());
  }
  void TearDown() override {
    const EventLoop::Section section(&loop_);
    clients_.clear();
    metadata_.reset();
  }

  std::string DirOf(int i) const { return folder_.path() + "/s" + std::to_string(i); }
  void StartServer(int i) {
    servers_[static_cast<size_t>(i)]->Start(
        {"--node", "s" + std::to_string(i), "--coordinators", coordinator_.coordinator(), "--repair-after-ms", "1500"});
  }
  ServerProcess& server(int i) { return *servers_[static_cast<size_t>(i)]; }

  std::vector<MetadataEntry> List(const std::string& kind) {
    const auto listed = Await<std::vector<MetadataEntry>>(
        &loop_, [&](auto done) { metadata_->List("/understudy/understudy/" + kind + "/", 100, kCallMs, done); });
    return listed.ok() ? *listed : std::vector<MetadataEntry>();
  }
  Chain ChainNow() {
    const std::vector<MetadataEntry> logs = List("logs");
    const Result<Chain> chain = logs.empty() ? Result<Chain>(Chain()) : DecodeChain(logs[0].value);
    return chain.ok() ? *chain : Chain();
  }
  std::map<DiskId, DiskEntry> Disks() {
    std::map<DiskId, DiskEntry> disks;
    for (const MetadataEntry& entry : List("disks")) {
      const Result<DiskEntry> disk = DecodeDiskEntry(entry.value);
      if (disk.ok()) disks[disk->disk] = *disk;
    }
    return disks;
  }
  // The disk that server `i` registered; none while it has not.
  DiskId DiskOf(int i) {
    for (const auto& [id, disk] : Disks()) {
      if (disk.address == server(i).log_address() && !gone_.contains(id)) return id;
    }
    return {};
  }
  bool Until(const std::function<bool()>& condition) {
    const Instant deadline = SystemClock()->Now() + kPatienceNs;
    while (SystemClock()->Now() < deadline) {
      if (condition()) return true;
    }
    return false;
  }
  LogServiceClient* ClientOf(const DiskId& disk) {
    const std::string address = Disks()[disk].address;
    const EventLoop::Section section(&loop_);
    auto& client = clients_[address];
    RpcClientOptions options;
    options.cluster = "understudy";
    if (client == nullptr) client = LogServiceClient::Create(&loop_, options, address);
    return client.get();
  }
  // All that `disk` holds of the epoch, or why not.
  std::string ReadAll(const EpochEntry& epoch, const DiskId& disk, LogId log) {
    LogServiceClient* client = ClientOf(disk);
    std::string all;
    for (Lsn next = epoch.first_lsn; next <= *epoch.last_lsn;) {
      const ReadRequest request{log, disk, epoch.epoch, next, *epoch.last_lsn, kReadBytesMax, 0};
      const auto read = Await<ReadResponse>(&loop_, [&](auto done) { client->Read(request, kCallMs, done); });
      if (!read.ok()) return read.status().ToString();
      if (read->code != StatusCode::kOk) return std::string(StatusCodeName(read->code)) + " " + read->detail;
      std::string_view left = read->batches;
      while (!left.empty()) {
        const Result<BatchHeader> header = VerifyBatch(left.substr(0, PeekBatch(left)->length));
        if (!header.ok()) return header.status().ToString();
        next = header->last_lsn() + 1;
        left.remove_prefix(header->length);
      }
      all += read->batches;
    }
    return all;
  }
  std::string CheckpointOn(const DiskId& disk, LogId log, const CheckpointEntry& saved) {
    LogServiceClient* client = ClientOf(disk);
    const CheckpointReadRequest request{log, disk, saved.id, 0, kCheckpointChunkBytesMax};
    const auto read =
        Await<CheckpointReadResponse>(&loop_, [&](auto done) { client->CheckpointRead(request, kCallMs, done); });
    return read.ok() && read->code == StatusCode::kOk ? read->bytes : "nothing";
  }
  // Every closed epoch is on three disks, none of them `without`; so is the checkpoint.
  bool Repaired(const DiskId& without) {
    const Chain chain = ChainNow();
    if (chain.epochs.empty()) return false;
    const auto whole = [&](const std::vector<DiskId>& disks) {
      return disks.size() == 3 && std::find(disks.begin(), disks.end(), without) == disks.end();
    };
    for (const EpochEntry& epoch : chain.epochs) {
      std::vector<DiskId> disks;
      for (const ReplicaRef& ref : epoch.disks) disks.push_back(ref.disk);
      if (epoch.closed() && !whole(disks)) return false;
    }
    return std::all_of(chain.checkpoints.begin(), chain.checkpoints.end(),
                       [&](const CheckpointEntry& saved) { return whole(saved.disks); });
  }
  void ExpectAllCopiesEqual() {
    const Chain chain = ChainNow();
    for (const EpochEntry& epoch : chain.epochs) {
      if (!epoch.closed()) continue;
      const std::string first = ReadAll(epoch, epoch.disks[0].disk, chain.log);
      for (const ReplicaRef& ref : epoch.disks) {
        EXPECT_TRUE(ReadAll(epoch, ref.disk, chain.log) == first)
            << "epoch " << epoch.epoch.value() << " on " << ref.node;
      }
    }
    for (const CheckpointEntry& saved : chain.checkpoints) {
      for (const DiskId& disk : saved.disks) EXPECT_TRUE(CheckpointOn(disk, chain.log, saved) == checkpoint_);
    }
  }
  // Stands in for an application's checkpoint: the same calls.
  void SaveCheckpoint() {
    const std::vector<MetadataEntry> logs = List("logs");
    Chain chain = *DecodeChain(logs[0].value);
    CheckpointEntry saved{chain.next_checkpoint_id++, Lsn(10), checkpoint_.size(), {}};
    for (const ReplicaRef& ref : chain.epochs[0].disks) {
      LogServiceClient* client = ClientOf(ref.disk);
      const CheckpointChunk chunk{chain.log, ref.disk, saved.id, 0, checkpoint_, Crc32c(checkpoint_), true};
      const auto written =
          Await<CheckpointWriteResponse>(&loop_, [&](auto done) { client->CheckpointWrite(chunk, kCallMs, done); });
      ASSERT_TRUE(written.ok() && written->code == StatusCode::kOk);
      saved.disks.push_back(ref.disk);
    }
    chain.checkpoints.push_back(saved);
    const auto listed = Await<uint64_t>(&loop_, [&](auto done) {
      metadata_->CompareAndSwap(logs[0].key, logs[0].version, EncodeChain(chain), kCallMs, done);
    });
    ASSERT_TRUE(listed.ok()) << listed.status().ToString();
  }

  TestFolder folder_;
  ServerProcess coordinator_{folder_.path() + "/c", "coordinator"};
  std::vector<std::unique_ptr<ServerProcess>> servers_;
  EventLoop loop_{SystemClock()};
  std::unique_ptr<MetadataServiceClient> metadata_;
  std::map<std::string, std::unique_ptr<LogServiceClient>> clients_;
  std::set<DiskId> gone_;
  const std::string checkpoint_ = std::string(3'000'000, 'c');
};

TEST_F(RepairE2eTest, WipedAndDamagedDisksAreMadeGood) {
  ASSERT_TRUE(Until([&] { return Disks().size() == kServers; }));
  LogOptions options;
  options.coordinators = {coordinator_.coordinator()};
  options.node = "writer";
  options.replicas = 3;
  options.ack_quorum = 2;
  options.batch_bytes_max = 64u << 10;  // many batches: damage in the middle of the journal is no torn tail
  auto opened = Log::Open(options, "test", true);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  Log* log = opened->get();
  ASSERT_TRUE(log->TakeOver(Epoch(0)).ok());
  for (uint64_t lsn = 1; lsn <= kRecords; ++lsn) {
    const Result<Lsn> appended = log->Append(PayloadOf(lsn), lsn, [](Result<Lsn> answer) { EXPECT_TRUE(answer.ok()); });
    ASSERT_TRUE(appended.ok() && *appended == Lsn(lsn)) << appended.status().ToString();
  }
  ASSERT_TRUE(log->ReadBarrier().ok());
  SaveCheckpoint();
  auto next = Log::Open(options, "test", false);
  ASSERT_TRUE(next.ok());
  log = next->get();
  ASSERT_TRUE(log->TakeOver(Epoch(1)).ok());

  std::atomic<bool> stop{false};
  std::atomic<uint64_t> foreground{0};
  std::thread writer([&] {  // in the open epoch, which loses a disk as well
    while (!stop) {
      if (log->Append("foreground", 1).Get().ok()) ++foreground;
    }
  });

  // Wiped: any server that holds the closed epoch.
  int wiped = 0;
  const EpochEntry closed = ChainNow().epochs[0];
  while (std::none_of(closed.disks.begin(), closed.disks.end(),
                      [&](const ReplicaRef& ref) { return ref.node == "s" + std::to_string(wiped); }))
    ++wiped;
  const DiskId lost = DiskOf(wiped);
  server(wiped).Kill();
  std::filesystem::remove_all(DirOf(wiped));
  gone_.insert(lost);
  StartServer(wiped);
  const uint64_t before = foreground;
  EXPECT_TRUE(Until([&] { return Repaired(lost); })) << EncodeChain(ChainNow());
  EXPECT_GT(foreground, before) << "appends went on";
  ExpectAllCopiesEqual();

  // Damaged: one bit of a record in the middle of a journal. Found by whoever reads it.
  int damaged = 0;
  const EpochEntry now = ChainNow().epochs[0];
  while (damaged == wiped || std::none_of(now.disks.begin(), now.disks.end(), [&](const ReplicaRef& ref) {
           return ref.node == "s" + std::to_string(damaged);
         }))
    ++damaged;
  const DiskId rotten = DiskOf(damaged);
  server(damaged).Kill();
  bool flipped = false;
  for (const auto& segment : std::filesystem::directory_iterator(DirOf(damaged) + "/log/journal")) {
    std::fstream file(segment.path(), std::ios::in | std::ios::out | std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const size_t at = bytes.find("record 777;");
    if (at == std::string::npos) continue;
    file.clear();
    file.seekp(static_cast<std::streamoff>(at));
    file.put('R');
    flipped = true;
  }
  ASSERT_TRUE(flipped);
  StartServer(damaged);
  EXPECT_TRUE(Until([&] {
    ReadAll(now, rotten, ChainNow().log);
    const auto disks = Disks();
    return disks.contains(rotten) && disks.at(rotten).state == DiskState::kRetired;
  }));
  EXPECT_TRUE(Until([&] { return Repaired(rotten); })) << EncodeChain(ChainNow());
  stop = true;
  writer.join();

  // A new owner opens its epoch without the damaged disk; then nothing refers to it any more.
  auto last = Log::Open(options, "test", false);
  ASSERT_TRUE(last.ok());
  const Epoch open = (*last)->Tail()->epoch;
  ASSERT_TRUE((*last)->TakeOver(open).ok());
  EXPECT_TRUE(Until([&] { return Repaired(rotten) && !Disks().contains(rotten); })) << EncodeChain(ChainNow());
  EXPECT_TRUE(Until([&] {
    gone_.insert(rotten);
    return !DiskOf(damaged).none();
  })) << "a new disk in its place\n"
      << server(damaged).Output();
  EXPECT_TRUE(std::filesystem::exists(DirOf(damaged) + "/log.retired-" + ToHex(rotten).substr(0, 8)));
  ExpectAllCopiesEqual();
  uint64_t read = 0;
  const auto progress = (*last)->Read(Lsn(1), Lsn(kRecords), [&](const Record& record) {
    ++read;
    EXPECT_EQ(record.payload, PayloadOf(read));
  });
  EXPECT_TRUE(progress.ok()) << progress.status().ToString();
  EXPECT_EQ(read, kRecords);
}

}  // namespace
}  // namespace understudy::e2e
