// Is the history of one register linearizable? After J. M. Wing and C. Gong, "Testing and verifying concurrent objects"
// (1993), with what G. Lowe, "Testing for linearizability" (2017) adds: configurations are remembered, an operation is
// linearized just in time, when the answer of one that needs it arrives, and each key is a history of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/linearizability/operation.h"

namespace understudy::linearizability {

struct CheckLimits {
  size_t configurations_max = 5'000'000;  // visited, for one key: bounds memory (about 100 bytes each) and time
  // Asked now and then; true: give up. Empty: never.
  std::function<bool()> give_up;
};

struct RegisterReport {
  Verdict verdict = Verdict::kValid;
  // kUnknown: why. kInvalid: the answer that no order of the operations invoked before it explains.
  std::string why;
  std::optional<size_t> culprit;  // index of that operation
  // The values that the register may have had just before that answer was due.
  std::vector<std::string> possible;
  // Indexes of the operations that contradict one another, the culprit included: were any other answer not known, the
  // rest would still not be linearizable. By time of invocation.
  std::vector<size_t> conflict;
  size_t configurations = 0;  // visited; comparisons of configurations count for a part of one
};

// All of one key, in any order. Two operations at the same nanosecond count as concurrent.
RegisterReport CheckRegister(const std::vector<RegisterOperation>& operations, const CheckLimits& limits);

// The register: its value (nothing: no such key) after the operation, when the answer fits; for an open operation when
// it would change something. Nothing: it cannot be linearized here.
using RegisterValue = std::optional<std::string>;
std::optional<RegisterValue> Step(const RegisterValue& before, const RegisterOperation& operation);

}  // namespace understudy::linearizability
