#include "tests/sim/metadata.h"

#include <utility>

#include "log/epoch/testing/describe.h"
#include "tests/sim/call.h"

namespace understudy::sim {

struct Metadata::Request {
  NodeId from = 0;
  LogId log;
  ChainOp op;
  std::function<void(ChainReadDone)> read;
  std::function<void(ChainCasDone)> cas;
  bool taken = false;   // a CAS takes effect at most once, however often it is delivered: nobody on the way retries
  bool landed = false;  // or can land no more
  bool done = false;

  void Finish(Status status, const VersionedChain& value) {
    if (done) return;
    done = true;
    if (op.kind == ChainOp::Kind::kRead) {
      read({op.token, std::move(status), value});
    } else {
      cas({op.token, std::move(status), value.version});
    }
    read = nullptr;
    cas = nullptr;
  }
};

Metadata::Metadata(World* world, Oracle* oracle, Coverage* coverage)
    : world_(world), oracle_(oracle), coverage_(coverage), node_(world->AddNode("metadata")) {}

void Metadata::AddLog(const Chain& chain) {
  logs_[chain.log].value = {1, chain};
  oracle_->AddLog(logs_[chain.log].value);
}

bool Metadata::Apply(LogId id, const ChainOp& op) {
  VersionedChain& value = logs_.at(id).value;
  if (op.expected_version != value.version) {
    coverage_->Hit(Reached::cas_conflict);
    return false;
  }
  coverage_->Hit(op.chain == value.chain ? Reached::cas_noop : Reached::cas_won);
  if (op.chain.trim_lsn > value.chain.trim_lsn) coverage_->Hit(Reached::trim_raised);
  if (!value.chain.epochs.empty() && op.chain.Find(value.chain.epochs.front().epoch) == nullptr) {
    coverage_->Hit(Reached::epoch_left_chain);
  }
  value = {value.version + 1, op.chain};
  world_->Note(node_, [&] {
    return "log " + std::to_string(id.value()) + " version " + std::to_string(value.version) + ": " +
           Describe(value.chain) + " trim=" + std::to_string(value.chain.trim_lsn.value()) +
           " checkpoints=" + std::to_string(value.chain.checkpoints.size()) +
           " pins=" + std::to_string(value.chain.pins.size());
  });
  oracle_->OnChain(value);
  return true;
}

void Metadata::Perform(NodeId from, LogId log, const ChainOp& op, std::function<void(ChainReadDone)> read,
                       std::function<void(ChainCasDone)> cas) {
  auto request = std::make_shared<Request>();
  request->from = from;
  request->log = log;
  request->op = op;
  request->read = std::move(read);
  request->cas = std::move(cas);
  if (op.kind == ChainOp::Kind::kCas) logs_.at(log).under_way.push_back(request);
  world_->Send(
      from, node_, [this, request] { Receive(request); },
      [&] {
        if (op.kind == ChainOp::Kind::kRead) return std::string("read the chain");
        return "CAS of version " + std::to_string(op.expected_version) + ": " + Describe(op.chain);
      });
  world_->AfterOn(from, kCallTimeoutNs, [request] {
    request->Finish({StatusCode::kOutcomeUnknown, "no answer in time"}, {});
  });
}

void Metadata::Receive(const std::shared_ptr<Request>& request) {
  if (outage_ == Outage::kSilent) return coverage_->Hit(Fault::metadata_silent);
  if (outage_ == Outage::kRefuses) {
    // Only a request that was never taken up may be refused: kUnavailable promises that it will not happen.
    if (request->taken) return;
    request->taken = request->landed = true;
    coverage_->Hit(Fault::metadata_refuses);
    return Reply(request, {StatusCode::kUnavailable, "the metadata store is down"}, 0, false);
  }
  Log& log = logs_.at(request->log);
  if (request->op.kind == ChainOp::Kind::kRead) {
    auto value = std::make_shared<const VersionedChain>(log.value);
    return world_->Send(
        node_, request->from, [request, value] { request->Finish(Status::Ok(), *value); },
        [&] { return "version " + std::to_string(value->version) + ": " + Describe(value->chain); });
  }
  if (request->taken) return;
  request->taken = true;
  if (const int64_t hold_ns = std::exchange(log.hold_ns, 0); hold_ns > 0) {
    world_->After(hold_ns, [this, request] {
      const bool landed = Apply(request->log, request->op);
      request->landed = true;
      coverage_->Hit(landed ? Fault::cas_landed_late : Fault::cas_late_failed);
      world_->Note(node_, [&] { return std::string("a late CAS ") + (landed ? "lands" : "fails"); });
    });
    return;
  }
  const bool landed = Apply(request->log, request->op);
  request->landed = true;
  const bool lost = std::exchange(log.lose_reply, false);
  if (lost) coverage_->Hit(Fault::cas_reply_lost);
  Reply(request, landed ? Status::Ok() : Status(StatusCode::kConflict, "version"), log.value.version, lost);
}

void Metadata::Reply(const std::shared_ptr<Request>& request, Status status, uint64_t version, bool lost) {
  if (lost) return world_->Note(node_, [] { return "its reply is lost"; });
  world_->Send(
      node_, request->from,
      [request, status, version] {
        VersionedChain value;
        value.version = version;
        request->Finish(status, value);
      },
      [&] { return status.ok() ? "done, version " + std::to_string(version) : status.ToString(); });
}

bool Metadata::CasUnderWay(LogId log) {
  std::vector<std::weak_ptr<Request>>& all = logs_.at(log).under_way;
  std::erase_if(all, [](const std::weak_ptr<Request>& request) {
    const auto alive = request.lock();
    return alive == nullptr || alive->landed;
  });
  return !all.empty();
}

void Metadata::ForgetFaults() {
  outage_ = Outage::kNone;
  for (auto& [id, log] : logs_) {
    log.lose_reply = false;
    log.hold_ns = 0;
  }
}

bool Metadata::RaiseBootCount(const DiskId& disk, uint64_t seen) {
  uint64_t& known = boot_counts_[disk];
  if (seen < known) return false;
  known = seen + 1;
  return true;
}

void Metadata::Register(const DiskId& disk, const std::string& node, const std::string& zone) {
  DiskEntry& entry = disks_[disk];
  entry.disk = disk;
  entry.node = entry.address = node;
  entry.zone = zone;
}

void Metadata::SetState(const DiskId& disk, DiskState state) {
  const auto found = disks_.find(disk);
  if (found != disks_.end() && found->second.state != DiskState::kRetired) found->second.state = state;
}

DiskState Metadata::StateOf(const DiskId& disk) const {
  const auto found = disks_.find(disk);
  return found == disks_.end() ? DiskState::kActive : found->second.state;
}

void Metadata::Look(NodeId from, std::function<void(std::vector<VersionedChain>, std::vector<DiskEntry>)> done) {
  world_->Send(
      from, node_,
      [this, from, done] {
        if (!available()) return;
        auto chains = std::make_shared<std::vector<VersionedChain>>();
        auto disks = std::make_shared<std::vector<DiskEntry>>();
        for (const auto& [id, log] : logs_) chains->push_back(log.value);
        for (const auto& [id, entry] : disks_) disks->push_back(entry);
        world_->Send(
            node_, from, [done, chains, disks] { done(*chains, *disks); },
            [&] { return std::to_string(chains->size()) + " chains, " + std::to_string(disks->size()) + " disks"; });
      },
      [] { return std::string("all chains and disks?"); });
}

}  // namespace understudy::sim
