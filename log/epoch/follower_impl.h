// The inside of Follower, shared by follower.cc (chain, mirror, releasing) and follower_read.cc (reads and their
// answers).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "log/epoch/follower.h"
#include "log/epoch/ring.h"

namespace understudy {

struct Follower::Impl {
  struct Held {  // a verified batch, not yet released
    Epoch epoch;
    Lsn first;
    Lsn last;
    BatchRef buffer;
    size_t offset = 0;
    size_t length = 0;
  };
  struct Unapplied {
    Lsn last;
    size_t bytes = 0;
  };

  explicit Impl(FollowerOptions o) : options(std::move(o)), next(options.from) {}

  // follower.cc
  void OnChain(const VersionedChain& newer, Instant now, FollowerEffects* out);
  void OnChainRead(const ChainReadDone& input, Instant now, FollowerEffects* out);
  void OnMirror(const MirrorPush& push, Instant now, FollowerEffects* out);
  void LoseMirror(Status why, bool forget, FollowerEffects* out);
  void OnApplied(Lsn lsn);
  void HearCommit(Epoch epoch, Lsn lsn, Instant now);
  void Release(FollowerEffects* out);
  bool ReleaseFrom(std::deque<Held>* stream, const EpochEntry& entry, Lsn limit, bool mirrored, FollowerEffects* out);
  void Tick(Instant now, FollowerEffects* out);
  void Proceed(Instant now, FollowerEffects* out);  // releases, then asks for what is missing
  Instant WakeAt(Instant now) const;

  // follower_read.cc
  void OnRead(const ReadAnswered& input, Instant now, FollowerEffects* out);
  bool TakeRead(const BatchRef& batches);
  void ReadFailed(Instant now);
  void IssueRead(Instant now, FollowerEffects* out);
  void IssueChainRead(Instant now, FollowerEffects* out);
  bool MirrorCovers(const EpochEntry& entry) const;

  FollowerOptions options;
  VersionedChain chain;
  bool have_chain = false;
  Lsn next;
  Lsn known;  // committed or closed over, as far as heard
  Epoch commit_epoch;
  Lsn commit;  // of commit_epoch
  Instant commit_heard;
  bool trimmed = false;  // said; nothing more to do

  std::deque<Held> read;    // one epoch at a time
  std::deque<Held> mirror;  // of one or more epochs, ascending; without gaps within one
  size_t mirror_bytes = 0;
  bool mirror_on = false;
  Epoch mirror_epoch;
  AttemptId mirror_attempt;
  std::optional<Lsn> mirror_tail;  // end of the newest push of mirror_epoch; of an empty log it is 0
  Instant mirror_heard;

  Ring<Unapplied> unapplied;
  size_t unapplied_bytes = 0;

  Token next_token = 1;
  Token read_token = 0;
  ReadRequest read_request;
  Instant read_began;
  size_t disk_cursor = 0;
  int read_failures = 0;
  int64_t backoff_ms = 0;
  Instant read_at;  // not before
  Token chain_token = 0;
  bool chain_wanted = false;
  Instant chain_at;  // not before
};

}  // namespace understudy
