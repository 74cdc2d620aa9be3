#include "tests/sim/shrink.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tests/sim/run.h"

namespace understudy::sim {
namespace {

class Shrinker {
 public:
  Shrinker(const Plan& plan, const std::function<bool(const Plan&)>& fails, int runs_max)
      : best_(plan), fails_(fails), runs_max_(runs_max) {}

  Shrunk Go() {
    bool smaller = true;
    while (smaller && runs_ < runs_max_) {
      smaller = false;
      smaller |= CutTail();
      smaller |= LeaveOutEvents();
      smaller |= CalmKnobs();
      smaller |= HalveArguments();
    }
    return {best_, runs_};
  }

 private:
  bool Try(Plan candidate) {
    if (runs_ >= runs_max_) return false;
    ++runs_;
    if (!fails_(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  bool CutTail() {
    bool any = false;
    for (int64_t cut_us = best_.run_us / 2; cut_us >= 1000; cut_us /= 2) {
      Plan shorter = best_;
      shorter.run_us -= cut_us;
      std::erase_if(shorter.events, [&](const Event& event) { return event.at_us >= shorter.run_us; });
      if (shorter.run_us > 0 && Try(std::move(shorter))) any = true;
    }
    return any;
  }

  bool LeaveOutEvents() {
    bool any = false;
    size_t chunk = std::max<size_t>(best_.events.size() / 2, 1);
    while (chunk >= 1 && runs_ < runs_max_) {
      bool left_out = false;
      for (size_t at = 0; at < best_.events.size();) {
        Plan fewer = best_;
        const size_t end = std::min(at + chunk, fewer.events.size());
        fewer.events.erase(fewer.events.begin() + static_cast<std::ptrdiff_t>(at),
                           fewer.events.begin() + static_cast<std::ptrdiff_t>(end));
        if (Try(std::move(fewer))) {
          left_out = any = true;
        } else {
          at = end;
        }
      }
      if (chunk == 1 && !left_out) break;
      chunk = std::max<size_t>(chunk / 2, 1);
    }
    return any;
  }

  bool CalmKnobs() {
    bool any = false;
    for (const PlanKnob& knob : PlanKnobs()) {
      if (knob.harmless < 0 || knob.get(best_) == knob.harmless) continue;
      Plan calmer = best_;
      knob.set(&calmer, knob.harmless);
      any |= Try(std::move(calmer));
    }
    return any;
  }

  // Windows and counts; what is an index or a choice is tried as well, and kept when it serves.
  bool HalveArguments() {
    bool any = false;
    for (size_t i = 0; i < best_.events.size(); ++i) {
      for (size_t arg = 0; arg < ArgNames(best_.events[i].action).size(); ++arg) {
        while (best_.events[i].args[arg] >= 2000) {
          Plan smaller = best_;
          smaller.events[i].args[arg] /= 2;
          if (!Try(std::move(smaller))) break;
          any = true;
        }
      }
    }
    return any;
  }

  Plan best_;
  const std::function<bool(const Plan&)>& fails_;
  int runs_max_;
  int runs_ = 0;
};

}  // namespace

Shrunk Shrink(const Plan& plan, const std::function<bool(const Plan&)>& fails, int runs_max) {
  return Shrinker(plan, fails, runs_max).Go();
}

Shrunk Shrink(const Plan& plan, Rule rule, int runs_max) {
  const std::function<bool(const Plan&)> fails = [rule](const Plan& candidate) {
    Coverage nobody_looks;
    const RunResult result = Run(candidate, &nobody_looks);
    return result.finding.has_value() && result.finding->rule == rule;
  };
  return Shrink(plan, fails, runs_max);
}

}  // namespace understudy::sim
