// Each anomaly, as a history written down by hand.
#include "tests/linearizability/list_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace understudy::linearizability {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// One transaction a line: "process invoked completed step; step". Completed '-': open; '!' before the steps: failed.
// A step: "+k 1" appends, "k 1 2" reads, "k" reads an empty list.
std::vector<Transaction> Parse(const std::string& text) {
  std::vector<Transaction> transactions;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Transaction transaction;
    std::string completed;
    if (!(words >> transaction.span.process >> transaction.span.invoked_ns >> completed)) {
      continue;
    }
    transaction.span.completed_ns = completed == "-" ? kNeverNs : std::stoll(completed);
    transaction.span.line = transactions.size() + 1;
    bool begins = true;
    for (std::string word; words >> word;) {
      if (word == "!") {
        transaction.failed = true;
        continue;
      }
      const bool ends = word.back() == ';';
      if (ends) {
        word.pop_back();
      }
      if (begins) {
        const bool append = word[0] == '+';
        transaction.steps.push_back({append, append ? word.substr(1) : word, {}, {}});
      } else if (transaction.steps.back().append) {
        transaction.steps.back().element = word;
      } else {
        transaction.steps.back().read.push_back(word);
      }
      begins = ends;
    }
    transactions.push_back(transaction);
  }
  return transactions;
}

std::vector<std::string> Names(const std::string& text) {
  const ListReport report = CheckLists(Parse(text));
  EXPECT_EQ(report.verdict == Verdict::kInvalid, !report.anomalies.empty());
  std::vector<std::string> names;
  for (const Anomaly& anomaly : report.anomalies) {
    names.push_back(anomaly.name);
  }
  return names;
}

TEST(ListChecker, AcceptsWhatSomeOrderExplains) {
  EXPECT_THAT(Names(""), IsEmpty());
  EXPECT_THAT(Names("1 0 9 k\n1 10 20 +k 1\n2 30 40 k 1\n2 50 60 +k 2\n1 70 80 k 1 2"), IsEmpty());
  EXPECT_THAT(Names("1 0 100 +k 1\n2 0 100 +k 2\n3 10 20 k\n3 30 40 k 2\n3 50 60 k 2 1"), IsEmpty());
  EXPECT_THAT(Names("1 0 - +k 1\n2 10 20 k\n2 30 40 k 1"), IsEmpty());  // open, and it took effect late
  EXPECT_THAT(Names("1 0 - +k 1\n2 10 20 k"), IsEmpty());
  EXPECT_THAT(Names("1 0 9 ! +k 1\n2 10 20 k"), IsEmpty());
  EXPECT_THAT(Names("1 0 9 +a 1; +b 1\n2 10 20 a 1; +a 2; a 1 2; b 1"), IsEmpty());
  EXPECT_THAT(Names("1 0 9 +k 1\n2 0 9 +k 2"), IsEmpty());  // never read
}

TEST(ListChecker, SaysUnknownWhenAnElementIsNotUnique) {
  const ListReport report = CheckLists(Parse("1 0 9 +k 1\n2 10 20 +k 1"));
  EXPECT_EQ(report.verdict, Verdict::kUnknown);
  EXPECT_THAT(report.why, HasSubstr("line 2"));
}

TEST(ListChecker, G0WritesInterleaved) {
  EXPECT_THAT(Names("1 0 100 +a 1; +b 1\n2 0 100 +a 2; +b 2\n3 0 100 a 1 2\n4 0 100 b 2 1"), ElementsAre("G0"));
}

TEST(ListChecker, G1aReadsWhatFailed) { EXPECT_THAT(Names("1 0 9 ! +k 1\n2 10 20 k 1"), ElementsAre("G1a")); }

TEST(ListChecker, G1bReadsTheMiddleOfATransaction) {
  EXPECT_THAT(Names("1 0 100 +k 1; +k 2\n2 0 100 k 1"), Contains("G1b"));
}

TEST(ListChecker, G1cEachReadsTheOther) {
  EXPECT_THAT(Names("1 0 100 +a 1; b 1\n2 0 100 +b 1; a 1"), ElementsAre("G1c"));
}

