// What is learnt of each predictor, in the metadata under predictors/<name>: read when this coordinator begins to lead,
// written now and then while it does. Another leader goes on from there.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "log/metadata/metadata_store.h"
#include "log/rpc/event_loop.h"
#include "predictors/ensemble/calibration.h"

namespace understudy::coordinator {

// Strand held for every call. Nothing is called back after Rest; answers that come later are dropped.
class CalibrationStore : public std::enable_shared_from_this<CalibrationStore> {
 public:
  static constexpr int64_t kWriteDelayMs = 30'000;  // from an outcome to its write; outcomes between go along
  static constexpr int64_t kRetryMs = 2000;
  static constexpr size_t kPredictorsMax = 256;

  CalibrationStore(EventLoop* loop, MetadataStore* store, std::string cluster)
      : loop_(loop), store_(store), cluster_(std::move(cluster)) {}

  // This coordinator leads; outcomes may be recorded at once, what was known before them is added when it is read.
  void Begin();
  // It leads no more. What was not written yet is written now; nobody waits for it.
  void Rest();

  // What is known so far, perhaps nothing; it is read when it is first asked for. Null while this does not lead, and
  // beyond kPredictorsMax predictors. Valid until the next call.
  const ensemble::Calibration* Find(const std::string& predictor);

  void Record(const std::string& predictor, int64_t horizon_ms, double said, bool failed);
  void RecordCensored(const std::string& predictor, int64_t horizon_ms);

 private:
  struct Entry {
    ensemble::Calibration total;   // what is used: stored and delta
    ensemble::Calibration stored;  // as last read or written
    ensemble::Calibration delta;   // recorded since
    ensemble::Calibration sent;    // the part of it that is being written
    uint64_t version = 0;
    bool read = false;
    bool busy = false;  // a read or a write is under way
  };
  std::string Key(const std::string& predictor) const;
  // Null when there are too many.
  Entry* Of(const std::string& predictor);
  void Read(const std::string& predictor);
  void OnRead(const std::string& predictor, const Result<std::optional<MetadataEntry>>& result);
  void Write(const std::string& predictor);
  void OnWritten(const std::string& predictor, const Result<uint64_t>& result);
  void Arm(int64_t delay_ms);
  void Flush();

  EventLoop* const loop_;
  MetadataStore* const store_;
  const std::string cluster_;
  std::map<std::string, Entry> entries_;
  uint64_t terms_ = 0;  // Begin and Rest so far: answers of an earlier one are dropped
  bool leads_ = false;
  bool armed_ = false;
};

}  // namespace understudy::coordinator
