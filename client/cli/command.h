// A subcommand: what it is called, what it takes, what it does. main.cc has the list.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "understudy/status.h"

namespace understudy::cli {

// Exit codes, the same for all commands (docs/cli.md).
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       // refused or failed; for doctor: a check failed
inline constexpr int kExitUsage = 2;        // the command line is wrong
inline constexpr int kExitUnreachable = 3;  // no coordinator answers

struct Option {
  enum Kind {
    kFlag,
    kText,
    kNumber,  // whole
    kReal,    // with a decimal point if need be
    kList,    // a text, any number of times
  };
  const char* name;  // "records"
  Kind kind = kFlag;
  const char* value = "";  // what --help calls its value: "N"
  const char* fallback = "";
  const char* help = "";
  int64_t min = 0, max = 0;  // of a kNumber or kReal
};

// The command line, parsed and checked.
class Arguments {
 public:
  std::string Text(const std::string& name) const;
  int64_t Number(const std::string& name) const;
  double Real(const std::string& name) const;
  bool Flag(const std::string& name) const;
  // The values of a kList, or of the positional that takes all the rest; in the order of the command line.
  std::vector<std::string> List(const std::string& name) const;
  bool Given(const std::string& name) const;  // on the command line, rather than by default

  // "HOST:PORT,...": --coordinators, else --coordinator (the older name of it), else the environment's
  // UNDERSTUDY_COORDINATORS, else the default.
  std::string coordinators() const;
  std::string cluster() const { return Text("cluster"); }
  bool json() const { return Flag("json"); }
  bool color = false;        // standard output is a terminal that wants it
  std::string program_path;  // of this program, for finding what lies beside it

  std::map<std::string, std::string> values;
  std::map<std::string, std::vector<std::string>> lists;
  std::map<std::string, bool> given;
};

struct Command {
  const char* name;                      // "service apply"
  const char* summary;                   // one line
  std::vector<const char*> positionals;  // "SERVICE"; "[NODE]" is optional; "TRACES...", the last, takes one or more
  std::vector<Option> options;           // besides those that all commands have
  const char* details;                   // what it does; examples; exit codes
  int (*run)(const Arguments& arguments);
};

// Parses what follows the command's name. kInvalidArgument names the option.
Result<Arguments> ParseArguments(const Command& command, const std::vector<std::string>& words);

// "Usage: ...", the details, the options.
std::string Help(const Command& command);

// The command whose name is nearest to what was typed, or null when none is near.
const Command* Nearest(const std::vector<Command>& commands, const std::string& typed);

// Says what went wrong on standard error and returns the exit code for it.
int Fail(const Status& status);

// All of them, in the order of `understudy help` (command_table.cc).
std::vector<Command> Commands();

// What each of them runs, in a file of its own.
int RunStatus(const Arguments& arguments);
int RunEvents(const Arguments& arguments);
int RunServiceApply(const Arguments& arguments);
int RunServiceList(const Arguments& arguments);
int RunServiceRemove(const Arguments& arguments);
int RunSwitchover(const Arguments& arguments);
int RunPause(const Arguments& arguments);
int RunResume(const Arguments& arguments);
int RunExplain(const Arguments& arguments);
int RunPolicy(const Arguments& arguments);
int RunPolicySet(const Arguments& arguments);
int RunSimulateFleet(const Arguments& arguments);
int RunLogs(const Arguments& arguments);
int RunLogsDisks(const Arguments& arguments);
int RunLogsRead(const Arguments& arguments);
int RunLogsDrain(const Arguments& arguments);
int RunLogsUndrain(const Arguments& arguments);
int RunLogsRemoveDisk(const Arguments& arguments);
int RunLogsRebalance(const Arguments& arguments);
int RunLogsAcceptDataLoss(const Arguments& arguments);
int RunDoctor(const Arguments& arguments);
int RunPredictorNew(const Arguments& arguments);
int RunPredictorCheck(const Arguments& arguments);
int RunPredictorRun(const Arguments& arguments);
int RunBacktest(const Arguments& arguments);
int RunTrain(const Arguments& arguments);
int RunBenchAppend(const Arguments& arguments);
int RunBenchRepair(const Arguments& arguments);
int RunBenchReplay(const Arguments& arguments);
int RunBenchTakeover(const Arguments& arguments);
int RunBenchForecast(const Arguments& arguments);

}  // namespace understudy::cli
