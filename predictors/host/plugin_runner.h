// One plugin of a host: its worker, its instances (one a primary), the batch under way, its faults. Everything on the
// host's thread; what comes back goes to the Sink.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "predictors/host/breaker.h"
#include "predictors/host/model_file.h"
#include "predictors/host/predictor_host.h"
#include "predictors/host/wire.h"
#include "predictors/host/worker.h"

namespace understudy {

// Where the plugin `name` of a service's spec is: kNotFound names the folders.
Result<std::string> FindPlugin(const PredictorHostOptions& options, const std::string& name);

class PluginRunner {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    // The answer of one instance in one round; each exactly once.
    virtual void OnAnswer(uint64_t round, uint64_t instance, std::vector<Forecast> forecasts) = 0;
    // The instance was made, or why not: this time (it is tried again) or, kInvalidArgument, until its configuration or
    // its model file is changed. Again after each change of that file.
    virtual void OnCreated(uint64_t instance, const Status& status) = 0;
    virtual void OnAlert(const std::string& plugin, const std::string& primary, const std::string& text,
                         bool resolved) = 0;
  };

  PluginRunner(const PredictorHostOptions* options, WorkerFactory* workers, Sink* sink, std::string name);
  ~PluginRunner();
  PluginRunner(const PluginRunner&) = delete;
  PluginRunner& operator=(const PluginRunner&) = delete;

  void AddInstance(uint64_t id, const std::string& primary, const std::string& config, Instant now);
  void RemoveInstance(uint64_t id, Instant now);
  bool idle() const { return instances_.empty(); }

  void Observe(uint64_t id, std::shared_ptr<const NodeSample> sample, int64_t time_ns);
  void Reset(uint64_t id, ResetReason why);
  void Feedback(uint64_t id, OutcomeKind kind, double lead_s, Instant when);

  // Asks all instances. Those that cannot be asked answer at once; the others until EndRound, which the host calls at
  // the round's deadline.
  void StartRound(uint64_t round, Instant now, const std::vector<int64_t>& horizons_ms);
  size_t size() const { return instances_.size(); }
  void EndRound(uint64_t round, Instant now);
  // Answers for those that have not: ABSTAIN, and no fault of the plugin's.
  void CancelRound(uint64_t round, const std::string& why);

  // For the host's poll: -1 when there is no worker.
  int fd() const { return worker_ ? worker_->fd() : -1; }
  bool wants_write() const { return worker_ && worker_->wants_write(); }
  void OnReady(Instant now);
  Instant next_deadline() const { return deadline_; }  // of start-up or restart
  void OnDeadline(Instant now);

 private:
  enum class State { kDown, kLoading, kUp };
  struct Instance {
    std::string primary, config;
    std::string model_path;  // that `config` names; or empty
    ModelFileStamp model;    // of the file when it was last read
    bool created = false;
    std::string refused;   // why the plugin does not want it; then it abstains until its model file changes
    bool alerted = false;  // that it is refused
    bool faulty = false;   // its last answer was impossible; alerted
    std::vector<std::string> metrics;
    std::deque<std::pair<int64_t, std::shared_ptr<const NodeSample>>> samples;
    int64_t last_sample_ns = INT64_MIN;
    std::optional<ResetReason> reset;
    std::deque<WorkerOp> feedback;
    std::string saved;  // its last saved state
    Instant saved_at;
  };
  struct Round {
    uint64_t id = 0;
    Instant now;
    std::vector<int64_t> horizons_ms;
    std::set<uint64_t> waiting;  // instances that have not answered
    uint64_t asked = 0;          // of those, up to this id
    bool sent = false;           // a part of it at least
  };

  void Start(Instant now);
  void Fault(const Status& why, bool dying, Instant now);
  void SendNext(Instant now);
  bool SendSetup(Instant now);
  void Refuse(uint64_t id, const Status& why);
  // Instances whose model file is another one now are made anew.
  void FollowModelFiles(Instant now);
  // False when all have been asked.
  bool SendRound(Instant now);
  bool SendSave(Instant now);
  void Send(WorkerBatch batch, Instant now);
  void OnFrame(const std::string& frame, Instant now);
  void OnGreeting(const WorkerReply& reply, Instant now);
  void OnResult(const WorkerOp& op, WorkerResult& result, bool late, Instant now);
  void OnForecasts(uint64_t id, WorkerResult& result);
  void Answer(uint64_t id, ForecastStatus status, const std::string& reason);
  void AnswerAll(ForecastStatus status, const std::string& reason);
  std::vector<PluginSample> TakeSamples(Instance* instance, int64_t now_ns);
  void LogLines(const std::vector<std::string>& lines, Instant now);

  const PredictorHostOptions* options_;
  WorkerFactory* workers_;
  Sink* sink_;
  std::string name_, version_;
  State state_ = State::kDown;
  std::string why_down_ = "not loaded yet";
  bool alerted_ = false;
  std::unique_ptr<Worker> worker_;
  Breaker breaker_;
  Instant deadline_ = Instant::Never();
  std::map<uint64_t, Instance> instances_;
  std::vector<uint64_t> to_destroy_;  // known to the worker, wanted no more
  uint64_t batch_id_ = 0;
  std::optional<WorkerBatch> under_way_;
  bool under_way_is_round_ = false;
  std::optional<Round> round_;
  int missed_ = 0;  // deadlines in a row
  int log_lines_ = 0;
  Instant log_since_;
  Instant models_looked_at_;
};

}  // namespace understudy
