#include "tests/sim/fleet_metadata.h"

#include <memory>

#include "log/format/chain.h"
#include "log/format/disk_entry.h"

namespace understudy::sim {

FleetMetadata::FleetMetadata(World* world, Metadata* chains, std::vector<LogId> logs)
    : world_(world), chains_(chains), logs_(std::move(logs)), stream_(world->StreamFor(0xF1EE7)) {}

void FleetMetadata::Put(Kind kind, const std::string& name, std::string value) {
  Item& item = items_[{kind, name}];
  item = {kind, name, std::move(value), ++version_};
  history_.push_back(item);
}

// Chains are changed by applications; here they join the one order that a watch sees.
void FleetMetadata::NoteChains() {
  for (const LogId log : logs_) {
    const VersionedChain& now = chains_->value(log);
    if (noted_[log] == now.version) continue;
    noted_[log] = now.version;
    history_.push_back(Now(Kind::kLog, std::to_string(log.value())));
  }
}

// Log servers register their disks themselves.
void FleetMetadata::NoteDisks() {
  if (!operators_) return;
  for (const auto& [id, entry] : chains_->disks()) {
    std::string value = EncodeDiskEntry(entry);
    const auto known = items_.find({Kind::kDisk, ToHex(id)});
    if (known == items_.end() || known->second.value != value) Put(Kind::kDisk, ToHex(id), std::move(value));
  }
}

void FleetMetadata::OpenToOperators(size_t logs_max) {
  operators_ = true;
  logs_max_ = logs_max;
  NoteDisks();
}

std::vector<coordinator::ServiceSpec> FleetMetadata::Services() const {
  std::vector<coordinator::ServiceSpec> specs;
  for (const auto& [key, item] : items_) {
    if (key.first != Kind::kService || item.value.empty()) continue;
    specs.push_back(*coordinator::ParseServiceSpec(item.value));
  }
  return specs;
}

// A log that is made, or told what its service asks of it now.
void FleetMetadata::CasChain(NodeId from, const Item& item, uint64_t expected, CasDone done) {
  const LogId log(std::stoull(item.name));
  const Chain chain = *DecodeChain(item.value);
  if (chains_->Knows(log) && expected != 0) {
    return chains_->Perform(from, log, {0, ChainOp::Kind::kCas, expected, chain}, {},
                            [done](const ChainCasDone& answer) { done(answer.status.code(), answer.version); });
  }
  auto taken = std::make_shared<bool>(false);
  world_->Send(
      from, chains_->node(),
      [this, from, log, chain, done, taken] {
        if (*taken || !chains_->available()) return;
        *taken = true;
        StatusCode code = StatusCode::kConflict;
        if (!chains_->Knows(log)) {
          code = log.value() <= logs_max_ ? StatusCode::kOk : StatusCode::kResourceExhausted;
          if (code == StatusCode::kOk) {
            chains_->AddLog(chain);
            logs_.push_back(log);
          }
        }
        if (stream_.Chance(lose_reply_permille)) return;
        world_->Send(
            chains_->node(), from, [done, code] { done(code, 1); },
            [&] { return "a new log: " + std::string(StatusCodeName(code)); });
      },
      [&] { return "makes log " + item.name; });
}

FleetMetadata::Item FleetMetadata::Now(Kind kind, const std::string& name) const {
  if (kind == Kind::kLog) {
    const VersionedChain& chain = chains_->value(LogId(std::stoull(name)));
    return {kind, name, EncodeChain(chain.chain), chain.version};
  }
  const auto found = items_.find({kind, name});
  return found == items_.end() ? Item{kind, name, "", 0} : found->second;
}

void FleetMetadata::Get(NodeId from, Kind kind, const std::string& name, std::function<void(Item)> done) {
  world_->Send(
      from, chains_->node(),
      [this, from, kind, name, done] {
        if (!chains_->available()) return;
        NoteDisks();
        const Item item = Now(kind, name);
        world_->Send(
            chains_->node(), from, [done, item] { done(item); }, [&] { return name + " is " + item.value; });
      },
      [&] { return "reads " + name; });
}

void FleetMetadata::List(NodeId from, std::function<void(std::vector<Item>)> done) {
  world_->Send(
      from, chains_->node(),
      [this, from, done] {
        if (!chains_->available()) return;
        NoteDisks();
        auto all = std::make_shared<std::vector<Item>>();
        for (const LogId log : logs_) all->push_back(Now(Kind::kLog, std::to_string(log.value())));
        for (const auto& [key, item] : items_) {
          if (!item.value.empty()) all->push_back(item);
        }
        world_->Send(
            chains_->node(), from, [done, all] { done(*all); }, [] { return std::string("everything"); });
      },
      [] { return std::string("lists everything"); });
}

void FleetMetadata::Cas(NodeId from, Item item, uint64_t expected,
                        std::function<void(StatusCode, uint64_t version)> done) {
  if (item.kind == Kind::kLog) return CasChain(from, item, expected, std::move(done));
  auto taken = std::make_shared<bool>(false);  // nobody on the way repeats a CAS
  world_->Send(
      from, chains_->node(),
      [this, from, item, expected, done, taken] {
        if (*taken || !chains_->available()) return;
        *taken = true;
        NoteDisks();
        Item& stored = items_[{item.kind, item.name}];
        const uint64_t current = stored.value.empty() ? 0 : stored.version;
        StatusCode code = StatusCode::kConflict;
        if (current == expected) {
          code = StatusCode::kOk;
          stored = item;
          stored.version = ++version_;
          history_.push_back(stored);
          if (item.kind == Kind::kDisk) {
            const DiskEntry entry = *DecodeDiskEntry(item.value);
            chains_->SetState(entry.disk, entry.state);
          }
        }
        if (stream_.Chance(lose_reply_permille)) return;
        world_->Send(
            chains_->node(), from, [done, code, version = stored.version] { done(code, version); },
            [&] { return "CAS of " + item.name + ": " + std::string(StatusCodeName(code)); });
      },
      [&] { return "CAS of " + item.name + " version " + std::to_string(expected) + ": " + item.value; });
}

bool FleetMetadata::Watch(NodeId to, size_t* seen, std::vector<Item>* changes) {
  NoteChains();
  NoteDisks();
  if (!chains_->available() || world_->cut(chains_->node(), to) || world_->cut(to, chains_->node())) return false;
  for (; *seen < history_.size(); ++*seen) changes->push_back(history_[*seen]);
  return true;
}

}  // namespace understudy::sim
