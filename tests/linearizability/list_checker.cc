#include "tests/linearizability/list_checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "tests/linearizability/dependency_graph.h"

namespace understudy::linearizability {

namespace {

struct Writer {
  size_t transaction = 0;
  size_t position = 0;  // among its appends to that key
  bool last = true;     // of them
};

struct Read {
  size_t transaction = 0;
  const std::vector<std::string>* elements = nullptr;
};

struct KeyHistory {
  std::unordered_map<std::string, Writer> writers;  // by element
  std::vector<std::string> appended;                // in the order of the history, for stable reports
  std::vector<Read> reads;                          // of answered transactions
  const std::vector<std::string>* longest = nullptr;
  size_t longest_reader = 0;
};

class Checker {
 public:
  explicit Checker(const std::vector<Transaction>& transactions)
      : transactions_(transactions), graph_(transactions.size()) {}

  ListReport Run() {
    if (!Index()) {
      return std::move(report_);
    }
    for (auto& [key, history] : keys_) {
      CheckReads(key, history);
      FindOrder(key, &history);
      CheckUnseen(key, history);
      AddDependencies(key, history);
    }
    AddRealTime();
    if (report_.anomalies_total == 0) {
      FindCycles();  // else they would say the same again, at length
    }
    report_.verdict = report_.anomalies_total == 0 ? Verdict::kValid : Verdict::kInvalid;
    return std::move(report_);
  }

 private:
  bool answered(size_t index) const { return !transactions_[index].span.open() && !transactions_[index].failed; }

  bool Index() {
    for (size_t i = 0; i < transactions_.size(); ++i) {
      std::map<std::string_view, std::vector<std::string_view>> own;
      for (const ListStep& step : transactions_[i].steps) {
        KeyHistory& history = keys_[step.key];
        std::vector<std::string_view>& mine = own[step.key];
        if (step.append) {
          if (!mine.empty()) {
            history.writers[std::string(mine.back())].last = false;
          }
          if (!history.writers.try_emplace(step.element, Writer{i, mine.size(), true}).second) {
            report_.verdict = Verdict::kUnknown;
            report_.why = fmt::format(
                "line {}: '{}' is appended to {} a second time: only histories whose elements are "
                "appended once can be checked",
                transactions_[i].span.line, step.element, step.key);
            return false;
          }
          history.appended.push_back(step.element);
          mine.push_back(step.element);
        } else if (answered(i)) {
          ReadOf(i, step, mine, &history);
        }
      }
    }
    return true;
  }

  void ReadOf(size_t index, const ListStep& step, const std::vector<std::string_view>& own, KeyHistory* history) {
    if (own.empty()) {
      history->reads.push_back({index, &step.read});
      return;
    }
    if (step.read.size() < own.size() ||
        !std::equal(own.begin(), own.end(), step.read.end() - static_cast<int64_t>(own.size()))) {
      Report("internal", fmt::format("a transaction does not see its own appends to {} at the end", step.key), {index});
      return;
    }
    // Two reads: what stood before its own appends, and the whole.
    before_own_.emplace_back(step.read.begin(), step.read.end() - static_cast<int64_t>(own.size()));
    history->reads.push_back({index, &before_own_.back()});
    history->reads.push_back({index, &step.read});
  }

  void Report(std::string name, std::string text, std::vector<size_t> transactions,
              std::vector<std::string> reasons = {}) {
    if (++report_.anomalies_total <= kAnomaliesMax) {
      report_.anomalies.push_back({std::move(name), std::move(text), std::move(reasons), std::move(transactions)});
    }
  }

  void CheckReads(const std::string& key, const KeyHistory& history) {
    for (const Read& read : history.reads) {
      std::unordered_set<std::string_view> seen;
      for (const std::string& element : *read.elements) {
        if (!seen.insert(element).second) {
          Report("duplicate element", fmt::format("'{}' was appended to {} once and is read twice", element, key),
                 {read.transaction});
        }
        const auto writer = history.writers.find(element);
        if (writer == history.writers.end()) {
          Report("garbage read", fmt::format("'{}' in {} was never appended", element, key), {read.transaction});
        } else if (transactions_[writer->second.transaction].failed) {
          Report("G1a", fmt::format("'{}' in {} comes from a transaction that failed", element, key),
                 {read.transaction, writer->second.transaction});
        }
      }
      if (read.elements->empty()) {
        continue;
      }
      const auto writer = history.writers.find(read.elements->back());
      if (writer != history.writers.end() && !writer->second.last && writer->second.transaction != read.transaction) {
        Report("G1b", fmt::format("{} is read in the middle of a transaction, behind '{}'", key, read.elements->back()),
               {read.transaction, writer->second.transaction});
      }
    }
  }

