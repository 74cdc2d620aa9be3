#include "server/agent/recorder.h"

#include <gmock/gmock.h>

#include <cmath>

#include "log/env/faulty_file_system.h"
#include "log/env/logging.h"

namespace understudy {
namespace {

using ::testing::ElementsAre;

NodeSample At(int64_t monotonic_ms, std::vector<Metric> metrics) {
  return {.unix_ms = 1'700'000'000'000 + monotonic_ms, .monotonic_ms = monotonic_ms, .metrics = std::move(metrics)};
}

class RecorderTest : public ::testing::Test {
 protected:
  FaultyFileSystem files_{1};
  trace::Trace Read(const std::string& name) {
    auto trace =
        trace::ReadTrace("/rec/" + name + ".csv", {.time_faults = trace::TimeFaults::kRefuse, .files = &files_});
    EXPECT_TRUE(trace.ok()) << trace.status().ToString();
    return trace.ok() ? *trace : trace::Trace();
  }
};

TEST_F(RecorderTest, WritesRowsNewColumnsAndEvents) {
  Recorder recorder(&files_, {"/rec", "n1"});
  ASSERT_TRUE(recorder.Open().ok());
  recorder.Note(trace::Event::kFailure, "before anything was sampled", 400);
  recorder.Add(At(500, {{"a", 1.5}}));
  recorder.Add(At(1000, {{"b", 7}, {"a", 2.5}}));
  recorder.Add(At(1000, {{"a", 99}}));  // the same moment again
  recorder.Add(At(1500, {{"b", 8}}));
  recorder.Note(trace::Event::kFailure, "killed by signal 9", 1700);
  const trace::Trace trace = Read("n1-1700000000500");
  EXPECT_THAT(trace.metrics, ElementsAre("a", "b"));
  EXPECT_THAT(trace.time_s, ElementsAre(0, 0.5, 1));
  EXPECT_EQ(trace.columns[0][1], 2.5);
  EXPECT_TRUE(std::isnan(trace.columns[0][2]));
  EXPECT_TRUE(std::isnan(trace.columns[1][0]));
  EXPECT_EQ(trace.columns[1][2], 8);
  EXPECT_THAT(trace.events, ElementsAre(trace::Event{1.2, 1.2, trace::Event::kFailure, "killed by signal 9"}));
}

TEST_F(RecorderTest, BeginsNewFilesAndRemovesTheOldestOfItsOwn) {
  Recorder other(&files_, {"/rec", "n1-extra"});
  Recorder recorder(&files_, {.folder = "/rec", .node = "n1", .rows_max = 2, .files_max = 2});
  ASSERT_TRUE(recorder.Open().ok());
  other.Add(At(0, {{"a", 1}}));
  for (int64_t s = 0; s < 8; ++s) {
    recorder.Add(At(s * 1000, {{"a", static_cast<double>(s)}}));
    recorder.Note(trace::Event::kRestart, "again", s * 1000);
  }
  EXPECT_THAT(files_.ListDir("/rec").value(),
              ElementsAre("n1-1700000004000.csv", "n1-1700000004000.events.json", "n1-1700000006000.csv",
                          "n1-1700000006000.events.json", "n1-extra-1700000000000.csv"));
  EXPECT_THAT(Read("n1-1700000006000").columns[0], ElementsAre(6, 7));
}

TEST_F(RecorderTest, AFullDiskCostsOneWarningAndNoSample) {
  Recorder recorder(&files_, {.folder = "/rec", .node = "n1", .rows_max = 4});
  ASSERT_TRUE(recorder.Open().ok());
  int warnings = 0;
  SetLogSink([&](LogLevel, std::string_view, std::string_view) { ++warnings; });
  files_.SetCapacity(0);
  for (int64_t s = 0; s < 4; ++s) recorder.Add(At(s * 1000, {{"a", 1}}));
  EXPECT_EQ(warnings, 1);
  files_.SetCapacity(1 << 20);
  for (int64_t s = 4; s < 6; ++s) recorder.Add(At(s * 1000, {{"a", 1}}));
  SetLogSink(nullptr);
  EXPECT_EQ(Read("n1-1700000004000").rows(), 2u);
}

}  // namespace
}  // namespace understudy
