// Reads a history: JSON lines, one operation each, in any order. docs/testing.md has the grammar.
#pragma once

#include <istream>
#include <map>
#include <string>
#include <vector>

#include "tests/linearizability/operation.h"
#include "understudy/status.h"

namespace understudy::linearizability {

struct History {
  std::map<std::string, std::vector<RegisterOperation>> registers;  // by key: linearizability is local to each
  std::vector<Transaction> transactions;
  size_t operations = 0;
  size_t open = 0;
};

// kInvalidArgument names the line and what is wrong with it. A register operation that failed is left out.
Result<History> ReadHistory(std::istream& in);

}  // namespace understudy::linearizability
