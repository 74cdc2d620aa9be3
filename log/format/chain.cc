#include "log/format/chain.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace understudy {
namespace {

using nlohmann::json;

Status Broken(const std::string& what) { return {StatusCode::kCorruption, "chain: " + what}; }

json EncodeEpoch(const EpochEntry& entry) {
  json disks = json::array();
  for (const ReplicaRef& replica : entry.disks) {
    disks.push_back({{"disk", ToHex(replica.disk)}, {"node", replica.node}});
  }
  json out = {{"epoch", entry.epoch.value()},
              {"attempt", ToHex(entry.attempt)},
              {"owner", {{"node", entry.owner.node}, {"endpoint", entry.owner.endpoint}}},
              {"first_lsn", entry.first_lsn.value()},
              {"disks", std::move(disks)},
              {"ack_quorum", entry.ack_quorum}};
  if (entry.last_lsn) out["last_lsn"] = entry.last_lsn->value();
  return out;
}

template <class Id>
Id ParseId(const json& value) {
  Id id;
  if (!FromHex(value.get<std::string>(), &id)) throw std::invalid_argument("an id is not 32 hexadecimal digits");
  return id;
}

EpochEntry DecodeEpoch(const json& in) {
  EpochEntry entry;
  entry.epoch = Epoch(in.at("epoch").get<uint64_t>());
  entry.attempt = ParseId<AttemptId>(in.at("attempt"));
  entry.owner.node = in.at("owner").at("node").get<std::string>();
  entry.owner.endpoint = in.at("owner").at("endpoint").get<std::string>();
  entry.first_lsn = Lsn(in.at("first_lsn").get<uint64_t>());
  if (in.contains("last_lsn")) entry.last_lsn = Lsn(in.at("last_lsn").get<uint64_t>());
  for (const json& disk : in.at("disks")) {
    entry.disks.push_back({ParseId<DiskId>(disk.at("disk")), disk.at("node").get<std::string>()});
  }
  entry.ack_quorum = in.at("ack_quorum").get<int>();
  return entry;
}

}  // namespace

const EpochEntry* Chain::Find(Epoch epoch) const {
  for (const EpochEntry& entry : epochs) {
    if (entry.epoch == epoch) return &entry;
  }
  return nullptr;
}

const EpochEntry* Chain::FindAttempt(const AttemptId& attempt) const {
  for (const EpochEntry& entry : epochs) {
    if (entry.attempt == attempt) return &entry;
  }
  return nullptr;
}

const EpochEntry* Chain::Covering(Lsn lsn) const {
  for (const EpochEntry& entry : epochs) {
    if (entry.first_lsn <= lsn && (!entry.closed() || lsn <= *entry.last_lsn)) return &entry;
  }
  return nullptr;
}

Lsn Chain::TrimBound() const {
  if (checkpoints.empty()) return Lsn(0);
  Lsn bound = checkpoints.front().lsn;
  for (const Pin& pin : pins) bound = std::min(bound, pin.lsn);
  return bound;
}

Status ValidateChain(const Chain& chain) {
  if (chain.log.value() == 0) return Broken("log id is 0");
  if (chain.replicas_target < 1 || chain.ack_quorum < 1 || chain.ack_quorum > chain.replicas_target) {
    return Broken("needs 1 <= ack_quorum <= replicas_target");
  }
  for (size_t i = 0; i < chain.epochs.size(); ++i) {
    const EpochEntry& entry = chain.epochs[i];
    const std::string name = "epoch " + std::to_string(entry.epoch.value());
    if (entry.epoch.value() == 0 || entry.first_lsn.value() == 0) return Broken(name + ": epoch or first_lsn is 0");
    if (entry.attempt.none()) return Broken(name + ": no attempt id");
    if (entry.ack_quorum < 1 || entry.ack_quorum > static_cast<int>(entry.disks.size())) {
      return Broken(name + ": needs 1 <= ack_quorum <= number of disks");
    }
    for (size_t a = 0; a < entry.disks.size(); ++a) {
      for (size_t b = a + 1; b < entry.disks.size(); ++b) {
        if (entry.disks[a].disk == entry.disks[b].disk) return Broken(name + ": a disk is listed twice");
      }
    }
    if (entry.closed() && *entry.last_lsn + 1 < entry.first_lsn) return Broken(name + ": ends before it begins");
    if (i + 1 == chain.epochs.size()) continue;
    const EpochEntry& next = chain.epochs[i + 1];
    if (!entry.closed()) return Broken(name + ": open, yet not the last");
    if (next.epoch <= entry.epoch) return Broken(name + ": epochs do not ascend");
    if (next.first_lsn <= *entry.last_lsn) return Broken(name + ": overlaps the next");
    if (next.attempt == entry.attempt) return Broken(name + ": shares its attempt with the next");
  }
  for (size_t i = 1; i < chain.checkpoints.size(); ++i) {
    if (chain.checkpoints[i].lsn < chain.checkpoints[i - 1].lsn) return Broken("checkpoints do not ascend");
  }
  if (chain.trim_lsn > Lsn(0) && chain.trim_lsn > chain.TrimBound()) {
    return Broken("trimmed above the oldest checkpoint or pin");
  }
  return Status::Ok();
}

