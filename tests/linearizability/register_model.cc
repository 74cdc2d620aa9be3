#include <charconv>

#include "tests/linearizability/register_checker.h"

namespace understudy::linearizability {

namespace {

std::optional<int64_t> ParseNumber(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<RegisterValue> Step(const RegisterValue& before, const RegisterOperation& operation) {
  const bool open = operation.span.open();
  // An open operation may have had any answer.
  const auto after = [&](bool answer_fits, RegisterValue value) -> std::optional<RegisterValue> {
    if (open ? value == before : !answer_fits) {
      return std::nullopt;
    }
    return value;
  };
  switch (operation.kind) {
    case RegisterKind::kGet:
      return after(operation.value == before, before);
    case RegisterKind::kSet:
      return after(true, operation.argument);
    case RegisterKind::kDel:
      return after((operation.number != 0) == before.has_value(), std::nullopt);
    case RegisterKind::kCas: {
      const bool equal = before.has_value() && *before == operation.expected;
      return after((operation.number != 0) == equal, equal ? operation.argument : before);
    }
    case RegisterKind::kIncr: {
      const std::optional<int64_t> number = before.has_value() ? ParseNumber(*before) : std::optional<int64_t>(0);
      int64_t sum = 0;
      if (!number.has_value() || __builtin_add_overflow(*number, operation.amount, &sum)) {
        return std::nullopt;
      }
      return after(operation.number == sum, std::to_string(sum));
    }
  }
  return std::nullopt;
}

}  // namespace understudy::linearizability
