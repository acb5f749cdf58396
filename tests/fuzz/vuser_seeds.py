#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the seeds of fuzz_vuser and fuzz_device into corpus/ (form: vuser_chunks.h). Run in tests/fuzz."""
import os
import struct

PUMP, RAW, READ = 0x20, 0x10, 0x40
MEMFD, ONE, EIGHT = 8, 3, 6


def chunk(ctl, data):
    return struct.pack("<BH", ctl, len(data)) + data


def msg(cmd, payload=b"", ctl=0, flags=0):
    return chunk(ctl | PUMP | READ, bytes([cmd, 1, flags]) + payload)


def irqs(flags, index, start, count, data=b"", ctl=0):
    return msg(8, struct.pack("<5I", 20 + len(data), flags, index, start, count) + data, ctl)


def access(cmd, offset, region, count, data=b"", flags=0):
    return msg(cmd, struct.pack("<QII", offset, region, count) + data, 0, flags)


CAPS = (b'{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"pgsizes":4096,"max_dma_maps":65535,'
        b'"write_multiple":true,"twin_socket":{"supported":false},"migration":{"pgsize":4096,"max_bitmap_size":268435456}}}\0')

seeds = {
    "version": b"\0" + msg(1, struct.pack("<HH", 0, 1) + CAPS) + msg(4, struct.pack("<4I", 16, 0, 0, 0)),
    "dma": b"\1" + msg(2, struct.pack("<IIQQQ", 32, 3, 0, 0, 0xa0000), ONE | MEMFD)
    + msg(2, struct.pack("<IIQQQ", 32, 1, 0, 0xfffc0000, 0x40000)) + msg(3, struct.pack("<IIQQ", 24, 0, 0, 0xa0000))
    + msg(3, struct.pack("<IIQQ", 24, 2, 0, 0)),
    "regions": b"\1" + b"".join(msg(5, struct.pack("<4I2Q", n, 0, i, 0, 0, 0)) for i in range(6) for n in (32, 80))
    + msg(6, struct.pack("<4I", 512, 0, 0, 0)),
    "irqs": b"\1" + msg(7, struct.pack("<4I", 16, 0, 2, 0)) + irqs(0x24, 2, 0, 3) + irqs(0x24, 2, 1, 1, b"", ONE)
    + irqs(0x24, 2, 0, 8, b"", EIGHT) + irqs(0x22, 2, 0, 2, b"\0\1") + irqs(0x21, 2, 0, 0) + irqs(0x09, 0, 0, 1),
    "access": b"\1" + access(9, 0, 2, 4) + access(10, 4, 2, 2, b"\6\0") + access(10, 4, 2, 1, b"\6", 0x10)
    + access(9, 2**64 - 32769, 4, 32768) + msg(13) + msg(16, struct.pack("<II", 8, 1 << 16 | 1))
    + msg(15, struct.pack("<Q", 2) + struct.pack("<QII8s", 0, 2, 8, b"12345678") * 2),
    "queued": b"\3" + b"".join(chunk(PUMP, bytes([9, i, 0]) + struct.pack("<QII", 0, 4, 32768)) for i in range(8))
    + msg(5, struct.pack("<4I2Q", 80, 0, 0, 0, 0, 0)) + msg(13) + msg(13),
    "raw": b"\1" + chunk(RAW | ONE, struct.pack("<HHII", 1, 2, 48, 0)[:5])
    + chunk(RAW | PUMP, struct.pack("<HHIII", 1, 2, 48, 0, 0)[5:] + struct.pack("<IIQQQ", 32, 3, 0, 0, 4096))
    + chunk(RAW | PUMP | READ, struct.pack("<HHIII", 2, 13, 16, 0, 0) * 3)
    + chunk(RAW | PUMP, struct.pack("<HHIII", 3, 13, 15, 0, 0)),
}


def dma(iova, size, flags=3, offset=0, ctl=ONE | MEMFD):
    return msg(2, struct.pack("<IIQQQ", 32, flags, offset, iova, size), ctl)


def undma(iova, size, flags=0):
    return msg(3, struct.pack("<IIQQ", 24, flags, iova, size))


# what the checks behind the protocol's are about: descriptors take turns, so the same map meets another kind of memory each time
device_seeds = {
    "place": b"\1" + dma(0, 0xa0000) + dma(0xfee00000, 0x1000) + dma(0xfed00000, 0x200000) + dma(1 << 39, 0x1000) + dma((1 << 39) - 0x1000, 0x1000)
    + dma(2**64 - 0x1000, 0x1000) + dma(0xc0000, 0x1000, 1) + dma(0xfffc0000, 0x40000, 1, 0, 0) + undma(0, 0, 2),
    "overlap": b"\1" + dma(0x100000, 0x100000) + dma(0x100000, 0x100000) + dma(0xff000, 0x2000) + dma(0x1ff000, 0x2000) + dma(0x180000, 0x1000, 3, 0, 0)
    + undma(0x100000, 0x1000) + undma(0x1ff000, 0x1000) + undma(0, 0x200000) + undma(0, 0x200000),
    "kinds": b"\1" + b"".join(dma(i << 20, 0x2000, 1 + i % 3, i % 3 * 0x1000) for i in range(8)) + undma(0, 1 << 30),
    "entries": b"\1" + b"".join(dma(i << 12, 0x1000) for i in range(27)) + undma(0x3000, 0x2000) + dma(0x3000, 0x1000),
    "bytes": b"\1" + dma(0, 64 << 20) + dma(1 << 32, 64 << 20) + dma(1 << 33, 8 << 20) + dma(1 << 34, 0x1000),
    "guest": b"\1" + dma(0, 0xa0000) + dma(0x100000, 0x700000) + irqs(0x24, 2, 0, 1) + irqs(0x24, 2, 0, 1, b"", ONE) + irqs(0x24, 2, 1, 8, b"", EIGHT)
    + access(10, 4, 7, 2, b"\6\0") + access(9, 4, 7, 2) + access(9, 0, 0, 8) + irqs(0x21, 2, 0, 3) + irqs(0x22, 2, 0, 2, b"\1\0") + msg(13)
    + irqs(0x21, 2, 0, 0) + irqs(0x24, 3, 0, 1, b"", ONE) + irqs(0x0a, 0, 0, 1, b"\1") + undma(0, 0, 2),
    "unclean": b"\1" + dma(0, 0xa0000) + irqs(0x24, 2, 0, 8, b"", EIGHT) + access(10, 4, 7, 2, b"\6\0")
    + chunk(RAW | PUMP, struct.pack("<HHIII", 3, 13, 15, 0, 0)) + dma(0, 0x1000),
}
device_seeds["hotplug"] = (
    b"\1" + dma(0, 0x100000) + access(10, 4, 7, 2, b"\6\0") + b"".join(chunk(ONE | MEMFD | PUMP, bytes([2, i, 0])
    + struct.pack("<IIQQQ", 32, 3, 0, i << 24, 0x100000)) for i in range(1, 5)) + msg(13) + undma(1 << 24, 0x100000) + dma(1 << 24, 0x100000))
# the same with threads
device_seeds |= {"threads_" + name: bytes([data[0] | 4]) + data[1:] for name, data in device_seeds.items()}
for folder, some in (("vuser", seeds), ("device", {**seeds, **device_seeds})):
    os.makedirs("corpus/" + folder, exist_ok=True)
    for name, data in some.items():
        with open(f"corpus/{folder}/{name}", "wb") as f:
            f.write(data)
