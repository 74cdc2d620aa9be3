#include "predictors/host/plugin_runner.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "log/env/logging.h"

namespace understudy {
namespace {

constexpr size_t kFeedbackMax = 16;
constexpr int64_t kSaveEveryMs = 60'000;
constexpr int kLogLinesAMinute = 20;
constexpr int64_t kModelFilesEveryMs = 2'000;

// Of one batch; a round of many primaries takes several. Frames are bounded by kWorkerFrameBytesMax both ways: what is
// asked is counted here, and the answer to a question has 16 forecasts of less than 350 bytes at most.
constexpr size_t kBatchInstancesMax = 1024;
constexpr size_t kBatchBytesMax = 4u << 20;
static_assert(kBatchInstancesMax * UNDERSTUDY_HORIZONS_MAX * 600 < kWorkerFrameBytesMax);

}  // namespace

PluginRunner::PluginRunner(const PredictorHostOptions* options, WorkerFactory* workers, Sink* sink, std::string name)
    : options_(options),
      workers_(workers),
      sink_(sink),
      name_(std::move(name)),
      breaker_(options->restart_pause_ms, options->restart_pause_ms_max, options->healthy_after_ms) {}

Result<std::string> FindPlugin(const PredictorHostOptions& options, const std::string& name) {
  std::error_code error;
  if (name.find('/') != std::string::npos) {
    if (std::filesystem::exists(name, error)) return name;
    return Status(StatusCode::kNotFound, name + ": no such plugin");
  }
  std::string looked;
  for (const std::string& folder : options.plugin_folders) {
    const std::string path = folder + "/" + name + ".so";
    if (std::filesystem::exists(path, error)) return path;
    looked += (looked.empty() ? "" : ", ") + folder;
  }
  return Status(StatusCode::kNotFound, "no plugin \"" + name + "\" in " + (looked.empty() ? "no folder" : looked));
}

PluginRunner::~PluginRunner() {
  if (worker_) worker_->End(false);
}

void PluginRunner::AddInstance(uint64_t id, const std::string& primary, const std::string& config, Instant now) {
  Instance& instance = instances_[id];
  instance.primary = primary;
  instance.config = config;
  instance.model_path = ModelFilePath(config);
  if (state_ == State::kDown && deadline_ == Instant::Never()) {
    Start(now);
  } else {
    SendNext(now);
  }
}

void PluginRunner::RemoveInstance(uint64_t id, Instant now) {
  Answer(id, ForecastStatus::kAbstain, "no longer wanted");
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  if (found->second.created) to_destroy_.push_back(id);
  instances_.erase(found);
  SendNext(now);
}

void PluginRunner::Observe(uint64_t id, std::shared_ptr<const NodeSample> sample, int64_t time_ns) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  Instance& instance = found->second;
  if (time_ns <= instance.last_sample_ns) return;
  instance.last_sample_ns = time_ns;
  instance.samples.emplace_back(time_ns, std::move(sample));
  if (instance.samples.size() > options_->samples_buffered_max) instance.samples.pop_front();
}

void PluginRunner::Reset(uint64_t id, ResetReason why) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  found->second.samples.clear();
  found->second.saved.clear();
  if (found->second.created) found->second.reset = why;
}

void PluginRunner::Feedback(uint64_t id, OutcomeKind kind, double lead_s, Instant when) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second.feedback.size() >= kFeedbackMax) return;
  WorkerOp op;
  op.kind = OpKind::kFeedback;
  op.instance = id;
  op.code = static_cast<int32_t>(kind);
  op.time_ns = when.ns();
  op.lead_s = lead_s;
  found->second.feedback.push_back(std::move(op));
}

void PluginRunner::StartRound(uint64_t round, Instant now, const std::vector<int64_t>& horizons_ms) {
  // The host ends a round before it starts the next.
  round_ = Round{round, now, horizons_ms, {}, 0, false};
  for (const auto& [id, instance] : instances_) round_->waiting.insert(round_->waiting.end(), id);
  if (state_ == State::kDown) return AnswerAll(ForecastStatus::kAbstain, why_down_);
  FollowModelFiles(now);
  const std::set<uint64_t> all = round_->waiting;
  for (uint64_t id : all) {
    const Instance& instance = instances_.at(id);
    if (!instance.refused.empty()) Answer(id, ForecastStatus::kAbstain, instance.refused);
  }
  SendNext(now);
}

