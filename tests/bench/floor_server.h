// The server of the floor: raw TCP, group commit into an already written file, acknowledgement. See floor.cc.
#pragma once

#include <cstddef>
#include <string>

namespace understudy {

struct FloorServerOptions {
  std::string dir;
  size_t record_bytes = 100;
  size_t connections = 1;  // more than one: each has one record in flight
  bool overlap = false;    // receives on one thread and syncs on another; with one connection
};

// Writes a byte to `ready` when the file is prepared, then serves until it is killed or its clients are gone. An
// acknowledgement is the number of whole records synced since the beginning, 8 bytes.
[[noreturn]] void ServeFloor(const FloorServerOptions& options, int listener, int ready);

void SendAll(int fd, const char* data, size_t size);  // ends the process when the other side is gone
void NoDelay(int fd);

}  // namespace understudy
