#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include "understudy/check.h"

namespace understudy::sim {

// ---- nodes and their clocks ----

NodeId World::AddNode(std::string name) {
  UNDERSTUDY_CHECK(nodes_.size() < kNodesMax);
  Node node;
  node.name = std::move(name);
  node.from = now_;
  // Clocks of different machines have nothing to do with each other.
  node.local_from = Instant(kNsPerSecond + static_cast<int64_t>(Mix(seed_, nodes_.size()) % (1000 * kNsPerSecond)));
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size() - 1);
}

Instant World::Local(NodeId id) const {
  const Node& node = nodes_[id];
  const int64_t passed = now_ - node.from;
  return node.local_from + (passed + passed / 1'000'000 * node.drift_ppm);
}

Instant World::Global(NodeId id, Instant local) const {
  const Node& node = nodes_[id];
  const int64_t ahead = local - Local(id);
  if (ahead <= 0) return now_;
  // One nanosecond late rather than early, for a core that is woken too early asks again.
  return now_ + (ahead - ahead / 1'000'000 * node.drift_ppm + 1000);
}

void World::Rebase(Node& node) {
  node.local_from = Local(static_cast<NodeId>(&node - nodes_.data()));
  node.from = now_;
}

void World::JumpClock(NodeId id, int64_t ns) {
  Node& node = nodes_[id];
  Rebase(node);
  node.local_from = node.local_from + ns;
  for (Timer* timer : node.timers) timer->Schedule();
}

void World::SetDrift(NodeId id, int ppm) {
  Node& node = nodes_[id];
  Rebase(node);
  node.drift_ppm = ppm;
  for (Timer* timer : node.timers) timer->Schedule();
}

void World::ResetDrift() {
  for (NodeId id = 0; id < nodes_.size(); ++id) SetDrift(id, 0);
}

void World::Freeze(NodeId id, bool frozen) {
  Node& node = nodes_[id];
  node.frozen += frozen ? 1 : -1;
  UNDERSTUDY_CHECK(node.frozen >= 0);
  if (node.frozen > 0) return;
  std::vector<Task> parked = std::move(node.parked);
  node.parked.clear();
  for (Task& task : parked) Push(now_, id, std::move(task));
}

Timer::Timer(World* world, NodeId node, std::function<void()> tick)
    : world_(world), node_(node), tick_(std::move(tick)) {
  world->nodes_[node].timers.push_back(this);
}

void Timer::Set(Instant local) {
  wake_ = local;
  Schedule();
}

void Timer::Schedule() {
  if (wake_ == Instant::Never()) return;
  const Instant at = world_->Global(node_, wake_);
  if (at >= scheduled_) return;  // that event looks again
  scheduled_ = at;
  world_->Push(at, node_, [this] { Fire(); });
}

void Timer::Fire() {
  scheduled_ = Instant::Never();
  if (wake_ > world_->Local(node_)) return Schedule();
  wake_ = Instant::Never();
  tick_();
}

// ---- the network ----

void World::Cut(NodeId from, NodeId to, bool cut) {
  Link& link = links_[from * kNodesMax + to];
  link.cuts += cut ? 1 : -1;
  UNDERSTUDY_CHECK(link.cuts >= 0);
}

int World::Fate(NodeId from, NodeId to, int64_t after_ns[2]) {
  ++counts.sent;
  Link& link = links_[from * kNodesMax + to];
  if (!link.seeded) {
    link.stream = StreamFor(0x11000 + from * kNodesMax + to);
    link.seeded = true;
  }
  // One number decides the kind, one the delay, whatever the rates: so a message has the same delay with and without a
  // fault that was taken out.
  const int dice = static_cast<int>(link.stream.Below(1000));
  const uint64_t delay = link.stream.Next();
  if (link.cuts > 0) {
    ++counts.cut;
    return 0;
  }
  if (dice < rates.drop_permille) {
    ++counts.dropped;
    return 0;
  }
  const bool late = 1000 - dice <= rates.late_permille;
  if (late) ++counts.late;
  const int64_t most_us = late ? rates.late_us_max : rates.delay_us_max;
  const uint64_t span_ns = static_cast<uint64_t>(std::max<int64_t>(most_us - rates.delay_us_min, 0)) * 1000 + 1;
  const int64_t least_ns = rates.delay_us_min * 1000;
  after_ns[0] = least_ns + static_cast<int64_t>(delay % span_ns);
  if (rates.fifo) {
    const Instant at = std::max(now_ + after_ns[0], link.last_arrival + 1);
    link.last_arrival = at;
    after_ns[0] = at - now_;
    return 1;
  }
  if (dice >= rates.drop_permille + rates.duplicate_permille) return 1;
  ++counts.duplicated;
  after_ns[1] = least_ns + static_cast<int64_t>((delay >> 20) % (span_ns * 4));
  return 2;
}

// ---- the queue ----

void World::Push(Instant when, NodeId node, Task task) {
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[slot].task = std::move(task);
  slots_[slot].node = node;
  heap_.push_back({std::max(when, now_), next_seq_++, slot});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void World::At(Instant when, Task task) { Push(when, kStage, std::move(task)); }
void World::AfterOn(NodeId node, int64_t ns, Task task) { Push(now_ + ns, node, std::move(task)); }

bool World::Step(Instant limit) {
  if (stopped_) return false;
  if (heap_.empty() || heap_.front().at > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
  const Event event = heap_.back();
  heap_.pop_back();
  steps_at_once_ = event.at > now_ ? 0 : steps_at_once_ + 1;
  if (++steps_ > kStepsMax || steps_at_once_ > 20'000) {
    livelocked_ = true;
    stopped_ = true;
    return false;
  }
  now_ = event.at;
  Task task = std::move(slots_[event.slot].task);
  const NodeId node = slots_[event.slot].node;
  free_slots_.push_back(event.slot);
  if (node != kStage && nodes_[node].frozen > 0) {
    ++counts.parked;
    nodes_[node].parked.push_back(std::move(task));
    return true;
  }
  task();
  return true;
}

void World::RunUntil(Instant limit) {
  while (Step(limit)) {
  }
}

void World::Say(const std::string& line) {
  char time[32];
  std::snprintf(time, sizeof time, "%10.3f ms  ", static_cast<double>(now_.ns() - kNsPerSecond) / 1e6);
  trace(time + line);
}

}  // namespace understudy::sim
