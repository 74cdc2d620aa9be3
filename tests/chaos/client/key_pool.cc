#include "tests/chaos/client/key_pool.h"

#include <utility>

namespace understudy::chaos {

namespace {

constexpr int kUsesMax = 150;
constexpr int kUnknownMax = 8;

}  // namespace

KeyPool::KeyPool(std::string prefix) : prefix_(std::move(prefix)) {
  for (const KeyKind kind :
       {KeyKind::kRegister, KeyKind::kRegister, KeyKind::kCounter, KeyKind::kList, KeyKind::kList}) {
    slots_.push_back({kind, {}, {}});
    Renew(&slots_.back());
  }
}

void KeyPool::Renew(Slot* slot) {
  const char* letter = slot->kind == KeyKind::kRegister ? "r" : slot->kind == KeyKind::kCounter ? "c" : "l";
  slot->key = prefix_ + letter + std::to_string(all_.size());
  slot->last_seen.clear();
  slot->uses = 0;
  slot->unknown = 0;
  all_.push_back({0, slot->kind, slot->key, {}});
}

KeyUse KeyPool::Pick(uint64_t random) {
  const std::lock_guard guard(mutex_);
  const size_t index = random % slots_.size();
  Slot& slot = slots_[index];
  if (++slot.uses > kUsesMax) {
    Renew(&slot);
  }
  return {index, slot.kind, slot.key, slot.last_seen};
}

void KeyPool::Seen(const KeyUse& use, const std::string& value) {
  const std::lock_guard guard(mutex_);
  if (slots_[use.slot].key == use.key) {
    slots_[use.slot].last_seen = value;
  }
}

void KeyPool::Unknown(const KeyUse& use) {
  const std::lock_guard guard(mutex_);
  Slot& slot = slots_[use.slot];
  if (slot.key == use.key && ++slot.unknown >= kUnknownMax) {
    Renew(&slot);
  }
}

std::vector<KeyUse> KeyPool::AllKeys() const {
  const std::lock_guard guard(mutex_);
  return all_;
}

}  // namespace understudy::chaos
