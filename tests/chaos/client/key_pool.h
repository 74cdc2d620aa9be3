// The keys that all connections of a service work on. A key is used for a while and then replaced by a fresh one: its
// history stays short enough to be judged, and few operations of unknown outcome hang over it. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "log/env/random.h"

namespace understudy::chaos {

enum class KeyKind { kRegister, kCounter, kList };

struct KeyUse {
  size_t slot = 0;
  KeyKind kind = KeyKind::kRegister;
  std::string key;
  std::string last_seen;  // a value that the register had lately; may be empty
};

class KeyPool {
 public:
  // Keys begin with `prefix`.
  explicit KeyPool(std::string prefix);

  KeyUse Pick(uint64_t random);
  void Seen(const KeyUse& use, const std::string& value);
  void Unknown(const KeyUse& use);
  // Every key that was ever used.
  std::vector<KeyUse> AllKeys() const;

 private:
  struct Slot {
    KeyKind kind;
    std::string key;
    std::string last_seen;
    int uses = 0;
    int unknown = 0;
  };
  void Renew(Slot* slot);

  const std::string prefix_;
  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<KeyUse> all_;
};

}  // namespace understudy::chaos
