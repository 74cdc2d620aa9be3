#include "log/rpc/output_queue.h"

#include <cstring>
#include <utility>

#include "understudy/check.h"

namespace understudy {

void OutputQueue::Append(const char* bytes, size_t size) {
  if (size == 0) {
    return;
  }
  if (parts_.empty() || parts_.back().owner != nullptr || parts_.back().size + size > kCopiedPartBytesMax) {
    Part& part = parts_.emplace_back();
    part.offset = end_;
    part.copied = std::move(spare_);
    part.copied.clear();
    spare_ = std::string();
  }
  Part& part = parts_.back();
  part.copied.append(bytes, size);
  part.size += size;
  end_ += size;
}

void OutputQueue::AppendShared(std::shared_ptr<const void> owner, const char* bytes, size_t size) {
  if (size == 0) {
    return;
  }
  Part& part = parts_.emplace_back();
  part.offset = end_;
  part.owner = std::move(owner);
  part.shared = bytes;
  part.size = size;
  end_ += size;
}

void OutputQueue::AppendAll(OutputQueue&& other) {
  UNDERSTUDY_CHECK(other.consumed_ == 0);
  for (Part& part : other.parts_) {
    part.offset = end_;
    end_ += part.size;
    parts_.push_back(std::move(part));
  }
  other = OutputQueue();
}

void OutputQueue::Patch32(uint64_t offset, uint32_t value) {
  const unsigned char bytes[4] = {static_cast<unsigned char>(value >> 24), static_cast<unsigned char>(value >> 16),
                                  static_cast<unsigned char>(value >> 8), static_cast<unsigned char>(value)};
  // Appended in one call, so they lie in one part: near the end.
  for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
    if (part->offset <= offset) {
      UNDERSTUDY_CHECK(part->owner == nullptr && offset - part->offset + sizeof bytes <= part->size);
      std::memcpy(part->copied.data() + (offset - part->offset), bytes, sizeof bytes);
      return;
    }
  }
  UNDERSTUDY_CHECK(false);
}

void OutputQueue::TruncateTo(uint64_t offset) {
  UNDERSTUDY_CHECK(offset >= consumed_ && offset <= end_);
  while (!parts_.empty() && parts_.back().offset >= offset) {
    parts_.pop_back();
  }
  if (!parts_.empty()) {
    Part& part = parts_.back();
    part.size = static_cast<size_t>(offset - part.offset);
    if (part.owner == nullptr) {
      part.copied.resize(part.size);
    }
  }
  end_ = offset;
}

int OutputQueue::Fill(iovec* parts, int parts_max) const {
  int count = 0;
  for (const Part& part : parts_) {
    if (count == parts_max) {
      break;
    }
    const size_t skip = part.offset < consumed_ ? static_cast<size_t>(consumed_ - part.offset) : 0;
    parts[count].iov_base = const_cast<char*>(part.data() + skip);
    parts[count].iov_len = part.size - skip;
    ++count;
  }
  return count;
}

void OutputQueue::Consume(size_t size) {
  UNDERSTUDY_CHECK(size <= bytes());
  consumed_ += size;
  while (!parts_.empty() && parts_.front().offset + parts_.front().size <= consumed_) {
    if (parts_.front().owner == nullptr && parts_.front().copied.capacity() <= 2 * kCopiedPartBytesMax) {
      spare_ = std::move(parts_.front().copied);
    }
    parts_.pop_front();
  }
}

}  // namespace understudy
