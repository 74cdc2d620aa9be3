// What operators ask for of disks and logs: drain, take back, forget, rebalance, and the acceptance of a loss.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "log/epoch/placement.h"
#include "log/format/disk_entry.h"
#include "server/coordinator/core/core.h"

namespace understudy::coordinator {
namespace {

using Json = nlohmann::json;

constexpr int kDiskWriteTriesMax = 10;   // its log server writes the entry, too, once a minute
constexpr size_t kDiskPrefixMin = 4;     // of a disk's id, when it is not given in full
constexpr int kRebalancePassesMax = 10;  // each makes the spread strictly better

std::string Short(const std::string& disk) { return disk.substr(0, 8); }

// What still refers to a disk.
struct DiskUse {
  int open = 0, closed = 0, checkpoints = 0;
  bool any() const { return open + closed + checkpoints > 0; }
  std::string text() const {
    return std::to_string(open) + " open and " + std::to_string(closed) + " closed epochs and " +
           std::to_string(checkpoints) + " checkpoints";
  }
};

DiskUse UseOf(const std::map<uint64_t, LogState>& logs, const DiskId& disk) {
  DiskUse use;
  for (const auto& [id, log] : logs) {
    for (const EpochEntry& epoch : log.chain.epochs) {
      const bool listed = std::any_of(epoch.disks.begin(), epoch.disks.end(),
                                      [&](const ReplicaRef& replica) { return replica.disk == disk; });
      if (listed) ++(epoch.closed() ? use.closed : use.open);
    }
    for (const CheckpointEntry& checkpoint : log.chain.checkpoints) {
      use.checkpoints += static_cast<int>(std::count(checkpoint.disks.begin(), checkpoint.disks.end(), disk));
    }
  }
  return use;
}

Json Names(const std::vector<ReplicaRef>& disks) {
  Json names = Json::array();
  for (const ReplicaRef& disk : disks) names.push_back({{"disk", ToHex(disk.disk)}, {"node", disk.node}});
  return names;
}

bool SameSet(const std::vector<ReplicaRef>& a, const std::vector<ReplicaRef>& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const ReplicaRef& one) {
           return std::any_of(b.begin(), b.end(), [&](const ReplicaRef& other) { return other.disk == one.disk; });
         });
}

std::string TextOf(const Json& document, const char* field) {
  const auto found = document.find(field);
  return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
}
uint64_t NumberOf(const Json& document, const char* field) {
  const auto found = document.find(field);
  return found != document.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}
