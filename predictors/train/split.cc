#include "predictors/train/split.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>

namespace understudy::train {
namespace {

using Shares = std::array<double, kParts>;
constexpr Shares kAll = {0.55, 0.15, 0.15, 0.15};
constexpr Shares kWithoutTest = {0.7, 0.15, 0.15, 0};

// What is dealt out as a whole: a trace, or a life.
struct Unit {
  std::vector<uint32_t> lives;
  double begin_s = 0, end_s = 0;
  bool failed = false;
};

// One unit after the other to the part that is furthest behind its share; each part has one before any has two.
std::vector<Part> Deal(size_t units, const Shares& shares) {
  std::vector<Part> out;
  std::array<double, kParts> have = {};
  for (size_t i = 0; i < units; ++i) {
    size_t best = 0;
    double best_need = -1e300;
    for (size_t p = 0; p < kParts; ++p) {
      if (shares[p] <= 0) continue;
      double need = shares[p] * static_cast<double>(i + 1) - have[p];
      if (have[p] == 0 && units <= 8) need += 10;  // few of them: no part goes without
      if (need > best_need + 1e-12) best = p, best_need = need;
    }
    have[best] += 1;
    out.push_back(static_cast<Part>(best));
  }
  return out;
}

// Consecutive stretches, the first for training.
std::vector<Part> DealInOrder(size_t units, const Shares& shares) {
  std::vector<Part> out = Deal(units, shares);
  std::sort(out.begin(), out.end());
  return out;
}

// Cuts units by time: for quiet ones that are too few to be dealt out.
void Cut(const std::vector<Unit>& units, const Shares& shares, Dataset* data) {
  const double reach_s = data->horizons_s.back();
  for (Row& row : data->rows) {
    const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) {
      return std::find(u.lives.begin(), u.lives.end(), row.life) != u.lives.end();
    });
    if (unit == units.end()) continue;
    const double length = std::max(unit->end_s - unit->begin_s, 1e-9);
    double edge = unit->begin_s;
    for (size_t p = 0; p < kParts; ++p) {
      edge += shares[p] * length;
      const bool last = p + 1 == kParts || edge >= unit->end_s - 1e-9;
      if (row.time_s > edge && !last) continue;
      row.part = last || row.time_s + reach_s <= edge ? static_cast<Part>(p) : Part::kNone;
      break;
    }
  }
}

void Assign(const std::vector<Unit>& units, const std::vector<Part>& parts, Dataset* data) {
  std::vector<Part> of_life(data->lives.size(), Part::kNone);
  std::vector<bool> mine(data->lives.size(), false);
  for (size_t i = 0; i < units.size(); ++i) {
    for (const uint32_t life : units[i].lives) of_life[life] = parts[i], mine[life] = true;
  }
  for (Row& row : data->rows) {
    if (mine[row.life]) row.part = of_life[row.life];
  }
}

// Deals out all lives whose trace `use` takes.
template <class Use>
Status Split(const Shares& shares, Use use, Dataset* data) {
  std::set<uint32_t> with_rows;
  for (const Row& row : data->rows) with_rows.insert(row.life);
  std::vector<Unit> by_trace(data->trace_names.size()), by_life;
  std::set<size_t> failing_traces;
  size_t failures = 0;
  for (const uint32_t index : with_rows) {
    const Life& life = data->lives[index];
    if (!use(life.trace)) continue;
    by_life.push_back({{index}, life.begin_s, life.end_s, life.failed});
    Unit& unit = by_trace[life.trace];
    unit.begin_s = unit.lives.empty() ? life.begin_s : std::min(unit.begin_s, life.begin_s);
    unit.end_s = std::max(unit.end_s, life.end_s);
    unit.lives.push_back(index);
    unit.failed = unit.failed || life.failed;
    if (life.failed) failing_traces.insert(life.trace), ++failures;
  }
  const size_t parts = static_cast<size_t>(std::count_if(shares.begin(), shares.end(), [](double s) { return s > 0; }));
  if (failures < parts) {
    return {StatusCode::kInvalidArgument,
            "the traces have " + std::to_string(failures) + " failure" + (failures == 1 ? "" : "s") + ", at least " +
                std::to_string(parts) +
                " are needed: some to train on, others to stop the training, to calibrate and to judge"};
  }
  const bool whole_traces = failing_traces.size() >= parts;
  std::vector<Unit> failing, quiet;
  for (const Unit& unit : whole_traces ? by_trace : by_life) {
    if (!unit.lives.empty()) (unit.failed ? failing : quiet).push_back(unit);
  }
  if (!whole_traces) {
    const auto by_time = [](const Unit& a, const Unit& b) { return a.end_s < b.end_s; };
    std::stable_sort(failing.begin(), failing.end(), by_time);
    std::stable_sort(quiet.begin(), quiet.end(), by_time);
  }
  Assign(failing, whole_traces ? Deal(failing.size(), shares) : DealInOrder(failing.size(), shares), data);
  if (quiet.size() >= parts) {
    Assign(quiet, whole_traces ? Deal(quiet.size(), shares) : DealInOrder(quiet.size(), shares), data);
  } else {
    Cut(quiet, shares, data);
  }
  return {};
}

}  // namespace

Status SplitRows(Dataset* data, bool judge) {
  return Split(
      judge ? kAll : kWithoutTest, [](size_t) { return true; }, data);
}

Status SplitRowsForFold(const std::vector<size_t>& fold_of, size_t fold, Dataset* data) {
  for (Row& row : data->rows) row.part = Part::kTest;
  return Split(
      kWithoutTest, [&](size_t trace) { return fold_of[trace] != fold; }, data);
}

}  // namespace understudy::train
