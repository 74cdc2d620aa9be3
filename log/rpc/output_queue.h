// Bytes on their way to a socket. Small ones are copied together, large ones are referred to where they lie.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

namespace understudy {

// One thread at a time.
class OutputQueue {
 public:
  // From this size on it is cheaper to refer than to copy.
  static constexpr size_t kShareBytesMin = 8192;

  void Append(const char* bytes, size_t size);
  // `owner` keeps the bytes in place until they are consumed.
  void AppendShared(std::shared_ptr<const void> owner, const char* bytes, size_t size);

  void AppendAll(OutputQueue&& other);  // what `other` holds, without copying

  // The end of the stream so far, counted from its beginning; and how much of it was consumed.
  uint64_t end_offset() const { return end_; }
  uint64_t consumed_offset() const { return consumed_; }
  size_t bytes() const { return static_cast<size_t>(end_ - consumed_); }
  bool empty() const { return end_ == consumed_; }

  // Overwrites four bytes that were appended (copied) at `offset` and are not consumed: a length known only afterwards.
  void Patch32(uint64_t offset, uint32_t big_endian);
  void TruncateTo(uint64_t offset);  // takes back what was appended since

  int Fill(iovec* parts, int parts_max) const;
  void Consume(size_t size);

 private:
  struct Part {
    uint64_t offset = 0;  // in the stream
    std::string copied;   // or:
    std::shared_ptr<const void> owner;
    const char* shared = nullptr;
    size_t size = 0;
    const char* data() const { return owner != nullptr ? shared : copied.data(); }
  };
  static constexpr size_t kCopiedPartBytesMax = 256u << 10;

  std::deque<Part> parts_;
  std::string spare_;  // the last copied part's memory, to be used again
  uint64_t end_ = 0;
  uint64_t consumed_ = 0;
};

}  // namespace understudy