void PluginRunner::EndRound(uint64_t round, Instant now) {
  if (!round_ || round_->id != round) return;
  if (round_->waiting.empty()) {
    round_.reset();
    return;
  }
  const bool loading = state_ == State::kLoading || (!round_->sent && under_way_ && !under_way_is_round_);
  if (loading) {
    AnswerAll(ForecastStatus::kWarming, "still loading");
    round_.reset();
    return;
  }
  ++missed_;
  const std::string late = "no answer within " + std::to_string(options_->call_deadline_ms) + " ms";
  AnswerAll(ForecastStatus::kAbstain, late);
  round_.reset();
  if (missed_ >= options_->missed_deadlines_max) {
    Fault({StatusCode::kDeadlineExceeded, late + ", " + std::to_string(missed_) + " times in a row"}, false, now);
  }
}

void PluginRunner::CancelRound(uint64_t round, const std::string& why) {
  if (!round_ || round_->id != round) return;
  AnswerAll(ForecastStatus::kAbstain, why);
  round_.reset();
}

void PluginRunner::OnReady(Instant now) {
  if (!worker_) return;
  std::vector<std::string> frames;
  const Status status = worker_->Pump(&frames);
  for (const std::string& frame : frames) {
    if (!worker_) return;  // a frame before was its last
    OnFrame(frame, now);
  }
  if (worker_ && !status.ok()) Fault(Status(StatusCode::kInternal, status.message()), true, now);
}

void PluginRunner::OnDeadline(Instant now) {
  if (now < deadline_) return;
  deadline_ = Instant::Never();
  if (state_ == State::kDown) {
    if (!instances_.empty()) Start(now);
  } else {
    const std::string limit = std::to_string(options_->start_deadline_ms) + " ms";
    Fault({StatusCode::kDeadlineExceeded, "did not get ready within " + limit}, false, now);
  }
}

void PluginRunner::Start(Instant now) {
  const Result<std::string> path = FindPlugin(*options_, name_);
  if (!path.ok()) return Fault(path.status(), false, now);
  Result<std::unique_ptr<Worker>> worker = workers_->Start(*path);
  if (!worker.ok()) return Fault(worker.status(), false, now);
  worker_ = std::move(worker).value();
  state_ = State::kLoading;
  missed_ = 0;
  deadline_ = now + options_->start_deadline_ms * kNsPerMs;
}

void PluginRunner::Fault(const Status& why, bool dying, Instant now) {
  std::string what = why.message();
  if (worker_) {
    const std::string ending = worker_->End(dying);
    if (dying && ending != "was ended") what = ending;
    worker_.reset();
  }
  state_ = State::kDown;
  under_way_.reset();
  to_destroy_.clear();
  missed_ = 0;
  const int64_t pause_ms = breaker_.Fault(now);
  deadline_ = now + pause_ms * kNsPerMs;
  why_down_ = what;
  for (auto& [id, instance] : instances_) {
    // A state that was there when it broke may be why it broke: only the first restart gets it.
    if (breaker_.faults() > 1) instance.saved.clear();
    instance.reset.reset();
    if (!std::exchange(instance.created, false) && instance.refused.empty()) {
      sink_->OnCreated(id, Status(why.code(), what));
    }
  }
  if (round_) AnswerAll(ForecastStatus::kAbstain, what);
  alerted_ = true;
  sink_->OnAlert(
      name_, "",
      what + "; its forecasts are ABSTAIN, trying again in " + std::to_string(pause_ms / 1000.0).substr(0, 5) + " s",
      false);
}

void PluginRunner::SendNext(Instant now) {
  if (state_ != State::kUp || under_way_) return;
  if (round_ && round_->waiting.empty()) round_.reset();
  if (SendSetup(now)) return;
  if (round_ && SendRound(now)) return;
  if (!round_ && SendSave(now)) return;
}

