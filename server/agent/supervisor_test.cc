#include "server/agent/supervisor.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <cstdlib>
#include <map>

#include "log/env/clock.h"
#include "log/env/file.h"
#include "log/env/small_files.h"
#include "log/rpc/await.h"

namespace understudy {
namespace {

constexpr int64_t kLongNs = 20 * kNsPerSecond;

class SupervisorTest : public ::testing::Test {
 protected:
  template <class Fn>
  auto Do(const Fn& fn) {
    const EventLoop::Section section(&loop_);
    return fn();
  }
  void SetUp() override {
    char name[] = "/tmp/understudy_supervisor_XXXXXX";
    folder_ = mkdtemp(name);
    supervisor_ = Make();
  }
  void TearDown() override {
    Do([&] {
      supervisor_->Stop(0, [] {});
      return 0;
    });
    EXPECT_TRUE(Until([&] { return supervisor_->state().pid == 0; }));
    Do([&] {
      supervisor_.reset();
      return 0;
    });
    std::system(("rm -rf " + folder_).c_str());
  }
  std::unique_ptr<Supervisor> Make() {
    const EventLoop::Section section(&loop_);
    return std::make_unique<Supervisor>(&loop_, SupervisorOptions{folder_ + "/run.json", agent(), output(), 1000});
  }
  Status Shell(const std::string& script) {
    return Do([&] { return supervisor_->Start({"/bin/bash", {"-c", script}, environment_, output()}, "kv", 0); });
  }
  bool Until(const std::function<bool()>& condition) { return DriveUntil(&loop_, kLongNs, condition); }
  bool OutputHas(const std::string& text) {
    return Until([&] {
      const Result<std::string> output_now = ReadSmallFile(output());
      return output_now.ok() && output_now->find(text) != std::string::npos;
    });
  }
  std::string agent() const { return "unix:" + folder_ + "/sock"; }
  std::string output() const { return folder_ + "/output"; }

