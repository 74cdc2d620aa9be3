#include "log/rpc/thrift_codec.h"

namespace understudy::rpc_internal {

namespace {

// The compact protocol's bound cannot be changed from frame to frame. It keeps one buffer of at most this size.
constexpr int32_t kStringBytesMax = 16'000'000;

}  // namespace

std::optional<Encoding> EncodingOf(std::string_view frame) {
  if (frame.empty()) {
    return std::nullopt;
  }
  switch (static_cast<unsigned char>(frame[0])) {
    case 0x80:
      return Encoding::kBinary;
    case 0x82:
      return Encoding::kCompact;
    default:
      return std::nullopt;
  }
}

MessageHead ReadHead(tp::TProtocol* in) {
  MessageHead head;
  tp::TMessageType type = tp::T_CALL;
  in->readMessageBegin(head.name, type, head.seqid);
  static_assert(sizeof type == sizeof head.type);
  std::memcpy(&head.type, &type, sizeof type);  // not to be looked at as the enum before it is known to be one
  return head;
}

Codec::Codec()
    : reader_(std::make_shared<FrameReader>()),
      writer_(std::make_shared<QueueWriter>()),
      binary_in_(reader_, 0, kContainerSizeMax, true, true),
      compact_in_(reader_, kStringBytesMax, kContainerSizeMax),
      binary_out_(writer_),
      compact_out_(writer_) {}

tp::TProtocol* Codec::Reader(Encoding encoding, std::string_view frame) {
  reader_->Reset(frame);
  if (encoding == Encoding::kBinary) {
    // No string is longer than its frame: this is looked at before memory is taken for it.
    binary_in_.setStringSizeLimit(static_cast<int32_t>(frame.size()));
    return &binary_in_;
  }
  return &compact_in_;
}

tp::TProtocol* Codec::Writer(Encoding encoding, OutputQueue* queue, std::shared_ptr<const void> owner) {
  writer_->Reset(queue, std::move(owner));
  if (encoding == Encoding::kBinary) {
    return &binary_out_;
  }
  return &compact_out_;
}

}  // namespace understudy::rpc_internal
