#include "client/cli/command.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "understudy/check.h"

namespace understudy::cli {
namespace {

namespace po = boost::program_options;

const std::vector<Option>& CommonOptions() {
  static const std::vector<Option> options = {
      {"coordinators", Option::kText, "HOST:PORT,...", "127.0.0.1:7400",
       "where the coordinators listen; without it the environment's UNDERSTUDY_COORDINATORS counts", 0, 0},
      {"coordinator", Option::kText, "HOST:PORT", "", "the same, of one coordinator", 0, 0},
      {"cluster", Option::kText, "NAME", "understudy", "name of the cluster; servers of another one are refused", 0, 0},
      {"json", Option::kFlag, "", "", "print JSON", 0, 0},
      {"no-color", Option::kFlag, "", "", "no colours, also on a terminal (as the environment's NO_COLOR does)", 0, 0},
      {"help", Option::kFlag, "", "", "say this", 0, 0},
  };
  return options;
}

std::vector<Option> AllOptions(const Command& command) {
  std::vector<Option> all = command.options;
  for (const Option& option : CommonOptions()) {
    const bool own =
        std::any_of(all.begin(), all.end(), [&](const Option& o) { return std::string(o.name) == option.name; });
    if (!own) all.push_back(option);
  }
  return all;
}

// "[NODE]" -> NODE, optional; "TRACES..." -> TRACES, one or more.
std::string PositionalName(const std::string& text) {
  if (text.ends_with("...")) return text.substr(0, text.size() - 3);
  return text.front() == '[' ? text.substr(1, text.size() - 2) : text;
}

Status Invalid(const std::string& text) { return {StatusCode::kInvalidArgument, text}; }

Status CheckNumber(const Option& option, const std::string& text) {
  size_t used = 0;
  int64_t value = 0;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = std::string::npos;
  }
  if (used != text.size() || value < option.min || value > option.max) {
    return Invalid("--" + std::string(option.name) + ": '" + text + "' is not a whole number from " +
                   std::to_string(option.min) + " to " + std::to_string(option.max));
  }
  return {};
}

Status CheckReal(const Option& option, const std::string& text) {
  double value = 0;
  const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool read = result.ec == std::errc() && result.ptr == text.data() + text.size();
  // NaN fails both comparisons.
  if (!read || !(value >= static_cast<double>(option.min) && value <= static_cast<double>(option.max))) {
    return Invalid("--" + std::string(option.name) + ": '" + text + "' is not a number from " +
                   std::to_string(option.min) + " to " + std::to_string(option.max));
  }
  return {};
}

size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Arguments::Text(const std::string& name) const {
  const auto found = values.find(name);
  UNDERSTUDY_CHECK(found != values.end());
  return found->second;
}

std::string Arguments::coordinators() const {
  if (Given("coordinators")) return Text("coordinators");
  if (Given("coordinator")) return Text("coordinator");
  const char* from_environment = std::getenv("UNDERSTUDY_COORDINATORS");
  return from_environment != nullptr && from_environment[0] != '\0' ? from_environment : Text("coordinators");
}

int64_t Arguments::Number(const std::string& name) const { return std::stoll(Text(name)); }

double Arguments::Real(const std::string& name) const {
  const std::string text = Text(name);
  double value = 0;
  UNDERSTUDY_CHECK(std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc());
  return value;
}

std::vector<std::string> Arguments::List(const std::string& name) const {
  const auto found = lists.find(name);
  return found == lists.end() ? std::vector<std::string>() : found->second;
}

bool Arguments::Flag(const std::string& name) const { return Given(name); }

bool Arguments::Given(const std::string& name) const {
  const auto found = given.find(name);
  return found != given.end() && found->second;
}

Result<Arguments> ParseArguments(const Command& command, const std::vector<std::string>& words) {
  const std::vector<Option> options = AllOptions(command);
  po::options_description description;
  for (const Option& option : options) {
    if (option.kind == Option::kFlag) {
      description.add_options()(option.name, option.help);
    } else if (option.kind == Option::kList) {
      description.add_options()(option.name, po::value<std::vector<std::string>>()->composing(), option.help);
    } else {
      description.add_options()(option.name, po::value<std::string>(), option.help);
    }
  }
  description.add_options()("positional", po::value<std::vector<std::string>>());
  po::positional_options_description positionals;
  positionals.add("positional", -1);
  po::variables_map values;
  try {
    const auto style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(words).options(description).positional(positionals).style(style).run(), values);
  } catch (const po::error& error) {
    return Invalid(error.what());
  }

