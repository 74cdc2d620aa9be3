// One finding of `understudy doctor`.
#pragma once

#include <string>
#include <vector>

#include "client/cli/command.h"

namespace understudy::cli {

enum class Verdict : int { kOk = 0, kWarning = 1, kFailed = 2 };

struct Finding {
  std::string check;  // "disk"
  Verdict verdict = Verdict::kOk;
  std::string text;    // what was found
  std::string advice;  // what to do; empty when nothing is to be done
};

using Findings = std::vector<Finding>;

// This machine: the data directory's disk, limits, kernel settings.
void CheckDisk(const std::string& data_dir, Findings* out);
void CheckLimits(Findings* out);
void CheckKernel(Findings* out);
// The plugins beside this program, each loaded in a helper process.
void CheckPlugins(const std::string& program_path, Findings* out);

// The cluster. Returns whether a coordinator answered.
bool CheckCluster(const Arguments& arguments, Findings* out);

}  // namespace understudy::cli
