// A limit nobody has configured, learned from failures. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "predictors/builtin/trend/state_bytes.h"

namespace understudy::trend {

// A failure at a level that was never survived before makes that level a candidate; the limit is the median of the last
// eight. The highest level survived is no limit, only a bound: once a level beyond a candidate has been held for a
// while, the candidate was a coincidence and is dropped. Values have grown dangerous when high.
class LearnedLimit {
 public:
  void Observe(double value);
  // The primary failed. `value`: the last that was seen before.
  void Failed();
  // The series is another one from now on. A failure told of later still means the one that ended.
  void Ended();
  std::optional<double> limit() const;

  void Save(StateWriter* out) const;
  bool Restore(StateReader* in);

 private:
  static constexpr uint32_t kBlock = 64;  // samples that a level must be outlived by
  static constexpr size_t kFailuresMax = 8;

  void Survived(double level);

  std::vector<double> failures_;            // levels, oldest first
  std::optional<double> survived_;          // highest level that did not fail
  std::optional<double> block_, previous_;  // highest of the samples now, and of the block before
  uint32_t in_block_ = 0;
  std::optional<double> last_;
};

}  // namespace understudy::trend
