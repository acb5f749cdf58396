/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces made and changed through the seam: macvtap, VLAN, tap, in the fake kernel. What is refused is so in drivers/net/macvlan.c,
 * net/8021q and net/core/rtnetlink.c, with the kernel's words. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "fake_internal.h"
#include "mac.h"
#include "net_wire_leg.h"

struct fake_if *fake_if_at(const struct fake *fake, unsigned ifindex)
{
	struct fake_if *i = fake->ifs;

	while (i && i->link.ifindex != ifindex)
		i = i->next;
	return i;
}

static int refuse(struct fake *fake, struct err *err, int num, const char *ifname, const char *what, const char *words)
{
	net_wire_refused(err, num, ifname, what, words);
	return (int)fake_leave(fake, num);
}

/* sysfs links both ways, as netdev_adjacent_sysfs_add() makes them. */
static void stack(struct fake *fake, const struct fake_if *lower, const struct fake_if *upper)
{
	char dir[PATH_MAX], to[PATH_MAX];

	fake_if_dir(lower, dir);
	fake_if_dir(upper, to);
	fake_symlink(fake, upper->link.name, "%s/upper_%s", dir, upper->link.name);
	fake_symlink(fake, lower->link.name, "%s/lower_%s", to, lower->link.name);
	if (lower->link.master == upper->link.ifindex)
		fake_symlink(fake, upper->link.name, "%s/master", dir);
}

static void unstack(struct fake *fake, const struct fake_if *lower, const struct fake_if *upper)
{
	char dir[PATH_MAX], to[PATH_MAX];

	fake_if_dir(lower, dir);
	fake_if_dir(upper, to);
	fake_remove(fake, "%s/upper_%s", dir, upper->link.name);
	fake_remove(fake, "%s/lower_%s", to, lower->link.name);
	if (lower->link.master == upper->link.ifindex)
		fake_remove(fake, "%s/master", dir);
}

/* All links between @i and others. */
void fake_stacked(struct fake *fake, const struct fake_if *i, bool on)
{
	void (*link)(struct fake *, const struct fake_if *, const struct fake_if *) = on ? stack : unstack;

	for (const struct fake_if *other = fake->ifs; other; other = other->next) {
		if (other->link.lower == i->link.ifindex || i->link.master == other->link.ifindex)
			link(fake, i, other);
		else if (i->link.lower == other->link.ifindex || other->link.master == i->link.ifindex)
			link(fake, other, i);
	}
}

static struct fake_if *new_if(struct fake *fake, const char *name, const char *kind, const uint8_t *mac, struct fake_if *lower)
{
	struct fake_if *i;

	fake_if_new(fake, name, NULL, mac);
	i = fake_if_find(fake, name);
	snprintf(i->link.kind, sizeof(i->link.kind), "%s", kind);
	if (lower) {
		i->link.lower = lower->link.ifindex;
		i->link.mtu = lower->link.mtu;
		stack(fake, lower, i);
	}
	return i;
}

void fake_leg_gone(struct fake *fake, struct fake_if *i)
{
	struct fake_fdb **at = &fake->fdb;
	struct fake_if *other = fake->ifs;

	while (other) {
		if (other != i && other->link.lower == i->link.ifindex) {
			fake_if_free(fake, other);
			other = fake->ifs; /* the list has changed */
			continue;
		}
		if (other->link.master == i->link.ifindex)
			other->link.master = 0;
		other = other->next;
	}
	other = i->link.lower ? fake_if_at(fake, i->link.lower) : NULL;
	if (other)
		unstack(fake, other, i);
	other = i->link.master ? fake_if_at(fake, i->link.master) : NULL;
	if (other)
		unstack(fake, i, other);
	while (*at) {
		struct fake_fdb *e = *at;

		if (e->ifindex != i->link.ifindex) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		free(e);
	}
}

void fake_tap_closed(struct fake *fake, int fd)
{
	struct fake_if *i = fake->ifs;

	while (i && (i->tap_fd < 0 || i->tap_fd != fd))
		i = i->next;
	if (!i)
		return;
	i->tap_fd = -1;
	if (!i->tap_held)
		fake_if_free(fake, i);
}

