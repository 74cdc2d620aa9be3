// Histories written down by hand, as text: "process invoked completed command".
#include "tests/linearizability/register_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/linearizability/check.h"

namespace understudy::linearizability {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One operation a line: "1 10 20 set a", "2 15 - incr 1", "3 30 40 get a", "get nothing", "cas a b done",
// "cas a b refused", "del done", "del refused", "incr 1 5" (the sum). '-': never answered.
std::vector<RegisterOperation> Parse(const std::string& text) {
  std::vector<RegisterOperation> operations;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    RegisterOperation operation;
    std::string completed;
    std::string command;
    if (!(words >> operation.span.process >> operation.span.invoked_ns >> completed >> command)) {
      continue;
    }
    operation.span.completed_ns = completed == "-" ? kNeverNs : std::stoll(completed);
    operation.span.line = operations.size() + 1;
    operation.key = "k";
    std::string word;
    words >> word;
    if (command == "get") {
      operation.kind = RegisterKind::kGet;
      operation.value = word == "nothing" ? RegisterValue() : RegisterValue(word);
    } else if (command == "set") {
      operation.kind = RegisterKind::kSet;
      operation.argument = word;
    } else if (command == "del") {
      operation.kind = RegisterKind::kDel;
      operation.number = word == "done" ? 1 : 0;
    } else if (command == "cas") {
      operation.kind = RegisterKind::kCas;
      operation.expected = word;
      words >> operation.argument >> word;
      operation.number = word == "done" ? 1 : 0;
    } else {
      operation.kind = RegisterKind::kIncr;
      operation.amount = std::stoll(word);
      words >> operation.number;
    }
    operations.push_back(operation);
  }
  return operations;
}

RegisterReport Check(const std::string& text) { return CheckRegister(Parse(text), {}); }
Verdict VerdictOf(const std::string& text) { return Check(text).verdict; }

TEST(RegisterChecker, AcceptsWhatSomeOrderExplains) {
  EXPECT_EQ(VerdictOf(""), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 10 get nothing"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 10 set a\n2 20 30 get a"), Verdict::kValid);
  // Concurrent: either is right.
  EXPECT_EQ(VerdictOf("1 0 10 set a\n2 5 30 get nothing"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 10 set a\n2 5 30 get a"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 10 set a\n2 10 30 get nothing"), Verdict::kValid);  // they touch
  EXPECT_EQ(VerdictOf("1 0 100 set a\n2 0 100 set b\n3 10 20 get b\n3 30 40 get a"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 5 set a\n1 10 20 cas a b done\n2 10 20 cas a c refused\n2 30 40 get b"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 5 incr 2 2\n2 0 5 incr 3 5\n1 10 20 del done\n2 30 40 incr 1 1"), Verdict::kValid);
}

