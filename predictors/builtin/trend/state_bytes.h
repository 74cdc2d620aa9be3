// Saved states as bytes: fixed-size numbers of this machine's order, each count checked before memory is taken.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace understudy::trend {

class StateWriter {
 public:
  template <class T>
  void Put(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class StateReader {
 public:
  explicit StateReader(std::string_view bytes) : bytes_(bytes) {}
  // False, and zero, at the end of the bytes; then every further one is too.
  template <class T>
  bool Get(T* value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (bytes_.size() < sizeof *value) {
      bytes_ = {};
      *value = T{};
      return false;
    }
    std::memcpy(value, bytes_.data(), sizeof *value);
    bytes_.remove_prefix(sizeof *value);
    return true;
  }
  bool GetBool(bool* value) {
    uint8_t byte = 0;
    const bool ok = Get(&byte) && byte <= 1;
    *value = byte == 1;
    return ok;
  }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

}  // namespace understudy::trend
