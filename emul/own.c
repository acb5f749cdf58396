/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The standby NIC that the guest has already, of whoever started it. Its interface on the host is not ours: its link, policy and life are left as
 * they are. What is ours is where the guest's MAC leads: if that interface is a tap in the bridge of the PF, the entries move as those of a leg
 * that we made (bridge.c). One that leaves the host by another way needs nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emul_internal.h"
#include "err.h"

/* The interface of the tap behind descriptor @fd of process @pid: the kernel tells it in fdinfo, "iff:\ttap0". -ENOENT: that is no tap. */
static int tap_of_fd(struct sys *sys, pid_t pid, const char *fd, char ret[static IF_NAMESIZE])
{
	char path[EMUL_PATH_MAX], text[1024], *name;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)pid, fd);
	n = sys->ops->read_file(sys, path, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	name = strstr(text, "\niff:\t");
	if (!name)
		return -ENOENT;
	name += strlen("\niff:\t");
	name[strcspn(name, "\n")] = '\0';
	if (!emul_name_valid(name))
		return -ENOENT;
	snprintf(ret, IF_NAMESIZE, "%s", name);
	return 0;
}

/* The name of a tap says nothing in another network namespace, where fdinfo tells it all the same (tun_chr_show_fdinfo(), drivers/net/tun.c). */
static bool is_in_other_netns(struct sys *sys, pid_t pid)
{
	char path[EMUL_PATH_MAX], ours[64], theirs[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return sys_link_name(sys, "/proc/self/ns/net", ours, sizeof(ours)) == 0 &&
	       sys_link_name(sys, path, theirs, sizeof(theirs)) == 0 && strcmp(ours, theirs) != 0;
}

int emul_own_tap(struct sys *sys, pid_t pid, const char *claimed, int fd, char ret[static IF_NAMESIZE])
{
	char path[EMUL_PATH_MAX], name[IF_NAMESIZE], **fds;
	int r;

	ret[0] = '\0';
	if (is_in_other_netns(sys, pid))
		return -ENOENT;
	if (fd >= 0) {
		snprintf(name, sizeof(name), "%d", fd);
		return tap_of_fd(sys, pid, name, ret);
	}
	if (!claimed[0])
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	r = sys->ops->list(sys, path, &fds);
	if (r < 0)
		return r;
	r = -ENOENT;
	for (char **f = fds; *f && r < 0; f++)
		if (tap_of_fd(sys, pid, *f, name) == 0 && !strcmp(name, claimed))
			r = 0;
	sys_list_free(fds);
	if (r == 0)
		snprintf(ret, IF_NAMESIZE, "%s", claimed);
	return r;
}

static int find_tap(struct emul_leg *leg, struct sys_link *ret, struct err *err)
{
	int r = emul_link_get(leg->sys, leg->ifname, "emul.gone", ret, err);

	if (r == 0 && (strcmp(ret->kind, "tun") != 0 || (leg->ifindex && leg->ifindex != ret->ifindex)))
		r = err_set(err, -ENODEV, "emul.gone", "%s: it is not the standby's tap any more, but another interface",
			    leg->ifname);
	return r;
}

/* The bridge that the tap and the PF are ports of; "" if there is none. */
static int find_bridge(struct emul_leg *leg, const struct sys_link *pf, const struct sys_link *tap, char ret[static IF_NAMESIZE],
		       struct err *err)
{
	char path[EMUL_PATH_MAX];
	struct sys_link br;
	int r;

	ret[0] = '\0';
	if (!tap->master || tap->master != pf->master)
		return 0;
	snprintf(path, sizeof(path), CLASS_NET "/%s/master", leg->ifname);
	r = sys_link_name(leg->sys, path, ret, IF_NAMESIZE);
	if (r < 0)
		return err_set(err, r, "emul.sysfs", "%s: %s", path, strerror(-r));
	r = emul_link_get(leg->sys, ret, "emul.no-bridge", &br, err);
	if (r == 0 && strcmp(br.kind, "bridge") != 0) /* a bond, ... */
		ret[0] = '\0';
	return r;
}

/* Entries of an operator's or of libvirt's are to be as they were when the lease ends. */
static int note_entries(struct emul_leg *leg, const struct sys_link *pf, const struct sys_link *tap, struct err *err)
{
	struct sys_fdb port = emul_bridge_entry(leg, SYS_FDB_BRIDGE), self = emul_bridge_entry(leg, SYS_FDB_SELF);
	int r = leg->sys->ops->fdb_get(leg->sys, tap, &port, &leg->had_entry, err);

	return r < 0 ? r : leg->sys->ops->fdb_get(leg->sys, pf, &self, &leg->had_self, err);
}

/* Its owner has put it there, and whatever VLAN the bridge gives ports by default, this one may be in another. */
static int check_tap_vlan(struct emul_leg *leg, const struct sys_link *tap, uint16_t vlan, struct err *err)
{
	bool member = true;
	int r = vlan ? leg->sys->ops->bridge_vlan_get(leg->sys, tap, vlan, &member, err) : 0;

	if (r < 0 || member)
		return r;
	err_set(err, -EOPNOTSUPP, "emul.bridge-vlan-missing", "bridge %s: the guest's own tap %s is not in VLAN %u there",
		leg->words.bridge, leg->ifname, vlan);
	err_hint(err, "the VF's VLAN is to be that of the tap: --vlan; or bridge vlan add dev %s vid %u pvid untagged",
		 leg->ifname, vlan);
	return -EOPNOTSUPP;
}

static int check(struct emul_leg *leg, const struct sys_link *pf, uint16_t *ret_port_vlan, struct err *err)
{
	char bridge[IF_NAMESIZE];
	struct sys_link tap;
	int r;

	*ret_port_vlan = 0;
	if (!leg->ifname[0])
		return 0;
	r = find_tap(leg, &tap, err);
	if (r == 0)
		r = find_bridge(leg, pf, &tap, bridge, err);
	if (r < 0)
		return r;
	/* the second look changes nothing of the leg: its record is written, and the loop reads it */
	if (!leg->pf_ifindex) {
		snprintf(leg->words.bridge, sizeof(leg->words.bridge), "%s", bridge);
	} else if (strcmp(bridge, leg->words.bridge) != 0) {
		err_set(err, -EAGAIN, "emul.host-changed", "%s: it has joined or left a bridge since it was looked at",
			leg->ifname);
		err_hint(err, "try again");
		return -EAGAIN;
	}
	leg->ifindex = tap.ifindex;
	if (!leg->words.bridge[0])
		return 0;
	r = emul_bridge_vlan(leg, pf, ret_port_vlan, err);
	if (r == 0)
		r = check_tap_vlan(leg, &tap, *ret_port_vlan, err);
	if (r == 0 && !leg->pf_ifindex) { /* the first look */
		leg->port_vlan = *ret_port_vlan;
		r = note_entries(leg, pf, &tap, err);
	}
	return r;
}

static int create(struct emul_leg *leg, struct err *err)
{
	(void)leg;
	(void)err;
	return 0;
}

/* The VMM has it. */
static int open_fd(struct emul_leg *leg, struct err *err)
{
	return err_set(err, -EALREADY, "emul.opened", "%s: it is the guest's own", leg->ifname);
}

static int apply(struct emul_leg *leg, const struct emul_policy *policy, struct err *err)
{
	(void)leg;
	(void)policy;
	(void)err;
	return 0;
}

static int announce(struct emul_leg *leg, struct sys_announce *what, struct err *err)
{
	return leg->words.bridge[0] ? emul_bridge_ops.announce(leg, what, err) : 0;
}

/* Goes on after a refusal: *@r keeps the first. A port that has left the bridge or its VLAN took its entries along. */
static void put_entry(struct emul_leg *leg, const struct sys_link *link, enum sys_fdb_where where, bool there, int *r,
		      struct err *err)
{
	struct sys_fdb entry = emul_bridge_entry(leg, where);
	struct err why;
	int r2 = leg->sys->ops->fdb_set(leg->sys, link, &entry, there, &why);

	if (r2 == 0 || *r < 0 || (where == SYS_FDB_BRIDGE && (r2 == -EINVAL || r2 == -EOPNOTSUPP)))
		return;
	*r = r2;
	if (err)
		*err = why;
}

/* The PF takes the MAC before the bridge sends it to the tap. */
static int put_back(struct emul_leg *leg, const struct sys_link *tap, struct err *err)
{
	struct sys_link pf;
	int r = emul_pf_link(leg, &pf, err);
	bool has_pf = r == 0;

	if (r == -ENODEV) { /* its filter went with it */
		err_clear(err);
		r = 0;
	}
	if (has_pf && leg->had_self)
		put_entry(leg, &pf, SYS_FDB_SELF, true, &r, err);
	if (tap)
		put_entry(leg, tap, SYS_FDB_BRIDGE, leg->had_entry, &r, err);
	if (has_pf && pf.master)
		put_entry(leg, &pf, SYS_FDB_BRIDGE, false, &r, err);
	if (has_pf && !leg->had_self)
		put_entry(leg, &pf, SYS_FDB_SELF, false, &r, err);
	return r;
}

/* Is it a port of the bridge that it was found in? Its owner may have moved it since: its entries went, and it leads elsewhere. */
static int is_in_bridge(struct emul_leg *leg, bool *ret, struct err *err)
{
	char path[EMUL_PATH_MAX], name[IF_NAMESIZE];
	int r;

	snprintf(path, sizeof(path), CLASS_NET "/%s/master", leg->ifname);
	r = sys_link_name(leg->sys, path, name, sizeof(name));
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "emul.sysfs", "%s: %s", path, strerror(-r));
	*ret = r == 0 && strcmp(name, leg->words.bridge) == 0;
	return 0;
}

