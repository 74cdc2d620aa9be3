// bench repair: what appends cost while background repair copies the closed epochs of a server that lost its disk.
#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "client/cli/bench/foreground.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "log/env/clock.h"
#include "log/env/logging.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int kReplicas = 3;
constexpr int kAck = 2;
constexpr int kFilledLogs = 4;  // whose epochs are repaired
constexpr size_t kFillRecord = 16u << 10;
constexpr uint64_t kFillWindow = 256;
constexpr const char* kVictim = "log3";
constexpr int kLookMs = 50;
constexpr int64_t kSettleMs = 1000;       // of load before it counts
constexpr int64_t kBeginMaxMs = 120'000;  // until repair begins
constexpr int64_t kRepairMaxMs = 3'600'000;

void Sleep(int64_t ms) {
  const Instant until = SystemClock()->Now() + ms * kNsPerMs;
  while (SystemClock()->Now() < until && !Interrupted()) poll(nullptr, 0, kLookMs);
}

Status Interruption() { return {StatusCode::kCancelled, "interrupted"}; }

// A log with `bytes` in an epoch that is closed.
Result<std::unique_ptr<BenchLog>> FillAndClose(const BenchLog& first, uint64_t bytes, Progress* progress) {
  Result<std::unique_ptr<BenchLog>> log = OpenAnotherLog(first);
  if (!log.ok()) return log;
  const uint64_t records = std::max<uint64_t>(1, bytes / kFillRecord);
  const AppendResult filled = AppendWindow(log->get(), records, kFillRecord, kFillWindow, progress);
  if (!filled.status.ok()) return filled.status;
  const Epoch epoch = (*log)->log->epoch();
  (*log)->log.reset();  // who is the writer does not take over from itself
  Result<std::unique_ptr<Log>> other = Log::Open(first.options, (*log)->name, /*create=*/false);
  if (!other.ok()) return other.status();
  (*log)->log = std::move(other).value();
  const Result<Lsn> next = (*log)->log->TakeOver(epoch);
  if (!next.ok()) return next.status();
  return log;
}

Result<std::set<std::string>> DisksOf(Session* session, const std::string& node) {
  const Result<std::vector<MetadataEntry>> listed = session->List("disks/");
  if (!listed.ok()) return listed.status();
  std::set<std::string> ids;
  for (const MetadataEntry& entry : *listed) {
    const Json disk = Json::parse(entry.value, nullptr, false);
    if (disk.is_object() && disk.value("node", "") == node) ids.insert(entry.key.substr(entry.key.rfind('/') + 1));
  }
  return ids;
}

// Closed epochs that list a disk of `ids`.
Result<int> ClosedEpochsOn(Session* session, const std::set<std::string>& ids) {
  const Result<std::vector<Chain>> chains = session->Chains();
  if (!chains.ok()) return chains.status();
  int count = 0;
  for (const Chain& chain : *chains) {
    for (const EpochEntry& epoch : chain.epochs) {
      count += epoch.closed() && std::any_of(epoch.disks.begin(), epoch.disks.end(), [&](const ReplicaRef& replica) {
                 return ids.contains(ToHex(replica.disk));
               });
    }
  }
  return count;
}

// Until the victim's new disk says that it copies.
Status AwaitRepair(Session* session, const std::set<std::string>& lost) {
  const Instant deadline = SystemClock()->Now() + kBeginMaxMs * kNsPerMs;
  while (SystemClock()->Now() < deadline && !Interrupted()) {
    const Result<std::set<std::string>> ids = DisksOf(session, kVictim);
    if (!ids.ok()) return ids.status();
    for (const std::string& id : *ids) {
      DiskId disk;
      if (lost.contains(id) || !FromHex(id, &disk)) continue;
      const Result<std::string> document = session->LogServerStatus(disk);
      if (!document.ok()) continue;  // it has just been started
      const Json status = Json::parse(*document, nullptr, false);
      if (!status.is_object() || !status.contains("repair")) continue;
      for (const Json& need : status["repair"].value("list", Json::array())) {
        if (need.value("running", false)) return {};
      }
    }
    poll(nullptr, 0, kLookMs);
  }
  return Interrupted() ? Interruption() : Status(StatusCode::kDeadlineExceeded, "repair did not begin");
}

Status AwaitRepaired(Session* session, const std::set<std::string>& lost, Progress* progress) {
  const Instant deadline = SystemClock()->Now() + kRepairMaxMs * kNsPerMs;
  int all = 0;
  while (SystemClock()->Now() < deadline && !Interrupted()) {
    const Result<int> left = ClosedEpochsOn(session, lost);
    if (!left.ok()) return left.status();
    if (*left == 0) return {};
    all = std::max(all, *left);
    progress->Show(static_cast<uint64_t>(all - *left));
    poll(nullptr, 0, kLookMs);
  }
  return Interrupted() ? Interruption() : Status(StatusCode::kDeadlineExceeded, "repair did not end");
}

Json ToJson(const Samples& samples) {
  return {{"n", samples.count()},
          {"p50_us", static_cast<double>(samples.Quantile(0.5)) / 1000},
          {"p99_us", static_cast<double>(samples.Quantile(0.99)) / 1000},
          {"max_us", static_cast<double>(samples.max()) / 1000}};
}

double Ratio(const Foreground::Latencies& of, double q) {
  const auto quiet = static_cast<double>(of.Of(Phase::kQuiet).Quantile(q));
  return quiet > 0 ? static_cast<double>(of.Of(Phase::kRepair).Quantile(q)) / quiet : 0;
}

