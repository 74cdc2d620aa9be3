// Keeps score: each forecast is a question that its horizon or an outcome answers, and the answers calibrate. Pure; one
// thread at a time. Times are milliseconds of one monotonic clock of the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "predictors/host/predictor_host.h"

namespace understudy::ensemble {

class Scorebook {
 public:
  // An answered question, of forecasts in the shadow too.
  struct Answer {
    std::string predictor;
    int64_t horizon_ms = 0;
    double said = 0;
    enum Kind { kFailed, kSurvived, kCensored } kind = kSurvived;
  };
  using Sink = std::function<void(const Answer&)>;
  explicit Scorebook(Sink sink) : sink_(std::move(sink)) {}

  // Takes what the predictors of a primary say now. Of each predictor and horizon one question a bin of probability is
  // open at a time, so that those of a minute-long warning count once and not sixty times. That the primary is still
  // there and watched settles the questions whose horizon has passed: it survived.
  void Observe(const std::string& primary, const std::vector<Forecast>& forecasts, int64_t now_ms);
  // What came of it. FAILED and DEGRADED answer the questions still open whose horizon has not passed; MOVED leaves
  // them unanswered for good; QUIET says nothing the horizons do not say themselves.
  void Outcome(const std::string& primary, OutcomeKind kind, int64_t now_ms);
  // It is watched no more, or another process is: open questions are dropped.
  void Forget(const std::string& primary) { open_.erase(primary); }
  void ForgetAll() { open_.clear(); }

  size_t open(const std::string& primary) const;

 private:
  struct Question {
    std::string predictor;
    int64_t horizon_ms = 0;
    double said = 0;
    int bin = 0;
    int64_t until_ms = 0;
  };
  static constexpr size_t kQuestionsMax = 1024;  // of one primary
  Sink sink_;
  std::map<std::string, std::vector<Question>> open_;
};

}  // namespace understudy::ensemble
