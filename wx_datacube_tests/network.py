"""Network: Linux network namespaces in the place of machines, joined by veth pairs, and what travels between them.

A hub has a link to each worker, and each of them has one to this process.
"""

import ctypes
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

HUB = "hub"
CAPTURE = """
import signal, socket, struct, sys
signal.signal(signal.SIGTERM, signal.default_int_handler)
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
sniffer.setsockopt(socket.SOL_SOCKET, 33, 1 << 28)  # SO_RCVBUFFORCE
with open(sys.argv[1], "wb", buffering=0) as out:
    print("listening", flush=True)
    try:
        while True:
            frame, (interface, *_) = sniffer.recvfrom(1 << 18)
            if interface.startswith("to-") and interface != "to-tests":
                out.write(struct.pack("I", len(frame)) + frame)
    except KeyboardInterrupt:
        print(struct.unpack("II", sniffer.getsockopt(263, 6, 8))[1])  # PACKET_STATISTICS: frames that were dropped
"""


@dataclass(frozen=True)
class Machine:
    """A machine: its namespace, what starts a command on it, its addresses for this process and for the hub."""

    namespace: str
    within: tuple[str, ...]
    address: str
    for_hub: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have what this thread opens meanwhile, such as a socket, on that machine."""
        with Path("/proc/thread-self/ns/net").open() as ours, Path("/run/netns", self.namespace).open() as theirs:
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())


@dataclass(frozen=True)
class Network:
    """The hub, the workers by name, and the hub's address for the workers."""

    hub: Machine
    workers: dict[str, Machine]
    address_of_hub: str

    def link(self, worker: str, state: str) -> None:
        """Cut (`down`) or restore (`up`) the link between the hub and a worker, at the hub's end."""
        _ip("-n", self.hub.namespace, "link", "set", f"to-{worker}", state)


def _enter(namespace: int) -> None:
    assert ctypes.CDLL(None).setns(namespace, 0x40000000) == 0  # CLONE_NEWNET; os.setns comes with Python 3.12


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, (arguments, done.stderr)


