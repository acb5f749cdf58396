#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vfdma: stands in for a VMM whose guest drives its VF (an 82576's) to addresses that are not its memory.

    vfdma.py vfio-user SOCKET    a prepared lease's vfio-user socket
    vfdma.py vfio-pci BDF        a prepared lease's VF, opened through its VFIO group

Commands on standard input, each answered by a line on standard output:
    start            reset the VF, bus mastering on, a transmit ring at an address that is not mapped
    poke N MS        let it fetch N descriptors, MS milliseconds apart: a fault each while it may do DMA
    master           switch bus mastering on (vfio-pci: in the hardware; vfio-user: as far as gangway-device lets it)
    master?          "on" or "off", as this VMM reads it
    quit
"""
import fcntl
import json
import os
import socket
import struct
import sys
import time

CONFIG, BAR0 = 7, 0
COMMAND, MEMORY, MASTER = 4, 2, 4
VFIO = 0x3B64  # _IO(VFIO_TYPE, VFIO_BASE)
REGION_INFO = struct.Struct("IIIIQQ")
# registers of the VF, as drivers/net/ethernet/intel/igbvf/regs.h has them
CTRL, MAILBOX, MAILBOX_MEMORY = 0x0, 0xC40, 0x800
TDBAL, TDBAH, TDLEN, TDH, TDT, TXDCTL = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818, 0x3828
RING, UNMAPPED = 256, 0x12345000


class User:
    """By vfio-user."""

    def __init__(self, path):
        self.sock, self.id = socket.socket(socket.AF_UNIX), 0
        self.sock.connect(path)
        self.ask(1, struct.pack("HH", 0, 1) + json.dumps({"capabilities": {}}).encode() + b"\0")

    def ask(self, command, payload):
        self.id += 1
        self.sock.sendall(struct.pack("HHIII", self.id, command, 16 + len(payload), 0, 0) + payload)
        data = b""
        while len(data) < 16 or len(data) < struct.unpack_from("I", data, 4)[0]:
            part = self.sock.recv(65536)
            if not part:
                raise EOFError("gangway-device hung up")
            data += part
        error = struct.unpack_from("I", data, 12)[0]
        if error:
            raise OSError(error, os.strerror(error), f"vfio-user command {command}")
        return data[16:]

    def read(self, region, offset, size):
        return self.ask(9, struct.pack("QII", offset, region, size))[16:]

    def write(self, region, offset, data):
        self.ask(10, struct.pack("QII", offset, region, len(data)) + data)


class Pci:
    """By the kernel's VFIO, as a VMM has it."""

    def __init__(self, bdf):
        group = os.path.basename(os.readlink(f"/sys/bus/pci/devices/{bdf}/iommu_group"))
        self.container = os.open("/dev/vfio/vfio", os.O_RDWR)
        self.group = os.open(f"/dev/vfio/{group}", os.O_RDWR)
        fcntl.ioctl(self.group, VFIO + 4, struct.pack("i", self.container))
        fcntl.ioctl(self.container, VFIO + 2, 3)  # VFIO_TYPE1v2_IOMMU
        self.device = fcntl.ioctl(self.group, VFIO + 6, bytearray(bdf.encode() + b"\0"))  # of bytes the result would be lost
        self.at = {region: self.region(region) for region in (CONFIG, BAR0)}

    def region(self, index):
        info = bytearray(REGION_INFO.pack(32, 0, index, 0, 0, 0))
        fcntl.ioctl(self.device, VFIO + 8, info)
        return REGION_INFO.unpack(info)[5]

    def read(self, region, offset, size):
        return os.pread(self.device, size, self.at[region] + offset)

    def write(self, region, offset, data):
        os.pwrite(self.device, data, self.at[region] + offset)


class Vf:
    def __init__(self, path):
        self.path, self.tail = path, 0

    def write(self, register, value):
        self.path.write(BAR0, register, struct.pack("I", value))

    def set_master(self):
        self.path.write(CONFIG, COMMAND, struct.pack("H", MEMORY | MASTER))

    def has_master(self):
        return struct.unpack("H", self.path.read(CONFIG, COMMAND, 2))[0] & MASTER

    def start(self):
        self.set_master()
        self.write(CTRL, 1 << 26)
        time.sleep(0.2)
        # the PF lets the VF transmit when it has been told of its reset (E1000_VF_RESET)
        self.write(MAILBOX, 4)
        self.write(MAILBOX_MEMORY, 1)
        self.write(MAILBOX, 1)
        time.sleep(0.5)
        self.write(TXDCTL, 0)
        self.write(TDBAL, UNMAPPED)
        self.write(TDBAH, 0)
        self.write(TDLEN, RING * 16)
        self.write(TDH, 0)
        self.write(TDT, 0)
        self.write(TXDCTL, 1 << 25)
        self.tail = 0

    def poke(self, number, pause):
        for _ in range(number):
            self.tail = (self.tail + 1) % RING
            self.write(TDT, self.tail)
            time.sleep(pause / 1000)


def main():
    vf = Vf(User(sys.argv[2]) if sys.argv[1] == "vfio-user" else Pci(sys.argv[2]))
    print("ready", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        answer = "done"
        if word == "quit":
            break
        if word == "start":
            vf.start()
        elif word == "poke":
            vf.poke(int(rest[0]), float(rest[1]))
        elif word == "master":
            vf.set_master()
        elif word == "master?":
            answer = "on" if vf.has_master() else "off"
        else:
            answer = "what?"
        print(answer, flush=True)


main()
