// logs: each log's chain from the metadata, and what its disks say of it.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/text.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

struct DiskView {
  std::string disk, node;
  Status status;  // of asking it
  ReplicaStatusResponse says;
};

struct LogView {
  Chain chain;
  std::vector<DiskView> disks;  // of the last epoch
  Lsn commit, tail;
  uint64_t bytes = 0;       // on all disks together
  uint64_t bytes_most = 0;  // on one of them
};

LogView Look(Session* session, const Chain& chain) {
  LogView view;
  view.chain = chain;
  if (chain.last() == nullptr) return view;
  for (const ReplicaRef& replica : chain.last()->disks) {
    DiskView& disk = view.disks.emplace_back();
    disk.disk = ToHex(replica.disk).substr(0, 8);
    disk.node = replica.node;
    Result<ReplicaStatusResponse> says = session->Replica(chain.log, replica.disk);
    if (!says.ok()) {
      disk.status = says.status();
    } else if (says->code != StatusCode::kOk) {
      disk.status = Status(says->code, says->detail);
    } else {
      disk.says = *says;
      view.commit = std::max(view.commit, says->commit);
      view.tail = std::max(view.tail, says->tail);
      view.bytes += says->bytes;
      view.bytes_most = std::max(view.bytes_most, says->bytes);
    }
  }
  // A closed epoch's end is its commit, whatever its disks have heard.
  const EpochEntry& last = *chain.last();
  if (last.closed()) view.commit = view.tail = *last.last_lsn;
  return view;
}

Json ToJson(const LogView& view) {
  const Chain& chain = view.chain;
  Json epochs = Json::array(), disks = Json::array(), checkpoints = Json::array();
  for (const EpochEntry& epoch : chain.epochs) {
    Json on = Json::array();
    for (const ReplicaRef& replica : epoch.disks) on.push_back({{"disk", ToHex(replica.disk)}, {"node", replica.node}});
    epochs.push_back({{"epoch", epoch.epoch.value()},
                      {"owner", epoch.owner.node},
                      {"endpoint", epoch.owner.endpoint},
                      {"first_lsn", epoch.first_lsn.value()},
                      {"last_lsn", epoch.closed() ? Json(epoch.last_lsn->value()) : Json(nullptr)},
                      {"disks", on},
                      {"ack_quorum", epoch.ack_quorum}});
  }
  for (const DiskView& disk : view.disks) {
    Json item = {{"disk", disk.disk}, {"node", disk.node}, {"ok", disk.status.ok()}, {"error", disk.status.message()}};
    if (disk.status.ok()) {
      item["sealed"] = disk.says.sealed.value();
      item["tail"] = disk.says.tail.value();
      item["commit"] = disk.says.commit.value();
      item["bytes"] = disk.says.bytes;
      item["writer_age_ms"] = disk.says.writer_age_ms;
    }
    disks.push_back(std::move(item));
  }
  for (const CheckpointEntry& checkpoint : chain.checkpoints) {
    checkpoints.push_back({{"id", checkpoint.id}, {"lsn", checkpoint.lsn.value()}, {"bytes", checkpoint.bytes}});
  }
  return {{"log_id", chain.log.value()},
          {"name", chain.name},
          {"commit", view.commit.value()},
          {"tail", view.tail.value()},
          {"trim", chain.trim_lsn.value()},
          {"bytes", view.bytes},
          {"quota_bytes", chain.quota_bytes},
          {"epochs", epochs},
          {"disks", disks},
          {"checkpoints", checkpoints}};
}

// The log's own, and how much of it the fullest disk has used up.
std::string Quota(const LogView& view) {
  const auto quota = static_cast<double>(view.chain.quota_bytes);
  if (quota == 0) return "-";
  char percent[16];
  std::snprintf(percent, sizeof percent, "%.0f %%", 100 * static_cast<double>(view.bytes_most) / quota);
  return std::string(percent) + " of " + HumanBytes(quota);
}

