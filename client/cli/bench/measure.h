// What benchmarks measure with: exact quantiles in bounded memory, a progress bar, interruption.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "understudy/types.h"

namespace understudy::cli {

// Times, of which all are kept up to a million, and then an even sample. One thread.
class Samples {
 public:
  void Add(int64_t ns) {
    if (seen_++ % stride_ != 0) return;
    if (ns > max_) max_ = ns;
    values_.push_back(ns);
    if (values_.size() == kKept) Thin();
  }
  void Merge(const Samples& other) {
    for (int64_t value : other.values_) Add(value);
    if (other.max_ > max_) max_ = other.max_;
  }
  uint64_t count() const { return seen_; }
  int64_t max() const { return max_; }
  // The value that a share `q` (0 to 1) does not exceed; 0 when there is none.
  int64_t Quantile(double q) const;

 private:
  static constexpr size_t kKept = 1u << 20;
  void Thin();
  std::vector<int64_t> values_;
  uint64_t seen_ = 0, stride_ = 1;
  int64_t max_ = 0;
};

// A bar on standard error, when that is a terminal and the work takes more than a second. One thread.
class Progress {
 public:
  Progress(std::string label, uint64_t total, bool quiet);
  ~Progress();  // takes the bar away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void Show(uint64_t done);  // cheap: draws ten times a second

 private:
  std::string label_;
  uint64_t total_;
  bool enabled_, drawn_ = false;
  Instant began_, next_;
};

// From now on Ctrl-C and SIGTERM do not end the program but make Interrupted() true.
void CatchInterrupts();
bool Interrupted();

}  // namespace understudy::cli
