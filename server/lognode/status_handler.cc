// What this log server has to say of itself, for operators: docs/rpc.md has the document.
#include <nlohmann/json.hpp>

#include "server/lognode/repair.h"

namespace understudy {
namespace {

using Json = nlohmann::json;

Json NeedJson(const RepairNeedStatus& need) {
  Json json = {
      {"kind", RepairKindName(need.kind)}, {"log", need.log.value()}, {"fit", need.fit},   {"wanted", need.wanted},
      {"below_quorum", need.below_quorum}, {"running", need.running}, {"lost", need.lost}, {"text", need.text}};
  if (need.checkpoint != 0) {
    json["checkpoint"] = need.checkpoint;
  } else {
    json["epoch"] = need.epoch.value();
    json["held"] = need.held.value();
    json["to"] = need.to.value();
  }
  return json;
}

}  // namespace

void LogNodeImpl::LogServerStatus(LogServerStatusRequest request, Reply<LogServerStatusResponse> reply) {
  const RepairStatus status = repair_->status(request.needs_max);
  const StoreStats store = store_->Stats();
  const std::optional<uint64_t> references = repair_->references();
  std::string state = dead_ ? "failed" : replica_.retired() ? "retired" : "active";
  Json disks = Json::array();
  for (const RepairDiskStatus& disk : status.disks) {
    const bool ours = disk.disk == this->disk();
    if (ours && state == "active" && disk.word == RepairDiskWord::kDraining) {
      state = references.value_or(1) == 0 ? "drained" : "draining";
    }
    disks.push_back({{"disk", ToHex(disk.disk)},
                     {"node", disk.node},
                     {"word", RepairDiskWordName(disk.word)},
                     {"epochs", disk.epochs},
                     {"checkpoints", disk.checkpoints}});
  }
  Json needs = Json::array();
  for (const RepairNeedStatus& need : status.worst) needs.push_back(NeedJson(need));
  Json over = Json::array();
  for (const QuotaStatus& log : quota_.Over(request.needs_max, Now())) {
    over.push_back(
        {{"log", log.log.value()}, {"bytes", log.bytes}, {"word", QuotaWordName(log.word)}, {"text", log.text}});
  }
  const Json document = {{"disk", ToHex(disk())},
                         {"node", options_.node},
                         {"zone", options_.zone},
                         {"address", advertised()},
                         {"state", state},
                         {"reason", store_->retired_reason()},
                         {"boot_count", boot_count_},
                         {"references", references.has_value() ? Json(*references) : Json()},
                         {"journal_bytes", store.journal_bytes},
                         {"live_bytes", store.live_bytes},
                         {"disk_full", store.disk_full},
                         {"quota", {{"bytes", quota_.quota_bytes()}, {"over", std::move(over)}}},
                         {"repair",
                          {{"looked", status.looked},
                           {"bytes_per_second", budget_.bytes_per_s()},
                           {"chains", status.chains},
                           {"chains_ignored", status.chains_ignored},
                           {"needs", status.needs},
                           {"needs_below_quorum", status.needs_below_quorum},
                           {"lost", status.lost},
                           {"repaired_epochs", status.repaired_epochs},
                           {"repaired_checkpoints", status.repaired_checkpoints},
                           {"list", std::move(needs)},
                           {"disks", std::move(disks)}}}};
  reply({StatusCode::kOk, {}, document.dump()});
}

}  // namespace understudy
