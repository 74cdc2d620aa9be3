// The coordinator's decisions. Pure: no clock, thread, socket or randomness; the same inputs give the same effects.
// After each input every service is looked at again from what is known (reports, chains, plans), so that a step that
// was lost, or a coordinator that was, costs time and nothing else. What it does is advice: the epoch decides who
// writes.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "server/coordinator/core/io.h"
#include "server/coordinator/core/state.h"

namespace understudy::coordinator {

struct CoreOptions {
  std::string cluster;
  std::string name;
  std::vector<std::string> addresses;
  int64_t node_timeout_ms = 1000;
  int64_t grace_ms = 1000;              // after the load: nobody counts as missing who had no time to find this leader
  int64_t app_timeout_ms = 1000;        // a running process whose application was not heard for so long is suspect
  int64_t unserving_timeout_ms = 5000;  // a primary that says may_serve == false for so long is suspect
  int64_t takeover_timeout_ms = 10'000;
  int64_t age_interval_ms = 100;   // between two questions for the writer's age
  int64_t adopt_timeout_ms = 200;  // handed over, but the new owner does not report PRIMARY: TAKE_OVER
  int64_t prepare_timeout_ms = 2000;
  int64_t handover_timeout_ms = 10'000;
  int64_t restart_checkpoint_timeout_ms = 300'000;  // a restart waits so long for its checkpoint, and is given up then
  int64_t restart_abort_pause_ms = 60'000;
  int64_t rejuvenate_pause_ms = 600'000;  // after one that was given up
  int64_t switch_prepare_timeout_ms = 300'000;  // an operator's switchover waits so long for its spare to catch up
  int64_t command_retry_ms = 2000;
  int64_t start_timeout_ms = 30'000;  // a started process that never became an application counts as failed
  int64_t stable_ms = 10'000;         // a process that lasted so long forgets earlier failures
  int start_failures_max = 8;         // a node
  int recoveries_failed_max = 10;     // a service
  int64_t pause_ms_max = 30'000;
  int brake_percent =
      50;  // more of all services at risk at once, and at least two of three: hold; unless the settings say
  int64_t checkpoint_interval_default_ms = 60'000;  // what "raise the rate" starts from when the service names none
  int64_t checkpoint_interval_min_ms = 1000;
  size_t nodes_max = 16'384;     // reports of more are refused
  size_t services_max = 16'384;  // so are applies
  size_t moves_max = 100;        // kept for status
  size_t decisions_max = 12;     // a service, kept for explain
  // With more nodes and services than this together an input has only what it concerns looked at, and all at most so
  // often.
  size_t look_at_all_max = 512;
  int64_t look_at_all_pause_ms = 50;
};

class Core {
 public:
  explicit Core(CoreOptions options);

  // One input; its effects are added to `out`, whose wake_at is set anew. `now` never goes back.
  void Step(const Input& input, Instant now, Effects* out);

  // Where applications reach the metadata, put into commands from now on.
  void UseAddresses(std::vector<std::string> addresses) { addresses_ = std::move(addresses); }

  // For the status document.
  const std::map<std::string, NodeState>& nodes() const { return nodes_; }
  const std::map<std::string, ServiceState>& services() const { return services_; }
  const std::map<std::string, DiskState>& disks() const { return disks_; }
  const std::map<uint64_t, LogState>& logs() const { return logs_; }
  const std::deque<MoveRecord>& moves() const { return moves_; }
  const CoreOptions& options() const { return options_; }
  bool loaded() const { return loaded_; }
  bool paused() const { return settings_.paused; }
  bool braked() const { return braked_; }
  const policy::FleetSettings& settings() const { return settings_; }
  const policy::FleetView& fleet() const { return fleet_; }
  // Grows when a service was added, changed or removed.
  uint64_t specs_changed() const { return specs_changed_; }
  uint64_t looks_at_all() const { return looks_at_all_; }  // at all services and nodes
  // What `understudy explain` gets, as of the last Step; the service exists.
  std::string Explain(const std::string& service) const { return ExplainDocument(services_.at(service)); }
  // Of the last epochs that the node owns, in no order.
  std::vector<std::string> ServicesOwnedBy(const std::string& node) const;

