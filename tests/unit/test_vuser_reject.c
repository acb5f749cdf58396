/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every refusal of a running connection: its exact errno, and that it leaves no trace: the device is not called, no descriptor
 * stays open, the connection goes on. One row a rule.
 */
#include "vuser_client.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

enum fd_kind { NONE, EVENTFD, PIPE, MEMFD, EPOLL, TIMERFD, SOCKET, NULLDEV, PROC_MEM, FULL_EVENTFD };

#define MAXU UINT64_MAX
#define RW (VUSER_DMA_READABLE | VUSER_DMA_WRITABLE)

static int open_kind(enum fd_kind kind)
{
	uint64_t full = UINT64_MAX - 1;
	int fds[2], fd;

	switch (kind) {
	case NONE:
		return -1;
	case EVENTFD:
		return eventfd(0, EFD_CLOEXEC);
	case FULL_EVENTFD:
		fd = eventfd(0, EFD_CLOEXEC);
		cr_assert_eq(write(fd, &full, sizeof(full)), sizeof(full));
		return fd;
	case PIPE:
		cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
		close(fds[0]);
		return fds[1];
	case MEMFD:
		return memfd_create("x", MFD_CLOEXEC);
	case EPOLL:
		return epoll_create1(EPOLL_CLOEXEC);
	case TIMERFD:
		return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case SOCKET:
		return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case NULLDEV:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case PROC_MEM:
		return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	}
	return -1;
}

/* Send it, expect @want, and that nothing came of it. */
static void refused(struct dev *d, const char *what, uint16_t cmd, const void *data, size_t len, enum fd_kind kind, size_t nr_fds,
		    int want)
{
	uint64_t rejected = vuser_get_stats(d->v)->nr_rejected;
	int before = count_fds(), fds[LIMIT_VUSER_FDS], calls = d->calls, r;
	struct answer a;

	for (size_t i = 0; i < nr_fds; i++)
		fds[i] = open_kind(kind);
	r = request_fds(d, cmd, data, len, fds, nr_fds, &a);
	for (size_t i = 0; i < nr_fds; i++)
		close(fds[i]);
	cr_expect_eq(r, want, "%s: %d, not %d (%s)", what, r, want, vuser_last_error(d->v));
	cr_expect_eq(d->calls, calls, "%s: reached the device", what);
	cr_expect_eq(count_fds(), before, "%s: descriptors left open", what);
	cr_expect_eq(vuser_get_stats(d->v)->nr_rejected, rejected + 1, "%s: not counted", what);
	cr_expect_neq(vuser_last_error(d->v)[0], '\0', "%s: not named", what);
	assert_alive(d);
}

Test(vuser_reject, dma_map)
{
	static const struct {
		const char *what;
		struct vuser_dma_map_req q;
		size_t len, nr_fds;
	} rows[] = {
		{ "too short", { 32, RW, 0, 0, 0x1000 }, 31, 1 },
		{ "too long", { 32, RW, 0, 0, 0x1000 }, 33, 1 },
		{ "nothing", { 0 }, 0, 1 },
		{ "argsz too small", { 31, RW, 0, 0, 0x1000 }, 32, 1 },
		{ "argsz 0", { 0, RW, 0, 0, 0x1000 }, 32, 1 },
		{ "argsz huge", { UINT32_MAX, RW, 0, 0, 0x1000 }, 32, 1 },
		{ "no permission", { 32, 0, 0, 0, 0x1000 }, 32, 1 },
		{ "unknown flag", { 32, RW | 4, 0, 0, 0x1000 }, 32, 1 },
		{ "unknown high flag", { 32, RW | 1u << 31, 0, 0, 0x1000 }, 32, 1 },
		{ "size 0", { 32, RW, 0, 0x1000, 0 }, 32, 1 },
		{ "iova wraps", { 32, RW, 0, MAXU - 0xfff, 0x1001 }, 32, 1 },
		{ "iova wraps by much", { 32, RW, 0, 0x1000, MAXU }, 32, 1 },
		{ "offset wraps", { 32, RW, MAXU - 0xfff, 0, 0x2000 }, 32, 1 },
		{ "offset beyond off_t", { 32, RW, 1ull << 63, 0, 0x1000 }, 32, 1 },
		{ "offset and size beyond off_t", { 32, RW, INT64_MAX - 0xffe, 0, 0x1000 }, 32, 1 },
		{ "offset without a file", { 32, RW, 0x1000, 0, 0x1000 }, 32, 0 },
		{ "two files", { 32, RW, 0, 0, 0x1000 }, 32, 2 },
		{ "eight files", { 32, RW, 0, 0, 0x1000 }, 32, 8 },
	};
	struct vuser_dma_map_req edge = { 32, RW, 0, MAXU - 0xfff, 0x1000 };
	uint8_t buf[64] = { 0 };
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(buf, &rows[i].q, sizeof(rows[i].q));
		refused(&d, rows[i].what, VUSER_DMA_MAP, buf, rows[i].len, MEMFD, rows[i].nr_fds, -EINVAL);
	}
	/* at the limit, not above: the last page of the address space, and of a file */
	cr_assert_eq(request(&d, VUSER_DMA_MAP, &edge, sizeof(edge), &a), 0);
	edge = (struct vuser_dma_map_req){ LIMIT_VUSER_MSG, RW, INT64_MAX - 0xfff, 0, 0x1000 };
	refused(&d, "and that without a file", VUSER_DMA_MAP, &edge, sizeof(edge), NONE, 0, -EINVAL);
	dev_stop(&d);
}

