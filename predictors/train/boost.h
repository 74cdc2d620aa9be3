// Trains one XGBoost ensemble, with early stopping, through XGBoost's C API.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "understudy/status.h"

namespace understudy::train {

// Rows of one kind of head. Either labels, or bounds of times (upper: infinity when it is only known to be more).
struct Matrix {
  size_t width = 0;
  std::vector<float> values;  // row after row; NaN: missing
  std::vector<float> labels;
  std::vector<float> lower, upper;
  std::vector<float> weights;
  size_t rows() const { return width == 0 ? 0 : values.size() / width; }
};

struct BoostOptions {
  std::vector<std::pair<std::string, std::string>> parameters;  // of XGBoost
  int rounds_max = 200;
  int patience = 25;
  std::function<void(double share)> progress;
};

struct Boosted {
  std::string bytes;         // UBJSON, of the best round
  int rounds = 0;            // trees in it
  double stop_loss = 0;      // of the objective's own metric on the rows that stop
  std::vector<double> gain;  // of each feature, all splits together, as a share of the whole
};

// The same input gives the same bytes. kInternal: XGBoost's message.
Result<Boosted> Boost(const Matrix& train, const Matrix& stop, const BoostOptions& options);

// What a booster trained elsewhere is: its gains, and its bytes as UBJSON. kInvalidArgument when it cannot be loaded.
Result<Boosted> TakeOver(const std::string& bytes, size_t width);

}  // namespace understudy::train
