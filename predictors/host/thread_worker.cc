// Workers in threads of this process. A thread cannot be ended from outside: one that hangs in its plugin is left
// alone, and its plugin gets no other until that call returns, so that a plugin costs one thread at most, however often
// it is tried again.
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "predictors/host/serve.h"
#include "predictors/host/worker.h"

namespace understudy {
namespace {

// Outlives the worker when its thread hangs.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool finished = false;
  bool left = false;  // its worker is gone
};

// Of all workers of one plugin; outlives them likewise.
struct Plugin {
  std::mutex turn;            // its calls never overlap
  std::atomic<int> hung = 0;  // threads that were left in it
};

class ThreadWorker : public Worker {
 public:
  ThreadWorker(int fd, int theirs, const std::string& path, std::shared_ptr<Plugin> plugin)
      : Worker(fd), shared_(std::make_shared<Shared>()), plugin_(std::move(plugin)) {
    thread_ = std::thread([theirs, path, plugin = plugin_, shared = shared_] {
      ServePlugin(theirs, path, &plugin->turn);
      close(theirs);
      std::lock_guard lock(shared->mutex);
      shared->finished = true;
      if (shared->left) --plugin->hung;
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
    if (!finished) {
      shared_->left = true;
      ++plugin_->hung;
    }
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
  std::shared_ptr<Plugin> plugin_;
  std::thread thread_;
};

class ThreadWorkers : public WorkerFactory {
 public:
  Result<std::unique_ptr<Worker>> Start(const std::string& plugin_path) override {
    std::shared_ptr<Plugin>& plugin = plugins_[plugin_path];
    if (!plugin) plugin = std::make_shared<Plugin>();
    if (plugin->hung > 0)
      return Status(StatusCode::kUnavailable, "a call of before has not returned and keeps its thread");
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return Status(StatusCode::kIoError, std::string("socketpair: ") + std::strerror(errno));
    }
    return std::unique_ptr<Worker>(new ThreadWorker(ends[0], ends[1], plugin_path, plugin));
  }

 private:
  std::map<std::string, std::shared_ptr<Plugin>> plugins_;
};

}  // namespace

std::unique_ptr<WorkerFactory> NewThreadWorkers() { return std::make_unique<ThreadWorkers>(); }

}  // namespace understudy
