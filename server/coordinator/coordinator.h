// The coordinator: hears the agents, asks the predictors, decides (core/), commands, and answers operators. This class
// is the shell: it owns the agents' long polls, reads and writes the metadata, runs the predictors off the loop and
// asks log servers for the age of writers. All decisions are core/'s. Of several coordinators one leads
// (core/election.h); the others keep a copy of the metadata, answer everybody with who leads, and wait.
#pragma once

#include <cstdint>
#include <functional>
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
  std::string name = "coordinator";    // of this coordinator; no other has it
  std::vector<std::string> addresses;  // where it is reached; the first is told to others when it leads
  // A leader that could not renew its lease for so long stops acting, and another may lead. 0: there is no other, as
  // with the embedded store; it leads at once and for good.
  int64_t lease_ms = 0;
  uint64_t incarnation = 1;         // another one at every start
  std::vector<std::string> unsafe;  // flags of this process that status must show in red ("--unsafe-no-fsync")

  // Agents report at least every heartbeat_ms. A node is missing when it was not heard for node_timeout_ms; its primary
  // is taken over only when, besides, no replica has heard from the writer for as long.
  int64_t heartbeat_ms = 250;
  int64_t node_timeout_ms = 1000;
  int64_t takeover_timeout_ms = 10'000;  // a plan of a higher term that does not advance for so long is taken over

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

  // Strand held. Begins to load the metadata and to want the lease, and returns. Until this one or another leads,
  // agents' polls wait; all else is answered with kUnavailable, and with the leader's address when another leads.
  // Metadata that cannot be read are tried again with growing pauses.
  void Start();

  // Strand held; the loop must run on. Stops to lead and hands the lease over, so that the next one leads at once; then
  // calls `done`. Nothing is handed over when the metadata do not answer: bound the wait. Before Stop.
  void Resign(std::function<void()> done);

  // Strand held. Answers every open poll and request with kUnavailable and stops acting. Idempotent. What completes
  // later (metadata, log servers, predictors) is ignored.
  void Stop();

  // It leads, and decisions are made. Strand held.
  bool ready() const;

  // For RpcServer::Serve; lives as long as the Coordinator.
  CoordinatorServiceHandler* handler();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace understudy
