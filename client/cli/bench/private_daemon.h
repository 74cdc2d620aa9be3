// An understudyd of a benchmark's own: started in a folder of its own, ended and removed with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/env/process.h"
#include "understudy/status.h"

namespace understudy::cli {

// One thread.
class PrivateDaemon {
 public:
  // `program_path`: of this program; understudyd lies beside it. `parent` is the folder on whose disk to measure.
  // `nodes`: names of agents to run, each with a port of its own for its application. Waits until it answers.
  static Result<std::unique_ptr<PrivateDaemon>> Start(const std::string& program_path, const std::string& parent,
                                                      const std::vector<std::string>& nodes);
  ~PrivateDaemon();
  PrivateDaemon(const PrivateDaemon&) = delete;
  PrivateDaemon& operator=(const PrivateDaemon&) = delete;

  const std::string& coordinator() const { return coordinator_; }
  // Of the applications of the nodes, in their order: "127.0.0.1:PORT".
  const std::vector<std::string>& endpoints() const { return endpoints_; }
  int64_t pid() const { return process_->pid(); }
  const std::string& folder() const { return folder_; }
  bool running() const;

 private:
  PrivateDaemon() = default;
  std::string coordinator_, folder_;
  std::vector<std::string> endpoints_;
  std::unique_ptr<Process> process_;
};

// Peak resident memory of a process (VmHWM), bytes; 0 when it is not known.
uint64_t PeakMemory(int64_t pid);

}  // namespace understudy::cli
