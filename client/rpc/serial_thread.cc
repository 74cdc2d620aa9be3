#include "client/rpc/serial_thread.h"

#include <utility>

namespace understudy {

SerialThread::SerialThread() : thread_([this] { Loop(); }) {}

SerialThread::~SerialThread() { Stop(); }

void SerialThread::Run(std::function<void()> fn) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;
  tasks_.push_back(std::move(fn));
  wake_.notify_one();
}

void SerialThread::Stop() {
  std::deque<std::function<void()>> dropped;  // destroyed without the lock
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    dropped.swap(tasks_);
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

bool SerialThread::OnIt() const { return std::this_thread::get_id() == thread_.get_id(); }

void SerialThread::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (stopping_) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

}  // namespace understudy
