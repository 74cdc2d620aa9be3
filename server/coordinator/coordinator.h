// The coordinator: hears the agents, asks the predictors, decides (core/), commands, and answers operators. This class
// is the shell: it owns the agents' long polls, reads and writes the metadata, runs the predictors off the loop and
// asks log servers for the age of writers. All decisions are core/'s.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "log/rpc/services.h"
#include "predictors/host/predictor_host.h"
#include "understudy/status.h"

namespace understudy {

struct CoordinatorOptions {
  std::string cluster;
  std::string name = "coordinator";    // of this coordinator; after a restart it goes on at once with its own plans
  std::vector<std::string> addresses;  // where applications reach the metadata: put into commands as they are
  std::vector<std::string> unsafe;     // flags of this process that status must show in red ("--unsafe-no-fsync")

  // Agents report at least every heartbeat_ms. A node is missing when it was not heard for node_timeout_ms; its primary
  // is taken over only when, besides, no replica has heard from the writer for as long.
  int64_t heartbeat_ms = 250;
  int64_t node_timeout_ms = 1000;
  int64_t takeover_timeout_ms = 10'000;  // another coordinator's plan that does not advance for so long is taken over

  size_t events_max = 1000;  // kept in the metadata; the oldest go first
};

class Coordinator {
 public:
  // `loop` and `store` must outlive it. `predictors` may be null: no forecasts then. Nothing is started yet.
  Coordinator(EventLoop* loop, MetadataStore* store, std::unique_ptr<PredictorHost> predictors,
              CoordinatorOptions options);
  // Strand held, after Stop.
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Strand held. Begins to load the metadata and returns; until that is done agents' polls wait and operators get
  // kUnavailable. Metadata that cannot be loaded is tried again with growing pauses, and logged.
  void Start();

  // Strand held. Answers every open poll and request with kUnavailable and stops acting. Idempotent. What completes
  // later (metadata, log servers, predictors) is ignored.
  void Stop();

  // Metadata is loaded and decisions are made. Strand held.
  bool ready() const;

  // For RpcServer::Serve; lives as long as the Coordinator.
  CoordinatorServiceHandler* handler();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace understudy
