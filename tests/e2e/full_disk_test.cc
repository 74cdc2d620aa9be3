// A disk that runs full under a whole understudyd: appends stop with a clear word, what was acknowledged is read, a
// takeover goes through, and everything goes on when space returns.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "tests/e2e/server_process.h"
#include "understudy/log.h"

namespace understudy::e2e {
namespace {

constexpr size_t kRecordBytes = 1000;
constexpr int64_t kPatienceMs = 20'000;

bool WaitFor(const std::function<bool()>& condition) {
  for (int64_t waited = 0; waited < kPatienceMs; ++waited) {
    if (condition()) return true;
    Pause(1);
  }
  return condition();
}

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    disk_ = folder_.path() + "/disk";
    ASSERT_TRUE(SystemFileSystem()->CreateDir(disk_).ok());
    if (mount("none", disk_.c_str(), "tmpfs", 0, "size=160m") != 0) GTEST_SKIP() << "may not mount a tmpfs here";
    mounted_ = true;
    // Space that can be given back.
    auto ballast = SystemFileSystem()->OpenForWrite(Ballast(), FileSystem::OpenMode::kCreate);
    ASSERT_TRUE(ballast.ok() && (*ballast)->WriteZeros(0, 48u << 20).ok());
    server_ = std::make_unique<ServerProcess>(disk_ + "/data");
    coordinator_ = server_->coordinator();
  }
  void TearDown() override {
    server_.reset();
    if (mounted_ && umount2(disk_.c_str(), MNT_DETACH) != 0) ADD_FAILURE() << "umount " << disk_;
  }
  std::string Ballast() const { return disk_ + "/ballast"; }
  std::unique_ptr<Log> Open(bool create) {
    LogOptions options;
    options.coordinators = {coordinator_};
    Result<std::unique_ptr<Log>> log = Status(StatusCode::kUnavailable, "not tried");
    EXPECT_TRUE(WaitFor([&] { return (log = Log::Open(options, "full", create)).ok(); })) << log.status().ToString();
    return log.ok() ? std::move(log).value() : nullptr;
  }
  static Lsn TakeOver(Log* log, Epoch expected) {
    Result<Lsn> taken = Status(StatusCode::kUnavailable, "not tried");
    EXPECT_TRUE(WaitFor([&] { return (taken = log->TakeOver(expected)).ok(); })) << taken.status().ToString();
    return taken.ok() ? *taken : Lsn();
  }
  // Appends until nothing has been acknowledged for half a second.
  void FillUp(Log* log) {
    Clock* const clock = SystemClock();
    size_t seen = acknowledged_;
    Instant progress = clock->Now();
    const std::string payload(kRecordBytes, 'x');
    while (clock->Now() - progress < kNsPerSecond / 2) {
      const bool room = sent_ - answered_ < 64;
      if (!room || !log->Append(payload, 1,
                                [this](Result<Lsn> answer) {
                                  ++answered_;
                                  acknowledged_ += answer.ok() ? 1 : 0;
                                })
                        .ok()) {
        Pause(1);
      } else {
        ++sent_;
      }
      if (acknowledged_ != seen) {
        seen = acknowledged_;
        progress = clock->Now();
      }
    }
  }

  TestFolder folder_;
  std::string disk_;
  bool mounted_ = false;
  std::unique_ptr<ServerProcess> server_;
  std::string coordinator_;
  std::atomic<size_t> sent_{0}, answered_{0}, acknowledged_{0};
};

TEST_F(FullDiskTest, RefusesAppendsServesTheRestAndGoesOn) {
  server_->Start({"--log-quota-bytes", "0"});
  std::unique_ptr<Log> writer = Open(true);
  ASSERT_NE(writer, nullptr);
  TakeOver(writer.get(), Epoch(0));
  FillUp(writer.get());
  const size_t before = acknowledged_;
  EXPECT_GT(before, 5000u);
  EXPECT_TRUE(server_->OutputHas("appends are refused")) << server_->Output();

  // Reads work.
  std::unique_ptr<Log> reader = Open(false);
  ASSERT_NE(reader, nullptr);
  size_t read = 0;
  const auto count = [&](const Record& record) { read += record.payload.size() == kRecordBytes ? 1 : 0; };
  EXPECT_TRUE(reader->Read(Lsn(1), writer->commit(), count).ok());
  EXPECT_GE(read, before);

  // Seals work: another writer takes over on the full disk. What it appends then waits for space.
  const Lsn taken = TakeOver(reader.get(), writer->epoch());
  EXPECT_GE(taken.value(), before);
  EXPECT_EQ(writer->ReadBarrier().code(), StatusCode::kFenced);
  ASSERT_TRUE(SystemFileSystem()->Remove(Ballast()).ok());
  EXPECT_EQ(reader->Append("space again", 1).Get().status().ToString(), "OK");

  // And nothing of it was lost by the time the server is started again.
  server_->Kill();
  server_->Start({"--log-quota-bytes", "0"});
  read = 0;
  const std::unique_ptr<Log> after = Open(false);
  ASSERT_NE(after, nullptr);
  Result<ReplayProgress> progress = Status(StatusCode::kUnavailable, "not tried");
  EXPECT_TRUE(WaitFor([&] {
    read = 0;
    return (progress = after->Read(Lsn(1), taken, count)).ok();
  })) << progress.status().ToString();
  EXPECT_GE(read, before);
}

