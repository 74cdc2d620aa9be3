// What operators ask of the policy: the settings that hold for the whole cluster.
#include <nlohmann/json.hpp>

#include "server/coordinator/core/core.h"

namespace understudy::coordinator {

void Core::PolicyRequest(const OperatorRequest& in) {
  const auto request = nlohmann::json::parse(in.document, nullptr, false);
  const bool object = request.is_object() && request.contains("request") && request["request"].is_string();
  if (object && request["request"] == "settings") return Reply(in.token, StatusCode::kOk, "", SettingsDocument());
  Reply(in.token, StatusCode::kInvalidArgument, "policy request: field 'request': must be \"settings\"");
}

std::string Core::SettingsDocument() const {
  return nlohmann::json({{"paused", paused_}, {"brake_percent", options_.brake_percent}}).dump();
}

}  // namespace understudy::coordinator
