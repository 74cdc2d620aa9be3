#include "predictors/policy/fleet_simulation.h"

#include <algorithm>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>
#include <set>

#include "predictors/policy/policy.h"
#include "predictors/policy/policy_json.h"

namespace understudy::policy {
namespace {

struct Primary {
  Memory memory;
  bool has_spare = false;
  double spare_since_s = 0;
  double begun_s = 0;  // its spare's work towards a mirror
  double work_s = 0;   // how long that takes
  double cooldown_until_s = 0;
  double down_until_s = -1;
  const Fault* fault = nullptr;
  double ready_at_s() const { return begun_s + work_s; }
};

class Fleet {
 public:
  Fleet(const FleetOptions& options, FleetPolicy policy)
      : options_(options),
        model_(options.faults),
        policy_(policy),
        states_(DrawStates(model_, options.primaries, options.seed)),
        primaries_(static_cast<size_t>(options.primaries)),
        free_(options.spares),
        spares_(options.spares) {
    out_.policy = policy;
  }

  FleetOutcome Run(const std::function<void(double)>& progress) {
    const std::vector<Fault> faults = DrawFaults(model_, options_.primaries, options_.days, options_.seed);
    const double end_s = options_.days * 86'400;
    const double step_s = static_cast<double>(options_.step_ms) / 1000;
    size_t next = 0;
    int64_t steps = 0;
    for (now_s_ = 0; now_s_ < end_s; now_s_ += step_s) {
      Return();
      for (; next < faults.size() && faults[next].begin_s <= now_s_; ++next) Begin(faults[next]);
      Fail();
      if (policy_ == FleetPolicy::kThreshold90) Threshold();
      if (policy_ == FleetPolicy::kUnderstudy) Obey();
      if (progress != nullptr && ++steps % 1024 == 0) progress(now_s_ / end_s);
    }
    for (const int i : waiting_) Down(i, now_s_ - waiting_since_[i]);
    out_.cost = out_.downtime_s +
                options_.policy.unplanned_cost * static_cast<double>(out_.failures - out_.failures_ready) +
                options_.policy.planned_cost * static_cast<double>(out_.moves);
    return out_;
  }

 private:
  // Nodes that come back from repair or restart, to whoever waits longest.
  void Return() {
    while (!repairs_.empty() && repairs_.top() <= now_s_) {
      repairs_.pop();
      ++free_;
    }
    while (free_ > 0 && !waiting_.empty()) {
      const int i = waiting_.front();
      waiting_.pop_front();
      --free_;
      const double down_s = now_s_ - waiting_since_[i] + WorkOf(i);
      primaries_[i].down_until_s = now_s_ + WorkOf(i);
      Down(i, down_s);
    }
  }

  void Begin(const Fault& fault) {
    Primary& primary = primaries_[fault.primary];
    const bool real = fault.kind == FaultKind::kGradual || fault.kind == FaultKind::kSudden;
    if (now_s_ < primary.down_until_s || std::count(waiting_.begin(), waiting_.end(), fault.primary) > 0) return;
    // A real one hides a false alarm; of two real ones the first counts.
    if (primary.fault != nullptr && (!real || primary.fault->kind == FaultKind::kGradual)) return;
    if (real) ++out_.faults;
    primary.fault = &fault;
    active_.insert(fault.primary);
  }

  double WorkOf(int i) const {
    const Primary& primary = primaries_[i];
    const bool fresh = primary.memory.rung >= Rung::kCheckpoint &&
                       now_s_ - static_cast<double>(primary.memory.rung_since_ms) / 1000 > 60;
    return states_[i].load_s + states_[i].replay_s * (fresh ? 0.25 : 1);
  }

  void Down(int, double seconds) {
    out_.downtime_s += seconds;
    out_.downtime_max_s = std::max(out_.downtime_max_s, seconds);
  }

  void LetGo(Primary& primary, bool used) {
    if (!primary.has_spare) return;
    out_.spare_hours += (now_s_ - primary.spare_since_s) / 3600;
    primary.has_spare = false;
    if (!used) ++free_;
  }

  void Over(int i) {
    primaries_[i].fault = nullptr;
    primaries_[i].memory = Memory();
    active_.erase(i);
  }

