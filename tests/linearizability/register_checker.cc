#include "tests/linearizability/register_checker.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "understudy/check.h"

namespace understudy::linearizability {

namespace {

constexpr size_t kSlots = 64;  // operations of one key that are answered later and under way at the same time

// Where a search can stand: the register's value, which of the operations under way have been linearized, and how many
// of each sort of open operation. Open operations with the same effect are interchangeable.
struct Configuration {
  uint32_t value = 0;
  uint64_t linearized = 0;
  std::vector<uint32_t> used;  // by sort, without zeros at the end
};

bool UsesNoMoreThan(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  if (a.size() > b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i]) {
      return false;
    }
  }
  return true;
}

// Configurations of which none can do all that another can: an open operation that was not used may be used later or
// never, so the one that has used fewer is as good.
class ConfigurationSet {
 public:
  // False: there is one that is as good.
  bool Insert(const Configuration& configuration) {
    auto& same = sets_[{configuration.value, configuration.linearized}];
    compared_ += same.size();
    for (const auto& used : same) {
      if (UsesNoMoreThan(used, configuration.used)) {
        return false;
      }
    }
    std::erase_if(same, [&](const auto& used) { return UsesNoMoreThan(configuration.used, used); });
    same.push_back(configuration.used);
    return true;
  }
  template <class Fn>
  void ForEach(Fn fn) const {
    for (const auto& [key, same] : sets_) {
      for (const auto& used : same) {
        fn(Configuration{key.first, key.second, used});
      }
    }
  }
  bool empty() const { return sets_.empty(); }
  size_t compared() const { return compared_; }

 private:
  struct Hash {
    size_t operator()(const std::pair<uint32_t, uint64_t>& key) const {
      return (key.second ^ (key.first * 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull;
    }
  };
  std::unordered_map<std::pair<uint32_t, uint64_t>, std::vector<std::vector<uint32_t>>, Hash> sets_;
  size_t compared_ = 0;  // how often one was held against another
};

class Search {
 public:
  Search(const std::vector<RegisterOperation>& operations, const CheckLimits& limits)
      : operations_(operations), limits_(limits), slot_of_(operations.size(), kSlots) {
    under_way_.fill(nullptr);
    frontier_.Insert({Intern(std::nullopt), 0, {}});
  }

  RegisterReport Run() {
    struct Event {
      int64_t at_ns;
      bool completion;  // invocations first: operations that touch count as concurrent
      size_t index;
    };
    std::vector<Event> events;
    for (size_t i = 0; i < operations_.size(); ++i) {
      const RegisterOperation& operation = operations_[i];
      if (operation.span.open() && operation.kind == RegisterKind::kGet) {
        continue;  // says nothing
      }
      events.push_back({operation.span.invoked_ns, false, i});
      if (!operation.span.open()) {
        events.push_back({operation.span.completed_ns, true, i});
      }
    }
    std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
      return std::tie(a.at_ns, a.completion, a.index) < std::tie(b.at_ns, b.completion, b.index);
    });
    for (const Event& event : events) {
      const bool go_on = event.completion ? Complete(event.index) : Invoke(event.index);
      if (!go_on) {
        break;
      }
    }
    return std::move(report_);
  }

 private:
  bool Invoke(size_t index) {
    const RegisterOperation& operation = operations_[index];
    if (operation.span.open()) {
      const auto sort = std::make_tuple(operation.kind, operation.argument, operation.expected, operation.amount);
      const auto [at, fresh] = sorts_.try_emplace(sort, available_.size());
      if (fresh) {
        available_.push_back(0);
        sample_.push_back(&operation);
      }
      ++available_[at->second];
      return true;
    }
    const auto free = std::find(under_way_.begin(), under_way_.end(), nullptr);
    if (free == under_way_.end()) {
      return GiveUp("more than 64 answered operations overlap");
    }
    *free = &operation;
    slot_of_[index] = static_cast<size_t>(free - under_way_.begin());
    return true;
  }

