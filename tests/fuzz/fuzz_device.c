/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz all of gangway-device that a guest's VMM reaches: the vfio-user server, before the real vfdev, interval map, DMA checks and
 * vector tables, on a model of the kernel's VFIO that aborts when it is asked for what the checks should have refused. After each step
 * what the interval map says must be what the model has, but for what is parked, and nothing is while the function may do DMA.
 * The form of the input: vuser_chunks.h. Memory is one of a few kinds of descriptor, by turns; every eleventh map or arming fails.
 *
 * Bit 2 of the first byte: threads map, as in gangway-device. A step whose client does not read its answers leaves them at it, any other waits
 * until all has landed and then compares; which maps fail is said by their address. So a run is the same each time, but for how far the
 * threads have come where the next step finds them at it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "device/vfdev.h"
#include "log.h"
#include "sys.h"
#include "vuser_chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_ENTRIES 24 /* the model's dma_entry_limit */
#define IOVA_END ((UINT64_C(1) << 39) - 1)
#define NR_REGIONS 9
#define NR_IRQS 5
#define NR_MEMS 12
#define RAM (UINT64_C(8) << 20)
#define NR_THREADS 2
#define VIEWS_MAX 2048 /* threads give them back when they come to it */
#define LOCKED_MAX (RAM + (UINT64_C(64) << 20)) /* RLIMIT_MEMLOCK: device_ram_limit() */

struct model {
	struct sys sys;
	pthread_mutex_t lock; /* of all below but the clock, and config space, which threads have nothing to do with */
	bool threads;
	struct {
		uint64_t iova, size;
	} maps[MAX_ENTRIES];
	unsigned nr_maps;
	struct {
		char *at;
		size_t len;
	} views[VIEWS_MAX];
	unsigned nr_views;
	uint64_t next_view; /* addresses are never used twice, so that no stale one goes unseen */
	uint64_t bytes; /* of the maps */
	unsigned n; /* calls that may fail */
	uint64_t now_us;
	bool switched[NR_IRQS];
	uint8_t config[256];
};

static struct model *model_of(struct sys *sys)
{
	return (struct model *)((char *)sys - offsetof(struct model, sys));
}

static const uint64_t region_sizes[NR_REGIONS] = { 0x4000, 0, 0, 0x4000, 0, 0, 0x1000, 256, 0 };
static const uint32_t region_flags[NR_REGIONS] = { 7, 0, 0, 7, 0, 0, 1, 3, 0 };
static const uint32_t irq_counts[NR_IRQS] = { 1, 0, 16, 1, 1 };
static const uint32_t irq_flags[NR_IRQS] = { 7, 9, 9, 1, 1 };

static bool fails(struct model *m)
{
	return ++m->n % 11 == 0;
}

static bool map_fails(struct model *m, uint64_t iova)
{
	return m->threads ? (iova >> 12) % 11 == 7 : fails(m);
}

/* --- the container --- */

struct caps {
	struct vfio_iommu_type1_info info;
	struct vfio_info_cap_header iova;
	uint32_t nr_iovas, reserved;
	struct vfio_iova_range ranges[2];
	struct vfio_iommu_type1_info_dma_avail avail;
};

static int get_info(struct vfio_iommu_type1_info *info)
{
	struct caps c = {
		.info = { .argsz = sizeof(c),
			  .flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
			  .iova_pgsizes = 0x40201000 },
		.iova = { VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, offsetof(struct caps, avail) },
		.nr_iovas = 2,
		.ranges = { { 0, 0xfedfffff }, { 0xfef00000, IOVA_END } },
		.avail = { { VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, 0 }, MAX_ENTRIES },
	};
	uint32_t room = info->argsz;

	c.info.cap_offset = offsetof(struct caps, iova);
	memcpy(info, &c, room < sizeof(c) ? sizeof(c.info) : sizeof(c));
	return 0;
}

/* What the kernel would refuse must not come as far as here, except what only it can know. */
static int map_dma(struct model *m, const struct vfio_iommu_type1_dma_map *q)
{
	uint64_t last = q->iova + (q->size - 1);
	bool viewed = false;

	MUST(q->argsz == sizeof(*q) && q->size && !((q->iova | q->size | q->vaddr) & 4095) && last >= q->iova);
	MUST(q->flags && !(q->flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)));
	MUST(last <= 0xfedfffff || (q->iova >= 0xfef00000 && last <= IOVA_END));
	MUST(m->nr_maps < MAX_ENTRIES && q->size <= LOCKED_MAX - m->bytes);
	for (unsigned i = 0; i < m->nr_maps; i++)
		MUST(last < m->maps[i].iova || q->iova > m->maps[i].iova + (m->maps[i].size - 1));
	for (unsigned i = 0; i < m->nr_views; i++) {
		uint64_t at = (uintptr_t)m->views[i].at;

		viewed = viewed || (q->vaddr >= at && q->size <= m->views[i].len && q->vaddr - at <= m->views[i].len - q->size);
	}
	MUST(viewed);
	if (map_fails(m, q->iova))
		return -ENOMEM;
	m->maps[m->nr_maps].iova = q->iova;
	m->maps[m->nr_maps++].size = q->size;
	m->bytes += q->size;
	return 0;
}