bool FlagOf(const Json& document, const char* field) {
  const auto found = document.find(field);
  return found != document.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

void Core::LogsRequest(const OperatorRequest& in) {
  const Json document = Json::parse(in.document, nullptr, false);
  if (!document.is_object()) {
    Reply(in.token, StatusCode::kInvalidArgument, "logs: the request is no JSON object");
    return;
  }
  const std::string what = TextOf(document, "request");
  if (what == "drain" || what == "undrain" || what == "remove_disk") {
    ChangeDisks(in.token, what, TextOf(document, "node"), TextOf(document, "disk"), FlagOf(document, "force"));
  } else if (what == "rebalance") {
    Rebalance(in.token, FlagOf(document, "dry_run"));
  } else if (what == "accept_data_loss") {
    AcceptDataLoss(in.token, TextOf(document, "service"), TextOf(document, "node"));
  } else if (what == "accept_closed_loss") {
    AcceptClosedLoss(in.token, TextOf(document, "service"), Epoch(NumberOf(document, "epoch")),
                     Lsn(NumberOf(document, "from")), Lsn(NumberOf(document, "to")));
  } else {
    Reply(in.token, StatusCode::kUnsupported, "logs: no request is called '" + what + "'");
  }
}

// ------------------------------------------------------------------ disks

void Core::ChangeDisks(uint64_t token, const std::string& what, const std::string& node, const std::string& disk,
                       bool force) {
  const auto refuse = [&](StatusCode code, const std::string& why) { Reply(token, code, why); };
  if (node.empty() == disk.empty()) return refuse(StatusCode::kInvalidArgument, "name a node or a disk, one of them");
  if (!disk.empty() && disk.size() < kDiskPrefixMin) {
    return refuse(StatusCode::kInvalidArgument, "give at least 4 digits of the disk's id");
  }
  PendingDisks pending;
  pending.token = token;
  pending.what = what;
  for (const auto& [id, state] : disks_) {
    const Result<DiskEntry> entry = DecodeDiskEntry(state.value);
    if (!entry.ok() || (node.empty() ? !id.starts_with(disk) : entry->node != node)) continue;
    pending.waiting[id] = 0;
  }
  const std::string named = node.empty() ? "disk " + disk : "node " + node;
  if (pending.waiting.empty()) {
    return refuse(StatusCode::kNotFound, node.empty() ? "no disk '" + disk + "'" : "no disk is on node '" + node + "'");
  }
  if (!disk.empty() && pending.waiting.size() > 1) {
    return refuse(StatusCode::kInvalidArgument, named + ": more than one disk's id begins so");
  }
  for (const auto& [id, tries] : pending.waiting) {
    if (changing_disks_.count(id) > 0) {
      return refuse(StatusCode::kFailedPrecondition, "disk " + Short(id) + " is being changed already");
    }
    const DiskEntry entry = *DecodeDiskEntry(disks_.at(id).value);
    const DiskUse use = UseOf(logs_, entry.disk);
    if (what == "drain" || what == "remove_disk") {
      if (use.any()) pending.notes.push_back("disk " + Short(id) + " holds " + use.text());
    }
    if (entry.state == understudy::DiskState::kRetired && what != "remove_disk") {
      return refuse(StatusCode::kFailedPrecondition,
                    "disk " + Short(id) + " is retired: it was damaged or rolled back, and never takes epochs again");
    }
    if (what != "remove_disk" || force) continue;
    if (use.any()) {
      return refuse(StatusCode::kFailedPrecondition,
                    "disk " + Short(id) + " on " + entry.node + " still holds " + use.text() +
                        "; drain it and wait until they are elsewhere, or --force when it is lost for good");
    }
    if (entry.state == understudy::DiskState::kActive) {
      return refuse(StatusCode::kFailedPrecondition,
                    "disk " + Short(id) + " on " + entry.node + " is active; drain it first");
    }
  }
  const uint64_t key = ++disk_changes_;
  for (const auto& [id, tries] : pending.waiting) changing_disks_[id] = key;
  pending_disks_[key] = std::move(pending);
  const std::map<std::string, int> waiting = pending_disks_.at(key).waiting;
  for (const auto& [id, tries] : waiting) WriteDisk(id);
}

void Core::WriteDisk(const std::string& id) {
  const uint64_t key = changing_disks_.at(id);
  PendingDisks& pending = pending_disks_.at(key);
  const auto state = disks_.find(id);
  if (state == disks_.end())
    return DiskChanged(id, pending.what == "remove_disk" ? Status::Ok() : Status(StatusCode::kNotFound, "it is gone"));
  Result<DiskEntry> entry = DecodeDiskEntry(state->second.value);
  if (!entry.ok()) return DiskChanged(id, entry.status());
  if (pending.what == "remove_disk") {
    out_->writes.push_back({MetadataKind::kDisk, id, state->second.version, ""});
    return;
  }
  const auto wanted = pending.what == "drain" ? understudy::DiskState::kDraining : understudy::DiskState::kActive;
  if (entry->state == wanted) return DiskChanged(id, Status::Ok());
  entry->state = wanted;
  out_->writes.push_back({MetadataKind::kDisk, id, state->second.version, EncodeDiskEntry(*entry)});
}

void Core::OnDiskWritten(const MetadataWritten& in) {
  const auto changing = changing_disks_.find(in.name);
  if (changing == changing_disks_.end()) return;
  PendingDisks& pending = pending_disks_.at(changing->second);
  if (in.code == StatusCode::kOk) {
    DiskChanged(in.name, Status::Ok());
    out_->reads.push_back({MetadataKind::kDisk, in.name});  // what stands there now
    return;
  }
  const bool again = in.code == StatusCode::kConflict || in.code == StatusCode::kOutcomeUnknown;
  if (!again || ++pending.waiting.at(in.name) >= kDiskWriteTriesMax) {
    return DiskChanged(in.name, {in.code, in.detail});
  }
  out_->reads.push_back({MetadataKind::kDisk, in.name});  // goes on in OnDiskRead
}

// A fresh look at an entry whose write failed.
void Core::OnDiskRead(const std::string& id) {
  const auto changing = changing_disks_.find(id);
  if (changing == changing_disks_.end()) return;
  if (pending_disks_.at(changing->second).waiting.at(id) > 0) WriteDisk(id);
}

void Core::DiskChanged(const std::string& id, const Status& status) {
  const uint64_t key = changing_disks_.at(id);
  changing_disks_.erase(id);
  PendingDisks& pending = pending_disks_.at(key);
  pending.waiting.erase(id);
  if (status.ok()) {
    pending.done.push_back(id);
    const auto state = disks_.find(id);
    const Result<DiskEntry> entry = state == disks_.end() ? Result<DiskEntry>(Status(StatusCode::kNotFound, ""))
                                                          : DecodeDiskEntry(state->second.value);
    Record(pending.what == "drain"     ? "disk_draining"
           : pending.what == "undrain" ? "disk_active"
                                       : "disk_removed",
           "", entry.ok() ? entry->node : "", "disk " + Short(id))
        .details.emplace_back("disk", id);
  } else if (pending.failed.ok()) {
    pending.failed = status.WithContext("disk " + Short(id));
  }
  if (!pending.waiting.empty()) return;
  const Json document = {{"disks", pending.done}, {"notes", pending.notes}};
  Reply(pending.token, pending.failed.code(), pending.failed.message(), document.dump());
  pending_disks_.erase(key);
}

// ------------------------------------------------------------------ how many disks

// Where the file does not say it: three disks, two to acknowledge, once there are three log servers. Never fewer than
// the service has.
void Core::ChooseReplicas(ServiceSpec* spec, const ServiceState* known) const {
  if (spec->replicas_given) return;
  std::set<std::string> nodes;
  for (const auto& [id, state] : disks_) {
    const Result<DiskEntry> entry = DecodeDiskEntry(state.value);
    if (entry.ok() && entry->state == understudy::DiskState::kActive) nodes.insert(entry->node);
  }
  spec->replicas = nodes.size() >= 3 ? 3 : 1;
  if (known != nullptr && known->spec.replicas >= spec->replicas) {
    spec->replicas = known->spec.replicas;
    spec->ack_quorum = known->spec.ack_quorum;
  } else {
    spec->ack_quorum = spec->replicas / 2 + 1;
  }
  spec->replicas_given = true;
}

// A service that was applied with other numbers: its log's next epochs, and who watches its quota, follow. One try a
// version of the chain; whoever else changed it brings the next.
void Core::TellChain(const ServiceState& service) {
  const auto log = logs_.find(service.spec.log.value());
  if (log == logs_.end() || log->second.version == 0 || log->second.told_at == log->second.version) return;
  Chain chain = log->second.chain;
  if (chain.name != service.spec.name) return;
  chain.replicas_target = service.spec.replicas;
  chain.ack_quorum = service.spec.ack_quorum;
  chain.quota_bytes = static_cast<uint64_t>(service.spec.log_quota_bytes);
  if (chain == log->second.chain) return;
  log->second.told_at = log->second.version;
  out_->writes.push_back({MetadataKind::kLog, std::to_string(log->first), log->second.version, EncodeChain(chain)});
}

// ------------------------------------------------------------------ rebalance

// Which open epochs should be on other disks: so that zones differ, draining disks are left, and every disk serves as
// many as the others. A disk counts as usable here when it is registered and active; the writer that is told to move
// looks whether it lives.
std::vector<Core::DiskMove> Core::PlanRebalance() const {
  std::vector<PlacementDisk> usable;
  std::map<DiskId, int> load;
  for (const auto& [id, state] : disks_) {
    const Result<DiskEntry> entry = DecodeDiskEntry(state.value);
    if (!entry.ok() || entry->state == understudy::DiskState::kRetired) continue;
    usable.push_back({{entry->disk, entry->node}, entry->zone, entry->state == understudy::DiskState::kDraining});
    load[entry->disk] = 0;
  }
  std::map<uint64_t, std::vector<ReplicaRef>> where;
  for (const auto& [id, log] : logs_) {
    const EpochEntry* last = log.chain.last();
    if (last == nullptr || last->closed()) continue;
    where[id] = last->disks;
    for (const ReplicaRef& disk : last->disks) ++load[disk.disk];
  }
  bool better = true;
  for (int pass = 0; better && pass < kRebalancePassesMax; ++pass) {
    better = false;
    for (auto& [id, disks] : where) {
      const auto holds = [&](const DiskId& disk) {
        return std::any_of(disks.begin(), disks.end(), [&](const ReplicaRef& one) { return one.disk == disk; });
      };
      // A move from one disk to another makes the spread better only when that has two fewer.
      std::vector<PlacementDisk> candidates = usable;
      std::stable_sort(candidates.begin(), candidates.end(), [&](const PlacementDisk& a, const PlacementDisk& b) {
        const bool a_holds = holds(a.disk.disk);
        const bool b_holds = holds(b.disk.disk);
        return std::pair(load.at(a.disk.disk) - (a_holds ? 1 : 0), !a_holds) <
               std::pair(load.at(b.disk.disk) - (b_holds ? 1 : 0), !b_holds);
      });
      const auto target = static_cast<size_t>(logs_.at(id).chain.replicas_target);
      const auto worth = [&](const std::vector<ReplicaRef>& chosen, const auto& mine) {
        std::vector<PlacementDisk> placed;
        int others = 0;  // open epochs of other logs on these disks
        for (const ReplicaRef& one : chosen) {
          const auto known = std::find_if(usable.begin(), usable.end(),
                                          [&](const PlacementDisk& disk) { return disk.disk.disk == one.disk; });
          placed.push_back(known == usable.end() ? PlacementDisk{one, "", true} : *known);
          others += load[one.disk] - (mine(one.disk) ? 1 : 0);
        }
        const auto missing = target > chosen.size() ? target - chosen.size() : 0;
        return std::tuple(missing, PlacementFaults(placed), others);
      };
      const std::vector<ReplicaRef> next = PlaceReplicas(candidates, target);
      if (next.size() < disks.size() || SameSet(next, disks) || worth(next, holds) >= worth(disks, holds)) continue;
      for (const ReplicaRef& disk : disks) --load[disk.disk];
      for (const ReplicaRef& disk : next) ++load[disk.disk];
      disks = next;
      better = true;
    }
  }
  std::vector<DiskMove> moves;
  for (const auto& [id, disks] : where) {
    const Chain& chain = logs_.at(id).chain;
    if (!SameSet(chain.last()->disks, disks)) moves.push_back({LogId(id), chain.name, chain.last()->disks, disks});
  }
  return moves;
}

void Core::Rebalance(uint64_t token, bool dry_run) {
  Json moves = Json::array();
  Json notes = Json::array();
  for (const DiskMove& move : PlanRebalance()) {
    ServiceState* service = FindService(move.name);
    NodeState* primary = service == nullptr || service->spec.log != move.log ? nullptr : &Node(service->owner);
    const bool told = primary != nullptr && primary->AppIs(AppRole::kPrimary, service->spec.name) &&
                      service->plan.move.kind == MoveKind::kNone;
    moves.push_back(
        {{"log", move.name}, {"from", Names(move.from)}, {"to", Names(move.to)}, {"asked", told && !dry_run}});
    if (!told) notes.push_back("log " + move.name + " has no primary that could move it now");
    if (!told || dry_run) continue;
    Command command = MakeCommand(CommandKind::kMoveDisks, *service);
    command.epoch = service->epoch;
    for (const ReplicaRef& disk : move.to) command.disks.push_back(disk.disk);
    Forget(*primary, service->spec.name, CommandKind::kMoveDisks);
    Ensure(*primary, std::move(command), options_.command_retry_ms);
    Record("log_rebalanced", service->spec.name, primary->name, "asked to move its open epoch to other disks");
  }
  const Json document = {{"moves", moves}, {"notes", notes}, {"dry_run", dry_run}};
  Reply(token, StatusCode::kOk, "", document.dump());
}

// ------------------------------------------------------------------ accepting a loss

void Core::AcceptDataLoss(uint64_t token, const std::string& name, const std::string& confirmed_node) {
  const auto refuse = [&](StatusCode code, const std::string& why) { Reply(token, code, why); };
  ServiceState* service = FindService(name);
  if (service == nullptr) return refuse(StatusCode::kNotFound, "no service '" + name + "'");
  const auto log = logs_.find(service->spec.log.value());
  const EpochEntry* last = log == logs_.end() ? nullptr : log->second.chain.last();
  if (last == nullptr) return refuse(StatusCode::kFailedPrecondition, "'" + name + "' has never had a writer");
  const NodeState& owner = Node(last->owner.node);
  if (owner.AppIs(AppRole::kPrimary, name) && owner.report.app.epoch >= last->epoch) {
    return refuse(StatusCode::kFailedPrecondition, "'" + name + "' is served by " + owner.name + ": nothing is lost");
  }
  const Move& move = service->plan.move;
  const NodeState* target = move.to.empty() ? nullptr : &Node(move.to);
  if (move.kind == MoveKind::kNone || target == nullptr || !target->AppUp() || target->report.app.waiting.empty()) {
    return refuse(StatusCode::kFailedPrecondition,
                  "no takeover of '" + name + "' waits for disks; there is nothing to accept (yet)");
  }
  if (last->closed()) {
    return refuse(
        StatusCode::kFailedPrecondition,
        "the last epoch of '" + name + "' is closed and complete: it waits for live disks, not for lost ones");
  }
  const std::string lost = target->report.app.waiting + ". Records of epoch " + std::to_string(last->epoch.value()) +
                           " from LSN " + std::to_string(last->first_lsn.value()) +
                           " on that no disk which answers holds would be given up, acknowledged " + "ones too; " +
                           std::to_string(service->primary_last.value()) +
                           " was the last LSN known to be committed, and " +
                           std::to_string(service->checkpoint_lsn.value()) + " is the newest checkpoint's";
  if (confirmed_node != last->owner.node) {
    return refuse(StatusCode::kFailedPrecondition,
                  lost + ". If the disks cannot come back: see that node " + last->owner.node +
                      ", where the last writer ran, is switched off, and say so with --confirm-node-is-off " +
                      last->owner.node);
  }
  if (service->loss_token != 0) Reply(service->loss_token, StatusCode::kCancelled, "asked again");
  service->loss_token = token;
  service->loss_epoch = last->epoch;
  Record("data_loss_accepted", name, target->name, lost).details.emplace_back("confirmed_off", confirmed_node);
}

// Told to the target in AdvanceTakeOver; here its end is seen.
void Core::WatchAcceptedLoss(ServiceState& service) {
  if (service.loss_epoch == Epoch() || service.epoch <= service.loss_epoch) return;
  const NodeState& node = Node(service.owner);
  if (!node.AppIs(AppRole::kPrimary, service.spec.name) || node.report.app.epoch < service.epoch) return;
  const AppReport& app = node.report.app;
  const bool lost = app.lost_from != Lsn();
  Event& event = Record(lost ? "data_lost" : "data_complete", service.spec.name, node.name,
                        lost ? "records " + std::to_string(app.lost_from.value()) + " to " +
                                   std::to_string(app.lost_to.value()) + " were given up"
                             : "the disks answered after all: nothing was given up");
  event.details.emplace_back("lost_from", static_cast<int64_t>(app.lost_from.value()));
  event.details.emplace_back("lost_to", static_cast<int64_t>(app.lost_to.value()));
  const Json document = {{"service", service.spec.name},
                         {"node", node.name},
                         {"lost_from", app.lost_from.value()},
                         {"lost_to", app.lost_to.value()}};
  Reply(service.loss_token, StatusCode::kOk, "", document.dump());
  service.loss_token = 0;
  service.loss_epoch = Epoch();
}

// Records of a closed epoch that no disk has any more: it ends below them from now on. Their LSNs stay unused, so
// readers get them as lost; what a disk that comes back after all holds of them is above the epoch's end, and garbage.
// Which ones they are is the log servers' word (repair), which the operator has seen.
void Core::AcceptClosedLoss(uint64_t token, const std::string& name, Epoch epoch, Lsn from, Lsn to) {
  const auto refuse = [&](StatusCode code, const std::string& why) { Reply(token, code, why); };
  const ServiceState* service = FindService(name);
  if (service == nullptr) return refuse(StatusCode::kNotFound, "no service '" + name + "'");
  const auto log = logs_.find(service->spec.log.value());
  Chain chain = log == logs_.end() ? Chain() : log->second.chain;
  const auto entry =
      std::find_if(chain.epochs.begin(), chain.epochs.end(), [&](const EpochEntry& one) { return one.epoch == epoch; });
  const std::string title = "epoch " + std::to_string(epoch.value()) + " of '" + name + "'";
  if (entry == chain.epochs.end()) return refuse(StatusCode::kNotFound, title + " is not in the chain");
  if (!entry->closed()) {
    return refuse(StatusCode::kFailedPrecondition, title + " is open: its takeover says what it waits for");
  }
  const Lsn first = std::max(entry->first_lsn, chain.trim_lsn + 1);
  if (to != *entry->last_lsn || from < first || from > to) {
    return refuse(StatusCode::kInvalidArgument, title + " holds LSN " + std::to_string(first.value()) + " to " +
                                                    std::to_string(entry->last_lsn->value()) +
                                                    "; what is given up must lie there and go to its end");
  }
  if (log->second.closed_loss.token != 0) {
    return refuse(StatusCode::kFailedPrecondition, "a part of this log is being given up already");
  }
  entry->last_lsn = from - 1;
  log->second.closed_loss = {token, epoch, from, to, false};
  Record("data_loss_accepted", name, "",
         title + ": records " + std::to_string(from.value()) + " to " + std::to_string(to.value()) +
             ", which no disk that is left has");
  out_->writes.push_back({MetadataKind::kLog, std::to_string(log->first), log->second.version, EncodeChain(chain)});
}

void Core::ClosedLossWritten(const std::string& log) {
  for (auto& [id, state] : logs_) {
    if (std::to_string(id) != log || state.closed_loss.token == 0) continue;
    state.closed_loss.answered = true;
    out_->reads.push_back({MetadataKind::kLog, log});
  }
}

// The chain as it was read since.
void Core::SettleClosedLoss(const std::string& log) {
  for (auto& [id, state] : logs_) {
    if (std::to_string(id) != log || state.closed_loss.token == 0 || !state.closed_loss.answered) continue;
    const LogState::ClosedLoss loss = std::exchange(state.closed_loss, {});
    const EpochEntry* entry = state.chain.Find(loss.epoch);
    if (entry == nullptr || entry->last_lsn != loss.from - 1) {
      return Reply(loss.token, StatusCode::kConflict,
                   "the log's metadata were changed meanwhile, or could not be; ask again");
    }
    const std::string& name = state.chain.name;
    Event& event = Record(
        "data_lost", name, "",
        "records " + std::to_string(loss.from.value()) + " to " + std::to_string(loss.to.value()) + " were given up");
    event.details.emplace_back("lost_from", static_cast<int64_t>(loss.from.value()));
    event.details.emplace_back("lost_to", static_cast<int64_t>(loss.to.value()));
    // A primary's state may still hold what the log has lost: from its checkpoint others get it, too.
    if (ServiceState* service = FindService(name);
        service != nullptr && Node(service->owner).AppIs(AppRole::kPrimary, name)) {
      Forget(Node(service->owner), name, CommandKind::kCheckpoint);
      Ensure(Node(service->owner), MakeCommand(CommandKind::kCheckpoint, *service), options_.command_retry_ms);
    }
    const Json document = {{"service", name},
                           {"epoch", loss.epoch.value()},
                           {"lost_from", loss.from.value()},
                           {"lost_to", loss.to.value()}};
    return Reply(loss.token, StatusCode::kOk, "", document.dump());
  }
}

}  // namespace understudy::coordinator
