#include "tests/linearizability/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/linearizability/check.h"

namespace understudy::linearizability {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<History> Read(const std::string& text) {
  std::istringstream in(text);
  return ReadHistory(in);
}

TEST(History, ReadsEveryKindOfLine) {
  const Result<History> history = Read(
      R"({"process":1,"op":"set","key":"r","arg":5,"result":"OK","invoked_ns":0,"completed_ns":10}
{"process":2,"op":"get","key":"r","result":"5","invoked_ns":20,"completed_ns":30}

{"process":2,"op":"incr","key":"r","arg":2,"result":7,"invoked_ns":40,"completed_ns":50}
{"process":2,"op":"cas","key":"r","arg":["7","x"],"result":true,"invoked_ns":60,"completed_ns":70}
{"process":2,"op":"del","key":"r","result":1,"invoked_ns":80,"completed_ns":90}
{"process":3,"op":"get","key":"r","result":null,"invoked_ns":91,"completed_ns":95}
{"process":3,"op":"set","key":"r","arg":"y","invoked_ns":96,"completed_ns":null}
{"process":3,"op":"set","key":"r","arg":"z","invoked_ns":96,"completed_ns":99,"failed":true}
{"process":4,"op":"append","key":"l","arg":1,"result":1,"invoked_ns":0,"completed_ns":10}
{"process":4,"op":"append","key":"l","arg":2,"invoked_ns":11}
{"process":4,"op":"read","key":"l","result":[1,"2"],"invoked_ns":20,"completed_ns":30}
{"process":4,"op":"txn","arg":[["append","l",3],["r","l"]],"result":[3,["1","2","3"]],"invoked_ns":40,"completed_ns":50})");
  ASSERT_TRUE(history.ok()) << history.status().ToString();
  EXPECT_EQ(history->operations, 12u);
  EXPECT_EQ(history->open, 2u);
  EXPECT_EQ(history->registers.at("r").size(), 7u);  // without the one that failed
  ASSERT_EQ(history->transactions.size(), 4u);
  EXPECT_THAT(history->transactions[2].steps[0].read, ElementsAre("1", "2"));
  const Summary summary = CheckHistory(*history, {});
  EXPECT_EQ(summary.verdict, Verdict::kValid) << (summary.problems.empty() ? "" : summary.problems[0]);
}

TEST(History, NamesTheLineThatMakesNoSense) {
  EXPECT_THAT(Read("{}").status().message(), HasSubstr("line 1"));
  EXPECT_THAT(Read("\n{\"process\":1").status().message(), HasSubstr("line 2"));
  EXPECT_THAT(Read(R"({"process":1,"op":"mul","key":"k","invoked_ns":0})").status().message(), HasSubstr("'mul'"));
  EXPECT_THAT(
      Read(R"({"process":1,"op":"get","key":"k","result":1,"invoked_ns":5,"completed_ns":4})").status().message(),
      HasSubstr("before it was invoked"));
  EXPECT_THAT(Read(R"({"process":1,"op":"get","key":"k","invoked_ns":5,"completed_ns":6})").status().message(),
              HasSubstr("result"));
  EXPECT_THAT(Read(R"({"process":1,"op":"get","key":"k","invoked_ns":0}
{"process":1,"op":"read","key":"k","invoked_ns":0})")
                  .status()
                  .message(),
              HasSubstr("as a register and as a list"));
}

TEST(History, InvalidOutweighsUnknown) {
  History history;
  for (const char* key : {"a", "b"}) {
    for (int i = 0; i < 70; ++i) {
      RegisterOperation operation;
      operation.key = key;
      operation.span = {i, 0, 1000, 1};
      operation.kind = RegisterKind::kSet;
      operation.argument = "x";
      history.registers[key].push_back(operation);
    }
  }
  EXPECT_EQ(CheckHistory(history, {}).verdict, Verdict::kUnknown);
  RegisterOperation invented;
  invented.key = "c";
  invented.span = {1, 0, 1, 1};
  invented.value = "7";
  history.registers["c"].push_back(invented);
  const Summary summary = CheckHistory(history, {});
  EXPECT_EQ(summary.verdict, Verdict::kInvalid);
  EXPECT_EQ(summary.unknown.size(), 2u);
  EXPECT_EQ(summary.invalid_registers, 1u);
}

}  // namespace
}  // namespace understudy::linearizability
