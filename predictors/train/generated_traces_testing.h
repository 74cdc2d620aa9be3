// Small traces for tests: a leak of varying speed that fails when the memory is full, and quiet nodes.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "log/env/random.h"
#include "predictors/trace/trace.h"

namespace understudy::train {

inline double Noise(Random* random) { return static_cast<double>(random->Below(2001)) / 1000 - 1; }  // -1 to 1

inline trace::Trace LeakTrace(const std::string& name, uint64_t seed) {
  SeededRandom random(seed);
  trace::Trace trace;
  trace.name = name;
  trace.metrics = {"memory", "load", "constant"};
  trace.columns.resize(3);
  const double speed = 4 + static_cast<double>(random.Below(60)) / 10;
  const double begins_s = 30 + static_cast<double>(random.Below(60));
  for (int i = 0; i < 400; ++i) {
    const double leaked = speed * std::max(0.0, i - begins_s);
    trace.time_s.push_back(i);
    trace.columns[0].push_back(random.Below(20) == 0 ? NAN : 200 + leaked + 5 * Noise(&random));
    trace.columns[1].push_back(0.5 + 0.2 * Noise(&random));
    trace.columns[2].push_back(42);
    if (leaked < 800) continue;
    trace.events = {{static_cast<double>(i), static_cast<double>(i), trace::Event::kFailure, "out of memory"}};
    break;
  }
  return trace;
}

inline trace::Trace QuietTrace(const std::string& name, uint64_t seed) {
  SeededRandom random(seed);
  trace::Trace trace;
  trace.name = name;
  trace.metrics = {"memory", "load", "constant"};
  trace.columns.resize(3);
  for (int i = 0; i < 200; ++i) {
    trace.time_s.push_back(i);
    trace.columns[0].push_back(300 + 20 * std::sin(i / 15.0) + 5 * Noise(&random));
    trace.columns[1].push_back(0.5 + 0.2 * Noise(&random));
    trace.columns[2].push_back(42);
  }
  return trace;
}

inline std::vector<trace::Trace> SmallFleet(size_t leaks, size_t quiet) {
  std::vector<trace::Trace> traces;
  for (size_t i = 0; i < leaks; ++i) traces.push_back(LeakTrace("leak" + std::to_string(i), 100 + i));
  for (size_t i = 0; i < quiet; ++i) traces.push_back(QuietTrace("quiet" + std::to_string(i), 900 + i));
  return traces;
}

}  // namespace understudy::train
