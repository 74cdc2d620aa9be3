#include "tests/sim/run.h"

#include <csetjmp>
#include <csignal>
#include <memory>
#include <mutex>
#include <utility>

#include "tests/sim/stage.h"

namespace understudy::sim {
namespace {

thread_local sigjmp_buf* escape = nullptr;

void OnAbort(int) {
  if (escape != nullptr) siglongjmp(*escape, 1);
}

}  // namespace

bool Survives(void (*body)(void*), void* what) {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_handler = OnAbort;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_NODEFER;
    sigaction(SIGABRT, &action, nullptr);
  });
  sigjmp_buf here;
  if (sigsetjmp(here, 1) != 0) {
    escape = nullptr;
    return false;
  }
  escape = &here;
  body(what);
  escape = nullptr;
  return true;
}

RunResult Run(const Plan& plan, Coverage* coverage, std::function<void(const std::string&)> trace) {
  // On the heap: after an abort nobody may touch it, not even to destroy it.
  auto* stage = new Stage(plan, coverage);
  stage->world().trace = std::move(trace);
  const Instant began = stage->world().now();
  const bool survived = Survives(
      [](void* what) {
        auto* playing = static_cast<Stage*>(what);
        playing->Play();
        if (!playing->world().stopped()) playing->Settle();
      },
      stage);
  if (stage->world().livelocked()) stage->oracle().Broken(Rule::kLivelock, "too many events at one moment, or in all");
  RunResult result;
  result.finding = stage->oracle().finding();
  if (!survived && !result.finding.has_value()) {
    result.finding =
        Finding{Rule::kCheckFailed, "a check of the core failed (its text went to stderr)", stage->world().now()};
  }
  result.acked = stage->oracle().acked();
  result.steps = stage->world().steps();
  result.simulated_ns = stage->world().now() - began;
  if (!survived) return result;
  stage->Count();
  delete stage;
  return result;
}

}  // namespace understudy::sim