  // Every configuration that goes on has linearized the operation.
  bool Complete(size_t index) {
    const uint64_t bit = uint64_t{1} << slot_of_[index];
    ConfigurationSet after;
    ConfigurationSet visited;
    std::deque<Configuration> queue;  // first in, first out: few open operations before many
    frontier_.ForEach([&](Configuration configuration) {
      LinearizeWhatOnlyLooks(&configuration);
      if (visited.Insert(configuration)) {
        queue.push_back(std::move(configuration));
      }
    });
    constexpr size_t kComparisonsPerConfiguration = 64;
    const size_t before = report_.configurations;
    for (size_t popped = 0; !queue.empty(); queue.pop_front()) {
      const Configuration& configuration = queue.front();
      report_.configurations = before + ++popped + visited.compared() / kComparisonsPerConfiguration;
      if (report_.configurations > limits_.configurations_max) {
        return GiveUp("more than " + std::to_string(limits_.configurations_max) + " configurations");
      }
      if (popped % 1024 == 0 && limits_.give_up && limits_.give_up()) {
        return GiveUp("out of time");
      }
      if ((configuration.linearized & bit) != 0) {
        Configuration without = configuration;
        without.linearized &= ~bit;
        after.Insert(without);
        continue;
      }
      Expand(configuration, &visited, &queue);
    }
    if (after.empty()) {
      report_.verdict = Verdict::kInvalid;
      report_.culprit = index;
      visited.ForEach([&](const Configuration& configuration) {
        std::string value = values_[configuration.value].value_or("(nothing)");
        if (std::find(report_.possible.begin(), report_.possible.end(), value) == report_.possible.end()) {
          report_.possible.push_back(std::move(value));
        }
      });
      std::sort(report_.possible.begin(), report_.possible.end());
      return false;
    }
    frontier_ = std::move(after);
    under_way_[slot_of_[index]] = nullptr;
    return true;
  }

  void Expand(const Configuration& configuration, ConfigurationSet* visited, std::deque<Configuration>* queue) {
    const auto go = [&](const RegisterValue& value, uint64_t linearized, const size_t* sort) {
      Configuration next{Intern(value), linearized, configuration.used};
      if (sort != nullptr) {
        next.used.resize(std::max(next.used.size(), *sort + 1));
        ++next.used[*sort];
      }
      LinearizeWhatOnlyLooks(&next);
      if (visited->Insert(next)) {
        queue->push_back(std::move(next));
      }
    };
    const RegisterValue before = values_[configuration.value];
    for (size_t slot = 0; slot < kSlots; ++slot) {
      const uint64_t bit = uint64_t{1} << slot;
      if (under_way_[slot] == nullptr || (configuration.linearized & bit) != 0) {
        continue;
      }
      if (const auto value = Step(before, *under_way_[slot])) {
        go(*value, configuration.linearized | bit, nullptr);
      }
    }
    for (size_t sort = 0; sort < available_.size(); ++sort) {
      if (sort < configuration.used.size() && configuration.used[sort] == available_[sort]) {
        continue;
      }
      if (const auto value = Step(before, *sample_[sort])) {
        go(*value, configuration.linearized, &sort);
      }
    }
  }

  // By its answer; so it can as well be linearized as soon as it fits. (Not so a SET of the value that is there: it may
  // be needed later, to bring it back.)
  static bool OnlyLooks(const RegisterOperation& operation) {
    return operation.kind == RegisterKind::kGet ||
           ((operation.kind == RegisterKind::kDel || operation.kind == RegisterKind::kCas) && operation.number == 0);
  }

  void LinearizeWhatOnlyLooks(Configuration* configuration) {
    const RegisterValue& value = values_[configuration->value];
    for (size_t slot = 0; slot < kSlots; ++slot) {
      if (under_way_[slot] != nullptr && OnlyLooks(*under_way_[slot]) && Step(value, *under_way_[slot]).has_value()) {
        configuration->linearized |= uint64_t{1} << slot;
      }
    }
  }

