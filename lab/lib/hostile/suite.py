# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of hostile share: calls to gangwayd, what processes hold, and classes of inputs."""
import contextlib
import errno
import json
import os
import socket
import time

CONTROL = "/run/gangway/gangwayd.sock"
WAIT = 20  # seconds: an emulated host is slow, nothing here takes that long
# What may stay, KiB: pages that the allocator keeps and uses again. A small one for every class; of a flood of ranges, whose pieces are too
# small for it to give back; of a line that filled a buffer of 16 MiB, after which it gives back nothing below twice that.
ROOM_KB = {"gangway-device": 1024, "gangwayd": 6144}
RANGES_KB = 32768
LINE_KB = 32768
MOST_RANGES = 65535
E = errno


def rpc(method, params=None, path=CONTROL):
    """One call on a connection of its own; the whole answer."""
    with connect(path) as s:
        s.settimeout(60)
        s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}).encode() + b"\n")
        got = b""
        while True:
            data = s.recv(1 << 20)
            if not data:
                raise ConnectionError(f"{method}: no answer")
            got += data
            for line in got.split(b"\n")[:-1]:
                msg = json.loads(line)
                if "id" in msg:
                    return msg
            got = got.rpartition(b"\n")[2]


def wait_for(what, seconds=WAIT):
    """Poll: none of what is waited for here tells us. The last value, true or not."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.05)


def connect(path):
    """A connection; waits while the queue of the listening socket is full."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(WAIT)

    def connected():
        try:
            sock.connect(path)
            return True
        except BlockingIOError:
            return False
    if not wait_for(connected):
        raise TimeoutError(f"{path}: its queue stays full")
    return sock


class Process:
    """What a process holds."""

    def __init__(self, pid, name):
        self.pid, self.name = pid, name
        self.start = self.started()
        self.base, self.maps, self.base_maps = None, [], []

    def settle(self):
        """What it holds now is what it has to come back to."""
        self.base = self.held()
        self.base_maps = self.maps

    def started(self):
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                return f.read().rpartition(")")[2].split()[19]
        except OSError:
            return None

    def held(self):
        status = {}
        with open(f"/proc/{self.pid}/status") as f:
            for line in f:
                key, _, value = line.partition(":")
                status[key] = value.split()[0] if value.split() else ""
        with open(f"/proc/{self.pid}/maps") as f:
            # the heap is one line however large; what the allocator splits off it is not counted
            maps = [line for line in f if "[" not in line]
        self.maps = maps
        return {"fds": len(os.listdir(f"/proc/{self.pid}/fd")), "maps": len(maps), "rss": int(status["VmRSS"]),
                "threads": int(status["Threads"])}

    def check(self, problems, more_kb):
        """Compare with the base; returns how many descriptors are too many."""
        if self.started() != self.start:
            problems.append(f"{self.name} {self.pid} has died")
            return 0
        room = ROOM_KB[self.name] + more_kb

        def settled():
            now = self.held()
            return now["fds"] <= self.base["fds"] and now["maps"] <= self.base["maps"] and now["rss"] <= self.base["rss"] + room
        wait_for(settled, 5)
        old = set(self.base_maps)
        now = self.held()
        if now["maps"] > self.base["maps"]:
            problems.append("new maps: " + ", ".join(" ".join(m.split()[i] for i in (0, 1) + ((5,) if len(m.split()) > 5 else ()))
                                                     for m in self.maps if m not in old)[:900])
        for key in ("fds", "maps", "rss"):
            if now[key] > self.base[key] + (room if key == "rss" else 0):
                problems.append(f"{self.name}: {key} {self.base[key]}, now {now[key]}")
        self.last = now
        return max(0, now["fds"] - self.base["fds"])


class Suite:
    def __init__(self):
        self.processes, self.good = [], None
        self.inputs, self.unnoticed = 0, []

    def run(self, names):
        for name in names or self.classes:
            getattr(self, name)()

    def fail(self, text):
        self.unnoticed.append(text)

    def expect(self, what, got, want):
        """One input, and what became of it."""
        self.inputs += 1
        if got != want and not (isinstance(want, (tuple, set)) and got in want):
            self.fail(f"{what}: {name_of(got)}, wanted {name_of(want)}")

    @contextlib.contextmanager
    def group(self, desc, more_kb=0):
        self.inputs, self.unnoticed, problems = 0, [], []
        began = time.monotonic()
        try:
            yield
        except Exception as e:  # whatever it is, the report says so and the next class has its turn
            where = e.__traceback__
            while where.tb_next:
                where = where.tb_next
            problems.append(f"{type(e).__name__} in line {where.tb_lineno}: {e}")
        if self.good:
            try:
                self.good()
            except Exception as e:
                problems.append(f"a good client is not served afterwards: {type(e).__name__}: {e}")
        fds = sum(p.check(problems, more_kb) for p in self.processes)
        held = ", ".join(f"{p.name} {p.last}" for p in self.processes if hasattr(p, "last"))
        print("ok" if not self.unnoticed and not problems else "not ok", self.inputs, len(self.unnoticed), fds, desc,
              "; ".join((problems + self.unnoticed)[:12]) or "-", f"{time.monotonic() - began:.1f} s, {held}", sep="\t", flush=True)


def name_of(value):
    if isinstance(value, (tuple, set)):
        return " or ".join(str(name_of(v)) for v in value)
    return errno.errorcode.get(value, value) if isinstance(value, int) and not isinstance(value, bool) and value else value


def os_pid():
    return rpc("status")["result"]["daemon"]["pid"]


def quiet(method):
    try:
        return rpc(method)
    except (OSError, ValueError):
        return {}


def everything(s):
    got = b""
    with contextlib.suppress(OSError):
        while data := s.recv(1 << 20):
            got += data
    return got
