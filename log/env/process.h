// Processes of the machine: started in their own process group, known by pid and start time, watched by pidfd, so that
// no signal ever reaches a stranger who got the same number.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "understudy/status.h"

namespace understudy {

struct SpawnOptions {
  std::string program;                             // a path, or a name to be found in PATH
  std::vector<std::string> arguments;              // argv[1..]
  std::map<std::string, std::string> environment;  // laid over this process's own
  std::string output_path;                         // stdout and stderr are appended here; made if absent
};

// One thread at a time.
class Process {
 public:
  // Starts the program in a process group of its own, with default signals, no file but 0 (nothing), 1 and 2. The
  // error carries the kernel's reason: "exec /no/such: No such file or directory".
  static Result<std::unique_ptr<Process>> Spawn(const SpawnOptions& options);
  // A process that runs already, perhaps not a child of ours. kNotFound when no process has that pid and start time.
  static Result<std::unique_ptr<Process>> Adopt(int64_t pid, int64_t start_ticks);
  ~Process();  // does not end it
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int64_t pid() const { return pid_; }
  int64_t start_ticks() const { return start_ticks_; }  // field 22 of /proc/PID/stat
  int pidfd() const { return pidfd_; }                  // readable once the process has ended

  // To the process; with `group` to all of its process group. kNotFound when it is gone.
  Status Signal(int signal, bool group);

  // After pidfd() became readable: why it ended, "exit status 1", "killed by signal 9 (Killed)", or "ended (not our
  // child, so its status is not known)". Nothing while it runs. Ends what is left of its process group.
  std::optional<std::string> Reap();

 private:
  Process(int64_t pid, int64_t start_ticks, int pidfd) : pid_(pid), start_ticks_(start_ticks), pidfd_(pidfd) {}
  int64_t pid_;
  int64_t start_ticks_;
  int pidfd_;
};

// Field 22 of /proc/PID/stat. kNotFound when there is no such process (a zombie counts as none).
Result<int64_t> ProcessStartTicks(int64_t pid);

// Leaders of process groups that were started with NAME=VALUE in their environment, as far as this user may look.
std::vector<int64_t> FindProcesses(const std::string& name, const std::string& value);
// The value a process was started with; kNotFound.
Result<std::string> EnvironmentOf(int64_t pid, const std::string& name);

// How many descriptors are open: `fd_folder` is /proc/PID/fd. Constant time where the kernel counts them (6.2 and
// later).
Result<uint64_t> CountDescriptors(const std::string& fd_folder);

// Makes `signals` readable at the returned descriptor instead of ending this process; call before threads start, so
// that all of them inherit it. Each read of a signal takes it away.
Result<int> SignalDescriptor(const std::vector<int>& signals);
// The next signal waiting at the descriptor, 0 when there is none.
int NextSignal(int descriptor);

}  // namespace understudy
