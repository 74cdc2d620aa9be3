#include "server/coordinator/forecaster.h"

#include <iterator>
#include <utility>

#include "predictors/ensemble/combine.h"

namespace understudy::coordinator {

Forecaster::Forecaster(EventLoop* loop, std::unique_ptr<PredictorHost> host,
                       std::shared_ptr<CalibrationStore> calibrations,
                       std::function<void(const ForecastsArrived&)> forecasts, std::function<void(const Event&)> alert)
    : loop_(loop),
      host_(std::move(host)),
      calibrations_(std::move(calibrations)),
      scores_([this](const ensemble::Scorebook::Answer& answer) {
        using Kind = ensemble::Scorebook::Answer::Kind;
        if (answer.kind == Kind::kCensored) return calibrations_->RecordCensored(answer.predictor, answer.horizon_ms);
        calibrations_->Record(answer.predictor, answer.horizon_ms, answer.said, answer.kind == Kind::kFailed);
      }),
      forecasts_(std::move(forecasts)),
      alert_(std::move(alert)) {}

void Forecaster::Start() {
  if (host_ == nullptr) return;
  host_->SetOnAlert([weak = weak_from_this(), loop = loop_](PredictorAlert alert) {
    loop->Post([weak, loop, alert = std::move(alert)] {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_) return;
      const auto key = std::make_pair(alert.plugin, alert.primary);
      if (alert.resolved) {
        self->alerts_.erase(key);
      } else if (self->alerts_.size() < kAlertsMax || self->alerts_.count(key) > 0) {
        self->alerts_[key] = {loop->clock()->WallUnixMs(), alert.plugin, alert.primary, alert.text};
      }
      Event event;
      event.kind = alert.resolved ? "predictor_recovered" : "predictor_alert";
      event.service = alert.primary;
      event.text = alert.plugin + ": " + alert.text;
      event.details.emplace_back("predictor", alert.plugin);
      self->alert_(event);
    });
  });
}

void Forecaster::Stop() {
  stopped_ = true;
  host_.reset();  // its callbacks only post
}

std::vector<Alert> Forecaster::alerts() const {
  std::vector<Alert> out;
  for (const auto& [key, alert] : alerts_) out.push_back(alert);
  return out;
}

void Forecaster::Follow(const Core& core) {
  if (host_ == nullptr || !core.loaded() || followed_ == core.specs_changed()) return;
  followed_ = core.specs_changed();
  for (auto it = configured_.begin(); it != configured_.end();) {
    if (core.services().count(it->first) > 0) {
      ++it;
      continue;
    }
    host_->Configure(it->first, {});
    scores_.Forget(it->first);
    it = configured_.erase(it);
  }
  for (const auto& [name, service] : core.services()) {
    uint64_t& version = configured_[name];
    if (version == service.spec_version) continue;
    version = service.spec_version;
    host_->Configure(name, service.spec.removed ? std::vector<PredictorSpec>() : service.spec.predictors);
  }
}

void Forecaster::Rest() {
  if (host_ != nullptr) {
    for (const auto& [service, version] : configured_) host_->Configure(service, {});
  }
  configured_.clear();
  followed_ = 0;
  alerts_.clear();
  scores_.ForgetAll();
}

void Forecaster::Observe(const Core& core, const AgentReport& report) {
  if (host_ == nullptr || report.samples.empty()) return;
  for (const std::string& name : core.ServicesOwnedBy(report.node)) {
    if (core.services().at(name).spec.predictors.empty()) continue;
    host_->Observe(name, report.samples, loop_->clock()->Now());
    wanted_ = true;
  }
  if (wanted_) Predict();
}

void Forecaster::Predict() {
  if (asking_ || !wanted_) return;
  const Instant now = loop_->clock()->Now();
  const Instant due = asked_at_ + kPredictIntervalMs * kNsPerMs;
  asking_ = true;
  if (now < due && asked_at_ != Instant()) {
    loop_->At(due, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_) return;
      self->asking_ = false;
      self->Predict();
    });
    return;
  }
  asked_at_ = now;
  wanted_ = false;
  const std::vector<int64_t> horizons_ms(std::begin(kHorizonsMs), std::end(kHorizonsMs));
  host_->Predict(now, horizons_ms, [weak = weak_from_this(), loop = loop_](PredictorHost::Forecasts forecasts) {
    loop->Post([weak, forecasts = std::move(forecasts)] {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_) return;
      self->asking_ = false;
      for (const auto& [service, list] : forecasts) self->Arrived(service, list);
      self->Predict();
    });
  });
}

// What the predictors said, and, as "ensemble", what that comes to after all they have said before.
void Forecaster::Arrived(const std::string& service, std::vector<Forecast> forecasts) {
  scores_.Observe(service, forecasts, loop_->clock()->Now().ns() / kNsPerMs);
  std::vector<Forecast> combined = ensemble::Combine(forecasts, [this](const Forecast& forecast) {
    const ensemble::Calibration* known = calibrations_->Find(forecast.predictor);
    return known == nullptr ? forecast.probability : known->Apply(forecast.horizon_ms, forecast.probability);
  });
  for (Forecast& forecast : combined) forecasts.push_back(std::move(forecast));
  forecasts_({service, std::move(forecasts)});
}

void Forecaster::Reset(const PredictorReset& reset) {
  scores_.Forget(reset.service);  // after the feedback that came with it
  if (host_ != nullptr) host_->Reset(reset.service, reset.why);
}

void Forecaster::Feedback(const PredictorFeedback& feedback) {
  scores_.Outcome(feedback.service, feedback.outcome, loop_->clock()->Now().ns() / kNsPerMs);
  if (host_ != nullptr) {
    host_->Feedback(feedback.service, feedback.outcome, feedback.lead_s, loop_->clock()->Now());
  }
}

void Forecaster::Check(const std::vector<PredictorSpec>& specs, std::function<void(Status)> done) {
  if (host_ == nullptr || specs.empty()) {
    done(Status::Ok());
    return;
  }
  CheckNext(std::make_shared<std::vector<PredictorSpec>>(specs), 0, std::move(done));
}

void Forecaster::CheckNext(std::shared_ptr<std::vector<PredictorSpec>> specs, size_t index,
                           std::function<void(Status)> done) {
  if (index == specs->size()) {
    done(Status::Ok());
    return;
  }
  host_->Check((*specs)[index], [weak = weak_from_this(), loop = loop_, specs, index, done](Status status) {
    loop->Post([weak, specs, index, done, status = std::move(status)] {
      auto self = weak.lock();
      if (self == nullptr || self->stopped_) {
        done(Status(StatusCode::kUnavailable, "the coordinator is stopping"));
      } else if (!status.ok()) {
        done(status.WithContext("service: field 'predictors[" + std::to_string(index) + "]'"));
      } else {
        self->CheckNext(specs, index + 1, done);
      }
    });
  });
}

}  // namespace understudy::coordinator
