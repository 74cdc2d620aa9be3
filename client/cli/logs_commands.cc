// logs drain, undrain, remove-disk, rebalance, accept-data-loss: what operators ask for of disks and logs. The
// coordinator decides; docs/cli.md, "Disks".
#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/text.h"

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
