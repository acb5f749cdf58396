# SPDX-License-Identifier: GPL-2.0-or-later
"""vfio-user on the wire, a client that speaks it or does not, and descriptors to send along."""
import array
import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import time

from suite import WAIT, connect, name_of

VERSION, DMA_MAP, DMA_UNMAP, INFO, REGION_INFO, IO_FDS, IRQ_INFO, SET_IRQS, READ, WRITE = range(1, 11)
DMA_READ, DMA_WRITE, RESET, DIRTY, WRITE_MULTI, FEATURE, MIG_READ, MIG_WRITE = range(11, 19)
REPLY, NO_REPLY, ERROR = 1, 0x10, 0x20
R, W = 1, 2
NONE, BOOL, EVENTFD, MASK, UNMASK, TRIGGER = 1, 2, 4, 8, 16, 32
INTX, MSI, MSIX, ERR, REQ = range(5)
CONFIG = 7
MAXU, PAGE, MIB = 2**64, 4096, 1 << 20
CAPS = {"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1048576, "pgsizes": 4096, "max_dma_maps": 65535,
                         "write_multiple": True, "migration": {"pgsize": 4096, "max_bitmap_size": 268435456}}}


def header(cmd, size, flags=0, ident=7, error=0):
    return struct.pack("<HHIII", ident, cmd, size, flags, error)


def message(cmd, payload=b"", flags=0, ident=7):
    return header(cmd, 16 + len(payload), flags, ident) + payload


def dma_map(iova, size, offset=0, flags=R | W, argsz=32):
    return struct.pack("<IIQQQ", argsz, flags, offset, iova % MAXU, size % MAXU)


def dma_unmap(iova, size, flags=0, argsz=24):
    return struct.pack("<IIQQ", argsz, flags, iova % MAXU, size % MAXU)


def irqs(flags, index, start, count, data=b"", argsz=None):
    return struct.pack("<5I", 20 + len(data) if argsz is None else argsz, flags, index, start, count) + data


def access(offset, region, count, data=b""):
    return struct.pack("<QII", offset % MAXU, region, count) + data


def version(text=None, major=0, minor=1):
    if text is None:
        text = json.dumps(CAPS)
    if isinstance(text, str):
        text = text.encode() + b"\0"
    return struct.pack("<HH", major, minor) + text


class Gone(Exception):
    """The server hung up."""


class Client:
    def __init__(self, path, negotiate=True):
        self.sock = connect(path)
        self.ident = 0
        if negotiate:
            r, _, _ = self.ask(VERSION, version())
            if r:
                raise AssertionError(f"VERSION: {name_of(r)}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data, fds=()):
        if not fds:
            return self.sock.sendall(data)
        n = self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        return self.sock.sendall(data[n:]) if n < len(data) else None

    def recv(self, n, fds):
        got = b""
        while len(got) < n:
            try:
                data, anc, _, _ = self.sock.recvmsg(n - len(got), 256)
            except ConnectionError as e:
                raise Gone() from e
            for _, _, raw in anc:
                fds.extend(struct.unpack(f"{len(raw) // 4}i", raw[:len(raw) // 4 * 4]))
            if not data:
                raise Gone()
            got += data
        return got

    def answer(self):
        """ident, command, error, payload, descriptors"""
        fds = []
        ident, cmd, size, flags, error = struct.unpack("<HHIII", self.recv(16, fds))
        payload = self.recv(size - 16, fds)
        assert flags & 0xf == REPLY, f"flags {flags:#x}"
        assert bool(flags & ERROR) == bool(error) and not (error and payload), f"flags {flags:#x}, errno {error}, {len(payload)} bytes"
        return ident, cmd, error, payload, fds

    def ask(self, cmd, payload=b"", fds=(), flags=0):
        """errno (0: none), payload, descriptors"""
        self.ident = (self.ident + 1) % 65536
        self.send(message(cmd, payload, flags, self.ident), fds)
        ident, answered, error, data, got = self.answer()
        assert (ident, answered) == (self.ident, cmd), f"asked {cmd} id {self.ident}, answered {answered} id {ident}"
        return error, data, got

    def error(self, cmd, payload=b"", fds=()):
        """The errno of the answer, or "dropped"."""
        try:
            r, _, got = self.ask(cmd, payload, fds)
        except (Gone, ConnectionError):
            return "dropped"
        for fd in got:
            os.close(fd)
        return r

    def gone(self, seconds=WAIT):
        """Does the server hang up in that time?"""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return "still connected"
        except ConnectionError:
            pass
        return "dropped"

    def must(self, what, cmd, payload=b"", fds=()):
        r, data, got = self.ask(cmd, payload, fds)
        assert r == 0, f"{what}: {name_of(r)}"
        return data, got


@contextlib.contextmanager
def opened(*fds):
    try:
        yield fds[0] if len(fds) == 1 else fds
    finally:
        for fd in fds:
            os.close(fd)


def memory(size=2 * MIB, seals=0):
    fd = os.memfd_create("ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def region_size(c, index):
    return struct.unpack("<Q", c.must("region", REGION_INFO, struct.pack("<4I2Q", 32, 0, index, 0, 0, 0))[0][16:24])[0]


def capabilities(c):
    """Where each capability is, by its id."""
    at, found = c.must("capabilities", READ, access(0x34, CONFIG, 1))[0][16], {}
    while at and at not in found.values():
        ident, after = c.must("capability", READ, access(at, CONFIG, 2))[0][16:]
        found[ident], at = at, after
    return found


def cap_text(**caps):
    return json.dumps({"capabilities": caps})


def hostile_fds():
    """Descriptors of many kinds, none of them memory."""
    r, w = os.pipe2(os.O_CLOEXEC)
    fds = [("pipe, to read", r), ("pipe, to write", w), ("eventfd", os.eventfd(0)), ("/proc/self/mem", os.open("/proc/self/mem", os.O_RDWR)),
           ("/proc/1/mem", os.open("/proc/1/mem", os.O_RDWR)), ("/dev/null", os.open("/dev/null", os.O_RDWR)),
           ("/dev/zero", os.open("/dev/zero", os.O_RDWR)), ("epoll", epoll_fd()),
           ("timer", os.timerfd_create(time.CLOCK_MONOTONIC)), ("pidfd", os.pidfd_open(os.getpid())),
           ("socket", socket.socket(socket.AF_UNIX).detach()), ("UDP socket", socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()),
           ("a folder on tmpfs", os.open("/run", os.O_RDONLY | os.O_DIRECTORY)), ("O_PATH", os.open("/run/lab", os.O_PATH)),
           ("a file on disk", os.open("/var/lib/hostile.tmp", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))]
    os.ftruncate(fds[-1][1], 2 * MIB)
    os.unlink("/var/lib/hostile.tmp")
    for path in ("/dev/kvm", "/dev/vfio/vfio", "/dev/mem", "/dev/fuse"):
        with contextlib.suppress(OSError):
            fds.append((path, os.open(path, os.O_RDWR)))
    with contextlib.suppress(OSError):
        with opened(os.open("/dev/userfaultfd", os.O_RDWR)) as dev:
            fds.append(("userfaultfd", fcntl.ioctl(dev, 0xaa00, os.O_CLOEXEC)))
    return fds


def epoll_fd():
    e = select.epoll()
    fd = os.dup(e.fileno())
    e.close()
    return fd
