#include "understudy/status.h"

namespace understudy {

std::string_view StatusCodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case StatusCode::kNotFound:
      return "NOT_FOUND";
    case StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case StatusCode::kFenced:
      return "FENCED";
    case StatusCode::kGap:
      return "GAP";
    case StatusCode::kConflict:
      return "CONFLICT";
    case StatusCode::kWrongDisk:
      return "WRONG_DISK";
    case StatusCode::kDataUnknown:
      return "UNKNOWN";
    case StatusCode::kTrimmed:
      return "TRIMMED";
    case StatusCode::kShort:
      return "SHORT";
    case StatusCode::kDataLoss:
      return "LOSS";
    case StatusCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case StatusCode::kCancelled:
      return "CANCELLED";
    case StatusCode::kOutcomeUnknown:
      return "OUTCOME_UNKNOWN";
    case StatusCode::kIoError:
      return "IO_ERROR";
    case StatusCode::kCorruption:
      return "CORRUPTION";
    case StatusCode::kForeignCluster:
      return "FOREIGN_CLUSTER";
    case StatusCode::kUnsupported:
      return "UNSUPPORTED";
    case StatusCode::kInternal:
      return "INTERNAL";
  }
  return "INVALID_STATUS_CODE";
}

std::string Status::ToString() const {
  if (message_.empty()) return std::string(StatusCodeName(code_));
  return std::string(StatusCodeName(code_)) + ": " + message_;
}

Status Status::WithContext(std::string_view context) const {
  if (ok()) return *this;
  return {code_, std::string(context) + ": " + message_};
}

}  // namespace understudy
