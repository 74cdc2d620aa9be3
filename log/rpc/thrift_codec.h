// Thrift's protocols over one received frame and over an OutputQueue. For the .cc files of log/rpc only: the one header
// of ours that includes Thrift's.
#pragma once

#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TVirtualTransport.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "log/rpc/output_queue.h"

namespace understudy::rpc_internal {

namespace tp = apache::thrift::protocol;
namespace tt = apache::thrift::transport;

enum class Encoding : uint8_t { kBinary, kCompact };

// By the first byte of a message; nothing for what begins none.
std::optional<Encoding> EncodingOf(std::string_view frame);

// Elements of one list or map. What Thrift allocates for a list before it has read the elements is bounded by this.
inline constexpr int32_t kContainerSizeMax = 16'384;

// Reads one frame in place. Thrift counts what was consumed of a message and never forgets it on some paths, which ends
// connections after 100 MiB in total; here every frame begins a new count.
class FrameReader : public tt::TVirtualTransport<FrameReader> {
 public:
  void Reset(std::string_view frame) {
    at_ = reinterpret_cast<const uint8_t*>(frame.data());
    left_ = static_cast<uint32_t>(frame.size());
    resetConsumedMessageSize();
    resetConsumedMessageSize(static_cast<int64_t>(frame.size()));
  }
  bool isOpen() const override { return true; }
  uint32_t left() const { return left_; }
  uint32_t read(uint8_t* into, uint32_t size) {
    size = std::min(size, left_);
    std::memcpy(into, at_, size);
    consume(size);
    return size;
  }
  uint32_t readAll(uint8_t* into, uint32_t size) {
    if (size > left_) {
      throw tt::TTransportException(tt::TTransportException::END_OF_FILE, "the frame ends in the middle of a value");
    }
    return read(into, size);
  }
  const uint8_t* borrow(uint8_t*, uint32_t* size) {
    if (*size > left_) {
      return nullptr;
    }
    *size = left_;
    return at_;
  }
  void consume(uint32_t size) {
    at_ += size;
    left_ -= size;
  }

 private:
  const uint8_t* at_ = nullptr;
  uint32_t left_ = 0;
};

// Appends to an OutputQueue. What lies in memory that `owner` keeps is referred to rather than copied when it is large.
class QueueWriter : public tt::TVirtualTransport<QueueWriter> {
 public:
  void Reset(OutputQueue* queue, std::shared_ptr<const void> owner) {
    queue_ = queue;
    owner_ = std::move(owner);
  }
  bool isOpen() const override { return true; }
  void write(const uint8_t* bytes, uint32_t size) {
    const char* at = reinterpret_cast<const char*>(bytes);
    if (size >= OutputQueue::kShareBytesMin && owner_ != nullptr) {
      queue_->AppendShared(owner_, at, size);
    } else {
      queue_->Append(at, size);
    }
  }

 private:
  OutputQueue* queue_ = nullptr;
  std::shared_ptr<const void> owner_;
};

// What a message begins with. The kind is a number as it came, which need not be one of Thrift's.
struct MessageHead {
  std::string name;
  int type = 0;
  int32_t seqid = 0;
};
MessageHead ReadHead(tp::TProtocol* in);

// Both protocols, both ways. One thread at a time; one message at a time.
class Codec {
 public:
  Codec();

  // To read the message in `frame` with.
  tp::TProtocol* Reader(Encoding encoding, std::string_view frame);
  uint32_t unread() const { return reader_->left(); }

  // Appends one message as a frame: `body(protocol)` writes what comes after the message's head. `owner` keeps the
  // large strings of the message (all of at least OutputQueue::kShareBytesMin) until they are sent; null: they are
  // copied. Takes it back and returns false when it is longer than `frame_bytes_max`.
  template <class Body>
  bool Write(Encoding encoding, OutputQueue* queue, std::shared_ptr<const void> owner, const std::string& method,
             tp::TMessageType type, int32_t seqid, size_t frame_bytes_max, Body&& body) {
    const uint64_t start = queue->end_offset();
    queue->Append("\0\0\0\0", 4);
    tp::TProtocol* out = Writer(encoding, queue, std::move(owner));
    out->writeMessageBegin(method, type, seqid);
    std::forward<Body>(body)(out);
    out->writeMessageEnd();
    writer_->Reset(nullptr, nullptr);
    const uint64_t size = queue->end_offset() - start - 4;
    if (size > frame_bytes_max) {
      queue->TruncateTo(start);
      return false;
    }
    queue->Patch32(start, static_cast<uint32_t>(size));
    return true;
  }

 private:
  tp::TProtocol* Writer(Encoding encoding, OutputQueue* queue, std::shared_ptr<const void> owner);

  std::shared_ptr<FrameReader> reader_;
  std::shared_ptr<QueueWriter> writer_;
  tp::TBinaryProtocolT<FrameReader> binary_in_;
  tp::TCompactProtocolT<FrameReader> compact_in_;
  tp::TBinaryProtocolT<QueueWriter> binary_out_;
  tp::TCompactProtocolT<QueueWriter> compact_out_;
};

}  // namespace understudy::rpc_internal
