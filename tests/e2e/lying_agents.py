"""A man in the middle between agents and the coordinator: real agents report, and what they sampled is changed on the way."""

import socket
import struct
import threading

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer
from understudy_wire import CoordinatorService
from understudy_wire.ttypes import Metric

COMPACT = 0x82  # first byte of a message; TBinaryProtocol's is 0x80
REPORTS = {"agent_next_command": CoordinatorService.agent_next_command_args,
           "agent_report": CoordinatorService.agent_report_args}
ANSWERS = {"agent_next_command": CoordinatorService.agent_next_command_result,
           "agent_report": CoordinatorService.agent_report_result}


def read_exactly(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def changed(frame, structs, change):
    """The message with `change` made to its arguments or result, if it is one of `structs`."""
    protocol = TCompactProtocol if frame[0] == COMPACT else TBinaryProtocol
    incoming = protocol(TMemoryBuffer(frame))
    name, kind, number = incoming.readMessageBegin()
    if name not in structs or kind == TMessageType.EXCEPTION:
        return frame
    body = structs[name]()
    body.read(incoming)
    change(body)
    buffer = TMemoryBuffer()
    outgoing = protocol(buffer)
    outgoing.writeMessageBegin(name, kind, number)
    body.write(outgoing)
    outgoing.writeMessageEnd()
    return buffer.getvalue()


class LyingAgents:
    """Listens at `address`; everything goes through to `coordinator`. `lie(node, metrics, monotonic_ms)` may change the metrics
    (name to value) of a sample in place and returns its time; None: all is honest."""

    def __init__(self, coordinator):
        host, port = coordinator.rsplit(":", 1)
        self.coordinator = host, int(port)
        self.lie = None
        self.samples = {}  # passed on since the beginning, by node
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # ends the accept that waits
        self.listener.close()

    def passed(self, node):
        with self.lock:
            return self.samples.get(node, 0)

    def accept(self):
        while True:
            try:
                agent, _ = self.listener.accept()
            except OSError:
                return
            try:
                coordinator = socket.create_connection(self.coordinator)
            except OSError:
                agent.close()
                continue
            threading.Thread(target=self.serve, args=(agent, coordinator), daemon=True).start()

    def serve(self, agent, coordinator):
        with agent, coordinator:
            answers = threading.Thread(target=self.carry, args=(self.downward, coordinator, agent), daemon=True)
            answers.start()
            self.carry(self.upward, agent, coordinator)
            answers.join()

    @staticmethod
    def carry(target, here, there):
        try:
            target(here, there)
        except OSError:
            pass
        for end in (here, there):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other direction was first

    def downward(self, coordinator, agent):
        self.relay(coordinator, agent, ANSWERS, self.stay)

    def upward(self, agent, coordinator):
        self.relay(agent, coordinator, REPORTS, self.lie_in)

    @staticmethod
    def relay(here, there, structs, change):
        while True:
            frame = changed(read_exactly(here, struct.unpack(">I", read_exactly(here, 4))[0]), structs, change)
            there.sendall(struct.pack(">I", len(frame)) + frame)

    def stay(self, result):
        """A coordinator that leads but has not loaded yet sends its agents to itself: they would go around this one."""
        if result.success is not None and result.success.leader:
            result.success.leader = self.address

    def lie_in(self, call):
        report = call.report
        with self.lock:
            for sample in report.samples or ():
                metrics = {metric.name: metric.value for metric in sample.metrics}
                if self.lie is not None:
                    sample.monotonic_ms = self.lie(report.node, metrics, sample.monotonic_ms)
                sample.metrics = [Metric(*metric) for metric in metrics.items()]
            self.samples[report.node] = self.samples.get(report.node, 0) + len(report.samples or ())
