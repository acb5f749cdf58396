# SPDX-License-Identifier: GPL-2.0-or-later
"""VMMs that are none, on QMP sockets of their own."""
import array
import contextlib
import json
import os
import re
import socket
import threading
import time

from suite import LINE_KB, Process, Suite, WAIT, os_pid, rpc, wait_for
from wire import MIB, opened

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": ""}, "capabilities": ["oob"]}}\r\n'


class Peer:
    """gangwayd, as a fake VMM sees it."""

    def __init__(self, conn):
        self.conn, self.pending = conn, b""
        conn.settimeout(60)

    def say(self, data):
        self.conn.sendall(data)

    def command(self):
        """The next command; None at the end."""
        while b"\n" not in self.pending:
            data = self.conn.recv(65536)
            if not data:
                return None
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line)

    def answer(self, command, **what):
        self.say(json.dumps({**what, "id": command["id"]}).encode() + b"\r\n")

    def hello(self):
        self.say(GREETING)
        command = self.command()
        if command is None:
            raise ConnectionError
        self.answer(command, **{"return": {}})

    def until_end(self, reply=None):
        """Answer what is asked, or leave it, until gangwayd hangs up."""
        while (command := self.command()) is not None:
            if reply:
                reply(self, command)


def refuse(peer, command):
    peer.answer(command, error={"class": "CommandNotFound", "desc": "no"})


class Fake(threading.Thread):
    """A VMM that is none: one behaviour, for each connection that comes."""

    def __init__(self, path, behave):
        super().__init__(daemon=True)
        self.behave = behave
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.start()

    def run(self):
        while True:
            try:
                conn = self.listener.accept()[0]
            except OSError:
                return
            with conn, contextlib.suppress(OSError, ValueError, KeyError):
                self.behave(Peer(conn))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def says(data, hello=False):
    def behave(peer):
        if hello:
            peer.hello()
        peer.say(data)
        peer.until_end(refuse)
    return behave


def dies(hello, data=b""):
    def behave(peer):
        if hello:
            peer.hello()
        peer.say(data)
    return behave


def hangs(hello, part=b""):
    def behave(peer):
        if hello:
            peer.hello()
        peer.say(part)
        peer.until_end()
    return behave


def long_line(peer):
    peer.hello()
    peer.say(b'{"event": "')
    for _ in range(100):
        peer.say(b"x" * MIB)  # an error when gangwayd has had enough of it
    peer.until_end()


def lies(value):
    def behave(peer):
        peer.hello()
        peer.until_end(lambda p, c: p.answer(c, **value))
    return behave


def descriptors(peer):
    with opened(os.eventfd(0)) as fd:
        for _ in range(20):
            peer.conn.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 253))])
        peer.hello()
        for _ in range(20):
            peer.conn.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 253))])
        peer.until_end(refuse)


