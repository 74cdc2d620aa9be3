#include "log/epoch/testing/sim_cluster.h"

#include <algorithm>

#include "log/epoch/testing/describe.h"
#include "understudy/check.h"

namespace understudy::testing {

// ---- metadata ----

bool SimMetadata::Apply(const ChainOp& op) {
  if (op.expected_version != value.version) return false;
  UNDERSTUDY_CHECK(ValidateChain(op.chain).ok());
  value = {value.version + 1, op.chain};
  network_->Note("metadata", "version " + std::to_string(value.version) + ": " + Describe(value.chain));
  if (on_change) on_change(value);
  return true;
}

void SimMetadata::LandLate() {
  if (!late_.has_value()) return;
  const ChainOp op = std::move(*late_);
  late_.reset();
  if (!Apply(op)) network_->Note("metadata", "a late CAS of version " + std::to_string(op.expected_version) + " fails");
}

void SimMetadata::Perform(const std::string& who, const ChainOp& op, std::function<void(ChainReadDone)> read,
                          std::function<void(ChainCasDone)> cas) {
  auto done = std::make_shared<bool>(false);
  if (op.kind == ChainOp::Kind::kRead) {
    const auto once = [read, done, token = op.token](Status status, VersionedChain chain) {
      if (*done) return;
      *done = true;
      read({token, std::move(status), std::move(chain)});
    };
    const auto lost = [once] { once({StatusCode::kUnavailable, "lost"}, {}); };
    const auto deliver = [this, who, once, lost] {
      const std::string text = "version " + std::to_string(value.version) + ": " + Describe(value.chain);
      network_->Send(
          "metadata", who, text, [once, now = value] { once(Status::Ok(), now); }, lost);
    };
    return network_->Send(who, "metadata", "read the chain", deliver, lost);
  }
  const auto once = [cas, done, token = op.token](Status status, uint64_t version) {
    if (*done) return;
    *done = true;
    cas({token, std::move(status), version});
  };
  const auto lost = [once] { once({StatusCode::kOutcomeUnknown, "the reply was lost"}, 0); };
  // One CAS request takes effect at most once, however often it is delivered: nobody between here and the store
  // retries.
  auto taken = std::make_shared<bool>(false);
  const auto deliver = [this, who, op, once, lost, taken] {
    if (*taken) return;
    *taken = true;
    const Fault fault = std::exchange(next_cas, Fault::kNone);
    if (fault == Fault::kLate) {
      late_ = op;
      network_->At(network_->now() + network_->lost_after_ns, lost);
      return;
    }
    const bool landed = Apply(op);
    const std::string text = landed ? "done, version " + std::to_string(value.version) : "kConflict";
    if (fault == Fault::kReplyLost) {
      network_->Note("metadata", "-> " + who + "  " + text + "  (lost)");
      network_->At(network_->now() + network_->lost_after_ns, lost);
      return;
    }
    const Status status = landed ? Status::Ok() : Status(StatusCode::kConflict, "version");
    network_->Send(
        "metadata", who, text, [once, status, version = value.version] { once(status, version); }, lost);
  };
  network_->Send(who, "metadata", "CAS of version " + std::to_string(op.expected_version) + ": " + Describe(op.chain),
                 deliver, lost);
}

// ---- the cluster ----

SimCluster::SimCluster(int disks, int replicas_target, int ack_quorum) : metadata(&network) {
  for (int i = 1; i <= disks; ++i) {
    disks_.push_back(
        std::make_unique<SimDisk>(&network, "d" + std::to_string(i), [this](const DiskId& id) { return Find(id); }));
  }
  metadata.value.version = 1;
  metadata.value.chain.log = kLog;
  metadata.value.chain.name = "log";
  metadata.value.chain.replicas_target = replicas_target;
  metadata.value.chain.ack_quorum = ack_quorum;
  metadata.on_change = [this](const VersionedChain& now) { Watch(now); };
}

void SimCluster::Watch(const VersionedChain& now) {
  for (const EpochEntry& before : last_chain_.epochs) {
    const EpochEntry* after = now.chain.Find(before.epoch);
    if (after == nullptr) continue;
    if (after->attempt != before.attempt || after->first_lsn != before.first_lsn ||
        (before.closed() && after->last_lsn != before.last_lsn)) {
      Violated("epoch " + std::to_string(before.epoch.value()) + " of the chain was rewritten");
    }
  }
  last_chain_ = now.chain;
}

SimDisk* SimCluster::Find(const DiskId& id) {
  for (auto& disk : disks_) {
    if (disk->id() == id) return disk.get();
  }
  return nullptr;
}

SimDisk& SimCluster::disk(const std::string& name) {
  SimDisk* found = Find(DiskNamed(name));
  UNDERSTUDY_CHECK(found != nullptr);
  return *found;
}

SimProgram& SimCluster::program(const std::string& name) {
  auto& slot = programs_[name];
  if (slot == nullptr) slot = std::make_unique<SimProgram>(this, name);
  return *slot;
}

std::vector<CandidateDisk> SimCluster::Candidates() {
  std::vector<CandidateDisk> candidates;
  for (auto& disk : disks_) {
    if (disk->up() && !disk->retired()) candidates.push_back({disk->ref(), disk->name()});
  }
  return candidates;
}

std::optional<std::string> SimCluster::ContentAt(Lsn lsn) {
  const EpochEntry* entry = metadata.value.chain.Covering(lsn);
  if (entry == nullptr) return std::nullopt;
  std::optional<std::string> content;
  for (const ReplicaRef& ref : entry->disks) {
    SimDisk* disk = Find(ref.disk);
    if (disk == nullptr || disk->retired()) continue;
    const auto& batches = disk->Batches(kLog, entry->epoch);
    auto at = batches.upper_bound(lsn);
    if (at == batches.begin() || (--at)->second.last < lsn) continue;
    BatchIterator records(*at->second.batch);
    Record record;
    while (records.Next(&record)) {
      if (record.lsn != lsn) continue;
      if (content.has_value() && *content != record.payload) return "(two contents)";
      content = std::string(record.payload);
    }
  }
  return content;
}

std::string SimCluster::Check() {
  const auto at = [](Lsn lsn) { return " at LSN " + std::to_string(lsn.value()); };
  std::map<Lsn, std::string> seen;
  for (const Acked& record : acked) {
    const auto [other, fresh] = seen.emplace(record.lsn, record.payload);
    if (!fresh && other->second != record.payload) {
      return "two records were acknowledged" + at(record.lsn) + ": " + other->second + " and " + record.payload;
    }
    const EpochEntry* entry = metadata.value.chain.Covering(record.lsn);
    if (entry == nullptr) return "acknowledged, yet in no epoch: " + record.payload + at(record.lsn);
    if (entry->epoch != record.epoch) {
      return "acknowledged in epoch " + std::to_string(record.epoch.value()) + ", above its end: " + record.payload +
             at(record.lsn);
    }
    const std::optional<std::string> content = ContentAt(record.lsn);
    if (!content.has_value()) return "acknowledged and lost: " + record.payload + at(record.lsn);
    if (*content != record.payload) return "acknowledged " + record.payload + ", stored " + *content + at(record.lsn);
  }
  for (const EpochEntry& entry : metadata.value.chain.epochs) {
    if (!entry.closed()) continue;
    for (Lsn lsn = entry.first_lsn; lsn <= *entry.last_lsn; lsn = lsn + 1) {
      if (!ContentAt(lsn).has_value()) return "a closed epoch has a hole" + at(lsn);
    }
  }
  return "";
}

}  // namespace understudy::testing