TEST(ListChecker, GSingleReadsOneOfTwoWrites) {
  EXPECT_THAT(Names("1 0 100 +a 1; +b 1\n2 0 100 a 1; b\n3 0 100 b 1"), ElementsAre("G-single"));
}

TEST(ListChecker, G2WriteSkew) {
  EXPECT_THAT(Names("1 0 100 a; +b 1\n2 0 100 b; +a 1\n3 200 210 a 1; b 1"), ElementsAre("G2"));
}

TEST(ListChecker, IncompatibleOrders) {
  EXPECT_THAT(Names("1 0 100 +k 1\n2 0 100 +k 2\n3 0 100 k 1 2\n4 0 100 k 2 1"), Contains("incompatible order"));
  EXPECT_THAT(Names("1 0 100 +k 1\n2 0 100 +k 2\n3 0 100 k 1\n4 0 100 k 2"), Contains("incompatible order"));
}

TEST(ListChecker, LostAppends) {
  EXPECT_THAT(Names("1 0 10 +k 1\n2 20 30 k"), Contains("lost append"));
  EXPECT_THAT(Names("1 0 10 +k 1\n1 11 12 +k 2\n2 20 30 k 2"), Contains("lost append"));
}

TEST(ListChecker, StaleReads) {
  EXPECT_THAT(Names("1 0 10 +k 1\n2 20 30 k\n2 40 50 k 1"), Contains("stale read"));
  EXPECT_THAT(Names("1 0 10 +k 1\n1 11 19 +k 2\n2 20 30 k 1\n3 20 30 k 1 2"), Contains("stale read"));
  // Nobody was told that the append had succeeded, but somebody had seen it.
  EXPECT_THAT(Names("1 0 - +k 1\n2 10 20 k 1\n3 30 40 k"), ElementsAre("G-single-realtime"));
}

TEST(ListChecker, AppendsInAnOrderAgainstTheClock) {
  EXPECT_THAT(Names("1 0 10 +k 1\n2 20 30 +k 2\n3 40 50 k 2 1"), ElementsAre("G0-realtime"));
  EXPECT_THAT(Names("1 20 30 +k 1\n2 0 10 k 1"), ElementsAre("G1c-realtime"));  // read before it was written
  // Transactions over two lists, each list fine by itself.
  EXPECT_THAT(Names("1 0 100 x; +y 1\n2 0 10 +x 1\n3 20 30 y\n4 200 210 x 1; y 1"), ElementsAre("G2-realtime"));
}

TEST(ListChecker, ElementsOutOfNowhereAndTwice) {
  EXPECT_THAT(Names("1 0 10 k 7"), ElementsAre("garbage read"));
  EXPECT_THAT(Names("1 0 10 +k 1\n2 20 30 k 1 1"), Contains("duplicate element"));
  EXPECT_THAT(Names("1 0 10 +k 1; k"), Contains("internal"));
  EXPECT_THAT(Names("1 0 10 +k 1; +k 2\n2 20 30 k 2 1"), Contains("internal"));
}

TEST(ListChecker, ExplainsACycleStepByStep) {
  const ListReport report = CheckLists(Parse("1 0 - +k 1\n2 10 20 k 1\n3 30 40 k"));
  ASSERT_EQ(report.anomalies.size(), 1u);
  const Anomaly& anomaly = report.anomalies[0];
  EXPECT_THAT(anomaly.transactions, UnorderedElementsAre(0, 1, 2));
  EXPECT_THAT(anomaly.reasons, UnorderedElementsAre("the read of k sees '1'", "the read of k does not see '1' yet",
                                                    "it was answered before the next began"));
}

TEST(ListChecker, CountsAnomaliesBeyondThoseItKeeps) {
  std::string text = "1 0 1 +k 1\n";
  for (int i = 0; i < 200; ++i) {
    text += "2 " + std::to_string(10 + 2 * i) + " " + std::to_string(11 + 2 * i) + " k 7\n";
  }
  const ListReport report = CheckLists(Parse(text));
  EXPECT_EQ(report.anomalies.size(), kAnomaliesMax);
  EXPECT_GT(report.anomalies_total, 200u);
}

}  // namespace
}  // namespace understudy::linearizability
