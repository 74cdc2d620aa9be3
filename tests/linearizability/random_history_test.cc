// Random histories that are linearizable by construction must pass; small ones, changed at random, must be judged as
// trying every order judges them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "log/env/random.h"
#include "tests/linearizability/brute_force.h"
#include "tests/linearizability/list_checker.h"
#include "tests/linearizability/register_checker.h"

namespace understudy::linearizability {
namespace {

struct Shape {
  size_t operations;
  int64_t processes;
  uint64_t values;
  uint64_t open_percent;
  bool counter = true;  // INCR among the operations; with values to compare and many open operations that is hard
  bool texts = true;    // SET, DEL and CAS
};

// Each process has one operation at a time; each takes effect at a random instant of its span, in that order.
template <class Operation, class Decide, class TakeEffect>
std::vector<Operation> Generate(const Shape& shape, SeededRandom* random, Decide decide, TakeEffect take_effect) {
  std::vector<Operation> operations(shape.operations);
  std::map<int64_t, int64_t> free_at;
  std::vector<std::pair<int64_t, size_t>> effects;
  for (size_t i = 0; i < operations.size(); ++i) {
    Span& span = operations[i].span;
    span.process = static_cast<int64_t>(random->Below(static_cast<uint64_t>(shape.processes)));
    span.line = i + 1;
    span.invoked_ns = free_at[span.process] + static_cast<int64_t>(random->Below(20));
    span.completed_ns = span.invoked_ns + 1 + static_cast<int64_t>(random->Below(60));
    free_at[span.process] = span.completed_ns + 1;
    int64_t effect = span.invoked_ns +
                     static_cast<int64_t>(random->Below(static_cast<uint64_t>(span.completed_ns - span.invoked_ns)));
    decide(&operations[i], i);
    if (random->Below(100) < shape.open_percent) {
      span.completed_ns = kNeverNs;
      effect = random->Below(3) == 0 ? kNeverNs : effect + static_cast<int64_t>(random->Below(300));
    }
    if (effect != kNeverNs) {
      effects.emplace_back(effect, i);
    }
  }
  std::sort(effects.begin(), effects.end());
  for (const auto& [at, index] : effects) {
    take_effect(&operations[index]);
  }
  return operations;
}

void DecideRegister(RegisterOperation* operation, const Shape& shape, SeededRandom* random) {
  operation->key = "k";
  do {
    operation->kind = static_cast<RegisterKind>(random->Below(5));
  } while ((operation->kind == RegisterKind::kIncr && !shape.counter) ||
           (operation->kind != RegisterKind::kIncr && operation->kind != RegisterKind::kGet && !shape.texts));
  operation->argument = std::to_string(random->Below(shape.values));
  operation->expected = std::to_string(random->Below(shape.values));
  operation->amount = 1 + static_cast<int64_t>(random->Below(2));
}

std::vector<RegisterOperation> GenerateRegister(const Shape& shape, SeededRandom* random) {
  RegisterValue value;
  return Generate<RegisterOperation>(
      shape, random, [&](RegisterOperation* operation, size_t) { DecideRegister(operation, shape, random); },
      [&](RegisterOperation* operation) {
        operation->value = value;
        operation->number = value.has_value() ? 1 : 0;
        if (operation->kind == RegisterKind::kCas) {
          operation->number = value == operation->expected ? 1 : 0;
        } else if (operation->kind == RegisterKind::kIncr) {
          operation->number = std::stoll(value.value_or("0")) + operation->amount;
        }
        value = Step(value, *operation).value_or(value);
      });
}

void MutateRegister(std::vector<RegisterOperation>* operations, const Shape& shape, SeededRandom* random) {
  RegisterOperation& operation = (*operations)[random->Below(operations->size())];
  switch (random->Below(5)) {
    case 0:
      operation.value = random->Below(4) == 0 ? RegisterValue() : std::to_string(random->Below(shape.values));
      break;
    case 1:
      operation.number = operation.kind == RegisterKind::kIncr ? operation.number + 1 : 1 - operation.number;
      break;
    case 2:
      operation.argument = std::to_string(random->Below(shape.values));
      break;
    case 3:  // it happened at another time
      if (!operation.span.open()) {
        const int64_t shift = static_cast<int64_t>(random->Below(200)) - 100;
        operation.span.invoked_ns += shift;
        operation.span.completed_ns += shift;
      }
      break;
    default:
      operation.span.completed_ns = operation.span.open() ? operation.span.invoked_ns + 1 : kNeverNs;
  }
}

TEST(RandomHistory, LinearizableRegistersPass) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const bool counter = random.Below(2) == 0;
    const Shape shape{100 + random.Below(300),
                      2 + static_cast<int64_t>(random.Below(6)),
                      2 + random.Below(20),
                      random.Below(8),
                      counter,
                      !counter};
    const RegisterReport report = CheckRegister(GenerateRegister(shape, &random), {});
    ASSERT_EQ(report.verdict, Verdict::kValid) << report.why;
  }
}

