// doctor: runs all checks and says what to do.
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "client/cli/check.h"
#include "client/cli/text.h"

namespace understudy::cli {
namespace {

const char* Name(Verdict verdict) {
  return verdict == Verdict::kOk ? "ok" : verdict == Verdict::kWarning ? "warning" : "FAILED";
}

// Runs `helper --check plugin`, which ends itself when it takes too long. Returns its output; `*good`: status 0.
std::string RunCheck(const std::string& helper, const std::string& plugin, bool* good) {
  const auto quoted = [](const std::string& text) {
    std::string out = "'";
    for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
  };
  *good = false;
  FILE* pipe = popen((quoted(helper) + " --check " + quoted(plugin) + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  std::string output(4096, '\0');
  output.resize(fread(output.data(), 1, output.size(), pipe));
  const int status = pclose(pipe);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  *good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!*good && output.empty()) output = "does not load: status " + std::to_string(WEXITSTATUS(status));
  return output;
}

}  // namespace

void CheckPlugins(const std::string& program_path, Findings* out) {
  const std::filesystem::path folder = std::filesystem::path(program_path).parent_path();
  const std::string helper = (folder / "understudy-predictor-host").string();
  const std::filesystem::path plugins = folder.parent_path() / "lib/understudy/predictors";
  std::error_code error;
  size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(plugins, error)) {
    if (entry.path().extension() != ".so") continue;
    ++found;
    bool good = false;
    const std::string output = RunCheck(helper, entry.path().string(), &good);
    out->push_back({"plugin " + entry.path().stem().string(), good ? Verdict::kOk : Verdict::kFailed, output,
                    good ? "" : "It will abstain. Rebuild or remove it; its helper, " + helper + ", must lie there."});
  }
  if (found == 0) {
    out->push_back({"plugins", Verdict::kWarning, "none in " + plugins.string(),
                    "Reinstall; without plugins nothing is foreseen."});
  }
}

int RunDoctor(const Arguments& arguments) {
  Findings findings;
  const std::string data_dir = arguments.Text("data-dir");
  CheckCluster(arguments, &findings);
  CheckDisk(data_dir, &findings);
  CheckLimits(&findings);
  CheckKernel(&findings);
  CheckPlugins(arguments.program_path, &findings);

  size_t counts[3] = {};
  nlohmann::json all = nlohmann::json::array();
  for (const Finding& finding : findings) {
    ++counts[static_cast<int>(finding.verdict)];
    all.push_back({{"check", finding.check},
                   {"verdict", Name(finding.verdict)},
                   {"text", finding.text},
                   {"advice", finding.advice}});
    if (arguments.json()) continue;
    const Color color = finding.verdict == Verdict::kOk        ? Color::kGreen
                        : finding.verdict == Verdict::kWarning ? Color::kYellow
                                                               : Color::kRed;
    std::string verdict = Name(finding.verdict);
    verdict.resize(7, ' ');
    std::string check = finding.check;
    if (check.size() < 20) check.resize(20, ' ');
    std::printf("%s  %s  %s\n", Paint(verdict, color, arguments.color).c_str(), check.c_str(), finding.text.c_str());
    if (!finding.advice.empty()) std::printf("         %s\n", finding.advice.c_str());
  }
  if (arguments.json()) {
    std::printf("%s\n",
                nlohmann::json({{"findings", all}, {"failed", counts[2]}, {"warnings", counts[1]}}).dump(1).c_str());
  } else {
    std::printf("%zu checks: %zu ok, %zu warnings, %zu failed\n", findings.size(), counts[0], counts[1], counts[2]);
  }
  return counts[2] > 0 ? kExitFailed : kExitOk;
}

}  // namespace understudy::cli
