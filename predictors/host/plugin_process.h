// One plugin in a child process of its own, called and waited for: for tools that try a plugin out, where
// predictor_host.h is for watching a fleet. Not thread-safe; the thread that starts it must outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "predictors/host/wire.h"
#include "predictors/host/worker.h"
#include "understudy/status.h"

namespace understudy {

// What the kernel says of the child. 0 where it says nothing.
struct ProcessFacts {
  int64_t resident_bytes = 0;
  int64_t threads = 0;
  int64_t open_files = 0;
  uint64_t signals_caught = 0;  // bit n-1: signal n has a handler
};

class PluginProcess {
 public:
  struct Options {
    std::string helper;  // path of understudy-predictor-host
    std::string plugin;  // path of the shared object
    int64_t memory_bytes_max = 512ll << 20;
    int64_t start_deadline_ms = 5000;
  };

  // Starts the child and loads the plugin. kNotFound (no such plugin), kUnsupported (another ABI), kInvalidArgument
  // (not a plugin; the message says how), kDeadlineExceeded, kInternal (it died: how), kIoError (the helper).
  static Result<std::unique_ptr<PluginProcess>> Start(const Options& options);
  ~PluginProcess();
  PluginProcess(const PluginProcess&) = delete;
  PluginProcess& operator=(const PluginProcess&) = delete;

  // Name, version and slots of the plugin.
  const WorkerReply& greeting() const { return greeting_; }

  // Carries the operations out in order; one result each. kDeadlineExceeded (the child is ended), kInternal (it died:
  // how), kUnavailable (it was over before).
  Result<WorkerReply> Call(std::vector<WorkerOp> ops, int64_t deadline_ms);

  bool alive() const { return worker_ != nullptr; }
  ProcessFacts Facts() const;

 private:
  PluginProcess() = default;
  Result<std::string> Receive(int64_t deadline_ms);

  std::unique_ptr<WorkerFactory> workers_;
  std::unique_ptr<Worker> worker_;
  std::vector<std::string> frames_;
  WorkerReply greeting_;
  uint64_t batches_ = 0;
};

}  // namespace understudy
