/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real kernel: rtnetlink by libnl. A socket per call: calls come from any thread. libnl 3.7 does not show extended acks,
 * so the error callback reads them from the message itself; messages as such are in net_wire.c.
 */
#include "sys_linux_net.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "err.h"
#include "net_wire.h"

#define ANSWER_TIMEOUT_S 10 /* the kernel answers within the send; this is for a lost answer */
#define DUMP_TRIES 4
#define KERNEL_ENOTSUPP 524 /* include/linux/errno.h: not for user space, but some drivers return it */

/* One request and what came back. */
struct exchange {
	int (*valid)(const struct nlmsghdr *nlh, void *arg); /* each answer; 0 or negative errno; NULL: none expected */
	void *arg;
	bool done;
	int num; /* negative errno of the kernel or of @valid */
	char words[256]; /* the driver's, "" none */
};

static int nle_to_errno(int nle)
{
	switch (nle < 0 ? -nle : nle) {
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_AGAIN:
	case NLE_INTR:
		return -ETIMEDOUT;
	case NLE_NOACCESS:
	case NLE_PERM:
		return -EPERM;
	case NLE_MSG_TRUNC:
	case NLE_MSGSIZE:
		return -EMSGSIZE;
	case NLE_DUMP_INTR:
		return -EAGAIN;
	case NLE_NODEV:
		return -ENODEV;
	default:
		return -EIO;
	}
}

static int on_msg_in(struct nl_msg *msg, void *arg)
{
	(void)arg;
	return nlmsg_get_src(msg)->nl_pid == 0 ? NL_OK : NL_SKIP; /* the kernel's words only */
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct exchange *x = arg;
	int r = x->valid ? x->valid(nlmsg_hdr(msg), x->arg) : 0;

	if (r < 0 && x->num == 0)
		x->num = r;
	return NL_OK;
}

static int on_done(struct nl_msg *msg, void *arg)
{
	struct exchange *x = arg;

	(void)msg;
	x->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct exchange *x = arg;

	(void)from;
	x->done = true;
	x->num = e->error == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : e->error;
	/* libnl hands out the payload; its header is right before it */
	net_wire_get_extack((const struct nlmsghdr *)((const char *)e - NLMSG_HDRLEN), x->words, sizeof(x->words));
	return NL_STOP;
}

/* A socket for requests about @ifname. -ENODEV: no interface has such a name. */
static int open_socket(const char *ifname, struct nl_sock **ret)
{
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	struct nl_sock *sk;
	int one = 1, fd, r;

	if (strlen(ifname) >= IF_NAMESIZE)
		return -ENODEV;
	sk = nl_socket_alloc();
	if (!sk)
		return -ENOMEM;
	r = nl_connect(sk, NETLINK_ROUTE);
	if (r < 0) {
		nl_socket_free(sk);
		return nle_to_errno(r);
	}
	nl_socket_enable_msg_peek(sk); /* an answer on 128 VFs is over 20 kB: ask for its size first */
	fd = nl_socket_get_fd(sk);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	/* Old kernels know less of these: then there are no words, and dumps are filtered by us alone. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	*ret = sk;
	return 0;
}

/* Send @msg and read until its ack, the end of the dump or an error. 0 or negative errno. */
static int exchange(struct nl_sock *sk, struct nl_msg *msg, struct exchange *x)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int r;

	if (!cb)
		return -ENOMEM;
	nl_cb_set(cb, NL_CB_MSG_IN, NL_CB_CUSTOM, on_msg_in, x);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, x);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_done, x);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_done, x);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, x);
	r = nl_send_auto(sk, msg);
	while (r >= 0 && !x->done)
		r = nl_recvmsgs(sk, cb);
	nl_cb_put(cb);
	if (x->num < 0)
		return x->num;
	return r < 0 ? nle_to_errno(r) : 0;
}

static int get_link(struct nl_sock *sk, const char *ifname, uint32_t ext_mask, struct exchange *x)
{
	struct nl_msg *msg = nlmsg_alloc();
	int r;

	if (!msg)
		return -ENOMEM;
	r = net_wire_put_getlink(msg, ifname, ext_mask);
	if (r == 0)
		r = exchange(sk, msg, x);
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
		struct exchange x = { .valid = count_valid, .arg = &c };
		struct nl_msg *msg = nlmsg_alloc();

		if (!msg)
			return -ENOMEM;
		c.nr = 0;
		r = put_dump(msg, type, ifindex);
		if (r == 0)
			r = exchange(sk, msg, &x);
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
	struct exchange x = { .valid = link_valid, .arg = &link };
	struct nl_sock *sk;
	int r;

	(void)sys;
	r = open_socket(ifname, &sk);
	if (r < 0)
		return r;
	r = get_link(sk, ifname, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS, &x);
	if (r == -EMSGSIZE) { /* more VFs than a 64 kB attribute holds: do without their number */
		x = (struct exchange){ .valid = link_valid, .arg = &link };
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
	struct exchange x = { .valid = vfs_valid, .arg = &v };
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
	struct exchange x = { 0 };
	struct nl_msg *msg = nlmsg_alloc();
	int r = -ENOMEM;

	if (msg)
		r = net_wire_put_vf(msg, ifname, vf, want, field);
	if (r == 0)
		r = exchange(sk, msg, &x);
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
