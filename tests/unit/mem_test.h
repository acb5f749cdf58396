/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of memory share: mappings as the kernel writes them. */
#ifndef GANGWAY_MEM_TEST_H
#define GANGWAY_MEM_TEST_H

/* One mapping of smaps: its first line, and what is told of it, in kB. */
#define SMAP(head, page, rss, private, anonymous, ksm, hugetlb, swap, flags)                                                     \
	head "\n"                                                                                                                \
	     "Size:           99999 kB\nKernelPageSize:     " page " kB\nMMUPageSize:        4 kB\nRss:             " rss        \
	     " kB\nPss:             1 kB\nPss_Dirty:             0 kB\nShared_Clean:          0 kB\nShared_Dirty:          0 "   \
	     "kB\n"                                                                                                              \
	     "Private_Clean:         0 kB\nPrivate_Dirty:        " private " kB\nReferenced:          0 kB\nAnonymous:    "      \
									   " " anonymous " kB\nKSM:        " ksm                 \
									   " kB\nLazyFree:              0 kB\nAnonHugePages:   " \
									   "      0 kB\nShared_Hugetlb:        0 "               \
									   "kB\nPrivate_Hugetlb:      " hugetlb                  \
									   " kB\nSwap:                 " swap                    \
									   " kB\nSwapPss:             0 kB\nLocked:            " \
									   "    0 kB\n"                                          \
									   "THPeligible:           0\nVmFlags: " flags "\n"

/* 64 MiB of memfd, 16 MiB there and 8 MiB in swap; the guard page behind it */
#define SMAP_MEMFD                                                                                                               \
	SMAP("7f0000000000-7f0004000000 rw-s 00000000 00:01 1029                       /memfd:memory-backend-memfd (deleted)",   \
	     "4", "16384", "16384", "0", "0", "0", "8192", "rd wr sh mr mw me ms sd")                                            \
	SMAP("7f0004000000-7f0004001000 ---p 00000000 00:00 0 ", "4", "0", "0", "0", "0", "0", "0", "mr mw me sd")
/* 64 MiB of anonymous memory in two pieces, 40 MiB there, 10 MiB of that merged, 4 MiB shared with somebody, 2 MiB in swap */
#define SMAP_ANON                                                                                                                \
	SMAP("7f1000000000-7f1002000000 rw-p 00000000 00:00 0 ", "4", "30720", "20480", "30720", "10240", "0", "0",              \
	     "rd wr mr mw me ac mg sd")                                                                                          \
	SMAP("7f1002000000-7f1004000000 rw-p 00000000 00:00 0 ", "4", "10240", "6144", "10240", "0", "0", "2048",                \
	     "rd wr mr mw me ac mg sd")
/* 64 MiB of a file, private: 24 MiB there, of that 8 MiB our own, 4 MiB of our own in swap */
#define SMAP_TEMPLATE                                                                                                            \
	SMAP("7f2000000000-7f2004000000 rw-p 00000000 fe:00 77 /var/lib/template", "4", "24576", "8192", "8192", "0", "0",       \
	     "4096", "rd wr mr mw me ac sd")
/* 64 MiB of 2 MiB pages, 20 MiB there */
#define SMAP_HUGE(flags)                                                                                                         \
	SMAP("7f3000000000-7f3004000000 rw-s 00000000 00:0f 88 /memfd:huge (deleted)", "2048", "0", "0", "0", "0", "20480", "0", \
	     "rd wr sh mr mw me ms de ht " flags)

#endif