def _require_namespaces() -> None:
    """Skip the test if this machine doesn't let this user make network namespaces with host names of their own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip (Debian: iproute2)")
    probe = f"wx{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    entered = subprocess.run(["ip", "netns", "exec", probe, "unshare", "--uts", "true"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    if made.returncode or entered.returncode:
        pytest.skip(f"no network namespaces here: {made.stderr or entered.stderr}")


@contextmanager
def network(*workers: str) -> Iterator[Network]:
    """Make a hub and workers; where no network namespace can be made, for want of root or iproute2, skip the test."""
    _require_namespaces()
    mark, block = f"wx{os.getpid()}", f"198.18.{os.getpid() % 256}"  # addresses that are reserved for such tests
    names = [HUB, *workers]
    with ExitStack() as stack:
        machines = {}
        for number, name in enumerate(names):
            space = f"{mark}-{name}"
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "delete", space)  # its links go with it
            _ip("-n", space, "link", "set", "lo", "up")
            ours, theirs = (f"{block}.{4 * number + place}" for place in (1, 2))
            link = f"{mark}-{number}"
            _ip("link", "add", link, "type", "veth", "peer", "name", "to-tests", "netns", space)
            _ip("address", "add", f"{ours}/30", "dev", link)
            _ip("link", "set", link, "up")
            _ip("-n", space, "address", "add", f"{theirs}/30", "dev", "to-tests")
            _ip("-n", space, "link", "set", "to-tests", "up")
            named = ("unshare", "--uts", "sh", "-c", f'hostname {space} && exec "$@"', "sh")
            machines[name] = Machine(
                space, ("ip", "netns", "exec", space, *named), theirs, f"{block}.{64 + 4 * number + 2}"
            )
        hub, address = f"{mark}-{HUB}", f"{block}.128"
        _ip("-n", hub, "address", "add", f"{address}/32", "dev", "lo")
        for number, name in enumerate(workers, start=1):
            space, near = f"{mark}-{name}", f"{block}.{64 + 4 * number + 1}"
            _ip("-n", hub, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "to-hub", "netns", space)
            for where, interface, its in ((hub, f"to-{name}", near), (space, "to-hub", machines[name].for_hub)):
                _ip("-n", where, "address", "add", f"{its}/30", "dev", interface)
                _ip("-n", where, "link", "set", interface, "up")
            _ip("-n", space, "route", "add", address, "via", near)
        yield Network(machines.pop(HUB), machines, address)


# --- what travels -----------------------------------------------------------------------------------------------


@contextmanager
def captured(hub: Machine, file: Path) -> Iterator[None]:
    """Write every frame of the hub's links to the workers into a file; fail if one was missed."""
    command = [*hub.within, sys.executable, "-c", CAPTURE, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "listening\n"
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            missed = process.stdout.read()
        assert missed == "0\n"


def traffic(file: Path, grpc: int) -> Iterator[bytes]:
    """Yield what each TCP connection of a capture sent in each direction, and everything in it that is compressed.

    `grpc` is the port of the code servers. The other connections are PostgreSQL's.
    """
    for ports, segments in _connections(file):
        body = _joined(segments)
        yield body
        yield from _messages(body) if grpc in ports else unpacked(body)


def _connections(file: Path) -> list[tuple[tuple[int, int], list[tuple[int, bytes]]]]:
    """Return the ports and the segments, with their sequence numbers, of each direction of each connection."""
    found, data, at = [], file.read_bytes(), 0
    current: dict[bytes, list[tuple[int, bytes]]] = {}
    while at < len(data):
        (size,) = struct.unpack_from("I", data, at)
        frame, at = data[at + 4 : at + 4 + size], at + 4 + size
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:  # IPv4, TCP
            continue
        begin = 14 + (frame[14] & 15) * 4
        ends, sequence = frame[26:34] + frame[begin : begin + 4], int.from_bytes(frame[begin + 4 : begin + 8])
        if frame[begin + 13] & 2:  # SYN: a connection, perhaps with ports that another one had
            current[ends] = []
            found.append((struct.unpack_from("!HH", frame, begin), current[ends]))
        end = 14 + struct.unpack_from("!H", frame, 16)[0]
        if ends in current:  # not so if it is a refusal
            current[ends].append((sequence, frame[begin + (frame[begin + 12] >> 4) * 4 : end]))
    return found


def _joined(segments: list[tuple[int, bytes]]) -> bytes:
    """Return the bytes of segments at their places; those that were sent again overwrite themselves."""
    first, body = segments[0][0] + 1, bytearray()  # SYN counts as a byte
    for sequence, payload in segments:
        start = (sequence - first) % 2**32
        if payload and start < 2**31:  # a probe of an idle connection repeats the byte before
            body.extend(bytes(max(0, start + len(payload) - len(body))))
            body[start : start + len(payload)] = payload
    return bytes(body)


def _messages(body: bytes) -> Iterator[bytes]:
    """Yield the messages of a direction of a gRPC connection, from the frames of HTTP/2."""
    streams: defaultdict[int, bytearray] = defaultdict(bytearray)
    at = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") if body.startswith(b"PRI * HTTP/2.0") else 0
    while at + 9 <= len(body):
        size, kind, stream = int.from_bytes(body[at : at + 3]), body[at + 3], int.from_bytes(body[at + 5 : at + 9])
        if kind == 0:  # DATA
            streams[stream] += body[at + 9 : at + 9 + size]
        at += 9 + size
    for data in streams.values():
        at = 0
        while at + 5 <= len(data):
            is_compressed, size = struct.unpack_from("!BI", data, at)
            message = bytes(data[at + 5 : at + 5 + size])
            yield zlib.decompressobj(wbits=31).decompress(message) if is_compressed else message
            at += 5 + size


def unpacked(body: bytes) -> Iterator[bytes]:
    """Yield what `body` has compressed, as Dagster's snapshots are, in PostgreSQL's hexadecimal."""
    for digits in re.findall(rb"\\x([0-9a-f]{8,})", body):
        with suppress(zlib.error):
            yield zlib.decompress(bytes.fromhex(digits[: len(digits) // 2 * 2].decode()))