Test(vuser_reject, dma_unmap)
{
	static const struct {
		const char *what;
		struct vuser_dma_unmap_req q;
		size_t len, nr_fds;
	} rows[] = {
		{ "too short", { 24, 0, 0, 0x1000 }, 23, 0 },
		{ "a bitmap behind", { 24, 0, 0, 0x1000 }, 40, 0 },
		{ "argsz too small", { 23, 0, 0, 0x1000 }, 24, 0 },
		{ "argsz huge", { LIMIT_VUSER_MSG + 1, 0, 0, 0x1000 }, 24, 0 },
		{ "dirty bitmap", { 24, VUSER_UNMAP_DIRTY_BITMAP, 0, 0x1000 }, 24, 0 },
		{ "dirty bitmap of all", { 24, VUSER_UNMAP_DIRTY_BITMAP | VUSER_UNMAP_ALL, 0, 0 }, 24, 0 },
		{ "unknown flag", { 24, 4, 0, 0x1000 }, 24, 0 },
		{ "size 0", { 24, 0, 0x1000, 0 }, 24, 0 },
		{ "wraps", { 24, 0, MAXU, 2 }, 24, 0 },
		{ "all with an address", { 24, VUSER_UNMAP_ALL, 0x1000, 0 }, 24, 0 },
		{ "all with a size", { 24, VUSER_UNMAP_ALL, 0, 0x1000 }, 24, 0 },
		{ "with a descriptor", { 24, 0, 0, 0x1000 }, 24, 1 },
	};
	uint8_t buf[64] = { 0 };
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(buf, &rows[i].q, sizeof(rows[i].q));
		refused(&d, rows[i].what, VUSER_DMA_UNMAP, buf, rows[i].len, MEMFD, rows[i].nr_fds, -EINVAL);
	}
	dev_stop(&d);
}

