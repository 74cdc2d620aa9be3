#include "tests/e2e/server_process.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "log/env/clock.h"
#include "log/env/random.h"
#include "log/env/small_files.h"

namespace understudy::e2e {
namespace {

constexpr int kEndMsMax = 20'000;

}  // namespace

uint16_t FreePort() {
  static uint16_t next = 0;
  while (true) {
    if (next == 0) next = static_cast<uint16_t>(20'000 + SystemRandom()->Below(10'000));
    const uint16_t port = next;
    next = port >= 31'000 ? 20'000 : static_cast<uint16_t>(port + 1);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (is_free) return port;
  }
}

void Pause(int64_t ms) { poll(nullptr, 0, static_cast<int>(ms)); }

uint64_t TestSeed() {
  const char* given = std::getenv("UNDERSTUDY_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : SystemRandom()->Next64() >> 1;
  std::printf("seed %llu (UNDERSTUDY_SEED=%llu runs it again)\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

TestFolder::TestFolder(const std::string& parent) {
  std::string name = parent + "/understudy_e2e_XXXXXX";
  const char* made = mkdtemp(name.data());
  if (made == nullptr) std::abort();
  path_ = made;
}

TestFolder::~TestFolder() {
  if (std::system(("rm -rf '" + path_ + "'").c_str()) != 0) std::fprintf(stderr, "%s stays\n", path_.c_str());
}

ServerProcess::ServerProcess(std::string data_dir, std::string role)
    : data_dir_(std::move(data_dir)),
      role_(std::move(role)),
      coordinator_("127.0.0.1:" + std::to_string(FreePort())),
      log_("127.0.0.1:" + std::to_string(FreePort())) {}

ServerProcess::~ServerProcess() { Kill(); }

void ServerProcess::Start(std::vector<std::string> more_flags) {
  std::vector<std::string> flags = {"--data-dir",   data_dir_, "--listen",        coordinator_,
                                    "--log-listen", log_,      "--segment-bytes", "16777216"};
  if (!role_.empty()) flags.insert(flags.begin(), role_);
  flags.insert(flags.end(), more_flags.begin(), more_flags.end());
  auto process = Process::Spawn({UNDERSTUDYD_PROGRAM, std::move(flags), {}, data_dir_ + ".output"});
  ASSERT_TRUE(process.ok()) << process.status().ToString();
  process_ = std::move(process).value();
}

void ServerProcess::Kill() {
  if (process_ != nullptr) EndWith(SIGKILL);
}

std::string ServerProcess::EndWith(int signal) {
  (void)process_->Signal(signal, false).ok();  // an error: it is gone already
  return WaitForEnd();
}

std::string ServerProcess::WaitForEnd() {
  pollfd ended{process_->pidfd(), POLLIN, 0};
  if (poll(&ended, 1, kEndMsMax) != 1) {
    ADD_FAILURE() << "understudyd does not end; its output:\n" << Output();
    (void)process_->Signal(SIGKILL, false).ok();
    poll(&ended, 1, kEndMsMax);
  }
  std::string reason = process_->Reap().value_or("it still runs");
  process_.reset();
  return reason;
}

std::string ServerProcess::Output() const {
  Result<std::string> output = ReadSmallFile(data_dir_ + ".output", 64u << 20);
  return output.ok() ? std::move(output).value() : output.status().ToString();
}

bool ServerProcess::OutputHas(const std::string& text, size_t times) const {
  const Instant deadline = SystemClock()->Now() + 20 * kNsPerSecond;
  while (true) {
    const std::string output = Output();
    size_t found = 0;
    for (size_t at = output.find(text); at != std::string::npos; at = output.find(text, at + 1)) ++found;
    if (found >= times) return true;
    if (SystemClock()->Now() >= deadline) return false;
    Pause(5);
  }
}

}  // namespace understudy::e2e