class Qmp(Suite):
    classes = ("no_qmp", "large", "silent", "death", "floods", "liars")

    def __init__(self, folder, target):
        super().__init__()
        self.folder, self.target, self.serial = folder, target, 0
        os.makedirs(folder, exist_ok=True)
        self.denied("warm-up", says(b"no\n"), "qmp.not-qmp")
        self.processes = [Process(os_pid(), "gangwayd")]
        for p in self.processes:
            p.settle()

    @contextlib.contextmanager
    def guest(self, behave):
        self.serial += 1
        name = f"fake{self.serial}"
        path = f"{self.folder}/{name}"
        fake = Fake(path, behave)
        answer = rpc("guest.add", {"name": name, "qmp": path})
        assert "result" in answer, answer
        try:
            yield name
        finally:
            rpc("guest.remove", {"name": name})
            fake.close()
            os.unlink(path)

    def state(self, name):
        g = rpc("guest.show", {"name": name})["result"]["guest"]
        return g["state"], (g["why"] or {}).get("code")

    def denied(self, what, behave, code, seconds=WAIT):
        """It is denied with that code, and named in what an attach answers."""
        with self.guest(behave) as name:
            if not wait_for(lambda: re.fullmatch(code, self.state(name)[1] or ""), seconds):
                self.fail(f"{what}: {self.state(name)}, wanted {code}")
        self.inputs += 1

    def attach(self, name):
        answer = rpc("attach", {"guest": name, "target": self.target, "via": "vfio-pci", "wait_ms": 2000})
        return answer["error"]["data"]["code"] if "error" in answer else answer

    def no_qmp(self):
        with self.group("QMP: what is no JSON, no greeting, nested, of wrong types"):
            for text in (b"QEMU 11.1.3 monitor - type 'help'\r\n", b"220 hello\n", b"\0\n", b"\xff\xfe\n", b"[]\n", b"1\n", b"null\n",
                         b"{}\n", b'{"QMP": {}}\n', b'{"QMP": 1, "QMP": 2}\n', b'{"return": {}}\n', b"[" * 5000 + b"\n",
                         b'{"a":' * 5000 + b"\n", b"[" + b"1," * 500000 + b"1]\n", GREETING.replace(b"11", b'"11"'),
                         GREETING.replace(b"11", b"-1"), GREETING.replace(b"11", b"99999999999999999999")):
                self.denied(f"greeting {text[:20]}", says(text), r"qmp\.not-qmp")
            for text in (b"}{\n", b"[]\n", b'{"id": 1}\n', b'{"return": {}, "error": {}, "id": 1}\n', b'{"event": {}}\n', b'{"event": "X", "data": 3}\n',
                         b"{" * 5000 + b"\n", b'{"event": "X", "data": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", b'{"event": "\xff"}\n'):
                self.denied(f"later {text[:20]}", says(text, True), r"qmp\.not-qmp")

    def large(self):
        with self.group("QMP: a line of 100 MB, again and again", LINE_KB):
            for _ in range(5):  # what the allocator keeps of one is enough for the next
                self.denied("100 MB", long_line, r"qmp\.line-too-long", 60)

    def silent(self):
        with self.group("QMP: no greeting, half of one, no answers: it hangs"), contextlib.ExitStack() as stack:
            guests = [(what, code, stack.enter_context(self.guest(behave))) for what, behave, code in (
                ("says nothing", hangs(False), r"qmp\.no-greeting"), ("half a greeting", hangs(False, GREETING[:30]), r"qmp\.no-greeting"),
                ("a greeting and no more", hangs(False, GREETING), r"qmp\.timeout"), ("no answers", hangs(True), r"qmp\.timeout"))]
            for what, code, name in guests:
                self.inputs += 1
                if not wait_for(lambda n=name, c=code: re.fullmatch(c, self.state(n)[1] or ""), 30):
                    self.fail(f"{what}: {self.state(name)}, wanted {code}")

    def death(self):
        with self.group("QMP: a VMM that dies, at once and in a line, again and again"):
            for what, behave in (("at once", dies(False)), ("in its greeting", dies(False, GREETING[:20])), ("after it", dies(False, GREETING)),
                                 ("after the handshake", dies(True)), ("in an event", dies(True, b'{"event": "RES'))):
                with self.guest(behave) as name:
                    for _ in range(3):
                        code = self.attach(name)
                        self.expect(what, bool(isinstance(code, str) and re.match(r"qmp\.|vmm\.|guest\.", code)), True)

    def floods(self):
        def flood(peer):
            peer.hello()
            for _ in range(200):
                peer.say(b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RTC_CHANGE", "data": {"offset": 1}}\r\n' * 100)
                peer.say(b'{"return": {}, "id": 4711}\r\n{"error": {"class": "GenericError", "desc": "?"}, "id": "x"}\r\n' * 100)
            peer.until_end(refuse)
        with self.group("QMP: floods of events, of answers to nobody, of descriptors"):
            with self.guest(flood) as name:
                slowest = 0.0
                for _ in range(20):
                    began = time.monotonic()
                    rpc("status")
                    slowest = max(slowest, time.monotonic() - began)
                    time.sleep(0.1)
                self.expect("status is answered meanwhile", slowest < 5, True)
                self.inputs += 60000
                if not wait_for(lambda: self.state(name)[0] in ("up", "denied"), 30):
                    self.fail(f"afterwards {self.state(name)}")
            with self.guest(descriptors) as name:
                self.expect("10000 descriptors", bool(wait_for(lambda: self.state(name)[0] in ("up", "denied"))), True)
                self.inputs += 40

    def liars(self):
        deep = 1
        for _ in range(30):
            deep = [deep]
        with self.group("QMP: answers of wrong types to what an attach asks"):
            for value in ({"return": {}}, {"return": []}, {"return": None}, {"return": "x" * 70000}, {"return": -1}, {"return": 1e308}, {"return": [{}]},
                          {"return": [None] * 1000}, {"return": deep}, {"return": {"status": 7, "fd": "x"}}, {"error": {}},
                          {"error": {"class": 1, "desc": []}}, {"error": {"class": "GenericError", "desc": "\u0000\u001b[2J" * 1000}},
                          {"error": {"class": "GenericError", "desc": "x" * 100000}}):
                with self.guest(lies(value)) as name:
                    wait_for(lambda: self.state(name)[0] in ("up", "denied"))
                    code = self.attach(name)
                    self.expect(f"{str(value)[:40]}: {str(code)[:200]}", isinstance(code, str), True)
