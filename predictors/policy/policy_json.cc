#include "predictors/policy/policy_json.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace understudy::policy {
namespace {

using nlohmann::json;

constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kRejuvenationMinS = 10;  // a shorter one is a misread unit
constexpr const char* kDays[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

// Thrown and caught inside this file only.
struct FieldError : std::runtime_error {
  FieldError(const std::string& field, const std::string& what)
      : std::runtime_error("field '" + field + "': " + what) {}
};

class Fields {
 public:
  Fields(const json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {
    if (!object_.is_object()) throw FieldError(prefix_.empty() ? "." : prefix_, "must be an object");
    if (!prefix_.empty()) prefix_ += '.';
  }

  const json* Find(const std::string& name) {
    known_.insert(name);
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  bool Flag(const std::string& name, bool otherwise) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) throw FieldError(prefix_ + name, "must be true or false");
    return value->get<bool>();
  }
  template <class Int>
  Int Integer(const std::string& name, Int otherwise, int64_t min, int64_t max) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_number_integer() || value->get<int64_t>() < min || value->get<int64_t>() > max) {
      throw FieldError(prefix_ + name, "must be an integer from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return static_cast<Int>(value->get<int64_t>());
  }
  double Number(const std::string& name, double otherwise, double max, const char* what) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_number() || !(value->get<double>() >= 0) || value->get<double>() > max) {
      throw FieldError(prefix_ + name, what);
    }
    return value->get<double>();
  }
  double Probability(const std::string& name, double otherwise) {
    return Number(name, otherwise, 1, "must be a number from 0 to 1");
  }
  double Cost(const std::string& name, double otherwise) {
    return Number(name, otherwise, 1e9, "must be a number from 0 to 1e9");
  }
  std::string Text(const std::string& name) {
    const json* value = Find(name);
    if (value == nullptr) return "";
    if (!value->is_string()) throw FieldError(prefix_ + name, "must be a string");
    return value->get<std::string>();
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

bool TwoNumbers(const std::string& text, int* hour, int* minute) {
  char rest = 0;
  return text.size() == 5 && std::sscanf(text.c_str(), "%2d:%2d%c", hour, minute, &rest) == 2 && *hour >= 0 &&
         *minute >= 0 && *minute < 60 && (*hour < 24 || (*hour == 24 && *minute == 0));
}

int DayOf(const std::string& text) {
  for (int i = 0; i < 7; ++i) {
    if (text == kDays[i]) return i;
  }
  return -1;
}

// "mon-fri,sun 22:00-04:00"
bool ParseWeekly(const std::string& text, Window* window) {
  const size_t space = text.find(' ');
  if (space == std::string::npos) return false;
  const std::string days = text.substr(0, space) + ",";
  for (size_t from = 0; from < days.size();) {
    const size_t comma = days.find(',', from);
    const std::string part = days.substr(from, comma - from);
    from = comma + 1;
    const size_t dash = part.find('-');
    const int first = DayOf(part.substr(0, dash));
    const int last = dash == std::string::npos ? first : DayOf(part.substr(dash + 1));
    if (first < 0 || last < 0) return false;
    for (int day = first;; day = (day + 1) % 7) {
      window->days |= 1 << day;
      if (day == last) break;
    }
  }
  const std::string times = text.substr(space + 1);
  int h1 = 0, m1 = 0, h2 = 0, m2 = 0;
  if (times.size() != 11 || times[5] != '-' || !TwoNumbers(times.substr(0, 5), &h1, &m1) ||
      !TwoNumbers(times.substr(6), &h2, &m2) || h1 == 24) {
    return false;
  }
  window->from_minute = h1 * 60 + m1;
  window->to_minute = h2 * 60 + m2;
  return true;
}

// "2026-12-24T18:00:00Z"
bool ParseTime(const std::string& text, int64_t* unix_ms) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  char zone = 0, rest = 0;
  const int read = std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d%c%c", &year, &month, &day, &hour, &minute,
                               &second, &zone, &rest);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (read != 7 || zone != 'Z' || !date.ok() || year < 1970 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 59) {
    return false;
  }
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  *unix_ms = days * kDayMs + ((hour * 60 + minute) * 60 + second) * int64_t{1000};
  return true;
}

