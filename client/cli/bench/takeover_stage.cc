#include "client/cli/bench/takeover_stage.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "client/cli/bench/measure.h"
#include "log/env/clock.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kStepMs = 60'000;  // for anything to happen
constexpr int kLookMs = 20;          // between two looks at the status
constexpr int64_t kSettleMs = 200;   // of undisturbed load before and after a move

}  // namespace

Result<std::unique_ptr<TakeoverStage>> TakeoverStage::Build(StageOptions options) {
  options.cluster.nodes = {"n1", "n2"};
  std::unique_ptr<TakeoverStage> stage(new TakeoverStage(std::move(options)));
  const StageOptions& given = stage->options_;
  Result<std::unique_ptr<PrivateCluster>> cluster = PrivateCluster::Start(given.cluster);
  if (!cluster.ok()) return cluster.status();
  stage->cluster_ = std::move(cluster).value();
  for (const std::string& coordinator : stage->cluster_->coordinators()) {
    stage->sessions_.push_back(std::make_unique<Session>(coordinator, "understudy"));
  }
  const std::filesystem::path program = std::filesystem::path(given.cluster.program_path).parent_path() / "resp_kv";
  Json spec = {{"name", "bench"},
               {"program", program.string()},
               {"standby", given.standby},
               {"replicas", given.cluster.log_servers}};
  if (given.checkpoint_interval_ms > 0) spec["checkpoint_interval_ms"] = given.checkpoint_interval_ms;
  const Result<std::string> applied =
      stage->Ask([&](auto* client, auto done) { client->ServiceApply(spec.dump(), kStepMs, std::move(done)); });
  if (!applied.ok()) return applied.status();
  stage->load_ = std::make_unique<RespLoad>(stage->cluster_->endpoints(), given.clients);
  stage->load_->Start();
  if (!stage->load_->WaitForSuccess(kStepMs)) return Status(StatusCode::kUnavailable, "no write succeeds");
  return stage;
}

TakeoverStage::~TakeoverStage() {
  load_.reset();
  sessions_.clear();
}

Result<std::string> TakeoverStage::Ask(const Session::Call& call) {
  const Instant deadline = SystemClock()->Now() + kStepMs * kNsPerMs;
  while (true) {
    Result<std::string> answer = sessions_.front()->Document(call);
    // One that does not lead says so with this code, and there is a moment in which nobody does.
    if (answer.status().code() != StatusCode::kUnavailable || Interrupted()) return answer;
    if (SystemClock()->Now() > deadline) return answer;
    std::rotate(sessions_.begin(), sessions_.begin() + 1, sessions_.end());
    poll(nullptr, 0, kLookMs);
  }
}

Status TakeoverStage::WaitUntil(const std::string& what, const std::function<bool(const std::string&)>& done) {
  const Instant deadline = SystemClock()->Now() + kStepMs * kNsPerMs;
  std::string last;
  while (SystemClock()->Now() < deadline && !Interrupted()) {
    const Result<std::string> document =
        Ask([](auto* client, auto answer) { client->GetStatus(5000, std::move(answer)); });
    if (!document.ok()) return document.status();
    last = *document;
    if (done(last)) return {};
    poll(nullptr, 0, kLookMs);
  }
  return {StatusCode::kDeadlineExceeded, Interrupted() ? "interrupted" : what + " within a minute: " + last};
}

// The service serves from all its disks and its spare is as it should be for the next round.
bool TakeoverStage::Ready(const std::string& document) {
  const Json status = Json::parse(document, nullptr, false);
  if (!status.is_object()) return false;
  const Json services = status.value("services", Json::array()), nodes = status.value("nodes", Json::array());
  if (services.empty()) return false;
  const Json& service = services[0];
  const Json primary = service.value("primary", Json()), spare = service.value("spare", Json());
  if (service.value("state", "") != "SERVING" || !primary.is_object() || !primary.value("may_serve", false))
    return false;
  if (service.value("disks", 0) != options_.cluster.log_servers) return false;
  primary_pid_ = primary.value("pid", int64_t{0});
  primary_node_ = primary.value("node", "");
  if (options_.standby)
    return spare.is_object() && spare.value("state", "") == "MIRRORING" && spare.value("caught_up", false);
  return spare.is_null() &&
         std::any_of(nodes.begin(), nodes.end(), [](const Json& node) { return node.value("state", "") == "WARM"; });
}

