// The keys that coordinators keep in the metadata store beside the chains (services, plans, nodes, the leader), and the
// chains as coordinators see them. Its outages are those of sim::Metadata; replies of a compare-and-swap get lost after
// it took effect.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/coordinator/core/io.h"
#include "server/coordinator/core/service_spec.h"
#include "tests/sim/metadata.h"
#include "tests/sim/world.h"

namespace understudy::sim {

class FleetMetadata {
 public:
  using Kind = coordinator::MetadataKind;
  struct Item {
    Kind kind = Kind::kLog;
    std::string name;
    std::string value;  // empty: deleted
    uint64_t version = 0;
  };

  FleetMetadata(World* world, Metadata* chains, std::vector<LogId> logs);

  // Before the run.
  void Put(Kind kind, const std::string& name, std::string value);

  // From a coordinator on `from`. Answered at most once; the caller has timeouts of its own for silence.
  void Get(NodeId from, Kind kind, const std::string& name, std::function<void(Item)> done);
  void List(NodeId from, std::function<void(std::vector<Item>)> done);
  void Cas(NodeId from, Item item, uint64_t expected, std::function<void(StatusCode, uint64_t version)> done);
  // What changed after `seen` (a position, 0 at first), as a watch delivers it. False: it cannot be heard now.
  bool Watch(NodeId to, size_t* seen, std::vector<Item>* changes);

  // From now on coordinators see the entries of disks, may change them, and may make logs, so many in all.
  void OpenToOperators(size_t logs_max);
  const std::vector<LogId>& logs() const { return logs_; }
  std::vector<coordinator::ServiceSpec> Services() const;  // those being removed, too

  int lose_reply_permille = 0;

 private:
  using CasDone = std::function<void(StatusCode, uint64_t version)>;
  void NoteChains();
  void NoteDisks();
  void CasChain(NodeId from, const Item& item, uint64_t expected, CasDone done);
  Item Now(Kind kind, const std::string& name) const;

  World* world_;
  Metadata* chains_;
  std::vector<LogId> logs_;
  bool operators_ = false;
  size_t logs_max_ = 0;
  Stream stream_;
  uint64_t version_ = 0;
  std::map<std::pair<Kind, std::string>, Item> items_;
  std::map<LogId, uint64_t> noted_;
  std::vector<Item> history_;
};

}  // namespace understudy::sim
