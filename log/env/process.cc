#include "log/env/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "log/env/file.h"
#include "log/env/small_files.h"

extern char** environ;

namespace understudy {
namespace {

std::string ErrnoText(int error) {
  char buffer[128];
  return strerror_r(error, buffer, sizeof buffer);
}

int OpenPidfd(int64_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)); }

// The environment of this process with `changes` laid over it, as "NAME=value".
std::vector<std::string> MergedEnvironment(const std::map<std::string, std::string>& changes) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (const size_t equals = text.find('='); equals != std::string::npos) {
      merged[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  for (const auto& [name, value] : changes) merged[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : merged) lines.push_back(name + "=" + value);
  return lines;
}

std::vector<char*> Pointers(std::vector<std::string>& lines) {
  std::vector<char*> pointers;
  for (std::string& line : lines) pointers.push_back(line.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Owns the two objects posix_spawn takes.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

void FillSettings(int output, SpawnSettings* settings) {
  posix_spawn_file_actions_addopen(&settings->files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&settings->files, output, 1);
  posix_spawn_file_actions_adddup2(&settings->files, output, 2);
  posix_spawn_file_actions_addclosefrom_np(&settings->files, 3);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&settings->attributes, &none);
  posix_spawnattr_setsigdefault(&settings->attributes, &all);
  posix_spawnattr_setpgroup(&settings->attributes, 0);
  posix_spawnattr_setflags(&settings->attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

std::string ReasonOf(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return "exit status " + std::to_string(info.si_status);
  const char* name = sigdescr_np(info.si_status);
  return "killed by signal " + std::to_string(info.si_status) + " (" + (name == nullptr ? "unknown" : name) + ")";
}

}  // namespace

Result<std::unique_ptr<Process>> Process::Spawn(const SpawnOptions& options) {
  std::vector<std::string> argument_lines = {options.program};
  argument_lines.insert(argument_lines.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment_lines = MergedEnvironment(options.environment);
  const std::string output_path = options.output_path.empty() ? "/dev/null" : options.output_path;
  const int output = open(output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (output < 0) return Status(StatusCode::kIoError, "output file " + output_path + ": " + ErrnoText(errno));
  SpawnSettings settings;
  FillSettings(output, &settings);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, options.program.c_str(), &settings.files, &settings.attributes,
                                 Pointers(argument_lines).data(), Pointers(environment_lines).data());
  close(output);
  if (error != 0) {
    const StatusCode code = error == ENOENT || error == ENOTDIR ? StatusCode::kNotFound : StatusCode::kIoError;
    return Status(code, "exec " + options.program + ": " + ErrnoText(error));
  }
  const int pidfd = OpenPidfd(pid);  // the child is not reaped yet, so the number is still its own
  Result<int64_t> start = ProcessStartTicks(pid);
  if (pidfd < 0) {
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return Status(StatusCode::kIoError, "pidfd_open: " + ErrnoText(errno));
  }
  // It may have ended already; then the start time is not to be had and nobody will need it.
  return std::unique_ptr<Process>(new Process(pid, start.ok() ? *start : 0, pidfd));
}

Result<std::unique_ptr<Process>> Process::Adopt(int64_t pid, int64_t start_ticks) {
  const Status gone(StatusCode::kNotFound,
                    "no process " + std::to_string(pid) + " with start time " + std::to_string(start_ticks));
  if (pid <= 1 || pid > INT32_MAX) return gone;
  const int pidfd = OpenPidfd(pid);
  if (pidfd < 0) return gone;
  std::unique_ptr<Process> process(new Process(pid, start_ticks, pidfd));
  // Read after the pidfd was opened: what is read is the process the pidfd means, or that one has ended.
  Result<int64_t> start = ProcessStartTicks(pid);
  if (!start.ok() || *start != start_ticks) return gone;
  return process;
}

Process::~Process() {
  siginfo_t info{};
  waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED | WNOHANG);  // leaves no zombie behind
  close(pidfd_);
}

Status Process::Signal(int signal, bool group) {
  if (syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0) != 0) {
    return {errno == ESRCH ? StatusCode::kNotFound : StatusCode::kIoError,
            "signal to process " + std::to_string(pid_) + ": " + ErrnoText(errno)};
  }
  // The leader was there a moment ago and is not reaped by anybody but us, or was not our child: then its group may
  // be led by another, hence the check.
  if (group && getpgid(static_cast<pid_t>(pid_)) == pid_) kill(static_cast<pid_t>(-pid_), signal);
  return Status::Ok();
}

std::optional<std::string> Process::Reap() {
  siginfo_t info{};
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    if (errno != ECHILD) return "waitid: " + ErrnoText(errno);
    pollfd ended{pidfd_, POLLIN, 0};
    if (poll(&ended, 1, 0) == 0) return std::nullopt;
    return "ended (not our child, so its status is not known)";
  }
  if (info.si_pid == 0) return std::nullopt;
  kill(static_cast<pid_t>(-pid_), SIGKILL);  // still a zombie, so the group number is still its own
  waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED | WNOHANG);
  return ReasonOf(info);
}