void AddRows(Table* table, const std::string& writer, const Foreground::Latencies& of) {
  for (const auto& [phase, what] : {std::pair(Phase::kQuiet, "no repair"), std::pair(Phase::kRepair, "repair")}) {
    const Samples& samples = of.Of(phase);
    const auto ms = [](int64_t ns) { return HumanMs(static_cast<double>(ns) / kNsPerMs); };
    table->Add({writer, what, WithCommas(samples.count()), ms(samples.Quantile(0.5)), ms(samples.Quantile(0.99)),
                ms(samples.max())});
  }
}

}  // namespace

int RunBenchRepair(const Arguments& arguments) {
  if (arguments.Given("coordinators") || arguments.Given("coordinator")) {
    std::fprintf(stderr, "understudy bench repair: it wipes a disk, so it runs on servers of its own only\n");
    return kExitUsage;
  }
  CatchInterrupts();
  SetLogLevel(LogLevel::kWarning);  // that writers go on on other disks is what is wanted here
  Result<std::unique_ptr<BenchLog>> sync = OpenBenchLog(arguments, kReplicas, kAck);
  if (!sync.ok()) return Fail(sync.status());
  Result<std::unique_ptr<BenchLog>> paced = OpenAnotherLog(**sync);
  if (!paced.ok()) return Fail(paced.status());
  PrivateCluster* cluster = (*sync)->cluster.get();
  Session session((*sync)->coordinator, (*sync)->options.cluster);
  const int64_t quiet_ms = arguments.Number("seconds") * 1000;
  const uint64_t bytes = static_cast<uint64_t>(arguments.Number("megabytes")) << 20;

  std::vector<std::unique_ptr<BenchLog>> filled;
  {
    Progress progress("filling", bytes / kFilledLogs / kFillRecord, arguments.json());
    for (int i = 0; i < kFilledLogs; ++i) {
      Result<std::unique_ptr<BenchLog>> log = FillAndClose(**sync, bytes / kFilledLogs, &progress);
      if (!log.ok()) return Fail(log.status());
      filled.push_back(std::move(log).value());
    }
  }
  Foreground foreground(sync->get(), paced->get(), static_cast<size_t>(arguments.Number("size")),
                        arguments.Number("rate"));
  Instant began, ended;
  const auto measure = [&]() -> Status {
    Sleep(kSettleMs);
    foreground.Enter(Phase::kQuiet);
    Sleep(quiet_ms);
    foreground.Enter(Phase::kIgnored);
    const Result<std::set<std::string>> lost = DisksOf(&session, kVictim);
    if (!lost.ok()) return lost.status();
    UNDERSTUDY_RETURN_IF_ERROR(cluster->Kill(kVictim));
    UNDERSTUDY_RETURN_IF_ERROR(cluster->Wipe(kVictim));
    UNDERSTUDY_RETURN_IF_ERROR(cluster->Restart(kVictim));
    UNDERSTUDY_RETURN_IF_ERROR(AwaitRepair(&session, *lost));
    began = SystemClock()->Now();
    foreground.Enter(Phase::kRepair);
    Progress progress("repair", kFilledLogs, arguments.json());
    UNDERSTUDY_RETURN_IF_ERROR(AwaitRepaired(&session, *lost, &progress));
    ended = SystemClock()->Now();
    foreground.Enter(Phase::kIgnored);
    Sleep(kSettleMs);
    foreground.Enter(Phase::kQuiet);
    Sleep(quiet_ms);
    return Interrupted() ? Interruption() : Status();
  };
  const Status measured = measure();
  const Status appended = foreground.Stop();
  if (!appended.ok()) return Fail(appended);
  if (!measured.ok()) return Fail(measured);

  const double seconds = static_cast<double>(ended - began) / static_cast<double>(kNsPerSecond);
  const double rate = static_cast<double>(bytes) / seconds;
  if (arguments.json()) {
    const auto of = [](const Foreground::Latencies& latencies) {
      return Json{{"quiet", ToJson(latencies.Of(Phase::kQuiet))},
                  {"repair", ToJson(latencies.Of(Phase::kRepair))},
                  {"p50_ratio", Ratio(latencies, 0.5)},
                  {"p99_ratio", Ratio(latencies, 0.99)}};
    };
    std::printf("%s\n", Json({{"bench", "repair"},
                              {"repaired_bytes", bytes},
                              {"repair_seconds", seconds},
                              {"repair_bytes_per_s", rate},
                              {"quiet_seconds", 2 * arguments.Number("seconds")},
                              {"size", arguments.Number("size")},
                              {"rate", arguments.Number("rate")},
                              {"sync", of(foreground.sync())},
                              {"paced", of(foreground.paced())}})
                            .dump(1)
                            .c_str());
    return kExitOk;
  }
  Table table({"ACKNOWLEDGED AFTER", "BESIDE", "N>", "P50>", "P99>", "MAX>"});
  AddRows(&table, "one writer that waits", foreground.sync());
  AddRows(&table, WithCommas(static_cast<uint64_t>(arguments.Number("rate"))) + " records/s", foreground.paced());
  std::printf("%s%s repaired in %.1f s, %s/s; p99 beside repair: %.2f and %.2f times that without\n",
              table.Render(arguments.color).c_str(), HumanBytes(static_cast<double>(bytes)).c_str(), seconds,
              HumanBytes(rate).c_str(), Ratio(foreground.sync(), 0.99), Ratio(foreground.paced(), 0.99));
  return kExitOk;
}

}  // namespace understudy::cli
