// Everything one understudyd runs, put together: the only place of the server side where real files, clocks and sockets
// are made.
#pragma once

#include <memory>

#include "server/understudyd/options.h"
#include "understudy/status.h"

namespace understudy {

class Daemon {
 public:
  // Locks the data directory, opens what the role needs and begins to serve. Errors: kFailedPrecondition (another
  // understudyd has the data directory), and what opening, recovering and listening bring. `program_folder` is where
  // this program lies: plugins and their helper are looked for from there.
  static Result<std::unique_ptr<Daemon>> Start(const DaemonOptions& options, const std::string& program_folder);
  virtual ~Daemon() = default;

  // Blocks until `signals` (a descriptor of SignalDescriptor) brings one, or a part fails for good; then stops
  // everything. kOk after a signal.
  virtual Status Run(int signals) = 0;
};

}  // namespace understudy
