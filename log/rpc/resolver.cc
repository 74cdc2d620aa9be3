#include "log/rpc/resolver.h"

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace understudy {
namespace {

std::atomic<int> running = 0;

class ThreadLookup final : public Lookup, public std::enable_shared_from_this<ThreadLookup> {
 public:
  ThreadLookup(EventLoop* loop, std::function<void(Result<SocketName>)> done) : loop_(loop), done_(std::move(done)) {}

  void Cancel() override {
    const std::lock_guard lock(mutex_);
    loop_ = nullptr;
    done_ = nullptr;
  }
  void Found(Result<SocketName> found) {
    const std::lock_guard lock(mutex_);
    if (loop_ == nullptr) {
      return;
    }
    loop_->Post([self = shared_from_this(), found = std::move(found)] { self->Tell(found); });
  }

 private:
  // On the loop: a Cancel may have come between.
  void Tell(const Result<SocketName>& found) {
    std::function<void(Result<SocketName>)> done;
    {
      const std::lock_guard lock(mutex_);
      done = std::exchange(done_, nullptr);
    }
    if (done) {
      done(found);
    }
  }

  std::mutex mutex_;
  EventLoop* loop_;  // null: cancelled
  std::function<void(Result<SocketName>)> done_;
};

}  // namespace

Result<std::shared_ptr<Lookup>> Lookup::Start(EventLoop* loop, const std::string& address, LookUpFunction look_up,
                                              std::function<void(Result<SocketName>)> done) {
  if (running.fetch_add(1) >= kLookupsMax) {
    --running;
    return Status(StatusCode::kUnavailable, "'" + address + "': too many names are being looked up");
  }
  auto lookup = std::make_shared<ThreadLookup>(loop, std::move(done));
  try {
    std::thread([lookup, address, look_up = std::move(look_up)] {
      lookup->Found(look_up(address));
      --running;
    }).detach();
  } catch (const std::system_error& error) {
    --running;
    return Status(StatusCode::kUnavailable, "'" + address + "': no thread to look it up: " + error.what());
  }
  return std::shared_ptr<Lookup>(std::move(lookup));
}

}  // namespace understudy
