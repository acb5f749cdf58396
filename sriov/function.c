/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What sysfs says of any PCI function, PF or VF. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov_internal.h"

int sriov_attr_read(struct sys *sys, const char *bdf, const char *attr, char *buf, size_t size)
{
	char path[SRIOV_PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attr);
	return sys_read_str(sys, path, buf, size);
}

int sriov_read_int(struct sys *sys, const char *path, int *ret)
{
	char text[16], *end;
	long v;
	int r;

	r = sys_read_str(sys, path, text, sizeof(text));
	if (r < 0)
		return r;
	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < INT_MIN || v > INT_MAX)
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

int sriov_driver_read(struct sys *sys, const char *bdf, char ret[static DRIVER_NAME_MAX])
{
	char path[SRIOV_PATH_MAX];
	int r;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver", bdf);
	r = sys_link_name(sys, path, ret, DRIVER_NAME_MAX);
	if (r == -ENOENT) {
		ret[0] = '\0';
		r = 0;
	}
	return r;
}

int sriov_override_read(struct sys *sys, const char *bdf, char ret[static DRIVER_NAME_MAX])
{
	int r = sriov_attr_read(sys, bdf, "driver_override", ret, DRIVER_NAME_MAX);

	if (r < 0)
		return r;
	if (strcmp(ret, "(null)") == 0) /* drivers/pci/pci-sysfs.c prints a NULL pointer where there is none */
		ret[0] = '\0';
	return 0;
}

int sriov_ids_read(struct sys *sys, const char *bdf, uint16_t *vendor, uint16_t *device)
{
	static const char *const attrs[] = { "vendor", "device" };
	uint64_t v[2];

	for (int i = 0; i < 2; i++) {
		char path[SRIOV_PATH_MAX];
		int r;

		snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attrs[i]);
		r = sys_read_u64(sys, path, &v[i]);
		if (r < 0)
			return r;
	}
	*vendor = (uint16_t)v[0];
	*device = (uint16_t)v[1];
	return 0;
}

int sriov_numa_read(struct sys *sys, const char *bdf)
{
	char path[SRIOV_PATH_MAX];
	int node = -1;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/numa_node", bdf);
	return sriov_read_int(sys, path, &node) < 0 ? -1 : node;
}

