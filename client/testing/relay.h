// A TCP relay whose link can be cut: bytes stop in both directions, connections stay, and go on when it heals. For
// partitions between one program and one server, while others still reach that server.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>

namespace understudy::testing {

class Relay {
 public:
  explicit Relay(const std::string& target);  // "127.0.0.1:port"
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  const std::string& address() const { return address_; }
  void Cut(bool cut);

 private:
  void Run();
  void Accept();
  bool Forward(int from, int to);  // false: that connection is over
  void Wake();

  const std::string target_;
  std::string address_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::atomic<bool> cut_{false};
  std::atomic<bool> stop_{false};
  std::map<int, int> peers_;  // each socket and the one its bytes go to; the thread's own
  std::thread thread_;
};

}  // namespace understudy::testing