Result<int64_t> ProcessStartTicks(int64_t pid) {
  Result<std::string> stat = ReadSmallFile("/proc/" + std::to_string(pid) + "/stat");
  if (!stat.ok()) return stat.status();
  // The name, field 2, stands in parentheses and may hold anything; field 3 follows the last ')'.
  const size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat->size()) {
    return Status(StatusCode::kCorruption, "/proc/" + std::to_string(pid) + "/stat: no name");
  }
  const char state = (*stat)[name_end + 2];
  if (state == 'Z' || state == 'X') {
    return Status(StatusCode::kNotFound, "process " + std::to_string(pid) + " has ended");
  }
  size_t at = name_end + 2;
  for (int field = 3; field < 22 && at != std::string::npos; ++field) {
    at = stat->find(' ', at);
    if (at != std::string::npos) ++at;
  }
  if (at == std::string::npos) return Status(StatusCode::kCorruption, "/proc/" + std::to_string(pid) + "/stat: short");
  return static_cast<int64_t>(std::strtoll(stat->c_str() + at, nullptr, 10));
}

Result<std::string> EnvironmentOf(int64_t pid, const std::string& name) {
  const Result<std::string> entries = ReadSmallFile("/proc/" + std::to_string(pid) + "/environ", 4u << 20);
  if (!entries.ok()) return entries.status();
  const std::string wanted = '\0' + name + '=';  // each entry ends with a zero byte
  const size_t found = ('\0' + *entries).find(wanted);
  if (found == std::string::npos) return Status(StatusCode::kNotFound, name + " is not in the environment");
  return std::string(entries->c_str() + found + name.size() + 1);
}

std::vector<int64_t> FindProcesses(const std::string& name, const std::string& value) {
  std::vector<int64_t> found;
  const Result<std::vector<std::string>> entries = SystemFileSystem()->ListDir("/proc");
  if (!entries.ok()) return found;
  for (const std::string& entry : *entries) {
    const auto pid = static_cast<pid_t>(std::strtol(entry.c_str(), nullptr, 10));
    if (pid <= 1 || getpgid(pid) != pid) continue;
    const Result<std::string> has = EnvironmentOf(pid, name);
    if (has.ok() && *has == value) found.push_back(pid);
  }
  return found;
}

Result<uint64_t> CountDescriptors(const std::string& fd_folder) {
  struct stat info {};
  if (stat(fd_folder.c_str(), &info) != 0) {
    return Status(errno == ENOENT ? StatusCode::kNotFound : StatusCode::kIoError, fd_folder + ": " + ErrnoText(errno));
  }
  if (info.st_size > 0) return static_cast<uint64_t>(info.st_size);
  Result<std::vector<std::string>> names = SystemFileSystem()->ListDir(fd_folder);
  if (!names.ok()) return names.status();
  return names->size();
}

Result<int> SignalDescriptor(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return Status(StatusCode::kIoError, "pthread_sigmask: " + ErrnoText(error));
  }
  const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd < 0) return Status(StatusCode::kIoError, "signalfd: " + ErrnoText(errno));
  return fd;
}

int NextSignal(int descriptor) {
  signalfd_siginfo info{};
  return read(descriptor, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace understudy