std::string EncodeChain(const Chain& chain) {
  json epochs = json::array();
  for (const EpochEntry& entry : chain.epochs) epochs.push_back(EncodeEpoch(entry));
  json checkpoints = json::array();
  for (const CheckpointEntry& entry : chain.checkpoints) {
    json disks = json::array();
    for (const DiskId& disk : entry.disks) disks.push_back(ToHex(disk));
    checkpoints.push_back(
        {{"id", entry.id}, {"lsn", entry.lsn.value()}, {"bytes", entry.bytes}, {"disks", std::move(disks)}});
  }
  json pins = json::array();
  for (const Pin& pin : chain.pins) {
    pins.push_back({{"holder", pin.holder},
                    {"checkpoint", pin.checkpoint_id},
                    {"lsn", pin.lsn.value()},
                    {"expires_unix_ms", pin.expires_unix_ms}});
  }
  json out = {{"log_id", chain.log.value()},
              {"name", chain.name},
              {"replicas_target", chain.replicas_target},
              {"ack_quorum", chain.ack_quorum},
              {"chain", std::move(epochs)},
              {"trim_lsn", chain.trim_lsn.value()},
              {"checkpoints", std::move(checkpoints)},
              {"pins", std::move(pins)},
              {"next_checkpoint_id", chain.next_checkpoint_id}};
  if (chain.quota_bytes != 0) out["quota_bytes"] = chain.quota_bytes;
  return out.dump();
}

Result<Chain> DecodeChain(std::string_view text) {
  Chain chain;
  try {
    const json in = json::parse(text);
    chain.log = LogId(in.at("log_id").get<uint64_t>());
    chain.name = in.at("name").get<std::string>();
    chain.replicas_target = in.at("replicas_target").get<int>();
    chain.ack_quorum = in.at("ack_quorum").get<int>();
    for (const json& entry : in.at("chain")) chain.epochs.push_back(DecodeEpoch(entry));
    chain.trim_lsn = Lsn(in.at("trim_lsn").get<uint64_t>());
    for (const json& entry : in.at("checkpoints")) {
      CheckpointEntry checkpoint{entry.at("id").get<uint64_t>(), Lsn(entry.at("lsn").get<uint64_t>()),
                                 entry.at("bytes").get<uint64_t>(), {}};
      for (const json& disk : entry.at("disks")) checkpoint.disks.push_back(ParseId<DiskId>(disk));
      chain.checkpoints.push_back(std::move(checkpoint));
    }
    for (const json& entry : in.at("pins")) {
      chain.pins.push_back({entry.at("holder").get<std::string>(), entry.at("checkpoint").get<uint64_t>(),
                            Lsn(entry.at("lsn").get<uint64_t>()), entry.at("expires_unix_ms").get<int64_t>()});
    }
    chain.next_checkpoint_id = in.at("next_checkpoint_id").get<uint64_t>();
    chain.quota_bytes = in.value("quota_bytes", uint64_t{0});
  } catch (const std::exception& error) {
    return Broken(error.what());
  }
  UNDERSTUDY_RETURN_IF_ERROR(ValidateChain(chain));
  return chain;
}

}  // namespace understudy