  Arguments arguments;
  for (const Option& option : options) {
    arguments.given[option.name] = values.count(option.name) > 0;
    if (option.kind == Option::kFlag) continue;
    if (option.kind == Option::kList) {
      if (values.count(option.name) > 0)
        arguments.lists[option.name] = values[option.name].as<std::vector<std::string>>();
      continue;
    }
    std::string text = option.fallback;
    if (values.count(option.name) > 0) {
      text = values[option.name].as<std::string>();
      if (option.kind == Option::kNumber) UNDERSTUDY_RETURN_IF_ERROR(CheckNumber(option, text));
      if (option.kind == Option::kReal) UNDERSTUDY_RETURN_IF_ERROR(CheckReal(option, text));
    }
    arguments.values[option.name] = text;
  }
  if (arguments.Flag("help")) return arguments;

  const std::vector<std::string> given =
      values.count("positional") > 0 ? values["positional"].as<std::vector<std::string>>() : std::vector<std::string>();
  const bool takes_rest = !command.positionals.empty() && std::string(command.positionals.back()).ends_with("...");
  if (given.size() > command.positionals.size() && !takes_rest) {
    return Invalid("'" + given[command.positionals.size()] + "' is one argument too many");
  }
  for (size_t i = 0; i < command.positionals.size(); ++i) {
    const std::string name = PositionalName(command.positionals[i]);
    if (i >= given.size() && command.positionals[i][0] != '[') return Invalid(name + " is required");
    arguments.values[name] = i < given.size() ? given[i] : "";
    arguments.given[name] = i < given.size();
    if (i + 1 == command.positionals.size() && takes_rest) {
      arguments.lists[name] = {given.begin() + static_cast<int64_t>(i), given.end()};
    }
  }
  return arguments;
}

std::string Help(const Command& command) {
  std::ostringstream out;
  out << "Usage: understudy " << command.name;
  for (const char* positional : command.positionals) out << ' ' << positional;
  out << " [options]\n\n" << command.summary << ".\n\n" << command.details << "\nOptions:\n";
  for (const Option& option : AllOptions(command)) {
    std::string left = "  --" + std::string(option.name);
    if (option.kind != Option::kFlag) left += std::string(" ") + option.value;
    if (left.size() < 28) left.resize(28, ' ');
    out << left << ' ' << option.help;
    if (option.kind != Option::kFlag && option.fallback[0] != '\0') out << " (" << option.fallback << ")";
    out << '\n';
  }
  return out.str();
}

const Command* Nearest(const std::vector<Command>& commands, const std::string& typed) {
  const Command* best = nullptr;
  size_t best_distance = 0;
  for (const Command& command : commands) {
    const size_t distance = EditDistance(typed, command.name);
    if (best == nullptr || distance < best_distance) {
      best = &command;
      best_distance = distance;
    }
  }
  return best != nullptr && best_distance <= std::max<size_t>(2, typed.size() / 3) ? best : nullptr;
}

int Fail(const Status& status) {
  std::fprintf(stderr, "understudy: %s\n",
               status.message().empty() ? status.ToString().c_str() : status.message().c_str());
  const bool unreachable = status.code() == StatusCode::kUnavailable ||
                           status.code() == StatusCode::kDeadlineExceeded ||
                           status.code() == StatusCode::kForeignCluster;
  return unreachable ? kExitUnreachable : kExitFailed;
}

}  // namespace understudy::cli
