// Which rows train, which stop the training, which calibrate and which judge. Never by random rows: neighbours in time
// are near copies of each other.
#pragma once

#include <cstdint>
#include <vector>

#include "predictors/train/dataset.h"
#include "understudy/status.h"

namespace understudy::train {

// Fewer failures cannot be parted into four.
inline constexpr size_t kFailuresMin = 4;

// Sets the part of every row. With failures in four traces or more, whole traces are dealt out (which of them came
// first is not known: their times are relative), failing and quiet ones apart, in the ratio 55 : 15 : 15 : 15. With
// fewer, whole lives are, in the order of time: the oldest train, the newest judge. A quiet trace that would be
// the only ones of their kind is cut by time, and rows whose longest horizon reaches over a cut belong to none.
// kInvalidArgument: fewer than kFailuresMin failures.
// Without `judge` none is Part::kTest, and the ratio is 70 : 15 : 15.
Status SplitRows(Dataset* data, bool judge = true);

// For cross-validation: traces with `fold_of[trace] == fold` are Part::kTest, the others are dealt out as above.
Status SplitRowsForFold(const std::vector<size_t>& fold_of, size_t fold, Dataset* data);

}  // namespace understudy::train
