// logs drain, undrain, remove-disk, rebalance, accept-data-loss: what operators ask for of disks and logs. The
// coordinator decides; docs/cli.md, "Disks".
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "log/format/disk_entry.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kTimeoutMs = 10'000;

Result<Json> Ask(const Arguments& arguments, const Json& request, int64_t timeout_ms = kTimeoutMs) {
  Session session(arguments);
  const Result<std::string> document = session.Document(
      [&](auto* client, auto done) { client->LogsRequest(request.dump(), timeout_ms, std::move(done)); });
  if (!document.ok()) return document.status();
  Json json = Json::parse(*document, nullptr, false);
  if (!json.is_object()) return Status(StatusCode::kInternal, "the coordinator's answer is no JSON object");
  return json;
}

void PrintNotes(const Json& document) {
  for (const Json& note : document.value("notes", Json::array())) {
    std::printf("  %s\n", note.get<std::string>().c_str());
  }
}

int ChangeDisks(const Arguments& arguments, const std::string& what, const std::string& done, const std::string& next) {
  const std::string node = arguments.Text("NODE");
  const std::string disk = arguments.Text("disk");
  if (node.empty() == disk.empty()) {
    std::fprintf(stderr, "understudy: name a NODE or --disk ID, one of them\n");
    return kExitUsage;
  }
  const Result<Json> answer = Ask(arguments, {{"request", what}, {"node", node}, {"disk", disk}});
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
    return kExitOk;
  }
  for (const Json& id : answer->value("disks", Json::array())) {
    std::printf("Disk %s %s.\n", id.get<std::string>().substr(0, 8).c_str(), done.c_str());
  }
  PrintNotes(*answer);
  std::printf("%s", next.c_str());
  return kExitOk;
}

// What the log servers say of a closed epoch that they cannot make whole (docs/rpc.md, `repair.list`).
struct LostEpoch {
  bool lost = false;  // one has asked everybody who could have the rest
  Lsn held;           // by whoever holds most
  std::string text;
};

Result<LostEpoch> AskForLost(Session* session, LogId log, Epoch epoch) {
  LostEpoch found;
  const Result<std::vector<MetadataEntry>> disks = session->List("disks/");
  if (!disks.ok()) return disks.status();
  for (const MetadataEntry& entry : *disks) {
    const Result<DiskEntry> disk = DecodeDiskEntry(entry.value);
    if (!disk.ok()) continue;
    const Result<std::string> says = session->LogServerStatus(disk->disk);
    const Json json = says.ok() ? Json::parse(*says, nullptr, false) : Json();
    if (!json.is_object()) continue;
    for (const Json& need : json.value("repair", Json::object()).value("list", Json::array())) {
      if (need.value("log", uint64_t{0}) != log.value() || need.value("epoch", uint64_t{0}) != epoch.value()) continue;
      found.held = std::max(found.held, Lsn(need.value("held", uint64_t{0})));
      if (need.value("lost", false)) {
        found.lost = true;
        found.text = need.value("text", "");
      }
    }
  }
  return found;
}

// A closed epoch ends below what nobody has of it, once the operator has read what that is.
int AcceptClosedLoss(const Arguments& arguments, const std::string& service, Epoch epoch) {
  Session session(arguments);
  const Result<std::vector<Chain>> chains = session.Chains();
  if (!chains.ok()) return Fail(chains.status());
  const auto chain =
      std::find_if(chains->begin(), chains->end(), [&](const Chain& one) { return one.name == service; });
  const EpochEntry* entry = chain == chains->end() ? nullptr : chain->Find(epoch);
  const std::string title = "epoch " + std::to_string(epoch.value()) + " of " + service;
  if (entry == nullptr) return Fail({StatusCode::kNotFound, title + " is not in the chain of a log"});
  if (!entry->closed()) {
    return Fail({StatusCode::kFailedPrecondition, title + " is open: give its loss up without --epoch"});
  }
  const Result<LostEpoch> lost = AskForLost(&session, chain->log, epoch);
  if (!lost.ok()) return Fail(lost.status());
  if (!lost->lost || lost->held >= *entry->last_lsn) {
    return Fail(
        {StatusCode::kFailedPrecondition,
         title +
             ": no log server says that any of it is lost. Bring its disks back; what is lost for good has to be "
             "forgotten first (`understudy logs remove-disk --force ID`), and repair then looks for about a minute"});
  }
  const Lsn from = std::max({entry->first_lsn, chain->trim_lsn + 1, lost->held + 1});
  const Lsn to = *entry->last_lsn;
  if (static_cast<uint64_t>(arguments.Number("confirm-lost-from")) != from.value()) {
    return Fail({StatusCode::kFailedPrecondition,
                 lost->text + ". Records " + WithCommas(from.value()) + " to " + WithCommas(to.value()) +
                     " would be given up, acknowledged ones. If none of these disks can come back, say so with "
                     "--confirm-lost-from " +
                     std::to_string(from.value())});
  }
  const Result<Json> answer = Ask(arguments, {{"request", "accept_closed_loss"},
                                              {"service", service},
                                              {"epoch", epoch.value()},
                                              {"from", from.value()},
                                              {"to", to.value()}});
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
  } else {
    std::printf("Epoch %llu of %s ends at LSN %s. Lost: LSN %s to %s. Readers see the gap.\n",
                static_cast<unsigned long long>(epoch.value()), service.c_str(), WithCommas(from.value() - 1).c_str(),
                WithCommas(from.value()).c_str(), WithCommas(to.value()).c_str());
  }
  return kExitOk;
}

