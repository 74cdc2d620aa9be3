#include "server/coordinator/core/service_spec.h"

#include <cctype>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "predictors/policy/policy_json.h"

namespace understudy::coordinator {
namespace {

using nlohmann::json;

constexpr int kReplicasMax = 9;
constexpr size_t kListMax = 256;
constexpr int64_t kDayMs = 86'400'000;

// Thrown and caught inside this file only.
struct FieldError : std::runtime_error {
  FieldError(const std::string& field, const std::string& what)
      : std::runtime_error("service: field '" + field + "': " + what) {}
  explicit FieldError(const std::string& message) : std::runtime_error("service: " + message) {}
};

// Reads the fields of one JSON object and knows which it was asked for, so that the rest can be refused by name.
class Fields {
 public:
  Fields(const json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {
    if (!object_.is_object()) throw FieldError(prefix_.empty() ? "." : prefix_, "must be an object");
    if (!prefix_.empty()) prefix_ += '.';
  }

  const json* Find(const std::string& name) {
    known_.insert(name);
    auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  std::string Text(const std::string& name, const std::string& otherwise) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) throw FieldError(prefix_ + name, "must be a string");
    return value->get<std::string>();
  }

  bool Flag(const std::string& name, bool otherwise) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) throw FieldError(prefix_ + name, "must be true or false");
    return value->get<bool>();
  }

  int64_t Integer(const std::string& name, int64_t otherwise, int64_t min, int64_t max) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_number_integer() || value->get<int64_t>() < min || value->get<int64_t>() > max) {
      throw FieldError(prefix_ + name, "must be an integer from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return value->get<int64_t>();
  }

  std::vector<std::string> Texts(const std::string& name) {
    std::vector<std::string> out;
    const json* value = Find(name);
    if (value == nullptr) return out;
    if (!value->is_array() || value->size() > kListMax) throw FieldError(prefix_ + name, "must be an array of strings");
    for (const json& item : *value) {
      if (!item.is_string()) throw FieldError(prefix_ + name, "must be an array of strings");
      out.push_back(item.get<std::string>());
    }
    return out;
  }

  std::map<std::string, std::string> Map(const std::string& name) {
    std::map<std::string, std::string> out;
    const json* value = Find(name);
    if (value == nullptr) return out;
    if (!value->is_object() || value->size() > kListMax) {
      throw FieldError(prefix_ + name, "must be an object of strings");
    }
    for (const auto& [key, item] : value->items()) {
      if (!item.is_string()) throw FieldError(prefix_ + name + "." + key, "must be a string");
      out[key] = item.get<std::string>();
    }
    return out;
  }

  void RefuseUnknown() const {
    for (const auto& [key, value] : object_.items()) {
      if (known_.count(key) == 0) throw FieldError(prefix_ + key, "is not known");
    }
  }

 private:
  const json& object_;
  std::string prefix_;
  std::set<std::string> known_;
};

// Does the configuration name metrics, and none but of what a process uses up and its end sets free?
bool OnlyOfTheProcess(const std::string& config) {
  static const std::set<std::string> kOfProcess = {"proc.rss_bytes", "proc.swap_bytes",    "proc.memory_fraction",
                                                   "proc.fds",       "proc.fds_fraction", "proc.threads"};
  bool any = false, other = false;
  const std::function<void(const json&)> look = [&](const json& value) {
    for (const auto& [key, item] : value.items()) {
      if (item.is_structured()) look(item);
      if (key == "limits" && item.is_object()) {  // of trend: by name
        for (const auto& [name, limit] : item.items()) other |= kOfProcess.count(name) == 0;
      }
      if (key != "metric" || !item.is_string()) continue;
      any = true;
      other |= kOfProcess.count(item.get<std::string>()) == 0;
    }
  };
  look(json::parse(config));
  return any && !other;
}

std::vector<PredictorSpec> ParsePredictors(const json* list) {
  std::vector<PredictorSpec> out;
  if (list == nullptr) return out;
  if (!list->is_array() || list->size() > 16) throw FieldError("predictors", "must be an array of at most 16 objects");
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string prefix = "predictors[" + std::to_string(i) + "]";
    Fields fields((*list)[i], prefix);
    PredictorSpec spec;
    spec.plugin = fields.Text("plugin", "");
    if (spec.plugin.empty()) throw FieldError(prefix + ".plugin", "is required");
    if (const json* config = fields.Find("config")) {
      if (!config->is_object()) throw FieldError(prefix + ".config", "must be an object");
      spec.config = config->dump();
    }
    spec.shadow = fields.Flag("shadow", false);
    spec.restart_cures = fields.Flag("restart_cures", OnlyOfTheProcess(spec.config));
    const std::string isolation = fields.Text("isolation", "process");
    if (isolation != "process" && isolation != "thread") {
      throw FieldError(prefix + ".isolation", "must be \"process\" or \"thread\"");
    }
    spec.isolation = isolation == "thread" ? Isolation::kThread : Isolation::kProcess;
    fields.RefuseUnknown();
    out.push_back(std::move(spec));
  }
  return out;
}

PolicySpec ParsePolicy(const json* object) {
  if (object == nullptr) return PolicySpec();
  Result<PolicySpec> policy = policy::ParseServicePolicy(object->dump());
  if (!policy.ok()) throw FieldError(policy.status().message());
  return *std::move(policy);
}

