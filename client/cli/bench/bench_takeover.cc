// bench takeover: the longest time without a successful write around planned moves, kills with a mirroring spare, and
// kills with nothing but a WARM unassigned spare.
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "client/cli/bench/measure.h"
#include "client/cli/bench/private_cluster.h"
#include "client/cli/bench/resp_load.h"
#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/text.h"
#include "log/env/clock.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kStepMs = 60'000;  // for anything to happen
constexpr int kLookMs = 20;          // between two looks at the status
constexpr int64_t kSettleMs = 200;   // of undisturbed load before and after a move
constexpr int64_t kNoCheckpointMs = 86'400'000;

struct Gaps {
  std::vector<double> ms;
  double Quantile(double q) const {
    if (ms.empty()) return 0;
    std::vector<double> sorted = ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
};

// One service on a private cluster of two nodes, under load.
class Stage {
 public:
  static Result<std::unique_ptr<Stage>> Build(const Arguments& arguments, bool standby) {
    std::unique_ptr<Stage> stage(new Stage());
    PrivateClusterOptions options;
    options.program_path = arguments.program_path;
    options.parent = arguments.Text("data-dir");
    options.nodes = {"n1", "n2"};
    Result<std::unique_ptr<PrivateCluster>> cluster = PrivateCluster::Start(options);
    if (!cluster.ok()) return cluster.status();
    stage->cluster_ = std::move(cluster).value();
    stage->session_ = std::make_unique<Session>(stage->cluster_->coordinators()[0], "understudy");
    const std::filesystem::path program = std::filesystem::path(arguments.program_path).parent_path() / "resp_kv";
    Json spec = {{"name", "bench"}, {"program", program.string()}, {"standby", standby}};
    if (!standby) spec["checkpoint_interval_ms"] = kNoCheckpointMs;
    const Result<std::string> applied = stage->session_->Document(
        [&](auto* client, auto done) { client->ServiceApply(spec.dump(), kStepMs, std::move(done)); });
    if (!applied.ok()) return applied.status();
    stage->standby_ = standby;
    stage->load_ =
        std::make_unique<RespLoad>(stage->cluster_->endpoints(), static_cast<int>(arguments.Number("clients")));
    stage->load_->Start();
    if (!stage->load_->WaitForSuccess(kStepMs)) return Status(StatusCode::kUnavailable, "no write succeeds");
    return stage;
  }
  ~Stage() {
    load_.reset();
    session_.reset();
  }

  // Until the service serves and its spare is as it should be for the next round.
  Status WaitUntilReady() {
    const Instant deadline = SystemClock()->Now() + kStepMs * kNsPerMs;
    std::string last;
    while (SystemClock()->Now() < deadline && !Interrupted()) {
      const Result<std::string> document =
          session_->Document([](auto* client, auto done) { client->GetStatus(5000, std::move(done)); });
      if (!document.ok()) return document.status();
      last = *document;
      if (Ready(Json::parse(last, nullptr, false))) return {};
      poll(nullptr, 0, kLookMs);
    }
    return {StatusCode::kDeadlineExceeded, Interrupted() ? "interrupted" : "the service did not get ready: " + last};
  }

  Result<double> Move() {
    const Instant deadline = SystemClock()->Now() + kStepMs * kNsPerMs;
    while (true) {
      UNDERSTUDY_RETURN_IF_ERROR(Begin());
      const Result<std::string> moved = session_->Document(
          [](auto* client, auto done) { client->Switchover("bench", "", kStepMs, std::move(done)); });
      if (moved.ok()) return Gap();
      // Refused: the spare has just fallen behind. Nothing was moved; the next window begins anew.
      const bool refused = moved.status().code() == StatusCode::kFailedPrecondition;
      if (!refused || Interrupted() || SystemClock()->Now() > deadline) return moved.status();
      poll(nullptr, 0, kLookMs);
    }
  }

