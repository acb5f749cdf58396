# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory: what may not be mapped, floods, storms."""
import contextlib
import fcntl
import os
import struct

from suite import E, MOST_RANGES, RANGES_KB, wait_for
from wire import (CONFIG, DMA_MAP, DMA_UNMAP, INFO, MAXU, MIB, NO_REPLY, PAGE, R, REGION_INFO, RESET, W, WRITE, access, dma_map, dma_unmap, hostile_fds,
    memory, message, opened)


class Memory:
    def maps(self):
        end = MAXU - PAGE
        with self.group("DMA_MAP: empty, unaligned, wraps, flags, place (13, 19)"), self.client() as c, opened(memory()) as fd:
            for what, payload, want in (
                    ("size 0", dma_map(0, 0), E.EINVAL), ("size 1", dma_map(0, 1), E.EINVAL), ("size 4097", dma_map(0, 4097), E.EINVAL),
                    ("iova 1", dma_map(1, PAGE), E.EINVAL), ("iova 0xfff", dma_map(0xfff, PAGE), E.EINVAL),
                    ("offset 1", dma_map(0, PAGE, 1), E.EINVAL), ("wraps", dma_map(end, 2 * PAGE), E.EINVAL),
                    ("wraps by much", dma_map(PAGE, MAXU - PAGE + 1), E.EINVAL), ("all but a byte", dma_map(0, MAXU - 1), E.EINVAL),
                    ("offset wraps", dma_map(0, PAGE, MAXU - PAGE), E.EINVAL), ("offset beyond off_t", dma_map(0, PAGE, 2**63), E.EINVAL),
                    ("no permission", dma_map(0, PAGE, flags=0), E.EINVAL), ("flag 4", dma_map(0, PAGE, flags=7), E.EINVAL),
                    ("high flag", dma_map(0, PAGE, flags=R | 1 << 31), E.EINVAL),
                    ("end of the address space", dma_map(end, PAGE), E.ERANGE),
                    ("beyond the IOMMU's width", dma_map(2**57, PAGE), E.ERANGE), ("just beyond 48 bits", dma_map(2**48, PAGE), E.ERANGE),
                    ("half of 64 bits", dma_map(2**63, PAGE), E.ERANGE),
                    ("8 TiB", dma_map(0, 8 << 40), {E.ERANGE, E.EDQUOT}), ("9 TiB high up", dma_map(1 << 32, 9 << 40), {E.ERANGE, E.EDQUOT}),
                    ("more than any guest has", dma_map(1 << 32, 1 << 36), {E.ERANGE, E.EDQUOT}),
                    ("the MSI window", dma_map(0xfee00000, PAGE), E.ERANGE), ("its end", dma_map(0xfeeff000, PAGE), E.ERANGE),
                    ("across it", dma_map(0xfed00000, 2 * MIB), E.ERANGE), ("into it", dma_map(0xfedff000, 2 * PAGE), E.ERANGE),
                    ("out of it", dma_map(0xfeeff000, 2 * PAGE), E.ERANGE)):
                self.expect(what, c.error(DMA_MAP, payload, [fd]), want)
            self.named("interrupt window")
            self.expect("offset without a file", c.error(DMA_MAP, dma_map(0, PAGE, PAGE)), E.EINVAL)

    def overlaps(self):
        with self.group("DMA_MAP: overlapping and duplicate ranges (14)"), self.client() as c, opened(memory()) as fd:
            c.must("map", DMA_MAP, dma_map(MIB, MIB), [fd])
            for iova, size in ((MIB, MIB), (MIB - PAGE, 2 * PAGE), (2 * MIB - PAGE, 2 * PAGE), (MIB + PAGE, PAGE), (0, 4 * MIB),
                               (MIB, PAGE), (2 * MIB - PAGE, PAGE)):
                for fds in ([fd], []):
                    self.expect(f"{size:#x} at {iova:#x}", c.error(DMA_MAP, dma_map(iova, size), fds), E.EEXIST)
            self.named("overlaps the live one")
            self.expect("what is beside it", c.error(DMA_MAP, dma_map(2 * MIB, PAGE), [fd]), 0)

    def unmaps(self):
        with self.group("DMA_UNMAP: unknown, in part, twice, all with an address (16)"), self.client() as c, opened(memory()) as fd:
            for iova, size, flags, want in ((0, PAGE, 0, E.ENOENT), (2**40, PAGE, 0, E.ENOENT), (0, 0, 0, E.EINVAL),
                                            (MAXU - PAGE, 2 * PAGE, 0, E.EINVAL), (PAGE, 0, 2, E.EINVAL), (0, PAGE, 2, E.EINVAL),
                                            (PAGE, PAGE, 2, E.EINVAL), (0, PAGE, 4, E.EINVAL), (0, PAGE, 1 << 31, E.EINVAL), (0, 0, 3, E.EINVAL)):
                self.expect(f"nothing mapped, {size:#x} at {iova:#x} flags {flags}", c.error(DMA_UNMAP, dma_unmap(iova, size, flags)), want)
            c.must("map", DMA_MAP, dma_map(MIB, MIB), [fd])
            for iova, size in ((MIB, PAGE), (MIB + PAGE, PAGE), (2 * MIB - PAGE, PAGE), (0, MIB + PAGE), (MIB + 1, 1), (MIB, MIB - 1)):
                self.expect(f"part of it, {size:#x} at {iova:#x}", c.error(DMA_UNMAP, dma_unmap(iova, size)), E.EINVAL)
            self.named("cuts the range")
            self.expect("it", c.error(DMA_UNMAP, dma_unmap(MIB, MIB)), 0)
            self.expect("it again", c.error(DMA_UNMAP, dma_unmap(MIB, MIB)), E.ENOENT)
            for _ in range(3):
                self.expect("all of nothing", c.error(DMA_UNMAP, dma_unmap(0, 0, 2)), 0)

    def files(self):
        with self.group("memory: shorter than said, cut off later, sealed, read-only (17, 18)"):
            with self.client() as c, opened(memory()) as fd:
                for what, iova, size, offset in (("longer", 0, 4 * MIB, 0), ("a page longer", 0, 2 * MIB + PAGE, 0), ("behind its end", 0, PAGE, 2 * MIB),
                                                 ("across its end", 0, 2 * PAGE, 2 * MIB - PAGE), ("far behind", 0, PAGE, 2**62)):
                    self.expect(what, c.error(DMA_MAP, dma_map(iova, size, offset), [fd]), E.ENXIO)
                self.named("exceed the file")
                # cut off while it is mapped: the pages are pinned, and the process never touches them
                c.must("map", DMA_MAP, dma_map(0, 2 * MIB), [fd])
                os.ftruncate(fd, 0)
                self.expect("a question after ftruncate", c.error(INFO, struct.pack("<4I", 16, 0, 0, 0)), 0)
                self.expect("mapped once more", c.error(DMA_MAP, dma_map(4 * MIB, PAGE), [fd]), E.ENXIO)
                os.ftruncate(fd, PAGE)
                self.expect("unmap after ftruncate", c.error(DMA_UNMAP, dma_unmap(0, 2 * MIB)), 0)
            with self.client() as c, opened(memory()) as fd:
                rdonly, wronly = (os.open(f"/proc/self/fd/{fd}", mode) for mode in (os.O_RDONLY, os.O_WRONLY))
                with opened(rdonly, wronly), opened(memory(seals=fcntl.F_SEAL_WRITE)) as sealed:
                    self.expect("O_RDONLY, to be written", c.error(DMA_MAP, dma_map(0, PAGE), [rdonly]), E.EACCES)
                    self.expect("O_RDONLY, to be written only", c.error(DMA_MAP, dma_map(0, PAGE, flags=W), [rdonly]), E.EACCES)
                    self.expect("O_WRONLY", c.error(DMA_MAP, dma_map(0, PAGE, flags=W), [wronly]), E.EACCES)
                    self.expect("sealed against writing", c.error(DMA_MAP, dma_map(0, PAGE), [sealed]), {E.EPERM, E.EACCES})
                    self.expect("O_RDONLY, to be read", c.error(DMA_MAP, dma_map(0, PAGE, flags=R), [rdonly]), 0)
            with self.group_fds() as fds, self.client() as c:
                for what, fd in fds:
                    self.expect(what, c.error(DMA_MAP, dma_map(0, PAGE), [fd]), E.EINVAL)
                self.expect("its own socket", c.error(DMA_MAP, dma_map(0, PAGE), [c.sock.fileno()]), E.EINVAL)
                _, got = c.must("region 0", REGION_INFO, struct.pack("<4I2Q", 4096, 0, 0, 0, 0, 0))
                with opened(got[0]):
                    self.expect("the device's descriptor that it gave us", c.error(DMA_MAP, dma_map(0, PAGE), got), E.EINVAL)
                self.named("is no shared memory")

    @contextlib.contextmanager
    def group_fds(self):
        fds = hostile_fds()
        try:
            yield fds
        finally:
            for _, fd in fds:
                os.close(fd)

    def ranges(self):
        with self.group("flood of ranges without memory, to the limit and above (15)", RANGES_KB), self.client() as c:
            for i in range(MOST_RANGES):
                c.send(message(DMA_MAP, dma_map((1 << 40) + i * PAGE, PAGE), NO_REPLY))
            self.inputs += MOST_RANGES
            self.expect("one more", c.error(DMA_MAP, dma_map(1 << 41, PAGE)), E.ENOSPC)
            self.named("ranges are live, no more are kept")
            self.expect("unmap all", c.error(DMA_UNMAP, dma_unmap(0, 0, 2)), 0)
            self.expect("then one", c.error(DMA_MAP, dma_map(1 << 41, PAGE)), 0)

    def pages(self):
        with self.group("flood of mapped pages, to what the kernel takes and above (15)", RANGES_KB), self.client() as c, opened(memory()) as fd:
            for i in range(MOST_RANGES):
                c.send(message(DMA_MAP, dma_map((1 << 32) + i * PAGE, PAGE), NO_REPLY), [fd])
            self.inputs += MOST_RANGES
            # whichever is reached first: entries of the IOMMU, or mappings of the process (vm.max_map_count)
            self.expect("one more", c.error(DMA_MAP, dma_map(1 << 33, PAGE), [fd]), {E.ENOSPC, E.ENOMEM})
            self.named("mappings are used up|Cannot allocate memory|no more are kept")
            ranges = wait_for(lambda: self.device()["dma_ranges"])
            if not 65000 <= ranges <= MOST_RANGES:
                self.fail(f"{ranges} ranges are mapped")
            # and the client dies with all of it mapped

    def storms(self):
        with self.group("map, unmap and reset storms, bus mastering on (21, 24)"), self.client() as c, opened(memory()) as fd:
            c.must("map", DMA_MAP, dma_map(0, 2 * MIB), [fd])
            c.must("bus master", WRITE, access(4, CONFIG, 2, struct.pack("<H", 6)))
            for i in range(200):
                c.send(message(DMA_UNMAP, dma_unmap(0, 2 * MIB), NO_REPLY))
                c.send(message(DMA_UNMAP, dma_unmap(0, 2 * MIB), NO_REPLY))
                c.send(message(DMA_MAP, dma_map(0, 2 * MIB), NO_REPLY), [fd])
                if i % 20 == 0:
                    c.send(message(RESET, b"", NO_REPLY))
                self.inputs += 3
            for _ in range(20):
                c.send(message(RESET, b"", NO_REPLY))
                self.inputs += 1
            self.expect("a map that is there", c.error(DMA_MAP, dma_map(0, 2 * MIB), [fd]), E.EEXIST)
            for _ in range(5):
                c.send(message(RESET, b"", NO_REPLY))
            self.inputs += 5
            # and the client dies in the middle of them
