// The mutants by name, and the switch. One at a time, chosen before any thread is started.
#pragma once

#include <string_view>
#include <vector>

#include "log/epoch/mutant.h"

namespace understudy::testing {

struct MutantInfo {
  Mutant mutant = Mutant::kNone;
  const char* name = "";  // "ack-before-fsync"
  const char* what = "";  // for people
};
const std::vector<MutantInfo>& Mutants();
const MutantInfo* FindMutant(std::string_view name);  // null: there is none of that name

// Whether this program was built with them.
bool MutantsBuiltIn();
void SetMutant(Mutant mutant);

}  // namespace understudy::testing
