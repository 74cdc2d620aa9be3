// The threshold predictor: an alarm for each bound, the worst of them is the forecast. docs/predictors.md.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "predictors/builtin/config_values.h"
#include "predictors/builtin/threshold/config.h"
#include "predictors/builtin/threshold/rule_watch.h"
#include "predictors/builtin/threshold/tracker.h"
#include "understudy/predictor.hpp"

namespace understudy::threshold {
namespace {

using Json = nlohmann::json;
using predictor_config::Show;

std::string Seconds(double s) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", s);
  return text;
}

Json ToJson(const std::optional<int64_t>& value) { return value ? Json(*value) : Json(nullptr); }
std::optional<int64_t> FromJson(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return json.get<int64_t>();
}

class Threshold {
 public:
  Threshold(sdk::Host host, std::string_view config) : host_(host), config_(ParseConfig(config)) { Reset(0); }

  std::vector<std::string> Metrics() const {
    std::vector<std::string> names;
    for (const Bound& bound : config_.bounds) names.push_back(bound.metric);
    return names;
  }

  void Observe(const sdk::SampleView& sample) {
    if (first_ns_ < 0) first_ns_ = sample.time_ns();
    for (size_t i = 0; i < trackers_.size(); ++i) {
      if (const std::optional<double> value = sample[i]) trackers_[i].Observe(sample.time_ns(), *value);
    }
    rules_.Observe(sample.time_ns(), trackers_);
  }

  int32_t Predict(int64_t now_ns, std::span<understudy_forecast> forecasts) const {
    size_t known = 0;
    std::string missing;
    for (size_t i = 0; i < trackers_.size(); ++i) {
      if (trackers_[i].Known(now_ns)) {
        ++known;
      } else {
        missing += (missing.empty() ? "" : ", ") + config_.bounds[i].metric;
      }
    }
    if (known == 0) {
      const bool new_here = first_ns_ < 0 || static_cast<double>(now_ns - first_ns_) * 1e-9 < config_.stale_s;
      host_.Explain("no recent value of " + missing);
      return new_here ? UNDERSTUDY_WARMING : UNDERSTUDY_ABSTAIN;
    }
    for (understudy_forecast& forecast : forecasts) {
      Fill(now_ns, &forecast);
      forecast.confidence = static_cast<double>(known) / static_cast<double>(trackers_.size());
    }
    return UNDERSTUDY_OK;
  }

  void Reset(int32_t) {
    first_ns_ = -1;
    trackers_.clear();
    for (const Bound& bound : config_.bounds) trackers_.emplace_back(bound, config_.stale_s, config_.trend_s);
    rules_ = RuleWatch(&config_.rules);
  }

  std::string Save() const {
    Json all = Json::array();
    for (const Tracker& tracker : trackers_) {
      const Tracker::State state = tracker.Save();
      Json window = Json::array();
      for (const auto& [t, v] : state.window) window.push_back({t, v});
      all.push_back({state.seen, state.alarm, state.last_ns, state.value, ToJson(state.beyond_since),
                     ToJson(state.good_since), window});
    }
    Json rules = Json::array();
    for (const RuleWatch::State& state : rules_.Save()) {
      rules.push_back({state.alarm, ToJson(state.true_since), ToJson(state.false_since)});
    }
    return Json({{"first_ns", first_ns_}, {"trackers", all}, {"rules", rules}}).dump();
  }

  bool Restore(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return false;
    std::vector<Tracker::State> states;
    std::vector<RuleWatch::State> rules;
    try {
      for (const Json& item : json.at("trackers")) {
        Tracker::State state;
        state.seen = item.at(0).get<bool>();
        state.alarm = item.at(1).get<bool>();
        state.last_ns = item.at(2).get<int64_t>();
        state.value = item.at(3).get<double>();
        state.beyond_since = FromJson(item.at(4));
        state.good_since = FromJson(item.at(5));
        for (const Json& point : item.at(6)) {
          state.window.emplace_back(point.at(0).get<int64_t>(), point.at(1).get<double>());
        }
        states.push_back(std::move(state));
      }
      if (states.size() != trackers_.size()) return false;
      for (const Json& item : json.value("rules", Json::array())) {
        rules.push_back({item.at(0).get<bool>(), FromJson(item.at(1)), FromJson(item.at(2))});
      }
      if (rules.size() != config_.rules.size()) return false;
      first_ns_ = json.at("first_ns").get<int64_t>();
    } catch (const Json::exception&) {
      return false;
    }
    for (size_t i = 0; i < states.size(); ++i) trackers_[i].Restore(std::move(states[i]));
    rules_.Restore(std::move(rules));
    return true;
  }