int sriov_group_read(struct sys *sys, const char *bdf, int *ret)
{
	char path[SRIOV_PATH_MAX], name[16], *end;
	long v;
	int r;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/iommu_group", bdf);
	r = sys_link_name(sys, path, name, sizeof(name));
	if (r == -ENOENT) {
		*ret = -1;
		return 0;
	}
	if (r < 0)
		return r;
	v = strtol(name, &end, 10);
	if (end == name || *end || v < 0 || v > INT_MAX)
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

/* In switchdev mode a PF's folder also holds the representors of its VFs ("pf0vf3") and subfunctions ("pf0sf1"). */
static bool is_representor(struct sys *sys, const char *bdf, const char *ifname)
{
	char path[SRIOV_PATH_MAX], port[32];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/net/%s/phys_port_name", bdf, ifname);
	if (sys_read_str(sys, path, port, sizeof(port)) < 0)
		return false;
	return strstr(port, "vf") || strstr(port, "sf");
}

#define VIRTIO_DEVICES "/sys/bus/virtio/devices"
#define VIRTIO_NAME_MAX 24 /* "virtio" and a number */

static bool is_virtio(const char *name)
{
	size_t n = strlen(name);

	return n > 6 && n < VIRTIO_NAME_MAX && !strncmp(name, "virtio", 6) && strspn(name + 6, "0123456789") == n - 6;
}

/* The component before the last of where the device's link leads to. */
static int virtio_parent(struct sys *sys, const char *name, char bdf[static BDF_LEN])
{
	char path[SRIOV_PATH_MAX], target[PATH_MAX], *end;
	ssize_t n;

	snprintf(path, sizeof(path), VIRTIO_DEVICES "/%s", name);
	n = sys->ops->readlink(sys, path, target, sizeof(target));
	end = n < 0 ? NULL : strrchr(target, '/');
	if (!end)
		return -ENODEV;
	*end = '\0';
	end = strrchr(target, '/');
	return bdf_parse(end ? end + 1 : target, bdf) < 0 ? -ENODEV : 0;
}

int sriov_function_of(struct sys *sys, const char *ifname, char bdf[static BDF_LEN])
{
	char path[SRIOV_PATH_MAX], name[64];
	int r;

	snprintf(path, sizeof(path), CLASS_NET "/%s/device", ifname);
	r = sys_link_name(sys, path, name, sizeof(name));
	if (r < 0)
		return r == -ENOENT || r == -ENAMETOOLONG ? -ENODEV : r;
	if (bdf_parse(name, bdf) == 0)
		return 0;
	return is_virtio(name) ? virtio_parent(sys, name, bdf) : -ENODEV;
}

/* The interfaces of a function that has none itself: those of the virtio device on it. */
static int list_virtio(struct sys *sys, const char *bdf, char ***ret)
{
	char path[SRIOV_PATH_MAX], driver[DRIVER_NAME_MAX], **names;
	int r = sriov_driver_read(sys, bdf, driver);

	if (r < 0 || strcmp(driver, "virtio-pci") != 0)
		return r < 0 ? r : -ENOENT;
	snprintf(path, sizeof(path), PCI_DEVICES "/%s", bdf);
	r = sys->ops->list(sys, path, &names);
	if (r < 0)
		return r;
	r = -ENOENT;
	for (char **n = names; *n && r == -ENOENT; n++)
		if (is_virtio(*n)) {
			snprintf(path, sizeof(path), PCI_DEVICES "/%s/%.32s/net", bdf, *n);
			r = sys->ops->list(sys, path, ret);
		}
	sys_list_free(names);
	return r;
}

int sriov_ifname(struct sys *sys, const char *bdf, char ifname[static IF_NAMESIZE])
{
	char path[SRIOV_PATH_MAX], **names;
	int r;

	ifname[0] = '\0';
	snprintf(path, sizeof(path), PCI_DEVICES "/%s/net", bdf);
	r = sys->ops->list(sys, path, &names);
	if (r == -ENOENT)
		r = list_virtio(sys, bdf, &names);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	for (char **n = names; *n && !ifname[0]; n++) {
		if (strlen(*n) < IF_NAMESIZE && (!names[1] || !is_representor(sys, bdf, *n)))
			strcpy(ifname, *n);
	}
	sys_list_free(names);
	return 0;
}

int sriov_link_read(struct sys *sys, const char *bdf, char ifname[static IF_NAMESIZE], struct sys_link *link)
{
	int r;

	*link = (struct sys_link){ 0 };
	r = sriov_ifname(sys, bdf, ifname);
	if (r < 0 || !ifname[0])
		return r;
	r = sys->ops->link_get(sys, ifname, link);
	if (r == -ENODEV) { /* gone or renamed since the listing: as if it were not there yet */
		ifname[0] = '\0';
		r = 0;
	}
	return r;
}

static int clear_master(struct sys *sys, int fd, bool *ret_was_on)
{
	uint16_t command;

	if (sys->ops->pread(sys, fd, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		return -EIO;
	*ret_was_on = command & PCI_COMMAND_MASTER;
	if (!*ret_was_on)
		return 0;
	command &= (uint16_t)~PCI_COMMAND_MASTER;
	if (sys->ops->pwrite(sys, fd, &command, sizeof(command), PCI_COMMAND) != sizeof(command) ||
	    sys->ops->pread(sys, fd, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		return -EIO;
	return command & PCI_COMMAND_MASTER ? -EBUSY : 0;
}

int sriov_clear_master(struct sys *sys, const char *bdf, bool *ret_was_on)
{
	char path[96];
	int fd, r;

	*ret_was_on = false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = sys->ops->open(sys, path, O_RDWR);
	if (fd < 0)
		return fd;
	r = clear_master(sys, fd, ret_was_on);
	sys->ops->close(sys, fd);
	return r;
}