static int carry(struct emul_leg *leg, const struct emul_policy *policy, bool on, struct err *err)
{
	struct sys_link tap, pf;
	bool in = true;
	int r;

	(void)policy;
	if (!leg->words.bridge[0])
		return 0;
	r = find_tap(leg, &tap, err);
	if (r == 0)
		r = is_in_bridge(leg, &in, err);
	if (r == 0 && !in)
		return put_back(leg, NULL, err);
	if (r == 0)
		r = emul_pf_link(leg, &pf, err);
	return r < 0 ? r : emul_bridge_steer(leg, &pf, &tap, on, err);
}

static int destroy(struct emul_leg *leg, struct err *err)
{
	struct sys_link tap;
	bool in = false;
	int r;

	if (!leg->words.bridge[0])
		return 0;
	r = find_tap(leg, &tap, err);
	if (r == 0)
		r = is_in_bridge(leg, &in, err);
	if (r == -ENODEV) {
		err_clear(err);
		r = 0;
	}
	return r < 0 ? r : put_back(leg, in ? &tap : NULL, err);
}

const struct emul_ops emul_own_ops = {
	.check = check,
	.create = create,
	.open = open_fd,
	.carry = carry,
	.apply = apply,
	.announce = announce,
	.destroy = destroy,
	.kind = "tun",
	.side = SYS_INGRESS,
};