  // The longest read is the order of the appends; each other read is a beginning of it.
  void FindOrder(const std::string& key, KeyHistory* history) {
    for (const Read& read : history->reads) {
      if (history->longest == nullptr || read.elements->size() > history->longest->size()) {
        history->longest = read.elements;
        history->longest_reader = read.transaction;
      }
    }
    for (const Read& read : history->reads) {
      const auto differs = std::mismatch(read.elements->begin(), read.elements->end(), history->longest->begin());
      if (differs.first != read.elements->end()) {
        Report("incompatible order",
               fmt::format("element {} of {} is '{}' in one read and '{}' in another",
                           differs.first - read.elements->begin() + 1, key, *differs.first, *differs.second),
               {read.transaction, history->longest_reader});
      }
    }
    for (size_t i = 1; history->longest != nullptr && i < history->longest->size(); ++i) {
      const auto before = history->writers.find((*history->longest)[i - 1]);
      const auto after = history->writers.find((*history->longest)[i]);
      if (before != history->writers.end() && after != history->writers.end() &&
          before->second.transaction == after->second.transaction && before->second.position > after->second.position) {
        Report("internal", fmt::format("appends of one transaction to {} changed places", key),
               {history->longest_reader, before->second.transaction});
      }
    }
  }

  // An answered append that a read begun after the answer does not see.
  void CheckUnseen(const std::string& key, const KeyHistory& history) {
    std::vector<std::pair<int64_t, const Read*>> by_begin;
    for (const Read& read : history.reads) {
      by_begin.emplace_back(transactions_[read.transaction].span.invoked_ns, &read);
    }
    std::sort(by_begin.begin(), by_begin.end());
    // From each read on, the one that sees the least: the shortest, as all are beginnings of the same order.
    std::vector<const Read*> shortest(by_begin.size());
    for (size_t i = by_begin.size(); i-- > 0;) {
      const Read* next = i + 1 < by_begin.size() ? shortest[i + 1] : nullptr;
      const Read* here = by_begin[i].second;
      shortest[i] = next == nullptr || here->elements->size() <= next->elements->size() ? here : next;
    }
    std::unordered_map<std::string_view, size_t> position;
    if (history.longest != nullptr) {
      for (size_t i = 0; i < history.longest->size(); ++i) {
        position.emplace((*history.longest)[i], i);
      }
    }
    for (const std::string& element : history.appended) {
      const size_t writer = history.writers.at(element).transaction;
      if (!answered(writer)) {
        continue;
      }
      const auto after = std::upper_bound(by_begin.begin(), by_begin.end(),
                                          std::make_pair(transactions_[writer].span.completed_ns, (const Read*)nullptr),
                                          [](const auto& a, const auto& b) { return a.first < b.first; });
      if (after == by_begin.end()) {
        continue;
      }
      const Read* read = shortest[static_cast<size_t>(after - by_begin.begin())];
      const auto at = position.find(element);
      if (at == position.end()) {
        Report("lost append",
               fmt::format("'{}' was appended to {} and acknowledged, and no read sees it", element, key),
               {writer, read->transaction});
      } else if (read->elements->size() <= at->second) {
        Report("stale read",
               fmt::format("'{}' was appended to {} and acknowledged before a read began that does not see it", element,
                           key),
               {writer, read->transaction});
      }
    }
  }