 private:
  struct PendingApply {
    uint64_t token = 0;
    ServiceSpec spec;
    int tries = 0;
    bool writing_service = false;
  };
  // One operator's request that changes disk entries.
  struct PendingDisks {
    uint64_t token = 0;
    std::string what;
    std::map<std::string, int> waiting;  // disks not yet changed, with failed writes
    std::vector<std::string> done;
    std::vector<std::string> notes;
    Status failed;
  };

  // core.cc: inputs
  void On(const Tick&) {}
  void On(const NodeReported& in);
  void On(const ForecastsArrived& in);
  void On(const MetadataChanged& in);
  void On(const MetadataWritten& in);
  void On(const MetadataLoaded& in);
  void On(const OperatorRequest& in);
  void On(const WriterAge& in);
  void On(const HistoryRestored& in);
  void OnResults(NodeState& node, const std::vector<CommandResult>& results);
  void OnProcess(NodeState& node, const AgentReport& before);
  void StartFailed(NodeState& node, const std::string& program, const std::string& why);
  void OnChain(const std::string& name, const std::string& value, uint64_t version);
  void OnPlan(ServiceState& service, const std::string& value, uint64_t version);
  void OnSpec(const std::string& name, const std::string& value, uint64_t version);
  void OnSettings(const std::string& value, uint64_t version);
  void NotePrimary(NodeState& node);
  void Touch(const NodeState& node);
  void RecordShadows(ServiceState& service, const std::vector<Forecast>& forecasts);
  void Reconcile();
  void LookAtAll();
  void LookAt(ServiceState& service);
  void WatchNodes();
  void RecordNode(NodeState& node);
  void WritePlan(ServiceState& service);

  // requests.cc: operators
  void Apply(const OperatorRequest& in);
  void ContinueApply(const std::string& name);
  void AppliedOrNot(const MetadataWritten& in);
  void Remove(const OperatorRequest& in);
  void AdvanceRemoval(ServiceState& service);
  void Removed(ServiceState& service);
  void Switchover(const OperatorRequest& in);
  void AdvanceSwitchover(ServiceState& service);
  void RefuseSwitchover(ServiceState& service, StatusCode code, const std::string& why);
  void Pause(const OperatorRequest& in);
  uint64_t FreeLogId(uint64_t above) const;

  // requests_logs.cc: operators, of disks and logs
  struct DiskMove {
    LogId log;
    std::string name;
    std::vector<ReplicaRef> from, to;
  };
  void LogsRequest(const OperatorRequest& in);
  void ChangeDisks(uint64_t token, const std::string& what, const std::string& node, const std::string& disk,
                   bool force);
  void WriteDisk(const std::string& id);
  void OnDiskWritten(const MetadataWritten& in);
  void OnDiskRead(const std::string& id);
  void DiskChanged(const std::string& id, const Status& status);
  std::vector<DiskMove> PlanRebalance() const;
  void Rebalance(uint64_t token, bool dry_run);
  void AcceptDataLoss(uint64_t token, const std::string& name, const std::string& confirmed_node);
  void WatchAcceptedLoss(ServiceState& service);
  void AcceptClosedLoss(uint64_t token, const std::string& name, Epoch epoch, Lsn from, Lsn to);
  void ClosedLossWritten(const std::string& log);
  void SettleClosedLoss(const std::string& log);
  void ChooseReplicas(ServiceSpec* spec, const ServiceState* known) const;
  void TellChain(const ServiceState& service);

  // requests_policy.cc: operators, of the policy
  void PolicyRequest(const OperatorRequest& in);
  void ChangeSettings(uint64_t token, policy::FleetSettings settings);
  std::string SettingsDocument() const;
  bool Outranked(const ServiceState& service) const;
  std::string ExplainDocument(const ServiceState& service) const;

