# SPDX-License-Identifier: GPL-2.0-or-later
"""Peers that are slow, many, or dead."""
import contextlib
import socket
import struct
import time

from wire import (CONFIG, DMA_MAP, EVENTFD, INFO, MIB, MSIX, PAGE, READ, REGION_INFO, RESET, SET_IRQS, TRIGGER, access, dma_map, irqs, memory, message, opened)


class Peers:
    def slow(self):
        with self.group("half a message and then silence, a byte now and then, no VERSION (25)"):
            for what, negotiate, part, reason in (("half a header", True, 9, "half a message"), ("half a payload", True, 30, "half a message"),
                                                  ("no VERSION", False, 0, "no VERSION in time")):
                with self.client(negotiate) as c:
                    c.send(message(DMA_MAP, dma_map(0, PAGE))[:part])
                    if what == "half a payload":
                        for _ in range(3):
                            time.sleep(1)
                            c.send(b"\0")
                    self.expect(what, c.gone(20), "dropped")
                self.named(reason)

    def unread(self):
        with self.group("answers that are never read (25)"):
            for what, ask in (("data", message(READ, access(0, CONFIG, 256))), ("descriptors", message(REGION_INFO, struct.pack("<4I2Q", 4096, 0, 0, 0, 0, 0)))):
                with self.client() as c:
                    c.sock.settimeout(5)
                    try:
                        for _ in range(20000):
                            c.send(ask)
                        self.expect(what, "20000 questions taken", "dropped")
                    except ConnectionError:
                        self.expect(what, "dropped", "dropped")
                    except TimeoutError:
                        self.expect(what, "hangs", "dropped")
                self.named("does not read its answers")

    def connects(self):
        with self.group("1000 connects, beside a client that is served and without one (25)"):
            with self.client() as served:
                for _ in range(1000):
                    with self.client(False) as c:
                        self.expect("a second client", c.gone(), "dropped")
                self.expect("the first is served", served.error(INFO, struct.pack("<4I", 16, 0, 0, 0)), 0)
                # all at once: what does not fit into the listening socket's queue is the kernel's to refuse
                many = []
                for _ in range(900):
                    s = socket.socket(socket.AF_UNIX)
                    s.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        s.connect(self.path)
                    many.append(s)
                    self.inputs += 1
                self.expect("the first is served meanwhile", served.error(INFO, struct.pack("<4I", 16, 0, 0, 0)), 0)
                for s in many:
                    s.close()
            for _ in range(1000):
                with self.client(False):
                    self.inputs += 1

    def deaths(self):
        with self.group("a peer that dies in a message, or before its answer (26)"), opened(memory()) as fd:
            whole = message(DMA_MAP, dma_map(0, 2 * MIB))
            for cut in (1, 4, 8, 15, 16, 17, 32, 47):
                for fds in ([], [fd]):
                    with self.client() as c:
                        c.send(whole[:cut], fds)
                    self.inputs += 1
                self.named("in the middle of a message")
            for payload, fds in ((whole, [fd]), (message(RESET), []), (message(READ, access(0, CONFIG, 256)), [])):
                for _ in range(3):
                    with self.client() as c:
                        c.send(payload * (1 if fds else 5), fds)
                    self.inputs += 1
            with self.client() as c:
                c.send(message(SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 1))[:20], [fd])
                c.sock.shutdown(socket.SHUT_WR)
                self.expect("half closed", c.gone(), "dropped")