  void Fail() {
    ended_.clear();
    for (const int i : active_) {
      if (primaries_[i].fault != nullptr && primaries_[i].fault->end_s <= now_s_) ended_.push_back(i);
    }
    for (const int i : ended_) {
      Primary& primary = primaries_[i];
      const Fault& fault = *primary.fault;
      if (fault.kind == FaultKind::kFalseAlarm || fault.kind == FaultKind::kPeak) {
        primary.fault = nullptr;  // the memory still has its dwell time
        if (policy_ == FleetPolicy::kThreshold90) LetGo(primary, false);
        if (policy_ != FleetPolicy::kUnderstudy) active_.erase(i);
        continue;
      }
      ++out_.failures;
      if (fault.kind == FaultKind::kGradual && fault.visible_s + 3 * WorkOf(i) < fault.end_s) ++out_.missed;
      const double work_s = WorkOf(i);
      double down_s = model_.detect_s;
      if (primary.has_spare) {
        if (primary.ready_at_s() <= fault.end_s) ++out_.failures_ready;
        down_s += std::max(0.0, primary.ready_at_s() - fault.end_s);
        LetGo(primary, true);
        Repair(fault);
      } else if (free_ > 0) {
        --free_;
        down_s += work_s;
        Repair(fault);
      } else if (TakeFromAnother(i)) {
        down_s += work_s;
        Repair(fault);
      } else if (!fault.node_lost) {
        ++out_.without_spare;
        down_s += model_.restart_s + work_s;
      } else {
        ++out_.without_spare;
        waiting_.push_back(i);
        waiting_since_[i] = fault.end_s;
        repairs_.push(now_s_ + model_.node_repair_s);
        primary.down_until_s = 1e18;
        Over(i);
        continue;
      }
      primary.down_until_s = fault.end_s + down_s;
      Down(i, down_s);
      Over(i);
    }
  }

  void Repair(const Fault& fault) {
    repairs_.push(now_s_ + (fault.node_lost ? model_.node_repair_s : model_.restart_s));
  }

  // A failure may take a spare that another's forecast keeps, if it does not mirror yet.
  bool TakeFromAnother(int) {
    int victim = -1;
    for (const int i : active_) {
      const Primary& other = primaries_[i];
      if (!other.has_spare || other.ready_at_s() <= now_s_) continue;
      if (victim < 0 || other.begun_s > primaries_[victim].begun_s) victim = i;
    }
    if (victim < 0) return false;
    LetGo(primaries_[victim], true);
    return true;
  }

  void Move(int i) {
    Primary& primary = primaries_[i];
    ++out_.moves;
    if (primary.fault == nullptr || primary.fault->kind != FaultKind::kGradual) ++out_.false_moves;
    LetGo(primary, true);
    repairs_.push(now_s_ + model_.rejuvenation_s);
    Down(i, model_.gap_s);
    primary.cooldown_until_s = now_s_ + static_cast<double>(options_.policy.cooldown_ms) / 1000;
    Over(i);
  }

  void Take(int i) {
    Primary& primary = primaries_[i];
    --free_;
    primary.has_spare = true;
    primary.spare_since_s = primary.begun_s = now_s_;
    primary.work_s = WorkOf(i);
  }

  void Threshold() {
    moving_.clear();
    for (const int i : active_) {
      Primary& primary = primaries_[i];
      if (primary.fault == nullptr || LevelOf(*primary.fault, now_s_) < 0.9) continue;
      if (!primary.has_spare && free_ > 0) Take(i);
      if (primary.has_spare && primary.ready_at_s() <= now_s_) moving_.push_back(i);
    }
    for (const int i : moving_) Move(i);
  }

  void Obey() {
    FleetInput in;
    in.settings = options_.settings;
    in.spares = options_.spares;
    in.spares_free = free_;
    in.now_ms = static_cast<int64_t>(now_s_ * 1000);
    in.unix_ms = in.now_ms;
    in.calm_services = options_.primaries - static_cast<int>(active_.size());
    const std::vector<int> who(active_.begin(), active_.end());
    in.services.reserve(who.size());
    for (const int i : who) {
      const Primary& primary = primaries_[i];
      ServiceInput one;
      one.name = std::to_string(i);
      if (primary.fault != nullptr) one.forecasts = ForecastsOf(model_, *primary.fault, now_s_);
      one.memory = primary.memory;
      one.policy = options_.policy;
      const double left_s = primary.has_spare ? std::max(0.0, primary.ready_at_s() - now_s_) : WorkOf(i);
      one.ready.mirror_ms = static_cast<int64_t>(left_s * 1000);
      one.ready.follow_ms = one.ready.mirror_ms / 2;
      one.ready.switch_ms = one.ready.mirror_ms + static_cast<int64_t>(model_.gap_s * 1000);
      one.ready.measured = true;
      one.has_spare = primary.has_spare;
      one.spare_mirrors = one.spare_fixed = primary.has_spare && left_s <= 0;
      one.cooldown_until_ms = static_cast<int64_t>(primary.cooldown_until_s * 1000);
      in.services.push_back(std::move(one));
    }
    const FleetDecision decided = Decide(in);
    if (decided.braked) out_.braked_s += options_.step_ms / 1000;
    moving_.clear();
    for (size_t k = 0; k < who.size(); ++k) {
      const int i = who[k];
      Primary& primary = primaries_[i];
      const ServiceDecision& one = decided.services[k];
      primary.memory = one.assessment.memory;
      if (primary.has_spare && primary.memory.rung < Rung::kReserve) LetGo(primary, false);
    }
    for (const int k : decided.ranking) {
      const ServiceDecision& one = decided.services[k];
      if (one.preempts >= 0) LetGo(primaries_[who[one.preempts]], false);
      if ((one.take_spare || one.preempts >= 0) && free_ > 0) Take(who[k]);
    }
    for (size_t k = 0; k < who.size(); ++k) {
      Primary& primary = primaries_[who[k]];
      // A spare that is only reserved does not get on.
      if (primary.has_spare && primary.memory.rung == Rung::kReserve) primary.begun_s = now_s_;
      if (decided.services[k].permit.switch_over) {
        moving_.push_back(who[k]);
      } else if (primary.fault == nullptr && primary.memory.rung == Rung::kNormal) {
        active_.erase(who[k]);
      }
    }
    for (const int i : moving_) Move(i);
  }

