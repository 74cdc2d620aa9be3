// Both hosts: one thread that owns the runners and waits for commands, workers and deadlines.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "predictors/host/agent_clock.h"
#include "predictors/host/plugin_runner.h"
#include "predictors/host/predictor_host.h"
#include "predictors/host/worker.h"
#include "understudy/check.h"

namespace understudy {
namespace {

constexpr size_t kPredictsMax = 16;                  // asked for and not yet answered
constexpr size_t kChecksMax = 8;                     // at a time
constexpr size_t kCommandsMax = 50'000;              // posted, not yet taken; samples are dropped beyond
constexpr int64_t kGoodAgainNs = 60 * kNsPerSecond;  // without a dropped sample: the alert is over
constexpr int64_t kDeadlinePrimaries = 1000;         // the deadline of a round grows with so many
constexpr char kSamples[] = "samples";               // alerts about them name this where others name a plugin

class Host : public PredictorHost, public PluginRunner::Sink {
 public:
  // `threads` may be null: then `workers` has all plugins.
  Host(PredictorHostOptions options, std::unique_ptr<WorkerFactory> workers, std::unique_ptr<WorkerFactory> threads)
      : options_(std::move(options)),
        workers_(std::move(workers)),
        threads_(std::move(threads)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    UNDERSTUDY_CHECK(options_.clock != nullptr && wake_ >= 0);
    thread_ = std::thread([this] { Run(); });
  }

  ~Host() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    Wake();
    thread_.join();
    close(wake_);
  }

  void Configure(const std::string& primary, std::vector<PredictorSpec> specs) override {
    Post([this, primary, specs = std::move(specs)] { DoConfigure(primary, specs); });
  }
  void Check(const PredictorSpec& spec, std::function<void(Status)> done) override {
    Post([this, spec, done = std::move(done)] { DoCheck(spec, done); });
  }
  void Observe(const std::string& primary, const std::vector<NodeSample>& samples, Instant now) override {
    std::vector<std::shared_ptr<const NodeSample>> shared;  // by all predictors of the primary
    for (const NodeSample& sample : samples) shared.push_back(std::make_shared<const NodeSample>(sample));
    Post([this, primary, shared = std::move(shared), now] { DoObserve(primary, shared, now); }, /*may_drop=*/true);
  }
  void Predict(Instant now, std::vector<int64_t> horizons_ms, std::function<void(Forecasts)> done) override {
    Post([this, now, horizons_ms = std::move(horizons_ms), done = std::move(done)] {
      DoPredict({now, horizons_ms, done});
    });
  }
  void Reset(const std::string& primary, ResetReason why) override {
    Post([this, primary, why] {
      const auto found = primaries_.find(primary);
      if (found == primaries_.end()) return;
      found->second.clock.Forget();
      for (const Slot& slot : found->second.slots) slot.runner->Reset(slot.instance, why);
    });
  }
  void Feedback(const std::string& primary, OutcomeKind kind, double lead_s, Instant when) override {
    Post([this, primary, kind, lead_s, when] {
      const auto found = primaries_.find(primary);
      if (found == primaries_.end()) return;
      for (const Slot& slot : found->second.slots) slot.runner->Feedback(slot.instance, kind, lead_s, when);
    });
  }
  void SetOnAlert(std::function<void(PredictorAlert)> fn) override {
    Post([this, fn = std::move(fn)] { on_alert_ = fn; });
  }