  // failure.cc: is the primary gone?
  enum class Verdict { kAlive, kSuspect, kGone };
  Verdict Judge(ServiceState& service, std::string* why);
  void AskAge(ServiceState& service);

  // moves.cc: the one move of a service
  void StartUnplanned(ServiceState& service, const std::string& why);
  void StartFirst(ServiceState& service);
  void StartPlanned(ServiceState& service, const std::string& reason, bool predicted, uint64_t token);
  void AdvanceMove(ServiceState& service);
  void AdvanceStart(ServiceState& service, NodeState& target);
  void AdvanceTakeOver(ServiceState& service, NodeState& target);
  void AdvancePlanned(ServiceState& service, NodeState& target);
  bool TargetLost(const ServiceState& service, const NodeState& target, std::string* why) const;
  void Retarget(ServiceState& service, const std::string& why, bool counts = true);
  void AbortPlanned(ServiceState& service, const std::string& why);
  void BecomeUnplanned(ServiceState& service, const std::string& why);
  void Finish(ServiceState& service, NodeState& primary);
  void EnterStep(ServiceState& service, MoveStep step);
  void AdvanceRestarts(ServiceState& service);

  // rejuvenate.cc: after a time
  bool Rejuvenates(const ServiceState& service) const;
  void NoteFresh(ServiceState& service);
  policy::RejuvenationInput RejuvenationView(const ServiceState& service) const;
  void ConsiderRejuvenation(ServiceState& service);
  void StartRejuvenation(ServiceState& service);
  void RejuvenationFailed(ServiceState& service, const std::string& why);

  // restart.cc: on purpose, for want of a spare
  bool SpareToBeHad(const ServiceState& service) const;
  policy::RestartPermit AllowedRestart(const ServiceState& service) const;
  void ConsiderRestart(ServiceState& service);
  void StartRestart(ServiceState& service);
  std::string RestartDoubted(const ServiceState& service) const;
  bool AdvanceRestart(ServiceState& service);
  void AbortRestart(ServiceState& service, const std::string& why);

  // placement.cc: who may take what
  // Primary, spare, target or being restarted, of any service but the one named.
  bool IsTaken(const std::string& node, const std::string& except_service) const;
  // Another service has come to use a node that a plan gives to `service`, which does not use it yet. Two plans name one
  // node when what an earlier leader decided last was not written.
  bool LostToAnother(const ServiceState& service, const NodeState& node, std::string* why) const;
  bool Carries(const NodeState& node, const ServiceSpec& spec) const;
  bool CanStart(const NodeState& node, const ServiceSpec& spec) const;
  bool RunsProgramOf(const NodeState& node, const ServiceSpec& spec) const;
  // How good a target the node is for a move of `service`; 0: none.
  int Fitness(const ServiceState& service, const NodeState& node) const;
  NodeState* PickTarget(const ServiceState& service, const std::string& not_this);
  NodeState* PickSpare(const ServiceState& service);
  enum class Need { kForecast, kFirstStart, kFailure };
  NodeState* Preempt(const ServiceState& service, Need need);
  void FillPool();
  void SendStart(NodeState& node, const ServiceSpec& spec);
  void SendStop(NodeState& node, const std::string& service, int64_t grace_ms);
  void TidyStrays();
  void StopRemoved(NodeState& node);

  // ladder.cc: what forecasts lead to
  void RecordRisk(ServiceState& service);
  void EvaluateBrake();
  void Climb(ServiceState& service);
  void DriveSpare(ServiceState& service, NodeState& primary, policy::Rung rung);
  void StopMirror(ServiceState& service, NodeState& primary);
  void Unassign(ServiceState& service, const std::string& kind, const std::string& why);
  void DriveCheckpoints(ServiceState& service, NodeState& primary, const policy::Permit& permit);
  bool PredictionsHeld() const { return settings_.paused || braked_; }
  void RecordHeld(ServiceState& service, const policy::Permit& permit, bool reserved);