ServiceSpec Parse(const json& document) {
  Fields fields(document, "");
  ServiceSpec spec;
  spec.name = fields.Text("name", "");
  if (!IsName(spec.name)) throw FieldError("name", "must be 1 to 128 letters, digits, '-', '_' or '.'");
  spec.program = fields.Text("program", "");
  if (spec.program.empty()) throw FieldError("program", "is required");
  spec.arguments = fields.Texts("arguments");
  spec.environment = fields.Map("environment");
  const std::string spare = fields.Text("spare", "WARM");
  if (spare != "WARM" && spare != "COLD") throw FieldError("spare", "must be \"WARM\" or \"COLD\"");
  spec.warm = spare == "WARM";
  spec.standby = fields.Flag("standby", false);
  spec.replicas = static_cast<int>(fields.Integer("replicas", 1, 1, kReplicasMax));
  spec.replicas_given = fields.Find("replicas") != nullptr;
  if (!spec.replicas_given && fields.Find("ack_quorum") != nullptr) throw FieldError("ack_quorum", "needs replicas");
  spec.ack_quorum = static_cast<int>(fields.Integer("ack_quorum", spec.replicas / 2 + 1, 1, kReplicasMax));
  if (spec.ack_quorum > spec.replicas) throw FieldError("ack_quorum", "must not exceed replicas");
  spec.log = LogId(static_cast<uint64_t>(fields.Integer("log_id", 0, 0, INT64_MAX)));
  spec.predictors = ParsePredictors(fields.Find("predictors"));
  spec.labels = fields.Map("labels");
  spec.checkpoint_interval_ms = fields.Integer("checkpoint_interval_ms", 0, 0, kDayMs);
  spec.memory_limit_bytes = fields.Integer("memory_limit_bytes", 0, 0, INT64_MAX);
  spec.log_quota_bytes = fields.Integer("log_quota_bytes", 0, 0, INT64_MAX);
  if (spec.log_quota_bytes != 0 && spec.log_quota_bytes < kLogQuotaBytesMin) {
    throw FieldError("log_quota_bytes", "must be 0 (no bound) or at least " + std::to_string(kLogQuotaBytesMin));
  }
  spec.stop_grace_ms = fields.Integer("stop_grace_ms", spec.stop_grace_ms, 0, 600'000);
  spec.policy = ParsePolicy(fields.Find("policy"));
  if (const json* rejuvenation = fields.Find("rejuvenation")) {
    Result<policy::Rejuvenation> parsed = policy::ParseRejuvenation(rejuvenation->dump());
    if (!parsed.ok()) throw FieldError(parsed.status().message());
    spec.rejuvenation = *std::move(parsed);
  }
  spec.removed = fields.Flag("removed", false);
  fields.RefuseUnknown();
  return spec;
}

}  // namespace

bool IsName(std::string_view name) {
  if (name.empty() || name.size() > 128 || name[0] == '.') return false;
  for (char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

Result<ServiceSpec> ParseServiceSpec(std::string_view text) {
  if (text.size() > kServiceFileBytesMax) {
    return Status(StatusCode::kInvalidArgument,
                  "service: longer than " + std::to_string(kServiceFileBytesMax) + " bytes");
  }
  try {
    return Parse(json::parse(text));
  } catch (const FieldError& error) {
    return Status(StatusCode::kInvalidArgument, error.what());
  } catch (const json::exception& error) {
    return Status(StatusCode::kInvalidArgument, std::string("service: not JSON: ") + error.what());
  }
}

std::string EncodeServiceSpec(const ServiceSpec& spec) {
  json predictors = json::array();
  for (const PredictorSpec& predictor : spec.predictors) {
    predictors.push_back({{"plugin", predictor.plugin}, {"config", json::parse(predictor.config)}});
    if (predictor.shadow) predictors.back()["shadow"] = true;
    predictors.back()["restart_cures"] = predictor.restart_cures;
    if (predictor.isolation != Isolation::kProcess) {
      predictors.back()["isolation"] = IsolationName(predictor.isolation);
    }
  }
  json out = {{"name", spec.name},
              {"program", spec.program},
              {"arguments", spec.arguments},
              {"environment", spec.environment},
              {"spare", spec.warm ? "WARM" : "COLD"},
              {"standby", spec.standby},
              {"replicas", spec.replicas},
              {"ack_quorum", spec.ack_quorum},
              {"log_id", spec.log.value()},
              {"predictors", std::move(predictors)},
              {"labels", spec.labels},
              {"checkpoint_interval_ms", spec.checkpoint_interval_ms},
              {"memory_limit_bytes", spec.memory_limit_bytes},
              {"stop_grace_ms", spec.stop_grace_ms},
              {"policy", json::parse(policy::EncodeServicePolicy(spec.policy))}};
  if (spec.rejuvenation != policy::Rejuvenation()) {
    out["rejuvenation"] = json::parse(policy::EncodeRejuvenation(spec.rejuvenation));
  }
  if (spec.log_quota_bytes != 0) out["log_quota_bytes"] = spec.log_quota_bytes;
  if (spec.removed) out["removed"] = true;
  return out.dump();
}

bool SameProgram(const ServiceSpec& a, const ServiceSpec& b) {
  return a.program == b.program && a.arguments == b.arguments && a.environment == b.environment;
}

}  // namespace understudy::coordinator
