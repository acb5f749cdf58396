#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""guestd: keeps one guest of the lab: starts its QEMU, holds the scenario's QMP connection and the guest's command port.

    guestd.py serve NAME SOCKET EVENTS QEMU ARG...    the keeper; says "ready" on stdout when QMP has answered. QEMU inherits the
                                                       descriptors that GUEST_FDS names
    guestd.py call SOCKET REQUEST                      one request (JSON), one answer (JSON); status 0 if "ok"

Requests: {"op": ...}
    qmp   execute, arguments             the QMP answer, and in "sent" when the command was sent
    run   command, timeout               {"status", "output"} of a command in the guest
    wait  event, match, since, timeout   the first event of that name, whose fields include "match", numbered after "since"
    mark                                 the number of the newest event
    quit                                 end QEMU and the keeper
Every answer has "ok", "t" (seconds, as bash's EPOCHREALTIME; of an event: when it came) and "value" or "error".
Events are QMP's own, the guest's (GUEST_UP, GUEST_NET) and GUEST_EXIT when QEMU has ended; each is a line in EVENTS.
"""
import base64
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time


class Lines:
    """A socket that carries one object a line."""

    def __init__(self, sock):
        self.sock, self.pending = sock, b""

    def read(self):
        """The whole lines that have come; None at the end of the stream."""
        try:
            data = self.sock.recv(262144)
        except ConnectionError:
            data = b""
        if not data:
            return None
        *lines, self.pending = (self.pending + data).split(b"\n")
        return [line.strip() for line in lines if line.strip()]

    def write(self, text):
        self.sock.sendall(text.encode() + b"\n")


class Waiter:
    """A client whose answer is still due."""

    def __init__(self, client, timeout, event=None, match=None):
        self.client, self.since = client, time.time()
        self.deadline = time.monotonic() + timeout
        self.event, self.match = event, match or {}


class Keeper:
    def __init__(self, name, path, events, command):
        self.name, self.path = name, path
        self.events, self.event_log = [], open(events, "w", buffering=1)
        # ids that no other keeper gives: the guest may come by migration and answer what it was asked elsewhere
        self.calls, self.waiters, self.next_id = {}, [], int(time.time() * 1000)
        self.sel = selectors.DefaultSelector()
        # Its vCPUs are pinned before their first instruction: those that move between the host's emulated processors meet faults of the emulation
        # (lab/README.md). One that comes by migration waits by itself.
        self.held = "-incoming" not in command
        if self.held:
            command = [*command, "-S"]
        self.qmp, qmp_peer = socket.socketpair()
        self.port, port_peer = socket.socketpair()
        fds = (qmp_peer.fileno(), port_peer.fileno())
        self.qemu = subprocess.Popen(
            [arg.format(qmp_fd=fds[0], port_fd=fds[1]) if "_fd}" in arg else arg for arg in command],
            pass_fds=fds + tuple(map(int, os.environ.get("GUEST_FDS", "").split())), stdin=subprocess.DEVNULL, stdout=sys.stderr)
        qmp_peer.close()
        port_peer.close()
        self.qmp, self.port = Lines(self.qmp), Lines(self.port)
        self.qmp.write('{"execute":"qmp_capabilities","id":"hello"}')
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(32)
        exit_fd = os.pidfd_open(self.qemu.pid)
        self.quitting = False
        self.sel.register(self.listener, selectors.EVENT_READ, self.accept)
        self.sel.register(self.qmp.sock, selectors.EVENT_READ, lambda: self.from_peer(self.qmp, self.from_qmp))
        self.sel.register(self.port.sock, selectors.EVENT_READ, lambda: self.from_peer(self.port, self.from_guest))
        self.sel.register(exit_fd, selectors.EVENT_READ, lambda: self.qemu_ended(exit_fd))

    # answers

    def answer(self, client, ok, t=None, **fields):
        try:
            client.write(json.dumps({"ok": ok, "t": t or time.time(), **fields}))
        except OSError:
            pass  # the client has given up
        client.sock.close()

    def event(self, event):
        event = {"n": len(self.events) + 1, "t": time.time(), **event}
        self.events.append(event)
        self.event_log.write(json.dumps(event) + "\n")
        for w in [w for w in self.waiters if self.matches(event, w)]:
            self.waiters.remove(w)
            self.answer(w.client, True, event["t"], value=event)

    @staticmethod
    def matches(event, waiter):
        fields = {**event.get("data", {}), **event}
        return event["event"] == waiter.event and all(fields.get(k) == v for k, v in waiter.match.items())

    # the peers

    def from_peer(self, peer, handle):
        lines = peer.read()
        if lines is None:
            self.sel.unregister(peer.sock)
            return
        for line in lines:
            handle(line)

    def from_qmp(self, line):
        msg = json.loads(line)
        if "event" in msg:
            msg.pop("timestamp", None)
            self.event(msg)
        elif msg.get("id") == "hello":
            self.qmp.write('{"execute":"query-cpus-fast","id":"cpus"}')
        elif msg.get("id") == "cpus":
            # the vCPUs alone: what moves frames for them (QEMU's main loop, vhost) is to have the other processor
            if pin := os.environ.get("GUEST_PIN"):
                pins = [int(p) for p in pin.split(",")]
                for cpu in msg["return"]:
                    os.sched_setaffinity(cpu["thread-id"], {pins[cpu["cpu-index"] % len(pins)]})
            if self.held:
                self.qmp.write('{"execute":"cont","id":"cont"}')
            else:
                print("ready", flush=True)
        elif msg.get("id") == "cont":
            print("ready", flush=True)
        elif msg.get("id") in self.calls:
            call = self.calls.pop(msg["id"])
            if "error" in msg:
                self.answer(call.client, False, error=msg["error"]["desc"])
            else:
                self.answer(call.client, True, sent=call.since, value=msg["return"])

    def from_guest(self, line):
        kind, _, rest = line.decode(errors="replace").partition(" ")
        if kind == "E":
            self.event(json.loads(rest))
        elif kind == "R":
            ident, status, *output = rest.split(" ")
            if int(ident) in self.calls:
                text = base64.b64decode(output[0] if output else "").decode(errors="replace")
                self.answer(self.calls.pop(int(ident)).client, True, value={"status": int(status), "output": text})

    def qemu_ended(self, exit_fd):
        self.sel.unregister(exit_fd)
        os.close(exit_fd)
        self.event({"event": "GUEST_EXIT", "status": self.qemu.wait()})
        for waiter in [*self.calls.values(), *self.waiters]:
            self.answer(waiter.client, False, error=f"{self.name}: QEMU has ended")
        self.calls.clear()
        self.waiters.clear()

    # the clients

    def accept(self):
        client = Lines(self.listener.accept()[0])
        lines = client.read()  # the request is one line, sent at once by a program of ours
        if not lines:
            client.sock.close()
            return
        request = json.loads(lines[0])
        getattr(self, "do_" + request.pop("op"))(client, **request)

    def call(self, client, timeout):
        self.next_id += 1
        self.calls[self.next_id] = Waiter(client, timeout)
        return self.next_id

    def do_qmp(self, client, execute, arguments=None, timeout=30):
        if self.qemu.returncode is not None:
            return self.answer(client, False, error=f"{self.name}: QEMU has ended")
        self.qmp.write(json.dumps({"execute": execute, "arguments": arguments or {}, "id": self.call(client, timeout)}))

    def do_run(self, client, command, timeout=30):
        if self.qemu.returncode is not None:
            return self.answer(client, False, error=f"{self.name}: QEMU has ended")
        text = base64.b64encode(command.encode()).decode()
        self.port.write(f"{self.call(client, timeout + 10)} {timeout} {text}")

    def do_wait(self, client, event, match=None, since=0, timeout=30):
        waiter = Waiter(client, timeout, event, match)
        for old in self.events[since:]:
            if self.matches(old, waiter):
                return self.answer(client, True, old["t"], value=old)
        if self.qemu.returncode is not None:
            return self.answer(client, False, error=f"{self.name}: QEMU has ended")
        self.waiters.append(waiter)

    def do_mark(self, client):
        self.answer(client, True, value=len(self.events))

    def do_quit(self, client):
        self.quitting = True
        if self.qemu.returncode is None:
            self.qemu.terminate()
            try:
                self.qemu.wait(20)
            except subprocess.TimeoutExpired:
                self.qemu.kill()
                self.qemu.wait()
        self.answer(client, True, value=self.qemu.returncode)

    def expire(self):
        now = time.monotonic()
        for ident in [i for i, w in self.calls.items() if w.deadline <= now]:
            self.answer(self.calls.pop(ident).client, False, error=f"{self.name}: no answer in time")
        for w in [w for w in self.waiters if w.deadline <= now]:
            self.waiters.remove(w)
            self.answer(w.client, False, error=f"{self.name}: no {w.event} {json.dumps(w.match)} in time")

    def loop(self):
        while not self.quitting:
            due = [w.deadline for w in [*self.calls.values(), *self.waiters]]
            for key, _ in self.sel.select(max(0, min(due) - time.monotonic()) if due else None):
                key.data()
                if self.quitting:
                    break
            self.expire()
        os.unlink(self.path)


def call(path, request):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except OSError:
        print(json.dumps({"ok": False, "error": f"{path}: nobody keeps this guest"}))
        return 1
    sock.sendall(request.encode() + b"\n")
    answer = b"".join(iter(lambda: sock.recv(262144), b"")).decode()
    print(answer.strip() or json.dumps({"ok": False, "error": "the guest's keeper has ended"}))
    return 0 if answer and json.loads(answer)["ok"] else 1


if __name__ == "__main__":
    if sys.argv[1] == "call":
        sys.exit(call(sys.argv[2], sys.argv[3]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Keeper(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:]).loop()
