// Counts what the runs of the fleet reached: what coordinators decided, told nodes and answered operators, and in the
// middle of what leaders were lost. Names are "event KIND", "command KIND", "answer REQUEST CODE", "leader lost in
// MOVE/STEP", "fault ACTION".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace understudy::sim {

class FleetCoverage {
 public:
  void Hit(const std::string& what, uint64_t times = 1) { counts_[what] += times; }
  void Add(const FleetCoverage& other);
  uint64_t count(const std::string& what) const;
  const std::map<std::string, uint64_t>& counts() const { return counts_; }
  // Those of the list of what a long hunt should reach that were not.
  std::vector<std::string> missing() const;
  static size_t wanted();

 private:
  std::map<std::string, uint64_t> counts_;
};

}  // namespace understudy::sim
