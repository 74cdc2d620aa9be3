// The floor of the replay benchmark: records from memory over raw TCP into one flat hash map, on two processes of one
// thread each. No disk, no checksum, no Thrift, no order to keep between lanes.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "log/env/clock.h"
#include "understudy/check.h"

namespace understudy {
namespace {

constexpr uint64_t kKeys = 1'000'003;        // as the benchmark it is the floor of
constexpr size_t kChunkBytes = 4u << 20;

// A record is { u64 key, value }.
[[noreturn]] void Send(int fd, uint64_t records, size_t record_bytes) {
  const size_t per_chunk = kChunkBytes / record_bytes;
  std::string chunk(per_chunk * record_bytes, 'r');
  for (uint64_t sent = 0; sent < records;) {
    const uint64_t n = std::min<uint64_t>(per_chunk, records - sent);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t key = (sent + i) % kKeys + 1;
      std::memcpy(chunk.data() + i * record_bytes, &key, sizeof key);
    }
    for (size_t at = 0; at < n * record_bytes;) {
      const ssize_t out = ::send(fd, chunk.data() + at, n * record_bytes - at, MSG_NOSIGNAL);
      if (out <= 0) std::_Exit(1);
      at += static_cast<size_t>(out);
    }
    sent += n;
  }
  std::_Exit(0);
}

int Run(uint64_t records, size_t value_bytes) {
  const size_t record_bytes = value_bytes + 8;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UNDERSTUDY_CHECK(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  UNDERSTUDY_CHECK(::listen(listener, 1) == 0);
  socklen_t length = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  const pid_t sender = ::fork();
  if (sender == 0) Send(::accept(listener, nullptr, nullptr), records, record_bytes);

  constexpr uint64_t kSlots = 1u << 21;
  std::vector<char> map(kSlots * record_bytes);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  UNDERSTUDY_CHECK(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  std::vector<char> buffer(kChunkBytes);
  size_t used = 0;
  const Instant begun = SystemClock()->Now();
  for (uint64_t applied = 0; applied < records;) {
    const ssize_t got = ::recv(fd, buffer.data() + used, buffer.size() - used, 0);
    UNDERSTUDY_CHECK(got > 0);
    used += static_cast<size_t>(got);
    size_t at = 0;
    for (; used - at >= record_bytes; at += record_bytes, ++applied) {
      uint64_t key, there;
      std::memcpy(&key, buffer.data() + at, sizeof key);
      for (uint64_t i = (key * 0x9E3779B97F4A7C15ULL) >> 43;; i = (i + 1) % kSlots) {
        char* slot = map.data() + i * record_bytes;
        std::memcpy(&there, slot, sizeof there);
        if (there != key && there != 0) continue;
        std::memcpy(slot, buffer.data() + at, record_bytes);
        break;
      }
    }
    std::memmove(buffer.data(), buffer.data() + at, used - at);
    used -= at;
  }
  const double seconds = static_cast<double>(SystemClock()->Now() - begun) / kNsPerSecond;
  ::kill(sender, SIGKILL);
  ::waitpid(sender, nullptr, 0);
  std::printf("{\"records\":%llu,\"seconds\":%.6f,\"records_per_s\":%.0f}\n", static_cast<unsigned long long>(records),
              seconds, static_cast<double>(records) / seconds);
  return 0;
}

}  // namespace
}  // namespace understudy

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  uint64_t records = 0;
  size_t size = 0;
  po::options_description flags("replay_floor: records over raw TCP into a hash map; prints one line of JSON");
  flags.add_options()("help", "this text")("records", po::value(&records)->default_value(10'000'000), "in all")(
      "size", po::value(&size)->default_value(100), "bytes of a value, 1 to 65536");
  try {
    po::variables_map values;
    po::store(po::parse_command_line(argc, argv, flags), values);
    if (values.count("help") > 0) {
      std::cout << flags;
      return 0;
    }
    po::notify(values);
  } catch (const po::error& error) {
    std::fprintf(stderr, "replay_floor: %s\n", error.what());
    return 2;
  }
  if (size == 0 || size > 65536 || records == 0) {
    std::fprintf(stderr, "replay_floor: --size wants 1 to 65536, --records at least 1\n");
    return 2;
  }
  return understudy::Run(records, size);
}
