// Real etcd processes for tests: free ports of the loopback, a directory under /tmp, killed and removed at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/env/process.h"

namespace understudy::etcd {

struct EtcdClusterOptions {
  size_t members = 1;
  int heartbeat_ms = 50;
  int election_ms = 500;
  std::vector<std::string> more_flags = {};
};

// One thread at a time. Failures to start are fatal: a test without its etcd tells nothing.
class EtcdCluster {
 public:
  // Starts the members and waits until they serve.
  explicit EtcdCluster(EtcdClusterOptions options = {});
  ~EtcdCluster();

  size_t size() const { return members_.size(); }
  std::vector<std::string> endpoints() const;  // "http://127.0.0.1:PORT", one a member
  const std::string& endpoint(size_t member) const { return members_[member].endpoint; }
  std::string endpoints_list() const;  // with commas between
  const std::string& folder() const { return folder_; }
  std::string data_dir(size_t member) const;

  void Start(size_t member);  // it must not run
  void Kill(size_t member);   // kill -9, and waits until it is gone
  void Freeze(size_t member);
  void Thaw(size_t member);
  void FreezeAll();
  void ThawAll();

  // Waits until a linearizable read at `member` (any: at one of them) is answered; false after 30 s.
  bool WaitUntilServing(std::optional<size_t> member = {});
  size_t Leader();  // waits until there is one

  // What an operator does with a backup: the member's data directory becomes what the snapshot holds. It must not run.
  void Restore(size_t member, const std::string& snapshot);

  // Runs `etcdctl ARGUMENTS` (API v3) against the members; what it printed. Fails the program when it fails.
  std::string Etcdctl(const std::string& arguments);
  // POST of JSON to a member; the body, or nothing unless status 200.
  std::optional<std::string> Post(size_t member, const std::string& path, const std::string& json);

 private:
  struct Member {
    std::string name;
    std::string endpoint;
    std::string peer;
    std::unique_ptr<Process> process;
  };
  std::string MembersList() const;

  EtcdClusterOptions options_;
  std::string folder_;
  std::vector<Member> members_;
};

}  // namespace understudy::etcd
