// The rules of a configuration over the alarms of its bounds: whether each is true, and whether its own alarm is on.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "predictors/builtin/threshold/config.h"
#include "predictors/builtin/threshold/tracker.h"

namespace understudy::threshold {

class RuleWatch {
 public:
  explicit RuleWatch(const std::vector<Rule>* rules) : rules_(rules), states_(rules->size()) {}

  // After a sample. A bound without a recent value is not true.
  void Observe(int64_t time_ns, const std::vector<Tracker>& trackers);
  bool alarm(size_t rule) const { return states_[rule].alarm; }

  // The bounds whose alarms make the rule true, those of rules within it included.
  std::vector<size_t> Causes(size_t rule, const std::vector<Tracker>& trackers) const;
  // Time until the failure that the rule stands for: with "any" the soonest of its parts', with "all" the latest.
  // `times`: of each bound.
  std::optional<TimeTo> Time(size_t rule, const std::vector<std::optional<TimeTo>>& times) const;

  struct State {
    bool alarm = false;
    std::optional<int64_t> true_since, false_since;
  };
  const std::vector<State>& Save() const { return states_; }
  void Restore(std::vector<State> states) { states_ = std::move(states); }

 private:
  const std::vector<Rule>* rules_;
  std::vector<State> states_;
};

}  // namespace understudy::threshold