  // policy_view.cc: what the policy is told
  void MeasureNode(NodeState& node, const AgentReport& before);
  policy::SpareWork WorkLeft(const ServiceState& service) const;
  void Assess(ServiceState& service);
  policy::Permit Allowed(const ServiceState& service) const;
  void CountFleet();
  void Reclaim(ServiceState& service);
  void Unclaim(ServiceState& service);

  // commands.cc
  // Sees to it that the node has been told; see SentCommand. Returns the entry.
  SentCommand& Ensure(NodeState& node, Command command, int64_t retry_ms);
  Command MakeCommand(CommandKind kind, const ServiceState& service) const;
  void Forget(NodeState& node, const std::string& service, CommandKind kind);
  void Emit(NodeState& node, SentCommand* sent);

  NodeState& Node(const std::string& name);
  bool Missing(const NodeState& node) const;
  ServiceState* FindService(const std::string& name);
  // What lies in the past was looked at by this Step: nothing comes of it before something else happens.
  void Wake(Instant at) {
    if (at > now_) out_->wake_at = std::min(out_->wake_at, at);
  }
  void WakeIn(int64_t ms) { Wake(now_ + ms * kNsPerMs); }
  bool Passed(Instant since, int64_t ms) { return since == Instant::Never() ? false : now_ - since >= ms * kNsPerMs; }
  std::vector<NodeState*> Candidates(const ServiceState& service);
  int64_t Pause(int failures, int64_t first_ms) const;
  Event& Record(std::string kind, const std::string& service, const std::string& node, std::string text);
  void Remember(ServiceState* service, Decision decision);
  void Reply(uint64_t token, StatusCode code, std::string detail, std::string document = "");
  void AddForecast(Event* event, const ServiceState& service) const;

  const CoreOptions options_;
  std::vector<std::string> addresses_;
  std::map<std::string, NodeState> nodes_;
  std::map<std::string, ServiceState> services_;
  std::map<std::string, DiskState> disks_;
  std::map<uint64_t, LogState> logs_;
  std::map<std::string, std::pair<std::string, uint64_t>> early_plans_;  // before their service is known
  std::set<std::string> unreadable_specs_;  // services whose file this coordinator does not understand
  std::map<std::string, PendingApply> applying_;
  std::map<uint64_t, PendingDisks> pending_disks_;
  std::map<std::string, uint64_t> changing_disks_;  // disk to its entry in pending_disks_
  uint64_t disk_changes_ = 0;
  std::deque<MoveRecord> moves_;
  bool loaded_ = false;
  policy::FleetSettings settings_;
  policy::FleetView fleet_;
  bool braked_ = false;
  int rejuvenating_ = 0;  // services, as of the last look at all, and those begun since
  uint64_t settings_version_ = 0;
  struct PendingSettings {
    uint64_t token = 0;
    bool pause = false;  // asked for by pause or resume
  };
  std::vector<PendingSettings> pending_settings_;
  std::map<std::string, std::vector<Claim>> claims_;  // by node: its uses; none has no entry
  std::set<std::string> unclaimed_;                   // the other nodes
  std::map<std::string, int> program_ids_;
  uint64_t specs_changed_ = 0;
  std::set<std::string> touched_;  // services that the input of this Step concerns
  bool look_at_all_ = true;        // something changed that may concern any service
  Instant all_not_before_;
  uint64_t looks_at_all_ = 0;
  Instant all_due_ = Instant::Never();  // what a look at all services wants to be woken for
  uint64_t term_ = 0;
  uint64_t commands_ = 0;
  Instant loaded_at_;

  // Of the Step under way.
  Instant now_;
  int64_t unix_ms_ = 0;
  Effects* out_ = nullptr;
};

}  // namespace understudy::coordinator
