/**
 * The public contract of understudy, protocol version 1. Framed transport, binary or compact protocol; frames are at
 * most 16,000,000 bytes. Requests may be pipelined: answers come in any order, matched by sequence id. A connection
 * begins with `hello`; anything else first is answered with FAILED_PRECONDITION and the connection is closed. Method
 * names are unique over all services, so one port may serve several. docs/protocol.md explains.
 *
 * Ids: disks and attempts are 16 bytes, big-endian. LSNs and epochs are u64 in an i64. `code` is a StatusCode of
 * client/include/understudy/status.h (0 is OK); `detail` is for people. Added fields are optional and numbered upwards.
 */
namespace cpp understudy.wire
namespace py understudy_wire

const i32 PROTOCOL_VERSION = 1
const i32 FRAME_BYTES_MAX = 16000000

struct HelloRequest {
  1: string cluster
  2: i32 version_min
  3: i32 version_max
  4: string role        // "application", "agent", "log", "coordinator", "operator"
  5: string name        // node or program, for the other side's log
}
struct HelloReply {
  1: i32 code
  2: string detail
  3: string cluster
  4: i32 version        // to be spoken on this connection
}

service Handshake {
  HelloReply hello(1: HelloRequest request)
}

// ---------------------------------------------------------------- log servers

struct AppendRequest {
  1: i64 log
  2: binary disk
  3: i64 epoch
  4: binary attempt
  5: i64 epoch_first_lsn
  6: i64 commit
  7: binary batch       // one encoded batch (docs/formats.md), or empty: commit or heartbeat only
}
struct AppendReply {
  1: i32 code
  2: string detail
  3: i64 durable_tail
}
struct SealRequest {
  1: i64 log
  2: binary disk
  3: i64 epoch
}
struct SealReply {
  1: i32 code
  2: string detail
  3: i64 tail
  4: i64 highest_epoch
}
struct BarrierRequest {
  1: i64 log
  2: binary disk
  3: i64 epoch
}
struct BarrierReply {
  1: i32 code
  2: string detail
}
struct ReadRequest {
  1: i64 log
  2: binary disk
  3: i64 epoch
  4: i64 from_lsn
  5: i64 to_lsn
  6: i32 bytes_max
  7: i32 wait_ms
}
struct ReadReply {
  1: i32 code
  2: string detail
  3: binary batches
  4: i64 commit
  5: i64 trim
}
struct FetchSource {
  1: binary disk
  2: string address
}
struct FetchRequest {
  1: i64 log
  2: binary disk
  3: i64 epoch
  4: i64 from_lsn
  5: i64 to_lsn
  6: i64 trim
  7: list<FetchSource> sources
}
struct FetchReply {
  1: i32 code
  2: string detail
  3: i64 tail
}
struct TrimRequest {
  1: i64 log
  2: binary disk
  3: i64 lsn
}
struct TrimReply {
  1: i32 code
  2: string detail
}
struct ReplicaStatusRequest {
  1: i64 log
  2: binary disk
}
struct ReplicaStatusReply {
  1: i32 code
  2: string detail
  3: i64 sealed
  4: i64 highest_epoch
  5: i64 tail
  6: i64 commit
  7: i64 writer_age_ms
  8: i64 bytes
  9: i64 open_epochs      // logs of this disk whose writer was heard lately: how much the disk has to do
}
struct CheckpointChunk {
  1: i64 log
  2: binary disk
  3: i64 id
  4: i64 offset
  5: binary bytes
  6: i32 crc32c
  7: bool last
}
struct CheckpointWriteReply {
  1: i32 code
  2: string detail
}
struct CheckpointReadRequest {
  1: i64 log
  2: binary disk
  3: i64 id
  4: i64 offset
  5: i32 bytes_max
}
struct CheckpointReadReply {
  1: i32 code
  2: string detail
  3: binary bytes
  4: i32 crc32c
  5: i64 total_bytes
}
struct CheckpointDeleteRequest {
  1: i64 log
  2: binary disk
  3: i64 id
}
// Added with repair; a server that does not know it answers as to any method it does not know.
struct LogServerStatusRequest {
  1: i32 needs_max      // of what needs repair, most urgent first
}
struct LogServerStatusReply {
  1: i32 code
  2: string detail
  3: string document    // JSON, docs/rpc.md
}