std::vector<Window> ParseWindows(const json* list, const std::string& field, std::vector<Window> otherwise) {
  if (list == nullptr) return otherwise;
  if (!list->is_array() || list->size() > kWindowsMax)
    throw FieldError(field, "must be an array of at most 64 objects");
  std::vector<Window> out;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string prefix = field + "[" + std::to_string(i) + "]";
    Fields fields((*list)[i], prefix);
    Window window;
    const std::string kind = fields.Text("kind");
    if (kind != "allow" && kind != "forbid") throw FieldError(prefix + ".kind", "must be \"allow\" or \"forbid\"");
    window.allow = kind == "allow";
    const std::string weekly = fields.Text("weekly"), from = fields.Text("from"), to = fields.Text("to");
    fields.RefuseUnknown();
    if (weekly.empty() == from.empty()) throw FieldError(prefix, "needs either 'weekly', or 'from' and 'to'");
    if (!weekly.empty() && !ParseWeekly(weekly, &window)) {
      throw FieldError(prefix + ".weekly", "must be days and UTC times, as in \"mon-fri,sun 22:00-04:00\"");
    }
    if (!from.empty()) {
      if (!ParseTime(from, &window.from_unix_ms))
        throw FieldError(prefix + ".from", "must be \"YYYY-MM-DDTHH:MM:SSZ\"");
      if (!ParseTime(to, &window.to_unix_ms)) throw FieldError(prefix + ".to", "must be \"YYYY-MM-DDTHH:MM:SSZ\"");
      if (window.to_unix_ms <= window.from_unix_ms) throw FieldError(prefix + ".to", "must be after 'from'");
    }
    out.push_back(window);
  }
  return out;
}

json WindowsJson(const std::vector<Window>& windows) {
  json out = json::array();
  for (const Window& window : windows) {
    json one = {{"kind", window.allow ? "allow" : "forbid"}};
    if (window.days != 0) {
      std::string text;
      for (int day = 0; day < 7; ++day) {
        if ((window.days >> day & 1) != 0) text += (text.empty() ? "" : ",") + std::string(kDays[day]);
      }
      char times[32];
      std::snprintf(times, sizeof times, " %02d:%02d-%02d:%02d", window.from_minute / 60, window.from_minute % 60,
                    window.to_minute / 60, window.to_minute % 60);
      one["weekly"] = text + times;
    } else {
      one["from"] = UtcText(window.from_unix_ms);
      one["to"] = UtcText(window.to_unix_ms);
    }
    out.push_back(std::move(one));
  }
  return out;
}

template <class T, class Parse>
Result<T> Guarded(std::string_view text, const Parse& parse) {
  try {
    return parse(json::parse(text));
  } catch (const FieldError& error) {
    return Status(StatusCode::kInvalidArgument, error.what());
  } catch (const json::exception& error) {
    return Status(StatusCode::kInvalidArgument, std::string("not JSON: ") + error.what());
  }
}

}  // namespace

std::string UtcText(int64_t unix_ms) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(unix_ms / kDayMs))};
  const auto seconds = static_cast<int>(unix_ms % kDayMs / 1000);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), seconds / 3600,
                seconds / 60 % 60, seconds % 60);
  return text;
}

Result<ServicePolicy> ParseServicePolicy(std::string_view text) {
  return Guarded<ServicePolicy>(text, [](const json& object) {
    Fields fields(object, "policy");
    ServicePolicy policy;
    policy.assign_at = fields.Probability("assign_at", policy.assign_at);
    policy.switch_at = fields.Probability("switch_at", policy.switch_at);
    policy.release_at = fields.Probability("release_at", policy.release_at);
    policy.checkpoint_at = fields.Probability("checkpoint_at", std::min(policy.checkpoint_at, policy.assign_at));
    policy.reserve_at = fields.Probability("reserve_at", policy.assign_at);
    policy.mirror_at = fields.Probability("mirror_at", policy.assign_at);
    policy.persist_ms = fields.Integer("persist_ms", policy.persist_ms, 0, kDayMs);
    policy.dwell_ms = fields.Integer("dwell_ms", policy.dwell_ms, 0, kDayMs);
    policy.cooldown_ms = fields.Integer("cooldown_ms", policy.cooldown_ms, 0, kDayMs);
    policy.unplanned_cost = fields.Cost("unplanned_cost", policy.unplanned_cost);
    policy.planned_cost = fields.Cost("planned_cost", policy.planned_cost);
    policy.horizon_ms = fields.Integer("horizon_ms", policy.horizon_ms, 1000, 30 * kDayMs);
    policy.lead_factor = fields.Number("lead_factor", policy.lead_factor, 100, "must be a number from 0 to 100");
    policy.dry_run = fields.Flag("dry_run", policy.dry_run);
    policy.restart = fields.Flag("restart", policy.restart);
    policy.restart_cost = fields.Cost("restart_cost", policy.restart_cost);
    policy.restart_cooldown_ms = fields.Integer("restart_cooldown_ms", policy.restart_cooldown_ms, 0, 30 * kDayMs);
    policy.windows = ParseWindows(fields.Find("windows"), "policy.windows", {});
    fields.RefuseUnknown();
    if (policy.release_at >= policy.assign_at) throw FieldError("policy.release_at", "must be below assign_at");
    if (policy.switch_at < policy.assign_at) throw FieldError("policy.switch_at", "must not be below assign_at");
    if (policy.checkpoint_at > policy.assign_at) throw FieldError("policy.checkpoint_at", "must not exceed assign_at");
    if (policy.reserve_at > policy.assign_at) throw FieldError("policy.reserve_at", "must not exceed assign_at");
    if (policy.mirror_at < policy.assign_at || policy.mirror_at > policy.switch_at) {
      throw FieldError("policy.mirror_at", "must lie between assign_at and switch_at");
    }
    return policy;
  });
}