Test(vuser_reject, questions)
{
	static const struct {
		const char *what;
		uint16_t cmd;
		uint32_t q[8];
		size_t len, nr_fds;
		int want;
	} rows[] = {
		{ "info too short", VUSER_DEVICE_GET_INFO, { 16 }, 15, 0, -EINVAL },
		{ "info too long", VUSER_DEVICE_GET_INFO, { 16 }, 4097, 0, -EINVAL },
		{ "info argsz", VUSER_DEVICE_GET_INFO, { 15 }, 16, 0, -EINVAL },
		{ "info argsz huge", VUSER_DEVICE_GET_INFO, { UINT32_MAX }, 16, 0, -EINVAL },
		{ "info flags", VUSER_DEVICE_GET_INFO, { 16, 1 }, 16, 0, -EINVAL },
		{ "info with a descriptor", VUSER_DEVICE_GET_INFO, { 16 }, 16, 1, -EINVAL },
		{ "region too short", VUSER_DEVICE_GET_REGION_INFO, { 32 }, 31, 0, -EINVAL },
		{ "region too long", VUSER_DEVICE_GET_REGION_INFO, { 32 }, 4097, 0, -EINVAL },
		{ "region argsz", VUSER_DEVICE_GET_REGION_INFO, { 31 }, 32, 0, -EINVAL },
		{ "region argsz huge", VUSER_DEVICE_GET_REGION_INFO, { UINT32_MAX }, 32, 0, -EINVAL },
		{ "region argsz above", VUSER_DEVICE_GET_REGION_INFO, { LIMIT_VUSER_MSG + 1 }, 32, 0, -EINVAL },
		{ "region flags", VUSER_DEVICE_GET_REGION_INFO, { 32, 1 }, 32, 0, -EINVAL },
		{ "region cap_offset", VUSER_DEVICE_GET_REGION_INFO, { 32, 0, 0, 32 }, 32, 0, -EINVAL },
		{ "region size", VUSER_DEVICE_GET_REGION_INFO, { 32, 0, 0, 0, 0, 1 }, 32, 0, -EINVAL },
		{ "region offset", VUSER_DEVICE_GET_REGION_INFO, { 32, 0, 0, 0, 0, 0, 1 }, 32, 0, -EINVAL },
		{ "region beyond", VUSER_DEVICE_GET_REGION_INFO, { 32, 0, DEV_REGIONS }, 32, 0, -EINVAL },
		{ "region far beyond", VUSER_DEVICE_GET_REGION_INFO, { 32, 0, UINT32_MAX }, 32, 0, -EINVAL },
		{ "region with a descriptor", VUSER_DEVICE_GET_REGION_INFO, { 32 }, 32, 1, -EINVAL },
		{ "io fds too short", VUSER_DEVICE_GET_REGION_IO_FDS, { 16 }, 15, 0, -EINVAL },
		{ "io fds argsz", VUSER_DEVICE_GET_REGION_IO_FDS, { 15 }, 16, 0, -EINVAL },
		{ "io fds argsz huge", VUSER_DEVICE_GET_REGION_IO_FDS, { UINT32_MAX }, 16, 0, -EINVAL },
		{ "io fds flags", VUSER_DEVICE_GET_REGION_IO_FDS, { 16, 1 }, 16, 0, -EINVAL },
		{ "io fds count", VUSER_DEVICE_GET_REGION_IO_FDS, { 16, 0, 0, 1 }, 16, 0, -EINVAL },
		{ "io fds beyond", VUSER_DEVICE_GET_REGION_IO_FDS, { 16, 0, 512 }, 16, 0, -EINVAL },
		{ "irq too short", VUSER_DEVICE_GET_IRQ_INFO, { 16 }, 15, 0, -EINVAL },
		{ "irq too long", VUSER_DEVICE_GET_IRQ_INFO, { 16 }, 17, 0, -EINVAL },
		{ "irq argsz", VUSER_DEVICE_GET_IRQ_INFO, { 15 }, 16, 0, -EINVAL },
		{ "irq flags", VUSER_DEVICE_GET_IRQ_INFO, { 16, 1 }, 16, 0, -EINVAL },
		{ "irq count", VUSER_DEVICE_GET_IRQ_INFO, { 16, 0, 0, 1 }, 16, 0, -EINVAL },
		{ "irq beyond", VUSER_DEVICE_GET_IRQ_INFO, { 16, 0, DEV_IRQS }, 16, 0, -EINVAL },
		{ "reset with a payload", VUSER_DEVICE_RESET, { 0 }, 1, 0, -EINVAL },
		{ "reset with a descriptor", VUSER_DEVICE_RESET, { 0 }, 0, 1, -EINVAL },
		{ "feature too short", VUSER_DEVICE_FEATURE, { 8, VUSER_FEATURE_GET | 1 }, 7, 0, -EINVAL },
		{ "feature argsz", VUSER_DEVICE_FEATURE, { 7, VUSER_FEATURE_GET | 1 }, 8, 0, -EINVAL },
		{ "feature argsz huge", VUSER_DEVICE_FEATURE, { UINT32_MAX, VUSER_FEATURE_GET | 1 }, 8, 0, -EINVAL },
		{ "feature does nothing", VUSER_DEVICE_FEATURE, { 8, 1 }, 8, 0, -EINVAL },
		{ "feature got and set", VUSER_DEVICE_FEATURE, { 8, VUSER_FEATURE_GET | VUSER_FEATURE_SET | 1 }, 8, 0, -EINVAL },
		{ "feature unknown flag", VUSER_DEVICE_FEATURE, { 8, 1u << 19 | VUSER_FEATURE_GET }, 8, 0, -EINVAL },
		{ "feature with a descriptor", VUSER_DEVICE_FEATURE, { 8, VUSER_FEATURE_GET | 1 }, 8, 1, -EINVAL },
		{ "feature migration", VUSER_DEVICE_FEATURE, { 16, VUSER_FEATURE_GET | 1 }, 8, 0, -ENOTTY },
		{ "feature probed", VUSER_DEVICE_FEATURE, { 8, 7u << 16 | 6 }, 8, 0, -ENOTTY },
		{ "feature set", VUSER_DEVICE_FEATURE, { 16, VUSER_FEATURE_SET | 2 }, 16, 0, -ENOTTY },
		{ "dma read from a client", VUSER_DMA_READ, { 0 }, 16, 0, -EINVAL },
		{ "dma write from a client", VUSER_DMA_WRITE, { 0 }, 32, 0, -EINVAL },
		{ "dirty pages of the drafts", VUSER_DIRTY_PAGES, { 8 }, 8, 0, -EOPNOTSUPP },
		{ "migration data read", VUSER_MIG_DATA_READ, { 8 }, 8, 0, -EOPNOTSUPP },
		{ "migration data write", VUSER_MIG_DATA_WRITE, { 8 }, 8, 0, -EOPNOTSUPP },
		{ "command 0", 0, { 0 }, 0, 0, -EINVAL },
		{ "command 19", 19, { 0 }, 0, 0, -EINVAL },
		{ "command 65535 with descriptors", 65535, { 0 }, 12, 8, -EINVAL },
		{ "a second VERSION", VUSER_VERSION, { 1u << 16 }, 4, 0, -EINVAL },
	};
	static uint8_t buf[8192];
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(buf, rows[i].q, sizeof(rows[i].q));
		refused(&d, rows[i].what, rows[i].cmd, buf, rows[i].len, MEMFD, rows[i].nr_fds, rows[i].want);
	}
	dev_stop(&d);
}

