#include "server/coordinator/calibration_store.h"

#include <utility>

#include "log/env/logging.h"

namespace understudy::coordinator {

std::string CalibrationStore::Key(const std::string& predictor) const {
  std::string name = predictor;  // a plugin given as a path: its slashes would make folders
  for (char& c : name) c = c == '/' ? '_' : c;
  if (name.size() > 256) name = name.substr(name.size() - 256);
  return PredictorKey(cluster_, name);
}

CalibrationStore::Entry* CalibrationStore::Of(const std::string& predictor) {
  const auto found = entries_.find(predictor);
  if (found != entries_.end()) return &found->second;
  if (!leads_ || entries_.size() >= kPredictorsMax) return nullptr;
  Entry* entry = &entries_[predictor];
  Read(predictor);
  return entry;
}

void CalibrationStore::Begin() {
  ++terms_;
  leads_ = true;
  armed_ = false;
  entries_.clear();
}

void CalibrationStore::Rest() {
  if (leads_) Flush();
  ++terms_;
  leads_ = false;
  entries_.clear();
}

const ensemble::Calibration* CalibrationStore::Find(const std::string& predictor) {
  const Entry* entry = Of(predictor);
  return entry == nullptr ? nullptr : &entry->total;
}

void CalibrationStore::Record(const std::string& predictor, int64_t horizon_ms, double said, bool failed) {
  Entry* entry = Of(predictor);
  if (entry == nullptr) return;
  entry->total.Record(horizon_ms, said, failed);
  entry->delta.Record(horizon_ms, said, failed);
  Arm(kWriteDelayMs);
}

void CalibrationStore::RecordCensored(const std::string& predictor, int64_t horizon_ms) {
  Entry* entry = Of(predictor);
  if (entry == nullptr) return;
  entry->total.RecordCensored(horizon_ms);
  entry->delta.RecordCensored(horizon_ms);
  Arm(kWriteDelayMs);
}

void CalibrationStore::Read(const std::string& predictor) {
  entries_[predictor].busy = true;
  store_->Get(Key(predictor), [weak = weak_from_this(), loop = loop_, term = terms_,
                               predictor](Result<std::optional<MetadataEntry>> result) {
    loop->Post([weak, term, predictor, result = std::move(result)] {
      auto self = weak.lock();
      if (self != nullptr && self->leads_ && self->terms_ == term) self->OnRead(predictor, result);
    });
  });
}

void CalibrationStore::OnRead(const std::string& predictor, const Result<std::optional<MetadataEntry>>& result) {
  Entry& entry = entries_[predictor];
  entry.busy = false;
  if (!result.ok()) return Arm(kRetryMs);
  ensemble::Calibration stored;
  entry.version = 0;
  if (const std::optional<MetadataEntry>& found = *result; found.has_value()) {
    entry.version = found->version;
    Result<ensemble::Calibration> decoded = ensemble::Calibration::Decode(found->value);
    if (decoded.ok()) {
      stored = std::move(decoded).value();
    } else {  // it is written over by what is learnt from now on
      LogWarning("coordinator", found->key + ": " + decoded.status().message());
    }
  }
  // A write whose answer was lost may have landed: then its part is in what was read, and must not count twice.
  ensemble::Calibration written = entry.stored;
  written.Add(entry.sent);
  if (!entry.sent.empty() && stored == written) entry.sent = {};
  entry.delta.Add(std::exchange(entry.sent, {}));
  entry.stored = std::move(stored);
  entry.total = entry.stored;
  entry.total.Add(entry.delta);
  entry.read = true;
  if (!entry.delta.empty()) Arm(kRetryMs);
}

void CalibrationStore::Write(const std::string& predictor) {
  Entry& entry = entries_[predictor];
  entry.busy = true;
  entry.sent = std::exchange(entry.delta, {});
  ensemble::Calibration value = entry.stored;
  value.Add(entry.sent);
  store_->CompareAndSwap(Key(predictor), entry.version, value.Encode(),
                         [weak = weak_from_this(), loop = loop_, term = terms_, predictor](Result<uint64_t> result) {
                           loop->Post([weak, term, predictor, result = std::move(result)] {
                             auto self = weak.lock();
                             if (self != nullptr && self->leads_ && self->terms_ == term)
                               self->OnWritten(predictor, result);
                           });
                         });
}

void CalibrationStore::OnWritten(const std::string& predictor, const Result<uint64_t>& result) {
  Entry& entry = entries_[predictor];
  entry.busy = false;
  if (result.ok()) {
    entry.version = *result;
    entry.stored.Add(std::exchange(entry.sent, {}));
    return;
  }
  entry.read = false;  // another value is there, or ours may be: look
  Read(predictor);
}

void CalibrationStore::Arm(int64_t delay_ms) {
  if (armed_ || !leads_) return;
  armed_ = true;
  loop_->At(loop_->clock()->Now() + delay_ms * kNsPerMs, [weak = weak_from_this(), term = terms_] {
    auto self = weak.lock();
    if (self == nullptr || !self->leads_ || self->terms_ != term) return;
    self->armed_ = false;
    self->Flush();
  });
}

void CalibrationStore::Flush() {
  for (auto& [predictor, entry] : entries_) {
    if (entry.busy) {
      if (!entry.delta.empty()) Arm(kRetryMs);
    } else if (!entry.read) {
      Read(predictor);
    } else if (!entry.delta.empty()) {
      Write(predictor);
    }
  }
}

}  // namespace understudy::coordinator