bool PluginRunner::SendSetup(Instant now) {
  WorkerBatch batch;
  for (uint64_t id : std::exchange(to_destroy_, {})) {
    WorkerOp& op = batch.ops.emplace_back();
    op.kind = OpKind::kDestroy;
    op.instance = id;
  }
  std::vector<std::pair<uint64_t, Status>> refused;
  size_t bytes = 0;
  for (auto& [id, instance] : instances_) {
    if (instance.created || !instance.refused.empty()) continue;
    // Read each time, and not kept: a model is large, and all primaries of a fleet may have the same. The stamp is
    // older than what is read: a change in between is seen later.
    if (!instance.model_path.empty()) instance.model = StampModelFile(instance.model_path);
    Result<std::string> config = ResolveModelFile(instance.config);
    if (!config.ok()) {
      refused.emplace_back(id, config.status());
      continue;
    }
    bytes += config->size();
    WorkerOp& op = batch.ops.emplace_back();
    op.kind = OpKind::kCreate;
    op.instance = id;
    op.config = std::move(config).value();
    op.state = instance.saved;
    op.seed = options_->seed;
    if (op.state.size() > 0) break;  // a batch with a state in it has only one: frames are bounded
    if (batch.ops.size() >= 64 || bytes > kModelFileBytesMax) break;
  }
  for (const auto& [id, why] : refused) Refuse(id, why);
  if (batch.ops.empty()) return false;
  deadline_ = now + options_->start_deadline_ms * kNsPerMs;
  under_way_is_round_ = false;
  Send(std::move(batch), now);
  return true;
}

// The instance abstains from now on, until its configuration or its model file is changed.
void PluginRunner::Refuse(uint64_t id, const Status& why) {
  Instance& instance = instances_.at(id);
  const bool config = why.code() == StatusCode::kInvalidArgument;
  instance.refused = (config ? "bad configuration: " : "cannot be made: ") + why.message();
  if (instance.refused.size() > 500) instance.refused.resize(500);
  instance.alerted = true;
  sink_->OnCreated(id, why);
  sink_->OnAlert(name_, instance.primary, instance.refused + "; its forecasts are ABSTAIN", false);
  Answer(id, ForecastStatus::kAbstain, instance.refused);
}

void PluginRunner::FollowModelFiles(Instant now) {
  if (now - models_looked_at_ < kModelFilesEveryMs * kNsPerMs) return;
  models_looked_at_ = now;
  std::map<std::string, ModelFileStamp> stamps;  // a fleet has few files
  for (auto& [id, instance] : instances_) {
    // One that is being made is looked at when it is.
    if (instance.model_path.empty() || (!instance.created && instance.refused.empty())) continue;
    const auto [stamp, first] = stamps.try_emplace(instance.model_path);
    if (first) stamp->second = StampModelFile(instance.model_path);
    if (stamp->second == instance.model) continue;
    if (instance.created) {
      // One that works is not given up for a file that is gone, or only half written.
      instance.model = stamp->second;
      if (!ResolveModelFile(instance.config).ok()) continue;
      to_destroy_.push_back(id);
      instance.created = false;
      instance.saved.clear();
    }
    instance.refused.clear();
    LogInfo("predictor",
            name_ + ": " + instance.primary + ": " + instance.model_path + " has changed and is read again");
  }
}

std::vector<PluginSample> PluginRunner::TakeSamples(Instance* instance, int64_t now_ns) {
  std::vector<PluginSample> out;
  // What is later than `now` waits for the next round.
  while (!instance->samples.empty() && instance->samples.front().first <= now_ns) {
    const auto [time_ns, sample] = std::move(instance->samples.front());
    instance->samples.pop_front();
    PluginSample& to = out.emplace_back();
    to.time_ns = time_ns;
    to.values.assign(instance->metrics.size(), std::numeric_limits<double>::quiet_NaN());
    for (const Metric& metric : sample->metrics) {
      for (size_t i = 0; i < instance->metrics.size(); ++i) {
        if (instance->metrics[i] == metric.name) to.values[i] = metric.value;
      }
    }
  }
  return out;
}