void AddRow(const LogView& view, Table* table, std::string* notes, bool color) {
  const Chain& chain = view.chain;
  const EpochEntry* last = chain.last();
  std::string disks;
  for (const DiskView& disk : view.disks) {
    disks += (disks.empty() ? "" : ", ") + disk.node + ":" + disk.disk;
    if (!disk.status.ok()) {
      *notes += Paint(chain.name + ": disk " + disk.disk + " on " + disk.node + ": " + disk.status.message(),
                      Color::kRed, color) +
                "\n";
    } else if (last != nullptr && !last->closed() && disk.says.sealed >= last->epoch) {
      *notes += Paint(chain.name + ": disk " + disk.disk + " on " + disk.node + " is sealed at its open epoch",
                      Color::kYellow, color) +
                "\n";
    }
  }
  std::string checkpoint = "-";
  if (!chain.checkpoints.empty()) {
    const CheckpointEntry& newest = chain.checkpoints.back();
    checkpoint = WithCommas(newest.lsn.value()) + " (" + HumanBytes(static_cast<double>(newest.bytes)) + ")";
  }
  const bool open = last != nullptr && !last->closed();
  table->Add({std::to_string(chain.log.value()), chain.name,
              last == nullptr ? "-" : std::to_string(last->epoch.value()) + (open ? "" : " closed"),
              last == nullptr ? "-" : last->owner.node, disks.empty() ? "-" : disks, WithCommas(view.commit.value()),
              WithCommas(view.tail.value()), WithCommas(chain.trim_lsn.value()),
              HumanBytes(static_cast<double>(view.bytes)), Quota(view), std::to_string(chain.checkpoints.size()),
              checkpoint});
}

std::string Epochs(const Chain& chain, bool color) {
  Table table({"EPOCH>", "OWNER", "FIRST>", "LAST>", "ACKS", "DISKS"});
  for (const EpochEntry& epoch : chain.epochs) {
    std::string disks;
    for (const ReplicaRef& replica : epoch.disks) {
      disks += (disks.empty() ? "" : ", ") + replica.node + ":" + ToHex(replica.disk).substr(0, 8);
    }
    table.Add({std::to_string(epoch.epoch.value()), epoch.owner.node, WithCommas(epoch.first_lsn.value()),
               epoch.closed() ? WithCommas(epoch.last_lsn->value()) : "open",
               std::to_string(epoch.ack_quorum) + " of " + std::to_string(epoch.disks.size()), disks});
  }
  return "\n" + Paint("Log " + chain.name, Color::kBold, color) + "\n" + table.Render(color);
}

}  // namespace

int RunLogs(const Arguments& arguments) {
  Session session(arguments);
  const Result<std::vector<Chain>> chains = session.Chains();
  if (!chains.ok()) return Fail(chains.status());
  const std::string wanted = arguments.Text("LOG");
  Json all = Json::array();
  Table table({"ID>", "LOG", "EPOCH>", "OWNER", "DISKS", "COMMIT>", "TAIL>", "TRIMMED>", "BYTES>", "QUOTA>",
               "CHECKPOINTS>", "NEWEST"});
  std::string notes, epochs;
  for (const Chain& chain : *chains) {
    if (!wanted.empty() && chain.name != wanted && std::to_string(chain.log.value()) != wanted) continue;
    const LogView view = Look(&session, chain);
    all.push_back(ToJson(view));
    AddRow(view, &table, &notes, arguments.color);
    if (arguments.Flag("epochs")) epochs += Epochs(chain, arguments.color);
  }
  if (!wanted.empty() && all.empty()) return Fail({StatusCode::kNotFound, "no log '" + wanted + "'"});
  if (arguments.json()) {
    std::printf("%s\n", Json({{"logs", all}}).dump(1).c_str());
  } else {
    std::printf("%s%s%s", table.empty() ? "No logs.\n" : table.Render(arguments.color).c_str(), notes.c_str(),
                epochs.c_str());
  }
  return kExitOk;
}

}  // namespace understudy::cli
