// status, events, service ..., switchover, pause, resume: questions to the coordinator.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/session.h"
#include "client/cli/status_view.h"
#include "client/cli/text.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kTimeoutMs = 5000;
constexpr uint32_t kEventsAtOnce = 1000;
constexpr uint32_t kFollowWaitMs = 20'000;
constexpr size_t kServiceFileBytesMax = 256u << 10;

int Print(const Result<std::string>& document, const Arguments& arguments, const std::string& text) {
  if (!document.ok()) return Fail(document.status());
  if (arguments.json()) {
    std::printf("%s\n", document->empty() ? "{}" : document->c_str());
  } else {
    std::printf("%s", text.c_str());
  }
  return kExitOk;
}

Result<std::string> ReadServiceFile(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) return Status(StatusCode::kNotFound, path + ": " + error.message());
    if (size > kServiceFileBytesMax) return Status(StatusCode::kInvalidArgument, path + ": longer than 256 KiB");
    std::ifstream in(path);
    text.assign(std::istreambuf_iterator<char>(in), {});
    if (!in.good() && !in.eof()) return Status(StatusCode::kIoError, path + ": cannot be read");
  }
  return text;
}

int SetPaused(const Arguments& arguments, bool paused) {
  Session session(arguments);
  const Result<std::string> document =
      session.Document([&](auto* client, auto done) { client->SetPaused(paused, kTimeoutMs, std::move(done)); });
  return Print(document, arguments,
               paused ? "Predicted moves are held; failures are still recovered from.\n" : "Predicted moves go on.\n");
}

}  // namespace

int RunStatus(const Arguments& arguments) {
  Session session(arguments);
  const Result<std::string> document =
      session.Document([&](auto* client, auto done) { client->GetStatus(kTimeoutMs, std::move(done)); });
  const std::string text = document.ok() ? RenderStatus(*document, session.coordinator(), arguments.color) : "";
  return Print(document, arguments, text);
}

int RunEvents(const Arguments& arguments) {
  Session session(arguments);
  auto after = static_cast<uint64_t>(arguments.Number("after"));
  const auto limit = static_cast<size_t>(arguments.Number("limit"));
  Json gathered = Json::array();
  bool first_wait = true;
  while (true) {
    const bool waiting = arguments.Flag("follow") && !first_wait;
    const Result<std::string> document = session.Document([&](auto* client, auto done) {
      client->Events(after, kEventsAtOnce, waiting ? kFollowWaitMs : 0, std::move(done));
    });
    if (!document.ok()) return Fail(document.status());
    const Json json = Json::parse(*document, nullptr, false);
    if (!json.is_object() || !json.contains("events") || !json["events"].is_array()) {
      return Fail({StatusCode::kInternal, "the coordinator's answer is not a list of events"});
    }
    const size_t came = json["events"].size();
    for (const Json& event : json["events"]) {
      gathered.push_back(event);
      after = std::max(after, event.value("seq", uint64_t{0}));
    }
    if (!waiting && came == kEventsAtOnce) continue;  // more of the past
    if (limit > 0 && first_wait && gathered.size() > limit) {
      gathered.erase(gathered.begin(), gathered.end() - static_cast<Json::difference_type>(limit));
    }
    if (!arguments.Flag("follow")) {
      const Json all = {{"events", gathered}, {"last", after}};
      return Print(all.dump(1), arguments, RenderEvents(all.dump(), arguments.color));
    }
    if (arguments.json()) {
      for (const Json& event : gathered) std::printf("%s\n", event.dump().c_str());  // one a line, as they come
    } else {
      std::printf("%s", RenderEvents(Json({{"events", gathered}}).dump(), arguments.color).c_str());
    }
    if (std::fflush(stdout) != 0) return kExitOk;  // whoever read has gone
    gathered = Json::array();
    first_wait = false;
  }
}

int RunServiceApply(const Arguments& arguments) {
  const Result<std::string> file = ReadServiceFile(arguments.Text("FILE"));
  if (!file.ok()) return Fail(file.status());
  Session session(arguments);
  const Result<std::string> document =
      session.Document([&](auto* client, auto done) { client->ServiceApply(*file, kTimeoutMs, std::move(done)); });
  std::string text;
  if (document.ok()) {
    const Json json = Json::parse(*document, nullptr, false);
    text = "Service " + json.value("service", "") + " is applied; its log is " +
           std::to_string(json.value("log_id", uint64_t{0})) + ".\n";
  }
  return Print(document, arguments, text);
}

int RunServiceList(const Arguments& arguments) {
  Session session(arguments);
  const Result<std::vector<MetadataEntry>> entries = session.List("services/");
  if (!entries.ok()) return Fail(entries.status());
  Json all = Json::array();
  Table table({"SERVICE", "PROGRAM", "SPARE", "REPLICAS>", "LOG>", "PREDICTORS"});
  for (const MetadataEntry& entry : *entries) {
    const Json json = Json::parse(entry.value, nullptr, false);
    if (!json.is_object()) continue;
    all.push_back(json);
    std::string predictors;
    for (const Json& predictor : json.value("predictors", Json::array())) {
      predictors += (predictors.empty() ? "" : ", ") + predictor.value("plugin", "?");
    }
    table.Add({json.value("name", ""), json.value("program", ""),
               json.value("spare", "WARM") + (json.value("standby", false) ? ", standby" : ""),
               std::to_string(json.value("replicas", 1)), std::to_string(json.value("log_id", uint64_t{0})),
               predictors.empty() ? "-" : predictors});
  }
  const Json document = {{"services", all}};
  return Print(document.dump(1), arguments, table.empty() ? "No services.\n" : table.Render(arguments.color));
}

int RunServiceRemove(const Arguments& arguments) {
  Session session(arguments);
  const std::string service = arguments.Text("SERVICE");
  const Result<std::string> document =
      session.Document([&](auto* client, auto done) { client->ServiceRemove(service, 60'000, std::move(done)); });
  return Print(document, arguments, "Service " + service + " is removed; its log stays.\n");
}

int RunSwitchover(const Arguments& arguments) {
  Session session(arguments);
  const std::string service = arguments.Text("SERVICE");
  const Result<std::string> document = session.Document(
      [&](auto* client, auto done) {
        client->Switchover(service, arguments.Text("to"), arguments.Number("timeout-s") * 1000, std::move(done));
      },
      /*repeatable=*/false);
  std::string text = "Service " + service + " has moved.\n";
  if (document.ok()) {
    const Json json = Json::parse(*document, nullptr, false);
    if (json.is_object() && json.contains("to")) {
      text = "Service " + service + " has moved from " + json.value("from", "?") + " to " + json.value("to", "?") +
             " in " + HumanMs(json.value("gap_ms", 0.0)) + ".\n";
    }
  }
  return Print(document, arguments, text);
}

int RunPause(const Arguments& arguments) { return SetPaused(arguments, true); }
int RunResume(const Arguments& arguments) { return SetPaused(arguments, false); }

}  // namespace understudy::cli
