// Between the core and the predictors: samples of the node that runs a primary go in, forecasts come out, off the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/rpc/event_loop.h"
#include "predictors/ensemble/scorebook.h"
#include "predictors/host/predictor_host.h"
#include "server/coordinator/calibration_store.h"
#include "server/coordinator/core/core.h"
#include "server/coordinator/status_document.h"

namespace understudy::coordinator {

// Strand held for every call and callback. Nothing is called back after Stop.
class Forecaster : public std::enable_shared_from_this<Forecaster> {
 public:
  static constexpr int64_t kPredictIntervalMs = 200;  // at most so often, however often samples come
  static constexpr int64_t kHorizonsMs[] = {10'000, 60'000, 300'000, 3'600'000};
  static constexpr size_t kAlertsMax = 256;

  // `host` may be null: then there are no forecasts.
  // `calibrations`: what is learnt of the predictors, fed and asked by this.
  Forecaster(EventLoop* loop, std::unique_ptr<PredictorHost> host, std::shared_ptr<CalibrationStore> calibrations,
             std::function<void(const ForecastsArrived&)> forecasts, std::function<void(const Event&)> alert);

  void Start();
  void Stop();
  // Not yet over, at most kAlertsMax.
  std::vector<Alert> alerts() const;
  // This coordinator leads no more: what was observed is forgotten.
  void Rest();
  // After every step of the core: services may have come, gone or changed their predictors.
  void Follow(const Core& core);
  void Observe(const Core& core, const AgentReport& report);
  void Reset(const PredictorReset& reset);
  void Feedback(const PredictorFeedback& feedback);
  // Are these predictors there, and do they take their configuration? Names the entry that is wrong.
  void Check(const std::vector<PredictorSpec>& specs, std::function<void(Status)> done);

 private:
  void Predict();
  void Arrived(const std::string& service, std::vector<Forecast> forecasts);
  void CheckNext(std::shared_ptr<std::vector<PredictorSpec>> specs, size_t index, std::function<void(Status)> done);

  EventLoop* const loop_;
  std::unique_ptr<PredictorHost> host_;
  const std::shared_ptr<CalibrationStore> calibrations_;
  ensemble::Scorebook scores_;
  const std::function<void(const ForecastsArrived&)> forecasts_;
  const std::function<void(const Event&)> alert_;
  std::map<std::pair<std::string, std::string>, Alert> alerts_;  // by plugin and service
  std::map<std::string, uint64_t> configured_;                   // service -> version of its spec
  uint64_t followed_ = 0;  // Core::specs_changed() as of the last look
  bool asking_ = false;
  bool wanted_ = false;  // samples came since the last question
  Instant asked_at_;
  bool stopped_ = false;
};

}  // namespace understudy::coordinator