  Result<double> Kill() {
    UNDERSTUDY_RETURN_IF_ERROR(Begin());
    if (primary_pid_ <= 0 || kill(static_cast<pid_t>(primary_pid_), SIGKILL) != 0) {
      return Status(StatusCode::kInternal, "the primary's process is not known");
    }
    return Gap();
  }

  // Stops the load, writes `records` and begins the load again.
  Status Fill(uint64_t records) {
    load_->Stop();
    const Status status = load_->Fill(filled_, records);
    filled_ += records;
    load_->Start();
    return status;
  }

  Result<int> CountLost() {
    load_->Stop();
    return load_->CountLost();
  }
  uint64_t acknowledged() const { return load_->acknowledged(); }

 private:
  Stage() = default;

  bool Ready(const Json& status) {
    if (!status.is_object()) return false;
    const Json services = status.value("services", Json::array());
    return !services.empty() && ReadyService(services[0], status.value("nodes", Json::array()));
  }
  bool ReadyService(const Json& service, const Json& nodes) {
    const Json primary = service.value("primary", Json()), spare = service.value("spare", Json());
    if (service.value("state", "") != "SERVING" || !primary.is_object() || !primary.value("may_serve", false))
      return false;
    primary_pid_ = primary.value("pid", int64_t{0});
    if (standby_)
      return spare.is_object() && spare.value("state", "") == "MIRRORING" && spare.value("caught_up", false);
    return spare.is_null() &&
           std::any_of(nodes.begin(), nodes.end(), [](const Json& node) { return node.value("state", "") == "WARM"; });
  }

  // Some undisturbed load first, so that the window has a last success before the move.
  Status Begin() {
    UNDERSTUDY_RETURN_IF_ERROR(WaitUntilReady());
    poll(nullptr, 0, kSettleMs);
    load_->BeginWindow();
    if (!load_->WaitForSuccess(kStepMs)) return {StatusCode::kUnavailable, "no write succeeds before the move"};
    return {};
  }
  Result<double> Gap() {
    const bool success = load_->WaitForSuccess(kStepMs * 5);
    poll(nullptr, 0, kSettleMs);
    if (!success) return Status(StatusCode::kUnavailable, "no write succeeds after the move");
    return load_->LongestGapMs();
  }

  std::unique_ptr<PrivateCluster> cluster_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<RespLoad> load_;
  bool standby_ = false;
  int64_t primary_pid_ = 0;
  uint64_t filled_ = 0;
};

Status Repeat(Stage* stage, Result<double> (Stage::*step)(), int64_t times, const char* label, bool quiet, Gaps* gaps) {
  Progress progress(label, static_cast<uint64_t>(times), quiet);
  for (int64_t i = 0; i < times && !Interrupted(); ++i) {
    const Result<double> gap = (stage->*step)();
    if (!gap.ok()) return gap.status().WithContext(std::string(label) + " " + std::to_string(i + 1));
    gaps->ms.push_back(*gap);
    progress.Show(static_cast<uint64_t>(i) + 1);
  }
  return {};
}

Json ToJson(const Gaps& gaps) {
  return {{"n", gaps.ms.size()},
          {"p50_ms", gaps.Quantile(0.5)},
          {"p99_ms", gaps.Quantile(0.99)},
          {"max_ms", gaps.Quantile(1)}};
}

void AddRow(Table* table, const std::string& what, const Gaps& gaps) {
  if (gaps.ms.empty()) return;
  table->Add({what, std::to_string(gaps.ms.size()), HumanMs(gaps.Quantile(0.5)), HumanMs(gaps.Quantile(0.99)),
              HumanMs(gaps.Quantile(1))});
}

// "100000,1000000", or "none". False: malformed.
bool ParseList(const std::string& text, std::vector<uint64_t>* out) {
  if (text == "none") return true;
  if (text.empty()) return false;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find(',', at);
    if (end == std::string::npos) end = text.size();
    const std::string word = text.substr(at, end - at);
    if (word.empty() || word.size() > 9 || word.find_first_not_of("0123456789") != std::string::npos) return false;
    out->push_back(std::stoull(word));
    at = end + 1;
  }
  return true;
}

}  // namespace

