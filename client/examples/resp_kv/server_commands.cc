// The commands that every instance answers by itself, primary or not.
#include <unistd.h>

#include <cstdio>

#include "client/examples/resp_kv/key_hash.h"
#include "client/examples/resp_kv/reply.h"
#include "client/examples/resp_kv/server.h"

namespace understudy::resp_kv {

namespace {

using Args = std::vector<std::string_view>;

void UnknownSubcommand(std::string_view command, std::string_view subcommand, std::string* reply) {
  AppendError("ERR unknown subcommand '" + std::string(subcommand.substr(0, 128)) + "'. Known to " +
                  std::string(command) + ": see docs/examples.md",
              reply);
}

// "host:port", split at the last colon.
std::pair<std::string, int64_t> SplitEndpoint(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  int64_t port = 0;
  if (colon == std::string::npos || !ParseInteger(std::string_view(endpoint).substr(colon + 1), &port)) {
    return {endpoint, 0};
  }
  return {endpoint.substr(0, colon), port};
}

void AppendCommandInfo(const CommandSpec& spec, std::string* reply) {
  AppendArray(6, reply);
  AppendBulk(spec.name, reply);
  AppendInteger(spec.arity, reply);
  std::vector<std::string_view> flags;
  const auto add = [&](int flag, std::string_view name) {
    if ((spec.flags & flag) != 0) {
      flags.push_back(name);
    }
  };
  add(kWrite, "write");
  add(kReadOnly, "readonly");
  add(kDenyOom, "denyoom");
  add(kFast, "fast");
  add(kAdmin, "admin");
  AppendArray(flags.size(), reply);
  for (const std::string_view flag : flags) {
    AppendSimple(flag, reply);
  }
  AppendInteger(spec.first_key, reply);
  AppendInteger(spec.last_key, reply);
  AppendInteger(spec.key_step, reply);
}

}  // namespace

void Server::HandleOwn(Connection* connection, std::string_view name, const Args& args, std::string* reply,
                       Answer* answer) {
  if (name == "ping") {
    if (args.size() > 2) {
      AppendError("ERR wrong number of arguments for 'ping' command", reply);
    } else {
      args.size() == 2 ? AppendBulk(args[1], reply) : AppendSimple("PONG", reply);
    }
  } else if (name == "auth") {
    // There are no passwords here. The user's name says which service is meant, so that a client which comes back to an
    // old address never talks to another service that has moved there.
    if (args.size() != 3 || args[1].size() > 256) {
      AppendError("ERR AUTH wants a service's name as the user, and any password", reply);
      return;
    }
    connection->service = args[1] == "default" ? std::string_view() : args[1];
    AppendSimple("OK", reply);
  } else if (name == "echo") {
    AppendBulk(args[1], reply);
  } else if (name == "select") {
    int64_t index = 0;
    if (!ParseInteger(args[1], &index)) {
      AppendError(kNotAnInteger, reply);
    } else if (index != 0) {
      AppendError("ERR DB index is out of range", reply);
    } else {
      AppendSimple("OK", reply);
    }
  } else if (name == "info") {
    AppendBulk(Info(), reply);
  } else if (name == "client") {
    HandleClient(connection, args, reply);
  } else if (name == "cluster") {
    HandleCluster(args, reply);
  } else if (name == "command") {
    HandleCommand(args, reply);
  } else if (name == "config") {
    HandleConfig(args, reply);
  } else if (name == "debug") {
    HandleDebug(connection, args, reply);
  } else if (name == "time") {
    const int64_t now_ms = executor_->UnixMs();
    AppendArray(2, reply);
    AppendBulk(std::to_string(now_ms / 1000), reply);
    AppendBulk(std::to_string(now_ms % 1000 * 1000), reply);
  } else if (name == "hello") {
    if (args.size() > 1 && args[1] != "2") {
      AppendError("NOPROTO unsupported protocol version", reply);
      return;
    }
    AppendArray(8, reply);
    AppendBulk("server", reply);
    AppendBulk("resp_kv", reply);
    AppendBulk("proto", reply);
    AppendInteger(2, reply);
    AppendBulk("mode", reply);
    AppendBulk("cluster", reply);
    AppendBulk("role", reply);
    AppendBulk(data_->primary() ? "master" : "replica", reply);
  } else {  // asking, quit, readonly, readwrite, reset
    AppendSimple(name == "reset" ? "RESET" : "OK", reply);
    answer->close = name == "quit";
  }
}

void Server::HandleClient(Connection* connection, const Args& args, std::string* reply) {
  const std::string what = ToLower(args[1]);
  const auto describe = [](const Connection& one) {
    return "id=" + std::to_string(one.id()) + " addr=" + one.address() + " name=" + one.name + " db=0\n";
  };
  if (what == "id" && args.size() == 2) {
    AppendInteger(static_cast<int64_t>(connection->id()), reply);
  } else if (what == "getname" && args.size() == 2) {
    AppendBulk(connection->name, reply);
  } else if (what == "setname" && args.size() == 3) {
    connection->name = args[2].substr(0, 256);
    AppendSimple("OK", reply);
  } else if (what == "setinfo" || what == "no-evict" || what == "no-touch") {
    AppendSimple("OK", reply);
  } else if (what == "info" && args.size() == 2) {
    AppendBulk(describe(*connection), reply);
  } else if (what == "list") {
    std::string list;
    for (const auto& [id, one] : connections_) {
      list += describe(*one);
    }
    AppendBulk(list, reply);
  } else {
    UnknownSubcommand("CLIENT", args[1], reply);
  }
}

std::string Server::NodeId() const {
  char id[48];
  const uint64_t hash = KeyHash(endpoint_);
  std::snprintf(id, sizeof(id), "%016llx%016llx%08x", static_cast<unsigned long long>(hash),
                static_cast<unsigned long long>(KeyHash(endpoint_ + "#")), static_cast<unsigned>(hash));
  return id;
}

// As a cluster of one master that holds every slot: the primary of the service.
void Server::HandleCluster(const Args& args, std::string* reply) {
  const std::string what = ToLower(args[1]);
  const std::string owner = data_->primary() ? endpoint_ : data_->OwnerEndpoint();
  const auto [host, port] = SplitEndpoint(owner);
  if (what == "keyslot" && args.size() == 3) {
    AppendInteger(HashSlot(args[2]), reply);
  } else if (what == "myid") {
    AppendBulk(NodeId(), reply);
  } else if (what == "info") {
    AppendBulk(std::string("cluster_enabled:1\r\ncluster_state:") + (owner.empty() ? "fail" : "ok") +
                   "\r\ncluster_slots_assigned:16384\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n",
               reply);
  } else if (what == "nodes") {
    const bool self = data_->primary();
    AppendBulk(owner.empty() ? std::string()
                             : (self ? NodeId() : std::string(40, '0')) + " " + owner + "@0 " +
                                   (self ? "myself,master" : "master") + " - 0 0 1 connected 0-16383\n",
               reply);
  } else if (what == "slots") {
    AppendArray(owner.empty() ? 0 : 1, reply);
    if (!owner.empty()) {
      AppendArray(3, reply);
      AppendInteger(0, reply);
      AppendInteger(16383, reply);
      AppendArray(2, reply);
      AppendBulk(host, reply);
      AppendInteger(port, reply);
    }
  } else {
    UnknownSubcommand("CLUSTER", args[1], reply);
  }
}

void Server::HandleCommand(const Args& args, std::string* reply) {
  if (args.size() == 1) {
    AppendArray(Commands().size(), reply);
    for (const CommandSpec& spec : Commands()) {
      AppendCommandInfo(spec, reply);
    }
    return;
  }
  const std::string what = ToLower(args[1]);
  if (what == "count") {
    AppendInteger(static_cast<int64_t>(Commands().size()), reply);
  } else if (what == "docs") {
    AppendArray(0, reply);  // redis-cli goes on without hints
  } else if (what == "list") {
    AppendArray(Commands().size(), reply);
    for (const CommandSpec& spec : Commands()) {
      AppendBulk(spec.name, reply);
    }
  } else if (what == "info") {
    AppendArray(args.size() - 2, reply);
    for (size_t i = 2; i < args.size(); ++i) {
      const CommandSpec* spec = FindCommand(args[i]);
      spec == nullptr ? AppendNullArray(reply) : AppendCommandInfo(*spec, reply);
    }
  } else {
    UnknownSubcommand("COMMAND", args[1], reply);
  }
}

void Server::HandleConfig(const Args& args, std::string* reply) {
  const std::string what = ToLower(args[1]);
  if (what == "resetstat") {
    AppendSimple("OK", reply);
    return;
  }
  if (what != "get" || args.size() < 3) {
    AppendError("ERR only CONFIG GET is supported: settings are flags of the program", reply);
    return;
  }
  const std::pair<std::string_view, std::string> settings[] = {
      {"appendonly", "yes"},  // each write is in the log before it is acknowledged
      {"bind", options_.bind},
      {"databases", "1"},
      {"maxclients", std::to_string(options_.clients_max)},
      {"maxmemory", std::to_string(options_.memory_bytes_max)},
      {"port", std::to_string(port_)},
      {"proto-max-bulk-len", std::to_string(kBulkBytesMax)},
      {"save", ""},
      {"timeout", "0"},
  };
  std::vector<const std::pair<std::string_view, std::string>*> matches;
  for (const auto& setting : settings) {
    for (size_t i = 2; i < args.size(); ++i) {
      if (GlobMatches(ToLower(args[i]), setting.first)) {
        matches.push_back(&setting);
        break;
      }
    }
  }
  AppendArray(2 * matches.size(), reply);
  for (const auto* match : matches) {
    AppendBulk(match->first, reply);
    AppendBulk(match->second, reply);
  }
}

void Server::HandleDebug(Connection* connection, const Args& args, std::string* reply) {
  const std::string& address = connection->address();
  const bool local = address.starts_with("127.") || address.starts_with("::1:") || address.starts_with("::ffff:127.");
  if (options_.debug == ServerOptions::Debug::kNo || (options_.debug == ServerOptions::Debug::kLocal && !local)) {
    AppendError("ERR DEBUG command not allowed: --enable-debug-command is 'no', or 'local' and you are not", reply);
    return;
  }
  const std::string what = ToLower(args[1]);
  int64_t value = 0;
  const bool has_value = args.size() == 3 && ParseInteger(args[2], &value) && value >= 0;
  const auto refuse = [reply](const std::string& text) { AppendError("ERR " + text, reply); };
  if (what == "leak") {
    if (!has_value || value > DebugFaults::kLeakBytesPerSecondMax) {
      return refuse("DEBUG LEAK wants bytes per second, 0 to 17179869184");
    }
    faults_.SetMemoryLeak(value);
  } else if (what == "fdleak") {
    if (!has_value || value > DebugFaults::kLeakFdsPerSecondMax) {
      return refuse("DEBUG FDLEAK wants file descriptors per second, 0 to 100000");
    }
    faults_.SetFdLeak(value);
  } else if (what == "threadleak") {
    if (!has_value || value > DebugFaults::kLeakThreadsPerSecondMax) {
      return refuse("DEBUG THREADLEAK wants threads per second, 0 to 10000");
    }
    faults_.SetThreadLeak(value);
  } else if (what == "iocreep") {
    if (!has_value || value > DebugFaults::kIoCreepMax) {
      return refuse("DEBUG IOCREEP wants writes per second and second, 0 to 10000");
    }
    faults_.SetIoCreep(value);
  } else if (what == "stall") {
    if (!has_value || value > DebugFaults::kStallMsMax) {
      return refuse("DEBUG STALL wants milliseconds, 0 to 3600000");
    }
    DebugFaults::Stall(value);
  } else {
    return UnknownSubcommand("DEBUG", args[1], reply);
  }
  AppendSimple("OK", reply);
}

std::string Server::Info() const {
  const Store& store = state_->store();
  std::string info;
  const auto line = [&info](std::string_view name, const auto& value) {
    info += name;
    info += ':';
    if constexpr (std::is_convertible_v<decltype(value), std::string_view>) {
      info += value;
    } else {
      info += std::to_string(value);
    }
    info += "\r\n";
  };
  info += "# Server\r\n";
  line("redis_version", "7.0.0");  // of the protocol's commands, for clients that look at it
  line("server_name", "resp_kv");
  line("redis_mode", "cluster");
  line("process_id", static_cast<int64_t>(::getpid()));
  line("tcp_port", port_);
  line("uptime_in_seconds", (executor_->MonotonicUs() - started_us_) / 1'000'000);
  info += "\r\n# Clients\r\n";
  line("connected_clients", connections_.size());
  line("maxclients", options_.clients_max);
  info += "\r\n# Memory\r\n";
  line("used_memory", store.bytes() + faults_.leaked_bytes());
  line("data_bytes", store.bytes());
  line("debug_leaked_bytes", faults_.leaked_bytes());
  line("debug_leaked_fds", faults_.leaked_fds());
  line("debug_leaked_threads", faults_.leaked_threads());
  line("debug_scratch_writes", faults_.scratch_writes());
  line("maxmemory", options_.memory_bytes_max);
  info += "\r\n# Stats\r\n";
  line("total_commands_processed", commands_);
  line("instantaneous_ops_per_sec", commands_per_second_);
  line("latency_p99_us", p99_us_);
  info += "\r\n# Replication\r\n";
  line("role", data_->primary() ? "master" : "slave");
  line("understudy_service", data_->service());
  line("understudy_role", RoleName(node_->role()));
  line("understudy_applied_lsn", node_->applied().value());
  line("understudy_owner", data_->primary() ? endpoint_ : data_->OwnerEndpoint());
  line("understudy_may_serve", node_->MayServe() ? 1 : 0);
  info += "\r\n# Cluster\r\n";
  line("cluster_enabled", 1);
  info += "\r\n# Keyspace\r\n";
  if (data_->primary() && store.keys() > 0) {
    info += "db0:keys=" + std::to_string(store.keys()) + ",expires=" + std::to_string(store.keys_with_expiry()) +
            ",avg_ttl=0\r\n";
  }
  return info;
}

}  // namespace understudy::resp_kv
