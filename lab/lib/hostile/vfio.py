# SPDX-License-Identifier: GPL-2.0-or-later
"""The vfio-user socket of a prepared lease: all classes, and the good client that comes after each."""
import os
import re
import select
import signal
import struct
import time

from suite import Process, Suite, WAIT, os_pid, rpc, wait_for
from wire import (CONFIG, Client, DMA_MAP, DMA_UNMAP, EVENTFD, Gone, INFO, IRQ_INFO, MIB, MSIX, NONE, PAGE, READ, REGION_INFO, RESET, SET_IRQS, TRIGGER,
    WRITE, access, dma_map, dma_unmap, irqs, memory, opened)
from device import Device
from memory import Memory
from messages import Messages
from peers import Peers


class Vfio(Messages, Memory, Device, Peers, Suite):
    classes = ("framing", "replies", "commands", "descriptors", "versions", "capabilities", "argsz", "regions", "irq_ranges", "eventfds", "maps",
               "overlaps", "unmaps", "files", "storms", "command", "header", "power", "caps", "msix", "behind", "unread", "connects", "deaths",
               "slow", "ranges", "pages")

    def __init__(self, path, guest):
        super().__init__()
        self.path, self.guest, self.good = path, guest, self.good_client
        self.nr_msix = 0
        for _ in range(2):  # the second time, all that is kept for good is there
            self.good_client()
        self.processes = [Process(self.device()["pid"], "gangway-device"), Process(os_pid(), "gangwayd")]
        for p in self.processes:
            p.settle()

    def lease(self):
        return rpc("status", {"guest": self.guest})["result"]["leases"][0]

    def device(self):
        return self.lease()["device"]

    def client(self, negotiate=True):
        return Client(self.path, negotiate)

    def named(self, pattern):
        """The reason is in the lease's status."""
        if not wait_for(lambda: re.search(pattern, self.device()["last_error"]), 5):
            self.fail(f"status says \"{self.device()['last_error']}\", not \"{pattern}\"")

    def next_client(self):
        """One after another that has gone: while what that one has left in the socket is worked off, the next is turned away."""
        end = time.monotonic() + WAIT
        while True:
            try:
                return self.client()
            except (Gone, ConnectionError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def good_client(self):
        """As a VMM does it: negotiate, look, map, arm, get an interrupt, drive the function, reset, unmap."""
        with self.next_client() as c, opened(memory()) as ram, opened(os.eventfd(0)) as event:
            _, _, nr_regions, nr_irqs = struct.unpack("<4I", c.must("info", INFO, struct.pack("<4I", 16, 0, 0, 0))[0])
            assert nr_regions >= 8 and nr_irqs >= 3, "regions or irqs are missing"
            data, fds = c.must("region 0", REGION_INFO, struct.pack("<4I2Q", 4096, 0, 0, 0, 0, 0))
            assert len(fds) == 1 and struct.unpack("<Q", data[16:24])[0] >= PAGE, "BAR 0 cannot be mapped"
            os.close(fds[0])
            self.nr_msix = struct.unpack("<4I", c.must("irq", IRQ_INFO, struct.pack("<4I", 16, 0, MSIX, 0))[0])[3]
            c.must("map", DMA_MAP, dma_map(0, 2 * MIB), [ram])
            c.must("arm", SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 1), [event])
            c.must("trigger", SET_IRQS, irqs(NONE | TRIGGER, MSIX, 0, 1))
            assert select.select([event], [], [], WAIT)[0], "the interrupt does not come"
            command = struct.unpack("<H", c.must("command", READ, access(4, CONFIG, 2))[0][16:])[0]
            c.must("bus master", WRITE, access(4, CONFIG, 2, struct.pack("<H", command | 4)))
            assert struct.unpack("<H", c.must("command", READ, access(4, CONFIG, 2))[0][16:])[0] & 4, "bus mastering stays off"
            c.must("reset", RESET)
            data, _ = c.must("unmap", DMA_UNMAP, dma_unmap(0, 0, 2))
            assert struct.unpack("<Q", data[16:])[0] == 2 * MIB, "another size unmapped than mapped"
        wait_for(lambda: self.device()["client"] == "closed", 5)
        device = self.device()
        assert device["client"] == "closed" and device["dma_ranges"] == 0 and device["vectors"] == 0 and not device["bus_master"], device

    # Each class below: one refusal in a line. c.error() is an errno or "dropped".


def hold(path):
    c = Client(path)
    c.must("region 0", REGION_INFO, struct.pack("<4I2Q", 4096, 0, 0, 0, 0, 0))
    c.sock.close()
    print("held", flush=True)
    signal.pause()
