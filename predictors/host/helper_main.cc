// understudy-predictor-host: one plugin in a process of its own. Started by a predictor host, with a connected socket
// as file descriptor 3; or with --check, by `understudy doctor`, to see whether a plugin loads.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "predictors/host/plugin_library.h"
#include "predictors/host/serve.h"

namespace {

constexpr int kSocket = 3;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kAddressSpaceLimits = false;  // the sanitizers reserve terabytes of it
#else
constexpr bool kAddressSpaceLimits = true;
#endif

bool Limit(int what, rlim_t value) {
  const rlimit limit = {value, value};
  return setrlimit(static_cast<__rlimit_resource>(what), &limit) == 0;
}

constexpr unsigned kCheckSeconds = 10;

// Loads the plugin and calls it once. One that only misses its configuration is fine.
int Check(const char* path) {
  alarm(kCheckSeconds);
  const understudy::Result<std::unique_ptr<understudy::PluginLibrary>> library = understudy::PluginLibrary::Load(path);
  if (!library.ok()) {
    std::printf("%s\n", library.status().message().c_str());
    return 1;
  }
  understudy::PluginAnswer answer;
  understudy::PluginInstance::Create(library->get(), "{}", 1, &answer);
  const bool good = answer.ok() || answer.code == UNDERSTUDY_BAD_CONFIG;
  std::printf("%s %s%s%s\n", (*library)->name().c_str(), (*library)->version().c_str(), good ? "" : ": ",
              good ? "" : answer.text.c_str());
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--check") == 0) return Check(argv[2]);
  if (argc != 4) {
    std::fprintf(stderr,
                 "%s is started by understudyd, not by hand: PLUGIN MEMORY_BYTES PARENT_PID, or --check PLUGIN\n",
                 argv[0]);
    return 2;
  }
  // The end of the parent ends this process, also when the plugin hangs.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != static_cast<pid_t>(std::strtol(argv[3], nullptr, 10))) return 0;
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlim_t memory = std::strtoull(argv[2], nullptr, 10);
  bool limited = Limit(RLIMIT_CORE, 0) && Limit(RLIMIT_FSIZE, 0) && Limit(RLIMIT_NOFILE, 64);
  if (memory > 0 && kAddressSpaceLimits) limited = Limit(RLIMIT_AS, memory) && limited;
  if (!limited) {
    std::fprintf(stderr, "%s: setting limits: %s\n", argv[0], std::strerror(errno));
    return 3;
  }
  // A predictor yields to the services it watches. Refused only where priorities are not ours to lower: then not.
  if (nice(5) == -1) errno = 0;
  understudy::ServePlugin(kSocket, argv[1], nullptr);
  _exit(0);  // a broken plugin's static destructors are not waited for
}
