// The rows of a training as a CSV file, for training the boosters elsewhere.
#pragma once

#include <string>

#include "log/env/file.h"
#include "predictors/train/dataset.h"
#include "understudy/status.h"

namespace understudy::train {

// Columns: part, trace, time_s, weight, time_lower_s, time_upper_s (empty: more than lower), horizon_s, label (empty:
// not known), then the features; one line a row and horizon. Missing is empty. Numbers read back as the same floats.
Status WriteTable(const Dataset& data, const std::string& path, FileSystem* files);

}  // namespace understudy::train
