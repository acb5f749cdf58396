/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnetlink by libnl: one request and its answer. A socket per call: calls come from any thread. libnl 3.7 does not show extended
 * acks, so the error callback reads them from the message itself.
 */
#include "net_talk.h"

#include <errno.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "net_wire.h"

#define ANSWER_TIMEOUT_S 10 /* the kernel answers within the send; this is for a lost answer */
#define KERNEL_ENOTSUPP 524 /* include/linux/errno.h: not for user space, but some drivers return it */

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
	struct net_talk *x = arg;
	int r = x->valid ? x->valid(nlmsg_hdr(msg), x->arg) : 0;

	if (r < 0 && x->num == 0)
		x->num = r;
	return NL_OK;
}

static int on_done(struct nl_msg *msg, void *arg)
{
	struct net_talk *x = arg;

	(void)msg;
	x->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct net_talk *x = arg;

	(void)from;
	x->done = true;
	x->num = e->error == -KERNEL_ENOTSUPP ? -EOPNOTSUPP : e->error;
	/* libnl hands out the payload; its header is right before it */
	net_wire_get_extack((const struct nlmsghdr *)((const char *)e - NLMSG_HDRLEN), x->words, sizeof(x->words));
	return NL_STOP;
}

int net_talk_open(struct nl_sock **ret)
{
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	struct nl_sock *sk;
	int one = 1, fd, r;

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

int net_talk(struct nl_sock *sk, struct nl_msg *msg, struct net_talk *x)
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
