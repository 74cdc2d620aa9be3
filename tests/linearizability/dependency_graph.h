// Who must have come before whom, and the cycles that say it cannot be. After K. Kingsbury and P. Alvaro, "Elle:
// inferring isolation anomalies from experimental observations" (2020).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace understudy::linearizability {

enum Dependency : uint8_t {
  kWriteWrite = 1,  // overwrote what the other wrote
  kWriteRead = 2,   // read what the other wrote
  kReadWrite = 4,   // overwrote what the other had read (anti-dependency)
  kRealTime = 8,    // began after the other had been answered
};

struct Edge {
  size_t from = 0;
  size_t to = 0;
  Dependency kind = kWriteWrite;
  std::string why;  // empty for kRealTime
};

class DependencyGraph {
 public:
  explicit DependencyGraph(size_t nodes) : out_(nodes) {}
  void Add(Edge edge);

  // A cycle through an edge of kind `required` whose other edges are of the kinds `path` (a mask); the shortest of
  // those looked at. Empty: there is none.
  std::vector<Edge> FindCycle(Dependency required, unsigned path) const;

  size_t nodes() const { return out_.size(); }
  size_t edges() const { return edges_.size(); }

 private:
  // The strongly connected component of each node in the graph of the edges of `kinds`; R. E. Tarjan 1972, iterative.
  std::vector<size_t> Components(unsigned kinds) const;
  std::vector<Edge> ShortestPath(size_t from, size_t to, unsigned kinds, const std::vector<size_t>& component) const;

  std::vector<Edge> edges_;
  std::vector<std::vector<size_t>> out_;  // indexes of edges
};

}  // namespace understudy::linearizability
