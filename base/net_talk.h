/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One rtnetlink request and its answer; for the files of the real kernel's net half alone. */
#ifndef GANGWAY_NET_TALK_H
#define GANGWAY_NET_TALK_H

#include <stdbool.h>
#include <stddef.h>

struct nl_msg;
struct nl_sock;
struct nlmsghdr;

/* What is wanted of the answers, and what came back. */
struct net_talk {
	int (*valid)(const struct nlmsghdr *nlh, void *arg); /* each answer; 0 or negative errno; NULL: none expected */
	void *arg;
	bool done;
	int num; /* negative errno of the kernel or of @valid */
	char words[256]; /* the kernel's (extended ack), "" none */
};

/* A socket of NETLINK_ROUTE with extended acks, nl_socket_free(). 0 or negative errno. */
int net_talk_open(struct nl_sock **ret);
/* Send @msg and read until its ack, the end of the dump or an error. 0 or negative errno. */
int net_talk(struct nl_sock *sk, struct nl_msg *msg, struct net_talk *x);

#endif
