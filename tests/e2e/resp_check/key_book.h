// What a checking client remembers of its writes, and what it may conclude when it reads them back. Values of a key are
// 1, 2, 3, ... No threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace understudy::resp_check {

// One key with the last values that were acknowledged and that may have been written; 0: none.
struct KeyState {
  std::string key;
  uint64_t acknowledged = 0;
  uint64_t maybe = 0;  // above `acknowledged`
};

enum class Verdict {
  kGood,
  kLost,   // an acknowledged write is not there
  kWrong,  // a value that was never written, or refused
};

// Whether reading `value` (nothing: no such key) back is what a store may answer that loses no acknowledged write.
Verdict Judge(const KeyState& state, std::optional<uint64_t> value);

class KeyBook {
 public:
  // `keys` are written round robin, under names that begin with `prefix`.
  KeyBook(std::string prefix, size_t keys);

  struct Write {
    std::string key;
    uint64_t value;
  };
  // The next write. Exactly one of the others follows before the next call.
  Write Next() const;
  void Acknowledged();
  void Refused();  // certainly not done
  // May be done, now or at any later time: this key is never written again, so that a late effect cannot undo a later
  // write; a key of another name takes its place.
  void Unknown();

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t unknown() const { return unknown_; }
  // Every key that was ever written.
  std::vector<KeyState> AllKeys() const;

 private:
  void Advance() { at_ = (at_ + 1) % current_.size(); }

  std::string prefix_;
  std::vector<KeyState> current_;
  std::vector<KeyState> retired_;
  size_t at_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t unknown_ = 0;
};

}  // namespace understudy::resp_check
