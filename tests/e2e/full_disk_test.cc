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
    auto ballast = SystemFileSystem()->OpenForWrite(disk_ + "/ballast", FileSystem::OpenMode::kCreate);
    ASSERT_TRUE(ballast.ok() && (*ballast)->WriteZeros(0, 48u << 20).ok());
    server_ = std::make_unique<ServerProcess>(disk_ + "/data");
  }
  void TearDown() override {
    server_.reset();
    if (mounted_ && umount2(disk_.c_str(), MNT_DETACH) != 0) ADD_FAILURE() << "umount " << disk_;
  }
  std::unique_ptr<Log> Open(bool create) {
    LogOptions options;
    options.coordinators = {server_->coordinator()};
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
  ASSERT_TRUE(SystemFileSystem()->Remove(disk_ + "/ballast").ok());
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

}  // namespace
}  // namespace understudy::e2e
