// Workers in child processes: a crash, a hang or an allocation without end stays in there.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "predictors/host/worker.h"

extern char** environ;

namespace understudy {
namespace {

constexpr int kDyingMs = 100;

std::string Ending(int status) {
  if (WIFSIGNALED(status)) {
    const char* name = sigdescr_np(WTERMSIG(status));
    return "killed by signal " + std::to_string(WTERMSIG(status)) + (name ? std::string(" (") + name + ")" : "");
  }
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

// Waits for the child to be dead, at most `ms`; does not collect it.
bool Dead(pid_t pid, int ms) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return false;
  pollfd entry = {pidfd, POLLIN, 0};
  int ready;
  do {
    ready = poll(&entry, 1, ms);
  } while (ready < 0 && errno == EINTR);
  close(pidfd);
  return ready > 0;
}

class ProcessWorker : public Worker {
 public:
  ProcessWorker(int fd, pid_t pid, std::vector<pid_t>* undead) : Worker(fd), pid_(pid), undead_(undead) {}
  ~ProcessWorker() override {
    if (pid_ > 0) ProcessWorker::End(false);
  }

  int64_t pid() const override { return pid_; }

  std::string End(bool dying) override {
    CloseSocket();
    const bool by_itself = dying && Dead(pid_, kDyingMs);
    kill(-pid_, SIGKILL);  // its group: what the plugin may have forked, too
    kill(pid_, SIGKILL);
    if (!by_itself) Dead(pid_, kDyingMs);
    int status = 0;
    const pid_t pid = std::exchange(pid_, -1);
    if (waitpid(pid, &status, WNOHANG) != pid) {
      undead_->push_back(pid);
      return "does not die of SIGKILL";
    }
    return by_itself ? Ending(status) : "was ended";
  }

 private:
  pid_t pid_;
  std::vector<pid_t>* undead_;
};

class ProcessWorkers : public WorkerFactory {
 public:
  ProcessWorkers(std::string helper, int64_t memory_bytes_max)
      : helper_(std::move(helper)), memory_bytes_max_(memory_bytes_max) {}

  Result<std::unique_ptr<Worker>> Start(const std::string& plugin_path) override {
    Reap();
    if (undead_.size() > 64) return Status(StatusCode::kResourceExhausted, "too many helpers that do not die");
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return Status(StatusCode::kIoError, std::string("socketpair: ") + std::strerror(errno));
    }
    const std::string memory = std::to_string(memory_bytes_max_), parent = std::to_string(getpid());
    const char* arguments[] = {helper_.c_str(), plugin_path.c_str(), memory.c_str(), parent.c_str(), nullptr};

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], 3);
    posix_spawn_file_actions_addclosefrom_np(&files, 4);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A group of its own: Ctrl-C at the terminal is for the parent. No signal blocked or ignored.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    pid_t pid = -1;
    const int error = posix_spawn(&pid, helper_.c_str(), &files, &attributes, const_cast<char**>(arguments), environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (error != 0) {
      close(ends[0]);
      return Status(StatusCode::kIoError, helper_ + ": " + std::strerror(error));
    }
    return std::unique_ptr<Worker>(new ProcessWorker(ends[0], pid, &undead_));
  }

  void Reap() override {
    std::erase_if(undead_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) == pid; });
  }

 private:
  std::string helper_;
  int64_t memory_bytes_max_;
  std::vector<pid_t> undead_;
};

}  // namespace

std::unique_ptr<WorkerFactory> NewProcessWorkers(std::string helper, int64_t memory_bytes_max) {
  return std::make_unique<ProcessWorkers>(std::move(helper), memory_bytes_max);
}

}  // namespace understudy