int fake_macvtap_add(struct sys *sys, const struct sys_link *lower, const char *name, const uint8_t mac[static SYS_MAC_LEN],
		     struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	struct fake_if *low, *i;
	char dir[PATH_MAX];

	if (r < 0)
		return net_wire_refused(err, r, lower->name, "a macvtap", "");
	low = fake_if_at(fake, lower->ifindex);
	if (!low)
		return refuse(fake, err, -ENODEV, lower->name, "a macvtap", "");
	if (fake_if_find(fake, name))
		return refuse(fake, err, -EEXIST, lower->name, "a macvtap", "");
	if (strcmp(fake->no_module, "macvtap") == 0)
		return refuse(fake, err, -EOPNOTSUPP, lower->name, "a macvtap", "Unknown device type");
	if (low->link.master)
		return refuse(fake, err, -EBUSY, lower->name, "a macvtap", "");
	if (!mac_is_own(mac))
		return refuse(fake, err, -EADDRNOTAVAIL, lower->name, "a macvtap", "");
	i = new_if(fake, name, "macvtap", mac, low);
	fake_if_dir(i, dir);
	fake_mkdir(fake, "%s/macvtap/tap%u", dir, i->link.ifindex);
	return (int)fake_leave(fake, 0);
}

int fake_ifb_add(struct sys *sys, const char *name, const uint8_t mac[static SYS_MAC_LEN], struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);

	if (r < 0)
		return net_wire_refused(err, r, name, "an ifb", "");
	if (fake_if_find(fake, name))
		return refuse(fake, err, -EEXIST, name, "an ifb", "");
	if (strcmp(fake->no_module, "ifb") == 0)
		return refuse(fake, err, -EOPNOTSUPP, name, "an ifb", "Unknown device type");
	new_if(fake, name, "ifb", mac, NULL);
	return (int)fake_leave(fake, 0);
}

int fake_vlan_add(struct sys *sys, const struct sys_link *lower, const char *name, const struct sys_vlan *vlan, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	struct fake_if *low, *i;

	if (r < 0)
		return net_wire_refused(err, r, lower->name, "a VLAN", "");
	low = fake_if_at(fake, lower->ifindex);
	if (!low)
		return refuse(fake, err, -ENODEV, lower->name, "a VLAN", "");
	if (strcmp(fake->no_module, "vlan") == 0)
		return refuse(fake, err, -EOPNOTSUPP, lower->name, "a VLAN", "Unknown device type");
	if (vlan->id > SYS_VLAN_MAX)
		return refuse(fake, err, -ERANGE, lower->name, "a VLAN", "Invalid VLAN id");
	for (i = fake->ifs; i; i = i->next) {
		if (i->link.lower == lower->ifindex && i->link.vlan == vlan->id && i->link.vlan_proto == vlan->proto)
			return refuse(fake, err, -EEXIST, lower->name, "a VLAN", "VLAN device already exists");
	}
	if (fake_if_find(fake, name))
		return refuse(fake, err, -EEXIST, lower->name, "a VLAN", "");
	i = new_if(fake, name, "vlan", low->link.mac, low);
	i->link.vlan = vlan->id;
	i->link.vlan_proto = vlan->proto;
	i->link.vlan_qos = vlan->qos;
	return (int)fake_leave(fake, 0);
}

static int new_fd(struct fake *fake)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || fd >= FAKE_FDS_MAX)
		fake_die("no descriptor");
	fake->fds[fd] = true;
	return fd;
}

int fake_tap_add(struct sys *sys, const char *name, struct err *err)
{
	static const uint8_t mac[SYS_MAC_LEN] = { 2, 0, 0, 0, 0, 1 };
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	struct fake_if *i;

	if (r < 0)
		return net_wire_refused(err, r, name, "a tap", "");
	if (fake_if_find(fake, name))
		return refuse(fake, err, -EBUSY, name, "a tap", "");
	i = new_if(fake, name, "tun", mac, NULL);
	i->tap_fd = new_fd(fake);
	i->tap_held = fake->taps_held;
	return (int)fake_leave(fake, i->tap_fd);
}

int fake_tap_open(struct sys *sys, const struct sys_link *link, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	struct fake_if *i;

	if (r < 0)
		return net_wire_refused(err, r, link->name, "its tap device", "");
	i = fake_if_at(fake, link->ifindex);
	if (!i || strcmp(i->link.kind, "macvtap"))
		return refuse(fake, err, -ENODEV, link->name, "its tap device", "");
	i->opens++;
	return (int)fake_leave(fake, new_fd(fake));
}

/* As macvlan_addr_busy(): the lower device has that address, or another one on it that is up. */
static bool address_busy(const struct fake *fake, const struct fake_if *macvtap)
{
	for (const struct fake_if *i = fake->ifs; i; i = i->next) {
		bool lower = i->link.ifindex == macvtap->link.lower, beside = i->link.lower == macvtap->link.lower && i->link.up;

		if (i != macvtap && (lower || beside) && memcmp(i->link.mac, macvtap->link.mac, SYS_MAC_LEN) == 0)
			return true;
	}
	return false;
}

