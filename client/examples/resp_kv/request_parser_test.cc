#include "client/examples/resp_kv/request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::resp_kv {
namespace {

using Outcome = RequestParser::Outcome;
using ::testing::ElementsAre;
using Requests = std::vector<std::vector<std::string>>;

// Feeds `bytes` in chunks as a connection would, cutting at each of `cuts`.
Requests ParseInChunks(const std::string& bytes, const std::vector<size_t>& cuts, std::string* error) {
  RequestParser parser;
  Requests requests;
  std::string buffer;
  size_t from = 0;
  std::vector<size_t> ends = cuts;
  ends.push_back(bytes.size());
  for (const size_t end : ends) {
    buffer += bytes.substr(from, end - from);
    from = end;
    for (bool more = true; more;) {
      size_t consumed = 0;
      switch (parser.Next(buffer, &consumed)) {
        case Outcome::kNeedMore:
          more = false;
          break;
        case Outcome::kRequest:
          requests.emplace_back(parser.args().begin(), parser.args().end());
          break;
        case Outcome::kEmpty:
          break;
        case Outcome::kError:
          *error = parser.error();
          return requests;
      }
      buffer.erase(0, consumed);
    }
  }
  return requests;
}

std::string ErrorOf(const std::string& bytes) {
  std::string error;
  ParseInChunks(bytes, {}, &error);
  return error;
}

TEST(RequestParserTest, SplitAtEveryByteGivesTheSameRequests) {
  const std::string bytes =
      "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"
      "PING\r\n"
      "\r\n"
      "*0\r\n"
      "set key \"two words\"\n"
      "*-1\r\n"
      "*2\r\n$3\r\nGET\r\n$0\r\n\r\n";
  const Requests expected = {{"SET", "k", "a\r\nb"}, {"PING"}, {"set", "key", "two words"}, {"GET", ""}};
  std::string error;
  EXPECT_EQ(ParseInChunks(bytes, {}, &error), expected);
  for (size_t first = 0; first <= bytes.size(); ++first) {
    for (size_t second = first; second <= bytes.size(); ++second) {
      ASSERT_EQ(ParseInChunks(bytes, {first, second}, &error), expected) << first << " " << second;
    }
  }
  std::vector<size_t> every;
  for (size_t i = 1; i < bytes.size(); ++i) {
    every.push_back(i);
  }
  EXPECT_EQ(ParseInChunks(bytes, every, &error), expected);
  EXPECT_EQ(error, "");
}

TEST(RequestParserTest, RefusesWhatRedisRefuses) {
  EXPECT_EQ(ErrorOf("*x\r\n"), "Protocol error: invalid multibulk length");
  EXPECT_EQ(ErrorOf("*99999999999\r\n"), "Protocol error: invalid multibulk length");
  EXPECT_EQ(ErrorOf("*1\r\n#3\r\n"), "Protocol error: expected '$', got '#'");
  EXPECT_EQ(ErrorOf("*1\r\n$-1\r\n"), "Protocol error: invalid bulk length");
  EXPECT_EQ(ErrorOf("*1\r\n$99999999\r\n"), "Protocol error: invalid bulk length");
  EXPECT_EQ(ErrorOf("*1\r\n$\r\n"), "Protocol error: invalid bulk length");
  EXPECT_EQ(ErrorOf("GET \"a\r\n"), "Protocol error: unbalanced quotes in request");
  EXPECT_EQ(ErrorOf(std::string(kLineBytesMax + 1, 'a')), "Protocol error: too big inline request");
  EXPECT_EQ(ErrorOf(std::string(kLineBytesMax + 1, 'a') + "\n"), "Protocol error: too big inline request");
  EXPECT_EQ(ErrorOf("*" + std::string(kLineBytesMax, '1')), "Protocol error: too big mbulk count string");
  EXPECT_EQ(ErrorOf("*1\r\n$" + std::string(kLineBytesMax, '1')), "Protocol error: too big bulk count string");
}

TEST(RequestParserTest, BoundsTheWholeRequest) {
  std::string bytes = "*4\r\n";
  for (int i = 0; i < 3; ++i) {
    bytes += "$" + std::to_string(kBulkBytesMax) + "\r\n" + std::string(kBulkBytesMax, 'x') + "\r\n";
  }
  EXPECT_EQ(ErrorOf(bytes), "Protocol error: too big request");
}

TEST(SplitInlineTest, KnowsQuotesAndEscapes) {
  std::vector<std::string> words;
  ASSERT_TRUE(SplitInline("  a \"b c\"  '\\'d' \"\\x41\\n\\\"\" \"\" ", &words));
  EXPECT_THAT(words, ElementsAre("a", "b c", "'d", "A\n\"", ""));
  words.clear();
  EXPECT_FALSE(SplitInline("a \"b\"c", &words));
  EXPECT_FALSE(SplitInline("a 'b", &words));
}

}  // namespace
}  // namespace understudy::resp_kv