bool PluginRunner::SendRound(Instant now) {
  WorkerBatch batch;
  size_t bytes = 0, asked = 0;
  const auto add = [&batch](OpKind kind, uint64_t id) -> WorkerOp& {
    WorkerOp& op = batch.ops.emplace_back();
    op.kind = kind;
    op.instance = id;
    return op;
  };
  for (auto it = round_->waiting.upper_bound(round_->asked); it != round_->waiting.end(); ++it) {
    if (asked >= kBatchInstancesMax || bytes >= kBatchBytesMax) break;
    const uint64_t id = *it;
    Instance& instance = instances_.at(id);
    round_->asked = id;
    ++asked;
    bytes += 200 + instance.samples.size() * (12 + 8 * instance.metrics.size());
    if (instance.reset) add(OpKind::kReset, id).code = static_cast<int32_t>(*std::exchange(instance.reset, {}));
    for (WorkerOp& op : std::exchange(instance.feedback, {})) batch.ops.push_back(std::move(op));
    std::vector<PluginSample> samples = TakeSamples(&instance, round_->now.ns());
    if (!samples.empty()) add(OpKind::kObserve, id).samples = std::move(samples);
    WorkerOp& ask = add(OpKind::kPredict, id);
    ask.time_ns = round_->now.ns();
    ask.horizons_ms = round_->horizons_ms;
  }
  if (asked == 0) return false;
  round_->sent = true;
  under_way_is_round_ = true;
  Send(std::move(batch), now);
  return true;
}

bool PluginRunner::SendSave(Instant now) {
  for (auto& [id, instance] : instances_) {
    if (!instance.created || now - instance.saved_at < kSaveEveryMs * kNsPerMs) continue;
    instance.saved_at = now;
    WorkerBatch batch;
    WorkerOp& op = batch.ops.emplace_back();
    op.kind = OpKind::kSave;
    op.instance = id;
    deadline_ = now + options_->start_deadline_ms * kNsPerMs;
    under_way_is_round_ = false;
    Send(std::move(batch), now);
    return true;
  }
  return false;
}

void PluginRunner::Send(WorkerBatch batch, Instant now) {
  batch.id = ++batch_id_;
  const Status status = worker_->Send(EncodeBatch(batch));
  under_way_ = std::move(batch);
  if (!status.ok()) Fault(Status(StatusCode::kInternal, status.message()), true, now);
}

void PluginRunner::OnFrame(const std::string& frame, Instant now) {
  WorkerReply reply;
  if (!DecodeReply(frame, &reply)) return Fault({StatusCode::kInternal, "its answer is malformed"}, false, now);
  if (state_ == State::kLoading) return OnGreeting(reply, now);
  if (!under_way_ || reply.id != under_way_->id || reply.results.size() != under_way_->ops.size()) {
    return Fault({StatusCode::kInternal, "its answer does not fit what it was asked"}, false, now);
  }
  LogLines(reply.log, now);
  const WorkerBatch batch = *std::exchange(under_way_, {});
  const bool late = under_way_is_round_ && !(round_ && round_->sent);
  if (under_way_is_round_ && !late) {
    missed_ = 0;
    breaker_.Started(now);
    if (std::exchange(alerted_, false)) sink_->OnAlert(name_, "", "answers again", true);
  }
  if (!under_way_is_round_) deadline_ = Instant::Never();
  for (size_t i = 0; i < batch.ops.size(); ++i) OnResult(batch.ops[i], reply.results[i], late, now);
  SendNext(now);
}

void PluginRunner::OnGreeting(const WorkerReply& reply, Instant now) {
  if (reply.results.size() != 1) return Fault({StatusCode::kInternal, "its greeting is malformed"}, false, now);
  const std::string& text = reply.results[0].text;
  const auto code = static_cast<StatusCode>(reply.results[0].code);
  if (code != StatusCode::kOk) {
    return Fault({code, text}, false, now);
  }
  version_ = reply.version;
  state_ = State::kUp;
  deadline_ = Instant::Never();
  SendNext(now);
}

