// logs disks: each disk of the cluster, where it is, whether it answers, and what it still holds. logs read: the
// records of a log, with the gaps that were given up.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "log/format/disk_entry.h"
#include "understudy/log.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

struct DiskUse {
  int open = 0, closed = 0, checkpoints = 0;
  std::vector<LogId> logs;
};

DiskUse UseOf(const std::vector<Chain>& chains, const DiskId& disk) {
  DiskUse use;
  for (const Chain& chain : chains) {
    const int before = use.open + use.closed;
    for (const EpochEntry& epoch : chain.epochs) {
      for (const ReplicaRef& replica : epoch.disks) {
        if (replica.disk == disk) ++(epoch.closed() ? use.closed : use.open);
      }
    }
    for (const CheckpointEntry& checkpoint : chain.checkpoints) {
      for (const DiskId& one : checkpoint.disks) use.checkpoints += one == disk;
    }
    if (use.open + use.closed > before) use.logs.push_back(chain.log);
  }
  return use;
}

// Printable as it is, everything else as \xNN.
std::string Escaped(std::string_view bytes) {
  std::string text;
  char hex[8];
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      text += c;
    } else {
      std::snprintf(hex, sizeof hex, "\\x%02x", byte);
      text += hex;
    }
  }
  return text;
}

}  // namespace

int RunLogsDisks(const Arguments& arguments) {
  Session session(arguments);
  const Result<std::vector<Chain>> chains = session.Chains();
  if (!chains.ok()) return Fail(chains.status());
  const Result<std::vector<MetadataEntry>> entries = session.List("disks/");
  if (!entries.ok()) return Fail(entries.status());
  Json all = Json::array();
  Table table({"DISK", "NODE", "ZONE", "STATE", "ANSWERS", "OPEN>", "CLOSED>", "CHECKPOINTS>", "BYTES>", "ADDRESS"});
  for (const MetadataEntry& item : *entries) {
    const Result<DiskEntry> disk = DecodeDiskEntry(item.value);
    if (!disk.ok()) return Fail(disk.status().WithContext(item.key));
    const DiskUse use = UseOf(*chains, disk->disk);
    uint64_t bytes = 0;
    Status answers;
    // A disk that holds nothing is asked, too: of a log that nobody has, which it answers all the same.
    const std::vector<LogId> asked = use.logs.empty() ? std::vector<LogId>{LogId(1)} : use.logs;
    for (const LogId log : asked) {
      const Result<ReplicaStatusResponse> says = session.Replica(log, disk->disk);
      if (!says.ok()) answers = says.status();
      if (says.ok() && says->code != StatusCode::kOk) answers = Status(says->code, says->detail);
      if (!answers.ok()) break;
      bytes += says->bytes;
    }
    all.push_back({{"disk", ToHex(disk->disk)},
                   {"node", disk->node},
                   {"zone", disk->zone},
                   {"state", DiskStateName(disk->state)},
                   {"address", disk->address},
                   {"reachable", answers.ok()},
                   {"error", answers.message()},
                   {"open_epochs", use.open},
                   {"closed_epochs", use.closed},
                   {"checkpoints", use.checkpoints},
                   {"bytes", bytes}});
    const bool active = disk->state == DiskState::kActive;
    table.Add({ToHex(disk->disk).substr(0, 8),
               disk->node,
               disk->zone.empty() ? "-" : disk->zone,
               {DiskStateName(disk->state), active ? Color::kNone : Color::kYellow},
               {answers.ok() ? "yes" : "no", answers.ok() ? Color::kNone : Color::kRed},
               std::to_string(use.open),
               std::to_string(use.closed),
               std::to_string(use.checkpoints),
               answers.ok() ? HumanBytes(static_cast<double>(bytes)) : "-",
               disk->address});
  }
  if (arguments.json()) {
    std::printf("%s\n", Json({{"disks", all}}).dump(1).c_str());
  } else {
    std::printf("%s", table.empty() ? "No disks.\n" : table.Render(arguments.color).c_str());
  }
  return kExitOk;
}

int RunLogsRead(const Arguments& arguments) {
  LogOptions options;
  options.cluster = arguments.cluster();
  options.coordinators = {arguments.coordinator()};
  options.node = "understudy";
  Result<std::unique_ptr<Log>> log = Log::Open(options, arguments.Text("LOG"), /*create=*/false);
  if (!log.ok()) return Fail(log.status());
  std::optional<Lsn> until;
  if (arguments.Given("until")) until = Lsn(static_cast<uint64_t>(arguments.Number("until")));
  const Lsn from(static_cast<uint64_t>(arguments.Number("from")));
  const bool json = arguments.json();
  const auto print = [&](const Record& record) {
    if (json) {
      std::printf("%s\n", Json({{"lsn", record.lsn.value()}, {"key", record.key}, {"payload", Escaped(record.payload)}})
                              .dump()
                              .c_str());
    } else {
      std::printf("%lu  %016lx  %s\n", record.lsn.value(), record.key, Escaped(record.payload).c_str());
    }
  };
  const Result<ReplayProgress> read = (*log)->Read(from, until, print);
  if (!read.ok()) return Fail(read.status());
  for (const LossRange& loss : read->losses) {
    if (json) {
      std::printf("%s\n", Json({{"lost_from", loss.from.value()}, {"lost_to", loss.to.value()}}).dump().c_str());
    } else {
      std::printf("LOSS  %s to %s were given up\n", WithCommas(loss.from.value()).c_str(),
                  WithCommas(loss.to.value()).c_str());
    }
  }
  return kExitOk;
}

}  // namespace understudy::cli
