// understudy: the operator's command. docs/cli.md.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/cli/command.h"

namespace understudy::cli {
namespace {

constexpr char kIntro[] =
    "understudy: keeps stateful services up by moving them before they fail.\n\n"
    "Usage: understudy COMMAND [options]; understudy COMMAND --help\n\n";

std::string Overview(const std::vector<Command>& commands, const std::string& group = "") {
  std::string out;
  for (const Command& command : commands) {
    std::string name = command.name;
    if (name.rfind(group, 0) != 0) continue;
    for (const char* positional : command.positionals) name += std::string(" ") + positional;
    if (name.size() < 24) name.resize(24, ' ');
    out += "  " + name + " " + command.summary + "\n";
  }
  return out;
}

// Options may stand before the command; they are moved behind it. Those that take a value are few and common.
void MoveLeadingOptions(std::vector<std::string>* words) {
  std::vector<std::string> leading;
  while (!words->empty() && words->front().rfind("--", 0) == 0) {
    const std::string word = words->front();
    words->erase(words->begin());
    leading.push_back(word);
    if ((word == "--coordinator" || word == "--coordinators" || word == "--cluster") && !words->empty()) {
      leading.push_back(words->front());
      words->erase(words->begin());
    }
  }
  words->insert(words->end(), leading.begin(), leading.end());
}

int Main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const std::vector<Command> commands = Commands();
  MoveLeadingOptions(&words);
  if (words.empty() || words[0] == "help" || words[0] == "--help") {
    std::printf("%s%s", kIntro, Overview(commands).c_str());
    return words.empty() ? kExitUsage : kExitOk;
  }
  if (words[0] == "--version") words[0] = "version";

  const Command* command = nullptr;
  size_t used = 0;
  for (const Command& candidate : commands) {
    const std::string name = candidate.name;
    if (words[0] == name) command = &candidate, used = 1;
    if (words.size() > 1 && words[0] + " " + words[1] == name) command = &candidate, used = 2;
  }
  if (command == nullptr) {
    const std::string members = Overview(commands, words[0] + " ");
    if (!members.empty()) {
      const bool help = words.size() > 1 && words[1] == "--help";
      std::fprintf(help ? stdout : stderr, "understudy %s: one of\n%s", words[0].c_str(), members.c_str());
      return help ? kExitOk : kExitUsage;
    }
    const bool two = words.size() > 1 && words[1].rfind("--", 0) != 0;
    const Command* nearest = two ? Nearest(commands, words[0] + " " + words[1]) : nullptr;
    if (nearest == nullptr) nearest = Nearest(commands, words[0]);
    std::fprintf(stderr, "understudy: there is no command '%s'", words[0].c_str());
    if (nearest != nullptr) std::fprintf(stderr, "; did you mean '%s'?", nearest->name);
    std::fprintf(stderr, "\n`understudy help` lists them all.\n");
    return kExitUsage;
  }

  Result<Arguments> arguments = ParseArguments(*command, {words.begin() + static_cast<int64_t>(used), words.end()});
  if (!arguments.ok()) {
    std::fprintf(stderr, "understudy %s: %s\n`understudy %s --help` says more.\n", command->name,
                 arguments.status().message().c_str(), command->name);
    return kExitUsage;
  }
  if (arguments->Flag("help")) {
    std::printf("%s", Help(*command).c_str());
    return kExitOk;
  }
  const char* no_color = std::getenv("NO_COLOR");
  arguments.value().color =
      isatty(STDOUT_FILENO) != 0 && !arguments->Flag("no-color") && (no_color == nullptr || no_color[0] == '\0');
  std::error_code error;
  arguments.value().program_path = std::filesystem::read_symlink("/proc/self/exe", error).string();
  try {
    return command->run(*arguments);
  } catch (const nlohmann::json::exception& error) {  // a document with fields of other types than docs/cli.md says
    std::fprintf(stderr, "understudy %s: the answer cannot be read: %s\n", command->name, error.what());
    return kExitFailed;
  }
}

}  // namespace
}  // namespace understudy::cli

int main(int argc, char** argv) { return understudy::cli::Main(argc, argv); }
