#include "client/examples/resp_kv/command.h"

#include <gtest/gtest.h>

#include <set>

#include "client/examples/resp_kv/command_harness.h"
#include "client/examples/resp_kv/key_hash.h"

namespace understudy::resp_kv {
namespace {

class CommandTest : public ::testing::Test, protected CommandHarness {};

constexpr const char* kWrongTypeReply = "-WRONGTYPE Operation against a key holding the wrong kind of value ";

TEST_F(CommandTest, StringsAndTheirOptions) {
  EXPECT_EQ(Line("GET k"), "$-1 ");
  EXPECT_EQ(Line("SET k v"), "+OK ");
  EXPECT_EQ(Line("get k"), "$1 v ");
  EXPECT_EQ(Line("SET k w NX"), "$-1 ");
  EXPECT_EQ(Line("SET k w XX GET"), "$1 v ");
  EXPECT_EQ(Line("SET none w XX"), "$-1 ");
  EXPECT_EQ(Line("SET k w NX XX"), "-ERR syntax error ");
  EXPECT_EQ(Line("SET k x IFEQ v"), "$-1 ");
  EXPECT_EQ(Line("SET none x IFEQ v"), "$-1 ");
  EXPECT_EQ(Line("SET k x IFEQ w"), "+OK ");
  EXPECT_EQ(Line("SET k w IFEQ x GET"), "$1 x ");
  EXPECT_EQ(Line("SET k w IFEQ w NX"), "-ERR syntax error ");
  EXPECT_EQ(Line("SET k w IFEQ"), "-ERR syntax error ");
  EXPECT_EQ(Line("RPUSH ifeq x"), ":1 ");
  EXPECT_EQ(Line("SET ifeq w IFEQ x"), kWrongTypeReply);
  EXPECT_EQ(Line("DEL ifeq"), ":1 ");
  EXPECT_EQ(Line("SET k w EX 10 PX 10"), "-ERR syntax error ");
  EXPECT_EQ(Line("SET k w EX"), "-ERR syntax error ");
  EXPECT_EQ(Line("SET k w EX 0"), "-ERR invalid expire time in 'set' command ");
  EXPECT_EQ(Line("SET k w EX 9223372036854775807"), "-ERR invalid expire time in 'set' command ");
  EXPECT_EQ(Line("SETEX k -1 w"), "-ERR invalid expire time in 'setex' command ");
  EXPECT_EQ(Line("SETEX k 100 w"), "+OK ");
  EXPECT_EQ(Line("SET k x KEEPTTL"), "+OK ");
  EXPECT_EQ(Line("TTL k"), ":100 ");
  EXPECT_EQ(Line("SET k x"), "+OK ");
  EXPECT_EQ(Line("TTL k"), ":-1 ");
  EXPECT_EQ(Line("SETNX k y"), ":0 ");
  EXPECT_EQ(Line("SETNX n y"), ":1 ");
  EXPECT_EQ(Line("GETSET n z"), "$1 y ");
  EXPECT_EQ(Line("GETDEL n"), "$1 z ");
  EXPECT_EQ(Line("GETDEL n"), "$-1 ");
  EXPECT_EQ(Line("APPEND a 12"), ":2 ");
  EXPECT_EQ(Line("APPEND a 345"), ":5 ");
  EXPECT_EQ(Line("STRLEN a"), ":5 ");
  EXPECT_EQ(Line("MSET a 1 b 2 a 3"), "+OK ");
  EXPECT_EQ(Line("MGET a none b"), "*3 $1 3 $-1 $1 2 ");
  EXPECT_EQ(Line("MSET a 1 b"), "-ERR wrong number of arguments for 'mset' command ");
}

TEST_F(CommandTest, Counting) {
  EXPECT_EQ(Line("INCR n"), ":1 ");
  EXPECT_EQ(Line("INCRBY n 41"), ":42 ");
  EXPECT_EQ(Line("DECRBY n 50"), ":-8 ");
  EXPECT_EQ(Line("DECR n"), ":-9 ");
  EXPECT_EQ(Line("SET n 9223372036854775807"), "+OK ");
  EXPECT_EQ(Line("INCR n"), "-ERR increment or decrement would overflow ");
  EXPECT_EQ(Line("DECRBY n -9223372036854775808"), "-ERR decrement would overflow ");
  EXPECT_EQ(Line("SET n \" 1\""), "+OK ");
  EXPECT_EQ(Line("INCR n"), "-ERR value is not an integer or out of range ");
  EXPECT_EQ(Line("SET f 10.50"), "+OK ");
  EXPECT_EQ(Line("INCRBYFLOAT f 0.1"), "$4 10.6 ");
  EXPECT_EQ(Line("INCRBYFLOAT f -5"), "$3 5.6 ");
  EXPECT_EQ(Line("INCRBYFLOAT f abc"), "-ERR value is not a valid float ");
  EXPECT_EQ(Line("INCRBYFLOAT f inf"), "-ERR increment would produce NaN or Infinity ");
  EXPECT_EQ(Line("SETEX t 100 5"), "+OK ");
  EXPECT_EQ(Line("INCR t"), ":6 ");
  EXPECT_EQ(Line("TTL t"), ":100 ");
}

TEST_F(CommandTest, ExpiryIsARecordOfThePrimary) {
  EXPECT_EQ(Line("SET k v PX 500"), "+OK ");
  EXPECT_EQ(Line("PTTL k"), ":500 ");
  now_ms += 499;
  EXPECT_EQ(Line("GET k"), "$1 v ");
  now_ms += 1;
  const size_t records_before = records.size();
  EXPECT_EQ(Line("GET k"), "$-1 ");
  ASSERT_EQ(records.size(), records_before + 1);
  EXPECT_EQ(records.back().first, KeyHash("k"));
  EXPECT_EQ(store.keys(), 0u);
  EXPECT_EQ(store.keys_with_expiry(), 0u);

  EXPECT_EQ(Line("EXPIRE k 10"), ":0 ");
  Line("SET k v");
  EXPECT_EQ(Line("EXPIRE k 10 XX"), ":0 ");
  EXPECT_EQ(Line("EXPIRE k 10 NX"), ":1 ");
  EXPECT_EQ(Line("EXPIRE k 5 GT"), ":0 ");
  EXPECT_EQ(Line("EXPIRE k 5 LT"), ":1 ");
  EXPECT_EQ(Line("EXPIRE k 5 NX GT"), "-ERR NX and XX, GT or LT options at the same time are not compatible ");
  EXPECT_EQ(Line("EXPIRE k 9223372036854775807"), "-ERR invalid expire time in 'expire' command ");
  EXPECT_EQ(Line("PERSIST k"), ":1 ");
  EXPECT_EQ(Line("PERSIST k"), ":0 ");
  EXPECT_EQ(Line("TTL k"), ":-1 ");
  EXPECT_EQ(Line("EXPIREAT k 2000"), ":1 ");
  EXPECT_EQ(Line("TTL k"), ":1000 ");
  EXPECT_EQ(Line("EXPIRE k -1"), ":1 ");
  EXPECT_EQ(Line("TTL k"), ":-2 ");

  Line("SET k v PX 1");
  now_ms += 1;
  EXPECT_EQ(Line("LPUSH k a"), ":1 ");  // the expired string is gone, so this is no WRONGTYPE
  EXPECT_EQ(Line("TYPE k"), "+list ");
}

TEST_F(CommandTest, Keys) {
  Line("MSET one 1 two 2 three 3");
  EXPECT_EQ(Line("DBSIZE"), ":3 ");
  EXPECT_EQ(Line("EXISTS one one none"), ":2 ");
  EXPECT_EQ(Line("DEL one one none"), ":1 ");
  EXPECT_EQ(Line("TYPE two"), "+string ");
  EXPECT_EQ(Line("TYPE one"), "+none ");
  EXPECT_EQ(Line("KEYS t?o"), "*1 $3 two ");
  EXPECT_EQ(Line("FLUSHALL now"), "-ERR syntax error ");
  EXPECT_EQ(Line("RANDOMKEY").substr(0, 1), "$");
  EXPECT_EQ(Line("FLUSHALL ASYNC"), "+OK ");
  EXPECT_EQ(Line("DBSIZE"), ":0 ");
  EXPECT_EQ(Line("RANDOMKEY"), "$-1 ");
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CommandTest, ScanAnswersEveryKeyOnce) {
  std::set<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    expected.insert("key:" + std::to_string(i));
    RunWords({"SET", "key:" + std::to_string(i), "v"});
  }
  std::multiset<std::string> seen;
  std::string cursor = "0";
  do {
    const std::string reply = RunWords({"SCAN", cursor, "COUNT", "100", "MATCH", "key:*"});
    std::vector<std::string> lines;
    for (size_t at = 0; at < reply.size();) {
      const size_t end = reply.find("\r\n", at);
      lines.push_back(reply.substr(at, end - at));
      at = end + 2;
    }
    cursor = lines[2];
    for (size_t i = 5; i < lines.size(); i += 2) {
      seen.insert(lines[i]);
    }
  } while (cursor != "0");
  EXPECT_EQ(seen, std::multiset<std::string>(expected.begin(), expected.end()));
  EXPECT_EQ(Line("SCAN x"), "-ERR invalid cursor ");
  EXPECT_EQ(Line("SCAN 0 TYPE list COUNT 5000"), "*2 $1 0 *0 ");
}

TEST_F(CommandTest, Hashes) {
  EXPECT_EQ(Line("HSET h a 1 b 2 a 3"), ":2 ");
  EXPECT_EQ(Line("HGET h a"), "$1 3 ");
  EXPECT_EQ(Line("HMGET h a none b"), "*3 $1 3 $-1 $1 2 ");
  EXPECT_EQ(Line("HLEN h"), ":2 ");
  EXPECT_EQ(Line("HEXISTS h a"), ":1 ");
  EXPECT_EQ(Line("HEXISTS h c"), ":0 ");
  EXPECT_EQ(Line("HINCRBY h a 4"), ":7 ");
  EXPECT_EQ(Line("HSET h s text"), ":1 ");
  EXPECT_EQ(Line("HINCRBY h s 4"), "-ERR hash value is not an integer ");
  EXPECT_EQ(Line("HDEL h a a s none"), ":2 ");
  EXPECT_EQ(Line("HGETALL h"), "*2 $1 b $1 2 ");
  EXPECT_EQ(Line("HKEYS h"), "*1 $1 b ");
  EXPECT_EQ(Line("HVALS h"), "*1 $1 2 ");
  EXPECT_EQ(Line("HSET h a"), "(refused)");
  EXPECT_EQ(Line("HSET h a 1 b"), "-ERR wrong number of arguments for 'hset' command ");
  EXPECT_EQ(Line("GET h"), kWrongTypeReply);
  EXPECT_EQ(Line("HMSET h x y"), "+OK ");
  EXPECT_EQ(Line("HDEL h b x"), ":2 ");
  EXPECT_EQ(Line("EXISTS h"), ":0 ");
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CommandTest, Lists) {
  EXPECT_EQ(Line("RPUSH l a b c"), ":3 ");
  EXPECT_EQ(Line("LPUSH l x y"), ":5 ");
  EXPECT_EQ(Line("LRANGE l 0 -1"), "*5 $1 y $1 x $1 a $1 b $1 c ");
  EXPECT_EQ(Line("LRANGE l -2 100"), "*2 $1 b $1 c ");
  EXPECT_EQ(Line("LRANGE l 3 1"), "*0 ");
  EXPECT_EQ(Line("LRANGE l -100 -6"), "*0 ");
  EXPECT_EQ(Line("LINDEX l -1"), "$1 c ");
  EXPECT_EQ(Line("LINDEX l 5"), "$-1 ");
  EXPECT_EQ(Line("LPOP l"), "$1 y ");
  EXPECT_EQ(Line("RPOP l 2"), "*2 $1 c $1 b ");
  EXPECT_EQ(Line("LPOP l 0"), "*0 ");
  EXPECT_EQ(Line("LPOP l -1"), "-ERR value is out of range, must be positive ");
  EXPECT_EQ(Line("LLEN l"), ":2 ");
  EXPECT_EQ(Line("LPOP none"), "$-1 ");
  EXPECT_EQ(Line("LPOP none 1"), "*-1 ");
  EXPECT_EQ(Line("RPOP l 9"), "*2 $1 a $1 x ");
  EXPECT_EQ(Line("EXISTS l"), ":0 ");
  EXPECT_EQ(store.bytes(), 0u);

  Line("RPUSH l a b a c a d");
  EXPECT_EQ(Line("LREM l -2 a"), ":2 ");
  EXPECT_EQ(Line("LRANGE l 0 -1"), "*4 $1 a $1 b $1 c $1 d ");
  EXPECT_EQ(Line("LREM l 0 zz"), ":0 ");
  EXPECT_EQ(Line("LTRIM l 1 -2"), "+OK ");
  EXPECT_EQ(Line("LRANGE l 0 -1"), "*2 $1 b $1 c ");
  EXPECT_EQ(Line("LREM l -9223372036854775808 b"), ":1 ");
  EXPECT_EQ(Line("LTRIM l 5 9"), "+OK ");
  EXPECT_EQ(Line("EXISTS l"), ":0 ");
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CommandTest, Sets) {
  EXPECT_EQ(Line("SADD s a b a"), ":2 ");
  EXPECT_EQ(Line("SCARD s"), ":2 ");
  EXPECT_EQ(Line("SISMEMBER s b"), ":1 ");
  EXPECT_EQ(Line("SREM s a none a"), ":1 ");
  EXPECT_EQ(Line("SMEMBERS s"), "*1 $1 b ");
  EXPECT_EQ(Line("SPOP s"), "$1 b ");
  EXPECT_EQ(Line("SPOP s"), "$-1 ");
  Line("SADD s 1 2 3 4 5");
  EXPECT_EQ(Line("SPOP s 3").substr(0, 3), "*3 ");
  EXPECT_EQ(Line("SCARD s"), ":2 ");
  EXPECT_EQ(Line("SPOP s 30").substr(0, 3), "*2 ");
  EXPECT_EQ(Line("EXISTS s"), ":0 ");
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CommandTest, SortedSets) {
  EXPECT_EQ(Line("ZADD z 2 b 1 a 2.5 c 1 a"), ":3 ");
  EXPECT_EQ(Line("ZADD z CH 3 b 4 d"), ":2 ");
  EXPECT_EQ(Line("ZADD z NX 9 a"), ":0 ");
  EXPECT_EQ(Line("ZADD z XX 9 zz"), ":0 ");
  EXPECT_EQ(Line("ZADD z nan a"), "-ERR value is not a valid float ");
  EXPECT_EQ(Line("ZRANGE z 0 -1 WITHSCORES"), "*8 $1 a $1 1 $1 c $3 2.5 $1 b $1 3 $1 d $1 4 ");
  EXPECT_EQ(Line("ZSCORE z c"), "$3 2.5 ");
  EXPECT_EQ(Line("ZPOPMIN z"), "*2 $1 a $1 1 ");
  EXPECT_EQ(Line("ZREM z c none"), ":1 ");
  EXPECT_EQ(Line("ZCARD z"), ":2 ");
  EXPECT_EQ(Line("ZPOPMIN z 5"), "*4 $1 b $1 3 $1 d $1 4 ");
  EXPECT_EQ(Line("ZPOPMIN z"), "*0 ");
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CommandTest, EveryTypeRefusesTheOthers) {
  Line("SET string 1");
  Line("RPUSH list 1");
  Line("HSET hash f 1");
  Line("SADD set 1");
  Line("ZADD zset 1 m");
  const size_t records_before = records.size();
  for (const std::string line :
       {"GET list", "INCR hash", "APPEND set x", "GETSET zset x", "LPUSH string x", "LPOP hash", "HSET list f v",
        "HGET set f", "SADD zset m", "SPOP string", "ZADD set 1 m", "ZPOPMIN list", "SET list x GET", "LRANGE zset 0 1",
        "HGETALL string", "STRLEN set"}) {
    EXPECT_EQ(Line(line), kWrongTypeReply) << line;
  }
  EXPECT_EQ(records.size(), records_before);
}

TEST_F(CommandTest, ConflictKeyIsTheKeysHashOrZeroForSeveral) {
  Line("SET a 1");
  EXPECT_EQ(records.back().first, KeyHash("a"));
  Line("MSET a 1 a 2");
  EXPECT_EQ(records.back().first, KeyHash("a"));
  Line("MSET a 1 b 2");
  EXPECT_EQ(records.back().first, 0u);
  Line("DEL a b");
  EXPECT_EQ(records.back().first, 0u);
  Line("FLUSHALL");
  EXPECT_EQ(records.back().first, 0u);
}

TEST(CommandTableTest, FindsInAnyCaseAndKnowsArity) {
  ASSERT_NE(FindCommand("GeT"), nullptr);
  EXPECT_EQ(FindCommand("gett"), nullptr);
  EXPECT_EQ(FindCommand("a-name-longer-than-any-command"), nullptr);
  EXPECT_TRUE(ArityFits(*FindCommand("get"), 2));
  EXPECT_FALSE(ArityFits(*FindCommand("get"), 3));
  EXPECT_TRUE(ArityFits(*FindCommand("del"), 9));
  EXPECT_FALSE(ArityFits(*FindCommand("del"), 1));
}

TEST(KeyHashTest, IsWhatTheRecordFormatSays) {
  // Fixed for good: a log written by one version is replayed by another.
  EXPECT_EQ(KeyHash("user:1"), 0x7a84aae711c7feb4ULL);
  EXPECT_EQ(KeyHash(""), 0xfdbdf6ac4fc52e7fULL);
  EXPECT_EQ(HashSlot("123456789"), 12739);  // 0x31C3, the check value of CRC-16/XMODEM
  EXPECT_EQ(HashSlot("foo"), 12182);
  EXPECT_EQ(HashSlot("{foo}.bar"), HashSlot("foo"));
  EXPECT_EQ(HashSlot("a{}b"), HashSlot("a{}b"));
  EXPECT_NE(HashSlot("a{}b"), HashSlot(""));
}

TEST(GlobTest, MatchesAsRedisDoes) {
  EXPECT_TRUE(GlobMatches("*", ""));
  EXPECT_TRUE(GlobMatches("h?llo", "hello"));
  EXPECT_TRUE(GlobMatches("h*llo", "heeeello"));
  EXPECT_TRUE(GlobMatches("h[ae]llo", "hallo"));
  EXPECT_FALSE(GlobMatches("h[^e]llo", "hello"));
  EXPECT_TRUE(GlobMatches("h[a-c]llo", "hbllo"));
  EXPECT_TRUE(GlobMatches("a\\*b", "a*b"));
  EXPECT_FALSE(GlobMatches("a\\*b", "axb"));
  EXPECT_TRUE(GlobMatches("*a*b*c", "xxaxxbxxbxxc"));
  EXPECT_FALSE(GlobMatches("abc", "abcd"));
  EXPECT_FALSE(GlobMatches("[", "a"));
  EXPECT_FALSE(GlobMatches(std::string(40, '*') + "b", std::string(200, 'a')));
}

}  // namespace
}  // namespace understudy::resp_kv
