// What the sans-IO cores of this folder have in common.
//
// A core is a plain class: `Step(input, now, effects)` takes one message or completion and *adds* to `effects` what the
// shell around it has to do. It has no thread, clock, socket, file or randomness: ids and times are passed in. One
// thread at a time (the strand of the shell's loop). The caller owns the effects object, performs what is in it, calls
// Clear() (which keeps the memory) and uses it again. Effects of one kind are performed in the order they stand in; the
// kinds are independent of each other unless a header says otherwise.
//
// Time: `effects->wake_at` is always overwritten with the next instant at which the core wants a Tick if nothing else
// comes first (Instant::Never(): none). An early or superfluous Tick does no harm.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "log/format/chain.h"
#include "understudy/status.h"
#include "understudy/types.h"

namespace understudy {

// Ties a completion to the request it answers. Chosen by whoever asks; never 0.
using Token = uint64_t;

// The wake-up the core asked for (or any other moment).
struct Tick {};

// A chain as it was read, with the version a compare-and-swap must name.
struct VersionedChain {
  uint64_t version = 0;  // 0: the key does not exist
  Chain chain;
};

// A metadata operation on the log's key. The shell answers each exactly once: kRead with ChainReadDone, kCas with
// ChainCasDone. It never retries a CAS by itself and never answers a read from a cache.
struct ChainOp {
  enum class Kind : uint8_t { kRead, kCas };
  Token token = 0;
  Kind kind = Kind::kRead;
  uint64_t expected_version = 0;  // kCas
  Chain chain;                    // kCas: the new value, before EncodeChain
};
// Answers a kRead. An error means that nothing was learnt.
struct ChainReadDone {
  Token token = 0;
  Status status;
  VersionedChain value;  // when ok; version 0 when the key does not exist
};
// Answers a kCas. ok: it landed, with `version`. kConflict, and kUnavailable ("never sent"): it did not and never will.
// Everything else, kOutcomeUnknown, kDeadlineExceeded and kCancelled among it: it may still land.
struct ChainCasDone {
  Token token = 0;
  Status status;
  uint64_t version = 0;
};

}  // namespace understudy
