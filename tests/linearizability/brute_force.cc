#include "tests/linearizability/brute_force.h"

#include <map>

namespace understudy::linearizability {

namespace {

template <class Operation>
bool MayComeNext(const std::vector<Operation>& operations, size_t next, unsigned done) {
  for (size_t i = 0; i < operations.size(); ++i) {
    if ((done & (1u << i)) == 0 && operations[i].span.completed_ns < operations[next].span.invoked_ns) {
      return false;
    }
  }
  return true;
}

bool TryRegister(const std::vector<RegisterOperation>& operations, unsigned done, const RegisterValue& value) {
  bool all_answered_done = true;
  for (size_t i = 0; i < operations.size(); ++i) {
    all_answered_done = all_answered_done && ((done & (1u << i)) != 0 || operations[i].span.open());
  }
  if (all_answered_done) {
    return true;  // an open one may never take effect
  }
  for (size_t i = 0; i < operations.size(); ++i) {
    if ((done & (1u << i)) != 0 || !MayComeNext(operations, i, done)) {
      continue;
    }
    const auto after = Step(value, operations[i]);
    if (after.has_value() && TryRegister(operations, done | (1u << i), *after)) {
      return true;
    }
  }
  return false;
}

using Lists = std::map<std::string, std::vector<std::string>>;

bool TryLists(const std::vector<Transaction>& transactions, unsigned done, const Lists& lists) {
  if (done + 1 == 1u << transactions.size()) {
    return true;
  }
  for (size_t i = 0; i < transactions.size(); ++i) {
    if ((done & (1u << i)) != 0 || !MayComeNext(transactions, i, done)) {
      continue;
    }
    Lists after = lists;
    bool fits = true;
    for (const ListStep& step : transactions[i].steps) {
      if (step.append) {
        after[step.key].push_back(step.element);
      } else {
        fits = fits && after[step.key] == step.read;
      }
    }
    if (fits && TryLists(transactions, done | (1u << i), after)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool LinearizableByBruteForce(const std::vector<RegisterOperation>& operations) {
  return TryRegister(operations, 0, std::nullopt);
}

bool StrictlySerializableByBruteForce(const std::vector<Transaction>& transactions) {
  return TryLists(transactions, 0, {});
}

}  // namespace understudy::linearizability