  std::string folder_;
  std::map<std::string, std::string> environment_;
  EventLoop loop_{SystemClock()};
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, NoticesAnExitAndSaysWhy) {
  int changes = 0;
  supervisor_->SetOnChange([&] { ++changes; });
  ASSERT_TRUE(Shell("exit 7").ok());
  EXPECT_EQ(supervisor_->state().process, ProcessState::kStarting);
  EXPECT_TRUE(Until([&] { return supervisor_->state().process == ProcessState::kExited; }));
  EXPECT_EQ(supervisor_->state().exit_reason, "exit status 7");
  EXPECT_EQ(supervisor_->state().service, "kv");
  EXPECT_EQ(supervisor_->state().starts, 1);
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(ReadSmallFile(folder_ + "/run.json").status().code(), StatusCode::kNotFound);
}

TEST_F(SupervisorTest, ADeathIsNoticedWithoutWaitingForAnyTimer) {
  ASSERT_TRUE(Shell("echo up; exec sleep 1000").ok());
  ASSERT_TRUE(OutputHas("up"));
  ASSERT_EQ(kill(static_cast<pid_t>(supervisor_->state().pid), SIGKILL), 0);
  const Instant killed = SystemClock()->Now();
  EXPECT_TRUE(Until([&] { return supervisor_->state().process == ProcessState::kExited; }));
  EXPECT_EQ(supervisor_->state().exit_reason, "killed by signal 9 (Killed)");
  EXPECT_LT(SystemClock()->Now() - killed, 2 * kNsPerSecond);
}

TEST_F(SupervisorTest, WhatDoesNotStartIsFailedWithTheReason) {
  const Status started = Do([&] { return supervisor_->Start({"/no/such", {}, {}, output()}, "kv", 0); });
  EXPECT_EQ(started.code(), StatusCode::kNotFound);
  EXPECT_EQ(supervisor_->state().process, ProcessState::kFailed);
  EXPECT_EQ(supervisor_->state().exit_reason, "exec /no/such: No such file or directory");
  EXPECT_EQ(supervisor_->state().starts, 0);
  ASSERT_TRUE(Shell("exit 0").ok()) << "it can start another";
}

TEST_F(SupervisorTest, OneProgramAtATime) {
  ASSERT_TRUE(Shell("exec sleep 1000").ok());
  EXPECT_EQ(Shell("exec sleep 1000").code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Do([&] {
              return supervisor_->Start({"/bin/true", {}, {}, ""}, "other", 0);
            }).code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(SupervisorTest, StopIsPoliteFirst) {
  ASSERT_TRUE(Shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 1000 & wait $!; done").ok());
  ASSERT_TRUE(OutputHas("up"));
  bool stopped = false;
  Do([&] {
    supervisor_->Stop(60'000, [&] { stopped = true; });
    return 0;
  });
  EXPECT_TRUE(Until([&] { return stopped; }));
  EXPECT_EQ(supervisor_->state().exit_reason, "exit status 0");
  EXPECT_TRUE(OutputHas("bye"));
}

TEST_F(SupervisorTest, WhatHangsOnSigtermIsKilledAfterItsGrace) {
  ASSERT_TRUE(Shell("trap '' TERM; echo up; while :; do sleep 1000; done").ok());
  ASSERT_TRUE(OutputHas("up"));
  int stopped = 0;
  const Instant asked = SystemClock()->Now();
  Do([&] {
    supervisor_->Stop(200, [&] { ++stopped; });
    supervisor_->Stop(60'000, [&] { ++stopped; });  // no longer grace than was promised first
    return 0;
  });
  EXPECT_EQ(Do([&] {
              return supervisor_->Start({"/bin/true", {}, {}, ""}, "kv", 0);
            }).code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Until([&] { return stopped == 2; }));
  EXPECT_GE(SystemClock()->Now() - asked, 200 * kNsPerMs);
  EXPECT_EQ(supervisor_->state().exit_reason, "killed by signal 9 (Killed)");
}

TEST_F(SupervisorTest, AStoppedProcessIsStillKilled) {
  ASSERT_TRUE(Shell("echo up; kill -STOP $$").ok());
  ASSERT_TRUE(OutputHas("up"));
  bool stopped = false;
  Do([&] {
    supervisor_->Stop(50, [&] { stopped = true; });
    return 0;
  });
  EXPECT_TRUE(Until([&] { return stopped; }));
}

TEST_F(SupervisorTest, TheNextSupervisorAdoptsWhatRunsAndNoticesItsEnd) {
  ASSERT_TRUE(Shell("echo up; exec sleep 1000").ok());
  const Supervised before = supervisor_->state();
  Do([&] {
    supervisor_.reset();
    return 0;
  });
  supervisor_ = Make();
  ASSERT_TRUE(Do([&] { return supervisor_->AdoptLeftBehind(); }));
  EXPECT_EQ(supervisor_->state().pid, before.pid);
  EXPECT_EQ(supervisor_->state().service, "kv");
  EXPECT_EQ(supervisor_->state().starts, 0);
  EXPECT_TRUE(Do([&] { return supervisor_->Adopt(before.pid, before.start_ticks, "kv"); }).ok());
  bool stopped = false;
  Do([&] {
    supervisor_->Stop(60'000, [&] { stopped = true; });
    return 0;
  });
  EXPECT_TRUE(Until([&] { return stopped; }));
  EXPECT_EQ(supervisor_->state().process, ProcessState::kExited);
  EXPECT_FALSE(Make()->AdoptLeftBehind()) << "nothing is left to adopt";
}

TEST_F(SupervisorTest, AStrangerWithTheRecordedNumberIsNotAdopted) {
  ASSERT_TRUE(Shell("exec sleep 1000").ok());
  Result<std::string> record = ReadSmallFile(folder_ + "/run.json");
  ASSERT_TRUE(record.ok());
  const std::string ticks = std::to_string(supervisor_->state().start_ticks);
  record->replace(record->find(ticks), ticks.size(), "1" + ticks);
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), folder_ + "/run.json", *record).ok());
  auto other = Make();
  EXPECT_FALSE(Do([&] { return other->AdoptLeftBehind(); }));
  EXPECT_EQ(other->state().process, ProcessState::kNone);
}

TEST_F(SupervisorTest, WhatWasStartedJustBeforeTheAgentDiedIsFoundByItsEnvironment) {
  environment_ = {{"UNDERSTUDY_AGENT", agent()}, {"UNDERSTUDY_SERVICE", "kv"}};
  ASSERT_TRUE(Shell("echo up; sleep 1000 & wait $!").ok());
  ASSERT_TRUE(OutputHas("up"));  // in the midst of exec the kernel shows no environment
  const Supervised before = supervisor_->state();
  ASSERT_TRUE(SystemFileSystem()->Remove(folder_ + "/run.json").ok());
  Do([&] {
    supervisor_.reset();
    return 0;
  });
  supervisor_ = Make();
  ASSERT_TRUE(Do([&] { return supervisor_->AdoptLeftBehind(); }));
  EXPECT_EQ(supervisor_->state().pid, before.pid) << "the leader of the group, not a child of its";
  EXPECT_EQ(supervisor_->state().service, "kv");
}

TEST_F(SupervisorTest, OutputIsBounded) {
  ASSERT_TRUE(Shell("head -c 5000 /dev/zero | tr '\\0' x; echo end; exec sleep 1000").ok());
  ASSERT_TRUE(OutputHas("end"));
  Do([&] {
    supervisor_->RotateOutput();
    return 0;
  });
  EXPECT_EQ(ReadSmallFile(output())->size(), 0u);
  EXPECT_EQ(ReadSmallFile(output() + ".1")->size(), 1000u);
}

}  // namespace
}  // namespace understudy
