/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VFIO part of the fake kernel; fake.c forwards what concerns /dev/vfio and its descriptors to it. */
#ifndef GANGWAY_FAKE_VFIO_H
#define GANGWAY_FAKE_VFIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct fake;
struct fake_vfio;

struct fake_vfio *fake_vfio_new(struct fake *fake);
void fake_vfio_free(struct fake_vfio *v);

/* "/dev/vfio/vfio" or "/dev/vfio/N": a new real descriptor (a memfd or eventfd stands behind it, so that it can be passed and polled)
 * or -errno. -ENOTSUP: not a VFIO path, the caller handles it. */
int fake_vfio_open(struct fake_vfio *v, const char *path, int flags);
/* What fstat() says of it: container and group are character devices, a device is an anonymous inode. False: not one of ours. */
bool fake_vfio_stat(const struct fake_vfio *v, int fd, struct stat *ret);
dev_t fake_vfio_rdev(int group); /* of /dev/vfio/N, -1: of /dev/vfio/vfio */
bool fake_vfio_owns(const struct fake_vfio *v, int fd);
int fake_vfio_close(struct fake_vfio *v, int fd);
int fake_vfio_ioctl(struct fake_vfio *v, int fd, unsigned long request, void *arg);
ssize_t fake_vfio_pread(struct fake_vfio *v, int fd, void *buf, size_t len, off_t offset);
ssize_t fake_vfio_pwrite(struct fake_vfio *v, int fd, const void *buf, size_t len, off_t offset);

unsigned fake_vfio_mappings(const struct fake_vfio *v);
uint64_t fake_vfio_pinned(const struct fake_vfio *v);
void fake_vfio_set_memlock(struct fake_vfio *v, uint64_t bytes);

/* The one made last: a module test has a struct fake only, and the knobs below are the VFIO part's. */
struct fake_vfio *fake_vfio_current(void);

/* Knobs, for devices opened and containers made from then on (set_dead and lie: at once). */
void fake_vfio_set_msix(struct fake_vfio *v, unsigned count, bool noresize); /* default 3, as an 82576 VF, and able to grow */
void fake_vfio_set_host_vectors(struct fake_vfio *v, unsigned nr); /* more cannot be enabled at once: SET_IRQS answers @nr */
void fake_vfio_set_dma_limit(struct fake_vfio *v, uint32_t entries); /* default 65535 */
void fake_vfio_set_dead(struct fake_vfio *v, bool dead); /* config space reads all ones */
void fake_vfio_lie(struct fake_vfio *v, bool lie); /* UNMAP_DMA tells a page less than it unmapped */

/* What the function @bdf has been made to do. */
bool fake_vfio_armed(const struct fake_vfio *v, const char *bdf, unsigned index, unsigned vector);
bool fake_vfio_enabled(const struct fake_vfio *v, const char *bdf, unsigned index); /* INTx, MSI or MSI-X switched on */
bool fake_vfio_fire(struct fake_vfio *v, const char *bdf, unsigned vector); /* an MSI-X interrupt; false: nobody hears it */
unsigned fake_vfio_resets(const struct fake_vfio *v, const char *bdf);
/* Would a DMA of the function to @iova get through, and to which of our addresses? NULL: blocked. */
void *fake_vfio_dma(const struct fake_vfio *v, const char *bdf, uint64_t iova, bool write);

/* Asked of fake.c: the IOMMU group's members and the driver of each, from the sysfs tree. */
int fake_group_of(const struct fake *fake, const char *bdf);
const char *fake_driver_of(const struct fake *fake, const char *bdf, char *buf, size_t size); /* "" none */
bool fake_group_viable(const struct fake *fake, int group);

#endif
