#include "client/examples/resp_kv/data_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "client/examples/resp_kv/key_hash.h"

namespace understudy::resp_kv {

DataService::DataService(DataServiceOptions options, Executor* executor, KvStateMachine* state)
    : options_(std::move(options)), executor_(executor), machine_(state), random_state_(options_.random_seed) {
  executor_->SetWakeHandler([this] {
    // A handover ends the barriers under way too; where the reads have to go is known when OnNotPrimary says it.
    if ((append_failed_.load(std::memory_order_acquire) && primary()) ||
        (barrier_fenced_.load(std::memory_order_acquire) && state_ == State::kPrimary)) {
      state_ = State::kLost;
    }
    BeginBarrier();
    on_progress_();
  });
}

Execution DataService::Execute(const CommandSpec& spec, std::span<const std::string_view> args,
                               std::string_view wanted_service, std::string* reply) {
  Execution execution;
  if (state_ == State::kHandingOver || state_ == State::kPromoting) {
    // Reads wait as well: the new owner may be serving already when the old one hears of it.
    execution.held = true;
    return execution;
  }
  if (state_ != State::kPrimary) {
    Redirect(spec, args, reply);
    return execution;
  }
  if (!wanted_service.empty() && wanted_service != service_) {
    AppendError("CLUSTERDOWN this server is the primary of service '" + service_ + "', not of '" +
                    std::string(wanted_service) + "'",
                reply);
    return execution;
  }
  if (!node_->MayServe()) {
    AppendError("CLUSTERDOWN this server has lost contact with its log and may have been replaced", reply);
    return execution;
  }
  if ((spec.flags & kDenyOom) != 0 && options_.memory_bytes_max != 0 &&
      machine_->store().bytes() > options_.memory_bytes_max) {
    AppendError("OOM command not allowed when used memory > 'maxmemory'.", reply);
    return execution;
  }
  const size_t reply_start = reply->size();
  effects_.Clear();
  CommandContext context(args, machine_->store(), options_.unix_ms(), &effects_, reply, &random_state_);
  spec.handler(context);
  if (context.all_shards_seen()) {
    execution.wait_for = last_appended_;
  }
  for (const uint16_t shard : context.shards_seen()) {
    execution.wait_for = std::max(execution.wait_for, shard_lsn_[shard]);
  }
  if (effects_.empty()) {
    if (options_.linearizable_reads) {
      execution.slot = HashSlot(FirstKey(spec, args));
      execution.barrier = WantBarrier();
    }
  } else {
    std::string refusal;
    if (!AppendEffects(&execution, &refusal)) {
      reply->resize(reply_start);
      if (!execution.held && refusal.empty()) {
        Redirect(spec, args, reply);
      } else if (!execution.held) {
        AppendError(refusal, reply);
      }
    }
  }
  return execution;
}

// False: nothing was changed. Then the request is held, or `*refusal` says why, or (neither) this is no primary any
// more.
bool DataService::AppendEffects(Execution* execution, std::string* refusal) {
  if (effects_.payload().size() > kRecordBytesMax) {
    *refusal = "ERR the command changes too much at once: its record would be larger than 8388608 bytes";
    return false;
  }
  const uint64_t term = term_;  // only this thread changes it
  const Result<Lsn> lsn = node_->Append(effects_.payload(), effects_.conflict_key(),
                                        [this, term](const Result<Lsn>& result) { OnAcknowledged(term, result); });
  if (!lsn.ok()) {
    switch (lsn.status().code()) {
      case StatusCode::kResourceExhausted:   // too much in flight
      case StatusCode::kFailedPrecondition:  // the library has not finished making this instance primary
        execution->held = true;
        RetrySoon();
        break;
      case StatusCode::kFenced:
        state_ = State::kLost;
        break;
      default:
        *refusal = "ERR the log refused the write: " + lsn.status().ToString();
    }
    return false;
  }
  const Status applied = ApplyRecord(effects_.payload(), &machine_->store());
  UNDERSTUDY_CHECK(applied.ok());
  last_appended_ = lsn->value();
  if (effects_.touches_all()) {
    shard_lsn_.fill(last_appended_);
  }
  for (const uint64_t hash : effects_.key_hashes()) {
    shard_lsn_[hash % kShards] = last_appended_;
  }
  execution->write = true;
  execution->wait_for = last_appended_;
  return true;
}

void DataService::OnAcknowledged(uint64_t term, const Result<Lsn>& result) {
  {
    const std::lock_guard guard(acknowledged_mutex_);
    if (term != term_) {
      return;
    }
    if (result.ok()) {
      committed_.store(result->value(), std::memory_order_release);  // they come in LSN order
    } else {
      append_failed_.store(true, std::memory_order_release);
    }
  }
  executor_->Wake();
}

uint64_t DataService::WantBarrier() {
  barriers_wanted_ = barriers_begun_ + 1;
  const uint64_t number = barriers_wanted_;
  BeginBarrier();
  return number;
}

void DataService::BeginBarrier() {
  if (barriers_wanted_ == barriers_begun_ || !primary() || barrier_running_.exchange(true)) {
    return;
  }
  const uint64_t number = ++barriers_begun_;
  node_->ReadBarrier([this, term = term_, number](const Status& status) { OnBarrier(term, number, status); });
}

void DataService::OnBarrier(uint64_t term, uint64_t number, const Status& status) {
  {
    const std::lock_guard guard(acknowledged_mutex_);
    if (term != term_) {
      return;
    }
    if (status.ok()) {
      barriers_done_.store(number, std::memory_order_release);
      barrier_running_ = false;
    } else if (status.code() == StatusCode::kFenced) {
      barrier_fenced_.store(true, std::memory_order_release);
    } else {
      // The library is not ready for it, or too much is going on. The reads that wait share a later one.
      executor_->Post([this, term] {
        if (term == term_) {
          barriers_wanted_ = std::max(barriers_wanted_, barriers_begun_ + 1);
          barrier_running_ = false;
          RetrySoon();
        }
      });
      return;
    }
  }
  executor_->Wake();
}

void DataService::RetrySoon() {
  if (!std::exchange(retry_armed_, true)) {
    executor_->After(1, [this] {
      retry_armed_ = false;
      BeginBarrier();
      on_progress_();
    });
  }
}

void DataService::Redirect(const CommandSpec& spec, std::span<const std::string_view> args, std::string* reply) const {
  const std::string owner = OwnerEndpoint();
  if (owner.empty()) {
    AppendError("CLUSTERDOWN this server is not the primary and does not know which one is", reply);
  } else {
    AppendError("MOVED " + std::to_string(HashSlot(FirstKey(spec, args))) + " " + owner, reply);
  }
}

std::string DataService::OwnerEndpoint() const {
  // What the library has heard last is newer than what this instance was told when it lost the role.
  std::string owner = node_->owner_endpoint();
  if (owner.empty()) {
    owner = owner_endpoint_;
  }
  return owner == options_.endpoint ? std::string() : owner;
}

void DataService::ExpireSome() {
  constexpr size_t kShardsAtOnce = 64;
  constexpr size_t kKeysAtOnce = 1000;
  if (state_ != State::kPrimary || machine_->store().keys_with_expiry() == 0 || !node_->MayServe()) {
    return;
  }
  const int64_t now_ms = options_.unix_ms();
  std::vector<std::string> expired;
  for (size_t i = 0; i < kShardsAtOnce && expired.size() < kKeysAtOnce; ++i) {
    for (const auto& [key, entry] : machine_->store().ShardEntries(expire_cursor_)) {
      if (entry.expire_at_ms != kNeverExpires && entry.expire_at_ms <= now_ms) {
        expired.push_back(key);
      }
    }
    expire_cursor_ = (expire_cursor_ + 1) % kShards;
  }
  for (const std::string& key : expired) {
    effects_.Clear();
    effects_.Delete(key);
    Execution execution;
    std::string refusal;
    if (!AppendEffects(&execution, &refusal)) {
      return;  // the next round finds them again
    }
  }
}

void DataService::OnPrimary(const std::string& service, Lsn applied) {
  executor_->RunAndWait([&] {
    service_ = service;
    if (state_ != State::kHandingOver) {  // else a handover came to nothing, and everything goes on as it was
      last_appended_ = applied.value();
      shard_lsn_.fill(0);
      const std::lock_guard guard(acknowledged_mutex_);
      ++term_;
      append_failed_ = false;
      committed_ = applied.value();
      barrier_running_ = false;
      barrier_fenced_ = false;
    }
    state_ = State::kPrimary;
    on_progress_();
  });
}

void DataService::OnHandoverBegins() {
  executor_->RunAndWait([this] {
    if (state_ == State::kPrimary) {
      state_ = State::kHandingOver;
    }
  });
}

void DataService::OnPromotionBegins() {
  executor_->RunAndWait([this] {
    if (state_ == State::kNotPrimary) {
      state_ = State::kPromoting;
    }
  });
}

void DataService::OnNotPrimary(const std::string& owner_endpoint, bool) {
  executor_->RunAndWait([&] {
    owner_endpoint_ = owner_endpoint;
    // Replies that are still waiting now wait in vain; after a drain there are none, as everything was acknowledged.
    state_ = State::kLost;
    on_progress_();
    state_ = State::kNotPrimary;
  });
}

void DataService::OnStop() { on_stop_(); }

}  // namespace understudy::resp_kv
