#include "tests/linearizability/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace understudy::linearizability {

namespace {

int64_t Beginning(const History& history) {
  int64_t zero_ns = kNeverNs;
  for (const auto& [key, operations] : history.registers) {
    for (const RegisterOperation& operation : operations) {
      zero_ns = std::min(zero_ns, operation.span.invoked_ns);
    }
  }
  for (const Transaction& transaction : history.transactions) {
    zero_ns = std::min(zero_ns, transaction.span.invoked_ns);
  }
  return zero_ns;
}

std::string Explain(const std::string& key, const std::vector<RegisterOperation>& operations,
                    const RegisterReport& report, int64_t zero_ns) {
  constexpr size_t kPossibleShown = 8;
  std::vector<std::string> possible = report.possible;
  if (possible.size() > kPossibleShown) {
    possible.resize(kPossibleShown);
    possible.push_back("...");
  }
  std::string text = fmt::format("register {} is not linearizable: {}\n    {}\n  It may have held then: {}.", key,
                                 report.why, Describe(operations[*report.culprit], zero_ns), fmt::join(possible, ", "));
  text += "\n  These answers contradict one another:";
  for (const size_t index : report.conflict) {
    text += "\n    " + Describe(operations[index], zero_ns);
  }
  return text;
}

std::string Explain(const std::vector<Transaction>& transactions, const Anomaly& anomaly, int64_t zero_ns) {
  std::string text = anomaly.name + ": " + anomaly.text;
  for (size_t i = 0; i < anomaly.transactions.size(); ++i) {
    text += "\n    " + Describe(transactions[anomaly.transactions[i]], zero_ns);
    if (i < anomaly.reasons.size()) {
      text += "\n      before the next: " + anomaly.reasons[i];
    }
  }
  return text;
}

}  // namespace

Summary CheckHistory(const History& history, const CheckLimits& limits) {
  Summary summary;
  const int64_t zero_ns = Beginning(history);
  const auto problem = [&summary](std::string text) {
    if (summary.problems.size() < kProblemsMax) {
      summary.problems.push_back(std::move(text));
    }
  };
  summary.registers = history.registers.size();
  for (const auto& [key, operations] : history.registers) {
    const RegisterReport report = CheckRegister(operations, limits);
    if (report.verdict == Verdict::kInvalid) {
      ++summary.invalid_registers;
      problem(Explain(key, operations, report, zero_ns));
    } else if (report.verdict == Verdict::kUnknown) {
      summary.unknown.push_back("register " + key + ": " + report.why);
    }
  }
  const ListReport lists = CheckLists(history.transactions);
  summary.anomalies = lists.anomalies_total;
  for (const Anomaly& anomaly : lists.anomalies) {
    problem(Explain(history.transactions, anomaly, zero_ns));
  }
  if (lists.verdict == Verdict::kUnknown) {
    summary.unknown.push_back("lists: " + lists.why);
  }
  if (summary.invalid_registers > 0 || summary.anomalies > 0) {
    summary.verdict = Verdict::kInvalid;
  } else if (!summary.unknown.empty()) {
    summary.verdict = Verdict::kUnknown;
  }
  return summary;
}

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kValid:
      return "valid";
    case Verdict::kInvalid:
      return "invalid";
    case Verdict::kUnknown:
      return "unknown";
  }
  return "";
}

}  // namespace understudy::linearizability