static int set_up(struct fake *fake, struct fake_if *i, bool up)
{
	const struct fake_if *lower = i->link.lower ? fake_if_at(fake, i->link.lower) : NULL;

	if (up && !i->link.up && strcmp(i->link.kind, "macvtap") == 0 && address_busy(fake, i))
		return -EBUSY;
	if (up && !i->link.up && strcmp(i->link.kind, "vlan") == 0 && lower && !lower->link.up)
		return -ENETDOWN;
	i->link.up = up;
	i->link.carrier = up;
	fake_emit_link(fake, i->link.name);
	return 0;
}

static bool filters(const struct fake *fake, const struct fake_if *br)
{
	char path[2 * PATH_MAX];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "%s/sys/class/net/%s/bridge/vlan_filtering", fake->root, br->link.name);
	f = fopen(path, "re");
	c = f ? fgetc(f) : EOF;
	if (f)
		fclose(f);
	return c == '1';
}

static int set_master(struct fake *fake, struct fake_if *i, unsigned master)
{
	struct fake_if *br = master ? fake_if_at(fake, master) : NULL, *old = fake_if_at(fake, i->link.master);

	if (master && !br)
		return -EINVAL;
	if (br && strcmp(br->link.kind, "bridge"))
		return -EOPNOTSUPP;
	if (old)
		unstack(fake, i, old);
	memset(i->vlans, 0, sizeof(i->vlans));
	i->link.master = master;
	i->port = (struct sys_port){ .learns = true, .floods = true, .hears = true };
	if (!br)
		return 0;
	stack(fake, i, br);
	if (i->link.mtu < br->link.mtu)
		br->link.mtu = i->link.mtu;
	if (filters(fake, br))
		i->vlans[0] |= 1 << 1;
	return 0;
}

int fake_link_set(struct sys *sys, const struct sys_link *link, const struct sys_link_want *want, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	unsigned field = SYS_LINK_NO_HOST_IP6;
	int r = fake_enter(fake);
	struct fake_if *i;

	if (r < 0)
		return net_wire_refused(err, r, link->name, "setting", "");
	i = fake_if_at(fake, link->ifindex);
	if (!i)
		return refuse(fake, err, -ENODEV, link->name, "setting", "");
	for (; r == 0 && field; field >>= 1) {
		if (!(want->fields & field))
			continue;
		switch ((enum sys_link_field)field) {
		case SYS_LINK_UP:
			r = set_up(fake, i, want->up);
			break;
		case SYS_LINK_MAC:
			memcpy(i->link.mac, want->mac, SYS_MAC_LEN);
			break;
		case SYS_LINK_MTU:
			i->link.mtu = want->mtu;
			break;
		case SYS_LINK_MASTER:
			r = set_master(fake, i, want->master);
			break;
		case SYS_LINK_NO_HOST_IP6:
			i->no_host_ip6 = true;
			break;
		}
		if (r < 0)
			return refuse(fake, err, r, link->name, net_wire_link_field_name((enum sys_link_field)field), "");
	}
	return (int)fake_leave(fake, 0);
}

int fake_link_del(struct sys *sys, const struct sys_link *link, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake);
	struct fake_if *i;

	if (r < 0)
		return net_wire_refused(err, r, link->name, "removal", "");
	i = fake_if_at(fake, link->ifindex);
	if (i && !i->link.kind[0])
		return refuse(fake, err, -EOPNOTSUPP, link->name, "removal", "");
	if (i)
		fake_if_free(fake, i);
	return (int)fake_leave(fake, 0);
}

void fake_add_bridge(struct fake *fake, const char *ifname, bool filters)
{
	static const uint8_t mac[SYS_MAC_LEN] = { 2, 0, 0, 0, 0, 2 };
	struct fake_if *i;
	char dir[PATH_MAX];

	pthread_mutex_lock(&fake->lock);
	i = new_if(fake, ifname, "bridge", mac, NULL);
	i->link.up = true;
	fake_if_dir(i, dir);
	fake_mkdir(fake, "%s/bridge", dir);
	fake_put(fake, filters ? "1\n" : "0\n", "%s/bridge/vlan_filtering", dir);
	fake_put(fake, "1\n", "%s/bridge/default_pvid", dir);
	fake_put(fake, "0x8100\n", "%s/bridge/vlan_protocol", dir);
	pthread_mutex_unlock(&fake->lock);
}

void fake_join(struct fake *fake, const char *port, const char *bridge)
{
	struct fake_if *i, *br;

	pthread_mutex_lock(&fake->lock);
	i = fake_if_find(fake, port);
	br = fake_if_find(fake, bridge);
	if (!i || !br || set_master(fake, i, br->link.ifindex) < 0)
		fake_die("%s cannot join %s", port, bridge);
	pthread_mutex_unlock(&fake->lock);
}
