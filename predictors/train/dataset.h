// Traces as rows: the features of a moment, and what came of it. Rows belong to a *life*: the stretch of a trace from
// its beginning, a restart or the end of a failure up to the next failure, restart or the end of the trace.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "predictors/builtin/gbt/features.h"
#include "predictors/trace/trace.h"
#include "predictors/train/options.h"
#include "understudy/status.h"

namespace understudy::train {

// What a row is for.
enum class Part : uint8_t { kTrain, kStop, kCalibrate, kTest, kNone };
inline constexpr size_t kParts = 4;
const char* PartName(Part part);  // "train"

struct Life {
  size_t trace = 0;  // index
  double begin_s = 0, end_s = 0;
  bool failed = false;  // ended by a failure; otherwise nobody knows how long it would have gone on
};

struct Row {
  uint32_t life = 0;
  double time_s = 0;       // in its trace
  double remaining_s = 0;  // to the end of its life: the time to failure, or the least that it can be
  bool failed = false;     // which of the two
  float weight = 1;
  Part part = Part::kNone;
};

struct Dataset {
  gbt::FeatureSpec spec;
  std::vector<double> horizons_s;
  double cap_s = 0;
  std::vector<std::string> trace_names;
  std::vector<Life> lives;
  std::vector<Row> rows;                                       // by trace and time
  std::vector<float> features;                                 // spec.Count() a row
  std::vector<std::array<double, 2>> ranges;                   // a metric, over all rows
  std::vector<std::string> constant_metrics, partial_metrics;  // left out: never change; not in every trace
  std::string hash;                                            // SHA-256 of the traces' numbers, names and events
  size_t failures = 0;                                         // lives that failed
  double interval_s = 0;

  size_t width() const { return spec.Count(); }
  const float* RowFeatures(size_t row) const { return features.data() + row * width(); }
};

// kInvalidArgument names the trace and what is wrong: no failures, another interval than the rest, a metric that is
// missing, nothing that changes.
Result<Dataset> MakeDataset(const std::vector<trace::Trace>& traces, const TrainOptions& options);

// Whether a row says something of a horizon, and what: it does not when its life was cut short within it.
enum class Label : uint8_t { kNo, kYes, kUnknown };
Label LabelOf(const Row& row, double horizon_s);

}  // namespace understudy::train
