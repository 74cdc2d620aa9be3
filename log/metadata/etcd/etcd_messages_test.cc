#include "log/metadata/etcd/etcd_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "log/metadata/etcd/base64.h"
#include "log/metadata/etcd/etcd_connection.h"

namespace understudy::etcd {
namespace {

using ::testing::HasSubstr;
using Kind = Refusal::Kind;

TEST(Base64, IsThatOfTheRfc) {
  const std::pair<const char*, const char*> vectors[] = {// RFC 4648 section 10
                                                         {"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Base64Decode(text), bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(Base64Decode(Base64Encode(all)), all);
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg=a", "Z===", "====", "Zm9\n", "Zm8-", "Zh=="}) {
    EXPECT_EQ(Base64Decode(bad), std::nullopt) << bad;
  }
}

TEST(EtcdMessages, PrefixesEndBehindTheirLastKey) {
  EXPECT_EQ(PrefixEnd("/a/"), "/a0");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff\xff"), std::string(1, '\0'));
  EXPECT_EQ(PrefixEnd(""), std::string(1, '\0'));
}

TEST(EtcdMessages, RequestsNameWhatTheyMean) {
  const auto range = nlohmann::json::parse(EncodeRange({.key = "/a/", .prefix = true, .after = "/a/b", .limit = 7}));
  EXPECT_EQ(range["key"], Base64Encode(std::string("/a/b\0", 5)));
  EXPECT_EQ(range["range_end"], Base64Encode("/a0"));
  EXPECT_EQ(range["limit"], "7");
  EXPECT_FALSE(range.contains("serializable")) << "that would be a read from a member's own copy";
  const auto swap = nlohmann::json::parse(EncodeSwap("/k", 12, "v"));
  ASSERT_EQ(swap["compare"].size(), 1u);
  EXPECT_EQ(swap["compare"][0]["mod_revision"], "12");
  EXPECT_EQ(swap["compare"][0]["target"], "MOD");
  EXPECT_EQ(swap["success"][0]["request_put"]["value"], Base64Encode("v"));
  EXPECT_EQ(nlohmann::json::parse(EncodeDelete("/k", 1))["success"][0].begin().key(), "request_delete_range");
}

TEST(EtcdMessages, RepliesOfARealMemberAreUnderstood) {
  const auto put =
      DecodeTxn(R"({"header":{"cluster_id":"324952591200643719","revision":"2","raft_term":"2"},"succeeded":true,)"
                R"("responses":[{"response_put":{"header":{"revision":"2"}}}]})");
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  EXPECT_TRUE(put->succeeded);
  EXPECT_EQ(put->revision, 2u);
  const auto lost =
      DecodeTxn(R"({"header":{"revision":"9"},"responses":[{"response_range":{"header":{"revision":"9"},)"
                R"("kvs":[{"key":"L2E=","create_revision":"2","mod_revision":"5","version":"1"}],"count":"1"}}]})");
  ASSERT_TRUE(lost.ok()) << lost.status().ToString();
  EXPECT_FALSE(lost->succeeded);
  EXPECT_EQ(lost->found, 5u);
  const auto range = DecodeRange(
      R"({"header":{"revision":"2"},"kvs":[{"key":"L2E=","mod_revision":"2","value":"b25l"}],"more":true,"count":"4"})");
  ASSERT_TRUE(range.ok());
  EXPECT_TRUE(range->more);
  EXPECT_EQ(range->entries.at(0).value, "one");
  const auto watch = DecodeWatch(
      R"({"result":{"header":{"revision":"3"},"events":[{"kv":{"key":"L2E=","mod_revision":"2","value":"b25l"}},)"
      R"({"type":"DELETE","kv":{"key":"L2E=","mod_revision":"3"}}]}})");
  ASSERT_TRUE(watch.ok());
  EXPECT_FALSE(watch->events.at(0).deleted);
  EXPECT_TRUE(watch->events.at(1).deleted);
  EXPECT_EQ(watch->events.at(1).entry.version, 3u);
  EXPECT_EQ(DecodeWatch(R"({"result":{"header":{},"canceled":true,"compact_revision":"3"}})")->compact_revision, 3u);
}

TEST(EtcdMessages, WhatIsNoReplyIsCorruptionAndNamesItself) {
  for (const char* body :
       {"", "{", "[]", "null", "12", "{}", "<html>bad gateway</html>", R"({"header":{}})",
        R"({"header":{"revision":"x"}})", R"({"header":{"revision":-2}})", R"({"header":{"revision":"2"},"kvs":7})",
        R"({"header":7})", R"({"header":{"revision":"2"},"kvs":[{"key":"L2E="}]})",
        R"({"header":{"revision":"2"},"kvs":[null]})",
        R"({"header":{"revision":"2"},"kvs":[{"key":"!","mod_revision":"1"}]})",
        R"({"header":{"revision":"2"},"more":"yes"})", R"({"header":{"revision":"99999999999999999999"}})"}) {
    EXPECT_EQ(DecodeRange(body).status().code(), StatusCode::kCorruption) << body;
  }
  for (const char* body :
       {"", "{}", R"({"header":{"revision":"2"}})", R"({"header":{"revision":"2"},"succeeded":true,"responses":[]})",
        R"({"header":{"revision":"2"},"succeeded":true,"responses":[{"response_range":{}}]})",
        R"({"header":{"revision":"2"},"responses":[{"response_put":{}}]})",
        R"({"header":{"revision":"2"},"succeeded":1,"responses":[{"response_put":{}}]})"}) {
    EXPECT_EQ(DecodeTxn(body).status().code(), StatusCode::kCorruption) << body;
  }
  for (const char* line :
       {"", "{}", R"({"result":7})", R"({"result":{"header":{},"events":[7]}})",
        R"({"result":{"header":{},"events":[{"type":"MOVE","kv":{"key":"L2E=","mod_revision":"2"}}]}})"}) {
    EXPECT_EQ(DecodeWatch(line).status().code(), StatusCode::kCorruption) << line;
  }
  EXPECT_THAT(DecodeRange("<html>bad gateway\n</html>").status().message(), HasSubstr("<html>bad gateway.</html>"));
  EXPECT_LT(DecodeRange(std::string(1 << 20, 'x')).status().message().size(), 400u);
}

TEST(EtcdMessages, RefusalsAreTold) {
  const auto kind = [](int status, const char* message, int code) {
    return DecodeRefusal(status, nlohmann::json{{"error", message}, {"message", message}, {"code", code}}.dump()).kind;
  };
  EXPECT_EQ(kind(429, "etcdserver: mvcc: database space exceeded", 8), Kind::kNoSpace);
  EXPECT_EQ(kind(429, "etcdserver: too many requests", 8), Kind::kBusy);
  EXPECT_EQ(kind(429, "grpc: received message larger than max (6000000 vs. 4194304)", 8), Kind::kTooLarge);
  EXPECT_EQ(kind(400, "etcdserver: request is too large", 3), Kind::kTooLarge);
  EXPECT_EQ(kind(503, "etcdserver: no leader", 14), Kind::kNoLeader);
  EXPECT_EQ(kind(400, "etcdserver: mvcc: required revision has been compacted", 11), Kind::kCompacted);
  EXPECT_EQ(kind(400, "etcdserver: mvcc: required revision is a future revision", 11), Kind::kFuture);
  EXPECT_EQ(kind(400, "etcdserver: user name is empty", 3), Kind::kDenied);
  EXPECT_EQ(kind(403, "etcdserver: permission denied", 7), Kind::kDenied);
  EXPECT_EQ(kind(400, "unexpected EOF", 3), Kind::kInvalid);
  // Of these a change may have been made.
  EXPECT_EQ(kind(503, "etcdserver: request timed out", 14), Kind::kOther);
  EXPECT_EQ(kind(503, "etcdserver: request timed out, possibly due to previous leader failure", 14), Kind::kOther);
  EXPECT_EQ(kind(503, "etcdserver: leader changed", 14), Kind::kOther);
  EXPECT_EQ(kind(503, "etcdserver: server stopped", 14), Kind::kOther);
  EXPECT_EQ(DecodeRefusal(502, "<html>").kind, Kind::kOther);
  EXPECT_EQ(DecodeRefusal(404, "404 page not found\n").kind, Kind::kNoGateway);
  EXPECT_EQ(DecodeRefusal(0, R"({"error":{"grpc_code":14,"message":"etcdserver: no leader"}})").kind, Kind::kNoLeader);
}

TEST(EtcdEndpoints, AreHttpHostAndPort) {
  EXPECT_TRUE(CheckEndpoint("http://10.0.0.1:2379").ok());
  EXPECT_TRUE(CheckEndpoint("http://[::1]:2379").ok());
  for (const char* bad : {"", "http://", "10.0.0.1:2379", "http://host", "http://host:0", "http://host:70000",
                          "http://:1", "http://host:2379/", "http://u@host:1", "https://host:2379", "unix:///x"}) {
    EXPECT_FALSE(CheckEndpoint(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace understudy::etcd
