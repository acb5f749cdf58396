/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake VFIO: containers, groups and devices, and which request goes to which. After drivers/vfio/{container,group,vfio_main}.c. */
#include "fake_vfio.h"

#include <errno.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fake_vfio_internal.h"

static struct fake_vfio *current;

struct fake_vfio *fake_vfio_current(void)
{
	return current;
}

struct fake_vfio *fake_vfio_new(struct fake *fake)
{
	struct fake_vfio *v = calloc(1, sizeof(*v));

	if (!v)
		abort();
	v->fake = fake;
	v->memlock = UINT64_MAX;
	v->nr_msix = 3;
	v->host_vectors = UINT_MAX;
	v->dma_limit = 65535;
	current = v;
	return v;
}

static struct fake_obj *obj_new(struct fake_vfio *v, enum fake_kind kind)
{
	struct fake_obj *o = calloc(1, sizeof(*o));
	struct stat st;
	int fd = memfd_create("fake-vfio", MFD_CLOEXEC);

	if (!o || fd < 0 || fstat(fd, &st) < 0)
		abort();
	o->kind = kind;
	o->fds[o->nr_fds++] = fd;
	o->ino = st.st_ino;
	o->next = v->objs;
	v->objs = o;
	return o;
}

/* By what is behind the descriptor: a duplicate is the same file. */
static struct fake_obj *find(const struct fake_vfio *v, int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	for (struct fake_obj *o = v->objs; o; o = o->next)
		if (o->ino == st.st_ino)
			return o;
	return NULL;
}

static void learn(struct fake_obj *o, int fd)
{
	for (unsigned i = 0; i < o->nr_fds; i++)
		if (o->fds[i] == fd)
			return;
	if (o->nr_fds < sizeof(o->fds) / sizeof(o->fds[0]))
		o->fds[o->nr_fds++] = fd;
}

static bool group_has_device(const struct fake_vfio *v, const struct fake_obj *group)
{
	for (struct fake_obj *o = v->objs; o; o = o->next)
		if (o->kind == FAKE_DEVICE && o->group == group)
			return true;
	return false;
}

/* A group leaves its container when the last descriptor of it and of its device is closed; a container without groups maps nothing. */
static void settle(struct fake_vfio *v, struct fake_obj *container)
{
	for (struct fake_obj *o = v->objs; o; o = o->next)
		if (o->kind == FAKE_GROUP && o->container == container)
			return;
	fake_type1_clear(v, container);
	container->iommu_set = false;
}

static void obj_free(struct fake_vfio *v, struct fake_obj *o)
{
	struct fake_obj **at = &v->objs, *group = o->kind == FAKE_DEVICE ? o->group : o;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	if (o->kind == FAKE_DEVICE)
		fake_pci_clear(o);
	if (o->kind == FAKE_CONTAINER) {
		fake_type1_clear(v, o);
		for (struct fake_obj *g = v->objs; g; g = g->next)
			if (g->container == o)
				g->container = NULL;
	}
	free(o);
	if (group == o || !group)
		return;
	/* the device was what kept its closed group in being */
	if (group->nr_fds == 0 && !group_has_device(v, group)) {
		struct fake_obj *container = group->container;

		obj_free(v, group);
		if (container)
			settle(v, container);
	}
}

static void put(struct fake_vfio *v, struct fake_obj *o)
{
	struct fake_obj *container = o->kind == FAKE_GROUP ? o->container : NULL;

	if (o->nr_fds || (o->kind == FAKE_GROUP && group_has_device(v, o)))
		return;
	obj_free(v, o);
	if (container)
		settle(v, container);
}

void fake_vfio_free(struct fake_vfio *v)
{
	if (!v)
		return;
	while (v->objs) {
		struct fake_obj *o = v->objs;

		while (o->nr_fds)
			close(o->fds[--o->nr_fds]);
		/* devices were made last and come first: their group still exists */
		obj_free(v, o);
	}
	if (current == v)
		current = NULL;
	free(v);
}

int fake_vfio_open(struct fake_vfio *v, const char *path, int flags)
{
	struct fake_obj *o;
	char *end;
	long group;

	(void)flags;
	if (!strcmp(path, "/dev/vfio/vfio")) {
		o = obj_new(v, FAKE_CONTAINER);
		o->dma_avail = v->dma_limit;
		return o->fds[0];
	}
	if (strncmp(path, "/dev/vfio/", 10))
		return -ENOTSUP;
	group = strtol(path + 10, &end, 10);
	if (end == path + 10 || *end)
		return -ENOENT; /* whether the node is there, fake.c has looked */
	for (o = v->objs; o; o = o->next)
		if (o->kind == FAKE_GROUP && o->group_id == group)
			return -EBUSY;
	o = obj_new(v, FAKE_GROUP);
	o->group_id = (int)group;
	return o->fds[0];
}

