# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of the control socket."""
import array
import contextlib
import json
import os
import random
import re
import socket
import time

from suite import CONTROL, Process, Suite, connect, everything, os_pid, quiet, rpc, wait_for
from wire import opened


class Control(Suite):
    classes = ("garbage", "sizes", "unread", "connects", "half")

    def __init__(self):
        super().__init__()
        self.good = self.good_client
        for _ in range(3):
            self.good_client()
        # its workers, of which it starts as many as there is to do, stay
        self.say(b'{"jsonrpc":"2.0","id":1,"method":"pf.list","params":{}}\n' * 200)
        self.processes = [Process(os_pid(), "gangwayd")]
        for p in self.processes:
            p.settle()

    def good_client(self):
        assert "result" in rpc("status") and "result" in rpc("pf.list")

    def client(self):
        return connect(CONTROL)

    def say(self, data):
        """Say it and no more; all that comes back."""
        with self.client() as s:
            with contextlib.suppress(ConnectionError):
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            return everything(s)

    def refused(self, what, data, code):
        got = self.say(data)
        self.expect(f"{what}: {got[:100]}", bool(re.search(code.encode(), got)), True)

    def garbage(self):
        rng = random.Random(33)
        with self.group("control: garbage, nested, wrong types, unknown methods"):
            for data in (b"GET / HTTP/1.0", b"\0", b"\xff\xfe\xfd", b"{", b"[" * 60000, b'{"a":' * 10000, b'{"id":1,"id":2}', b'"', b"nul"):
                self.refused(str(data[:20]), data + b"\n", "ctl.parse")
            for data in (b"[]", b"1", b"null", b"{}", b'{"jsonrpc":"2.0","id":{},"method":"status"}', b'{"jsonrpc":"2.0","id":1,"method":7}',
                         b'{"jsonrpc":2,"id":1,"method":"status"}', b'{"jsonrpc":"2.0","id":1,"method":"status","params":[]}'):
                self.refused(str(data), data + b"\n", "ctl.bad-request|ctl.parse")
            self.refused("unknown method", b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 60000 + b'"}\n', "ctl.unknown-method")
            noise = [rng.randbytes(rng.randrange(1, 300)).replace(b"\n", b"") + b"x\n" for _ in range(500)]
            answers = self.say(b"".join(noise)).count(b"\n")
            self.expect("500 lines of noise", answers, 500)
            self.inputs += 499
            wrong = (1, -1, 2**63 - 1, 1e308, True, None, [], {}, [[[]]], {"a": {}}, "", "\0", "../../etc", "x" * 15000, "\u202e\u001b[2J")
            for method, keys in (("pf.show", ("pf",)), ("pf.set", ("pf", "vfs")), ("vf.show", ("vf",)), ("vf.set", ("vf", "set")), ("guest.add", ("name", "qmp")),
                                 ("guest.show", ("name",)), ("guest.remove", ("name",)), ("attach", ("guest", "target", "policy", "wait_ms")),
                                 ("detach", ("guest", "nic"))):
                for value in wrong:
                    answer = rpc(method, {key: value for key in keys})
                    self.expect(f"{method} {str(value)[:30]}: {str(answer)[:100]}", "error" in answer, True)

    def sizes(self):
        with self.group("control: oversized, half a request and the end, descriptors"):
            self.refused("65536 bytes and no end", b"x" * 65537, "at most 65536")
            self.refused("4 MiB", b"x" * (4 << 20), "at most 65536")
            self.refused("half a request", b'{"jsonrpc":"2.0","id":1,"meth', "half a request")
            with opened(os.eventfd(0)) as fd:
                for nr in (1, 8, 253):
                    with self.client() as s:
                        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}}).encode() + b"\n"
                        for byte in request[:-1]:
                            s.sendmsg([bytes([byte])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * nr))])
                        s.sendall(b"\n")
                        self.expect(f"{nr} descriptors with each byte", b'"result"' in s.recv(65536), True)

    def unread(self):
        with self.group("control: answers and events that are never read"):
            with self.client() as s:
                s.settimeout(10)
                line = b'{"jsonrpc":"2.0","id":1,"method":"pf.list","params":{}}\n' * 100
                with contextlib.suppress(ConnectionError, TimeoutError):
                    for _ in range(400):
                        s.sendall(line)
                        self.inputs += 100
                slow = time.monotonic()
                rpc("status")
                self.expect("others are answered meanwhile", time.monotonic() - slow < 5, True)
                got = everything(s)
                # hung up on, or its questions left in its own socket until it reads; not an answer for each
                self.expect(f"{got.count(b'result')} answers", got.count(b"result") <= 40000, True)
            watchers = [self.client() for _ in range(20)]
            for s in watchers:
                s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"monitor","params":{}}\n')
            for i in range(100):
                rpc("guest.add", {"name": f"watched{i}", "qmp": f"/run/lab/nothing{i}"})
                rpc("guest.remove", {"name": f"watched{i}"})
            self.inputs += 20
            for s in watchers:
                s.close()

    def connects(self):
        with self.group("control: 1000 connects at once, and one after the other"):
            many, refused = [], 0
            for _ in range(1000):
                s = self.client()
                many.append(s)
            for s in many[64:]:
                with contextlib.suppress(OSError):
                    s.settimeout(5)
                    refused += b"ctl.too-many" in s.recv(4096)
            self.inputs += 1000
            if refused < 1000 - 64:
                self.fail(f"only {refused} of 936 were told that there are too many")
            for s in many:
                s.close()
            wait_for(lambda: "result" in quiet("status"), 10)
            for _ in range(1000):
                with self.client() as s:
                    s.sendall(b'{"jsonrpc":"2.0","id":1,')
                self.inputs += 1
            wait_for(lambda: "result" in quiet("status"), 10)

    def half(self):
        with self.group("control: half a request and then silence"), self.client() as s:
            s.sendall(b'{"jsonrpc":"2.0",')
            s.settimeout(45)
            got = everything(s)
            self.expect(f"half a request: {got}", b"half a request" in got, True)
