// A worker as its host sees it: something that answers batches over a non-blocking socket, and can be put an end to.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "understudy/status.h"

namespace understudy {

class Worker {
 public:
  // Takes a connected stream socket.
  explicit Worker(int fd);
  virtual ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int fd() const { return fd_; }
  virtual int64_t pid() const { return 0; }  // of a process of its own; 0: it has none
  bool wants_write() const { return sent_ < output_.size(); }

  // Queues one frame and sends what the socket takes. The host has at most one batch under way, so this is bounded.
  Status Send(const std::string& body);
  // Call when the socket is ready; appends complete frames to `frames`. An error: the worker is of no more use.
  Status Pump(std::vector<std::string>* frames);

  // Ends it, whatever it is doing, and says how it ended: "killed by signal 11 (Segmentation fault)". One that is
  // `dying` by itself, because its socket broke, is given 100 ms to do so. Once.
  virtual std::string End(bool dying) = 0;

 protected:
  void CloseSocket();

 private:
  int fd_;
  std::string output_, input_;
  size_t sent_ = 0;
};

// Makes workers of one kind. Not thread-safe; used on the host's thread.
class WorkerFactory {
 public:
  virtual ~WorkerFactory() = default;
  virtual Result<std::unique_ptr<Worker>> Start(const std::string& plugin_path) = 0;
  // Collects processes that did not die in time. Call now and then.
  virtual void Reap() {}
};

// The thread that calls Start must live as long as the workers: they die with it.
std::unique_ptr<WorkerFactory> NewProcessWorkers(std::string helper, int64_t memory_bytes_max);
std::unique_ptr<WorkerFactory> NewThreadWorkers();
// Starts nothing: `why`, each time.
std::unique_ptr<WorkerFactory> NewRefusedWorkers(Status why);

}  // namespace understudy
