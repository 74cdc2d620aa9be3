#include "predictors/trace/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

namespace understudy::trace {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string CsvError(const std::string& text) {
  Trace trace;
  const Status status = ParseCsv(text, "t.csv", TimeFaults::kRefuse, &trace);
  return status.ok() ? "" : status.message();
}

std::string EventsError(const std::string& text) {
  std::vector<Event> events;
  const Status status = ParseEvents(text, "t.events.json", &events);
  return status.ok() ? "" : status.message();
}

TEST(TraceCsv, ReadsNumbersAndMissingValues) {
  Trace trace;
  ASSERT_EQ(ParseCsv("\xEF\xBB\xBFtime_s, a ,b\r\n0,1.5,\r\n1.25,NaN,-2e3\n2, +7 ,1e-400\n\n", "t.csv",
                     TimeFaults::kRefuse, &trace),
            Status::Ok());
  EXPECT_THAT(trace.metrics, testing::ElementsAre("a", "b"));
  EXPECT_THAT(trace.time_s, testing::ElementsAre(0, 1.25, 2));
  EXPECT_THAT(trace.columns[0], testing::ElementsAre(1.5, testing::IsNan(), 7));
  EXPECT_THAT(trace.columns[1], testing::ElementsAre(testing::IsNan(), -2000, 0));
}

TEST(TraceCsv, ErrorsNameLineAndColumn) {
  EXPECT_EQ(CsvError(""), "t.csv:1:1: the first column must be time_s, not ''");
  EXPECT_EQ(CsvError("t,a\n0,1\n"), "t.csv:1:1: the first column must be time_s, not 't'");
  EXPECT_EQ(CsvError("time_s\n0\n"), "t.csv:1:2: no metric: a trace has at least one column beside time_s");
  EXPECT_EQ(CsvError("time_s,a,\n0,1,2\n"), "t.csv:1:3: a metric without a name");
  EXPECT_EQ(CsvError("time_s,a,a\n0,1,2\n"), "t.csv:1:3: metric 'a' stands here twice");
  EXPECT_EQ(CsvError("time_s,\"a\"\n0,1\n"),
            "t.csv:1:2: metric '\"a\"': a name has no quotes, commas or control characters");
  EXPECT_EQ(CsvError("time_s,a\n"), "t.csv:2:1: a trace without rows");
  EXPECT_EQ(CsvError("time_s,a,b\n0,1,2\n1,2\n"),
            "t.csv:3:3: the row ends after 2 of 3 columns; a missing value is an empty field");
  EXPECT_EQ(CsvError("time_s,a\n0,1,2\n"), "t.csv:2:3: more columns than the 2 of line 1");
  EXPECT_EQ(CsvError("time_s,a,b\n0,1,2\n1,2,x7\n"), "t.csv:3:3: b: 'x7' is not a finite number");
  EXPECT_EQ(CsvError("time_s,a\n0,1e999\n"), "t.csv:2:2: a: '1e999' is not a finite number");
  EXPECT_EQ(CsvError("time_s,a\n0,inf\n"), "t.csv:2:2: a: 'inf' is not a finite number");
  EXPECT_EQ(CsvError("time_s,a\n,1\n"), "t.csv:2:1: time_s: '' is not a number of seconds");
  EXPECT_EQ(CsvError("time_s,a\n1e300,1\n"), "t.csv:2:1: time_s: '1e300' is too far");
  EXPECT_EQ(CsvError("time_s,a\n0,1\n\n1,1\n"), "t.csv:3:1: an empty line");
}

TEST(TraceCsv, TimeThatDoesNotAdvance) {
  EXPECT_EQ(CsvError("time_s,a\n0,1\n5,1\n5,2\n"), "t.csv:4:1: time_s: '5' is not after 5 of a row before");
  EXPECT_EQ(CsvError("time_s,a\n0,1\n5,1\n4.5,2\n"), "t.csv:4:1: time_s: '4.5' is not after 5 of a row before");
  const std::string text = "time_s,a\n0,1\n5,2\n4.5,3\n4.75,4\n5,5\n6,6\n";
  Trace trace;
  ASSERT_EQ(ParseCsv(text, "t.csv", TimeFaults::kDrop, &trace), Status::Ok());
  EXPECT_THAT(trace.time_s, testing::ElementsAre(0, 5, 6));
  EXPECT_THAT(trace.columns[0], testing::ElementsAre(1, 2, 6));
  EXPECT_EQ(trace.time_faults, 3u);
  ASSERT_EQ(ParseCsv(text, "t.csv", TimeFaults::kKeep, &trace), Status::Ok());
  EXPECT_THAT(trace.time_s, testing::ElementsAre(0, 5, 4.5, 4.75, 5, 6));
  EXPECT_THAT(trace.columns[0], testing::ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(trace.time_faults, 3u);
}

TEST(TraceCsv, TooManyMetricsAreRefusedBeforeMemoryIsTaken) {
  std::string header = "time_s";
  for (size_t i = 0; i <= kMetricsMax; ++i) header += ",m" + std::to_string(i);
  Trace trace;
  EXPECT_EQ(ParseCsv(header + "\n", "t.csv", TimeFaults::kRefuse, &trace).code(), StatusCode::kResourceExhausted);
  std::string many = "time_s";
  for (size_t i = 0; i < kMetricsMax; ++i) many += ",m" + std::to_string(i);
  many.append(kCellsMax / kMetricsMax + 2, '\n');
  EXPECT_EQ(ParseCsv(many, "t.csv", TimeFaults::kRefuse, &trace).code(), StatusCode::kResourceExhausted);
}

TEST(TraceEvents, ReadsSortsAndDefaults) {
  std::vector<Event> events;
  ASSERT_EQ(ParseEvents(R"([{"time_s": 9, "kind": "restart"},
      {"time_s": 3, "end_s": 4.5, "kind": "failure", "note": "out of memory"}, {"time_s": 1, "kind": "degradation"}])",
                        "t", &events),
            Status::Ok());
  EXPECT_THAT(events,
              testing::ElementsAre(Event{1, 1, Event::kDegradation, ""},
                                   Event{3, 4.5, Event::kFailure, "out of memory"}, Event{9, 9, Event::kRestart, ""}));
}

