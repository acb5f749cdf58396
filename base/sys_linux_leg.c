/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real kernel: interfaces of our own, forwarding entries, traffic control. Messages are in net_wire_*.c, taps in sys_linux_tap.c. */
#include <errno.h>
#include <linux/netlink.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "net_talk.h"
#include "net_wire_leg.h"
#include "sys_linux_net.h"

/* What is to be written, by whom, and what the operator knows it as. */
struct request {
	struct nl_sock *sk;
	struct nl_msg *msg;
	const char *ifname, *what;
	struct err *err;
};

/* 0, then request_end() follows; or negative errno with the error filled. */
static int request_begin(struct request *q, const char *ifname, const char *what, struct err *err)
{
	int r;

	*q = (struct request){ .ifname = ifname, .what = what, .err = err, .msg = nlmsg_alloc() };
	r = q->msg ? net_talk_open(&q->sk) : -ENOMEM;
	if (r == 0)
		return 0;
	nlmsg_free(q->msg);
	return net_wire_refused(err, r, ifname, what, "");
}

/* @r: of the writing of the message. @fine: a refusal that means it is so already, 0 none. @x: NULL where an ack is all. */
static int request_end(struct request *q, int r, int fine, struct net_talk *x)
{
	struct net_talk ack = { 0 };

	x = x ? x : &ack;
	if (r == 0)
		r = net_talk(q->sk, q->msg, x);
	if (r < 0 && r == fine)
		r = 0;
	if (r < 0)
		net_wire_refused(q->err, r, q->ifname, q->what, x->words);
	nl_socket_free(q->sk);
	nlmsg_free(q->msg);
	return r;
}

int sys_linux_macvtap_add(struct sys *sys, const struct sys_link *lower, const char *name, const uint8_t mac[static SYS_MAC_LEN],
			  struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, lower->name, "a macvtap", err);
	return r < 0 ? r : request_end(&q, net_wire_put_macvtap(q.msg, lower->ifindex, name, mac), 0, NULL);
}

int sys_linux_ifb_add(struct sys *sys, const char *name, const uint8_t mac[static SYS_MAC_LEN], struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, name, "an ifb", err);
	return r < 0 ? r : request_end(&q, net_wire_put_ifb(q.msg, name, mac), 0, NULL);
}

int sys_linux_vlan_add(struct sys *sys, const struct sys_link *lower, const char *name, const struct sys_vlan *vlan,
		       struct err *err)
{
	struct request q;
	char what[32];
	int r;

	(void)sys;
	snprintf(what, sizeof(what), "VLAN %u", vlan->id);
	r = request_begin(&q, lower->name, what, err);
	return r < 0 ? r : request_end(&q, net_wire_put_vlan_link(q.msg, lower->ifindex, name, vlan), 0, NULL);
}

int sys_linux_link_set(struct sys *sys, const struct sys_link *link, const struct sys_link_want *want, struct err *err)
{
	struct request q;
	int r = 0;

	(void)sys;
	for (unsigned field = SYS_LINK_NO_HOST_IP6; r == 0 && field; field >>= 1) {
		/* -EAFNOSUPPORT: a kernel without IPv6 gives no address either */
		int fine = field == SYS_LINK_NO_HOST_IP6 ? -EAFNOSUPPORT : 0;

		if (!(want->fields & field))
			continue;
		r = request_begin(&q, link->name, net_wire_link_field_name(field), err);
		if (r == 0)
			r = request_end(&q, net_wire_put_setlink(q.msg, link->ifindex, want, field), fine, NULL);
	}
	return r;
}

int sys_linux_link_del(struct sys *sys, const struct sys_link *link, struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, link->name, "removal", err);
	return r < 0 ? r : request_end(&q, net_wire_put_dellink(q.msg, link->ifindex), -ENODEV, NULL);
}

int sys_linux_fdb_set(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool there, struct err *err)
{
	const char *what = entry->where == SYS_FDB_SELF ? "a MAC in its filter" : "a static MAC of the bridge";
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, link->name, what, err);
	return r < 0 ? r : request_end(&q, net_wire_put_fdb(q.msg, link->ifindex, entry, there), there ? 0 : -ENOENT, NULL);
}

struct wanted_entry {
	unsigned ifindex;
	const struct sys_fdb *entry;
	bool there;
};

static int entry_valid(const struct nlmsghdr *nlh, void *arg)
{
	struct wanted_entry *w = arg;

	return net_wire_get_fdb(nlh, w->ifindex, w->entry, &w->there);
}

