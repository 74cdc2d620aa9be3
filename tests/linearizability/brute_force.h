// Checkers that try every order: slow, plain, and the measure of the clever ones.
#pragma once

#include <vector>

#include "tests/linearizability/register_checker.h"

namespace understudy::linearizability {

// At most about 8 operations.
bool LinearizableByBruteForce(const std::vector<RegisterOperation>& operations);

// Transactions on lists, all answered, at most about 7: is there an order that respects the clock and explains all
// reads?
bool StrictlySerializableByBruteForce(const std::vector<Transaction>& transactions);

}  // namespace understudy::linearizability