/* Some that touch, whole. */
static int unmap_dma(struct model *m, struct vfio_iommu_type1_dma_unmap *q)
{
	uint64_t last = q->iova + (q->size - 1), done = 0;

	MUST(q->argsz == sizeof(*q) && !q->flags && q->size && last >= q->iova);
	for (unsigned i = 0; i < m->nr_maps;) {
		uint64_t first = m->maps[i].iova, size = m->maps[i].size;

		if (first > last || first + (size - 1) < q->iova) {
			i++;
			continue;
		}
		MUST(first >= q->iova && first + (size - 1) <= last);
		done += size;
		m->maps[i] = m->maps[--m->nr_maps];
	}
	MUST(done == q->size);
	m->bytes -= done;
	return 0;
}

static int populate(struct sys *sys, void *at, size_t len, bool for_write)
{
	struct model *m = model_of(sys);
	bool viewed = false;

	(void)for_write;
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->nr_views; i++)
		viewed = viewed || ((char *)at >= m->views[i].at && len <= m->views[i].len &&
				    (size_t)((char *)at - m->views[i].at) <= m->views[i].len - len);
	pthread_mutex_unlock(&m->lock);
	MUST(viewed);
	return 0;
}

static int view(struct sys *sys, size_t len, int prot, int flags, int fd, off_t offset, void **ret)
{
	struct model *m = model_of(sys);
	struct stat st;

	MUST(len && !(len & 4095) && !(offset & 4095) && (prot & PROT_READ) && !(prot & PROT_EXEC) && flags == MAP_SHARED);
	MUST(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)offset <= (uint64_t)st.st_size &&
	     len <= (uint64_t)st.st_size - (uint64_t)offset);
	MUST(!(prot & PROT_WRITE) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
	MUST(m->nr_views < VIEWS_MAX && (m->threads || m->nr_views <= MAX_ENTRIES));
	if (fails(m))
		return -ENOMEM;
	pthread_mutex_lock(&m->lock);
	m->views[m->nr_views].at = (char *)(uintptr_t)m->next_view; /* NOLINT(performance-no-int-to-ptr) */
	m->views[m->nr_views].len = len;
	*ret = m->views[m->nr_views++].at;
	m->next_view += UINT64_C(1) << 32;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int unview(struct sys *sys, void *at, size_t len)
{
	struct model *m = model_of(sys);
	bool found = false;

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->nr_views && !found; i++)
		if (m->views[i].at == at) {
			MUST(m->views[i].len == len);
			m->views[i] = m->views[--m->nr_views];
			found = true;
		}
	pthread_mutex_unlock(&m->lock);
	MUST(found);
	return 0;
}

/* --- the function --- */

static int region_info(struct vfio_region_info *q)
{
	if (q->index == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	MUST(q->index < NR_REGIONS);
	*q = (struct vfio_region_info){ .argsz = sizeof(*q),
					.index = q->index,
					.flags = region_flags[q->index],
					.size = region_sizes[q->index],
					.offset = (uint64_t)q->index << 40 };
	return 0;
}

static int set_irqs(struct model *m, const struct vfio_irq_set *q)
{
	uint32_t type = q->flags & VFIO_IRQ_SET_DATA_TYPE_MASK, action = q->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	int32_t fd;

	MUST(q->index < NR_IRQS && type && !(type & (type - 1)) && action && !(action & (action - 1)) &&
	     q->flags == (type | action));
	MUST((uint64_t)q->start + q->count <= irq_counts[q->index]);
	if (q->count == 0) {
		MUST(type == VFIO_IRQ_SET_DATA_NONE && action == VFIO_IRQ_SET_ACTION_TRIGGER && q->start == 0);
		if (!m->switched[q->index])
			return -EINVAL;
		m->switched[q->index] = false;
		return 0;
	}
	if (type == VFIO_IRQ_SET_DATA_EVENTFD) {
		MUST(q->argsz == sizeof(*q) + q->count * sizeof(fd));
		for (uint32_t i = 0; i < q->count; i++) {
			memcpy(&fd, q->data + i * sizeof(fd), sizeof(fd));
			MUST(fd == -1 || fcntl(fd, F_GETFD) >= 0);
		}
		if (fails(m))
			return -EINVAL;
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER)
			m->switched[q->index] = true;
	}
	return 0;
}

