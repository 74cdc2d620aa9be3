#include "tests/linearizability/dependency_graph.h"

#include <algorithm>
#include <deque>
#include <utility>

namespace understudy::linearizability {

namespace {

// Of the edges that could close a cycle so many are tried: in a history full of cycles any short one will do.
constexpr size_t kTriesMax = 200;
constexpr size_t kNone = SIZE_MAX;

}  // namespace

void DependencyGraph::Add(Edge edge) {
  if (edge.from != edge.to) {
    out_[edge.from].push_back(edges_.size());
    edges_.push_back(std::move(edge));
  }
}

std::vector<size_t> DependencyGraph::Components(unsigned kinds) const {
  std::vector<size_t> component(out_.size(), kNone);
  std::vector<size_t> order(out_.size(), kNone);  // of discovery
  std::vector<size_t> low(out_.size(), 0);
  std::vector<size_t> stack;
  struct Frame {
    size_t node;
    size_t next;  // of its edges
  };
  std::vector<Frame> frames;
  size_t found = 0;
  size_t components = 0;
  for (size_t root = 0; root < out_.size(); ++root) {
    if (order[root] != kNone) {
      continue;
    }
    frames.push_back({root, 0});
    while (!frames.empty()) {
      const size_t node = frames.back().node;
      if (frames.back().next == 0) {
        order[node] = low[node] = found++;
        stack.push_back(node);
      }
      bool descended = false;
      while (frames.back().next < out_[node].size()) {
        const Edge& edge = edges_[out_[node][frames.back().next++]];
        if ((edge.kind & kinds) == 0) {
          continue;
        }
        if (order[edge.to] == kNone) {
          frames.push_back({edge.to, 0});
          descended = true;
          break;
        }
        if (component[edge.to] == kNone) {
          low[node] = std::min(low[node], order[edge.to]);
        }
      }
      if (descended) {
        continue;
      }
      if (low[node] == order[node]) {
        size_t member = kNone;
        do {
          member = stack.back();
          stack.pop_back();
          component[member] = components;
        } while (member != node);
        ++components;
      }
      frames.pop_back();
      if (!frames.empty()) {
        low[frames.back().node] = std::min(low[frames.back().node], low[node]);
      }
    }
  }
  return component;
}

std::vector<Edge> DependencyGraph::ShortestPath(size_t from, size_t to, unsigned kinds,
                                                const std::vector<size_t>& component) const {
  std::vector<size_t> came_by(out_.size(), kNone);
  std::deque<size_t> queue = {from};
  while (!queue.empty() && came_by[to] == kNone) {
    const size_t node = queue.front();
    queue.pop_front();
    for (const size_t index : out_[node]) {
      const Edge& edge = edges_[index];
      if ((edge.kind & kinds) != 0 && component[edge.to] == component[from] && edge.to != from &&
          came_by[edge.to] == kNone) {
        came_by[edge.to] = index;
        queue.push_back(edge.to);
      }
    }
  }
  std::vector<Edge> path;
  for (size_t node = to; came_by[node] != kNone; node = edges_[came_by[node]].from) {
    path.push_back(edges_[came_by[node]]);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<Edge> DependencyGraph::FindCycle(Dependency required, unsigned path) const {
  const std::vector<size_t> component = Components(path | required);
  std::vector<Edge> best;
  size_t tries = 0;
  for (const Edge& edge : edges_) {
    if (edge.kind != required || component[edge.from] != component[edge.to]) {
      continue;
    }
    std::vector<Edge> back = ShortestPath(edge.to, edge.from, path, component);
    if (!back.empty() && (best.empty() || back.size() + 1 < best.size())) {
      best = {edge};
      best.insert(best.end(), back.begin(), back.end());
    }
    if (++tries == kTriesMax) {
      break;
    }
  }
  return best;
}

}  // namespace understudy::linearizability