class RestartOnAFullDiskTest : public FullDiskTest {
 protected:
  void StartServer() {
    server_->Start({"--log-quota-bytes", "0", "--coordinators", coordinator_});
    EXPECT_TRUE(server_->OutputHas("log server on ", ++starts_)) << server_->Output();
  }
  // To the last byte. Not by this server, which keeps something back.
  void FillDisk() {
    auto ballast = SystemFileSystem()->OpenForWrite(Ballast(), FileSystem::OpenMode::kExisting);
    ASSERT_TRUE(ballast.ok());
    uint64_t at = *SystemFileSystem()->FileSize(Ballast());
    for (size_t bytes = 1u << 20; bytes > 0; bytes /= 16) {
      const std::string zeros(bytes, '\0');
      for (; (*ballast)->WriteAt(at, zeros).ok(); at += bytes) continue;
    }
  }
  // The first writer, with one record.
  std::unique_ptr<Log> Begin() {
    StartServer();
    std::unique_ptr<Log> writer = Open(true);
    if (writer == nullptr) return nullptr;
    TakeOver(writer.get(), Epoch(0));
    EXPECT_TRUE(writer->Append(std::string(kRecordBytes, 'x'), 1).Get().ok());
    ++acknowledged_;
    return writer;
  }
  // After a restart: a seal and reads; then appends for as long as the segments made before have room.
  void LiveOn(std::unique_ptr<Log>* writer) {
    std::unique_ptr<Log> next = Open(false);
    ASSERT_NE(next, nullptr);
    const Lsn taken = TakeOver(next.get(), (*writer)->epoch());
    *writer = std::move(next);
    Check(writer->get(), taken);
    FillUp(writer->get());
    EXPECT_LT(acknowledged_, sent_) << "the disk is not full";
  }
  void MakeRoom(Log* writer) {
    const size_t before = acknowledged_;
    ASSERT_TRUE(SystemFileSystem()->Remove(Ballast()).ok());
    EXPECT_TRUE(WaitFor([&] { return acknowledged_ > before; })) << "appends do not go on by themselves";
    EXPECT_TRUE(server_->OutputHas("there is space again, appends are taken")) << server_->Output();
    const Status appended = writer->Append(std::string(kRecordBytes, 'x'), 1).Get().status();
    EXPECT_TRUE(appended.ok()) << appended.ToString();
    server_->Kill();
    StartServer();
    std::unique_ptr<Log> after = Open(false);
    ASSERT_NE(after, nullptr);
    Check(after.get(), TakeOver(after.get(), writer->epoch()));
  }
  // Everything acknowledged is read back.
  void Check(Log* reader, Lsn last) {
    size_t read = 0;
    const auto count = [&](const Record& record) { read += record.payload.size() == kRecordBytes ? 1 : 0; };
    Result<ReplayProgress> progress = Status(StatusCode::kUnavailable, "not tried");
    EXPECT_TRUE(WaitFor([&] {
      read = 0;
      return (progress = reader->Read(Lsn(1), last, count)).ok();
    })) << progress.status().ToString();
    EXPECT_GE(read, acknowledged_);
  }

  size_t starts_ = 0;
};

// A log server alone; its coordinator has a disk of its own. Whatever is given up is taken by somebody else at once.
TEST_F(RestartOnAFullDiskTest, ALogServerComesUpAndGoesOnWhenThereIsSpace) {
  ServerProcess elsewhere(folder_.path() + "/coordinator", "coordinator");
  elsewhere.Start();
  coordinator_ = elsewhere.coordinator();
  server_ = std::make_unique<ServerProcess>(disk_ + "/data", "log");
  std::unique_ptr<Log> writer = Begin();
  ASSERT_NE(writer, nullptr);
  for (int restart = 0; restart < 3; ++restart) {
    SCOPED_TRACE("restart " + std::to_string(restart));
    FillDisk();
    server_->Kill();
    FillDisk();
    StartServer();
    ASSERT_NO_FATAL_FAILURE(LiveOn(&writer));
  }
  EXPECT_TRUE(server_->OutputHas("started on a full disk: appends are refused", 3)) << server_->Output();
  MakeRoom(writer.get());
}

// All in one: the metadata are on the full disk, too, and live on their reserve.
TEST_F(RestartOnAFullDiskTest, AWholeUnderstudydComesUpAndGoesOnWhenThereIsSpace) {
  std::unique_ptr<Log> writer = Begin();
  ASSERT_NE(writer, nullptr);
  FillDisk();
  for (int restart = 0; restart < 3; ++restart) {
    SCOPED_TRACE("restart " + std::to_string(restart));
    server_->Kill();
    StartServer();
    ASSERT_NO_FATAL_FAILURE(LiveOn(&writer));
  }
  MakeRoom(writer.get());
}

}  // namespace
}  // namespace understudy::e2e
