#!/usr/bin/python3
"""Writes the corpus of the fuzz targets: one proper message of every method of every service, in both protocols, and
batches and chains that are well formed. Usage: make_corpus.py FOLDER, where `thrift --gen py` left understudy_wire, and
python3-thrift is installed. Writes beside itself, into corpus/."""
import json
import os
import struct
import sys

sys.path.insert(0, sys.argv[1])
from thrift.Thrift import TMessageType  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: E402
from thrift.protocol.TCompactProtocol import TCompactProtocol  # noqa: E402
from thrift.transport.TTransport import TMemoryBuffer  # noqa: E402
from understudy_wire import (AgentService, CoordinatorService, Handshake, LogService, MetadataService,  # noqa: E402
                             MirrorService)
from understudy_wire.ttypes import (AgentReport, AppendRequest, AppReport, BarrierRequest,  # noqa: E402
                                    CheckpointChunk, CheckpointDeleteRequest, CheckpointReadRequest, CommandResult,
                                    FetchRequest, FetchSource, HelloRequest, Metric, MirrorPush, NodeSample,
                                    ReadRequest, ReplicaStatusRequest, SealRequest, TrimRequest)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
DISK = bytes(range(16))
ATTEMPT = bytes(range(16, 32))

# Flags of the target `rpc` (targets.h).
HELLO, ONE_MESSAGE, COMPACT, PIECES = 1, 2, 4, 8


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def batch(log, epoch, first_lsn, records):
    body = b"".join(struct.pack("<IQ", len(payload), key) + payload for key, payload in records)
    rest = struct.pack("<IIQQQII", 48 + len(body), len(records), log, epoch, first_lsn, 0, 0) + body
    return b"USB1" + struct.pack("<I", crc32c(rest)) + rest


def message(protocol_class, method, args, kind=TMessageType.CALL):
    buffer = TMemoryBuffer()
    protocol = protocol_class(buffer)
    protocol.writeMessageBegin(method, kind, 7)
    args.write(protocol)
    protocol.writeMessageEnd()
    return buffer.getvalue()


def framed(payload):
    return struct.pack(">I", len(payload)) + payload


def write(target, name, content):
    os.makedirs(os.path.join(HERE, target), exist_ok=True)
    with open(os.path.join(HERE, target, name), "wb") as file:
        file.write(content)


BATCH = batch(1, 2, 3, [(0, b"first"), (77, b""), (1 << 63, b"x" * 100)])
APP = AppReport(1, 3, "kv1", 2, 3, 4, 5, True, "a:1", "a:2", ATTEMPT, [CommandResult(1, 5, "why")],
                {"rss": 1.5, "bad": float("nan")}, 6, 7, 8, 9, True, 10, 11, 12)
AGENT = AgentReport("n1", "host", 1, 2, "exit status 1", True, APP, [CommandResult(2, 0, "")],
                    [NodeSample(1, 2, [Metric("load", 0.5), Metric("inf", float("inf"))])], ["a=b"], 3, "kv1")