service LogService extends Handshake {
  AppendReply append(1: AppendRequest request)
  SealReply seal(1: SealRequest request)
  BarrierReply barrier(1: BarrierRequest request)
  ReadReply read(1: ReadRequest request)
  FetchReply fetch(1: FetchRequest request)
  TrimReply trim(1: TrimRequest request)
  ReplicaStatusReply replica_status(1: ReplicaStatusRequest request)
  CheckpointWriteReply checkpoint_write(1: CheckpointChunk request)
  CheckpointReadReply checkpoint_read(1: CheckpointReadRequest request)
  CheckpointWriteReply checkpoint_delete(1: CheckpointDeleteRequest request)
  LogServerStatusReply log_server_status(1: LogServerStatusRequest request)
}

// ---------------------------------------------------------------- metadata (served by every coordinator)

struct MetadataItem {
  1: string key
  2: binary value
  3: i64 version
}
struct MetadataGetReply {
  1: i32 code
  2: string detail
  3: bool found
  4: MetadataItem item
}
struct MetadataListReply {
  1: i32 code
  2: string detail
  3: list<MetadataItem> items
}
struct MetadataCasReply {
  1: i32 code           // OK, CONFLICT, OUTCOME_UNKNOWN (it may still land)
  2: string detail
  3: i64 version
}

service MetadataService extends Handshake {
  MetadataGetReply metadata_get(1: string key)
  MetadataListReply metadata_list(1: string prefix, 2: i32 limit)
  // expected 0: the key must not exist. An empty value deletes.
  MetadataCasReply metadata_cas(1: string key, 2: i64 expected, 3: binary value)
}

// ---------------------------------------------------------------- commands and reports

enum CommandKind {
  NONE = 0              // nothing within the wait; ask again
  // for the agent
  START_APP = 1         // start the service's program (WARM); `program`, `arguments`, `environment`
  STOP_APP = 2          // end it: SIGTERM, then SIGKILL after grace_ms
  // for the application
  FOLLOW = 10           // load the newest checkpoint of `log`, replay, follow
  MIRROR_TO = 11        // primary: push batches to `address` as well (empty: stop)
  PREPARE = 12          // spare: draw the attempt id of a handover and report it as `attempt`
  HANDOVER = 13         // primary: drain, close the epoch, open the next one for `attempt` at `node`, `endpoint`
  TAKE_OVER = 14        // become the writer by force; `epoch` is the last epoch the coordinator knows
  CHECKPOINT = 15       // take one now
  RELEASE = 16          // spare: drop the state, back to WARM
  CHECKPOINT_EVERY = 17 // `interval_ms` between checkpoints; 0: the application's own default
  MOVE_DISKS = 18       // primary: go on in a new epoch on `disks`, as far as they are alive
}
struct Command {
  1: i64 id             // grows; a command is carried out at most once per application process
  2: CommandKind kind
  3: string service_name
  4: i64 log
  5: i64 epoch
  6: binary attempt
  7: string node
  8: string endpoint
  9: string address
  10: i64 interval_ms
  11: string program
  12: list<string> arguments
  13: map<string, string> environment
  14: i64 grace_ms
  15: string cluster
  16: list<string> coordinators   // where the application reaches the metadata
  17: i64 memory_limit_bytes      // 0: none. Predictors see it (docs/metrics.md); agents do not enforce it
  18: bool accept_data_loss       // TAKE_OVER: an operator has confirmed that the old writer's node is off
  19: list<binary> disks          // MOVE_DISKS
}
struct CommandResult {
  1: i64 id
  2: i32 code
  3: string detail
}

enum AppRole { WARM = 0, LOADING = 1, REPLAYING = 2, MIRRORING = 3, PROMOTING = 4, PRIMARY = 5 }