void PluginRunner::OnResult(const WorkerOp& op, WorkerResult& result, bool late, Instant now) {
  const auto found = instances_.find(op.instance);
  if (found == instances_.end()) {
    if (op.kind == OpKind::kCreate && result.code == UNDERSTUDY_OK) to_destroy_.push_back(op.instance);
    return;
  }
  Instance& instance = found->second;
  switch (op.kind) {
    case OpKind::kCreate:
      if (result.code == UNDERSTUDY_OK) {
        instance.created = true;
        instance.metrics = std::move(result.metrics);
        instance.saved_at = now;
        if (std::exchange(instance.alerted, false)) {
          sink_->OnAlert(name_, instance.primary, "its model file is good", true);
        }
        sink_->OnCreated(op.instance, Status::Ok());
      } else {
        const bool config = result.code == UNDERSTUDY_BAD_CONFIG;
        Refuse(op.instance, Status(config ? StatusCode::kInvalidArgument : StatusCode::kInternal, result.text));
      }
      return;
    case OpKind::kReset:
      if (result.code != UNDERSTUDY_OK) instance.created = false;  // the worker has dropped it; made anew
      return;
    case OpKind::kSave:
      if (result.code == UNDERSTUDY_OK && result.state.size() <= UNDERSTUDY_STATE_MAX) {
        instance.saved = std::move(result.state);
      }
      return;
    case OpKind::kPredict:
      if (!late) OnForecasts(op.instance, result);
      return;
    case OpKind::kObserve:
    case OpKind::kFeedback:
      if (result.code != UNDERSTUDY_OK) LogDebug("predictor", name_ + ": " + result.text);
      return;
    case OpKind::kDestroy:
      return;
  }
}

void PluginRunner::OnForecasts(uint64_t id, WorkerResult& result) {
  Instance& instance = instances_.at(id);
  if (result.code == UNDERSTUDY_WARMING) return Answer(id, ForecastStatus::kWarming, result.text);
  if (result.code == UNDERSTUDY_ABSTAIN) return Answer(id, ForecastStatus::kAbstain, result.text);
  std::string fault;
  if (result.code != UNDERSTUDY_OK) {
    fault = "failed: " + result.text;
  } else if (result.forecasts.size() != round_->horizons_ms.size()) {
    fault = "answered " + std::to_string(result.forecasts.size()) + " horizons of " +
            std::to_string(round_->horizons_ms.size());
  }
  for (size_t i = 0; fault.empty() && i < result.forecasts.size(); ++i) {
    result.forecasts[i].predictor = name_;
    result.forecasts[i].version = version_;
    result.forecasts[i].horizon_ms = round_->horizons_ms[i];
    fault = CheckForecast(result.forecasts[i]);
  }
  if (!fault.empty()) {
    if (!std::exchange(instance.faulty, true)) {
      sink_->OnAlert(name_, instance.primary, fault + "; its forecasts are ABSTAIN until they are possible again",
                     false);
    }
    return Answer(id, ForecastStatus::kAbstain, fault);
  }
  if (std::exchange(instance.faulty, false)) {
    sink_->OnAlert(name_, instance.primary, "its forecasts are possible again", true);
  }
  round_->waiting.erase(id);
  sink_->OnAnswer(round_->id, id, std::move(result.forecasts));
}

void PluginRunner::Answer(uint64_t id, ForecastStatus status, const std::string& reason) {
  if (!round_ || round_->waiting.erase(id) == 0) return;
  std::vector<Forecast> forecasts;
  for (int64_t horizon_ms : round_->horizons_ms) {
    Forecast& forecast = forecasts.emplace_back();
    forecast.predictor = name_;
    forecast.version = version_;
    forecast.status = status;
    forecast.horizon_ms = horizon_ms;
    forecast.reason = reason;
  }
  sink_->OnAnswer(round_->id, id, std::move(forecasts));
}

void PluginRunner::AnswerAll(ForecastStatus status, const std::string& reason) {
  const std::set<uint64_t> waiting = round_->waiting;
  for (uint64_t id : waiting) Answer(id, status, reason);
}

void PluginRunner::LogLines(const std::vector<std::string>& lines, Instant now) {
  if (now - log_since_ > 60 * kNsPerSecond) {
    log_since_ = now;
    log_lines_ = 0;
  }
  for (const std::string& line : lines) {
    if (++log_lines_ > kLogLinesAMinute) return;
    LogInfo("predictor", name_ + ": " + line);
  }
}

}  // namespace understudy
