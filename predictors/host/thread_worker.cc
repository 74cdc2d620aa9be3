// Workers in threads of this process.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "predictors/host/serve.h"
#include "predictors/host/worker.h"

namespace understudy {
namespace {

// Outlives the worker when its thread hangs.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool finished = false;
};

class ThreadWorker : public Worker {
 public:
  ThreadWorker(int fd, int theirs, const std::string& path, std::shared_ptr<std::mutex> turn)
      : Worker(fd), shared_(std::make_shared<Shared>()) {
    thread_ = std::thread([theirs, path, turn, shared = shared_] {
      ServePlugin(theirs, path, turn.get());
      close(theirs);
      std::lock_guard lock(shared->mutex);
      shared->finished = true;
      shared->changed.notify_all();
    });
  }
  ~ThreadWorker() override {
    if (thread_.joinable()) ThreadWorker::End(false);
  }

  std::string End(bool) override {
    CloseSocket();
    std::unique_lock lock(shared_->mutex);
    const bool finished =
        shared_->changed.wait_for(lock, std::chrono::milliseconds(100), [this] { return shared_->finished; });
    lock.unlock();
    if (finished) {
      thread_.join();
      return "ended";
    }
    thread_.detach();
    return "keeps its thread";
  }

 private:
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

class ThreadWorkers : public WorkerFactory {
 public:
  Result<std::unique_ptr<Worker>> Start(const std::string& plugin_path) override {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return Status(StatusCode::kIoError, std::string("socketpair: ") + std::strerror(errno));
    }
    std::shared_ptr<std::mutex>& turn = turns_[plugin_path];
    if (!turn) turn = std::make_shared<std::mutex>();
    return std::unique_ptr<Worker>(new ThreadWorker(ends[0], ends[1], plugin_path, turn));
  }

 private:
  std::map<std::string, std::shared_ptr<std::mutex>> turns_;  // one a plugin: its calls never overlap
};

}  // namespace

std::unique_ptr<WorkerFactory> NewThreadWorkers() { return std::make_unique<ThreadWorkers>(); }

}  // namespace understudy