  bool GiveUp(const std::string& why) {
    report_.verdict = Verdict::kUnknown;
    report_.why = why;
    return false;
  }

  uint32_t Intern(const RegisterValue& value) {
    const auto [at, fresh] = value_ids_.try_emplace(value, static_cast<uint32_t>(values_.size()));
    if (fresh) {
      values_.push_back(value);
    }
    return at->second;
  }

  const std::vector<RegisterOperation>& operations_;
  const CheckLimits& limits_;
  std::vector<size_t> slot_of_;
  std::array<const RegisterOperation*, kSlots> under_way_;
  std::map<std::tuple<RegisterKind, std::string, std::string, int64_t>, size_t> sorts_;
  std::vector<uint32_t> available_;               // open operations by sort
  std::vector<const RegisterOperation*> sample_;  // one of each sort
  std::map<RegisterValue, uint32_t> value_ids_;
  std::deque<RegisterValue> values_;  // references stay valid
  ConfigurationSet frontier_;
  RegisterReport report_;
};

// Which answers contradict one another: forgets the others' answers as long as what is left cannot be linearized. To
// forget an answer only ever allows more, so what is left is a reason by itself.
std::vector<size_t> Conflict(const std::vector<RegisterOperation>& operations, size_t culprit,
                             const CheckLimits& limits) {
  std::vector<RegisterOperation> weakened = operations;
  const int64_t end_ns = operations[culprit].span.completed_ns;
  std::vector<size_t> known;
  for (size_t i = 0; i < operations.size(); ++i) {
    if (i != culprit && operations[i].span.invoked_ns > end_ns) {
      weakened[i].span.completed_ns = kNeverNs;  // came later
    } else if (i != culprit && !operations[i].span.open()) {
      known.push_back(i);
    }
  }
  // Reads first: two writes and the read between say more than what others have read.
  std::sort(known.begin(), known.end(), [&](size_t a, size_t b) {
    const auto order = [&](size_t i) {
      return std::make_pair(operations[i].kind != RegisterKind::kGet, operations[i].span.invoked_ns);
    };
    return order(a) < order(b);
  });
  size_t budget = limits.configurations_max;
  const auto still_invalid = [&](const std::vector<RegisterOperation>& candidate) {
    CheckLimits bounded = limits;
    bounded.configurations_max = budget;
    const RegisterReport report = Search(candidate, bounded).Run();
    budget -= std::min(budget, report.configurations);
    return report.verdict == Verdict::kInvalid;
  };
  for (size_t chunk = std::max<size_t>(1, known.size() / 2); budget > 0; chunk /= 2) {
    for (size_t from = 0; from < known.size() && budget > 0;) {
      const size_t to = std::min(from + chunk, known.size());
      std::vector<RegisterOperation> candidate = weakened;
      for (size_t i = from; i < to; ++i) {
        candidate[known[i]].span.completed_ns = kNeverNs;
      }
      if (still_invalid(candidate)) {
        weakened = std::move(candidate);
        known.erase(known.begin() + static_cast<int64_t>(from), known.begin() + static_cast<int64_t>(to));
      } else {
        from = to;
      }
    }
    if (chunk == 1) {
      break;
    }
  }
  known.push_back(culprit);
  std::sort(known.begin(), known.end(),
            [&](size_t a, size_t b) { return operations[a].span.invoked_ns < operations[b].span.invoked_ns; });
  return known;
}

}  // namespace

RegisterReport CheckRegister(const std::vector<RegisterOperation>& operations, const CheckLimits& limits) {
  for (const RegisterOperation& operation : operations) {
    UNDERSTUDY_CHECK(operation.key == operations.front().key);
  }
  RegisterReport report = Search(operations, limits).Run();
  if (report.verdict == Verdict::kInvalid) {
    report.why = "no order of the operations up to this answer explains it";
    report.conflict = Conflict(operations, *report.culprit, limits);
  }
  return report;
}

}  // namespace understudy::linearizability