TEST(RegisterChecker, RefusesStaleAndLostAndInventedValues) {
  EXPECT_EQ(VerdictOf("1 0 10 set a\n2 20 30 get nothing"), Verdict::kInvalid);                  // lost
  EXPECT_EQ(VerdictOf("1 0 10 set a\n1 20 30 set b\n2 40 50 get a"), Verdict::kInvalid);         // stale
  EXPECT_EQ(VerdictOf("1 0 10 set a\n2 5 30 get b"), Verdict::kInvalid);                         // invented
  EXPECT_EQ(VerdictOf("1 0 100 set a\n2 10 20 get a\n3 30 40 get nothing"), Verdict::kInvalid);  // goes back
  EXPECT_EQ(VerdictOf("1 0 9 set a\n2 20 90 set b\n3 30 40 get b\n3 50 60 get a"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 5 set a\n1 10 20 cas a b done\n2 10 20 cas a c done"), Verdict::kInvalid);  // both won
  EXPECT_EQ(VerdictOf("1 0 5 set a\n1 10 20 cas x b done"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 5 set a\n1 10 20 cas a b refused"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 5 incr 1 1\n2 0 5 incr 1 1"), Verdict::kInvalid);    // one of them was lost
  EXPECT_EQ(VerdictOf("1 0 5 incr 1 1\n2 10 15 incr 1 3"), Verdict::kInvalid);  // one was done twice
  EXPECT_EQ(VerdictOf("1 0 5 set a\n2 10 15 del refused"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 5 del done"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 5 set a\n2 10 15 incr 1 1"), Verdict::kInvalid);  // not a number
}

TEST(RegisterChecker, AnOpenOperationTakesEffectAtAnyLaterTimeOrNever) {
  EXPECT_EQ(VerdictOf("1 0 - set a\n2 20 30 get nothing"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 - set a\n2 20 30 get a"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 - set a\n2 20 30 get nothing\n2 1000 1010 get a"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 - set a\n2 20 30 get a\n2 40 50 get nothing"), Verdict::kInvalid);  // but not be undone
  EXPECT_EQ(VerdictOf("1 100 - set a\n2 20 30 get a"), Verdict::kInvalid);                     // nor begin early
  EXPECT_EQ(VerdictOf("1 0 - set a\n1 5 8 set b\n2 20 30 get b\n2 40 50 get a\n2 60 70 get b"), Verdict::kInvalid);
  // Each at most once.
  EXPECT_EQ(VerdictOf("1 0 - incr 1\n2 0 - incr 1\n3 10 20 get 2"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 - incr 1\n2 0 - incr 1\n3 10 20 get 3"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 - incr 1\n2 5 6 incr 1 2\n3 10 20 get 2"), Verdict::kValid);
  // A compare-and-set that never said whether it won.
  EXPECT_EQ(VerdictOf("1 0 5 set a\n1 10 - cas a b x\n2 20 30 get a\n2 40 50 get b"), Verdict::kValid);
  EXPECT_EQ(VerdictOf("1 0 5 set a\n1 10 - cas x b y\n2 40 50 get b"), Verdict::kInvalid);
  EXPECT_EQ(VerdictOf("1 0 - get a\n2 20 30 get nothing"), Verdict::kValid);  // says nothing
}

TEST(RegisterChecker, ManyOpenOperationsDoNotExplode) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += "1 " + std::to_string(i) + " - set v" + std::to_string(i) + "\n";
    text += "2 " + std::to_string(i) + " - incr 1\n";
    text += "3 " + std::to_string(i) + " - del\n";
  }
  text += "4 1000 1010 get v7\n4 1020 1030 get v9\n4 1040 1050 get nothing\n4 1060 1070 get 3\n4 1080 1090 get v7";
  const RegisterReport report = Check(text);
  EXPECT_EQ(report.verdict, Verdict::kInvalid);  // v7 a second time
  EXPECT_EQ(report.culprit, 604u);
  EXPECT_LT(report.configurations, 100'000u);
}

TEST(RegisterChecker, NamesTheAnswerThatCannotBeAndWhatContradictsIt) {
  const RegisterReport report = Check(
      "1 0 5 set x\n"
      "2 6 9 get x\n"
      "1 10 20 set a\n"
      "3 12 18 get x\n"
      "2 22 23 get a\n"
      "1 30 40 set b\n"
      "2 41 50 get b\n"
      "2 45 60 get a\n"
      "1 70 80 set c\n"
      "3 90 95 get c");
  ASSERT_EQ(report.verdict, Verdict::kInvalid);
  EXPECT_EQ(report.culprit, 7u);
  EXPECT_THAT(report.possible, ElementsAre("b"));
  EXPECT_THAT(report.conflict, ElementsAre(2, 5, 7));  // set a, then set b, and yet a is read
  History history;
  history.registers["k"] = Parse("1 0 5000000 set x\n2 6000000 9000000 get y");
  const Summary summary = CheckHistory(history, {});
  ASSERT_EQ(summary.problems.size(), 1u);
  EXPECT_THAT(summary.problems[0], HasSubstr("line 2 process 2 6.000..9.000 ms: GET k => y"));
  EXPECT_THAT(summary.problems[0], HasSubstr("It may have held then: x."));
}

TEST(RegisterChecker, SaysUnknownRatherThanRunForever) {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += std::to_string(i) + " 0 1000 set v" + std::to_string(i) + "\n";
  }
  CheckLimits few;
  few.configurations_max = 1000;
  const RegisterReport hard = CheckRegister(Parse(text + "99 1001 1002 get none"), few);
  EXPECT_EQ(hard.verdict, Verdict::kUnknown);
  EXPECT_THAT(hard.why, HasSubstr("configurations"));
  CheckLimits short_time;
  short_time.give_up = [] { return true; };
  const RegisterReport late = CheckRegister(Parse(text + "99 1001 1002 get none"), short_time);
  EXPECT_EQ(late.verdict, Verdict::kUnknown);
  EXPECT_EQ(late.why, "out of time");
  std::string crowd;
  for (int i = 0; i < 65; ++i) {
    crowd += std::to_string(i) + " 0 1000 get nothing\n";
  }
  EXPECT_EQ(VerdictOf(crowd), Verdict::kUnknown);
}

}  // namespace
}  // namespace understudy::linearizability
