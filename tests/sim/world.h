// Simulated time, machines and network: one queue of events, ordered by time. Nodes have clocks of their own that drift
// and jump, can be frozen and thawed; links lose, delay, reorder, duplicate and are cut one way. Everything that
// happens, happens in Step(); the same seed and the same inputs give the same run.
//
// Nothing here knows logs or coordinators: whoever simulates another part puts it on top of this.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/random.h"
#include "tests/sim/task.h"
#include "understudy/types.h"

namespace understudy::sim {

using NodeId = uint32_t;

// How the network treats every message; faults of a plan come on top.
struct NetworkRates {
  int drop_permille = 0;
  int duplicate_permille = 0;
  int late_permille = 0;  // that come after up to late_us_max instead of delay_us_max
  int64_t delay_us_min = 50;
  int64_t delay_us_max = 500;
  int64_t late_us_max = 20'000;
  bool fifo = false;  // per link, as on one connection
};

class World;

// Wakes a core at the time it asked for, on its node's clock.
class Timer {
 public:
  Timer(World* world, NodeId node, std::function<void()> tick);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void Set(Instant local);  // Never: not at all

 private:
  friend class World;
  void Schedule();
  void Fire();
  World* world_;
  NodeId node_;
  std::function<void()> tick_;
  Instant wake_ = Instant::Never();       // local
  Instant scheduled_ = Instant::Never();  // global: the earliest event that is out
};

class World {
 public:
  World(uint64_t seed, const NetworkRates& rates) : rates(rates), seed_(seed) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  NodeId AddNode(std::string name);
  const std::string& name(NodeId node) const { return nodes_[node].name; }
  size_t nodes() const { return nodes_.size(); }
  Stream StreamFor(uint64_t what) const { return Stream(Mix(seed_, what)); }

  Instant now() const { return now_; }
  Instant Local(NodeId node) const;
  void JumpClock(NodeId node, int64_t ns);  // forwards: monotonic clocks know no other way
  void SetDrift(NodeId node, int ppm);
  void ResetDrift();  // all clocks run alike from now on

  // On the stage, whatever is frozen.
  void At(Instant when, Task task);
  void After(int64_t ns, Task task) { At(now_ + ns, std::move(task)); }
  // On a node: waits while the node is frozen.
  void AfterOn(NodeId node, int64_t ns, Task task);

  // Carries a message: `deliver` runs on `to` once a delivery, maybe never, maybe twice. `text` is asked only when
  // somebody watches.
  template <class Deliver, class Text>
  void Send(NodeId from, NodeId to, const Deliver& deliver, const Text& text);

  void Freeze(NodeId node, bool frozen);  // calls nest
  bool frozen(NodeId node) const { return nodes_[node].frozen > 0; }
  void Cut(NodeId from, NodeId to, bool cut);  // calls nest
  bool cut(NodeId from, NodeId to) const { return links_[from * kNodesMax + to].cuts > 0; }

  // False: nothing happens until `limit` (the clock stands there), or the run was stopped.
  bool Step(Instant limit);
  void RunUntil(Instant limit);
  void Stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }
  uint64_t steps() const { return steps_; }
  // Too many events at one instant, or in all: somebody asks for its tick again and again.
  bool livelocked() const { return livelocked_; }

  NetworkRates rates;
  struct Counts {
    uint64_t sent = 0, dropped = 0, cut = 0, duplicated = 0, late = 0, parked = 0;
  } counts;

  // Every message and note in the order in which they happen; null: not wanted.
  std::function<void(const std::string& line)> trace;
  template <class Text>
  void Note(NodeId node, const Text& text) {
    if (trace) Say(name(node) + "  " + text());
  }
  void Say(const std::string& line);

  static constexpr size_t kNodesMax = 32;
  static constexpr uint64_t kStepsMax = 3'000'000;

 private:
  friend class Timer;
  struct Node {
    std::string name;
    int frozen = 0;
    std::vector<Task> parked;
    std::vector<Timer*> timers;
    Instant from;        // global time at which the line below begins
    Instant local_from;  // local time then
    int drift_ppm = 0;
  };
  struct Link {
    Stream stream;
    bool seeded = false;
    int cuts = 0;
    Instant last_arrival;
  };
  struct Event {
    Instant at;
    uint64_t seq;
    uint32_t slot;
    bool operator>(const Event& other) const { return at != other.at ? at > other.at : seq > other.seq; }
  };
  static constexpr uint32_t kStage = UINT32_MAX;
  // What becomes of a message: how many deliveries, after how long.
  int Fate(NodeId from, NodeId to, int64_t after_ns[2]);
  void Push(Instant when, NodeId node, Task task);
  Instant Global(NodeId node, Instant local) const;
  void Rebase(Node& node);

  struct Slot {
    Task task;
    NodeId node = kStage;
  };
  uint64_t seed_;
  Instant now_ = Instant(kNsPerSecond);
  uint64_t next_seq_ = 0;
  uint64_t steps_ = 0;
  uint64_t steps_at_once_ = 0;
  bool stopped_ = false;
  bool livelocked_ = false;
  std::vector<Node> nodes_;
  std::vector<Link> links_ = std::vector<Link>(kNodesMax * kNodesMax);
  std::vector<Event> heap_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
};

template <class Deliver, class Text>
void World::Send(NodeId from, NodeId to, const Deliver& deliver, const Text& text) {
  int64_t after_ns[2];
  const int deliveries = Fate(from, to, after_ns);
  if (trace) {
    std::string line = name(from) + " -> " + name(to) + "  " + text();
    if (deliveries == 0) Say(line + "  (lost)");
    for (int i = 0; i < deliveries; ++i) {
      Push(now_ + after_ns[i], to, [this, line, deliver] {
        Say(line);
        deliver();
      });
    }
    return;
  }
  for (int i = 0; i < deliveries; ++i) Push(now_ + after_ns[i], to, deliver);
}

}  // namespace understudy::sim
