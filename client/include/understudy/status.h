// Status and Result<T>: what operation can bring, as a value. No exception crosses our interfaces.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "understudy/check.h"

namespace understudy {

enum class StatusCode : int {
  kOk = 0,
  kInvalidArgument = 1,    // the caller's request can never succeed as it stands
  kNotFound = 2,           // no such log, service, node, key, checkpoint
  kAlreadyExists = 3,      //
  kFailedPrecondition = 4, // not in this state; the message says which state is needed
  kFenced = 5,             // another writer has taken the epoch over. For an append: outcome unknown
  kGap = 6,                // a batch beyond the replica's tail; it names the tail
  kConflict = 7,           // a CAS lost, or a duplicate with other bytes (a bug, loud)
  kWrongDisk = 8,          // the message named a disk this server does not hold
  kDataUnknown = 9,        // corrupt, retired or unreadable: never to be taken for "absent"
  kTrimmed = 10,           // below the trim LSN
  kShort = 11,             // this replica does not hold it (yet); never means "end"
  kDataLoss = 12,          // an operator accepted a loss; the range is named
  kResourceExhausted = 13, // disk full, quota, buffer bound reached
  kUnavailable = 14,       // not reachable now; trying again may succeed
  kDeadlineExceeded = 15,  //
  kCancelled = 16,         // given up by this side (shutdown)
  kOutcomeUnknown = 17,    // a lost reply: it may or may not have happened
  kIoError = 18,           // the operating system refused; the message has path and errno
  kCorruption = 19,        // stored or received bytes fail their checksum or grammar
  kForeignCluster = 20,    // the peer belongs to another cluster
  kUnsupported = 21,       // protocol or format version not understood
  kInternal = 22,          //
};

std::string_view StatusCodeName(StatusCode code);

// Cheap when OK (no allocation). Copyable, movable; not shared between threads without a lock.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // "kFenced: epoch 4 of log 12 is sealed", for people.
  std::string ToString() const;
  // The same error with `context` in front: "opening /data/journal: No space left on device".
  Status WithContext(std::string_view context) const;

  friend bool operator==(const Status&, const Status&) = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit, so that `return value;` works
  Result(Status status) : status_(std::move(status)) { UNDERSTUDY_CHECK(!status_.ok()); }  // NOLINT

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  const T& value() const& { UNDERSTUDY_CHECK(ok()); return *value_; }
  T& value() & { UNDERSTUDY_CHECK(ok()); return *value_; }
  T&& value() && { UNDERSTUDY_CHECK(ok()); return *std::move(value_); }
  const T& operator*() const& { return value(); }
  T& operator*() & { return value(); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace understudy

#define UNDERSTUDY_RETURN_IF_ERROR(expression)                       \
  do {                                                               \
    if (::understudy::Status status_ = (expression); !status_.ok()) { \
      return status_;                                                \
    }                                                                \
  } while (false)
