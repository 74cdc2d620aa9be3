"""A stock Thrift client of another language (Debian's python3-thrift, generated from understudy.thrift) against a real
understudyd, in both protocols: the public contract is what the file says, and not what our own client makes of it.

usage: stock_client_test.py UNDERSTUDYD GENERATED_PYTHON [unittest arguments]"""

import json
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
from contextlib import contextmanager

sys.dont_write_bytecode = True
UNDERSTUDYD, GENERATED = sys.argv[1:3]
sys.path.insert(0, GENERATED)
from thrift.Thrift import TApplicationException  # noqa: E402
from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: E402
from thrift.protocol.TCompactProtocol import TCompactProtocol  # noqa: E402
from thrift.transport.TSocket import TSocket  # noqa: E402
from thrift.transport.TTransport import TFramedTransport, TTransportException  # noqa: E402
from understudy_wire import CoordinatorService, LogService, MetadataService  # noqa: E402
from understudy_wire.constants import PROTOCOL_VERSION  # noqa: E402
from understudy_wire.ttypes import (AppendRequest, BarrierRequest, CheckpointChunk, CheckpointDeleteRequest,  # noqa: E402
                                    CheckpointReadRequest, HelloRequest, ReadRequest, ReplicaStatusRequest, SealRequest)

# StatusCode of client/include/understudy/status.h.
OK, INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, FENCED, GAP, CONFLICT, WRONG_DISK = 0, 1, 2, 4, 5, 6, 7, 8
CORRUPTION, FOREIGN_CLUSTER, UNSUPPORTED = 19, 20, 21


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def batch(log, epoch, first_lsn, payloads):
    """As docs/formats.md has it: header of 48 bytes, then the records, key 0 each."""
    body = b"".join(struct.pack("<IQ", len(payload), 0) + payload for payload in payloads)
    rest = struct.pack("<IIQQQII", 48 + len(body), len(payloads), log, epoch, first_lsn, 0, 0) + body
    return b"USB1" + struct.pack("<I", crc32c(rest)) + rest


