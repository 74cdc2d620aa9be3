// Every command of `understudy`: its options and its help.
#include <cstdio>
#include <string>
#include <vector>

#include "client/cli/command.h"

namespace understudy::cli {
namespace {

constexpr char kVersion[] = UNDERSTUDY_VERSION;

int RunVersion(const Arguments& arguments) {
  std::printf(arguments.json() ? "{\"version\": \"%s\"}\n" : "understudy %s\n", kVersion);
  return kExitOk;
}

constexpr char kCodes[] = "Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no coordinator answers.\n";

}  // namespace

std::vector<Command> Commands() {
  static const std::string status =
      std::string(
          "Services with their primary, spare, lag, risk and forecast; nodes; recent moves.\n\n"
          "  understudy status\n  understudy status --json | jq '.services[].state'\n\n") +
      kCodes;
  static const std::string events =
      std::string(
          "What the coordinator decided and saw, oldest first, with why.\n\n"
          "  understudy events --limit 20\n  understudy events --after 812 --follow\n\n") +
      kCodes;
  static const std::string apply =
      std::string(
          "FILE is the JSON of one service (docs/cli.md, \"Service file\"); - reads standard input. A service of\n"
          "that name is changed, otherwise made.\n\n  understudy service apply kv1.json\n\n") +
      kCodes;
  static const std::string list =
      std::string("What is declared, running or not.\n\n  understudy service list\n\n") + kCodes;
  static const std::string remove =
      std::string(
          "Stops its processes and forgets it. Its log stays, and a service of the same name gets it back.\n\n"
          "  understudy service remove kv1\n\n") +
      kCodes;
  static const std::string switchover =
      std::string(
          "A planned move to its caught-up spare: no acknowledged write is lost. Refused, with what to do, when\n"
          "no caught-up spare exists. Returns when the new primary serves.\n\n"
          "  understudy switchover kv1\n  understudy switchover kv1 --to n4\n\n") +
      kCodes;
  static const std::string pause =
      std::string(
          "No predicted moves until `understudy resume`; failures are still recovered from.\n\n"
          "  understudy pause\n\n") +
      kCodes;
  static const std::string resume = std::string("Predicted moves go on.\n\n  understudy resume\n\n") + kCodes;
  static const std::string explain =
      std::string(
          "Why the service was, or was not, prepared and moved: what the predictors say, what each rung of the ladder\n"
          "would gain, what holds it, how long a spare would need, the last decisions.\n\n  understudy explain kv1\n"
          "  understudy explain kv1 --json | jq .holds\n\n") +
      kCodes;
  static const std::string policy =
      std::string("Brakes, reserve, dry run and windows of the whole cluster.\n\n  understudy policy\n\n") + kCodes;
  static const std::string policy_set =
      std::string(
          "FILE is JSON with the settings to change (docs/cli.md, \"policy\"); - reads standard input.\n\n"
          "  echo '{\"dry_run\": true}' | understudy policy set -\n\n") +
      kCodes;
  static const std::string simulate =
      std::string(
          "Lets a fleet live for days of simulated time, once without predictions, once with moves at 90 % of a\n"
          "capacity, once with the coordinator's policy, all with the same faults. --policy FILE has the policy's\n"
          "fields and those of the faults (docs/coordinator.md, \"Simulating a fleet\").\n\n"
          "  understudy simulate-fleet\n  understudy simulate-fleet --primaries 500 --spares 10 --days 30 --seed "
          "7\n\n") +
      kCodes;
  static const std::string logs =
      std::string(
          "Each log: its open epoch, owner and disks; commit, tail and trim LSN; bytes; checkpoints.\n"
          "--epochs lists the whole chain.\n\n  understudy logs\n  understudy logs kv1 --epochs\n\n") +
      kCodes;
  static const std::string log_disks =
      std::string(
          "Each disk: its node and zone; whether it takes epochs (active), is being emptied (draining) or is damaged\n"
          "(retired); whether it answers; how many epochs and checkpoints name it.\n\n  understudy logs disks\n\n") +
      kCodes;
  static const std::string log_read =
      std::string(
          "LSN, key and payload of each record; a range that was given up is a line that begins with LOSS. With "
          "--json\n"
          "one object a line.\n\n  understudy logs read kv1 --from 100 --until 120\n\n") +
      kCodes;
  static const std::string drain =
      std::string(
          "Open epochs leave its disks within seconds, closed ones and checkpoints are copied elsewhere, and no new\n"
          "ones come, as long as there are enough other disks.\n\n"
          "  understudy logs drain n3\n  understudy logs drain --disk 12ab34cd\n\n") +
      kCodes;
  static const std::string undrain = std::string("\n  understudy logs undrain n3\n\n") + kCodes;
  static const std::string remove_disk =
      std::string(
          "Refused while an epoch or a checkpoint names it. --force is for a disk that is lost for good: those epochs\n"
          "count it as one that never answers. Stop its log server first, or it registers the disk again.\n\n"
          "  understudy logs remove-disk 12ab34cd\n\n") +
      kCodes;
  static const std::string rebalance =
      std::string(
          "Asks the writers of logs whose disks share a zone without need, drain, or serve more open epochs than\n"
          "others to go on elsewhere. No write waits for it.\n\n  understudy logs rebalance --dry-run\n\n") +
      kCodes;
  static const std::string accept_loss =
      std::string(
          "When so many disks of the last epoch are lost that nobody can say where it ends, a takeover waits for\n"
          "them and `understudy status` names them. If they cannot come back, this ends the epoch with what is left:\n"
          "acknowledged records may be lost. Without the right --confirm-node-is-off it says what would be lost and\n"
          "does nothing. A writer that still ran on that node would go on acknowledging what nobody will ever see.\n\n"
          "  understudy logs accept-data-loss kv1\n"
          "  understudy logs accept-data-loss kv1 --confirm-node-is-off n1\n\n"
          "With --epoch: of a closed epoch, what its log servers say is on no disk that is left. It ends below that;\n"
          "readers, who wait for it until then, get a gap. Without the right --confirm-lost-from it only says what.\n\n"
          "  understudy logs accept-data-loss kv1 --epoch 3\n"
          "  understudy logs accept-data-loss kv1 --epoch 3 --confirm-lost-from 501\n\n") +
      kCodes;
  static const std::string doctor = std::string(
      "Checks the cluster and this machine, gives a verdict on each and says what to do.\n\n"
      "  understudy doctor\n  understudy doctor --data-dir /var/lib/understudy\n\n"
      "Exit codes: 0 nothing failed (warnings are allowed), 1 a check failed, 2 wrong command line.\n");
  static const std::string predictor_new =
      "Writes NAME/ with a plugin that builds with CMake, its test trace and a README. What it takes to go from there\n"
      "is in docs/predictor_sdk.md.\n\n"
      "  understudy predictor new fds_run_out\n  understudy predictor new fds_run_out --language c --dir "
      "plugins/fds\n\n"
      "Exit codes: 0 written, 1 refused (the folder is not empty, the name is none), 2 wrong command line.\n";
  static const std::string predictor_check =
      "Loads the plugin in a child process and tries it with good and bad configurations, samples and states: does it\n"
      "keep the rules of understudy/predictor.h? PLUGIN is a path, or the name of an installed plugin.\n\n"
      "  understudy predictor check build/fds_run_out.so\n"
      "  understudy predictor check threshold --config @bounds.json\n\n"
      "Exit codes: 0 no check failed (warnings are allowed), 1 one failed, 2 wrong command line.\n";
  static const std::string predictor_run =
      "Feeds the trace (CSV: time_s and a column a metric; NAME.events.json beside it) and prints what the plugin "
      "says\n"
      "after each row: about 40 lines without --every; with --json after every row.\n\n"
      "  understudy predictor run build/fds_run_out.so trace.csv --horizons 60,600\n\n"
      "Exit codes: 0 it ran, 1 it could not, 2 wrong command line.\n";
  static const std::string backtest =
      "Replays traces (NAME.csv with NAME.events.json; folders are searched) to predictors as a coordinator would\n"
      "have fed them, and says what their alarms were worth: precision, recall, lead time, false alarms,\n"
      "calibration, cost. Runs the plugins in this process, without a cluster. In a configuration\n"
      "{\"sweep\": [a, b]} stands for each of a and b; all combinations run. With several predictors the others are\n"
      "compared at the recall of the first.\n\n"
      "  understudy backtest traces/ --predictor trend --html report.html\n"
      "  understudy backtest leak.csv --predictor threshold:@bounds.json --predictor predict_linear:@rules.json\n"
      "  understudy backtest traces/ --predictor ./mine.so:'{\"limit\": 3}' --json\n\n"
      "Exit codes: 0 done, 1 a trace or a predictor is refused, 2 wrong command line.\n";
  static const std::string train =
      std::string(
          "Learns from recorded traces (files, or folders of them) when a failure comes, and writes a model for the\n"
          "predictor gbt. Whole traces train, stop the training, calibrate or judge; the report is of those that "
          "judge.\n"
          "--cross-validate K only reports, over all traces, each judged by a model that never saw it.\n\n"
          "  understudy train traces/ --out kv.model\n"
          "  understudy train traces/ --out kv.model --horizons 60s,5m --windows 10s,60s,5m --json\n"
          "  understudy train traces/ --cross-validate 5 --cap-remaining 125\n\n") +
      kCodes;
  static const std::string append =
      std::string(
          "Appends records through the client library and measures: on private log servers that it starts and\n"
          "removes, or on --coordinator. One of --sync (one writer that waits for each), --threads T\n"
          "(T writers that wait, one log), --window W (W records in flight).\n\n"
          "  understudy bench append --sync --records 20000\n"
          "  understudy bench append --replicas 3 --ack 2 --threads 64\n"
          "  understudy bench append --window 16384 --records 10000000 --json\n\n") +
      kCodes;
  static const std::string replay =
      std::string(
          "Appends records, then reads them from the log server into a sharded hash map: read, checksum, Thrift,\n"
          "decode, apply.\n\n  understudy bench replay --records 20000000 --lanes 2\n\n") +
      kCodes;
  static const std::string forecast =
      "Runs the predictor host with its child processes, as a coordinator does, over made-up samples of N primaries\n"
      "once a second, and reports processor time, memory, the time of a round and what was answered.\n\n"
      "  understudy bench forecast --primaries 10000 --predictors threshold,trend --seconds 60\n\n"
      "Exit codes: 0 measured, 1 not, 2 wrong command line.\n";
  static const std::string repair =
      std::string(
          "Three log servers, of which one loses its disk: what appends of others cost while closed epochs are copied\n"
          "onto the new disk, beside what they cost before and after. One writer waits for each record, another\n"
          "appends --rate a second and waits for none.\n\n"
          "  understudy bench repair\n  understudy bench repair --megabytes 4096 --seconds 30 --json\n\n") +
      kCodes;
  static const std::string takeover =
      std::string(
          "Starts a private cluster with nodes and the resp_kv example, writes through the Redis protocol, and\n"
          "measures the longest time without a successful write around each move: planned switchovers, deaths of the\n"
          "process or of its node with a mirroring spare, kills with nothing but a WARM unassigned spare.\n\n"
          "  understudy bench takeover --moves 100 --kills 100\n  understudy bench takeover --moves 10 --kills 10 "
          "--behind 0\n"
          "  understudy bench takeover --log-servers 3 --coordinators 2 --etcd 1 --node-deaths 50\n\n") +
      kCodes;
  return {
      {"status", "Services, spares, risk and forecasts at a glance", {}, {}, status.c_str(), RunStatus},
      {"events",
       "The history of decisions",
       {},
       {{"after", Option::kNumber, "N", "0", "only events after number N", 0, INT64_MAX},
        {"limit", Option::kNumber, "N", "0", "only the newest N; 0: all that are kept", 0, 100000},
        {"follow", Option::kFlag, "", "", "wait for new ones", 0, 0}},
       events.c_str(),
       RunEvents},
      {"service apply", "Declares a service, or changes it", {"FILE"}, {}, apply.c_str(), RunServiceApply},
      {"service list", "Lists the declared services", {}, {}, list.c_str(), RunServiceList},
      {"service remove", "Removes a service; its log stays", {"SERVICE"}, {}, remove.c_str(), RunServiceRemove},
      {"switchover",
       "Moves a service to its spare, without losing a write",
       {"SERVICE"},
       {{"to", Option::kText, "NODE", "", "the spare's node; anything else is refused", 0, 0},
        {"timeout-s", Option::kNumber, "S", "60", "give up waiting after S seconds", 1, 3600}},
       switchover.c_str(),
       RunSwitchover},
      {"pause", "Holds predicted moves", {}, {}, pause.c_str(), RunPause},
      {"resume", "Lets predicted moves go on", {}, {}, resume.c_str(), RunResume},
      {"explain", "Says why a service was or was not moved", {"SERVICE"}, {}, explain.c_str(), RunExplain},
      {"policy", "Shows the policy's settings of the cluster", {}, {}, policy.c_str(), RunPolicy},
      {"policy set", "Changes them", {"FILE"}, {}, policy_set.c_str(), RunPolicySet},
      {"simulate-fleet",
       "Compares policies on a simulated fleet",
       {},
       {{"primaries", Option::kNumber, "N", "10000", "how many", 1, 1'000'000},
        {"spares", Option::kNumber, "K", "200", "how many", 0, 1'000'000},
        {"days", Option::kNumber, "D", "7", "of simulated time", 1, 3650},
        {"seed", Option::kNumber, "S", "1", "of faults and states; the same seed, the same result", 0, INT64_MAX},
        {"policy", Option::kText, "FILE", "", "policy, settings and faults, JSON; without it the defaults", 0, 0}},
       simulate.c_str(),
       RunSimulateFleet},
      {"logs",
       "The redo logs, their epochs and disks",
       {"[LOG]"},
       {{"epochs", Option::kFlag, "", "", "list all epochs of each chain", 0, 0}},
       logs.c_str(),
       RunLogs},
      {"logs disks", "The disks, where they are and what they hold", {}, {}, log_disks.c_str(), RunLogsDisks},
      {"logs read",
       "Prints the records of a log",
       {"LOG"},
       {{"from", Option::kNumber, "LSN", "1", "first record", 1, INT64_MAX},
        {"until", Option::kNumber, "LSN", "0", "last record; not given: what is committed now", 0, INT64_MAX}},
       log_read.c_str(),
       RunLogsRead},
      {"logs drain",
       "Empties a node's disks, or one disk",
       {"[NODE]"},
       {{"disk", Option::kText, "ID", "", "one disk; the first digits of its id will do", 0, 0}},
       drain.c_str(),
       RunLogsDrain},
      {"logs undrain",
       "Lets draining disks take epochs again",
       {"[NODE]"},
       {{"disk", Option::kText, "ID", "", "one disk; the first digits of its id will do", 0, 0}},
       undrain.c_str(),
       RunLogsUndrain},
      {"logs remove-disk",
       "Forgets a disk that holds nothing, or is lost",
       {"DISK"},
       {{"force", Option::kFlag, "", "", "though epochs still name it: they lose that copy for good", 0, 0}},
       remove_disk.c_str(),
       RunLogsRemoveDisk},
      {"logs rebalance",
       "Spreads open epochs over disks and zones",
       {},
       {{"dry-run", Option::kFlag, "", "", "only say what would move", 0, 0}},
       rebalance.c_str(),
       RunLogsRebalance},
      {"logs accept-data-loss",
       "Lets a takeover go on without the disks it waits for",
       {"SERVICE"},
       {{"confirm-node-is-off", Option::kText, "NODE", "", "the node of the last writer, which you have switched off",
         0, 0},
        {"epoch", Option::kNumber, "EPOCH", "0", "give up what no disk has of this closed epoch", 0, INT64_MAX},
        {"confirm-lost-from", Option::kNumber, "LSN", "0", "the first LSN that is given up with --epoch", 0, INT64_MAX},
        {"timeout-s", Option::kNumber, "S", "60", "give up waiting after S seconds", 1, 3600}},
       accept_loss.c_str(),
       RunLogsAcceptDataLoss},
      {"doctor",
       "Checks the cluster and this machine",
       {},
       {{"data-dir", Option::kText, "DIR", "understudy-data",
         "whose disk is tested; the working folder if it is absent", 0, 0}},
       doctor.c_str(),
       RunDoctor},
      {"predictor new",
       "Writes the files of a new predictor plugin",
       {"NAME"},
       {{"language", Option::kText, "LANGUAGE", "cpp", "c or cpp", 0, 0},
        {"dir", Option::kText, "DIR", "", "where to; without it a folder NAME here", 0, 0}},
       predictor_new.c_str(),
       RunPredictorNew},
      {"predictor check",
       "Says whether a plugin keeps the rules",
       {"PLUGIN"},
       {{"config", Option::kText, "JSON|@FILE", "{}", "configuration it takes", 0, 0}},
       predictor_check.c_str(),
       RunPredictorCheck},
      {"predictor run",
       "Runs a plugin over a recorded trace",
       {"PLUGIN", "TRACE"},
       {{"config", Option::kText, "JSON|@FILE", "{}", "configuration it takes", 0, 0},
        {"horizons", Option::kText, "S,S", "60", "how far ahead it is asked, seconds", 0, 0},
        {"every", Option::kNumber, "S", "0", "ask every S seconds of the trace; 0: after each row", 0, 1'000'000'000}},
       predictor_run.c_str(),
       RunPredictorRun},
      {"backtest",
       "Measures predictors on recorded traces",
       {"TRACES..."},
       {{"predictor", Option::kList, "NAME[:CONFIG|:@FILE]", "",
         "a plugin's name or path, and its configuration; any number of times (trend)", 0, 0},
        {"horizon", Option::kReal, "S", "60", "forecasts are asked for so far ahead", 1, 100'000'000},
        {"window", Option::kReal, "S", "0",
         "an alarm is right when an event begins so soon after it; 0: twice the horizon", 0, 1'000'000'000},
        {"every", Option::kReal, "S", "0", "at least so long between forecasts; 0: one after each row", 0, 1'000'000},
        {"switch-at", Option::kReal, "P", "0.7", "probability that opens an alarm", 0, 1},
        {"release-at", Option::kReal, "P", "0.2", "below it the alarm closes", 0, 1},
        {"persist-ms", Option::kReal, "MS", "1000", "so long at --switch-at before it opens", 0, 1'000'000'000},
        {"dwell-ms", Option::kReal, "MS", "10000", "so long below --release-at before it closes", 0, 1'000'000'000},
        {"ready", Option::kReal, "S", "1", "a spare needs so long to be ready; a shorter lead comes too late", 0,
         100'000},
        {"cost-unplanned", Option::kReal, "C", "10", "of an event nobody was ready for", 0, 1'000'000'000},
        {"cost-planned", Option::kReal, "C", "1", "of a move, needed or not", 0, 1'000'000'000},
        {"failures-only", Option::kFlag, "", "", "degradations need not be forecast", 0, 0},
        {"threads", Option::kNumber, "N", "0", "traces replayed at once; 0: as many as the machine has cores", 0, 1024},
        {"html", Option::kText, "FILE", "", "write a report with plots, one page that opens offline", 0, 0}},
       backtest.c_str(),
       RunBacktest},
      {"train",
       "Trains a model of the predictor gbt on traces",
       {"TRACES..."},
       {{"out", Option::kText, "MODEL", "", "the model file to write", 0, 0},
        {"horizons", Option::kText, "T,T", "",
         "failure within how long, up to 16 (60s,5m,15m; or 5, 15 and 60 intervals of samples rarer than 30 s)", 0, 0},
        {"windows", Option::kText, "N,N", "10,30,60", "1 to 4 lengths of windows: samples, or with a unit, 30s,5m", 0,
         0},
        {"metrics", Option::kText, "A,B", "", "only these; otherwise all that every trace has", 0, 0},
        {"label", Option::kText, "KIND", "failure", "events to forecast: failure, degradation or both", 0, 0},
        {"cap-remaining", Option::kReal, "S", "0",
         "remaining times beyond count as this; 0: ten times the longest horizon", 0, 1'000'000'000},
        {"time-scale", Option::kText, "SCALE", "auto", "of the remaining time: linear, log, or auto: the better one", 0,
         0},
        {"no-age", Option::kFlag, "", "", "the time since the start is no feature", 0, 0},
        {"no-test", Option::kFlag, "", "", "keep no traces apart to judge: there are others for `understudy backtest`",
         0, 0},
        {"cross-validate", Option::kNumber, "K", "0", "only report, by K folds over traces", 0, 100},
        {"seed", Option::kNumber, "N", "1", "the same seed and traces give the same model", 0, 2'147'483'646},
        {"rounds", Option::kNumber, "N", "200", "trees a head at most", 1, 2000},
        {"depth", Option::kNumber, "N", "4", "of a tree", 1, 10},
        {"learning-rate", Option::kReal, "R", "0.08", "of the boosting", 0, 1},
        {"rows-max", Option::kNumber, "N", "200000", "beyond, quiet stretches are thinned", 1000, 10'000'000},
        {"threads", Option::kNumber, "N", "1", "of the training", 1, 64},
        {"features-csv", Option::kText, "FILE", "", "also write the features, for training elsewhere", 0, 0},
        {"failure-booster", Option::kText, "FILE", "", "an XGBoost model to take for the failure head", 0, 0},
        {"time-booster", Option::kText, "FILE", "", "one for the time head; with --time-scale", 0, 0}},
       train.c_str(),
       RunTrain},
      {"bench append",
       "Measures appends",
       {},
       {{"replicas", Option::kNumber, "E", "1", "disks of the log, each of a private log server", 1, 9},
        {"ack", Option::kNumber, "A", "0", "of them must have a record on disk; 0: a majority", 0, 9},
        {"records", Option::kNumber, "N", "100000", "how many", 1, 1'000'000'000},
        {"size", Option::kNumber, "BYTES", "100", "of one record", 1, 1 << 20},
        {"window", Option::kNumber, "W", "1024", "records in flight", 1, 1 << 20},
        {"threads", Option::kNumber, "T", "1", "writers that wait", 1, 1024},
        {"sync", Option::kFlag, "", "", "one writer that waits", 0, 0},
        {"data-dir", Option::kText, "DIR", ".", "on whose disk the private server keeps its data", 0, 0}},
       append.c_str(),
       RunBenchAppend},
      {"bench repair",
       "Measures appends beside background repair",
       {},
       {{"megabytes", Option::kNumber, "MB", "1024", "in closed epochs, on each of the three disks", 1, 1 << 20},
        {"seconds", Option::kNumber, "S", "15", "without repair, before it and again after it", 1, 3600},
        {"rate", Option::kNumber, "N", "10000", "records a second of the writer that does not wait", 1, 1'000'000},
        {"size", Option::kNumber, "BYTES", "100", "of one record of these writers", 1, 1 << 16},
        {"data-dir", Option::kText, "DIR", ".", "on whose disk the private servers keep their data", 0, 0}},
       repair.c_str(),
       RunBenchRepair},
      {"bench replay",
       "Measures replay into a sharded hash map",
       {},
       {{"records", Option::kNumber, "N", "5000000", "how many", 1, 1'000'000'000},
        {"size", Option::kNumber, "BYTES", "100", "of one record", 8, 1 << 16},
        {"lanes", Option::kNumber, "L", "2", "threads that apply", 1, 64},
        {"data-dir", Option::kText, "DIR", ".", "on whose disk the private server keeps its data", 0, 0}},
       replay.c_str(),
       RunBenchReplay},
      {"bench forecast",
       "Measures what forecasts cost a coordinator",
       {},
       {{"primaries", Option::kNumber, "N", "10000", "services, each with instances of all predictors", 1, 100'000},
        {"predictors", Option::kText, "NAME,NAME", "threshold,trend", "plugins, as in a service file", 0, 0},
        {"seconds", Option::kNumber, "S", "60", "measured; each primary has a sample a second", 1, 86'400},
        {"warm-up", Option::kNumber, "S", "10", "before that", 0, 86'400}},
       forecast.c_str(),
       RunBenchForecast},
      {"bench takeover",
       "Measures the gap of moves and kills",
       {},
       {{"moves", Option::kNumber, "N", "100", "planned moves", 0, 100'000},
        {"kills", Option::kNumber, "N", "100", "kills with a mirroring spare", 0, 100'000},
        {"behind", Option::kText, "N,N", "100000,1000000",
         "kills with a WARM unassigned spare, so many records behind the checkpoint; or none", 0, 0},
        {"behind-kills", Option::kNumber, "N", "3", "of each of those", 1, 1000},
        {"node-deaths", Option::kNumber, "N", "0", "deaths of a node (process and agent) with a mirroring spare", 0,
         100'000},
        {"node-timeout-ms", Option::kNumber, "MS", "1000", "after which a silent node is missing", 100, 600'000},
        {"lengths", Option::kText, "N,N", "none",
         "kills with a WARM unassigned spare and a fresh checkpoint, in a log of so many records; or none", 0, 0},
        {"length-kills", Option::kNumber, "N", "5", "of each of those", 1, 1000},
        {"log-servers", Option::kNumber, "E", "1", "and replicas of the log", 1, 9},
        {"coordinators", Option::kNumber, "N", "1", "more than one need --etcd", 1, 9},
        {"etcd", Option::kNumber, "N", "0", "members of an etcd for the metadata; 0: embedded", 0, 9},
        {"clients", Option::kNumber, "N", "2", "that write all the while", 1, 256},
        {"data-dir", Option::kText, "DIR", ".", "on whose disk the private server keeps its data", 0, 0}},
       takeover.c_str(),
       RunBenchTakeover},
      {"version", "Says the version", {}, {}, "", RunVersion},
  };
}

}  // namespace understudy::cli