TEST(RandomHistory, MutatedRegistersAreJudgedAsByBruteForce) {
  int invalid = 0;
  constexpr int kHistories = 6000;
  for (uint64_t seed = 1; seed <= kHistories; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const Shape shape{2 + random.Below(6), 1 + static_cast<int64_t>(random.Below(4)), 1 + random.Below(3),
                      random.Below(40)};
    std::vector<RegisterOperation> operations = GenerateRegister(shape, &random);
    ASSERT_TRUE(LinearizableByBruteForce(operations));
    for (uint64_t i = random.Below(3); i > 0; --i) {
      MutateRegister(&operations, shape, &random);
    }
    const bool right = LinearizableByBruteForce(operations);
    const RegisterReport report = CheckRegister(operations, {});
    ASSERT_EQ(report.verdict, right ? Verdict::kValid : Verdict::kInvalid);
    if (right) {
      continue;
    }
    ++invalid;
    // The answers that are said to contradict one another do so without the others.
    std::vector<RegisterOperation> conflict = operations;
    for (size_t i = 0; i < conflict.size(); ++i) {
      if (std::find(report.conflict.begin(), report.conflict.end(), i) == report.conflict.end()) {
        conflict[i].span.completed_ns = kNeverNs;
      }
    }
    ASSERT_FALSE(LinearizableByBruteForce(conflict));
    // And without the last answer there was an order.
    std::vector<RegisterOperation> prefix = operations;
    for (size_t i = 0; i < prefix.size(); ++i) {
      if (prefix[i].span.completed_ns > operations[*report.culprit].span.completed_ns || i == *report.culprit) {
        prefix[i].span.completed_ns = kNeverNs;
      }
    }
    ASSERT_EQ(CheckRegister(prefix, {}).verdict, Verdict::kValid);
  }
  EXPECT_GT(invalid, kHistories / 10);  // else the mutations prove nothing
  EXPECT_LT(invalid, kHistories * 9 / 10);
}

std::vector<Transaction> GenerateLists(const Shape& shape, uint64_t steps_max, SeededRandom* random) {
  std::map<std::string, std::vector<std::string>> lists;
  return Generate<Transaction>(
      shape, random,
      [&](Transaction* transaction, size_t index) {
        for (uint64_t step = 0, steps = 1 + random->Below(steps_max); step < steps; ++step) {
          const bool append = random->Below(2) == 0;
          transaction->steps.push_back({append,
                                        "k" + std::to_string(random->Below(shape.values)),
                                        append ? std::to_string(index) + "." + std::to_string(step) : "",
                                        {}});
        }
      },
      [&](Transaction* transaction) {
        for (ListStep& step : transaction->steps) {
          if (step.append) {
            lists[step.key].push_back(step.element);
          } else {
            step.read = lists[step.key];
          }
        }
      });
}

TEST(RandomHistory, StrictlySerializableListsPass) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const Shape shape{200 + random.Below(400), 2 + static_cast<int64_t>(random.Below(8)), 1 + random.Below(10),
                      random.Below(12)};
    const ListReport report = CheckLists(GenerateLists(shape, 3, &random));
    ASSERT_EQ(report.verdict, Verdict::kValid) << report.anomalies[0].name << ": " << report.anomalies[0].text;
  }
}

TEST(RandomHistory, MutatedListsAreJudgedAsByBruteForce) {
  int invalid = 0;
  int missed = 0;
  for (uint64_t seed = 1; seed <= 6000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    const Shape shape{2 + random.Below(6), 1 + static_cast<int64_t>(random.Below(4)), 1 + random.Below(2), 0};
    std::vector<Transaction> transactions = GenerateLists(shape, 2, &random);
    for (uint64_t i = random.Below(3); i > 0; --i) {
      Transaction& transaction = transactions[random.Below(transactions.size())];
      ListStep& step = transaction.steps[random.Below(transaction.steps.size())];
      if (random.Below(2) == 0) {
        const int64_t shift = static_cast<int64_t>(random.Below(200)) - 100;
        transaction.span.invoked_ns += shift;
        transaction.span.completed_ns += shift;
      } else if (!step.append && !step.read.empty()) {
        if (random.Below(2) == 0) {
          step.read.erase(step.read.begin() + static_cast<int64_t>(random.Below(step.read.size())));
        } else {
          std::swap(step.read.front(), step.read.back());
        }
      }
    }
    const bool right = StrictlySerializableByBruteForce(transactions);
    const Verdict verdict = CheckLists(transactions).verdict;
    if (right) {
      ASSERT_EQ(verdict, Verdict::kValid);
    } else {
      ++invalid;
      missed += verdict == Verdict::kValid ? 1 : 0;
    }
  }
  EXPECT_GT(invalid, 600);
  EXPECT_EQ(missed, 0);
}

}  // namespace
}  // namespace understudy::linearizability
