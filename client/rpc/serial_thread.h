// A thread that runs what it is given, one thing at a time and in order: for what may block or take long and must not
// hold the strand (replay, the application's role callbacks, writing a checkpoint).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace understudy {

// Thread-safe. Its users bound what they hand over.
class SerialThread {
 public:
  SerialThread();
  ~SerialThread();  // Stop()
  SerialThread(const SerialThread&) = delete;
  SerialThread& operator=(const SerialThread&) = delete;

  // Not run any more after Stop() has begun.
  void Run(std::function<void()> fn);
  // Lets the running task end, drops the others, joins. Not from the thread itself.
  void Stop();
  bool OnIt() const;

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace understudy
