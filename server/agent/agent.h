// One node's agent: starts and stops the node's application, notices its death at once, samples its health, and
// carries commands down and reports up between the coordinator and the application. It never ends a healthy
// application because it cannot reach the coordinator. Applications survive their agent and are adopted again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log/env/random.h"
#include "log/rpc/event_loop.h"
#include "understudy/status.h"

namespace understudy {

inline constexpr int64_t kSampleIntervalMsMin = 100;
inline constexpr int64_t kSampleIntervalMsMax = 60'000;

struct AgentOptions {
  std::string node;  // its name: letters, digits, '-', '_', '.'; unique in the cluster
  std::string cluster = "understudy";
  std::vector<std::string> coordinators;  // "host:port", tried in order
  std::string data_dir;                   // DATA_DIR/run holds the socket, the run record and the application's output
  std::string host = "127.0.0.1";         // with `port` the endpoint where the application's clients reach it
  uint16_t port = 0;                      // 0: the application gets no port
  std::vector<std::string> labels;        // "key=value", for placement
  int64_t sample_interval_ms = 1000;      // kSampleIntervalMsMin..Max
  int64_t heartbeat_ms = 250;             // the coordinator hears of this node at least so often
  std::string record_dir;                 // where samples are recorded as traces (recorder.h); empty: they are not
  uint64_t output_bytes_max = 16u << 20;  // of the application's output file; one older one is kept beside it
};

class Agent {
 public:
  Agent(EventLoop* loop, Random* random, AgentOptions options);
  ~Agent();  // leaves the application running

  // Strand held. Opens the Unix socket, adopts the application of an earlier run if it still lives, begins to report.
  Status Start();

  // Strand held. Ends the application (SIGTERM, SIGKILL after `grace_ms`) and then calls `done`. No other one is
  // started from then on, whatever the coordinator says.
  void StopApplication(int64_t grace_ms, std::function<void()> done);

  const std::string& socket_path() const;  // DATA_DIR/run/NODE.sock

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace understudy
