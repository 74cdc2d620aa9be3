// bench takeover: the longest time without a successful write around planned moves, deaths of a process or a node with
// a mirroring spare, and kills with nothing but a WARM unassigned spare.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "client/cli/bench/measure.h"
#include "client/cli/bench/takeover_stage.h"
#include "client/cli/command.h"
#include "client/cli/text.h"

namespace understudy::cli {
namespace {

using Json = nlohmann::json;

constexpr int64_t kNoCheckpointMs = 86'400'000;
constexpr int64_t kCheckpointMs = 1000;
constexpr uint64_t kLengthKeys = 10'000;

struct Gaps {
  std::vector<double> ms;
  double Quantile(double q) const {
    if (ms.empty()) return 0;
    std::vector<double> sorted = ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
};

Status Repeat(TakeoverStage* stage, Result<double> (TakeoverStage::*step)(), int64_t times, const char* label,
              bool quiet, Gaps* gaps) {
  Progress progress(label, static_cast<uint64_t>(times), quiet);
  for (int64_t i = 0; i < times && !Interrupted(); ++i) {
    const Result<double> gap = (stage->*step)();
    if (!gap.ok()) return gap.status().WithContext(std::string(label) + " " + std::to_string(i + 1));
    gaps->ms.push_back(*gap);
    progress.Show(static_cast<uint64_t>(i) + 1);
  }
  return {};
}

Json ToJson(const Gaps& gaps) {
  return {{"n", gaps.ms.size()},
          {"p50_ms", gaps.Quantile(0.5)},
          {"p99_ms", gaps.Quantile(0.99)},
          {"max_ms", gaps.Quantile(1)}};
}

void AddRow(Table* table, const std::string& what, const Gaps& gaps) {
  if (gaps.ms.empty()) return;
  table->Add({what, std::to_string(gaps.ms.size()), HumanMs(gaps.Quantile(0.5)), HumanMs(gaps.Quantile(0.99)),
              HumanMs(gaps.Quantile(1))});
}

// "100000,1000000", or "none". False: malformed.
bool ParseList(const std::string& text, std::vector<uint64_t>* out) {
  if (text == "none") return true;
  if (text.empty()) return false;
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find(',', at);
    if (end == std::string::npos) end = text.size();
    const std::string word = text.substr(at, end - at);
    if (word.empty() || word.size() > 9 || word.find_first_not_of("0123456789") != std::string::npos) return false;
    out->push_back(std::stoull(word));
    at = end + 1;
  }
  return true;
}

}  // namespace

int RunBenchTakeover(const Arguments& arguments) {
  std::vector<uint64_t> behind, lengths;
  if (!ParseList(arguments.Text("behind"), &behind) || !ParseList(arguments.Text("lengths"), &lengths)) {
    std::fprintf(stderr,
                 "understudy bench takeover: --behind, --lengths: numbers of records, separated by commas, or none\n");
    return kExitUsage;
  }
  StageOptions base;
  base.cluster.program_path = arguments.program_path;
  base.cluster.parent = arguments.Text("data-dir");
  base.cluster.log_servers = static_cast<int>(arguments.Number("log-servers"));
  base.cluster.coordinators = static_cast<int>(arguments.Number("coordinators"));
  base.cluster.etcds = static_cast<int>(arguments.Number("etcd"));
  base.cluster.node_timeout_ms = arguments.Number("node-timeout-ms");
  base.clients = static_cast<int>(arguments.Number("clients"));
  const int64_t deaths = arguments.Number("node-deaths");
  if (deaths > 0) base.cluster.separate = true;
  CatchInterrupts();
  const bool quiet = arguments.json();
  Gaps planned, killed, dead_node;
  std::vector<std::pair<uint64_t, Gaps>> warm, by_length;
  uint64_t acknowledged = 0;
  int lost = 0;
  const auto finish = [&](TakeoverStage* stage) -> Status {
    const Result<int> count = stage->CountLost();
    if (!count.ok()) return count.status();
    lost += *count;
    acknowledged += stage->acknowledged();
    return {};
  };
  const auto with_standby = [&]() -> Status {
    Result<std::unique_ptr<TakeoverStage>> stage = TakeoverStage::Build(base);
    if (!stage.ok()) return stage.status();
    UNDERSTUDY_RETURN_IF_ERROR(
        Repeat(stage->get(), &TakeoverStage::Move, arguments.Number("moves"), "planned moves", quiet, &planned));
    UNDERSTUDY_RETURN_IF_ERROR(
        Repeat(stage->get(), &TakeoverStage::Kill, arguments.Number("kills"), "kills", quiet, &killed));
    UNDERSTUDY_RETURN_IF_ERROR(Repeat(stage->get(), &TakeoverStage::KillNode, deaths, "dead nodes", quiet, &dead_node));
    return finish(stage->get());
  };
  const auto without = [&](uint64_t records) -> Status {
    StageOptions options = base;
    options.standby = false;
    options.checkpoint_interval_ms = kNoCheckpointMs;
    Result<std::unique_ptr<TakeoverStage>> stage = TakeoverStage::Build(options);
    if (!stage.ok()) return stage.status();
    UNDERSTUDY_RETURN_IF_ERROR((*stage)->Fill(records, records));
    Gaps& gaps = warm.emplace_back(records, Gaps()).second;
    const std::string label = "kills, WARM spare, " + WithCommas(records) + " records behind";
    UNDERSTUDY_RETURN_IF_ERROR(
        Repeat(stage->get(), &TakeoverStage::Kill, arguments.Number("behind-kills"), label.c_str(), quiet, &gaps));
    return finish(stage->get());
  };
  // One log that grows: what a takeover takes must come from what lies behind the checkpoint, not before it.
  const auto growing = [&]() -> Status {
    StageOptions options = base;
    options.standby = false;
    options.checkpoint_interval_ms = kCheckpointMs;
    Result<std::unique_ptr<TakeoverStage>> stage = TakeoverStage::Build(options);
    if (!stage.ok()) return stage.status();
    uint64_t filled = 0;
    for (const uint64_t length : lengths) {
      if (length > filled) UNDERSTUDY_RETURN_IF_ERROR((*stage)->Fill(length - filled, kLengthKeys));
      filled = std::max(filled, length);
      Gaps& gaps = by_length.emplace_back(length, Gaps()).second;
      const std::string label = "kills, log of " + WithCommas(length) + " records";
      UNDERSTUDY_RETURN_IF_ERROR(
          Repeat(stage->get(), &TakeoverStage::Kill, arguments.Number("length-kills"), label.c_str(), quiet, &gaps));
    }
    return finish(stage->get());
  };
  Status status;
  if (arguments.Number("moves") + arguments.Number("kills") + deaths > 0) status = with_standby();
  for (const uint64_t records : behind) {
    if (status.ok() && !Interrupted()) status = without(records);
  }
  if (status.ok() && !lengths.empty() && !Interrupted()) status = growing();
  if (!status.ok()) return Fail(status);

  if (arguments.json()) {
    const auto list_of = [](const auto& rows, const char* name) {
      Json list = Json::array();
      for (const auto& [records, gaps] : rows) {
        Json item = ToJson(gaps);
        item[name] = records;
        list.push_back(item);
      }
      return list;
    };
    std::printf("%s\n", Json({{"bench", "takeover"},
                              {"clients", base.clients},
                              {"log_servers", base.cluster.log_servers},
                              {"coordinators", base.cluster.coordinators},
                              {"etcd", base.cluster.etcds},
                              {"node_timeout_ms", base.cluster.node_timeout_ms},
                              {"planned", ToJson(planned)},
                              {"killed", ToJson(killed)},
                              {"dead_node", ToJson(dead_node)},
                              {"killed_warm", list_of(warm, "records_behind")},
                              {"killed_by_length", list_of(by_length, "records")},
                              {"acknowledged", acknowledged},
                              {"lost", lost}})
                            .dump(1)
                            .c_str());
  } else {
    Table table({"LONGEST GAP WITHOUT A SUCCESSFUL WRITE", "N>", "P50>", "P99>", "MAX>"});
    AddRow(&table, "planned move", planned);
    AddRow(&table, "kill -9, mirroring spare", killed);
    AddRow(&table, "dead node, mirroring spare", dead_node);
    for (const auto& [records, gaps] : warm) {
      AddRow(&table, "kill -9, WARM spare, " + WithCommas(records) + " records behind", gaps);
    }
    for (const auto& [records, gaps] : by_length) {
      AddRow(&table, "kill -9, WARM spare, log of " + WithCommas(records) + ", fresh checkpoint", gaps);
    }
    std::printf("%s%s writes acknowledged, %d lost\n", table.Render(arguments.color).c_str(),
                WithCommas(acknowledged).c_str(), lost);
  }
  return lost > 0 || Interrupted() ? kExitFailed : kExitOk;
}

}  // namespace understudy::cli