// What an application says of itself; carried on by its agent.
struct AppReport {
  1: i64 pid
  2: AppRole role
  3: string service_name             // empty when WARM
  4: i64 log
  5: i64 epoch                  // the writer's, when primary
  6: i64 applied                // spare: replayed up to; primary: committed up to
  7: i64 commit                 // as last heard
  8: bool caught_up             // spare: applied has reached the commit heard within the last second
  9: string endpoint            // of the application, for its clients
  10: string mirror_address     // where its MirrorService listens
  11: binary attempt            // drawn by PREPARE
  12: list<CommandResult> done  // results since the last report
  13: map<string, double> gauges
  14: i64 last_appended
  15: i64 checkpoint_lsn
  16: i64 append_p50_us
  17: i64 append_p99_us
  18: bool may_serve
  19: i64 start_ticks           // of the process, from /proc: with pid, its identity
  20: i64 replayed              // records replayed since FOLLOW or TAKE_OVER began
  21: i64 serving_since_unix_ms // when it last became PRIMARY
  22: string waiting            // what a takeover, or an epoch that was sealed, waits for; empty: nothing
  23: i64 lost_from             // records [lost_from, lost_to] were given up in the last takeover; 0: none
  24: i64 lost_to
}

// ---------------------------------------------------------------- agents serve applications (Unix socket)

struct NextCommandReply {
  1: i32 code
  2: string detail
  3: Command command
  4: string leader      // address of the coordinator that leads, with code UNAVAILABLE; empty: not known
}

service AgentService extends Handshake {
  // Long poll: answers when there is a command for the application, or after wait_ms. The report is taken at once.
  NextCommandReply app_next_command(1: AppReport report, 2: i32 wait_ms)
  // A report between polls: role changes and results travel at once.
  NextCommandReply app_report(1: AppReport report)
}

// ---------------------------------------------------------------- coordinators serve agents and operators

struct Metric {
  1: string name
  2: double value               // NaN is refused; a missing metric is simply not listed
}
struct NodeSample {
  1: i64 unix_ms                // the agent's clock; for people and traces
  2: i64 monotonic_ms           // the agent's; for spacing
  3: list<Metric> metrics
}
enum ProcessState { NONE = 0, STARTING = 1, RUNNING = 2, EXITED = 3, FAILED = 4 }
struct AgentReport {
  1: string node
  2: string address             // host, for people
  3: i64 incarnation            // drawn at the agent's start
  4: ProcessState process
  5: string exit_reason         // "killed by signal 9", "exit status 1", "exec: No such file or directory"
  6: bool has_app
  7: AppReport app
  8: list<CommandResult> done
  9: list<NodeSample> samples
  10: list<string> labels       // "key=value"
  11: i64 starts                // processes started since the agent began
  12: string process_service    // which service's program it runs
}

service CoordinatorService extends Handshake {
  NextCommandReply agent_next_command(1: AgentReport report, 2: i32 wait_ms)
  NextCommandReply agent_report(1: AgentReport report)

  // For operators. Documents are JSON, described in docs/cli.md; errors have code and detail.
  DocumentReply service_apply(1: string document)
  DocumentReply service_remove(1: string service_name)
  DocumentReply status()
  DocumentReply events(1: i64 after, 2: i32 limit, 3: i32 wait_ms)
  DocumentReply switchover(1: string service_name, 2: string to_node)
  DocumentReply set_paused(1: bool paused)
  DocumentReply logs_request(1: string document)   // drain, rebalance, accept a loss: docs/cli.md
  DocumentReply policy_request(1: string document) // explain a service, read and change the settings: docs/cli.md
}
struct DocumentReply {
  1: i32 code
  2: string detail
  3: string document
  4: string leader      // as in NextCommandReply
}

// ---------------------------------------------------------------- a spare serves its primary

struct MirrorPush {
  1: i64 log
  2: i64 epoch
  3: binary attempt
  4: i64 commit
  5: binary batch
  6: binary next_owner
}
service MirrorService extends Handshake {
  oneway void mirror(1: MirrorPush push)
}