  void AddDependencies(const std::string& key, const KeyHistory& history) {
    if (history.longest == nullptr) {
      return;
    }
    const std::vector<std::string>& order = *history.longest;
    const auto writer_of = [&](const std::string& element) -> const Writer* {
      const auto at = history.writers.find(element);
      return at == history.writers.end() || transactions_[at->second.transaction].failed ? nullptr : &at->second;
    };
    for (size_t i = 1; i < order.size(); ++i) {
      const Writer* before = writer_of(order[i - 1]);
      const Writer* after = writer_of(order[i]);
      if (before != nullptr && after != nullptr) {
        graph_.Add({before->transaction, after->transaction, kWriteWrite,
                    fmt::format("'{}' stands before '{}' in {}", order[i - 1], order[i], key)});
      }
    }
    // Acknowledged and in no read: behind everything that was read.
    std::vector<std::pair<size_t, const std::string*>> unseen;
    const std::unordered_set<std::string_view> seen(order.begin(), order.end());
    for (const std::string& element : history.appended) {
      const size_t writer = history.writers.at(element).transaction;
      if (answered(writer) && seen.count(element) == 0) {
        unseen.emplace_back(writer, &element);
        const Writer* last = order.empty() ? nullptr : writer_of(order.back());
        if (last != nullptr) {
          graph_.Add({last->transaction, writer, kWriteWrite,
                      fmt::format("'{}' in {} is in no read, so it stands behind '{}'", element, key, order.back())});
        }
      }
    }
    for (const Read& read : history.reads) {
      if (!read.elements->empty()) {
        if (const Writer* writer = writer_of(read.elements->back())) {
          graph_.Add({writer->transaction, read.transaction, kWriteRead,
                      fmt::format("the read of {} sees '{}'", key, read.elements->back())});
        }
      }
      if (read.elements->size() < order.size()) {
        const std::string& next = order[read.elements->size()];
        if (const Writer* writer = writer_of(next)) {
          graph_.Add({read.transaction, writer->transaction, kReadWrite,
                      fmt::format("the read of {} does not see '{}' yet", key, next)});
        }
      } else {
        for (const auto& [writer, element] : unseen) {
          graph_.Add({read.transaction, writer, kReadWrite,
                      fmt::format("the read of {} does not see '{}' yet", key, *element)});
        }
      }
    }
  }

  // Only from those answered last: whoever is behind them is behind the others, too.
  void AddRealTime() {
    struct Event {
      int64_t at_ns;
      bool completion;
      size_t index;
    };
    std::vector<Event> events;
    for (size_t i = 0; i < transactions_.size(); ++i) {
      if (transactions_[i].failed) {
        continue;
      }
      events.push_back({transactions_[i].span.invoked_ns, false, i});
      if (!transactions_[i].span.open()) {
        events.push_back({transactions_[i].span.completed_ns, true, i});
      }
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
      return std::tie(a.at_ns, a.completion, a.index) < std::tie(b.at_ns, b.completion, b.index);
    });
    std::set<size_t> answered_last;
    std::unordered_map<size_t, std::vector<size_t>> behind;  // of those under way
    for (const Event& event : events) {
      if (!event.completion) {
        for (const size_t before : answered_last) {
          graph_.Add({before, event.index, kRealTime, {}});
        }
        if (!transactions_[event.index].span.open()) {
          behind[event.index].assign(answered_last.begin(), answered_last.end());
        }
      } else {
        for (const size_t before : behind[event.index]) {
          answered_last.erase(before);
        }
        behind.erase(event.index);
        answered_last.insert(event.index);
      }
    }
  }

  void FindCycles() {
    struct Level {
      const char* name;
      Dependency required;
      unsigned path;
    };
    static constexpr Level kLevels[] = {
        {"G0", kWriteWrite, kWriteWrite},
        {"G1c", kWriteRead, kWriteWrite | kWriteRead},
        {"G-single", kReadWrite, kWriteWrite | kWriteRead},
        {"G2", kReadWrite, kWriteWrite | kWriteRead | kReadWrite},
        {"G0-realtime", kWriteWrite, kWriteWrite | kRealTime},
        {"G1c-realtime", kWriteRead, kWriteWrite | kWriteRead | kRealTime},
        {"G-single-realtime", kReadWrite, kWriteWrite | kWriteRead | kRealTime},
        {"G2-realtime", kReadWrite, kWriteWrite | kWriteRead | kReadWrite | kRealTime},
    };
    for (const Level& level : kLevels) {
      const std::vector<Edge> cycle = graph_.FindCycle(level.required, level.path);
      if (cycle.empty()) {
        continue;
      }
      std::vector<std::string> reasons;
      std::vector<size_t> members;
      for (const Edge& edge : cycle) {
        members.push_back(edge.from);
        reasons.push_back(edge.kind == kRealTime ? "it was answered before the next began" : edge.why);
      }
      Report(level.name,
             fmt::format("{} transactions each of which must come before the next, and the last before the "
                         "first",
                         cycle.size()),
             std::move(members), std::move(reasons));
      break;  // the weaker kinds follow from it
    }
  }

  const std::vector<Transaction>& transactions_;
  std::map<std::string, KeyHistory> keys_;
  std::deque<std::vector<std::string>> before_own_;
  DependencyGraph graph_;
  ListReport report_;
};

}  // namespace

ListReport CheckLists(const std::vector<Transaction>& transactions) {
  if (transactions.size() > kTransactionsMax) {
    ListReport report;
    report.verdict = Verdict::kUnknown;
    report.why = fmt::format("more than {} transactions", kTransactionsMax);
    return report;
  }
  return Checker(transactions).Run();
}

}  // namespace understudy::linearizability
