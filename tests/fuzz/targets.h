// What is fuzzed. Each target takes any bytes and returns; it aborts when a promise is broken. libFuzzer drives them
// (preset `fuzz`), and replay_test.cc does without it.
#pragma once

#include <cstdint>
#include <string_view>

namespace understudy::fuzz {

// A peer of a server that serves every service: first byte: flags (below), then what is sent.
//   1: a proper hello goes first    2: the rest is one message, its length is put in front
//   4: hello in the compact protocol    8: arrives in many small pieces
void Rpc(std::string_view input);

uint64_t RpcCallsServed();  // that reached a service so far

// Bytes that claim to be a batch. First byte 1: the checksum is put right first, so that what lies behind it is
// reached.
void Batch(std::string_view input);

// A log's metadata as stored.
void Chain(std::string_view input);

// A client of the example key-value server. First byte: in pieces of which size it arrives. Whatever the commands do, a
// spare comes to the same state.
void Resp(std::string_view input);
// A record, and a checkpoint, of that server.
void RespRecord(std::string_view input);
void RespCheckpoint(std::string_view input);

// A model file of gbt. First byte 1: the checksum is put right first. What is taken is asked, and must answer.
void Model(std::string_view input);

struct Target {
  const char* name;  // of its folder in corpus/
  void (*run)(std::string_view input);
};
inline constexpr Target kTargets[] = {{"rpc", Rpc},    {"batch", Batch},           {"chain", Chain},
                                      {"resp", Resp},  {"resprecord", RespRecord}, {"respcheckpoint", RespCheckpoint},
                                      {"model", Model}};

}  // namespace understudy::fuzz
