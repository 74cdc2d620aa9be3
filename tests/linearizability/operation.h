// What a client did and was told: the lines of a history. docs/testing.md describes the file format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace understudy::linearizability {

inline constexpr int64_t kNeverNs = std::numeric_limits<int64_t>::max();

// From before the request was sent until after the answer was there, on one monotonic clock for all processes.
struct Span {
  int64_t process = 0;
  int64_t invoked_ns = 0;
  int64_t completed_ns = kNeverNs;  // kNeverNs: open, it may have taken effect at any time since, or never will
  size_t line = 0;                  // of the file, for people

  bool open() const { return completed_ns == kNeverNs; }
};

enum class RegisterKind { kGet, kSet, kDel, kCas, kIncr };

// One command on one key that holds a text or does not exist.
struct RegisterOperation {
  Span span;
  RegisterKind kind = RegisterKind::kGet;
  std::string key;
  std::string argument;              // SET and CAS: the new value
  std::string expected;              // CAS: the old one
  int64_t amount = 0;                // INCR
  std::optional<std::string> value;  // answer of GET; nothing: no such key
  int64_t number = 0;                // answer of DEL and CAS (0 or 1) and of INCR (the sum)
};

// Part of a transaction on lists.
struct ListStep {
  bool append = false;
  std::string key;
  std::string element;            // appended
  std::vector<std::string> read;  // answered, when the transaction is not open
};

// Steps that take effect at once or not at all.
struct Transaction {
  Span span;
  bool failed = false;  // certainly did not take effect, says the answer
  std::vector<ListStep> steps;
};

enum class Verdict { kValid, kInvalid, kUnknown };

// A line for people: who, when (ms since `zero_ns`), what, and the answer.
std::string Describe(const RegisterOperation& operation, int64_t zero_ns);
std::string Describe(const Transaction& transaction, int64_t zero_ns);

}  // namespace understudy::linearizability
