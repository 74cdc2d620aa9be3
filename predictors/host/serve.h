// A worker's whole life: load the plugin, greet, carry out batches until the other side hangs up.
#pragma once

#include <mutex>
#include <string>

namespace understudy {

// Runs until the peer of `fd` (a connected stream socket, not owned) closes or sends nonsense. `turn`, when not null,
// is held during calls into the plugin: workers of one plugin in one process take turns.
void ServePlugin(int fd, const std::string& plugin_path, std::mutex* turn);

}  // namespace understudy
