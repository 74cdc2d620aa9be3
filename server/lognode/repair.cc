#include "server/lognode/repair.h"

#include <algorithm>
#include <utility>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr int64_t kAskTimeoutMs = 2'000;

RepairerOptions CoreOptions(const LogNodeOptions& options, DiskId disk) {
  RepairerOptions core;
  core.disk = {disk, options.node};
  core.repair_after_ms = options.repair_after_ms;
  core.chains_max = kRepairChainsMax;
  // What waits for others to come forward waits no longer than what waits for a disk to come back.
  core.turn_ms = std::min(core.turn_ms, options.repair_after_ms);
  core.ask_ms = std::clamp(options.repair_after_ms / 5, int64_t{20}, core.ask_ms);
  return core;
}

RepairerOptions WithTail(RepairerOptions options, const Replica* replica) {
  options.own_tail = [replica](LogId log, Epoch epoch) { return replica->DurableTail(log, epoch); };
  return options;
}

}  // namespace

LogNodeImpl::Repair::Repair(LogNodeImpl* node, MetadataStore* metadata, Random* random)
    : node_(node),
      metadata_(node->loop_, metadata),
      random_(random),
      core_(WithTail(CoreOptions(node->options_, node->disk()), &node->replica_)) {}

void LogNodeImpl::Repair::Begin() {
  if (node_->replica_.retired()) Stop();
  Look();
}

void LogNodeImpl::Repair::Stop() {
  Step(RepairStop{});
  Perform();
}

void LogNodeImpl::Repair::Close() {
  closed_ = true;
  metadata_.Close();
}

void LogNodeImpl::Repair::Step(const RepairerInput& input) {
  core_.Step(input, node_->Now(), &effects_);
  wake_at_ = effects_.wake_at;
  effects_waiting_ = true;
}

void LogNodeImpl::Repair::Perform() {
  if (in_perform_ || closed_) return;
  in_perform_ = true;
  while (effects_waiting_) {
    effects_waiting_ = false;
    std::swap(effects_, performing_);
    PerformOnce(&performing_);
    performing_.Clear();
  }
  in_perform_ = false;
  ArmTimer();
}

void LogNodeImpl::Repair::PerformOnce(RepairerEffects* effects) {
  for (const RepairEvent& event : effects->events) {
    if (event.alarm) {
      LogError("repair", event.text);
    } else {
      LogInfo("repair", event.text);
    }
  }
  for (const AskDisk& ask : effects->asks) Ask(ask);
  for (const AskHeld& ask : effects->held) Ask(ask);
  for (RepairFetch& fetch : effects->fetches) Fetch(std::move(fetch));
  for (const CopyCheckpoint& copy : effects->copies) StartCopy(copy);
  for (const RepairChainOp& op : effects->chain_ops) Perform(op);
}

void LogNodeImpl::Repair::ArmTimer() {
  if (wake_at_ >= armed_at_) return;
  if (armed_at_ != Instant::Never()) node_->loop_->Cancel(timer_);
  armed_at_ = wake_at_;
  timer_ = node_->loop_->At(armed_at_, [this] {
    armed_at_ = Instant::Never();
    if (closed_) return;
    Step(Tick{});
    Perform();
  });
}

void LogNodeImpl::Repair::Ask(const AskDisk& ask) {
  ReplicaStatusRequest request;
  request.log = LogId(1);
  request.disk = ask.disk;
  node_->Use(ask.address, [this, request, ask](LogServiceClient* client, const std::function<void()>& used) {
    client->ReplicaStatus(request, kAskTimeoutMs,
                          [this, alive = std::weak_ptr<bool>(node_->alive_), token = ask.token,
                           used](Result<ReplicaStatusResponse> answer) {
                            if (alive.expired()) return;
                            used();
                            StatusCode code = answer.ok() ? answer->code : StatusCode::kUnavailable;
                            if (code == StatusCode::kNotFound)
                              code = StatusCode::kOk;  // it has never heard of that log
                            Step(RepairDiskAnswered{token, code});
                            Perform();
                          });
  });
}

void LogNodeImpl::Repair::Ask(const AskHeld& ask) {
  node_->Use(ask.address, [this, ask](LogServiceClient* client, const std::function<void()>& used) {
    client->Seal(
        ask.request, kAskTimeoutMs,
        [this, alive = std::weak_ptr<bool>(node_->alive_), token = ask.token, used](Result<SealResponse> answer) {
          if (alive.expired()) return;
          used();
          RepairHeldAnswered held{token, {StatusCode::kUnavailable, "", {}, {}}};
          if (answer.ok()) held.response = std::move(answer).value();
          Step(held);
          Perform();
        });
  });
}

void LogNodeImpl::Repair::Fetch(RepairFetch fetch) {
  const Token token = node_->fetches_.Add([this, token = fetch.token](FetchResponse response) {
    Step(RepairFetched{token, std::move(response)});
    Perform();
  });
  node_->Step(ReplicaFetch{token, std::move(fetch.request), true});
  node_->Perform();
}

void LogNodeImpl::Repair::Perform(const RepairChainOp& op) {
  const std::string key = LogKey(node_->options_.cluster, op.log.value());
  const Token token = op.op.token;
  if (op.op.kind == ChainOp::Kind::kCas) {
    metadata_.CompareAndSwap(
        key, op.op.expected_version, EncodeChain(op.op.chain), [this, token](Result<uint64_t> done) {
          Step(ChainCasDone{token, done.ok() ? Status::Ok() : done.status(), done.ok() ? *done : 0});
          Perform();
        });
    return;
  }
  metadata_.Get(key, [this, token](Result<std::optional<MetadataEntry>> read) {
    ChainReadDone done;
    done.token = token;
    if (!read.ok()) {
      done.status = read.status();
    } else if (read->has_value()) {
      Result<Chain> chain = DecodeChain((*read)->value);
      if (chain.ok()) {
        done.value = {(*read)->version, std::move(chain).value()};
      } else {
        done.status = chain.status();
      }
    }
    Step(done);
    Perform();
  });
}

}  // namespace understudy
