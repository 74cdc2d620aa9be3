#include "tests/e2e/resp_check/key_book.h"

#include <utility>

namespace understudy::resp_check {

Verdict Judge(const KeyState& state, std::optional<uint64_t> value) {
  const uint64_t read = value.value_or(0);
  if (read < state.acknowledged) {
    return Verdict::kLost;
  }
  return read == state.acknowledged || (state.maybe != 0 && read == state.maybe) ? Verdict::kGood : Verdict::kWrong;
}

KeyBook::KeyBook(std::string prefix, size_t keys) : prefix_(std::move(prefix)) {
  for (size_t i = 0; i < keys; ++i) {
    current_.push_back({prefix_ + std::to_string(i), 0, 0});
  }
}

KeyBook::Write KeyBook::Next() const { return {current_[at_].key, current_[at_].acknowledged + 1}; }

void KeyBook::Acknowledged() {
  ++current_[at_].acknowledged;
  ++acknowledged_;
  Advance();
}

void KeyBook::Refused() {}

void KeyBook::Unknown() {
  ++unknown_;
  KeyState& state = current_[at_];
  state.maybe = state.acknowledged + 1;
  retired_.push_back(state);
  state = {prefix_ + std::to_string(at_) + "." + std::to_string(unknown_), 0, 0};
  Advance();
}

std::vector<KeyState> KeyBook::AllKeys() const {
  std::vector<KeyState> keys = retired_;
  for (const KeyState& state : current_) {
    if (state.acknowledged != 0) {
      keys.push_back(state);
    }
  }
  return keys;
}

}  // namespace understudy::resp_check