std::string Names(const Json& disks) {
  std::string names;
  for (const Json& disk : disks) {
    names += (names.empty() ? "" : ", ") + disk.value("node", "?") + ":" + disk.value("disk", "").substr(0, 8);
  }
  return names;
}

}  // namespace

int RunLogsDrain(const Arguments& arguments) {
  return ChangeDisks(arguments, "drain", "is draining",
                     "Open epochs leave it within seconds, closed ones are copied elsewhere; `understudy logs disks` "
                     "shows how far that is.\n");
}

int RunLogsUndrain(const Arguments& arguments) {
  return ChangeDisks(arguments, "undrain", "takes new epochs again", "");
}

int RunLogsRemoveDisk(const Arguments& arguments) {
  const std::string disk = arguments.Text("DISK");
  const Result<Json> answer =
      Ask(arguments, {{"request", "remove_disk"}, {"disk", disk}, {"force", arguments.Flag("force")}});
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
    return kExitOk;
  }
  std::printf("Disk %s has left the metadata.\n", disk.c_str());
  PrintNotes(*answer);
  return kExitOk;
}

int RunLogsRebalance(const Arguments& arguments) {
  const bool dry_run = arguments.Flag("dry-run");
  const Result<Json> answer = Ask(arguments, {{"request", "rebalance"}, {"dry_run", dry_run}});
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
    return kExitOk;
  }
  Table table({"LOG", "FROM", "TO", ""});
  for (const Json& move : answer->value("moves", Json::array())) {
    table.Add({move.value("log", "?"), Names(move.value("from", Json::array())), Names(move.value("to", Json::array())),
               move.value("asked", false) ? "asked to move"
               : dry_run                  ? "would move"
                                          : "cannot move now"});
  }
  std::printf("%s", table.empty() ? "Everything is where it should be.\n" : table.Render(arguments.color).c_str());
  PrintNotes(*answer);
  return kExitOk;
}

int RunLogsAcceptDataLoss(const Arguments& arguments) {
  const std::string service = arguments.Text("SERVICE");
  const auto epoch = static_cast<uint64_t>(arguments.Number("epoch"));
  if (epoch != 0) return AcceptClosedLoss(arguments, service, Epoch(epoch));
  const Result<Json> answer =
      Ask(arguments,
          {{"request", "accept_data_loss"}, {"service", service}, {"node", arguments.Text("confirm-node-is-off")}},
          arguments.Number("timeout-s") * 1000);
  if (!answer.ok()) return Fail(answer.status());
  if (arguments.json()) {
    std::printf("%s\n", answer->dump(1).c_str());
    return kExitOk;
  }
  const auto from = answer->value("lost_from", uint64_t{0});
  if (from == 0) {
    std::printf("Service %s runs on %s; its disks answered after all and nothing was given up.\n", service.c_str(),
                answer->value("node", "?").c_str());
  } else {
    std::printf("Service %s runs on %s. Lost: LSN %s to %s. Readers see the gap; new records go above it.\n",
                service.c_str(), answer->value("node", "?").c_str(), WithCommas(from).c_str(),
                WithCommas(answer->value("lost_to", uint64_t{0})).c_str());
  }
  return kExitOk;
}

}  // namespace understudy::cli
