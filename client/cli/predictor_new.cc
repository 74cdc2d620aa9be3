// `understudy predictor new`: a plugin that builds, passes `predictor check` and forecasts on the trace beside it. Its
// files are those of predictors/examples/fd_growth.
#include "client/cli/predictor_new.h"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/predictor_example.h"

namespace understudy::cli {
namespace {

constexpr char kExample[] = "fd_growth";  // its name, wherever it stands in the files, becomes the plugin's

std::string Replace(std::string text, const std::vector<std::pair<std::string, std::string>>& words) {
  for (const auto& [from, to] : words) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

// 10 minutes, one row a second: quiet, then growing until the limit is reached; a few values are missing.
std::pair<std::string, std::string> TestTrace() {
  constexpr double kLimit = 1024;
  std::string csv = "time_s,proc.fds,proc.fds_limit\n";
  double failed_at = 0;
  for (int t = 0; t < 600 && failed_at == 0; ++t) {
    const double fds = std::round(40 + 5 * std::sin(t / 7.0) + (t > 180 ? 2.6 * (t - 180) : 0));
    char row[64];
    std::snprintf(row, sizeof row, t % 97 == 50 ? "%d,,%.0f\n" : "%d,%.0f,1024\n", t, t % 97 == 50 ? kLimit : fds);
    csv += row;
    if (fds >= kLimit) failed_at = t;
  }
  char events[160];
  std::snprintf(
      events, sizeof events,
      "[{\"time_s\": %.0f, \"end_s\": %.0f, \"kind\": \"failure\", \"note\": \"no file descriptor is left\"}]\n",
      failed_at, failed_at);
  return {csv, events};
}

}  // namespace

std::vector<std::pair<std::string, std::string>> PluginFiles(const std::string& name, const std::string& language) {
  const bool cpp = language == "cpp";
  const std::vector<std::pair<std::string, std::string>> words = {{kExample, name},
                                                                  {"@LANGUAGE@", cpp ? "CXX" : "C"},
                                                                  {"@SOURCE@", name + (cpp ? ".cc" : ".c")},
                                                                  {"@STANDARD@", cpp ? "cxx_std_20" : "c_std_99"}};
  const auto [csv, events] = TestTrace();
  return {{name + (cpp ? ".cc" : ".c"), Replace(cpp ? kExampleCpp : kExampleC, words)},
          {"CMakeLists.txt", Replace(kExampleCMake, words)},
          {"README.md", Replace(kExampleReadme, words)},
          {"trace.csv", csv},
          {"trace.events.json", events}};
}

int RunPredictorNew(const Arguments& arguments) {
  const std::string name = arguments.Text("NAME"), language = arguments.Text("language");
  bool good = !name.empty() && name.size() <= 64 && std::isalpha(static_cast<unsigned char>(name[0])) != 0;
  for (char c : name) good = good && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_');
  if (!good) {
    return Fail(
        {StatusCode::kInvalidArgument, "NAME: '" + name + "' must be 1 to 64 letters, digits and '_', a letter first"});
  }
  if (language != "c" && language != "cpp") {
    return Fail({StatusCode::kInvalidArgument, "--language: '" + language + "' is neither c nor cpp"});
  }
  const std::filesystem::path folder = arguments.Given("dir") ? arguments.Text("dir") : name;
  std::error_code error;
  if (std::filesystem::exists(folder, error) && !std::filesystem::is_empty(folder, error)) {
    return Fail({StatusCode::kAlreadyExists, folder.string() + ": exists and is not empty; nothing was written"});
  }
  std::filesystem::create_directories(folder, error);
  if (error) return Fail({StatusCode::kIoError, folder.string() + ": " + error.message()});
  nlohmann::json written = nlohmann::json::array();
  for (const auto& [file, content] : PluginFiles(name, language)) {
    const std::string path = (folder / file).string();
    std::ofstream out(path, std::ios::binary);
    out << content;
    out.close();
    if (!out) return Fail({StatusCode::kIoError, path + ": cannot be written"});
    written.push_back(path);
  }
  if (arguments.json()) {
    std::printf("%s\n", nlohmann::json({{"name", name}, {"language", language}, {"files", written}}).dump(1).c_str());
    return kExitOk;
  }
  for (const auto& path : written) std::printf("%s\n", path.get<std::string>().c_str());
  std::printf(
      "\nNext:\n  cmake -S %s -B %s/build && cmake --build %s/build\n  understudy predictor check %s/build/%s.so\n"
      "  understudy predictor run %s/build/%s.so %s/trace.csv\n",
      folder.c_str(), folder.c_str(), folder.c_str(), folder.c_str(), name.c_str(), folder.c_str(), name.c_str(),
      folder.c_str());
  return kExitOk;
}

}  // namespace understudy::cli
