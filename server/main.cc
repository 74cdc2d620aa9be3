// understudyd: see `understudyd --help`.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "log/env/logging.h"
#include "log/env/process.h"
#include "server/understudyd/daemon.h"
#include "server/understudyd/options.h"

namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

std::string ProgramFolder() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  const std::string program(path, length > 0 ? static_cast<size_t>(length) : 0);
  const size_t slash = program.rfind('/');
  return slash == std::string::npos ? "." : program.substr(0, slash);
}

}  // namespace

int main(int argc, char** argv) {
  const understudy::Result<understudy::DaemonOptions> options =
      understudy::ParseDaemonOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (!options.ok()) {
    std::fprintf(stderr, "understudyd: %s\nTry 'understudyd --help'.\n", options.status().message().c_str());
    return kExitUsage;
  }
  if (!options->answer.empty()) {
    std::fputs(options->answer.c_str(), stdout);
    return 0;
  }
  understudy::SetLogLevel(options->log_level);
  signal(SIGPIPE, SIG_IGN);  // a closed connection is an error of its write
  const understudy::Result<int> signals = understudy::SignalDescriptor({SIGTERM, SIGINT});
  if (!signals.ok()) {
    std::fprintf(stderr, "understudyd: %s\n", signals.status().message().c_str());
    return kExitFailure;
  }
  auto daemon = understudy::Daemon::Start(*options, ProgramFolder());
  if (!daemon.ok()) {
    std::fprintf(stderr, "understudyd: %s\n", daemon.status().message().c_str());
    return kExitFailure;
  }
  return (*daemon)->Run(*signals).ok() ? 0 : kExitFailure;
}