CALLS = [
    ("hello", Handshake.hello_args(HelloRequest("fuzz", 1, 1, "application", "name"))),
    ("append", LogService.append_args(AppendRequest(1, DISK, 2, ATTEMPT, 3, 2, BATCH))),
    ("seal", LogService.seal_args(SealRequest(1, DISK, 2))),
    ("barrier", LogService.barrier_args(BarrierRequest(1, DISK, 2))),
    ("read", LogService.read_args(ReadRequest(1, DISK, 2, 3, 4, 500, 6))),
    ("fetch", LogService.fetch_args(FetchRequest(1, DISK, 2, 3, 4, 0, [FetchSource(DISK, "a:1")]))),
    ("trim", LogService.trim_args(TrimRequest(1, DISK, 2))),
    ("replica_status", LogService.replica_status_args(ReplicaStatusRequest(1, DISK))),
    ("checkpoint_write", LogService.checkpoint_write_args(CheckpointChunk(1, DISK, 2, 0, b"bytes", 5, True))),
    ("checkpoint_read", LogService.checkpoint_read_args(CheckpointReadRequest(1, DISK, 2, 0, 100))),
    ("checkpoint_delete", LogService.checkpoint_delete_args(CheckpointDeleteRequest(1, DISK, 2))),
    ("metadata_get", MetadataService.metadata_get_args("/understudy/fuzz/logs/1")),
    ("metadata_list", MetadataService.metadata_list_args("/understudy/", 5)),
    ("metadata_cas", MetadataService.metadata_cas_args("key", 1, b"value")),
    ("app_next_command", AgentService.app_next_command_args(APP, 5)),
    ("app_report", AgentService.app_report_args(APP)),
    ("agent_next_command", CoordinatorService.agent_next_command_args(AGENT, 5)),
    ("agent_report", CoordinatorService.agent_report_args(AGENT)),
    ("service_apply", CoordinatorService.service_apply_args("{}")),
    ("service_remove", CoordinatorService.service_remove_args("kv1")),
    ("status", CoordinatorService.status_args()),
    ("events", CoordinatorService.events_args(1, 2, 3)),
    ("switchover", CoordinatorService.switchover_args("kv1", "n2")),
    ("set_paused", CoordinatorService.set_paused_args(True)),
    ("logs_request", CoordinatorService.logs_request_args('{"request": "drain", "node": "n1"}')),
    ("policy_request", CoordinatorService.policy_request_args('{"request": "explain", "service": "kv1"}')),
    ("mirror", MirrorService.mirror_args(MirrorPush(1, 2, ATTEMPT, 3, BATCH, DISK))),
]

for protocol_name, protocol_class, flag in (("binary", TBinaryProtocol, 0), ("compact", TCompactProtocol, COMPACT)):
    stream = b""
    for method_name, arguments in CALLS:
        kind = TMessageType.ONEWAY if method_name == "mirror" else TMessageType.CALL
        payload = message(protocol_class, method_name, arguments, kind)
        write("rpc", f"{method_name}_{protocol_name}", bytes([HELLO | ONE_MESSAGE | flag]) + payload)
        stream += framed(payload)
    write("rpc", f"all_{protocol_name}", bytes([PIECES]) + stream)
    write("rpc", f"no_hello_{protocol_name}", bytes([ONE_MESSAGE]) + message(protocol_class, *CALLS[1]))

write("batch", "three_records", b"\0" + BATCH)
write("batch", "empty_record", b"\0" + batch(1, 1, 1, [(0, b"")]))
write("batch", "many_records", b"\1" + batch(9, 8, 7, [(n, bytes([n])) for n in range(60)]))

CHAIN = {"log_id": 7, "name": "kv1", "replicas_target": 3, "ack_quorum": 2, "trim_lsn": 0, "next_checkpoint_id": 1,
         "chain": [], "checkpoints": [], "pins": []}
write("chain", "no_epochs", json.dumps(CHAIN).encode())
DISKS = [{"disk": f"{n:032x}", "node": f"n{n}"} for n in (1, 2, 3)]
OWNER = {"node": "n1", "endpoint": "a:1"}
CHAIN["chain"] = [
    {"epoch": 1, "attempt": f"{11:032x}", "owner": OWNER, "first_lsn": 1, "last_lsn": 90, "disks": DISKS, "ack_quorum": 2},
    {"epoch": 2, "attempt": f"{12:032x}", "owner": OWNER, "first_lsn": 91, "disks": DISKS[:2], "ack_quorum": 1}]
write("chain", "open_epoch", json.dumps(CHAIN).encode())
CHAIN["checkpoints"] = [{"id": 1, "lsn": 50, "bytes": 1000, "disks": [f"{1:032x}"]},
                        {"id": 2, "lsn": 80, "bytes": 2000, "disks": [f"{1:032x}", f"{2:032x}"]}]
CHAIN["pins"] = [{"holder": "n3", "checkpoint": 1, "lsn": 45, "expires_unix_ms": 5}]
CHAIN["trim_lsn"] = 40
CHAIN["next_checkpoint_id"] = 3
write("chain", "everything", json.dumps(CHAIN).encode())