#define TRIG VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK VFIO_IRQ_SET_ACTION_MASK
#define D_NONE VFIO_IRQ_SET_DATA_NONE
#define D_BOOL VFIO_IRQ_SET_DATA_BOOL
#define D_FD VFIO_IRQ_SET_DATA_EVENTFD
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI VFIO_PCI_MSI_IRQ_INDEX
#define ERR VFIO_PCI_ERR_IRQ_INDEX
#define REQ VFIO_PCI_REQ_IRQ_INDEX

Test(vuser_reject, set_irqs)
{
	static const struct {
		const char *what;
		struct irq_set q;
		size_t len, nr_fds;
		enum fd_kind kind;
	} rows[] = {
		{ "too short", { 20, D_NONE | TRIG, MSIX, 0, 1 }, 19, 0, NONE },
		{ "too long", { 20, D_NONE | TRIG, MSIX, 0, 1 }, 21, 0, NONE },
		{ "argsz too small", { 3, D_NONE | TRIG, MSIX, 0, 1 }, 20, 0, NONE },
		{ "argsz above", { 24, D_NONE | TRIG, MSIX, 0, 1 }, 20, 0, NONE },
		{ "argsz huge", { UINT32_MAX, D_BOOL | TRIG, MSIX, 0, 1 }, 21, 0, NONE },
		{ "unknown flag", { 20, D_NONE | TRIG | 0x40, MSIX, 0, 1 }, 20, 0, NONE },
		{ "no data type", { 20, TRIG, MSIX, 0, 1 }, 20, 0, NONE },
		{ "no action", { 20, D_NONE, MSIX, 0, 1 }, 20, 0, NONE },
		{ "mask and unmask", { 20, D_NONE | MASK | VFIO_IRQ_SET_ACTION_UNMASK, INTX, 0, 1 }, 20, 0, NONE },
		{ "mask and trigger", { 20, D_NONE | MASK | TRIG, INTX, 0, 1 }, 20, 0, NONE },
		{ "none and bool", { 21, D_NONE | D_BOOL | TRIG, MSIX, 0, 1 }, 21, 0, NONE },
		{ "bool and eventfd", { 21, D_BOOL | D_FD | TRIG, MSIX, 0, 1 }, 21, 1, EVENTFD },
		{ "all flags", { 20, 0x3f, MSIX, 0, 1 }, 20, 0, NONE },
		{ "index beyond", { 20, D_NONE | TRIG, DEV_IRQS, 0, 1 }, 20, 0, NONE },
		{ "index far beyond", { 20, D_NONE | TRIG, UINT32_MAX, 0, 1 }, 20, 0, NONE },
		{ "index without vectors", { 20, D_NONE | TRIG, MSI, 0, 1 }, 20, 0, NONE },
		{ "index without vectors, off", { 20, D_NONE | TRIG, MSI, 0, 0 }, 20, 0, NONE },
		{ "one too many", { 20, D_NONE | TRIG, MSIX, DEV_MSIX_COUNT - 1, 2 }, 20, 0, NONE },
		{ "starts beyond", { 20, D_NONE | TRIG, MSIX, DEV_MSIX_COUNT, 1 }, 20, 0, NONE },
		{ "wraps", { 20, D_NONE | TRIG, MSIX, 2, UINT32_MAX }, 20, 0, NONE },
		{ "wraps to the start", { 20, D_FD | TRIG, MSIX, UINT32_MAX, 2 }, 20, 2, EVENTFD },
		{ "two of err", { 20, D_FD | TRIG, ERR, 0, 2 }, 20, 2, EVENTFD },
		{ "err masked", { 20, D_NONE | MASK, ERR, 0, 1 }, 20, 0, NONE },
		{ "msix masked", { 20, D_NONE | MASK, MSIX, 0, 1 }, 20, 0, NONE },
		{ "eventfd to what takes none", { 20, D_FD | TRIG, REQ, 0, 1 }, 20, 1, EVENTFD },
		{ "off, but masked", { 20, D_NONE | MASK, INTX, 0, 0 }, 20, 0, NONE },
		{ "off, but bool", { 20, D_BOOL | TRIG, MSIX, 0, 0 }, 20, 0, NONE },
		{ "off, but eventfd", { 20, D_FD | TRIG, MSIX, 0, 0 }, 20, 0, NONE },
		{ "off, but from 1", { 20, D_NONE | TRIG, MSIX, 1, 0 }, 20, 0, NONE },
		{ "off, with a descriptor", { 20, D_FD | TRIG, MSIX, 0, 0 }, 20, 1, EVENTFD },
		{ "bool without data", { 20, D_BOOL | TRIG, MSIX, 0, 1 }, 20, 0, NONE },
		{ "bool too short", { 21, D_BOOL | TRIG, MSIX, 0, 2 }, 21, 0, NONE },
		{ "bool too long", { 23, D_BOOL | TRIG, MSIX, 0, 2 }, 23, 0, NONE },
		{ "bool with a descriptor", { 21, D_BOOL | TRIG, MSIX, 0, 1 }, 21, 1, EVENTFD },
		{ "none with a descriptor", { 20, D_NONE | TRIG, MSIX, 0, 1 }, 20, 1, EVENTFD },
		{ "eventfds as data", { 24, D_FD | TRIG, MSIX, 0, 1 }, 24, 1, EVENTFD },
		{ "one for two", { 20, D_FD | TRIG, MSIX, 0, 2 }, 20, 1, EVENTFD },
		{ "two for one", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 2, EVENTFD },
		{ "a pipe", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, PIPE },
		{ "a memfd", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, MEMFD },
		{ "an epoll", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, EPOLL },
		{ "a timer", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, TIMERFD },
		{ "a socket", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, SOCKET },
		{ "/dev/null", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, NULLDEV },
		{ "/proc/self/mem", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, PROC_MEM },
		{ "an eventfd that is full", { 20, D_FD | TRIG, MSIX, 0, 1 }, 20, 1, FULL_EVENTFD },
	};
	uint8_t buf[64] = { 0 };
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(buf, &rows[i].q, sizeof(rows[i].q));
		refused(&d, rows[i].what, VUSER_DEVICE_SET_IRQS, buf, rows[i].len, rows[i].kind, rows[i].nr_fds, -EINVAL);
	}
	dev_stop(&d);
}

