#!/usr/bin/python3
"""Writes the corpus of the fuzz targets of the example key-value server, beside itself, into corpus/. The formats are in
docs/examples.md."""
import os

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in map(str.encode, words))


def requests(*lines):
    return b"\x07" + b"".join(request(*line.split()) for line in lines)


def text(value):
    return bytes([len(value)]) + value.encode()


def texts(*values):
    return bytes([len(values)]) + b"".join(map(text, values))


SCORE = b"\0\0\0\0\0\0\xf8\x3f"  # 1.5
FILES = {
    "resp/strings": requests("SET k v PX 50", "GET k", "APPEND k w", "INCR n", "INCRBYFLOAT n 1.5", "MSET a 1 b 2", "GETDEL a",
                             "SETEX s 10 v", "MGET a b n"),
    "resp/keys": requests("SET k v", "EXPIRE k 10 NX", "PERSIST k", "PEXPIREAT k 1", "EXISTS k", "SCAN 0 MATCH [a-k]* COUNT 9",
                          "KEYS *", "DEL k k", "RANDOMKEY", "FLUSHALL"),
    "resp/lists": requests("RPUSH l a b c a", "LPUSH l x", "LREM l -1 a", "LTRIM l 1 -2", "LRANGE l 0 -1", "LPOP l 2", "RPOP l",
                           "LINDEX l -1"),
    "resp/collections": requests("HSET h f v g w", "HINCRBY h n 4", "HDEL h f", "HGETALL h", "SADD s a b c", "SPOP s 2", "SREM s a",
                                 "SMEMBERS s", "ZADD z CH 1.5 m 2 n", "ZPOPMIN z", "ZRANGE z 0 -1 WITHSCORES", "ZREM z n"),
    "resp/inline": b"\x02SET \"a b\" 'c\\'d'\r\nget \"\\x61 b\"\n\r\nPING\r\n*0\r\n*-1\r\n",
    "resprecord/strings": b"\x01\x01" + text("k") + b"\x32" + text("v") + b"\x02" + text("k") + text("w") + b"\x05" + text("k") +
                          text("x") + b"\x04" + text("k") + b"\x07\x03" + text("k") + b"\x12",
    "resprecord/lists": b"\x01\x09" + text("l") + texts("a", "b", "c", "d", "e") + b"\x08" + text("l") + texts("x") + b"\x0a" +
                        text("l") + b"\x01\x0b" + text("l") + b"\x01\x0c" + text("l") + b"\x01\x02\x0d" + text("l") + b"\x01\x00",
    "resprecord/collections": b"\x01\x06" + text("h") + texts("f", "v", "g", "w") + b"\x07" + text("h") + texts("f") + b"\x0e" +
                              text("s") + texts("a", "b") + b"\x0f" + text("s") + texts("a") + b"\x10" + text("z") + b"\x01" + SCORE +
                              text("m") + b"\x11" + text("z") + texts("m"),
    "respcheckpoint/empty": b"RESPKV1\n\0\0",
    "respcheckpoint/string": b"RESPKV1\n\x01" + text("k") + b"\x32" + text("v") + b"\0\x01",
    "respcheckpoint/all": b"RESPKV1\n\x01" + text("k") + b"\0" + text("v") + b"\x02" + text("l") + b"\0" + texts("a", "b") + b"\x03" +
                          text("h") + b"\0\x01" + text("f") + text("v") + b"\x04" + text("s") + b"\x05" + texts("m") + b"\x05" +
                          text("z") + b"\0\x01" + SCORE + text("m") + b"\0\x05",
}
for name, content in FILES.items():
    os.makedirs(os.path.join(HERE, os.path.dirname(name)), exist_ok=True)
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(content)