 private:
  struct Slot {
    PredictorSpec spec;
    PluginRunner* runner = nullptr;
    uint64_t instance = 0;
  };
  struct Primary {
    std::vector<Slot> slots;
    AgentClock clock;
    std::optional<Instant> bad;  // a sample was dropped last; alerted
  };
  struct Ask {
    Instant now;
    std::vector<int64_t> horizons_ms;
    std::function<void(Forecasts)> done;
  };
  struct Round {
    uint64_t id = 0;
    Ask ask;
    Instant deadline;
    struct Place {
      std::string primary;
      size_t position = 0;
      bool shadow = false;
      bool restart_cures = false;
    };
    std::map<uint64_t, Place> places;  // by instance
    std::map<std::string, std::vector<std::vector<Forecast>>> answers;
    size_t waiting = 0;
  };
  // A check is a runner of its own with one instance, apart from all others.
  struct CheckRun : PluginRunner::Sink {
    std::unique_ptr<PluginRunner> runner;
    std::function<void(Status)> done;
    bool finished = false;
    void OnAnswer(uint64_t, uint64_t, std::vector<Forecast>) override {}
    void OnCreated(uint64_t, const Status& status) override {
      if (!std::exchange(finished, true)) done(status);
    }
    void OnAlert(const std::string&, const std::string&, const std::string&, bool) override {}
  };

