// An understudyd of its own for one test: a real process on free ports, with its own data directory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/env/process.h"

namespace understudy::e2e {

class ServerProcess {
 public:
  // Picks free ports; `data_dir` is kept by the caller. Nothing runs yet.
  // `role`: "log", "coordinator", ...; empty: all in one.
  explicit ServerProcess(std::string data_dir, std::string role = {});
  ~ServerProcess();  // kills it

  // Starts it on the same ports as ever. Does not wait until it serves.
  void Start(std::vector<std::string> more_flags = {});
  // kill -9, and waits until it is gone. Nothing when it does not run.
  void Kill();
  // Sends the signal and waits for the end: "exit status 0".
  std::string EndWith(int signal);
  // Waits until the process ends by itself.
  std::string WaitForEnd();
  // Waits until its output has `text` at least `times` times; false after 20 s.
  bool OutputHas(const std::string& text, size_t times = 1) const;
  std::string Output() const;

  const std::string& coordinator() const { return coordinator_; }  // "127.0.0.1:PORT"
  const std::string& log_address() const { return log_; }
  const std::string& data_dir() const { return data_dir_; }
  int64_t pid() const { return process_->pid(); }

 private:
  std::string data_dir_;
  std::string role_;
  std::string coordinator_;
  std::string log_;
  std::unique_ptr<Process> process_;
};

// A new directory under /tmp (or `parent`), removed with everything in it at the end.
class TestFolder {
 public:
  explicit TestFolder(const std::string& parent = "/tmp");
  ~TestFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A port of the loopback that nobody listens on, outside of the range from which outgoing connections get theirs.
uint16_t FreePort();

// Waits `ms`: a stimulus at a random moment, never a way to wait for something to happen.
void Pause(int64_t ms);

// Seed of a random test: UNDERSTUDY_SEED, else a fresh one. Prints it.
uint64_t TestSeed();

}  // namespace understudy::e2e
