#include "predictors/train/dataset.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "predictors/builtin/gbt/sha256.h"

namespace understudy::train {
namespace {

using trace::Event;
using trace::Trace;

constexpr size_t kCellsMax = 64u << 20;  // features kept: 256 MiB
constexpr double kIntervalFactorMax = 2;

Status Invalid(const std::string& text) { return {StatusCode::kInvalidArgument, text}; }

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double IntervalOf(const Trace& trace) {
  std::vector<double> distances;
  for (size_t i = 1; i < trace.rows(); ++i) distances.push_back(trace.time_s[i] - trace.time_s[i - 1]);
  return distances.empty() ? 0 : Median(std::move(distances));
}

std::string HashOf(const std::vector<Trace>& traces) {
  gbt::Sha256 hash;
  const auto add_number = [&](double value) {
    if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();  // one bit pattern for all
    hash.Add({reinterpret_cast<const char*>(&value), sizeof value});
  };
  const auto add_text = [&](const std::string& text) {
    add_number(static_cast<double>(text.size()));
    hash.Add(text);
  };
  for (const Trace& trace : traces) {
    add_text(trace.name);
    for (const double time : trace.time_s) add_number(time);
    for (size_t m = 0; m < trace.metrics.size(); ++m) {
      add_text(trace.metrics[m]);
      for (const double value : trace.columns[m]) add_number(value);
    }
    for (const Event& event : trace.events) {
      add_number(event.time_s);
      add_number(event.end_s);
      add_number(event.kind);
    }
  }
  return hash.Finish();
}

// The metrics to use: those asked for, or those of every trace; without those that never change.
Status ChooseMetrics(const std::vector<Trace>& traces, const TrainOptions& options, Dataset* data) {
  std::map<std::string, size_t> seen;
  for (const Trace& trace : traces) {
    for (const std::string& metric : trace.metrics) ++seen[metric];
  }
  std::vector<std::string> wanted = options.metrics;
  for (const std::string& metric : wanted) {
    for (const Trace& trace : traces) {
      if (std::find(trace.metrics.begin(), trace.metrics.end(), metric) == trace.metrics.end()) {
        return Invalid("trace " + trace.name + " has no metric '" + metric + "'");
      }
    }
  }
  if (wanted.empty()) {
    for (const std::string& metric : traces.front().metrics) {
      if (seen[metric] == traces.size()) wanted.push_back(metric);
    }
    for (const auto& [metric, count] : seen) {
      if (count < traces.size()) data->partial_metrics.push_back(metric);
    }
    if (wanted.empty())
      return Invalid("no metric is in every trace: traces of different kinds need models of their own");
  }
  for (const std::string& metric : wanted) {
    double low = INFINITY, high = -INFINITY;
    for (const Trace& trace : traces) {
      const size_t column =
          static_cast<size_t>(std::find(trace.metrics.begin(), trace.metrics.end(), metric) - trace.metrics.begin());
      for (const double value : trace.columns[column]) {
        if (!(std::abs(value) <= 1e30)) continue;
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
    if (!(high > low)) {
      data->constant_metrics.push_back(metric);
      continue;
    }
    data->spec.metrics.push_back(metric);
    data->ranges.push_back({low, high});
  }
  if (data->spec.metrics.empty()) return Invalid("no metric ever changes: there is nothing to learn from");
  return {};
}

// One interval for all traces.
Status ChooseInterval(const std::vector<Trace>& traces, const TrainOptions& options, Dataset* data) {
  std::vector<double> intervals;
  for (const Trace& trace : traces) intervals.push_back(IntervalOf(trace));
  data->interval_s = Median(intervals);
  if (!(data->interval_s > 0)) return Invalid("the traces have too few samples");
  for (size_t i = 0; i < traces.size() && options.window_unit == gbt::WindowUnit::kSeconds; ++i) {
    const double factor = intervals[i] / data->interval_s;
    if (!(factor <= kIntervalFactorMax && factor >= 1 / kIntervalFactorMax)) {
      return Invalid("trace " + traces[i].name + " has a sample every " + Number(intervals[i]) +
                     " s, the others every " + Number(data->interval_s) +
                     " s: train them apart, or give windows in samples");
    }
  }
  return {};
}

Status ChooseHorizons(const TrainOptions& options, Dataset* data) {
  data->horizons_s = options.horizons_s;
  if (data->horizons_s.empty()) {
    const double i = data->interval_s;
    data->horizons_s = i <= kDefaultHorizonsIntervalMaxS ? std::vector<double>{60, 300, 900}
                                                         : std::vector<double>{5 * i, 15 * i, 60 * i};
  }
  std::sort(data->horizons_s.begin(), data->horizons_s.end());
  if (data->horizons_s.front() < data->interval_s) {
    return Invalid("a horizon of " + Number(data->horizons_s.front()) + " s is shorter than the distance of samples, " +
                   Number(data->interval_s) + " s");
  }
  data->cap_s = options.cap_remaining_s > 0 ? options.cap_remaining_s : 10 * data->horizons_s.back();
  return {};
}

// Cuts a trace into lives and gives their samples to `take(life, row)`; rows in which it lay down belong to none.
template <class Take>
void ForEachSample(const Trace& trace, size_t index, const TrainOptions& options, std::vector<Life>* lives, Take take) {
  size_t row = 0;
  const double last = trace.time_s.back();
  double begin = trace.time_s.front();
  const auto live = [&](double end, bool failed) {
    const uint32_t life = static_cast<uint32_t>(lives->size());
    bool any = false;
    for (; row < trace.rows() && trace.time_s[row] <= end; ++row) {
      if (!any) lives->push_back({index, begin, end, failed});
      any = true;
      take(life, row);
    }
  };
  for (const Event& event : trace.events) {
    const bool failure = (event.kind == Event::kFailure && options.failures) ||
                         (event.kind == Event::kDegradation && options.degradations);
    if (!failure && event.kind != Event::kRestart) continue;
    if (event.time_s < begin) {
      begin = std::max(begin, event.end_s);  // within what is over already
    } else {
      live(std::min(event.time_s, failure ? event.time_s : last), failure);
      begin = event.end_s;
    }
    while (row < trace.rows() && trace.time_s[row] < begin) ++row;
  }
  live(last, false);
}

// When there are more rows than asked for, only every n-th of those that are far from a failure is kept, at n times
// the weight.
void Thin(size_t rows_max, Dataset* data) {
  if (data->rows.size() <= rows_max) return;
  const double near_s = data->horizons_s.back();
  const auto is_near = [&](const Row& row) { return row.failed && row.remaining_s <= near_s; };
  const size_t near = static_cast<size_t>(std::count_if(data->rows.begin(), data->rows.end(), is_near));
  const size_t far = data->rows.size() - near;
  const size_t room = rows_max > near ? rows_max - near : 0;
  const size_t every_far = (far + std::max<size_t>(room, rows_max / 2) - 1) / std::max<size_t>(room, rows_max / 2);
  const size_t every_near = (near + rows_max - 1) / rows_max;
  size_t kept = 0, far_seen = 0, near_seen = 0;
  const size_t width = data->width();
  for (size_t i = 0; i < data->rows.size(); ++i) {
    const bool close = is_near(data->rows[i]);
    const size_t every = std::max<size_t>(1, close ? every_near : every_far);
    if ((close ? near_seen++ : far_seen++) % every != 0) continue;
    data->rows[kept] = data->rows[i];
    data->rows[kept].weight *= static_cast<float>(every);
    std::copy_n(data->features.begin() + static_cast<int64_t>(i * width), width,
                data->features.begin() + static_cast<int64_t>(kept * width));
    ++kept;
  }
  data->rows.resize(kept);
  data->features.resize(kept * width);
}

}  // namespace

const char* PartName(Part part) {
  constexpr const char* kNames[] = {"train", "stop", "calibrate", "test", "none"};
  return kNames[static_cast<size_t>(part)];
}

Label LabelOf(const Row& row, double horizon_s) {
  if (row.remaining_s > horizon_s) return Label::kNo;
  return row.failed ? Label::kYes : Label::kUnknown;
}

Result<Dataset> MakeDataset(const std::vector<Trace>& traces, const TrainOptions& options) {
  if (traces.empty()) return Invalid("no traces");
  for (const Trace& trace : traces) {
    if (trace.rows() == 0) return Invalid("trace " + trace.name + " has no samples");
  }
  Dataset data;
  data.hash = HashOf(traces);
  UNDERSTUDY_RETURN_IF_ERROR(ChooseMetrics(traces, options, &data));
  UNDERSTUDY_RETURN_IF_ERROR(ChooseInterval(traces, options, &data));
  UNDERSTUDY_RETURN_IF_ERROR(ChooseHorizons(options, &data));
  data.spec.unit = options.window_unit;
  data.spec.windows = options.windows;
  data.spec.interval_s = data.interval_s;
  data.spec.age = options.age;
  if (const std::string problem = data.spec.Problem(); !problem.empty()) return Invalid(problem);

  const size_t width = data.width();
  const size_t rows_max = std::min(options.rows_max, kCellsMax / (width * data.horizons_s.size()));
  // Features are made for all rows first, and thinned trace by trace when they take too much room.
  for (size_t t = 0; t < traces.size(); ++t) {
    const Trace& trace = traces[t];
    data.trace_names.push_back(trace.name);
    std::vector<const std::vector<double>*> columns;
    for (const std::string& metric : data.spec.metrics) {
      columns.push_back(&trace.columns[static_cast<size_t>(
          std::find(trace.metrics.begin(), trace.metrics.end(), metric) - trace.metrics.begin())]);
    }
    gbt::FeatureState state(&data.spec);
    std::vector<double> values(columns.size());
    int64_t life_now = -1;
    Dataset part;  // of this trace, so that a long one is thinned before the next is read
    part.spec = data.spec;
    part.horizons_s = data.horizons_s;
    ForEachSample(trace, t, options, &data.lives, [&](uint32_t life, size_t row) {
      if (life_now != life) state.Reset();
      life_now = life;
      for (size_t m = 0; m < columns.size(); ++m) values[m] = (*columns[m])[row];
      state.Observe(std::llround(trace.time_s[row] * 1e9), values);
      const bool any = std::any_of(values.begin(), values.end(), [](double v) { return !std::isnan(v); });
      if (!state.Ready() || !any) return;
      Row out;
      out.life = life;
      out.time_s = trace.time_s[row];
      out.remaining_s = data.lives[life].end_s - out.time_s;
      out.failed = data.lives[life].failed;
      part.rows.push_back(out);
      part.features.resize(part.features.size() + width);
      state.Fill(std::span(part.features).last(width));
    });
    Thin(std::max<size_t>(1000, 2 * rows_max / traces.size()), &part);
    data.rows.insert(data.rows.end(), part.rows.begin(), part.rows.end());
    data.features.insert(data.features.end(), part.features.begin(), part.features.end());
    if (options.progress) options.progress("features", static_cast<double>(t + 1) / static_cast<double>(traces.size()));
  }
  Thin(rows_max, &data);
  std::set<uint32_t> failed;
  for (const Row& row : data.rows) {
    if (row.failed) failed.insert(row.life);
  }
  data.failures = failed.size();
  if (data.failures == 0) {
    const bool degraded = std::any_of(traces.begin(), traces.end(), [](const Trace& trace) {
      return std::any_of(trace.events.begin(), trace.events.end(),
                         [](const Event& event) { return event.kind == Event::kDegradation; });
    });
    return Invalid(std::string("no failure in the traces: a model needs some to learn from") +
                   (degraded && !options.degradations ? " (there are degradations: --label both counts them)" : ""));
  }
  return data;
}

}  // namespace understudy::train