  void Post(std::function<void()> command, bool may_drop = false) {
    {
      std::lock_guard lock(mutex_);
      if (may_drop && commands_.size() >= kCommandsMax) return;
      commands_.push_back(std::move(command));
    }
    Wake();
  }
  void Wake() const {
    const uint64_t one = 1;
    while (write(wake_, &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
  Instant Now() const { return options_.clock->Now(); }

  void Run() {
    while (true) {
      std::deque<std::function<void()>> commands;
      bool stopping;
      {
        std::lock_guard lock(mutex_);
        commands.swap(commands_);
        stopping = stopping_;
      }
      if (stopping && commands.empty()) break;
      for (const auto& command : commands) command();
      if (stopping) continue;  // its wake-up may have been taken together with that of these commands
      Deadlines();
      Wait();
    }
    // What is outstanding is answered before the end.
    if (round_) CancelRound();
    for (const Ask& ask : std::exchange(asks_, {})) {
      StartRound(ask);
      if (round_) CancelRound();
    }
    for (const auto& check : checks_) check->OnCreated(0, Status(StatusCode::kCancelled, "the host ends"));
    checks_.clear();
    runners_.clear();
  }

  void ForEachRunner(const std::function<void(PluginRunner*)>& fn) {
    for (const auto& [name, runner] : runners_) fn(runner.get());
    for (size_t i = 0; i < checks_.size(); ++i) fn(checks_[i]->runner.get());
  }

  void Deadlines() {
    workers_->Reap();
    const Instant now = Now();
    ForEachRunner([now](PluginRunner* runner) { runner->OnDeadline(now); });
    if (round_ && now >= round_->deadline) {
      const uint64_t id = round_->id;
      for (const auto& [name, runner] : runners_) runner->EndRound(id, now);
      FinishRound();
    }
    if (!round_ && !asks_.empty()) {
      const Ask ask = std::move(asks_.front());
      asks_.pop_front();
      StartRound(ask);
    }
    std::erase_if(checks_, [](const auto& check) { return check->finished; });
  }

  void Wait() {
    Instant next = Now() + 3600 * kNsPerSecond;
    if (round_) next = std::min(next, round_->deadline);
    if (!round_ && !asks_.empty()) next = Instant(0);
    std::vector<pollfd> entries = {{wake_, POLLIN, 0}};
    std::vector<PluginRunner*> owners = {nullptr};
    ForEachRunner([&](PluginRunner* runner) {
      next = std::min(next, runner->next_deadline());
      if (runner->fd() < 0) return;
      entries.push_back({runner->fd(), static_cast<short>(POLLIN | (runner->wants_write() ? POLLOUT : 0)), 0});
      owners.push_back(runner);
    });
    const int64_t wait_ns = std::max<int64_t>(0, next - Now());
    const int wait_ms = static_cast<int>((wait_ns + kNsPerMs - 1) / kNsPerMs);
    if (poll(entries.data(), entries.size(), wait_ms) <= 0) return;
    if (entries[0].revents != 0) {
      uint64_t count;
      while (read(wake_, &count, sizeof count) < 0 && errno == EINTR) {
      }
    }
    const Instant now = Now();
    for (size_t i = 1; i < entries.size(); ++i) {
      if (entries[i].revents != 0 && owners[i]->fd() == entries[i].fd) owners[i]->OnReady(now);
    }
  }

  WorkerFactory* WorkersOf(Isolation isolation) const {
    return isolation == Isolation::kThread && threads_ ? threads_.get() : workers_.get();
  }
  PluginRunner* RunnerOf(const PredictorSpec& spec) {
    std::unique_ptr<PluginRunner>& runner = runners_[{spec.plugin, spec.isolation}];
    if (!runner) runner = std::make_unique<PluginRunner>(&options_, WorkersOf(spec.isolation), this, spec.plugin);
    return runner.get();
  }

  void DoConfigure(const std::string& name, const std::vector<PredictorSpec>& specs) {
    Primary& primary = primaries_[name];
    std::vector<Slot> old = std::exchange(primary.slots, {});
    for (const PredictorSpec& spec : specs) {
      // A predictor that leaves the shadow keeps what it has learnt in it.
      const auto same = std::find_if(old.begin(), old.end(), [&](const Slot& slot) {
        return slot.spec.plugin == spec.plugin && slot.spec.config == spec.config &&
               slot.spec.isolation == spec.isolation;
      });
      if (same != old.end()) {
        primary.slots.push_back(std::move(*same));
        primary.slots.back().spec = spec;
        old.erase(same);
      } else {
        primary.slots.push_back({spec, RunnerOf(spec), ++instances_made_});
        primary.slots.back().runner->AddInstance(instances_made_, name, spec.config, Now());
      }
    }
    for (const Slot& slot : old) slot.runner->RemoveInstance(slot.instance, Now());
    std::erase_if(runners_, [](const auto& entry) { return entry.second->idle(); });
    if (primary.slots.empty()) primaries_.erase(name);
  }

  void DoCheck(const PredictorSpec& spec, const std::function<void(Status)>& done) {
    if (checks_.size() >= kChecksMax) return done(Status(StatusCode::kResourceExhausted, "too many checks at once"));
    auto& check = checks_.emplace_back(std::make_unique<CheckRun>());
    check->done = done;
    check->runner = std::make_unique<PluginRunner>(&options_, WorkersOf(spec.isolation), check.get(), spec.plugin);
    check->runner->AddInstance(1, "", spec.config, Now());
  }

  void DoObserve(const std::string& name, const std::vector<std::shared_ptr<const NodeSample>>& samples, Instant now) {
    const auto found = primaries_.find(name);
    if (found == primaries_.end() || samples.empty()) return;
    Primary& primary = found->second;
    const char* fault = nullptr;
    for (const auto& sample : samples) {
      int64_t time_ns = 0;
      const char* wrong = primary.clock.Take(sample->monotonic_ms, samples.back()->monotonic_ms, now, &time_ns);
      if (wrong != nullptr) {
        fault = wrong;
        continue;
      }
      for (const Slot& slot : primary.slots) slot.runner->Observe(slot.instance, sample, time_ns);
    }
    if (fault != nullptr) {
      if (!primary.bad) {
        OnAlert(kSamples, name, std::string("the agent sent a sample with ") + fault + "; such samples are dropped",
                false);
      }
      primary.bad = now;
    } else if (primary.bad && now - *primary.bad > kGoodAgainNs) {
      primary.bad.reset();
      OnAlert(kSamples, name, "times ascend again", true);
    }
  }

  void DoPredict(const Ask& ask) {
    if (ask.horizons_ms.empty() || ask.horizons_ms.size() > UNDERSTUDY_HORIZONS_MAX || asks_.size() >= kPredictsMax) {
      return ask.done({});
    }
    asks_.push_back(ask);
  }

  void StartRound(const Ask& ask) {
    round_.emplace();
    round_->id = ++rounds_;
    round_->ask = ask;
    size_t most = 0;
    for (const auto& [name, runner] : runners_) most = std::max(most, runner->size());
    const int64_t deadline_ms = options_.call_deadline_ms * (1 + static_cast<int64_t>(most) / kDeadlinePrimaries);
    round_->deadline = Now() + deadline_ms * kNsPerMs;
    for (const auto& [name, primary] : primaries_) {
      round_->answers[name].resize(primary.slots.size());
      for (size_t i = 0; i < primary.slots.size(); ++i) {
        round_->places[primary.slots[i].instance] = {name, i, primary.slots[i].spec.shadow,
                                                           primary.slots[i].spec.restart_cures};
      }
      round_->waiting += primary.slots.size();
    }
    const uint64_t id = round_->id;
    for (const auto& [name, runner] : runners_) runner->StartRound(id, ask.now, ask.horizons_ms);
    if (round_ && round_->id == id && round_->waiting == 0) FinishRound();
  }

  void CancelRound() {
    const uint64_t id = round_->id;
    for (const auto& [name, runner] : runners_) runner->CancelRound(id, "the predictor host ends");
    FinishRound();
  }

  void FinishRound() {
    const Round round = *std::exchange(round_, {});
    Forecasts forecasts;
    for (const auto& [name, slots] : round.answers) {
      std::vector<Forecast>& all = forecasts[name];
      for (const auto& answers : slots) all.insert(all.end(), answers.begin(), answers.end());
    }
    round.ask.done(std::move(forecasts));
  }

  // PluginRunner::Sink
  void OnAnswer(uint64_t round, uint64_t instance, std::vector<Forecast> forecasts) override {
    if (!round_ || round_->id != round) return;
    const auto place = round_->places.find(instance);
    if (place == round_->places.end()) return;
    for (Forecast& forecast : forecasts) {
      forecast.shadow = place->second.shadow;
      forecast.restart_cures = place->second.restart_cures;
    }
    round_->answers[place->second.primary][place->second.position] = std::move(forecasts);
    round_->places.erase(place);
    // StartRound itself finishes a round that is answered while it still asks.
    if (--round_->waiting == 0) round_->deadline = Instant(0);
  }
  void OnCreated(uint64_t, const Status&) override {}
  void OnAlert(const std::string& plugin, const std::string& primary, const std::string& text, bool resolved) override {
    if (on_alert_) on_alert_({plugin, primary, text, resolved});
  }

  const PredictorHostOptions options_;
  const std::unique_ptr<WorkerFactory> workers_, threads_;
  const int wake_;
  std::mutex mutex_;
  std::deque<std::function<void()>> commands_;
  bool stopping_ = false;

  // The thread's own.
  std::function<void(PredictorAlert)> on_alert_;
  std::map<std::string, Primary> primaries_;
  std::map<std::pair<std::string, Isolation>, std::unique_ptr<PluginRunner>> runners_;
  std::vector<std::unique_ptr<CheckRun>> checks_;
  uint64_t instances_made_ = 0, rounds_ = 0;
  std::optional<Round> round_;
  std::deque<Ask> asks_;

  std::thread thread_;
};

}  // namespace

PredictorHostOptions DefaultPredictorHostOptions(Clock* clock, const std::string& program_folder) {
  PredictorHostOptions options;
  options.clock = clock;
  options.helper = program_folder + "/understudy-predictor-host";
  const std::filesystem::path above = std::filesystem::path(program_folder).parent_path();
  options.plugin_folders = {(above / "lib/understudy/predictors").string()};
  return options;
}

std::unique_ptr<PredictorHost> NewChildProcessPredictorHost(PredictorHostOptions options) {
  auto processes = NewProcessWorkers(options.helper, options.memory_bytes_max);
  auto threads = options.allow_in_process
                     ? NewThreadWorkers()
                     : NewRefusedWorkers({StatusCode::kFailedPrecondition,
                                          "isolation: \"thread\" is allowed only where understudyd runs "
                                          "with --allow-in-process-predictors"});
  return std::make_unique<Host>(std::move(options), std::move(processes), std::move(threads));
}

std::unique_ptr<PredictorHost> NewInProcessPredictorHost(PredictorHostOptions options) {
  return std::make_unique<Host>(std::move(options), NewThreadWorkers(), nullptr);
}

}  // namespace understudy