class Server:
    """One understudyd for all tests."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="stock-client-")
        self.process = subprocess.Popen(
            [UNDERSTUDYD, "--data-dir", self.folder, "--cluster", "stock", "--listen", "127.0.0.1:0", "--log-listen",
             "127.0.0.1:0", "--segment-bytes", str(16 << 20)], stderr=subprocess.PIPE, text=True)
        self.coordinator = self.address(r"coordinator and metadata on (\S+)")
        self.log = self.address(r"log server on (\S+)")

    def address(self, pattern):
        for line in self.process.stderr:
            found = re.search(pattern, line)
            if found:
                host, port = found.group(1).rsplit(":", 1)
                return host, int(port)
        raise RuntimeError(f"understudyd ended with status {self.process.wait()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status


@contextmanager
def connection(address, service, protocol, hello=True):
    socket = TSocket(*address)
    socket.setTimeout(20_000)
    transport = TFramedTransport(socket)
    transport.open()
    client = service.Client(protocol(transport))
    try:
        if hello:
            reply = client.hello(HelloRequest("stock", PROTOCOL_VERSION, PROTOCOL_VERSION, "operator", "stock client"))
            assert (reply.code, reply.cluster, reply.version) == (OK, "stock", PROTOCOL_VERSION), reply
        yield client
    finally:
        transport.close()


class StockClient:
    """Run once in each protocol, each with a log of its own."""
    protocol = None
    log_id = None

    @classmethod
    def setUpClass(cls):
        with connection(SERVER.coordinator, MetadataService, cls.protocol) as metadata:
            listed = metadata.metadata_list("/understudy/stock/disks/", 10)
            assert listed.code == OK and len(listed.items) == 1, listed
            disk = json.loads(listed.items[0].value)
        cls.disk = bytes.fromhex(disk["disk"])
        assert disk["address"] == "%s:%d" % SERVER.log

    def log_server(self, **options):
        return connection(SERVER.log, LogService, self.protocol, **options)

    def append(self, client, first_lsn, payloads, epoch=1, commit=0, log=None, attempt=b"a" * 16):
        log = self.log_id if log is None else log
        body = batch(log, epoch, first_lsn, payloads) if payloads else b""
        return client.append(AppendRequest(log, self.disk, epoch, attempt, 1, commit, body))

    def test_records_are_appended_read_and_fenced(self):
        with self.log_server() as client:
            first = batch(self.log_id, 1, 1, [b"one", b"two", b""])
            second = batch(self.log_id, 1, 4, [b"four", b"five" * 100])
            reply = self.append(client, 1, [b"one", b"two", b""])
            self.assertEqual((reply.code, reply.durable_tail), (OK, 3), reply)
            reply = self.append(client, 4, [b"four", b"five" * 100], commit=3)
            self.assertEqual((reply.code, reply.durable_tail), (OK, 5), reply)
            reply = self.append(client, 9, [b"too far"])
            self.assertEqual((reply.code, reply.durable_tail), (GAP, 5), reply)
            self.assertEqual(self.append(client, 4, [b"four", b"five" * 100]).code, OK, "a duplicate")
            self.assertEqual(self.append(client, 4, [b"four", b"FIVE" * 100]).code, CONFLICT)

            read = client.read(ReadRequest(self.log_id, self.disk, 1, 1, 0, 1 << 20, 0))
            self.assertEqual((read.code, read.batches, read.commit), (OK, first, 3), "no further than the commit")
            self.assertEqual(self.append(client, 0, [], commit=5).code, OK)
            read = client.read(ReadRequest(self.log_id, self.disk, 1, 1, 0, 1 << 20, 0))
            self.assertEqual((read.code, read.batches, read.commit), (OK, first + second, 5))
            read = client.read(ReadRequest(self.log_id, self.disk, 1, 5, 0, 1, 0))
            self.assertEqual((read.code, read.batches), (OK, second), "the batch that holds the LSN")

            self.assertEqual(client.barrier(BarrierRequest(self.log_id, self.disk, 1)).code, OK)
            seal = client.seal(SealRequest(self.log_id, self.disk, 1))
            self.assertEqual((seal.code, seal.tail, seal.highest_epoch), (OK, 5, 1), seal)
            self.assertEqual(self.append(client, 6, [b"late"]).code, FENCED)
            self.assertEqual(client.barrier(BarrierRequest(self.log_id, self.disk, 1)).code, FENCED)
            status = client.replica_status(ReplicaStatusRequest(self.log_id, self.disk))
            self.assertEqual((status.code, status.sealed, status.tail), (OK, 1, 5), status)

    def test_what_is_wrong_is_refused_and_the_connection_stays(self):
        with self.log_server() as client:
            wrong = client.seal(SealRequest(self.log_id + 100, b"w" * 16, 1))
            self.assertEqual(wrong.code, WRONG_DISK)
            short = client.seal(SealRequest(self.log_id + 100, b"w" * 5, 1))
            self.assertEqual(short.code, INVALID_ARGUMENT)
            damaged = bytearray(batch(self.log_id + 100, 1, 1, [b"payload"]))
            damaged[-1] ^= 1
            reply = client.append(AppendRequest(self.log_id + 100, self.disk, 1, b"a" * 16, 1, 0, bytes(damaged)))
            self.assertEqual(reply.code, CORRUPTION, reply)
            self.assertEqual(client.read(ReadRequest(self.log_id, self.disk, 1, 1, 0, -5, 0)).code, INVALID_ARGUMENT)

    def test_a_checkpoint_is_kept_and_deleted(self):
        with self.log_server() as client:
            chunks = [b"state" * 1000, b"the end"]
            for offset, last, chunk in ((0, False, chunks[0]), (5000, True, chunks[1])):
                crc = struct.unpack("<i", struct.pack("<I", crc32c(chunk)))[0]
                reply = client.checkpoint_write(CheckpointChunk(self.log_id, self.disk, 1, offset, chunk, crc, last))
                self.assertEqual(reply.code, OK, reply)
            read = client.checkpoint_read(CheckpointReadRequest(self.log_id, self.disk, 1, 4998, 9))
            self.assertEqual((read.code, read.bytes, read.total_bytes), (OK, b"tethe end", 5007), read)
            self.assertEqual(read.crc32c & 0xFFFFFFFF, crc32c(read.bytes))
            self.assertEqual(client.checkpoint_delete(CheckpointDeleteRequest(self.log_id, self.disk, 1)).code, OK)
            read = client.checkpoint_read(CheckpointReadRequest(self.log_id, self.disk, 1, 0, 9))
            self.assertEqual(read.code, NOT_FOUND, read)

    def test_hello_comes_first(self):
        with self.log_server(hello=False) as client:
            self.assertEqual(client.seal(SealRequest(1, self.disk, 1)).code, FAILED_PRECONDITION)
            with self.assertRaises(TTransportException):
                client.hello(HelloRequest("stock", 1, 1, "operator", "late"))

    def test_a_foreign_cluster_and_version_are_refused(self):
        with self.log_server(hello=False) as client:
            reply = client.hello(HelloRequest("elsewhere", PROTOCOL_VERSION, PROTOCOL_VERSION, "operator", "x"))
            self.assertEqual((reply.code, reply.cluster), (FOREIGN_CLUSTER, "stock"))
            self.assertIn("stock", reply.detail)
        with self.log_server(hello=False) as client:
            reply = client.hello(HelloRequest("stock", PROTOCOL_VERSION + 1, PROTOCOL_VERSION + 2, "operator", "x"))
            self.assertEqual(reply.code, UNSUPPORTED)

    def test_a_method_of_another_service_is_unknown(self):
        with connection(SERVER.log, CoordinatorService, self.protocol) as client:
            with self.assertRaises(TApplicationException) as raised:
                client.status()
            self.assertEqual(raised.exception.type, TApplicationException.UNKNOWN_METHOD)

    def test_metadata_change_by_compare_and_swap(self):
        key = f"/understudy/stock/test/{self.log_id}"
        with connection(SERVER.coordinator, MetadataService, self.protocol) as client:
            created = client.metadata_cas(key, 0, b"value")
            self.assertEqual(created.code, OK, created)
            self.assertEqual(client.metadata_cas(key, 0, b"again").code, CONFLICT)
            got = client.metadata_get(key)
            self.assertEqual((got.found, got.item.value, got.item.version), (True, b"value", created.version))
            self.assertEqual(client.metadata_cas(key, created.version, b"").code, OK)
            self.assertFalse(client.metadata_get(key).found)

    def test_the_coordinator_says_how_things_are(self):
        with connection(SERVER.coordinator, CoordinatorService, self.protocol) as client:
            reply = client.status()
            self.assertEqual(reply.code, OK, reply)
            self.assertIn("services", json.loads(reply.document))


class BinaryClientTest(StockClient, unittest.TestCase):
    protocol = TBinaryProtocol
    log_id = 1001


class CompactClientTest(StockClient, unittest.TestCase):
    protocol = TCompactProtocol
    log_id = 2002


if __name__ == "__main__":
    SERVER = Server()
    try:
        program = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False)
    finally:
        ended = SERVER.stop()
    sys.exit(0 if program.result.wasSuccessful() and program.result.testsRun > 0 and ended == 0 else 1)