/* Seven eventfds and a pipe: not one of them reaches the device. */
Test(vuser_reject, one_bad_descriptor_among_good_ones)
{
	struct irq_set q = { 20, D_FD | TRIG, MSIX, 0, LIMIT_VUSER_FDS };
	int fds[LIMIT_VUSER_FDS], before;
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	for (int i = 0; i < LIMIT_VUSER_FDS; i++)
		fds[i] = open_kind(i == LIMIT_VUSER_FDS - 1 ? PIPE : EVENTFD);
	before = count_fds();
	cr_assert_eq(request_fds(&d, VUSER_DEVICE_SET_IRQS, &q, sizeof(q), fds, LIMIT_VUSER_FDS, &a), -EINVAL);
	cr_assert_eq(d.fds_given, 0);
	cr_assert_eq(count_fds(), before);
	dev_stop(&d);
}

#define CFG VFIO_PCI_CONFIG_REGION_INDEX
#define ROM VFIO_PCI_ROM_REGION_INDEX

Test(vuser_reject, region_access)
{
	static const struct {
		const char *what;
		uint16_t cmd;
		struct vuser_region_access q;
		size_t len, nr_fds;
		int want;
	} rows[] = {
		{ "read too short", VUSER_REGION_READ, { 0, CFG, 4 }, 15, 0, -EINVAL },
		{ "read with data", VUSER_REGION_READ, { 0, CFG, 4 }, 20, 0, -EINVAL },
		{ "read with a descriptor", VUSER_REGION_READ, { 0, CFG, 4 }, 16, 1, -EINVAL },
		{ "read nothing", VUSER_REGION_READ, { 0, CFG, 0 }, 16, 0, -EINVAL },
		{ "read above the limit", VUSER_REGION_READ, { 0, 5, VUSER_MAX_XFER + 1 }, 16, 0, -EINVAL },
		{ "read far above it", VUSER_REGION_READ, { 0, 5, UINT32_MAX }, 16, 0, -EINVAL },
		{ "read past the end", VUSER_REGION_READ, { DEV_CFG_SIZE - 3, CFG, 4 }, 16, 0, -EINVAL },
		{ "read at the end", VUSER_REGION_READ, { DEV_CFG_SIZE, CFG, 1 }, 16, 0, -EINVAL },
		{ "read wraps", VUSER_REGION_READ, { MAXU, CFG, 2 }, 16, 0, -EINVAL },
		{ "read wraps the largest", VUSER_REGION_READ, { MAXU, 5, 1 }, 16, 0, -EINVAL },
		{ "read no region", VUSER_REGION_READ, { 0, DEV_REGIONS, 4 }, 16, 0, -EINVAL },
		{ "read no region by far", VUSER_REGION_READ, { 0, UINT32_MAX, 4 }, 16, 0, -EINVAL },
		{ "read an empty region", VUSER_REGION_READ, { 0, 1, 1 }, 16, 0, -EINVAL },
		{ "read what the device refuses", VUSER_REGION_READ, { 0, 8, 1 }, 16, 0, -EINVAL },
		{ "write too short", VUSER_REGION_WRITE, { 0, CFG, 4 }, 15, 0, -EINVAL },
		{ "write less than announced", VUSER_REGION_WRITE, { 0, CFG, 4 }, 19, 0, -EINVAL },
		{ "write more than announced", VUSER_REGION_WRITE, { 0, CFG, 4 }, 21, 0, -EINVAL },
		{ "write nothing", VUSER_REGION_WRITE, { 0, CFG, 0 }, 16, 0, -EINVAL },
		{ "write above the limit", VUSER_REGION_WRITE, { 0, 5, VUSER_MAX_XFER + 1 }, 17 + VUSER_MAX_XFER, 0, -EINVAL },
		{ "write past the end", VUSER_REGION_WRITE, { DEV_CFG_SIZE - 3, CFG, 4 }, 20, 0, -EINVAL },
		{ "write wraps", VUSER_REGION_WRITE, { MAXU - 1, CFG, 4 }, 20, 0, -EINVAL },
		{ "write no region", VUSER_REGION_WRITE, { 0, DEV_REGIONS, 4 }, 20, 0, -EINVAL },
		{ "write a ROM", VUSER_REGION_WRITE, { 0, ROM, 4 }, 20, 0, -EACCES },
		{ "write with a descriptor", VUSER_REGION_WRITE, { 0, CFG, 4 }, 20, 1, -EINVAL },
	};
	static uint8_t buf[LIMIT_VUSER_MSG];
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(buf, &rows[i].q, sizeof(rows[i].q));
		refused(&d, rows[i].what, rows[i].cmd, buf, rows[i].len, EVENTFD, rows[i].nr_fds, rows[i].want);
	}
	dev_stop(&d);
}