int sys_linux_fdb_get(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool *ret, struct err *err)
{
	struct wanted_entry w = { .ifindex = link->ifindex, .entry = entry };
	struct net_talk x = { .valid = entry_valid, .arg = &w };
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, link->name, "its forwarding entries", err);
	if (r == 0)
		r = request_end(&q, net_wire_put_get_fdb(q.msg), 0, &x);
	if (r == 0)
		*ret = w.there;
	return r;
}

int sys_linux_bridge_port_set(struct sys *sys, const struct sys_link *port, const struct sys_port *want, struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, port->name, "learning and flooding", err);
	return r < 0 ? r : request_end(&q, net_wire_put_bridge_port(q.msg, port->ifindex, want), 0, NULL);
}

int sys_linux_bridge_vlan_set(struct sys *sys, const struct sys_link *port, unsigned vid, bool member, struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, port->name, "a VLAN of the bridge", err);
	return r < 0 ? r
		     : request_end(&q, net_wire_put_bridge_vlan(q.msg, port->ifindex, vid, member), member ? 0 : -ENOENT, NULL);
}

struct wanted_vlan {
	unsigned ifindex, vid;
	bool member;
};

static int vlan_valid(const struct nlmsghdr *nlh, void *arg)
{
	struct wanted_vlan *w = arg;

	return net_wire_get_bridge_vlan(nlh, w->ifindex, w->vid, &w->member);
}

int sys_linux_bridge_vlan_get(struct sys *sys, const struct sys_link *port, unsigned vid, bool *ret_member, struct err *err)
{
	struct wanted_vlan w = { .ifindex = port->ifindex, .vid = vid };
	struct net_talk x = { .valid = vlan_valid, .arg = &w };
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, port->name, "its list of VLANs", err);
	if (r == 0)
		r = request_end(&q, net_wire_put_get_bridge_vlans(q.msg), 0, &x);
	if (r == 0)
		*ret_member = w.member;
	return r;
}

/* Filters hang on it. */
static int need_clsact(const struct sys_link *link, struct err *err)
{
	struct request q;
	int r = request_begin(&q, link->name, "traffic control", err);

	return r < 0 ? r : request_end(&q, net_wire_put_clsact(q.msg, link->ifindex), 0, NULL);
}

int sys_linux_rate_set(struct sys *sys, const struct sys_link *link, enum sys_side side, uint32_t mbit, struct err *err)
{
	struct request q;
	int r, fine = mbit ? 0 : -ENOENT;

	(void)sys;
	if (side == SYS_EGRESS) {
		r = request_begin(&q, link->name, "a rate", err);
		return r < 0 ? r : request_end(&q, net_wire_put_tbf(q.msg, link->ifindex, mbit), fine, NULL);
	}
	r = need_clsact(link, err);
	if (r < 0)
		return r;
	r = request_begin(&q, link->name, "a rate", err);
	return r < 0 ? r : request_end(&q, net_wire_put_police(q.msg, link->ifindex, side, mbit), fine, NULL);
}

int sys_linux_source_filter(struct sys *sys, const struct sys_link *link, enum sys_side side, const uint8_t *mac, struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = need_clsact(link, err);
	if (r < 0)
		return r;
	r = request_begin(&q, link->name, "a check of source addresses", err);
	return r < 0 ? r : request_end(&q, net_wire_put_source_filter(q.msg, link->ifindex, side, mac), mac ? 0 : -ENOENT, NULL);
}

int sys_linux_delay_set(struct sys *sys, const struct sys_link *link, unsigned ms, unsigned frames, struct err *err)
{
	struct request q;
	int r;

	(void)sys;
	r = request_begin(&q, link->name, "a delay", err);
	return r < 0 ? r : request_end(&q, net_wire_put_delay(q.msg, link->ifindex, ms, frames), 0, NULL);
}

/* What says that there is no such filter: that, no qdisc which one could hang on, a kernel that has none at all. */
static bool is_straight(int r)
{
	return r == -ENOENT || r == -EINVAL || r == -EOPNOTSUPP;
}

int sys_linux_detour_set(struct sys *sys, const struct sys_link *link, enum sys_side side, const struct sys_link *by,
			 struct err *err)
{
	struct request q;
	int r = by ? need_clsact(link, err) : 0;

	(void)sys;
	if (r < 0)
		return r;
	r = request_begin(&q, link->name, "a detour", err);
	if (r < 0)
		return r;
	r = net_wire_put_detour(q.msg, link->ifindex, side, by ? by->ifindex : 0);
	r = request_end(&q, r, 0, NULL);
	if (by || !is_straight(r))
		return r;
	err_clear(err);
	return 0;
}
