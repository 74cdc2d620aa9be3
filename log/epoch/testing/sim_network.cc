#include "log/epoch/testing/sim_network.h"

#include <algorithm>

#include "understudy/check.h"

namespace understudy::testing {

void SimNetwork::At(Instant at, std::function<void()> fn, bool quiet) {
  if (!quiet) ++busy_;
  events_.emplace(std::pair(std::max(at, now_), next_seq_++), Event{std::move(fn), quiet});
}

bool SimNetwork::Matches(const Links& links, const std::string& from, const std::string& to) {
  return links.contains({from, to}) || links.contains({"*", to}) || links.contains({from, "*"});
}

void SimNetwork::Arrive(const std::string& from, const std::string& to, const std::string& text, int64_t after_ns,
                        const std::function<void()>& deliver) {
  At(now_ + after_ns, [this, from, to, text, deliver] {
    if (trace) trace(from + " -> " + to + "  " + text);
    deliver();
  });
}

void SimNetwork::Send(const std::string& from, const std::string& to, const std::string& text,
                      std::function<void()> deliver, std::function<void()> lost) {
  if (Matches(held_links_, from, to)) {
    if (trace) trace(from + " -> " + to + "  " + text + "  (held back)");
    held_.push_back({{from, to}, text, std::move(deliver)});
    return;
  }
  const bool cut = Matches(cut_links_, from, to);
  const Fate chosen = cut ? Fate{{}} : fate ? fate(from, to) : Fate{};
  if (chosen.deliver_after_ns.empty()) {
    if (trace) trace(from + " -> " + to + "  " + text + "  (lost)");
    At(now_ + lost_after_ns, std::move(lost));
    return;
  }
  for (const int64_t after_ns : chosen.deliver_after_ns) Arrive(from, to, text, after_ns, deliver);
}

void SimNetwork::Release(const std::string& from, const std::string& to) {
  held_links_.erase({from, to});
  std::vector<Held> kept;
  for (Held& message : held_) {
    if (Matches({{from, to}}, message.link.first, message.link.second)) {
      Arrive(message.link.first, message.link.second, message.text, kNsPerMs, message.deliver);
    } else {
      kept.push_back(std::move(message));
    }
  }
  held_ = std::move(kept);
}

void SimNetwork::AddTimer(std::function<Instant()> wake_at, std::function<void()> tick) {
  timers_.push_back({std::move(wake_at), std::move(tick)});
}

bool SimNetwork::Step(Instant limit) {
  if (now_ == last_now_) {
    UNDERSTUDY_CHECK(++steps_at_once_ < 100'000);  // somebody asks for its tick again and again
  } else {
    last_now_ = now_;
    steps_at_once_ = 0;
  }
  Instant at = Instant::Never();
  size_t due = 0;
  for (size_t i = 0; i < timers_.size(); ++i) {
    const Instant wake = timers_[i].wake_at();
    if (wake < at) {
      at = wake;
      due = i;
    }
  }
  if (!events_.empty() && events_.begin()->first.first <= at) {
    const Instant when = events_.begin()->first.first;
    if (when > limit) {
      now_ = std::max(now_, limit);
      return false;
    }
    Event event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    now_ = std::max(now_, when);
    if (!event.quiet) --busy_;
    event.fn();
    return true;
  }
  if (at > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  now_ = std::max(now_, at);
  timers_[due].tick();
  return true;
}

void SimNetwork::RunUntil(Instant limit) {
  while (Step(limit)) {
  }
}

void SimNetwork::RunUntilIdle(int64_t limit_ns) {
  const Instant limit = now_ + limit_ns;
  do {
    while (!Idle() && Step(limit)) {
    }
    const Instant soon = now_ + 2 * kNsPerMs;  // a commit that travels alone is still part of it
    if (!Step(std::min(soon, limit))) break;
  } while (now_ < limit);
}

void SimNetwork::Note(const std::string& who, const std::string& text) {
  if (trace) trace(who + "  " + text);
}

}  // namespace understudy::testing
