#include "tests/linearizability/operation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace understudy::linearizability {

namespace {

std::string Times(const Span& span, int64_t zero_ns) {
  const auto ms = [zero_ns](int64_t ns) { return static_cast<double>(ns - zero_ns) / 1e6; };
  const std::string begin = fmt::format("line {} process {} {:.3f}", span.line, span.process, ms(span.invoked_ns));
  return begin + (span.open() ? "..never answered" : fmt::format("..{:.3f} ms", ms(span.completed_ns)));
}

std::string Command(const RegisterOperation& operation) {
  switch (operation.kind) {
    case RegisterKind::kGet:
      return "GET " + operation.key;
    case RegisterKind::kSet:
      return "SET " + operation.key + " " + operation.argument;
    case RegisterKind::kDel:
      return "DEL " + operation.key;
    case RegisterKind::kCas:
      return "CAS " + operation.key + " " + operation.expected + " -> " + operation.argument;
    case RegisterKind::kIncr:
      return "INCR " + operation.key + " by " + std::to_string(operation.amount);
  }
  return {};
}

std::string Answer(const RegisterOperation& operation) {
  if (operation.span.open()) {
    return "unknown";
  }
  switch (operation.kind) {
    case RegisterKind::kGet:
      return operation.value.value_or("(nothing)");
    case RegisterKind::kSet:
      return "OK";
    case RegisterKind::kDel:
    case RegisterKind::kCas:
      return operation.number != 0 ? "done" : "not done";
    case RegisterKind::kIncr:
      return std::to_string(operation.number);
  }
  return {};
}

}  // namespace

std::string Describe(const RegisterOperation& operation, int64_t zero_ns) {
  return fmt::format("{}: {} => {}", Times(operation.span, zero_ns), Command(operation), Answer(operation));
}

std::string Describe(const Transaction& transaction, int64_t zero_ns) {
  std::string text = Times(transaction.span, zero_ns) + ":";
  for (const ListStep& step : transaction.steps) {
    if (step.append) {
      text += " APPEND " + step.key + " " + step.element;
    } else if (transaction.span.open()) {
      text += " READ " + step.key;
    } else {
      // The end of a long list is what matters.
      constexpr size_t kShown = 8;
      const size_t skipped = step.read.size() > kShown ? step.read.size() - kShown : 0;
      const std::vector<std::string> shown(step.read.begin() + static_cast<int64_t>(skipped), step.read.end());
      text += fmt::format(" READ {} => [{}{}]", step.key, skipped == 0 ? "" : fmt::format("{} more, ", skipped),
                          fmt::join(shown, ", "));
    }
  }
  return text + (transaction.failed ? " (failed)" : "");
}

}  // namespace understudy::linearizability
