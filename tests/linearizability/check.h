// A whole history: every register, all lists, and the result in words.
#pragma once

#include <string>
#include <vector>

#include "tests/linearizability/history.h"
#include "tests/linearizability/list_checker.h"
#include "tests/linearizability/register_checker.h"

namespace understudy::linearizability {

struct Summary {
  Verdict verdict = Verdict::kValid;  // invalid when any part is, else unknown when any part is
  size_t registers = 0;
  std::vector<std::string> problems;  // a paragraph each, the first kProblemsMax
  std::vector<std::string> unknown;   // what could not be checked, and why
  size_t invalid_registers = 0;
  size_t anomalies = 0;  // of the lists
};

inline constexpr size_t kProblemsMax = 10;

Summary CheckHistory(const History& history, const CheckLimits& limits);

const char* VerdictName(Verdict verdict);  // "valid", "invalid", "unknown"

}  // namespace understudy::linearizability
