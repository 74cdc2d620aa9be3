#include "predictors/host/model_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "log/env/file.h"

namespace understudy {
namespace {

using Json = nlohmann::json;

constexpr int kDepthMax = 32;

Status Invalid(const std::string& text) { return {StatusCode::kInvalidArgument, "model_file: " + text}; }

// Files may be damaged in any way: nesting is bounded as well as size.
Json ParseModel(const std::string& text) {
  bool deep = false;
  Json json = Json::parse(
      text,
      [&deep](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > kDepthMax;
        return !deep;
      },
      /*allow_exceptions=*/false);
  return deep ? Json(Json::value_t::discarded) : json;
}

}  // namespace

Result<std::string> ResolveModelFile(const std::string& config) {
  if (config.find("model_file") == std::string::npos) return config;
  Json json = Json::parse(config, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("model_file")) return config;
  if (!json["model_file"].is_string()) return Invalid("the path of a file is needed");
  if (json.contains("model")) return Invalid("either model_file or model, not both");
  const std::string path = json["model_file"].get<std::string>();
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return Invalid(path + ": no such file");  // a pipe would block
  const Result<std::string> text = ReadWholeFile(SystemFileSystem(), path, kModelFileBytesMax);
  if (!text.ok()) {
    return Invalid(text.status().code() == StatusCode::kResourceExhausted ? path + ": larger than 4 MiB"
                                                                          : text.status().message());
  }
  Json model = ParseModel(*text);
  if (!model.is_object()) return Invalid(path + ": not a JSON object; the file is cut off, damaged or no model");
  json.erase("model_file");
  json["model"] = std::move(model);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ModelFilePath(const std::string& config) {
  if (config.find("model_file") == std::string::npos) return "";
  const Json json = Json::parse(config, nullptr, /*allow_exceptions=*/false);
  const auto found = json.find("model_file");
  return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

ModelFileStamp StampModelFile(const std::string& path) {
  struct stat seen = {};
  if (stat(path.c_str(), &seen) != 0) return {};
  const auto ns = [](const timespec& time) { return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec; };
  return {seen.st_dev, seen.st_ino, seen.st_size, ns(seen.st_mtim), ns(seen.st_ctim)};
}

}  // namespace understudy