dev_t fake_vfio_rdev(int group)
{
	return group < 0 ? makedev(10, 196) : makedev(240, (unsigned)group);
}

bool fake_vfio_stat(const struct fake_vfio *v, int fd, struct stat *ret)
{
	const struct fake_obj *o = find(v, fd);

	if (!o)
		return false;
	*ret = (struct stat){ .st_mode = 0600 };
	if (o->kind != FAKE_DEVICE) {
		ret->st_mode |= S_IFCHR;
		ret->st_rdev = fake_vfio_rdev(o->kind == FAKE_GROUP ? o->group_id : -1);
	}
	return true;
}

bool fake_vfio_owns(const struct fake_vfio *v, int fd)
{
	return find(v, fd) != NULL;
}

int fake_vfio_close(struct fake_vfio *v, int fd)
{
	struct fake_obj *o = find(v, fd);

	if (!o)
		return -EBADF;
	learn(o, fd);
	for (unsigned i = 0; i < o->nr_fds; i++)
		if (o->fds[i] == fd)
			o->fds[i--] = o->fds[--o->nr_fds];
	close(fd);
	put(v, o);
	return 0;
}

static int set_container(struct fake_vfio *v, struct fake_obj *group, const int *fd)
{
	struct fake_obj *container = find(v, *fd);

	if (group->container || !container || container->kind != FAKE_CONTAINER)
		return -EINVAL;
	if (!fake_group_viable(v->fake, group->group_id))
		return -EPERM; /* iommu_group_claim_dma_owner() */
	group->container = container;
	return 0;
}

static int get_device(struct fake_vfio *v, struct fake_obj *group, const char *bdf)
{
	struct fake_obj *o;
	char driver[64];

	if (!group->container || !group->container->iommu_set)
		return -EINVAL;
	if (fake_group_of(v->fake, bdf) != group->group_id ||
	    !strstr(fake_driver_of(v->fake, bdf, driver, sizeof(driver)), "vfio"))
		return -ENODEV;
	o = obj_new(v, FAKE_DEVICE);
	o->group = group;
	snprintf(o->bdf, sizeof(o->bdf), "%s", bdf);
	fake_pci_init(v, o, o->fds[0]);
	return o->fds[0];
}

static int group_ioctl(struct fake_vfio *v, struct fake_obj *group, unsigned long request, void *arg)
{
	struct vfio_group_status *status = arg;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		if (status->argsz < sizeof(*status))
			return -EINVAL;
		status->flags = group->container ? VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET
				: fake_group_viable(v->fake, group->group_id) ? VFIO_GROUP_FLAGS_VIABLE
									      : 0;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(v, group, arg);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(v, group, arg);
	default:
		return -ENOTTY;
	}
}

static int container_ioctl(struct fake_vfio *v, struct fake_obj *container, unsigned long request, void *arg)
{
	bool has_group = false;

	for (struct fake_obj *o = v->objs; o; o = o->next)
		has_group |= o->kind == FAKE_GROUP && o->container == container;
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU || (uintptr_t)arg == VFIO_TYPE1_IOMMU ||
		       (uintptr_t)arg == VFIO_UNMAP_ALL;
	case VFIO_SET_IOMMU:
		if (!has_group || container->iommu_set || (uintptr_t)arg != VFIO_TYPE1v2_IOMMU)
			return -EINVAL;
		container->iommu_set = true;
		return 0;
	default:
		return container->iommu_set ? fake_type1_ioctl(v, container, request, arg) : -EINVAL;
	}
}

int fake_vfio_ioctl(struct fake_vfio *v, int fd, unsigned long request, void *arg)
{
	struct fake_obj *o = find(v, fd);

	if (!o)
		return -EBADF;
	learn(o, fd);
	switch (o->kind) {
	case FAKE_CONTAINER:
		return container_ioctl(v, o, request, arg);
	case FAKE_GROUP:
		return group_ioctl(v, o, request, arg);
	case FAKE_DEVICE:
		return fake_pci_ioctl(v, o, fd, request, arg);
	}
	return -ENOTTY;
}

ssize_t fake_vfio_pread(struct fake_vfio *v, int fd, void *buf, size_t len, off_t offset)
{
	struct fake_obj *o = find(v, fd);

	return o && o->kind == FAKE_DEVICE ? fake_pci_read(v, fd, buf, len, offset) : -EINVAL;
}

ssize_t fake_vfio_pwrite(struct fake_vfio *v, int fd, const void *buf, size_t len, off_t offset)
{
	struct fake_obj *o = find(v, fd);

	return o && o->kind == FAKE_DEVICE ? fake_pci_write(v, fd, buf, len, offset) : -EINVAL;
}
