#include "predictors/builtin/trend/learned.h"

#include <algorithm>
#include <cmath>

#include "predictors/stats/quantiles.h"

namespace understudy::trend {
namespace {

void Raise(std::optional<double>* level, double value) {
  *level = level->has_value() ? std::max(**level, value) : value;
}

void PutOptional(StateWriter* out, const std::optional<double>& value) {
  out->Put(static_cast<uint8_t>(value.has_value()));
  out->Put(value.value_or(0));
}

bool GetOptional(StateReader* in, std::optional<double>* value) {
  bool has = false;
  double number = 0;
  if (!in->GetBool(&has) || !in->Get(&number) || !std::isfinite(number)) return false;
  value->reset();
  if (has) *value = number;
  return true;
}

}  // namespace

void LearnedLimit::Survived(double level) {
  Raise(&survived_, level);
  std::erase_if(failures_, [&](double failure) { return failure < *survived_; });
}

void LearnedLimit::Observe(double value) {
  last_ = value;
  Raise(&block_, value);
  if (++in_block_ < kBlock) return;
  if (previous_) Survived(*previous_);
  previous_ = block_;
  block_.reset();
  in_block_ = 0;
}

void LearnedLimit::Failed() {
  if (last_ && (!survived_ || *last_ > *survived_)) {
    if (failures_.size() == kFailuresMax) failures_.erase(failures_.begin());
    failures_.push_back(*last_);
  }
  last_.reset();  // one failure is learned from once
  previous_.reset();
  block_.reset();
  in_block_ = 0;
}

void LearnedLimit::Ended() {
  previous_.reset();
  block_.reset();
  in_block_ = 0;
}

std::optional<double> LearnedLimit::limit() const {
  if (failures_.empty()) return std::nullopt;
  std::vector<double> copy = failures_;
  return stats::Median(copy);
}

void LearnedLimit::Save(StateWriter* out) const {
  out->Put(static_cast<uint32_t>(failures_.size()));
  for (const double failure : failures_) out->Put(failure);
  for (const auto* value : {&survived_, &block_, &previous_, &last_}) PutOptional(out, *value);
  out->Put(in_block_);
}

bool LearnedLimit::Restore(StateReader* in) {
  uint32_t count = 0;
  if (!in->Get(&count) || count > kFailuresMax) return false;
  failures_.assign(count, 0);
  bool sound = true;
  for (double& failure : failures_) sound = sound && in->Get(&failure) && std::isfinite(failure);
  for (auto* value : {&survived_, &block_, &previous_, &last_}) sound = sound && GetOptional(in, value);
  return sound && in->Get(&in_block_) && in_block_ < kBlock;
}

}  // namespace understudy::trend
