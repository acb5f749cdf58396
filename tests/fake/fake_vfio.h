/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VFIO part of the fake kernel; fake.c forwards what concerns /dev/vfio and its descriptors to it. */
#ifndef GANGWAY_FAKE_VFIO_H
#define GANGWAY_FAKE_VFIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fake;
struct fake_vfio;

struct fake_vfio *fake_vfio_new(struct fake *fake);
void fake_vfio_free(struct fake_vfio *v);

/* "/dev/vfio/vfio" or "/dev/vfio/N": a new real descriptor (a memfd or eventfd stands behind it, so that it can be passed and polled)
 * or -errno. -ENOTSUP: not a VFIO path, the caller handles it. */
int fake_vfio_open(struct fake_vfio *v, const char *path, int flags);
bool fake_vfio_owns(const struct fake_vfio *v, int fd);
int fake_vfio_close(struct fake_vfio *v, int fd);
int fake_vfio_ioctl(struct fake_vfio *v, int fd, unsigned long request, void *arg);
ssize_t fake_vfio_pread(struct fake_vfio *v, int fd, void *buf, size_t len, off_t offset);
ssize_t fake_vfio_pwrite(struct fake_vfio *v, int fd, const void *buf, size_t len, off_t offset);

unsigned fake_vfio_mappings(const struct fake_vfio *v);
uint64_t fake_vfio_pinned(const struct fake_vfio *v);
void fake_vfio_set_memlock(struct fake_vfio *v, uint64_t bytes);

/* Asked of fake.c: the IOMMU group's members and the driver of each, from the sysfs tree. */
int fake_group_of(const struct fake *fake, const char *bdf);
const char *fake_driver_of(const struct fake *fake, const char *bdf, char *buf, size_t size); /* "" none */
bool fake_group_viable(const struct fake *fake, int group);

#endif
