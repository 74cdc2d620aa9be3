// Whether a primary is gone. Its agent's word that the process ended settles it. Everything else is suspicion, and
// becomes certain only when no replica has heard from the writer for node_timeout_ms either: a primary whose log
// advances is alive. Wrong either way costs time, never data: the takeover's seal decides.
#include <algorithm>
#include <utility>

#include "server/coordinator/core/core.h"
#include "server/coordinator/core/reasons.h"

namespace understudy::coordinator {

Core::Verdict Core::Judge(ServiceState& service, std::string* why) {
  const NodeState& node = Node(service.owner);
  const AgentReport& report = node.report;
  bool writer_must_be_silent = true;
  why->clear();
  if (!node.heard || !node.alive) {
    if (Missing(node)) *why = "node " + node.name + " is missing";
  } else if (report.process == ProcessState::kExited || report.process == ProcessState::kFailed) {
    *why = report.exit_reason.empty() ? "its process ended" : report.exit_reason;
    return Verdict::kGone;
  } else if (report.process == ProcessState::kNone) {
    *why = "no process runs on " + node.name;
  } else if (!report.has_app) {
    const Instant due = node.app_lost_at + options_.app_timeout_ms * kNsPerMs;
    if (node.app_lost_at != Instant::Never() && now_ < due) Wake(due);
    if (Passed(node.app_lost_at, options_.app_timeout_ms)) *why = "its application does not answer";
  } else if (report.app.role != AppRole::kPrimary || report.app.service != service.spec.name ||
             report.app.epoch < service.epoch) {
    *why = "its application is not primary";
    if (report.app.role == AppRole::kWarm && service.primary_seen) {  // it was, in this epoch, and has stepped down
      *why = "its application gave up the log";
      return Verdict::kGone;
    }
  } else if (!report.app.may_serve) {
    writer_must_be_silent = false;
    const Instant due = service.last_serving + options_.unserving_timeout_ms * kNsPerMs;
    if (now_ < due) Wake(due);
    if (Passed(service.last_serving, options_.unserving_timeout_ms)) *why = kStoppedServing;
  }
  if (why->empty()) {
    service.suspect_since = Instant::Never();
    service.suspicion.clear();
    service.silent_from = Instant::Never();
    service.silent_since = Instant::Never();
    return Verdict::kAlive;
  }
  if (service.suspect_since == Instant::Never()) {
    service.suspect_since = now_;
    service.age_asked_at = Instant::Never();
    service.age_heard_at = Instant::Never();
    Record("primary_suspect", service.spec.name, service.owner, *why + "; asking the replicas for its writer");
  }
  service.suspicion = *why;
  AskAge(service);
  if (service.age_heard_at == Instant::Never() || Passed(service.age_heard_at, options_.node_timeout_ms)) {
    return Verdict::kSuspect;  // replicas that do not answer know nothing: a takeover could not begin either
  }
  if (!writer_must_be_silent) return Verdict::kGone;
  const int64_t silence_ns = service.silent_since != Instant::Never()
                                 ? now_ - service.silent_since
                                 : service.writer_age_ms * kNsPerMs + (now_ - service.age_heard_at);
  if (service.silent_since == Instant::Never() && service.writer_age_ms < options_.node_timeout_ms) {
    return Verdict::kSuspect;  // counts as silence only what a replica has said, not what was not asked
  }
  if (silence_ns < options_.node_timeout_ms * kNsPerMs) {
    Wake(now_ + (options_.node_timeout_ms * kNsPerMs - silence_ns));
    return Verdict::kSuspect;
  }
  service.silent_from = Instant(now_.ns() - silence_ns);
  *why += "; its writer is silent for " + std::to_string(silence_ns / kNsPerMs) + " ms";
  return Verdict::kGone;
}

// Asked every age_interval_ms, and at the moment from which the answer can be that it was silent long enough: a
// takeover waits for that answer, and would wait up to an interval longer for one asked at any other time.
void Core::AskAge(ServiceState& service) {
  const int64_t interval_ns = options_.age_interval_ms * kNsPerMs;
  const bool asked = service.age_asked_at != Instant::Never();
  Instant next = asked ? service.age_asked_at + interval_ns : now_;
  const bool answered =
      asked && service.age_heard_at != Instant::Never() && service.age_heard_at >= service.age_asked_at;
  if (answered && service.silent_since == Instant::Never() && service.writer_age_ms < options_.node_timeout_ms) {
    // It was heard this long before the question, or later; ages are whole milliseconds, rounded down.
    const Instant due = service.age_asked_at + (options_.node_timeout_ms - service.writer_age_ms) * kNsPerMs;
    if (due <= next + interval_ns / 2) next = due;  // half an interval late rather than two questions close together
  }
  if (now_ >= next) {
    service.age_asked_at = now_;
    out_->ask_writer_age.push_back(service.spec.name);
    next = now_ + interval_ns;
  }
  Wake(next);
}

void Core::On(const WriterAge& in) {
  ServiceState* service = FindService(in.service);
  if (service == nullptr || in.epoch != service->epoch || in.answered < in.needed) return;
  service->age_heard_at = now_;
  if (in.age_ms >= 0) {
    service->writer_age_ms = in.age_ms;
    service->silent_since = Instant::Never();
  } else if (service->silent_since == Instant::Never()) {
    service->silent_since = now_;
  }
}

}  // namespace understudy::coordinator
