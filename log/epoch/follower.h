// What a spare (or any reader) may apply, and what to read next (docs/protocol.md). Merges the read stream with the
// primary's mirror stream. Sans-IO, see core.h.
//
// Released, in LSN order and once each: batches of the open epoch up to that epoch's commit; of closed epochs up to the
// chain's last_lsn, which is never passed: what a closed epoch holds above is garbage and dropped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "log/epoch/core.h"
#include "log/epoch/messages.h"
#include "log/format/batch.h"

namespace understudy {

struct FollowerOptions {
  LogId log;
  Lsn from = Lsn(1);                       // first LSN wanted: the checkpoint's LSN + 1
  size_t hold_bytes_max = 64u << 20;       // mirrored, not yet released; beyond: the stream is given up
  size_t unapplied_bytes_max = 64u << 20;  // released, not yet Applied; beyond: no more reads
  uint32_t read_bytes = 4u << 20;
  uint32_t poll_wait_ms = 500;  // long poll at the tail
  int64_t retry_ms = 20;        // after all disks of an epoch failed; doubles up to retry_ms_max
  int64_t retry_ms_max = 500;
  int64_t mirror_silence_ms = 1000;  // a stream that says nothing for so long counts as broken
};

// ---- inputs ----

// Begins (with the chain) or goes on with a newer one. Older versions than the last are ignored.
struct FollowerChain {
  VersionedChain chain;
};
// Answers a FollowerRead. Errors of transport are put into response.code. `batches` is response.batches, moved out, so
// that what is released can point into it.
struct ReadAnswered {
  Token token = 0;
  ReadResponse response;
  BatchRef batches;
};
struct FollowerMirror {
  MirrorPush push;
};
struct FollowerMirrorBroken {};
// The applier has applied everything up to here.
struct Applied {
  Lsn lsn;
};

using FollowerInput =
    std::variant<FollowerChain, ReadAnswered, FollowerMirror, FollowerMirrorBroken, Applied, ChainReadDone, Tick>;

// ---- effects ----

// Apply records [from, to] of the verified batch `bytes()`; records of it outside that range are to be skipped.
struct ReleasedBatch {
  BatchRef buffer;  // keeps the bytes alive
  size_t offset = 0;
  size_t length = 0;
  Epoch epoch;
  Lsn from;
  Lsn to;
  std::string_view bytes() const { return std::string_view(*buffer).substr(offset, length); }
};
// Records [from, to] were given up by an operator (--accept-data-loss) or skipped by an epoch; they never come.
struct LossGap {
  Lsn from;
  Lsn to;
};
// Released things in order: exactly one of the two is set.
struct Released {
  std::optional<LossGap> loss;
  ReleasedBatch batch;
};
struct FollowerRead {
  Token token = 0;
  ReadRequest request;  // one at a time
};

struct FollowerEffects {
  std::vector<Released> released;
  std::vector<FollowerRead> reads;
  std::vector<ChainOp> chain_ops;  // kRead only
  // Records from next() on are trimmed away up to here: load a checkpoint that covers it and start a new Follower.
  std::optional<Lsn> trimmed;
  // The stream has been given up (overflow, gap, wrong bytes, silence): ask the primary to begin again. Reading goes
  // on.
  std::optional<Status> mirror_lost;
  // The primary says it has closed its epoch and this attempt owns the next one. A hint: the chain decides.
  std::optional<AttemptId> next_owner_hint;
  Instant wake_at = Instant::Never();

  void Clear();
};

class Follower {
 public:
  explicit Follower(FollowerOptions options);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  void Step(const FollowerInput& input, Instant now, FollowerEffects* out);

  Lsn next() const;                 // first LSN not yet released; everything below was
  Lsn commit() const;               // highest LSN known to be committed or closed over; a lower bound
  Instant commit_heard_at() const;  // when the open epoch's commit was last heard; Instant() before the first word
  const VersionedChain& chain() const;
  bool mirror_live() const;  // pushes arrive without a gap from next() on: no reads are needed
  // The open epoch's commit has been heard, and everything up to the highest commit heard is released.
  bool caught_up() const { return commit_heard_at() > Instant() && next() > commit(); }
  size_t held_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy
