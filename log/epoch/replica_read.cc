// Reads of a Replica: what may be served, and waiting at the tail.
#include <algorithm>
#include <string>
#include <utility>

#include "log/epoch/mutant.h"
#include "log/epoch/replica_impl.h"

namespace understudy {

void Replica::Impl::AnswerRead(Token token, StatusCode code, std::string detail, Lsn commit, Lsn trim,
                               ReplicaEffects* out) {
  out->reads.push_back({token, {code, std::move(detail), {}, commit, trim}});
}

void Replica::Impl::Read(Token token, const ReadRequest& request, Instant now, ReplicaEffects* out) {
  if (request.disk != options.disk && !MutantOn(Mutant::kWipedIsEmpty)) {
    return AnswerRead(token, StatusCode::kWrongDisk, Refusal(request.disk).message(), {}, {}, out);
  }
  const bool closed = request.to.value() != 0;  // the reader names the end; nothing above the commit otherwise
  // Not a word on what it holds: a restart may bring that back.
  if (!failed.ok()) return AnswerRead(token, StatusCode::kUnavailable, failed.ToString(), {}, {}, out);
  if (options.retired && !closed) {
    return AnswerRead(token, StatusCode::kDataUnknown, Refusal(request.disk).message(), {}, {}, out);
  }
  if (request.from.value() == 0 || (closed && request.to < request.from)) {
    return AnswerRead(token, StatusCode::kInvalidArgument, "an empty range", {}, {}, out);
  }
  const LogState* log = Find(request.log);
  EpochState* epoch = FindEpoch(log, request.epoch);
  if (log != nullptr && request.from <= log->trim) {
    return AnswerRead(token, StatusCode::kTrimmed, {}, epoch == nullptr ? Lsn() : epoch->commit, log->trim, out);
  }
  // A retired disk cannot tell what it lacks from what it never had.
  const StatusCode missing = options.retired ? StatusCode::kDataUnknown : StatusCode::kShort;
  if (epoch == nullptr) return AnswerRead(token, missing, "not held here", {}, {}, out);
  const Lsn limit = closed ? std::min(request.to, epoch->durable) : epoch->ReadLimit();
  const uint32_t bytes_max = std::clamp(request.bytes_max, 1u, kReadBytesMax);
  if (request.from <= limit) {
    out->serve.push_back({token, request.log, request.epoch, request.from, limit, bytes_max, epoch->commit});
    return;
  }
  if (closed) return AnswerRead(token, missing, "held up to " + std::to_string(epoch->durable.value()), {}, {}, out);
  const uint32_t wait_ms = std::min(request.wait_ms, kReadWaitMsMax);
  if (wait_ms == 0 || log->sealed >= request.epoch || parked_count >= options.parked_reads_max) {
    return AnswerRead(token, StatusCode::kOk, {}, epoch->commit, {}, out);
  }
  const Instant deadline = now + wait_ms * kNsPerMs;
  epoch->parked.push_back({token, request.from, bytes_max, deadline});
  ++parked_count;
  next_deadline = std::min(next_deadline, deadline);
}

void Replica::Impl::WakeReaders(EpochState* epoch, ReplicaEffects* out) {
  const Lsn limit = epoch->ReadLimit();
  const bool sealed = epoch->log->sealed >= epoch->epoch;
  std::erase_if(epoch->parked, [&](const ParkedRead& read) {
    if (read.from <= limit) {
      out->serve.push_back(
          {read.token, epoch->log->log, epoch->epoch, read.from, limit, read.bytes_max, epoch->commit});
    } else if (sealed) {  // nothing more will come of this epoch here: the reader looks at the chain
      AnswerRead(read.token, StatusCode::kOk, {}, epoch->commit, {}, out);
    } else {
      return false;
    }
    --parked_count;
    return true;
  });
}

void Replica::Impl::ExpireReaders(Instant now, ReplicaEffects* out) {
  next_deadline = Instant::Never();
  if (parked_count == 0) return;
  for (const auto& [id, log] : logs) {
    for (const auto& epoch : log->epochs) {
      std::erase_if(epoch->parked, [&](const ParkedRead& read) {
        if (read.deadline > now) {
          next_deadline = std::min(next_deadline, read.deadline);
          return false;
        }
        AnswerRead(read.token, StatusCode::kOk, {}, epoch->commit, {}, out);
        --parked_count;
        return true;
      });
    }
  }
}

}  // namespace understudy