  const FleetOptions& options_;
  const FaultModel& model_;
  const FleetPolicy policy_;
  const std::vector<StateSize> states_;
  std::vector<Primary> primaries_;
  int free_;
  const int spares_;
  double now_s_ = 0;
  std::set<int> active_;
  std::vector<int> ended_, moving_;
  std::deque<int> waiting_;  // down, without a node
  std::map<int, double> waiting_since_;
  std::priority_queue<double, std::vector<double>, std::greater<>> repairs_;
  FleetOutcome out_;
};

}  // namespace

const char* FleetPolicyName(FleetPolicy policy) {
  switch (policy) {
    case FleetPolicy::kNone:
      return "no prediction";
    case FleetPolicy::kThreshold90:
      return "threshold at 90 %";
    case FleetPolicy::kUnderstudy:
      return "understudy";
  }
  return "";
}

FleetOutcome SimulateFleet(const FleetOptions& options, FleetPolicy policy,
                           const std::function<void(double)>& progress) {
  return Fleet(options, policy).Run(progress);
}

Status ReadFleetFile(const std::string& text, FleetOptions* options) {
  const nlohmann::json file = nlohmann::json::parse(text, nullptr, false);
  const auto wrong = [](const std::string& why) { return Status(StatusCode::kInvalidArgument, why); };
  if (!file.is_object()) return wrong("not a JSON object");
  for (const auto& [key, value] : file.items()) {
    if (key == "policy") {
      Result<ServicePolicy> policy = ParseServicePolicy(value.dump());
      if (!policy.ok()) return policy.status();
      options->policy = *std::move(policy);
    } else if (key == "settings") {
      Result<FleetSettings> settings = ParseFleetSettings(value.dump(), options->settings);
      if (!settings.ok()) return settings.status();
      options->settings = *std::move(settings);
    } else if (key == "faults") {
      FaultModel& model = options->faults;
      const std::map<std::string, double*> fields = {
          {"gradual_every_days", &model.gradual_every_days},
          {"ramp_min_s", &model.ramp_min_s},
          {"ramp_max_s", &model.ramp_max_s},
          {"sudden_every_days", &model.sudden_every_days},
          {"common_every_days", &model.common_every_days},
          {"common_share", &model.common_share},
          {"node_lost_share", &model.node_lost_share},
          {"node_repair_s", &model.node_repair_s},
          {"restart_s", &model.restart_s},
          {"rejuvenation_s", &model.rejuvenation_s},
          {"detect_s", &model.detect_s},
          {"load_s", &model.load_s},
          {"replay_s", &model.replay_s},
          {"gap_s", &model.gap_s},
          {"recall", &model.recall},
          {"visible_from", &model.visible_from},
          {"sigma", &model.sigma},
          {"false_alarms_per_day", &model.false_alarms_per_day},
          {"scare_every_days", &model.scare_every_days},
          {"scare_share", &model.scare_share},
          {"peaks_per_day", &model.peaks_per_day},
      };
      if (!value.is_object()) return wrong("field 'faults': must be an object");
      for (const auto& [name, number] : value.items()) {
        const auto it = fields.find(name);
        if (it == fields.end()) return wrong("field 'faults." + name + "': is not known");
        if (!number.is_number() || !(number.get<double>() >= 0) || number.get<double>() > 1e9) {
          return wrong("field 'faults." + name + "': must be a number from 0 to 1e9");
        }
        *it->second = number.get<double>();
      }
      if (model.ramp_min_s < 1 || model.ramp_max_s < model.ramp_min_s) {
        return wrong("field 'faults.ramp_min_s': must be at least 1 and not above ramp_max_s");
      }
      if (model.sigma < 0.01) return wrong("field 'faults.sigma': must be at least 0.01");
    } else {
      return wrong("field '" + key + "': is not known");
    }
  }
  return Status::Ok();
}

}  // namespace understudy::policy