// Some undisturbed load first, so that the window has a last success before the move.
Status TakeoverStage::Begin() {
  UNDERSTUDY_RETURN_IF_ERROR(
      WaitUntil("the service did not get ready", [this](const std::string& status) { return Ready(status); }));
  poll(nullptr, 0, kSettleMs);
  load_->BeginWindow();
  if (!load_->WaitForSuccess(kStepMs)) return {StatusCode::kUnavailable, "no write succeeds before the move"};
  return {};
}

Result<double> TakeoverStage::Gap() {
  const bool success = load_->WaitForSuccess(kStepMs * 5);
  poll(nullptr, 0, kSettleMs);
  if (!success) return Status(StatusCode::kUnavailable, "no write succeeds after the move");
  return load_->LongestGapMs();
}

Result<double> TakeoverStage::Move() {
  const Instant deadline = SystemClock()->Now() + kStepMs * kNsPerMs;
  while (true) {
    UNDERSTUDY_RETURN_IF_ERROR(Begin());
    const Result<std::string> moved =
        Ask([](auto* client, auto done) { client->Switchover("bench", "", kStepMs, std::move(done)); });
    if (moved.ok()) return Gap();
    // Refused: the spare has just fallen behind. Nothing was moved; the next window begins anew.
    const bool refused = moved.status().code() == StatusCode::kFailedPrecondition;
    if (!refused || Interrupted() || SystemClock()->Now() > deadline) return moved.status();
    poll(nullptr, 0, kLookMs);
  }
}

Result<double> TakeoverStage::Kill() {
  UNDERSTUDY_RETURN_IF_ERROR(Begin());
  if (primary_pid_ <= 0 || kill(static_cast<pid_t>(primary_pid_), SIGKILL) != 0) {
    return Status(StatusCode::kInternal, "the primary's process is not known");
  }
  return Gap();
}

Result<double> TakeoverStage::KillBehindCheckpoint() {
  UNDERSTUDY_RETURN_IF_ERROR(WaitForCheckpoint());
  return Kill();
}

Result<double> TakeoverStage::KillNode() {
  UNDERSTUDY_RETURN_IF_ERROR(Begin());
  const std::string node = primary_node_;
  if (primary_pid_ <= 0) return Status(StatusCode::kInternal, "the primary's process is not known");
  // The agent first: it must not report that its application has died.
  UNDERSTUDY_RETURN_IF_ERROR(cluster_->Kill(node));
  if (kill(static_cast<pid_t>(primary_pid_), SIGKILL) != 0) {
    return Status(StatusCode::kInternal, "the primary's process is gone already");
  }
  const Result<double> gap = Gap();
  UNDERSTUDY_RETURN_IF_ERROR(cluster_->Restart(node));
  return gap;
}

Status TakeoverStage::Fill(uint64_t records, uint64_t keys) {
  load_->Stop();
  const Status status = load_->Fill(filled_, records, keys);
  filled_ += records;
  load_->Start();
  return status;
}

Status TakeoverStage::WaitForCheckpoint() {
  uint64_t from = 0;  // the status lags behind what was acknowledged, and each write of a fill is a record
  return WaitUntil("no checkpoint was made", [&](const std::string& document) {
    const Json status = Json::parse(document, nullptr, false);
    const Json services = status.is_object() ? status.value("services", Json::array()) : Json::array();
    if (services.empty()) return false;
    const auto commit = services[0].value("commit", uint64_t{0});
    if (from == 0 && commit >= filled_) from = commit;
    return from > 0 && services[0].value("checkpoint_lsn", uint64_t{0}) >= from;
  });
}

Result<int> TakeoverStage::CountLost() {
  load_->Stop();
  return load_->CountLost();
}

}  // namespace understudy::cli
