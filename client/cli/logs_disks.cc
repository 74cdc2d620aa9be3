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
};

DiskUse UseOf(const std::vector<Chain>& chains, const DiskId& disk) {
  DiskUse use;
  for (const Chain& chain : chains) {
    for (const EpochEntry& epoch : chain.epochs) {
      for (const ReplicaRef& replica : epoch.disks) {
        if (replica.disk == disk) ++(epoch.closed() ? use.closed : use.open);
      }
    }
    for (const CheckpointEntry& checkpoint : chain.checkpoints) {
      for (const DiskId& one : checkpoint.disks) use.checkpoints += one == disk;
    }
  }
  return use;
}

// What its log server says of itself; of the disk that is asked for, or an error.
Result<Json> Says(Session* session, const DiskId& disk) {
  const Result<std::string> document = session->LogServerStatus(disk);
  if (!document.ok()) return document.status();
  Json json = Json::parse(*document, nullptr, false);
  if (!json.is_object()) return Status(StatusCode::kInternal, "the log server's answer is no JSON object");
  if (json.value("disk", "") != ToHex(disk)) return Status(StatusCode::kWrongDisk, "its server holds another disk now");
  return json;
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
  std::string over;  // logs at their quota
  Table table({"DISK", "NODE", "ZONE", "STATE", "ANSWERS", "OPEN>", "CLOSED>", "CHECKPOINTS>", "BYTES>", "TO REPAIR>",
               "ADDRESS"});
  for (const MetadataEntry& item : *entries) {
    const Result<DiskEntry> disk = DecodeDiskEntry(item.value);
    if (!disk.ok()) return Fail(disk.status().WithContext(item.key));
    const DiskUse use = UseOf(*chains, disk->disk);
    const Result<Json> says = Says(&session, disk->disk);
    const Json repair = says.ok() ? says->value("repair", Json::object()) : Json::object();
    const Json quota = says.ok() ? says->value("quota", Json::object()) : Json::object();
    const auto bytes = says.ok() ? says->value("live_bytes", uint64_t{0}) : 0;
    const auto needs = repair.value("needs", uint64_t{0});
    all.push_back({{"disk", ToHex(disk->disk)},
                   {"node", disk->node},
                   {"zone", disk->zone},
                   {"state", DiskStateName(disk->state)},
                   {"address", disk->address},
                   {"reachable", says.ok()},
                   {"error", says.ok() ? "" : says.status().message()},
                   {"open_epochs", use.open},
                   {"closed_epochs", use.closed},
                   {"checkpoints", use.checkpoints},
                   {"bytes", bytes},
                   {"quota", quota},
                   {"repair", repair}});
    for (const Json& log : quota.value("over", Json::array())) {
      over += (log.value("word", "") == "refused" ? "REFUSED  " : "SLOWED   ") + disk->node + ": " +
              log.value("text", "") + "\n";
    }
    const bool active = disk->state == DiskState::kActive;
    table.Add({ToHex(disk->disk).substr(0, 8),
               disk->node,
               disk->zone.empty() ? "-" : disk->zone,
               {DiskStateName(disk->state), active ? Color::kNone : Color::kYellow},
               {says.ok() ? "yes" : "no", says.ok() ? Color::kNone : Color::kRed},
               std::to_string(use.open),
               std::to_string(use.closed),
               std::to_string(use.checkpoints),
               says.ok() ? HumanBytes(static_cast<double>(bytes)) : "-",
               says.ok() ? std::to_string(needs) : "-",
               disk->address});
  }
  if (arguments.json()) {
    std::printf("%s\n", Json({{"disks", all}}).dump(1).c_str());
  } else {
    std::printf("%s%s", table.empty() ? "No disks.\n" : table.Render(arguments.color).c_str(), over.c_str());
  }
  return kExitOk;
}

int RunLogsRead(const Arguments& arguments) {
  LogOptions options;
  options.cluster = arguments.cluster();
  options.coordinators = SplitAddresses(arguments.coordinators());
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