static int do_ioctl(struct sys *sys, int fd, unsigned long request, void *arg)
{
	struct model *m = model_of(sys);
	int r;

	MUST(fcntl(fd, F_GETFD) >= 0);
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET;
		return 0;
	case VFIO_DEVICE_GET_INFO:
		*(struct vfio_device_info *)arg =
			(struct vfio_device_info){ .argsz = sizeof(struct vfio_device_info),
						   .flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
						   .num_regions = NR_REGIONS,
						   .num_irqs = NR_IRQS };
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO: {
		struct vfio_irq_info *q = arg;

		MUST(q->index < NR_IRQS);
		q->flags = irq_flags[q->index];
		q->count = irq_counts[q->index];
		return 0;
	}
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(m, arg);
	case VFIO_DEVICE_RESET:
		memset(m->config + 4, 0, 2);
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return get_info(arg);
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		pthread_mutex_lock(&m->lock);
		r = request == VFIO_IOMMU_MAP_DMA ? map_dma(m, arg) : unmap_dma(m, arg);
		pthread_mutex_unlock(&m->lock);
		return r;
	}
	abort();
}

/* Where in which region; aborts outside of them. */
static uint8_t *place(struct model *m, off_t offset, size_t len)
{
	uint64_t index = (uint64_t)offset >> 40, at = (uint64_t)offset & ((UINT64_C(1) << 40) - 1);

	MUST(index < NR_REGIONS && len && at <= region_sizes[index] && len <= region_sizes[index] - at);
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? m->config + at : NULL;
}

static ssize_t do_pread(struct sys *sys, int fd, void *buf, size_t len, off_t offset)
{
	const uint8_t *p = place(model_of(sys), offset, len);

	(void)fd;
	if (p)
		memcpy(buf, p, len);
	else
		memset(buf, 0x5a, len);
	return (ssize_t)len;
}

static ssize_t do_pwrite(struct sys *sys, int fd, const void *buf, size_t len, off_t offset)
{
	uint8_t *p = place(model_of(sys), offset, len);

	(void)fd;
	if (p)
		memcpy(p, buf, len);
	return (ssize_t)len;
}

static int do_close(struct sys *sys, int fd)
{
	(void)sys;
	MUST(close(fd) == 0);
	return 0;
}

static uint64_t now_us(struct sys *sys)
{
	return model_of(sys)->now_us;
}

static const struct sys_ops sys_ops = {
	.close = do_close,
	.ioctl = do_ioctl,
	.pread = do_pread,
	.pwrite = do_pwrite,
	.mmap = view,
	.munmap = unview,
	.populate = populate,
	.now_us = now_us,
};

/* --- the run --- */

/* Bytes of [@first, @last] that the model has mapped. */
static uint64_t mapped(const struct model *m, uint64_t first, uint64_t last)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < m->nr_maps; i++)
		if (m->maps[i].iova >= first && m->maps[i].iova + (m->maps[i].size - 1) <= last)
			bytes += m->maps[i].size;
	return bytes;
}

static void verify(const struct model *m, const struct vfdev *dev)
{
	uint64_t bytes = 0, unbacked = 0, backed = 0, from = 0, missing = 0; /* bytes that the kernel refused to map */
	struct iommu_stats stats;
	struct iommu_range r;

	while (iommu_next_range(dev->iommu, from, &r)) {
		uint64_t size = r.last - r.first + 1;

		MUST(r.first >= from && r.last >= r.first);
		MUST(!r.backed || (mapped(m, r.first, r.last) == r.pinned && (m->threads || r.pinned == size)));
		missing += r.backed ? size - r.pinned : 0;
		backed += r.backed;
		unbacked += !r.backed;
		bytes += r.backed ? size : 0;
		if (r.last == UINT64_MAX)
			break;
		from = r.last + 1;
	}
	iommu_get_stats(dev->iommu, &stats);
	MUST(backed == stats.nr_ranges && unbacked == stats.nr_unbacked && bytes == stats.bytes);
	MUST(m->nr_maps == stats.nr_entries && m->bytes == bytes - missing + stats.bytes_parked && m->nr_views == 0);
	MUST(!missing || (stats.degraded && !vfdev_bus_master(dev)));
	MUST(!vfdev_bus_master(dev) || stats.bytes_parked == 0);
	MUST(vfdev_bus_master(dev) == !!(m->config[4] & 4));
}