 private:
  // The probability, time to failure and reason of the worst bound or rule.
  void Fill(int64_t now_ns, understudy_forecast* forecast) const {
    const double horizon_s = static_cast<double>(forecast->horizon_ns) * 1e-9;
    forecast->probability = config_.base_probability;
    size_t worst = trackers_.size(), worst_rule = config_.rules.size(), alarms = 0;
    std::optional<TimeTo> soonest;
    const auto sooner = [&](const std::optional<TimeTo>& time) {
      if (time && (!soonest || time->p50_s < soonest->p50_s)) soonest = time;
    };
    for (size_t i = 0; i < trackers_.size(); ++i) {
      const Bound& bound = config_.bounds[i];
      const Tracker& tracker = trackers_[i];
      if (!bound.alone || !tracker.Known(now_ns)) continue;
      double probability = 0;
      if (tracker.alarm()) {
        ++alarms;
        probability = bound.probability;
      } else if (bound.anticipate) {
        const double target = bound.fails_at.value_or(bound.limit);
        probability = bound.probability * tracker.ProbabilityWithin(target, now_ns, horizon_s);
      } else {
        continue;
      }
      sooner(Time(i, now_ns));
      if (probability > forecast->probability || (tracker.alarm() && worst == trackers_.size())) {
        forecast->probability = std::max(probability, forecast->probability);
        worst = i;
      }
    }
    for (size_t i = 0; i < config_.rules.size(); ++i) {
      if (!config_.rules[i].alone || !RuleKnown(i, now_ns) || !rules_.alarm(i)) continue;
      ++alarms;
      sooner(RuleTime(i, now_ns));
      const bool none = worst == trackers_.size() && worst_rule == config_.rules.size();
      if (config_.rules[i].probability > forecast->probability || none) {
        forecast->probability = std::max(config_.rules[i].probability, forecast->probability);
        worst_rule = i;
      }
    }
    if (soonest) {
      forecast->has_ttf = 1;
      forecast->ttf_p10_s = soonest->p10_s;
      forecast->ttf_p50_s = soonest->p50_s;
      forecast->ttf_p90_s = soonest->p90_s;
    }
    if (worst_rule < config_.rules.size()) {
      sdk::SetReason(forecast, RuleReason(worst_rule, alarms, soonest));
    } else {
      sdk::SetReason(forecast, worst == trackers_.size() ? Calm(now_ns) : Reason(worst, alarms, soonest));
    }
  }

  std::optional<TimeTo> Time(size_t bound, int64_t now_ns) const {
    const Tracker& tracker = trackers_[bound];
    if (config_.bounds[bound].fails_at) return tracker.TimeUntil(*config_.bounds[bound].fails_at, now_ns);
    if (!tracker.alarm()) return tracker.TimeUntil(config_.bounds[bound].limit, now_ns);
    return std::nullopt;
  }

  std::optional<TimeTo> RuleTime(size_t rule, int64_t now_ns) const {
    std::vector<std::optional<TimeTo>> times(trackers_.size());
    for (size_t i = 0; i < trackers_.size(); ++i) {
      if (!config_.bounds[i].alone && config_.bounds[i].fails_at && trackers_[i].Known(now_ns))
        times[i] = Time(i, now_ns);
    }
    return rules_.Time(rule, times);
  }

  // Whether it still stands on recent values: "any" on one that raised it, "all" on all of them.
  bool RuleKnown(size_t rule, int64_t now_ns) const {
    const std::vector<size_t> causes = rules_.Causes(rule, trackers_);
    const auto known = [&](size_t bound) { return trackers_[bound].Known(now_ns); };
    return config_.rules[rule].all ? std::all_of(causes.begin(), causes.end(), known)
                                   : causes.empty() || std::any_of(causes.begin(), causes.end(), known);
  }

  std::string RuleReason(size_t rule, size_t alarms, const std::optional<TimeTo>& soonest) const {
    const std::vector<size_t> causes = rules_.Causes(rule, trackers_);
    std::string reason;
    for (const size_t bound : causes) {
      if (!reason.empty()) reason += " and ";
      reason += Reason(bound, 1, std::nullopt);
    }
    if (causes.empty()) reason = "no longer true, but not yet for " + Seconds(config_.rules[rule].clear_for_s);
    if (soonest) reason += ", in about " + Seconds(soonest->p50_s);
    if (alarms > 1) reason += " (and " + std::to_string(alarms - 1) + " more)";
    return reason;
  }

  std::string Reason(size_t worst, size_t alarms, const std::optional<TimeTo>& soonest) const {
    const Bound& bound = config_.bounds[worst];
    const Tracker& tracker = trackers_[worst];
    const std::string value = bound.metric + " " + Show(bound.metric, tracker.value());
    const std::string limit = Show(bound.metric, bound.limit);
    std::string reason;
    if (!tracker.alarm()) {
      const double target = bound.fails_at.value_or(bound.limit);
      reason = value + ", heading for " + Show(bound.metric, target);
    } else if (tracker.beyond_s() > 0 || bound.for_s == 0) {
      reason = value + (bound.above ? " > " : " < ") + limit + " for " + Seconds(tracker.beyond_s());
    } else {
      reason =
          value + ", not yet back beyond " + Show(bound.metric, bound.clear) + " for " + Seconds(bound.clear_for_s);
    }
    if (soonest) reason += ", in about " + Seconds(soonest->p50_s);
    if (alarms > 1) reason += " (and " + std::to_string(alarms - 1) + " more)";
    return reason;
  }

  std::string Calm(int64_t now_ns) const {
    for (size_t i = 0; i < trackers_.size(); ++i) {
      if (!trackers_[i].Known(now_ns)) return "within bounds; no recent value of " + config_.bounds[i].metric;
    }
    return "within bounds";
  }

  sdk::Host host_;
  Config config_;
  std::vector<Tracker> trackers_;  // one a bound
  RuleWatch rules_{&config_.rules};
  int64_t first_ns_ = -1;  // of the first sample; -1: none yet
};

}  // namespace
}  // namespace understudy::threshold

UNDERSTUDY_PREDICTOR(understudy::threshold::Threshold, "threshold", "1.0.0")