/* The second write of two is bad: the first is not made either. */
Test(vuser_reject, write_multi)
{
	static const struct {
		const char *what;
		uint64_t nr;
		struct vuser_write_one second;
		size_t len;
		int want;
	} rows[] = {
		{ "no room for one", 0, { 0, CFG, 1, { 0 } }, 8, -EINVAL },
		{ "none", 0, { 0, CFG, 1, { 0 } }, 56, -EINVAL },
		{ "fewer than there are", 1, { 0, CFG, 1, { 0 } }, 56, -EINVAL },
		{ "more than there are", 3, { 0, CFG, 1, { 0 } }, 56, -EINVAL },
		{ "more by a wrapping product", 1ull << 61, { 0, CFG, 1, { 0 } }, 56, -EINVAL },
		{ "half a write", 2, { 0, CFG, 1, { 0 } }, 55, -EINVAL },
		{ "a byte behind", 2, { 0, CFG, 1, { 0 } }, 57, -EINVAL },
		{ "nine bytes", 2, { 0, CFG, 9, { 0 } }, 56, -EINVAL },
		{ "no bytes", 2, { 0, CFG, 0, { 0 } }, 56, -EINVAL },
		{ "past the end", 2, { DEV_CFG_SIZE - 7, CFG, 8, { 0 } }, 56, -EINVAL },
		{ "wraps", 2, { MAXU, CFG, 8, { 0 } }, 56, -EINVAL },
		{ "no region", 2, { 0, DEV_REGIONS, 1, { 0 } }, 56, -EINVAL },
		{ "a ROM", 2, { 0, ROM, 1, { 0 } }, 56, -EACCES },
	};
	struct {
		uint64_t nr;
		struct vuser_write_one w[2];
		uint8_t more[8];
	} m = { .w = { { 0, CFG, 1, { 9 } } } };
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		m.nr = rows[i].nr;
		m.w[1] = rows[i].second;
		refused(&d, rows[i].what, VUSER_REGION_WRITE_MULTI, &m, rows[i].len, NONE, 0, rows[i].want);
	}
	cr_assert_eq(d.cfg[0], 0);
	dev_stop(&d);
}

