// What outcomes taught about one predictor: how often failures came when it said so. Pure; one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "understudy/status.h"

namespace understudy::ensemble {

// Counts by what was said, in bins of equal width in log-odds, for each horizon. A calibrated probability is the rate
// of failures in its bin, drawn to what was said by kPrior outcomes that nobody saw, so that a predictor of which
// nothing is known is taken at its word; and made monotone by pooling adjacent violators, so that more said is never
// less meant. What comes out is 0 or 1 only when that was said and nothing is known.
class Calibration {
 public:
  static constexpr int kBins = 12;
  static constexpr double kPrior = 10;        // outcomes' worth of belief in what is said
  static constexpr double kCountMax = 2000;   // of a bin; then all its counts are halved: old outcomes fade
  static constexpr size_t kHorizonsMax = 16;  // others are not learnt
  static constexpr size_t kTextBytesMax = 64 << 10;

  // The bin of a probability within 0 and 1.
  static int BinOf(double said);
  static double CentreOf(int bin);

  void Record(int64_t horizon_ms, double said, bool failed);
  // Counts of outcomes nobody will ever know: moved before the horizon passed.
  void RecordCensored(int64_t horizon_ms);

  // The calibrated probability. Same horizon: monotone in `said`.
  double Apply(int64_t horizon_ms, double said) const;

  // Outcomes, failures and censored ones counted for a horizon.
  struct Counts {
    double outcomes = 0, failures = 0, censored = 0;
  };
  Counts CountsOf(int64_t horizon_ms) const;
  bool empty() const { return horizons_.empty(); }

  // Adds what another one counted.
  void Add(const Calibration& other);

  // JSON for the metadata (docs/formats.md, "Calibration"). kInvalidArgument names what is wrong.
  std::string Encode() const;
  static Result<Calibration> Decode(std::string_view text);
  bool operator==(const Calibration&) const = default;

 private:
  struct Bin {
    double outcomes = 0, failures = 0;
    double said = 0;  // sum of the probabilities
    bool operator==(const Bin&) const = default;
  };
  struct Horizon {
    std::array<Bin, kBins> bins;
    double censored = 0;
    std::array<double, kBins> from = {}, to = {};  // log-odds: what is said, on the average of a bin, and what it means
    bool operator==(const Horizon&) const = default;
  };
  Horizon* Find(int64_t horizon_ms);
  static void Fade(Bin* bin);
  static void Fit(Horizon* horizon);

  std::map<int64_t, Horizon> horizons_;
};

}  // namespace understudy::ensemble
