#include "log/epoch/chain_client.h"

#include <utility>

#include "log/epoch/mutant.h"
#include "understudy/check.h"

namespace understudy {
namespace {
// The store, or whoever carried the request, is sure that it did not and will not happen.
bool CertainlyNotDone(StatusCode code) {
  return code == StatusCode::kConflict || code == StatusCode::kUnavailable || code == StatusCode::kInvalidArgument ||
         code == StatusCode::kFailedPrecondition || code == StatusCode::kResourceExhausted;
}
}  // namespace

ChainClient::ChainClient(Token first_token, int64_t retry_ms) : next_token_(first_token), retry_ms_(retry_ms) {}

void ChainClient::Propose(const VersionedChain& base, Chain desired, const AttemptId& attempt, Instant,
                          std::vector<ChainOp>* ops) {
  UNDERSTUDY_CHECK(!busy() && base.version != 0 && !attempt.none());
  UNDERSTUDY_CHECK(base.chain.FindAttempt(attempt) == nullptr && desired.FindAttempt(attempt) != nullptr);
  phase_ = Phase::kCas;
  base_ = base;
  desired_ = std::move(desired);
  attempt_ = attempt;
  waiting_for_ = next_token_++;
  wake_at_ = Instant::Never();
  ops->push_back({waiting_for_, ChainOp::Kind::kCas, base_.version, desired_});
}

void ChainClient::Read(Instant, std::vector<ChainOp>* ops) {
  UNDERSTUDY_CHECK(!busy());
  phase_ = Phase::kRead;
  SendRead(ops);
}

void ChainClient::SendRead(std::vector<ChainOp>* ops) {
  waiting_for_ = next_token_++;
  wake_at_ = Instant::Never();
  ops->push_back({waiting_for_, ChainOp::Kind::kRead, 0, {}});
}

void ChainClient::RetryReadLater(Instant now) {
  waiting_for_ = 0;
  wake_at_ = now + retry_ms_ * kNsPerMs;
}

std::optional<ChainClient::Outcome> ChainClient::Finish(Verdict verdict, VersionedChain current) {
  phase_ = Phase::kIdle;
  waiting_for_ = 0;
  wake_at_ = Instant::Never();
  return Outcome{verdict, std::move(current)};
}

std::optional<ChainClient::Outcome> ChainClient::Step(const ChainReadDone& input, Instant now,
                                                      std::vector<ChainOp>* ops) {
  if (input.token != waiting_for_ || waiting_for_ == 0) return std::nullopt;
  if (!input.status.ok()) {
    RetryReadLater(now);
    return std::nullopt;
  }
  if (phase_ == Phase::kRead) return Finish(Verdict::kLost, input.value);
  if (input.value.chain.FindAttempt(attempt_) != nullptr) return Finish(Verdict::kWon, input.value);
  // A CAS names one version. Once the key has another, it cannot land any more.
  if (input.value.version != base_.version || phase_ == Phase::kLostRead) return Finish(Verdict::kLost, input.value);
  if (MutantOn(Mutant::kThawAfterRead)) return Finish(Verdict::kLost, input.value);
  // Unchanged: our CAS may still be on its way. Make it impossible: win a CAS on the same version that changes nothing.
  phase_ = Phase::kNoopCas;
  waiting_for_ = next_token_++;
  ops->push_back({waiting_for_, ChainOp::Kind::kCas, base_.version, input.value.chain});
  return std::nullopt;
}

std::optional<ChainClient::Outcome> ChainClient::Step(const ChainCasDone& input, Instant now,
                                                      std::vector<ChainOp>* ops) {
  if (input.token != waiting_for_ || waiting_for_ == 0) return std::nullopt;
  if (phase_ == Phase::kCas) {
    if (input.status.ok()) return Finish(Verdict::kWon, {input.version, std::move(desired_)});
    if (input.status.code() == StatusCode::kConflict) {
      phase_ = Phase::kLostRead;
      SendRead(ops);
      return std::nullopt;
    }
    if (CertainlyNotDone(input.status.code())) return Finish(Verdict::kLost, std::move(base_));
    phase_ = Phase::kSettleRead;
    SendRead(ops);
    return std::nullopt;
  }
  // The no-op CAS. Won: the version named by ours is gone for good.
  if (input.status.ok()) return Finish(Verdict::kLost, {input.version, std::move(base_.chain)});
  phase_ = Phase::kSettleRead;
  if (input.status.code() == StatusCode::kConflict) {
    SendRead(ops);
  } else {
    RetryReadLater(now);
  }
  return std::nullopt;
}

void ChainClient::Step(const Tick&, Instant now, std::vector<ChainOp>* ops) {
  if (busy() && waiting_for_ == 0 && now >= wake_at_) SendRead(ops);
}

Chain CloseAndOpen(const Chain& chain, Lsn last_lsn, EpochEntry next) {
  Chain extended = chain;
  if (!extended.epochs.empty() && !extended.epochs.back().closed()) extended.epochs.back().last_lsn = last_lsn;
  std::erase_if(extended.epochs, [&](const EpochEntry& entry) { return *entry.last_lsn <= extended.trim_lsn; });
  extended.epochs.push_back(std::move(next));
  return extended;
}

}  // namespace understudy
