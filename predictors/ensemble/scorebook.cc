#include "predictors/ensemble/scorebook.h"

#include <algorithm>
#include <utility>

#include "predictors/ensemble/calibration.h"

namespace understudy::ensemble {

void Scorebook::Observe(const std::string& primary, const std::vector<Forecast>& forecasts, int64_t now_ms) {
  std::vector<Question>& open = open_[primary];
  std::erase_if(open, [&](const Question& question) {
    if (now_ms < question.until_ms) return false;
    sink_({question.predictor, question.horizon_ms, question.said, Answer::kSurvived});
    return true;
  });
  for (const Forecast& forecast : forecasts) {
    if (forecast.status != ForecastStatus::kOk || open.size() >= kQuestionsMax) continue;
    const int bin = Calibration::BinOf(forecast.probability);
    const bool asked = std::any_of(open.begin(), open.end(), [&](const Question& question) {
      return question.bin == bin && question.horizon_ms == forecast.horizon_ms &&
             question.predictor == forecast.predictor;
    });
    if (asked) continue;
    open.push_back({forecast.predictor, forecast.horizon_ms, forecast.probability, bin, now_ms + forecast.horizon_ms});
  }
  if (open.empty()) open_.erase(primary);
}

void Scorebook::Outcome(const std::string& primary, OutcomeKind kind, int64_t now_ms) {
  if (kind == OutcomeKind::kQuiet) return;
  const auto found = open_.find(primary);
  if (found == open_.end()) return;
  const std::vector<Question> questions = std::move(found->second);
  open_.erase(found);
  const bool moved = kind == OutcomeKind::kMoved;
  for (const Question& question : questions) {
    // A horizon that passed before the outcome was survived, whether or not anybody looked in between.
    const Answer::Kind answer = now_ms >= question.until_ms ? Answer::kSurvived
                                : moved                     ? Answer::kCensored
                                                            : Answer::kFailed;
    sink_({question.predictor, question.horizon_ms, question.said, answer});
  }
}

size_t Scorebook::open(const std::string& primary) const {
  const auto found = open_.find(primary);
  return found == open_.end() ? 0 : found->second.size();
}

}  // namespace understudy::ensemble
