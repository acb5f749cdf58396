# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that are none, and questions nobody may ask."""
import os
import struct

from suite import E, wait_for
from wire import (BOOL, CONFIG, DIRTY, DMA_MAP, DMA_READ, DMA_UNMAP, DMA_WRITE, ERR, ERROR, EVENTFD, FEATURE, INFO, IO_FDS, IRQ_INFO, MASK, MAXU, MIG_READ,
    MIG_WRITE, MSI, MSIX, NONE, NO_REPLY, PAGE, READ, REGION_INFO, REPLY, REQ, RESET, SET_IRQS, TRIGGER, UNMASK, VERSION, WRITE, WRITE_MULTI,
    access, cap_text, dma_map, dma_unmap, header, hostile_fds, irqs, memory, message, opened, version)


class Messages:
    def framing(self):
        with self.group("sizes below the header and above the limit (1)"):
            for size in (0, 1, 15, 65537, 0x7fffffff, 0x80000000, 0xffffffff):
                for negotiate in (False, True):
                    with self.client(negotiate) as c:
                        c.send(header(RESET, size))
                        error = c.answer()[2]
                        self.expect(f"size {size}", (error, c.gone()), ((E.EINVAL, "dropped"),))
                    self.named(f"message size {size}")

    def replies(self):
        with self.group("replies to nothing, reused ids, header flags (2)"), self.client() as c:
            before = wait_for(lambda: self.device()["rejected"] or 1)
            silent = 0
            for cmd in (0, VERSION, DMA_MAP, DMA_READ, RESET, 99):
                for flags in (REPLY, REPLY | ERROR, REPLY | NO_REPLY):
                    c.send(message(cmd, b"x" * 32, flags))
                    silent += 1
            self.expect("a question behind replies", c.error(INFO, struct.pack("<4I", 16, 0, 0, 0)), 0)
            self.inputs += silent - 1
            self.named("reply to nothing")
            if not wait_for(lambda: self.device()["rejected"] >= before + silent, 5):
                self.fail(f"{silent} replies, {self.device()['rejected'] - before} noticed")
            for flags in (2, 3, 0xf, ERROR, 0x40, 0x80000000):
                c.send(message(RESET, b"", flags))
                self.expect(f"flags {flags:#x}", c.answer()[2], E.EINVAL)
            for _ in range(3):
                c.send(message(RESET, b"x", 0, 1))
                self.expect("an id again", c.answer()[0::2][:2], ((1, E.EINVAL),))

    def commands(self):
        needs_reply = (INFO, REGION_INFO, IO_FDS, IRQ_INFO, READ, FEATURE)
        with self.group("unknown commands, none, no payload, before VERSION (3)"):
            with self.client(False) as c:
                for cmd in range(DMA_MAP, MIG_WRITE + 1):
                    self.expect(f"command {cmd} before VERSION", c.error(cmd, b"\0" * 32), E.EINVAL)
                self.named("not in state negotiate")
                self.expect("VERSION after that", c.error(VERSION, version()), 0)
                self.expect("VERSION again", c.error(VERSION, version()), E.EINVAL)
                for cmd in (0, 19, 20, 255, 256, 0x7fff, 0xffff, DMA_READ, DMA_WRITE):
                    self.expect(f"command {cmd}", c.error(cmd), E.EINVAL)
                for cmd in (DIRTY, MIG_READ, MIG_WRITE):
                    self.expect(f"command {cmd}", c.error(cmd, b"\0" * 24), E.EOPNOTSUPP)
                for cmd in (*range(DMA_MAP, WRITE + 1), WRITE_MULTI, FEATURE):
                    for size in (0, 1, 7):
                        self.expect(f"command {cmd} of {size} bytes", c.error(cmd, b"\0" * size), E.EINVAL)
                for cmd in needs_reply:
                    c.send(message(cmd, b"\0" * 32, NO_REPLY))
                    self.inputs += 1
                self.expect("reset with payload", c.error(RESET, b"x"), E.EINVAL)
                self.named("payload of 1 bytes, must be 0 to 0")

    def descriptors(self):
        with self.group("descriptors where none belong, more than 8, floods, MSG_CTRUNC (4)"), opened(os.eventfd(0)) as fd:
            questions = ((VERSION, version()), (DMA_UNMAP, dma_unmap(0, PAGE)), (INFO, struct.pack("<4I", 16, 0, 0, 0)),
                         (REGION_INFO, struct.pack("<4I2Q", 32, 0, 0, 0, 0, 0)), (IO_FDS, struct.pack("<4I", 16, 0, 0, 0)),
                         (IRQ_INFO, struct.pack("<4I", 16, 0, 0, 0)), (READ, access(0, CONFIG, 2)),
                         (WRITE, access(4, CONFIG, 2, b"\0\0")), (RESET, b""), (DIRTY, b"\0" * 32), (FEATURE, b"\0" * 8), (99, b""))
            with self.client() as c:
                for cmd, payload in questions:
                    for nr in (1, 8):
                        self.expect(f"command {cmd} with {nr}", c.error(cmd, payload, [fd] * nr), E.EINVAL)
                # the client's own end of the connection: a cycle that the kernel has to find
                self.expect("its own socket", c.error(RESET, b"", [c.sock.fileno()]), E.EINVAL)
                self.expect("two for a map", c.error(DMA_MAP, dma_map(0, PAGE), [fd, fd]), E.EINVAL)
            for nr in (9, 16, 64, 253):
                with self.client() as c:
                    c.send(message(RESET), [fd] * nr)
                    self.expect(f"{nr} at once", c.gone(), "dropped")
                self.named("more than 8 descriptors")
            with self.client() as c:
                for byte in message(DMA_MAP, dma_map(0, PAGE))[:4]:
                    try:
                        c.send(bytes([byte]), [fd] * 4)
                    except ConnectionError:
                        break
                self.expect("4 with each byte", c.gone(), "dropped")
            for _ in range(20):
                with self.client(False) as c:
                    c.send(message(VERSION)[:9], [fd] * 8)
                self.inputs += 1

    def versions(self):
        cap = '{"capabilities":{%s}}'
        bad = ["", "x", "{", "[]", '"x"', "0", "null", '{"capabilities":[]}', '{"capabilities":1}', '{"capabilities":{}', "{}{}",
               '{"capabilities":{},"capabilities":{}}', "[" * 3000, '{"a":' * 700, "\ufffd{}",
               *(cap % f'"{k}":{v}' for k, values in {
                   "max_msg_fds": ("-1", "1025", "1e3", '"8"', "[]", "99999999999999999999", "2147483648"),
                   "max_data_xfer_size": ("0", "-1", "4294967296", "true", "1.5"),
                   "pgsizes": ("0", "1", "3", "4097", "-4096", "{}", '"4096"'),
                   "max_dma_maps": ("0", "-1", "null"), "write_multiple": ("1", "null", '"yes"'),
                   "twin_socket": ("1", "[]", '{"supported":1}'),
                   "migration": ("1", '{"pgsize":0}', '{"pgsize":4097}', '{"pgsize":-1}', '{"max_bitmap_size":-1}',
                                 '{"pgsize":1.0}')}.items() for v in values)]
        with self.group("VERSION: garbage, wrong types, numbers out of range (5)"):
            with self.client(False) as c:
                for text in bad:
                    self.expect(f"version data {text[:40]}", c.error(VERSION, version(text)), E.EINVAL)
                for raw in (b"{}", b"{}\0\0", b"\0{}\0", b"\xff\xfe\0", b"{\"\\u0000\":1}", b" " * 4096 + b"\0"):
                    self.expect(f"version data {raw[:20]}", c.error(VERSION, version(raw)), E.EINVAL)
                for raw in (b"", b"\0", b"\0\0\0"):
                    self.expect(f"VERSION of {len(raw)} bytes", c.error(VERSION, raw), E.EINVAL)
                self.named("payload of 3 bytes")
                self.expect("a good one afterwards", c.error(VERSION, version()), 0)
            for major in (1, 2, 0xffff):
                with self.client(False) as c:
                    self.expect(f"version {major}", (c.error(VERSION, version(major=major)), c.gone()), ((E.EINVAL, "dropped"),))
                self.named(f"version {major}.1, we speak")

    def capabilities(self):
        with self.group("capabilities that leave no room for an answer (6)"):
            with self.client(False) as c:
                self.expect("takes no descriptors", c.error(VERSION, version(cap_text(max_msg_fds=0))), 0)
                data, fds = c.must("region 0", REGION_INFO, struct.pack("<4I2Q", 4096, 0, 0, 0, 0, 0))
                self.expect("no descriptor, no MMAP flag", (len(fds), struct.unpack("<I", data[4:8])[0] & 4), ((0, 0),))
                data, _ = c.must("region 0", REGION_INFO, struct.pack("<4I2Q", 32, 0, 0, 0, 0, 0))
                self.expect("an answer no longer than asked for", len(data), 32)
            with self.client(False) as c:
                self.expect("one byte at a time", c.error(VERSION, version(cap_text(max_data_xfer_size=1))), 0)
                self.expect("more at once than we take", c.error(READ, access(0, CONFIG, 32769)), E.EINVAL)

    def argsz(self):
        with self.group("argsz and bitmaps: too small, huge, with a wrap (7, 8)"), self.client() as c:
            for value in (0, 1, 7, 65537, 0x7fffffff, 0xffffffff):
                for cmd, payload in ((DMA_MAP, dma_map(0, PAGE, argsz=value)), (DMA_UNMAP, dma_unmap(0, PAGE, argsz=value)),
                                     (INFO, struct.pack("<4I", value, 0, 0, 0)),
                                     (REGION_INFO, struct.pack("<4I2Q", value, 0, 0, 0, 0, 0)),
                                     (IO_FDS, struct.pack("<4I", value, 0, 0, 0)), (IRQ_INFO, struct.pack("<4I", value, 0, 0, 0)),
                                     (SET_IRQS, irqs(NONE | TRIGGER, MSIX, 0, 0, argsz=value)),
                                     (FEATURE, struct.pack("<II", value, 1 << 16))):
                    self.expect(f"command {cmd} argsz {value}", c.error(cmd, payload), E.EINVAL)
            self.named(r"argsz 4294967295")
            self.expect("info of 4097 bytes", c.error(INFO, struct.pack("<4I", 16, 0, 0, 0) + b"\0" * 4081), E.EINVAL)
            for size, pgsize in ((8, 0), (2**63, 4096), (MAXU - 1, 1), (8, 2**63), (0, 4096)):
                bitmap = struct.pack("<QQ", pgsize, size)
                self.expect("unmap with a bitmap", c.error(DMA_UNMAP, dma_unmap(0, PAGE, 1) + bitmap), E.EINVAL)
                self.expect("unmap with its flag alone", c.error(DMA_UNMAP, dma_unmap(0, PAGE, 1)), E.EINVAL)
                self.expect("DIRTY_PAGES", c.error(DIRTY, struct.pack("<II", 24, 4) + bitmap), E.EOPNOTSUPP)
                for index in (6, 7, 8):
                    self.expect(f"feature {index}", c.error(FEATURE, struct.pack("<II", 24, 1 << 17 | index) + bitmap), E.ENOTTY)
            for flags in (0, 3 << 16, 1 << 19, 1 << 31):
                self.expect(f"feature flags {flags:#x}", c.error(FEATURE, struct.pack("<II", 8, flags)), E.EINVAL)

    def regions(self):
        with self.group("region accesses that wrap or leave the region (9)"), self.client() as c:
            for cmd in (READ, WRITE):
                for offset, region, count in ((-1, CONFIG, 2), (-4, CONFIG, 8), (-32768, 0, 32768), (2**63, 0, 4), (2**40, 0, 4),
                                              (4096, CONFIG, 1), (4093, CONFIG, 4), (0, CONFIG, 0), (0, 0, 32769),
                                              (0, 9, 4), (0, 31, 4), (0, 32, 4), (0, 0xffffffff, 4), (0, 1, 4)):
                    data = b"\0" * min(count, 32768) if cmd == WRITE else b""
                    self.expect(f"{cmd}: {count} at {offset:#x} of {region}", c.error(cmd, access(offset, region, count, data)), E.EINVAL)
                self.expect(f"{cmd}: all there is", c.error(cmd, access(0, 0, 0xffffffff)), E.EINVAL)
            for count, data in ((2, b""), (2, b"\0" * 3), (0xffffffff, b"\0\0"), (1, b"\0" * 32768)):
                self.expect(f"{len(data)} bytes, {count} announced", c.error(WRITE, access(4, CONFIG, count, data)), E.EINVAL)
            one = struct.pack("<QII8s", 4, CONFIG, 2, b"")
            for nr, tail in ((0, one), (2, one), (2**61, one), (MAXU - 1, one), (1, one[:-1]), (1, struct.pack("<QII8s", 4, CONFIG, 9, b"")),
                             (1, struct.pack("<QII8s", 4, CONFIG, 0xffffffff, b"")), (2, one + struct.pack("<QII8s", MAXU - 1, CONFIG, 8, b""))):
                self.expect(f"{nr} writes", c.error(WRITE_MULTI, struct.pack("<Q", nr) + tail), E.EINVAL)
            for index in (9, 32, 0x80000000, 0xffffffff):
                self.expect(f"region {index}", c.error(REGION_INFO, struct.pack("<4I2Q", 32, 0, index, 0, 0, 0)), E.EINVAL)
                self.expect(f"region {index}", c.error(IO_FDS, struct.pack("<4I", 16, 0, index, 0)), E.EINVAL)
            self.named("region 4294967295 of")

    def irq_ranges(self):
        with self.group("interrupts: ranges that wrap, flags, counts, indexes (10, 11)"), self.client() as c, opened(os.eventfd(0)) as fd:
            n = self.nr_msix
            for start, count in ((0xffffffff, 1), (1, 0xffffffff), (0xffffffff, 0xffffffff), (n, 1), (0, n + 1), (n - 1, 2), (2**31, 2**31)):
                for flags in (NONE | TRIGGER, EVENTFD | TRIGGER):
                    self.expect(f"{count} from {start}", c.error(SET_IRQS, irqs(flags, MSIX, start, count)), E.EINVAL)
            for flags in (0, NONE, BOOL, EVENTFD, MASK, TRIGGER, NONE | BOOL | TRIGGER, NONE | EVENTFD | TRIGGER, NONE | MASK | UNMASK,
                          NONE | MASK | TRIGGER, NONE | 7 << 3, 0x3f, NONE | TRIGGER | 0x40, NONE | TRIGGER | 1 << 31):
                self.expect(f"flags {flags:#x}", c.error(SET_IRQS, irqs(flags, MSIX, 0, 1)), E.EINVAL)
            for what, payload, fds in (
                    ("2 for 1", irqs(EVENTFD | TRIGGER, MSIX, 0, 1), 2), ("1 for 2", irqs(EVENTFD | TRIGGER, MSIX, 0, 2), 1),
                    ("8 for 3", irqs(EVENTFD | TRIGGER, MSIX, 0, min(3, n)), 8), ("with DATA_NONE", irqs(NONE | TRIGGER, MSIX, 0, 1), 1),
                    ("with DATA_BOOL", irqs(BOOL | TRIGGER, MSIX, 0, 1, b"\1"), 1),
                    ("with count 0", irqs(EVENTFD | TRIGGER, MSIX, 0, 0), 1), ("to disable", irqs(NONE | TRIGGER, MSIX, 0, 0), 1)):
                self.expect(f"descriptors: {what}", c.error(SET_IRQS, payload, [fd] * fds), E.EINVAL)
            for data in (b"", b"\1\1", b"\1" * 4096):
                self.expect(f"{len(data)} booleans for 1", c.error(SET_IRQS, irqs(BOOL | TRIGGER, MSIX, 0, 1, data)), E.EINVAL)
            self.expect("start without count", c.error(SET_IRQS, irqs(NONE | TRIGGER, MSIX, 1, 0)), E.EINVAL)
            for action in (MASK, UNMASK):
                self.expect("MSI-X masked", c.error(SET_IRQS, irqs(NONE | action, MSIX, 0, 1)), E.EINVAL)
                for index in (ERR, REQ):
                    self.expect(f"index {index} masked", c.error(SET_IRQS, irqs(NONE | action, index, 0, 1)), E.EINVAL)
            for index in (MSI, 5, 16, 0xffffffff):
                self.expect(f"index {index}", c.error(SET_IRQS, irqs(EVENTFD | TRIGGER, index, 0, 1), [fd]), E.EINVAL)
            for index in (ERR, REQ):
                self.expect(f"index {index}, 2 of 1", c.error(SET_IRQS, irqs(EVENTFD | TRIGGER, index, 0, 2), [fd, fd]), E.EINVAL)
            self.expect("irq info", c.error(IRQ_INFO, struct.pack("<4I", 16, 0, 0xffffffff, 0)), E.EINVAL)
            self.named("irq index 4294967295 of")

    def eventfds(self):
        with self.group("eventfds that are none, full or filled later (12)"), self.client() as c:
            full = os.eventfd(0, os.EFD_NONBLOCK)
            os.eventfd_write(full, 2**64 - 2)
            for what, fd in (*hostile_fds(), ("memfd", memory()), ("full eventfd", full)):
                if what == "eventfd":
                    os.close(fd)
                    continue
                with opened(fd):
                    self.expect(what, c.error(SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 1), [fd]), E.EINVAL)
            self.named("is no eventfd|irq.set-failed|vectors")
            with opened(os.eventfd(0), *os.pipe2(os.O_CLOEXEC)) as (good, _, bad):
                self.expect("one of two", c.error(SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 2), [good, bad]), E.EINVAL)
            for flags in (0, os.EFD_SEMAPHORE, os.EFD_NONBLOCK):
                with opened(os.eventfd(0, flags)) as fd:
                    c.must("arm", SET_IRQS, irqs(EVENTFD | TRIGGER, MSIX, 0, 1), [fd])
                    os.eventfd_write(fd, 2**64 - 2)
                    # a signal that blocked would be the end of the process's service
                    self.expect("filled after it was armed", c.error(SET_IRQS, irqs(NONE | TRIGGER, MSIX, 0, 1)), 0)
                    c.must("disable", SET_IRQS, irqs(NONE | TRIGGER, MSIX, 0, 0))
