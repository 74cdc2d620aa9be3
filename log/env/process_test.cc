#include "log/env/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "log/env/file.h"
#include "log/env/small_files.h"

namespace understudy {
namespace {

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/understudy_process_XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override {
    FileSystem* files = SystemFileSystem();
    const auto names = files->ListDir(folder_);
    for (const std::string& name : *names) EXPECT_TRUE(files->Remove(folder_ + "/" + name).ok());
    EXPECT_TRUE(files->RemoveDir(folder_).ok());
  }
  Result<std::unique_ptr<Process>> Shell(const std::string& script) {
    return Process::Spawn({"/bin/sh", {"-c", script}, {{"GREETING", "hello"}}, folder_ + "/output"});
  }
  static std::string WaitForEnd(Process* process) {
    pollfd waiting{process->pidfd(), POLLIN, 0};
    if (poll(&waiting, 1, 10'000) != 1) return "still running after 10 s";
    return process->Reap().value_or("nothing to reap");
  }
  std::string folder_;
};

TEST_F(ProcessTest, SaysHowItEndedAndKeepsItsOutput) {
  auto process = Shell("echo $GREETING; echo oops >&2; exit 3");
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(WaitForEnd(process->get()), "exit status 3");
  EXPECT_EQ(*ReadSmallFile(folder_ + "/output"), "hello\noops\n");
}

TEST_F(ProcessTest, NamesTheSignalThatKilledIt) {
  auto process = Shell("kill -KILL $$");
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(WaitForEnd(process->get()), "killed by signal 9 (Killed)");
}

TEST_F(ProcessTest, WhatCannotStartSaysWhy) {
  auto missing = Process::Spawn({"/no/such/program", {}, {}, ""});
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(missing.status().message(), "exec /no/such/program: No such file or directory");
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), folder_ + "/text", "not a program").ok());
  auto text = Process::Spawn({folder_ + "/text", {}, {}, ""});
  EXPECT_EQ(text.status().message(), "exec " + folder_ + "/text: Permission denied");
  auto output = Process::Spawn({"/bin/true", {}, {}, folder_ + "/none/output"});
  EXPECT_EQ(output.status().message(), "output file " + folder_ + "/none/output: No such file or directory");
}

TEST_F(ProcessTest, InheritsNoFilesOfOurs) {
  auto process = Shell("ls /proc/self/fd | wc -l");
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(WaitForEnd(process->get()), "exit status 0");
  EXPECT_EQ(std::atoi(ReadSmallFile(folder_ + "/output")->c_str()), 4);  // 0, 1, 2 and the one ls reads
}

TEST_F(ProcessTest, ItsGroupEndsWithIt) {
  auto process = Shell("sleep 1000 & echo $!; exit 0");
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(WaitForEnd(process->get()), "exit status 0");
  const int64_t left = std::atoll(ReadSmallFile(folder_ + "/output")->c_str());
  ASSERT_GT(left, 1);
  auto orphan = Process::Adopt(left, ProcessStartTicks(left).ok() ? *ProcessStartTicks(left) : 0);
  if (orphan.ok()) {
    pollfd waiting{(*orphan)->pidfd(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 10'000), 1) << "a process of its group lives on";
  }
}

TEST_F(ProcessTest, AdoptsOnlyTheProcessThatStartedThen) {
  auto process = Shell("exec sleep 1000");
  ASSERT_TRUE(process.ok());
  const int64_t pid = (*process)->pid(), ticks = (*process)->start_ticks();
  EXPECT_EQ(Process::Adopt(pid, ticks + 1).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Process::Adopt(pid, 0).status().code(), StatusCode::kNotFound);
  auto adopted = Process::Adopt(pid, ticks);
  ASSERT_TRUE(adopted.ok());
  EXPECT_FALSE((*adopted)->Reap().has_value());
  EXPECT_TRUE((*adopted)->Signal(SIGTERM, true).ok());
  EXPECT_EQ(WaitForEnd(process->get()), "killed by signal 15 (Terminated)");
  EXPECT_EQ((*adopted)->Signal(SIGTERM, true).code(), StatusCode::kNotFound);
}

TEST_F(ProcessTest, RotationKeepsTheNewestBytes) {
  const std::string path = folder_ + "/output";
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), path, "0123456789").ok());
  EXPECT_TRUE(RotateByCopy(path, 10).ok());
  EXPECT_EQ(*ReadSmallFile(path), "0123456789");
  EXPECT_TRUE(RotateByCopy(path, 4).ok());
  EXPECT_EQ(*ReadSmallFile(path), "");
  EXPECT_EQ(*ReadSmallFile(path + ".1"), "6789");
}

TEST_F(ProcessTest, SmallFilesAreBounded) {
  ASSERT_TRUE(ReplaceFile(SystemFileSystem(), folder_ + "/file", "0123456789").ok());
  EXPECT_EQ(ReadSmallFile(folder_ + "/file", 9).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadSmallFile(folder_ + "/none").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace understudy