TEST(TraceEvents, ErrorsNameTheField) {
  EXPECT_THAT(EventsError("[{"), testing::StartsWith("t.events.json: parse error at line 1, column 3"));
  EXPECT_EQ(EventsError("{}"), "t.events.json: an array of events is needed");
  EXPECT_EQ(EventsError("[1]"), "t.events.json: [0]: an object is needed");
  EXPECT_EQ(EventsError(R"([{"kind": "failure"}])"), "t.events.json: [0].time_s: required");
  EXPECT_EQ(EventsError(R"([{"time_s": 1}])"), "t.events.json: [0].kind: required");
  EXPECT_EQ(EventsError(R"([{"time_s": 1, "kind": "boom"}])"),
            "t.events.json: [0].kind: one of failure, degradation, restart is needed");
  EXPECT_EQ(EventsError(R"([{"time_s": 1, "end_s": 0, "kind": "failure"}])"),
            "t.events.json: [0].end_s: before time_s");
  EXPECT_EQ(EventsError(R"([{"time_s": "1", "kind": "failure"}])"),
            "t.events.json: [0].time_s: a number of seconds is needed");
  EXPECT_EQ(EventsError(R"([{"time_s": 1, "kind": "failure", "end": 2}])"),
            "t.events.json: [0].end: unknown field; known are time_s, end_s, kind, note");
  EXPECT_EQ(EventsError(std::string(100'000, '[')), "t.events.json: nested too deeply");
}

class TraceFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/trace_test_" + std::to_string(getpid());
    std::filesystem::create_directories(folder_ + "/below");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(TraceFiles, WhatIsWrittenIsReadBackBitByBit) {
  Trace trace;
  trace.metrics = {"proc.rss_bytes", "app.queue"};
  trace.time_s = {-0.1, 1.0 / 3, 1e9 + 0.001};
  trace.columns = {{0.1, kNan, 1.7976931348623157e308}, {5e-324, -0.0, 3}};
  trace.events = {{0.25, 0.25, Event::kRestart, ""}, {1e9, 2e9, Event::kFailure, "out of \"memory\"\n"}};
  const std::string path = folder_ + "/leak.csv";
  ASSERT_EQ(WriteTrace(trace, path), Status::Ok());
  const Result<Trace> read = ReadTrace(path);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->name, "leak");
  EXPECT_EQ(read->metrics, trace.metrics);
  EXPECT_EQ(read->time_s, trace.time_s);
  EXPECT_EQ(read->events, trace.events);
  EXPECT_TRUE(std::isnan(read->columns[0][1]));
  EXPECT_EQ(read->columns[0][2], trace.columns[0][2]);
  EXPECT_EQ(read->columns[1], trace.columns[1]);
  EXPECT_TRUE(std::signbit(read->columns[1][1]));
}

TEST_F(TraceFiles, ShapesNoFileCanHaveAreRefused) {
  Trace trace;
  trace.metrics = {"a"};
  trace.time_s = {0, 1};
  trace.columns = {{1}};
  EXPECT_EQ(WriteTrace(trace, folder_ + "/a.csv").code(), StatusCode::kInvalidArgument);
  trace.columns = {{1, 2}};
  trace.metrics = {"a,b"};
  EXPECT_EQ(WriteTrace(trace, folder_ + "/a.csv").code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/a.csv"));
}

TEST_F(TraceFiles, EventsMayBeAbsentButNotBroken) {
  ASSERT_EQ(ReplaceFile(SystemFileSystem(), folder_ + "/a.csv", "time_s,x\n0,1\n"), Status::Ok());
  const Result<Trace> without = ReadTrace(folder_ + "/a.csv");
  ASSERT_TRUE(without.ok());
  EXPECT_TRUE(without->events.empty());
  ASSERT_EQ(ReplaceFile(SystemFileSystem(), folder_ + "/a.events.json", "[{\"time_s\": 1}]"), Status::Ok());
  EXPECT_THAT(ReadTrace(folder_ + "/a.csv").status().message(), testing::EndsWith("a.events.json: [0].kind: required"));
  EXPECT_EQ(ReadTrace(folder_ + "/none.csv").status().code(), StatusCode::kNotFound);
}

TEST_F(TraceFiles, FindsFilesInFolders) {
  for (const char* name : {"/b.csv", "/a.csv", "/a.events.json", "/below/c.csv", "/below/readme.md"}) {
    ASSERT_EQ(ReplaceFile(SystemFileSystem(), folder_ + name, "x"), Status::Ok());
  }
  const Result<std::vector<std::string>> found = FindTraces({folder_ + "/b.csv", folder_ + "/a.events.json", folder_});
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(*found, testing::ElementsAre(folder_ + "/a.csv", folder_ + "/b.csv", folder_ + "/below/c.csv"));
  EXPECT_EQ(FindTraces({folder_ + "/a.events.json"}).status().message(), "no .csv file is named");
  EXPECT_EQ(FindTraces({folder_ + "/nowhere"}).status().code(), StatusCode::kNotFound);
  std::filesystem::create_directories(folder_ + "/empty");
  EXPECT_EQ(FindTraces({folder_ + "/empty"}).status().message(), folder_ + "/empty: no .csv file in this folder");
}

// A real one, as people will have them.
TEST(TraceReal, ReadsTheRepositorysOwn) {
  const Result<Trace> trace = ReadTrace("tests/traces/ec2_request_latency_system_failure.csv");
  ASSERT_TRUE(trace.ok()) << trace.status().ToString();
  EXPECT_EQ(trace->rows() + trace->time_faults, 4032u);
  EXPECT_EQ(trace->time_faults, 11u);  // repeated timestamps
  ASSERT_EQ(trace->events.size(), 3u);
  EXPECT_EQ(trace->events[2].kind, Event::kFailure);
  EXPECT_EQ(trace->events[2].time_s, 1187100);
}

}  // namespace
}  // namespace understudy::trace
