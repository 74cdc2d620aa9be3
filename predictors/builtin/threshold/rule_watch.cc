#include "predictors/builtin/threshold/rule_watch.h"

#include <algorithm>

namespace understudy::threshold {

void RuleWatch::Observe(int64_t time_ns, const std::vector<Tracker>& trackers) {
  const auto passed = [&](const std::optional<int64_t>& since, double seconds) {
    return since && static_cast<double>(time_ns - *since) * 1e-9 >= seconds;
  };
  for (size_t i = 0; i < states_.size(); ++i) {  // parts stand before what they are part of
    const Rule& rule = (*rules_)[i];
    const auto bound_on = [&](size_t b) { return trackers[b].alarm() && trackers[b].Known(time_ns); };
    const auto rule_on = [&](size_t r) { return states_[r].alarm; };
    const bool on = rule.all ? std::all_of(rule.bounds.begin(), rule.bounds.end(), bound_on) &&
                                   std::all_of(rule.rules.begin(), rule.rules.end(), rule_on)
                             : std::any_of(rule.bounds.begin(), rule.bounds.end(), bound_on) ||
                                   std::any_of(rule.rules.begin(), rule.rules.end(), rule_on);
    State& state = states_[i];
    if (on) {
      state.false_since.reset();
      if (!state.true_since) state.true_since = time_ns;
    } else {
      state.true_since.reset();
      if (!state.false_since) state.false_since = time_ns;
    }
    if (!state.alarm && passed(state.true_since, rule.for_s)) state.alarm = true;
    if (state.alarm && passed(state.false_since, rule.clear_for_s)) state.alarm = false;
  }
}

std::vector<size_t> RuleWatch::Causes(size_t rule, const std::vector<Tracker>& trackers) const {
  std::vector<size_t> causes;
  for (const size_t bound : (*rules_)[rule].bounds) {
    if (trackers[bound].alarm()) causes.push_back(bound);
  }
  for (const size_t part : (*rules_)[rule].rules) {
    if (!states_[part].alarm) continue;
    const std::vector<size_t> more = Causes(part, trackers);
    causes.insert(causes.end(), more.begin(), more.end());
  }
  return causes;
}

std::optional<TimeTo> RuleWatch::Time(size_t rule, const std::vector<std::optional<TimeTo>>& times) const {
  std::vector<std::optional<TimeTo>> parts;
  for (const size_t bound : (*rules_)[rule].bounds) parts.push_back(times[bound]);
  for (const size_t part : (*rules_)[rule].rules) parts.push_back(Time(part, times));
  std::optional<TimeTo> answer;
  for (const std::optional<TimeTo>& part : parts) {
    if (!part) continue;
    const bool takes = !answer || ((*rules_)[rule].all ? part->p50_s > answer->p50_s : part->p50_s < answer->p50_s);
    if (takes) answer = part;
  }
  return answer;
}

}  // namespace understudy::threshold
