// Everything a program that links libunderstudy needs. Read node.h first; examples/counter shows it in use.
#pragma once

#include "understudy/log.h"            // IWYU pragma: export
#include "understudy/node.h"           // IWYU pragma: export
#include "understudy/record.h"         // IWYU pragma: export
#include "understudy/state_machine.h"  // IWYU pragma: export
#include "understudy/status.h"         // IWYU pragma: export
#include "understudy/types.h"          // IWYU pragma: export