int RunBenchTakeover(const Arguments& arguments) {
  std::vector<uint64_t> behind;
  if (!ParseList(arguments.Text("behind"), &behind)) {
    std::fprintf(stderr, "understudy bench takeover: --behind: numbers of records, separated by commas, are needed\n");
    return kExitUsage;
  }
  CatchInterrupts();
  const bool quiet = arguments.json();
  Gaps planned, killed;
  std::vector<std::pair<uint64_t, Gaps>> warm;
  uint64_t acknowledged = 0;
  int lost = 0;
  const auto finish = [&](Stage* stage) -> Status {
    const Result<int> count = stage->CountLost();
    if (!count.ok()) return count.status();
    lost += *count;
    acknowledged += stage->acknowledged();
    return {};
  };
  const auto with_standby = [&]() -> Status {
    Result<std::unique_ptr<Stage>> stage = Stage::Build(arguments, /*standby=*/true);
    if (!stage.ok()) return stage.status();
    UNDERSTUDY_RETURN_IF_ERROR(
        Repeat(stage->get(), &Stage::Move, arguments.Number("moves"), "planned moves", quiet, &planned));
    UNDERSTUDY_RETURN_IF_ERROR(Repeat(stage->get(), &Stage::Kill, arguments.Number("kills"), "kills", quiet, &killed));
    return finish(stage->get());
  };
  const auto without = [&](uint64_t records) -> Status {
    Result<std::unique_ptr<Stage>> stage = Stage::Build(arguments, /*standby=*/false);
    if (!stage.ok()) return stage.status();
    UNDERSTUDY_RETURN_IF_ERROR((*stage)->Fill(records));
    Gaps& gaps = warm.emplace_back(records, Gaps()).second;
    const std::string label = "kills, WARM spare, " + WithCommas(records) + " records behind";
    UNDERSTUDY_RETURN_IF_ERROR(
        Repeat(stage->get(), &Stage::Kill, arguments.Number("behind-kills"), label.c_str(), quiet, &gaps));
    return finish(stage->get());
  };
  Status status;
  if (arguments.Number("moves") + arguments.Number("kills") > 0) status = with_standby();
  for (const uint64_t records : behind) {
    if (status.ok() && !Interrupted()) status = without(records);
  }
  if (!status.ok()) return Fail(status);

  if (arguments.json()) {
    Json list = Json::array();
    for (const auto& [records, gaps] : warm) {
      Json item = ToJson(gaps);
      item["records_behind"] = records;
      list.push_back(item);
    }
    std::printf("%s\n", Json({{"bench", "takeover"},
                              {"clients", arguments.Number("clients")},
                              {"planned", ToJson(planned)},
                              {"killed", ToJson(killed)},
                              {"killed_warm", list},
                              {"acknowledged", acknowledged},
                              {"lost", lost}})
                            .dump(1)
                            .c_str());
  } else {
    Table table({"LONGEST GAP WITHOUT A SUCCESSFUL WRITE", "N>", "P50>", "P99>", "MAX>"});
    AddRow(&table, "planned move", planned);
    AddRow(&table, "kill -9, mirroring spare", killed);
    for (const auto& [records, gaps] : warm) {
      AddRow(&table, "kill -9, WARM spare, " + WithCommas(records) + " records behind", gaps);
    }
    std::printf("%s%s writes acknowledged, %d lost\n", table.Render(arguments.color).c_str(),
                WithCommas(acknowledged).c_str(), lost);
  }
  return lost > 0 || Interrupted() ? kExitFailed : kExitOk;
}

}  // namespace understudy::cli