/* What the loop of gangway-device does between messages; @all: until no thread has anything to do. */
static void work_off(struct vuser *v, struct vfdev *dev, struct model *m, bool all)
{
	struct pollfd p = { .fd = iommu_fd(dev->iommu), .events = POLLIN };
	struct iommu_stats stats;
	unsigned nr_views;
	int answer;

	for (;;) {
		vfdev_process(dev);
		if (vfdev_later_due(dev, &answer))
			vuser_later_done(v, answer);
		iommu_get_stats(dev->iommu, &stats);
		pthread_mutex_lock(&m->lock);
		nr_views = m->nr_views;
		pthread_mutex_unlock(&m->lock);
		if (!all || !(stats.bytes_pending || nr_views))
			return;
		MUST(poll(&p, 1, 10000) == 1);
	}
}

static void run(struct vuser *v, struct vfdev *dev, struct model *m, const uint8_t *data, size_t size, const int *evs,
		const int *mems)
{
	static const uint8_t version[] = { VUSER_VERSION, 1, 0, 0, 0, 1, 0 };
	int sock = connect_client(v, size && (data[0] & 2));
	unsigned turn = 0, steps = 0;
	bool settled;

	if (size && (data[0] & 1)) {
		send_chunk(sock, 0, version, sizeof(version), NULL);
		vuser_process(v, POLLIN);
		drain(sock);
	}
	for (size_t at = 1; at + 3 <= size;) {
		uint8_t ctl = data[at];
		size_t len = data[at + 1] | (size_t)data[at + 2] << 8;

		at += 3;
		if (len > size - at)
			len = size - at;
		send_chunk(sock, ctl, data + at, len, ctl & 8 ? mems + turn++ % (NR_MEMS - CHUNK_FDS_MAX + 1) : evs);
		at += len;
		m->now_us += ctl & 0x80 ? 6000000 : 1000;
		if (ctl & 0x20)
			vuser_process(v, (short)(vuser_events(v) | POLLIN));
		if (ctl & 0x40)
			drain(sock);
		settled = !m->threads || ctl & 0x40 || vuser_fd(v) < 0 || !(++steps % 8);
		work_off(v, dev, m, settled);
		if (settled)
			verify(m, dev);
		if (vuser_fd(v) < 0) {
			work_off(v, dev, m, true);
			MUST(m->nr_maps == 0 && irq_nr_armed(dev->irq) == 0 && !vfdev_bus_master(dev));
			close(sock);
			sock = connect_client(v, size && (data[0] & 2));
		}
	}
	vuser_process(v, POLLIN);
	work_off(v, dev, m, true);
	verify(m, dev);
	close(sock);
}

static void make_fds(int *evs, int *mems)
{
	int pipes[2];

	for (int i = 0; i < CHUNK_FDS_MAX; i++)
		evs[i] = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < NR_MEMS; i++) {
		mems[i] = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		MUST(mems[i] >= 0 && ftruncate(mems[i], i == 1 ? 4096 : 64 << 20) == 0);
	}
	MUST(pipe2(pipes, O_CLOEXEC) == 0);
	MUST(dup3(pipes[0], mems[2], O_CLOEXEC) == mems[2]);
	close(pipes[0]);
	close(pipes[1]);
	MUST(fcntl(mems[3], F_ADD_SEALS, F_SEAL_SHRINK) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int evs[CHUNK_FDS_MAX], mems[NR_MEMS];
	static struct model m; /* no stack is large enough for sanitizers' taste */
	struct vdev_fds fds;
	struct vfdev dev;
	struct vuser *v;
	struct err err;
	int lowest, now_lowest;

	if (!evs[0]) {
		log_init("fuzz", LOG_LVL_ERR);
		make_fds(evs, mems);
	}
	m = (struct model){ .sys.ops = &sys_ops, .lock = PTHREAD_MUTEX_INITIALIZER, .next_view = UINT64_C(1) << 32 };
	m.threads = size && data[0] & 4;
	lowest = dup(evs[0]);
	close(lowest);
	fds = (struct vdev_fds){ .container = dup(evs[0]), .group = dup(evs[0]), .device = dup(mems[0]) };
	MUST(vfdev_init(&dev, &m.sys, "0000:3b:02.1", fds, RAM, m.threads ? NR_THREADS : 0, &err) == 0);
	MUST(vuser_new(&vfdev_ops, &dev, "vf", &v) == 0);
	run(v, &dev, &m, data, size, evs, mems);
	vuser_free(v);
	MUST(m.nr_maps == 0);
	vfdev_done(&dev);
	MUST(m.nr_views == 0);
	now_lowest = dup(evs[0]);
	close(now_lowest);
	MUST(lowest == now_lowest);
	return 0;
}
