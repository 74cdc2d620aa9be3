#include "server/agent/proc_text.h"

#include <gtest/gtest.h>

namespace understudy {
namespace {

TEST(ProcTextTest, StatSurvivesAnyProgramName) {
  const auto stat = ParseProcStat(
      "42 (a) b (c) R 1 42 42 0 -1 4194304 100 7 3 9 50 25 1 2 20 0 8 0 123456 1000000 250 18446744073709551615\n");
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->minor_faults, 100u);
  EXPECT_EQ(stat->major_faults, 3u);
  EXPECT_EQ(stat->cpu_ticks, 75u);
  EXPECT_EQ(stat->threads, 8u);
  EXPECT_EQ(stat->start_ticks, 123456u);
}

TEST(ProcTextTest, WhatIsNotThereIsNotZero) {
  EXPECT_FALSE(ParseProcStat("").has_value());
  EXPECT_FALSE(ParseProcStat("42 (a) R 1 42").has_value());
  EXPECT_FALSE(FindAmount("VmRSS:\t 12 kB\n", "VmSwap:").has_value());
  EXPECT_FALSE(FindAmount("VmRSS:\t lots kB\n", "VmRSS:").has_value());
  EXPECT_FALSE(ParseAmount("max\n").has_value());
  EXPECT_FALSE(ParseAmount("").has_value());
  EXPECT_FALSE(FindSoftLimit("Max open files            unlimited   unlimited  files\n", "Max open files").has_value());
  EXPECT_FALSE(FindPressure("some avg10=1.00 avg60=0.00\n", "full").has_value());
  EXPECT_FALSE(ParseNetDev("Inter-|\n face |\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n").has_value());
  EXPECT_FALSE(FindCgroup("4:memory:/a\n", "").has_value());
}

TEST(ProcTextTest, AmountsOfKilobytesAreBytes) {
  const char text[] = "Name:\tx\nVmRSS:\t    12 kB\nThreads:\t3\nVmRSSx: 4 kB\n";
  EXPECT_EQ(FindAmount(text, "VmRSS:"), 12u * 1024);
  EXPECT_EQ(FindAmount(text, "Threads:"), 3u);
  EXPECT_EQ(ParseAmount(" 77\n"), 77u);
}

TEST(ProcTextTest, LimitsPressureLoad) {
  EXPECT_EQ(FindSoftLimit("Max cpu time  unlimited unlimited seconds\nMax open files   1024   4096   files\n",
                          "Max open files"),
            1024u);
  const char pressure[] = "some avg10=1.25 avg60=0.50 avg300=0.10 total=9\nfull avg10=0.75 avg60=0 avg300=0 total=1\n";
  EXPECT_EQ(FindPressure(pressure, "some"), 1.25);
  EXPECT_EQ(FindPressure(pressure, "full"), 0.75);
  EXPECT_EQ(ParseLoad1("0.52 0.58 0.59 1/389 12345\n"), 0.52);
}

TEST(ProcTextTest, NetworkErrorsOfAllButTheLoopback) {
  const char text[] =
      "Inter-|   Receive                          |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier "
      "comp\n"
      "    lo: 1 1 100 100 0 0 0 0 1 1 100 100 0 0 0 0\n"
      "  eth0:9 9 1 2 0 0 0 0 9 9 3 4 0 0 0 0\n"
      "  eth1: 9 9 10 20 0 0 0 0 9 9 30 40 0 0 0 0\n";
  const auto errors = ParseNetDev(text);
  ASSERT_TRUE(errors.has_value());
  EXPECT_EQ(errors->errors, 44u);
  EXPECT_EQ(errors->drops, 66u);
}

TEST(ProcTextTest, GroupsOfBothVersions) {
  const char text[] = "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/c\n0::/d\n";
  EXPECT_EQ(FindCgroup(text, ""), "/d");
  EXPECT_EQ(FindCgroup(text, "memory"), "/a/b");
  EXPECT_EQ(FindCgroup(text, "cpuacct"), "/c");
  EXPECT_FALSE(FindCgroup(text, "pids").has_value());
}

}  // namespace
}  // namespace understudy
