#include "log/rpc/frame_buffer.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "understudy/check.h"

namespace understudy {

namespace {

constexpr size_t kHeaderBytes = 4;
constexpr int kSmallFillsMax = 256;
constexpr size_t kGrowAlwaysBelow = 256u << 10;

}  // namespace

char* FrameBuffer::Space(size_t* size) {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (small_fills_ >= kSmallFillsMax && capacity_ > kStartBytes) {
      Reallocate(std::max(kStartBytes, capacity_ / 8));
      small_fills_ = 0;
    }
  }
  if (capacity_ == 0) {
    Reallocate(kStartBytes);
  }
  const size_t have = end_ - begin_;
  const bool fits = frame_size_ <= capacity_ - begin_ && end_ < capacity_;
  if (!fits) {
    // Move to the front when that gives enough room; else grow, at most to twice of what was received.
    if (frame_size_ <= capacity_ && have <= capacity_ / 2) {
      std::memmove(data_.get(), data_.get() + begin_, have);
      begin_ = 0;
      end_ = have;
    } else {
      Reallocate(std::max(capacity_, 2 * have));
    }
  }
  *size = capacity_ - end_;
  return data_.get() + end_;
}

void FrameBuffer::Received(size_t size) {
  UNDERSTUDY_CHECK(size <= capacity_ - end_);
  // Received to the brim while the buffer is small: more is coming than it holds, so the next pass takes more at once.
  const bool brim = end_ + size == capacity_;
  end_ += size;
  if (brim && capacity_ < kGrowAlwaysBelow) {
    Reallocate(2 * capacity_);
  }
  small_fills_ = end_ - begin_ < capacity_ / 8 ? small_fills_ + 1 : 0;
}

Result<std::optional<std::string_view>> FrameBuffer::Next(size_t frame_bytes_max) {
  frame_size_ = 0;
  if (end_ - begin_ < kHeaderBytes) {
    return std::optional<std::string_view>();
  }
  const auto* at = reinterpret_cast<const unsigned char*>(data_.get() + begin_);
  const size_t length = size_t{at[0]} << 24 | size_t{at[1]} << 16 | size_t{at[2]} << 8 | size_t{at[3]};
  if (length > frame_bytes_max) {
    return Status(StatusCode::kInvalidArgument,
                  "a frame of " + std::to_string(length) + " bytes; at most " + std::to_string(frame_bytes_max));
  }
  if (length > end_ - begin_ - kHeaderBytes) {
    frame_size_ = kHeaderBytes + length;
    return std::optional<std::string_view>();
  }
  std::string_view frame(data_.get() + begin_ + kHeaderBytes, length);
  begin_ += kHeaderBytes + length;
  return std::optional(frame);
}

void FrameBuffer::Reallocate(size_t capacity) {
  auto data = std::make_unique_for_overwrite<char[]>(capacity);
  const size_t have = end_ - begin_;
  if (have > 0) {
    std::memcpy(data.get(), data_.get() + begin_, have);
  }
  data_ = std::move(data);
  capacity_ = capacity;
  begin_ = 0;
  end_ = have;
}

}  // namespace understudy
