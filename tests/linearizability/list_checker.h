// Is the history of lists that are only appended to and read strictly serializable (for transactions of one step:
// linearizable)? After Elle (see dependency_graph.h): every element is appended once, so that a read tells who wrote
// each of its elements, in which order.
#pragma once

#include <string>
#include <vector>

#include "tests/linearizability/operation.h"

namespace understudy::linearizability {

struct Anomaly {
  // "G0", "G1a", "G1b", "G1c", "G-single", "G2", the cycles also with "-realtime" behind when they need the clock;
  // "internal", "duplicate element", "garbage read", "incompatible order", "lost append", "stale read".
  std::string name;
  std::string text;                  // one sentence
  std::vector<std::string> reasons;  // of a cycle: each step
  std::vector<size_t> transactions;  // indexes, in the order of the reasons
};

struct ListReport {
  Verdict verdict = Verdict::kValid;
  std::string why;  // kUnknown
  std::vector<Anomaly> anomalies;
  size_t anomalies_total = 0;  // those beyond kAnomaliesMax are only counted
};

inline constexpr size_t kAnomaliesMax = 50;
inline constexpr size_t kTransactionsMax = 4'000'000;  // beyond: unknown

ListReport CheckLists(const std::vector<Transaction>& transactions);

}  // namespace understudy::linearizability