std::string EncodeServicePolicy(const ServicePolicy& policy) {
  json out = {{"assign_at", policy.assign_at},         {"switch_at", policy.switch_at},
              {"release_at", policy.release_at},       {"checkpoint_at", policy.checkpoint_at},
              {"reserve_at", policy.reserve_at},       {"mirror_at", policy.mirror_at},
              {"persist_ms", policy.persist_ms},       {"dwell_ms", policy.dwell_ms},
              {"cooldown_ms", policy.cooldown_ms},     {"unplanned_cost", policy.unplanned_cost},
              {"planned_cost", policy.planned_cost},   {"horizon_ms", policy.horizon_ms},
              {"lead_factor", policy.lead_factor},     {"dry_run", policy.dry_run},
              {"restart", policy.restart},             {"restart_cost", policy.restart_cost},
              {"restart_cooldown_ms", policy.restart_cooldown_ms},
              {"windows", WindowsJson(policy.windows)}};
  return out.dump();
}

Result<Rejuvenation> ParseRejuvenation(std::string_view text) {
  return Guarded<Rejuvenation>(text, [](const json& object) {
    Fields fields(object, "rejuvenation");
    Rejuvenation out;
    out.every_s = fields.Integer("every_s", out.every_s, 0, 366 * kDayMs / 1000);
    out.appends_per_s_max = fields.Cost("appends_per_s_max", out.appends_per_s_max);
    out.windows = ParseWindows(fields.Find("windows"), "rejuvenation.windows", {});
    fields.RefuseUnknown();
    if (out.every_s > 0 && out.every_s < kRejuvenationMinS) {
      throw FieldError("rejuvenation.every_s", "must be 0 or at least " + std::to_string(kRejuvenationMinS));
    }
    return out;
  });
}

std::string EncodeRejuvenation(const Rejuvenation& rejuvenation) {
  return json({{"every_s", rejuvenation.every_s},
               {"appends_per_s_max", rejuvenation.appends_per_s_max},
               {"windows", WindowsJson(rejuvenation.windows)}})
      .dump();
}

Result<FleetSettings> ParseFleetSettings(std::string_view text, const FleetSettings& base) {
  return Guarded<FleetSettings>(text, [&](const json& object) {
    Fields fields(object, "settings");
    FleetSettings out = base;
    out.paused = fields.Flag("paused", base.paused);
    out.dry_run = fields.Flag("dry_run", base.dry_run);
    out.brake_percent = fields.Integer("brake_percent", base.brake_percent, 1, 100);
    out.brake_services_min = fields.Integer("brake_services_min", base.brake_services_min, 2, 1'000'000);
    out.reserve_spares = fields.Integer("reserve_spares", base.reserve_spares, 0, 1'000'000);
    out.reserve_percent = fields.Integer("reserve_percent", base.reserve_percent, 0, 100);
    out.spare_cost_per_s = fields.Cost("spare_cost_per_s", base.spare_cost_per_s);
    out.windows = ParseWindows(fields.Find("windows"), "settings.windows", base.windows);
    fields.RefuseUnknown();
    return out;
  });
}

std::string EncodeFleetSettings(const FleetSettings& settings) {
  return json({{"paused", settings.paused},
               {"dry_run", settings.dry_run},
               {"brake_percent", settings.brake_percent},
               {"brake_services_min", settings.brake_services_min},
               {"reserve_spares", settings.reserve_spares},
               {"reserve_percent", settings.reserve_percent},
               {"spare_cost_per_s", settings.spare_cost_per_s},
               {"windows", WindowsJson(settings.windows)}})
      .dump();
}

}  // namespace understudy::policy
