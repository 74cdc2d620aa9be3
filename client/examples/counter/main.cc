// A counter that outlives its machine. While it is the primary it adds one every 10 ms, each time through the log; as a
// spare it applies what the primary appends, ready to go on from the same number. `understudyd` starts it; see README.
#include <understudy/understudy.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>

// The state, and how records change it. Apply, Load and Reset never run at the same time.
class Counter : public understudy::StateMachine {
 public:
  void Apply(const understudy::Record& record) override { value_ += static_cast<int64_t>(record.payload.size()); }
  void Reset() override { value_ = 0; }
  std::unique_ptr<understudy::Snapshot> TakeSnapshot() override {
    struct Frozen : understudy::Snapshot {
      explicit Frozen(int64_t value) : value(value) {}
      understudy::Status Write(understudy::CheckpointWriter& out) override {
        return out.Write({reinterpret_cast<const char*>(&value), sizeof value});
      }
      int64_t value;
    };
    return std::make_unique<Frozen>(value_.load());
  }
  understudy::Status Load(understudy::CheckpointReader& in) override {
    char bytes[sizeof(int64_t)];
    for (size_t at = 0; at < sizeof bytes;) {
      const understudy::Result<size_t> count = in.Read(bytes + at, sizeof bytes - at);
      if (!count.ok()) return count.status();
      if (*count == 0) return {understudy::StatusCode::kCorruption, "the checkpoint is too short"};
      at += *count;
    }
    int64_t value;
    std::memcpy(&value, bytes, sizeof value);
    value_ = value;
    return {};
  }
  int64_t value() const { return value_; }

 private:
  std::atomic<int64_t> value_{0};
};

// What the agent decides about this process.
class Roles : public understudy::RoleListener {
 public:
  void OnPrimary(const std::string& service, understudy::Lsn applied) override {
    std::printf("primary of %s from LSN %ju on\n", service.c_str(), static_cast<uintmax_t>(applied.value()));
    std::fflush(stdout);
  }
  void OnNotPrimary(const std::string& owner, bool) override {
    std::printf("not primary; %s is\n", owner.c_str());
    std::fflush(stdout);
  }
  void OnStop() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    wake_.notify_all();
  }
  bool WaitForStop(std::chrono::milliseconds at_most) {
    std::unique_lock<std::mutex> lock(mutex_);
    return wake_.wait_for(lock, at_most, [this] { return stopped_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopped_ = false;
};

int main() {
  Counter counter;
  Roles roles;
  understudy::NodeOptions options;
  options.apply_on_primary = true;  // the counter changes only by what the log has acknowledged
  auto node = understudy::Node::Start(options, &counter, &roles);
  if (!node.ok()) {
    std::fprintf(stderr, "counter: %s\n", node.status().ToString().c_str());
    return 1;
  }
  while (!roles.WaitForStop(std::chrono::milliseconds(10))) {
    if ((*node)->role() != understudy::Role::kPrimary) continue;
    const auto lsn = (*node)->Append("+", 1).Get();  // blocks until the log has it on disk
    if (lsn.ok() && lsn->value() % 100 == 0) std::printf("%jd\n", static_cast<intmax_t>(counter.value()));
    (*node)->SetGauge("counter", static_cast<double>(counter.value()));
  }
  return 0;
}