Test(vuser_reject, header_flags)
{
	static const struct {
		const char *what;
		uint32_t flags;
		bool answered;
	} rows[] = {
		{ "an unsolicited reply", VUSER_F_TYPE_REPLY, false },
		{ "an unsolicited error", VUSER_F_TYPE_REPLY | VUSER_F_ERROR, false },
		{ "an unknown type", 2, true },
		{ "another", 15, true },
		{ "error in a command", VUSER_F_ERROR, true },
		{ "a reserved flag", 0x40, true },
		{ "all reserved flags", ~0x3fu, true },
		{ "an unknown type without reply", 2 | VUSER_F_NO_REPLY, false },
		{ "a question without reply", VUSER_F_NO_REPLY, false },
	};
	struct vuser_device_info q = { .argsz = sizeof(q) };
	struct answer a;
	struct dev d;

	dev_start_running(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int mem = memfd_create("x", MFD_CLOEXEC), before = count_fds();

		client_send(&d, 7, VUSER_DEVICE_GET_INFO, rows[i].flags, &q, sizeof(q), &mem, 1);
		dev_pump(&d);
		if (rows[i].answered) {
			cr_assert_eq(client_read(&d, &a), 0, "%s", rows[i].what);
			cr_assert_eq(a.hdr.error, EINVAL);
			cr_assert_eq(a.hdr.id, 7);
		}
		assert_alive(&d);
		cr_assert_eq(vuser_get_stats(d.v)->nr_rejected, i + 1, "%s", rows[i].what);
		cr_assert_eq(count_fds(), before, "%s", rows[i].what);
		close(mem);
	}
	dev_stop(&d);
}
