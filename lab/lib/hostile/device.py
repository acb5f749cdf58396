# SPDX-License-Identifier: GPL-2.0-or-later
"""The function: its config space, its vectors, its descriptor."""
import contextlib
import fcntl
import os
import random
import select
import struct

from suite import E, WAIT, wait_for
from wire import (CONFIG, EVENTFD, MASK, MSIX, NONE, READ, REGION_INFO, RESET, SET_IRQS, TRIGGER, UNMASK, WRITE, access, capabilities, irqs, opened,
    region_size)


class Device:
    def command(self):
        with self.group("command register games, accesses with memory off (22)"), self.client() as c:
            for i in range(100):
                c.must("flap", WRITE, access(4, CONFIG, 2, struct.pack("<H", (0, 2, 4, 6)[i % 4])))
                self.inputs += 1
            c.must("memory off", WRITE, access(4, CONFIG, 2, b"\0\0"))
            # an access that the function does not answer any more: an error or all ones, never a fault of the host
            r, data, _ = c.ask(READ, access(0, 0, 4))
            self.inputs += 1
            if not r and data[16:] not in (b"\xff" * 4, b"\0" * 4):
                self.fail(f"BAR 0 with memory off: {data[16:].hex()}")
            for value in (0xffff, 0x5555, 0xaaaa, 0):
                c.must("command", WRITE, access(4, CONFIG, 2, struct.pack("<H", value)))
                self.inputs += 1

    def header(self):
        with self.group("config space: what cannot be written, BARs and ROM moved over anything (22)"), self.client() as c:
            before = c.must("config", READ, access(0, CONFIG, 64))[0][16:]
            for offset, what in ((0, "vendor"), (2, "device"), (8, "revision"), (9, "class"), (0xe, "header type"), (0x34, "capabilities")):
                n = 2 if offset < 8 else 1
                c.ask(WRITE, access(offset, CONFIG, n, b"\x5a" * n))
                now = c.must(what, READ, access(offset, CONFIG, n))[0][16:]
                self.expect(f"{what} is not to be written", now.hex(), before[offset:offset + n].hex())
            for bar in (*range(0x10, 0x28, 4), 0x30):
                for value in (0xffffffff, 0xfee00000, 0):
                    c.must("BAR", WRITE, access(bar, CONFIG, 4, struct.pack("<I", value)))
                    self.inputs += 1

    def power(self):
        with self.group("D3 and back, with accesses meanwhile (24)"), self.client() as c:
            at = capabilities(c).get(1)
            for state in (3, 0, 3, 1, 2, 0) * 3 if at else ():
                c.must("power state", WRITE, access(at + 4, CONFIG, 2, struct.pack("<H", state)))
                c.ask(READ, access(0, 0, 4))
                self.inputs += 1
            self.expect("a reset in D3", c.error(RESET), 0)

    def caps(self):
        rng = random.Random(22)
        with self.group("config space: garbage over capabilities, odd sizes (22)"), self.client() as c:
            size = region_size(c, CONFIG)
            for offset in range(0x40, size, 4):
                c.ask(WRITE, access(offset, CONFIG, 4, rng.randbytes(4)))
                self.inputs += 1
            for _ in range(200):
                n = rng.choice((1, 2, 3, 4, 7, 8, 16))
                offset = rng.randrange(size - n)
                c.ask(WRITE, access(offset, CONFIG, n, rng.randbytes(n)))
                c.ask(READ, access(offset, CONFIG, n))
                self.inputs += 2
            self.expect("a reset after all that", c.error(RESET), 0)

    def msix(self):
        rng = random.Random(23)
        with self.group("MSI-X table and PBA garbage, a mask storm (23)"), self.client() as c, opened(os.eventfd(0)) as fd:
            c.must("arm", SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 1), [fd])
            c.must("memory on", WRITE, access(4, CONFIG, 2, struct.pack("<H", 2)))
            size = region_size(c, 3)
            for _ in range(100):
                n = rng.choice((1, 2, 4, 8))
                offset = rng.randrange(0, size - 8) // n * n
                c.ask(WRITE, access(offset, 3, n, rng.randbytes(n)))
                self.inputs += 1
            for _ in range(300):
                self.expect("mask", c.error(SET_IRQS, irqs(NONE | rng.choice((MASK, UNMASK)), MSIX, 0, 1)), E.EINVAL)
            for start in (self.nr_msix, 2047, 0xffff):
                self.expect(f"vector {start}", c.error(SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, start, 1), [fd]), E.EINVAL)
            for _ in range(50):
                c.must("off", SET_IRQS, irqs(NONE | TRIGGER, MSIX, 0, 0))
                c.must("on", SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 1), [fd])
                self.inputs += 2
            c.must("trigger", SET_IRQS, irqs(NONE | TRIGGER, MSIX, 0, 1))
            self.expect("the vector still works", bool(select.select([fd], [], [], WAIT)[0]), True)

    def behind(self):
        """A client that may map BARs has the device's descriptor, and keeps it: what it does with it must not outlast it."""
        set_irqs, reset, config = 0x3b6e, 0x3b6f, CONFIG << 40
        with self.group("the device's descriptor, used past the server and kept"), contextlib.ExitStack() as stack:
            for _ in range(3):
                with self.next_client() as c:
                    fd = c.must("region 0", REGION_INFO, struct.pack("<4I2Q", 4096, 0, 0, 0, 0, 0))[1][0]
                    stack.callback(os.close, fd)
                    with opened(os.eventfd(0)) as event:
                        fcntl.ioctl(fd, set_irqs, irqs(EVENTFD | TRIGGER, MSIX, 0, 1, struct.pack("i", event)))
                    os.pwrite(fd, struct.pack("<H", 6), config + 4)
                    self.inputs += 2
                if not wait_for(lambda: not self.device()["bus_master"], 5):
                    self.fail("bus mastering outlasts the client")
                os.pwrite(fd, struct.pack("<H", 6), config + 4)  # it has gone and is still there
                fcntl.ioctl(fd, reset)
                self.inputs += 2
                self.good_client()
