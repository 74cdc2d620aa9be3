// Received bytes, cut into frames: a 4-byte big-endian length, then so many bytes. Memory grows with what was really
// received, never with what a length announces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "understudy/status.h"

namespace understudy {

// One thread at a time.
class FrameBuffer {
 public:
  static constexpr size_t kStartBytes = 16u << 10;

  // Room to receive into, at least 1 byte; valid until the next call of a non-const method.
  char* Space(size_t* size);
  void Received(size_t size);

  // The next whole frame's bytes, valid until Space is called; nothing when more must be received first.
  // kInvalidArgument for a frame longer than `frame_bytes_max`, as soon as its length is known.
  Result<std::optional<std::string_view>> Next(size_t frame_bytes_max);

  size_t bytes() const { return end_ - begin_; }  // received, not yet handed out
  size_t capacity() const { return capacity_; }

 private:
  void Reallocate(size_t capacity);

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t frame_size_ = 0;  // of the frame that begins at begin_, header included, once it is known to be incomplete
  int small_fills_ = 0;    // in a row, that would have fitted into a much smaller buffer
};

}  // namespace understudy
