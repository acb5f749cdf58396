/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real kernel: what rtnetlink tells of links and VFs, and VF settings. Exchanges are in net_talk.c, messages as such in net_wire.c.
 */
#include "sys_linux_net.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "err.h"
#include "net_talk.h"
#include "net_wire.h"

#define DUMP_TRIES 4

/* A socket for requests about @ifname. -ENODEV: no interface has such a name. */
static int open_socket(const char *ifname, struct nl_sock **ret)
{
	return strlen(ifname) < IF_NAMESIZE ? net_talk_open(ret) : -ENODEV;
}

static int get_link(struct nl_sock *sk, const char *ifname, uint32_t ext_mask, struct net_talk *x)
{
	struct nl_msg *msg = nlmsg_alloc();
	int r;

	if (!msg)
		return -ENOMEM;
	r = net_wire_put_getlink(msg, ifname, ext_mask);
	if (r == 0)
		r = net_talk(sk, msg, x);
	nlmsg_free(msg);
	return r;
}

static int link_valid(const struct nlmsghdr *nlh, void *arg)
{
	return net_wire_get_link(nlh, arg);
}

struct count {
	bool (*counts)(const struct nlmsghdr *nlh, unsigned ifindex);
	unsigned ifindex;
	unsigned nr;
};

static int count_valid(const struct nlmsghdr *nlh, void *arg)
{
	struct count *c = arg;

	c->nr += c->counts(nlh, c->ifindex);
	return 0;
}

/* The dump request for addresses or routes of all families; the kernel filters what it can, so that a full routing table is not copied. */
static int put_dump(struct nl_msg *msg, int type, unsigned ifindex)
{
	struct ifaddrmsg ifa = { .ifa_family = AF_UNSPEC, .ifa_index = ifindex };
	struct rtmsg rtm = { .rtm_family = AF_UNSPEC };
	bool addr = type == RTM_GETADDR;

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | NLM_F_DUMP))
		return -ENOMEM;
	if (nlmsg_append(msg, addr ? (void *)&ifa : (void *)&rtm, addr ? sizeof(ifa) : sizeof(rtm), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	if (!addr && (nla_put_u32(msg, RTA_TABLE, RT_TABLE_MAIN) < 0 || nla_put_u32(msg, RTA_OIF, ifindex) < 0))
		return -ENOMEM;
	return 0;
}

static int dump_count(struct nl_sock *sk, int type, unsigned ifindex, unsigned *ret)
{
	struct count c = { .counts = type == RTM_GETADDR ? net_wire_counts_addr : net_wire_counts_route, .ifindex = ifindex };
	int r = -EAGAIN;

	/* -EAGAIN: something changed under the dump */
	for (int try = 0; try < DUMP_TRIES && r == -EAGAIN; try++) {
		struct net_talk x = { .valid = count_valid, .arg = &c };
		struct nl_msg *msg = nlmsg_alloc();

		if (!msg)
			return -ENOMEM;
		c.nr = 0;
		r = put_dump(msg, type, ifindex);
		if (r == 0)
			r = net_talk(sk, msg, &x);
		nlmsg_free(msg);
	}
	if (r == -ENOENT || r == -EAFNOSUPPORT || r == -EOPNOTSUPP)
		r = 0; /* no such table yet, or no IPv6 in this kernel */
	if (r == 0)
		*ret = c.nr;
	return r;
}

int sys_linux_link_get(struct sys *sys, const char *ifname, struct sys_link *ret)
{
	struct sys_link link = { 0 };
	struct net_talk x = { .valid = link_valid, .arg = &link };
	struct nl_sock *sk;
	int r;

	(void)sys;
	r = open_socket(ifname, &sk);
	if (r < 0)
		return r;
	r = get_link(sk, ifname, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS, &x);
	if (r == -EMSGSIZE) { /* more VFs than a 64 kB attribute holds: do without their number */
		x = (struct net_talk){ .valid = link_valid, .arg = &link };
		r = get_link(sk, ifname, RTEXT_FILTER_SKIP_STATS, &x);
	}
	if (r == 0 && !link.ifindex)
		r = -EBADMSG;
	if (r == 0)
		r = dump_count(sk, RTM_GETADDR, link.ifindex, &link.nr_addrs);
	if (r == 0)
		r = dump_count(sk, RTM_GETROUTE, link.ifindex, &link.nr_routes);
	nl_socket_free(sk);
	if (r == 0)
		*ret = link;
	return r;
}

struct vfs {
	struct sys_vf *ret;
	size_t max;
	size_t nr;
};

static int vfs_valid(const struct nlmsghdr *nlh, void *arg)
{
	struct vfs *v = arg;

	return net_wire_get_vfs(nlh, v->ret, v->max, &v->nr);
}

int sys_linux_vf_list(struct sys *sys, const char *ifname, struct sys_vf *ret, size_t max, size_t *ret_nr)
{
	struct vfs v = { .ret = ret, .max = max };
	struct net_talk x = { .valid = vfs_valid, .arg = &v };
	struct nl_sock *sk;
	int r;

	(void)sys;
	r = open_socket(ifname, &sk);
	if (r < 0)
		return r;
	/* without statistics 256 VFs stay below the 64 kB an attribute can hold */
	r = get_link(sk, ifname, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS, &x);
	nl_socket_free(sk);
	if (r == 0)
		*ret_nr = v.nr;
	return r;
}

static int set_field(struct nl_sock *sk, const char *ifname, unsigned vf, const struct sys_vf *want, enum sys_vf_field field,
		     struct err *err)
{
	struct net_talk x = { 0 };
	struct nl_msg *msg = nlmsg_alloc();
	int r = -ENOMEM;

	if (msg)
		r = net_wire_put_vf(msg, ifname, vf, want, field);
	if (r == 0)
		r = net_talk(sk, msg, &x);
	nlmsg_free(msg);
	return r < 0 ? net_wire_vf_refused(err, r, ifname, vf, field, x.words) : 0;
}

int sys_linux_vf_set(struct sys *sys, const char *ifname, unsigned vf, const struct sys_vf *want, struct err *err)
{
	struct nl_sock *sk;
	int r;

	(void)sys;
	r = open_socket(ifname, &sk);
	if (r == -ENODEV)
		return err_set(err, r, "sriov.vf-set-refused", "vf %.16s.../vf%u: no such interface", ifname, vf);
	if (r < 0)
		return err_set(err, r, "sriov.netlink", "vf %s/vf%u: no netlink socket: %s", ifname, vf, strerror(-r));
	for (unsigned field = SYS_VF_MAC; r == 0 && field <= SYS_VF_RATE; field <<= 1) {
		if (want->fields & field)
			r = set_field(sk, ifname, vf, want, (enum sys_vf_field)field, err);
	}
	nl_socket_free(sk);
	return r;
}
