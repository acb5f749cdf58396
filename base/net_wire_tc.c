/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rtnetlink messages about traffic control: the rate of a leg, and the source addresses it may send from. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "net_wire_leg.h"

#define TICK_NS 64 /* PSCHED_SHIFT of include/net/pkt_sched.h; /proc/net/psched says the same */
#define RTAB_SIZE 1024 /* TC_RTAB_SIZE; asked for and not read where the link layer is told */
#define RTAB_CELL_LOG 8
#define PRIO_SOURCE 1
#define PRIO_POLICE 2 /* after: what may not be sent does not count */
#define PRIO_DETOUR 3

static int put_tc(struct nl_msg *msg, int type, int flags, unsigned ifindex, uint32_t handle, uint32_t parent, uint32_t info,
		  const char *kind)
{
	struct tcmsg tcm = {
		.tcm_family = AF_UNSPEC, .tcm_ifindex = (int)ifindex, .tcm_handle = handle, .tcm_parent = parent, .tcm_info = info
	};

	if (!nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags) ||
	    nlmsg_append(msg, &tcm, sizeof(tcm), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	return kind && nla_put_string(msg, TCA_KIND, kind) < 0 ? -ENOMEM : 0;
}

static uint64_t bytes_per_s(uint32_t mbit)
{
	return (uint64_t)mbit * 125000;
}

static uint32_t clamp_u32(uint64_t v, uint64_t min, uint64_t max)
{
	return (uint32_t)(v < min ? min : v > max ? max : v);
}

/* Told the link layer, the kernel computes from the rate alone. */
static struct tc_ratespec ratespec(uint64_t bytes)
{
	return (struct tc_ratespec){ .cell_log = RTAB_CELL_LOG,
				     .linklayer = TC_LINKLAYER_ETHERNET,
				     .rate = clamp_u32(bytes, 1, UINT32_MAX) };
}

/* Bucket: 4 ms of the rate, so that a late timer costs nothing; frames that segment later are cut by tbf itself. Queue: 25 ms more. */
int net_wire_put_tbf(struct nl_msg *msg, unsigned ifindex, uint32_t mbit)
{
	uint64_t bytes = bytes_per_s(mbit);
	uint32_t burst = clamp_u32(bytes / 250, 32 << 10, 1 << 30);
	struct tc_tbf_qopt qopt = { .rate = ratespec(bytes), .limit = burst + clamp_u32(bytes / 40, 64 << 10, 1 << 30) };
	struct nlattr *nest;

	if (!mbit)
		return put_tc(msg, RTM_DELQDISC, 0, ifindex, 0, TC_H_ROOT, 0, NULL);
	if (put_tc(msg, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, ifindex, TC_H_MAKE(1u << 16, 0), TC_H_ROOT, 0, "tbf") < 0)
		return -ENOMEM;
	nest = nla_nest_start(msg, TCA_OPTIONS);
	if (!nest || nla_put(msg, TCA_TBF_PARMS, sizeof(qopt), &qopt) < 0 || nla_put_u32(msg, TCA_TBF_BURST, burst) < 0 ||
	    (bytes > UINT32_MAX && nla_put_u64(msg, TCA_TBF_RATE64, bytes) < 0))
		return -ENOMEM;
	return nla_nest_end(msg, nest) < 0 ? -ENOMEM : 0;
}

int net_wire_put_clsact(struct nl_msg *msg, unsigned ifindex)
{
	return put_tc(msg, RTM_NEWQDISC, NLM_F_CREATE, ifindex, TC_H_MAKE(TC_H_CLSACT, 0), TC_H_CLSACT, 0, "clsact");
}

static int put_filter(struct nl_msg *msg, unsigned ifindex, enum sys_side side, unsigned prio, bool there)
{
	uint32_t parent = TC_H_MAKE(TC_H_CLSACT, side == SYS_EGRESS ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
	uint32_t info = TC_H_MAKE(prio << 16, htons(ETH_P_ALL));

	if (!there)
		return put_tc(msg, RTM_DELTFILTER, 0, ifindex, 0, parent, info, NULL);
	return put_tc(msg, RTM_NEWTFILTER, NLM_F_CREATE, ifindex, 1, parent, info, "bpf");
}

static int put_program(struct nl_msg *msg, const struct sock_filter *ops, unsigned nr)
{
	return nla_put_u16(msg, TCA_BPF_OPS_LEN, (uint16_t)nr) < 0 || nla_put(msg, TCA_BPF_OPS, (int)(nr * sizeof(*ops)), ops) < 0
		       ? -ENOMEM
		       : 0;
}

static int put_police_action(struct nl_msg *msg, uint64_t bytes)
{
	static const uint8_t rtab[RTAB_SIZE];
	/* 20 ms, and twice what one frame is before it is segmented: a policer has no queue */
	uint64_t burst = clamp_u32(bytes / 50, 128 << 10, 1 << 30);
	struct tc_police police = {
		.action = TC_ACT_SHOT,
		.burst = clamp_u32(burst * 1000000000 / bytes / TICK_NS, 1, UINT32_MAX),
		.mtu = UINT32_MAX,
		.rate = ratespec(bytes),
	};
	struct nlattr *options = nla_nest_start(msg, TCA_ACT_OPTIONS);

	if (!options || nla_put(msg, TCA_POLICE_TBF, sizeof(police), &police) < 0 ||
	    nla_put(msg, TCA_POLICE_RATE, sizeof(rtab), rtab) < 0 ||
	    (bytes > UINT32_MAX && nla_put_u64(msg, TCA_POLICE_RATE64, bytes) < 0))
		return -ENOMEM;
	return nla_nest_end(msg, options) < 0 ? -ENOMEM : 0;
}

static int put_redirect_action(struct nl_msg *msg, uint64_t to)
{
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to };
	struct nlattr *options = nla_nest_start(msg, TCA_ACT_OPTIONS);

	if (!options || nla_put(msg, TCA_MIRRED_PARMS, sizeof(mirred), &mirred) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, options) < 0 ? -ENOMEM : 0;
}

/* The one action of a filter that takes every frame: unlike matchall, a bpf filter can be replaced at one blow. */
static int put_action_on_all(struct nl_msg *msg, const char *kind, int (*put)(struct nl_msg *msg, uint64_t arg), uint64_t arg)
{
	static const struct sock_filter all[] = { { BPF_RET | BPF_K, 0, 0, UINT32_MAX } };
	struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS), *actions, *action;

	if (!options || put_program(msg, all, 1) < 0)
		return -ENOMEM;
	actions = nla_nest_start(msg, TCA_BPF_ACT);
	action = actions ? nla_nest_start(msg, 1) : NULL;
	if (!action || nla_put_string(msg, TCA_ACT_KIND, kind) < 0 || put(msg, arg) < 0 || nla_nest_end(msg, action) < 0 ||
	    nla_nest_end(msg, actions) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, options) < 0 ? -ENOMEM : 0;
}

int net_wire_put_police(struct nl_msg *msg, unsigned ifindex, enum sys_side side, uint32_t mbit)
{
	if (put_filter(msg, ifindex, side, PRIO_POLICE, mbit) < 0)
		return -ENOMEM;
	return mbit ? put_action_on_all(msg, "police", put_police_action, bytes_per_s(mbit)) : 0;
}

int net_wire_put_detour(struct nl_msg *msg, unsigned ifindex, enum sys_side side, unsigned to)
{
	if (put_filter(msg, ifindex, side, PRIO_DETOUR, to) < 0)
		return -ENOMEM;
	return to ? put_action_on_all(msg, "mirred", put_redirect_action, to) : 0;
}

/* The options begin with the structure, attributes may follow it: libnl's nests cannot. */
int net_wire_put_delay(struct nl_msg *msg, unsigned ifindex, unsigned ms, unsigned frames)
{
	struct tc_netem_qopt qopt = { .latency = ms * (1000000 / TICK_NS), .limit = frames };

	if (put_tc(msg, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, ifindex, TC_H_MAKE(1u << 16, 0), TC_H_ROOT, 0, "netem") < 0)
		return -ENOMEM;
	return nla_put(msg, TCA_OPTIONS, sizeof(qopt), &qopt) < 0 ? -ENOMEM : 0;
}

/*
 * A classic BPF program and not flower or u32: one filter instead of two and an action, and its offsets count from the Ethernet header on
 * either side. u32's count from the network header, which in a tagged frame is elsewhere on egress than on ingress.
 */
int net_wire_put_source_filter(struct nl_msg *msg, unsigned ifindex, enum sys_side side, const uint8_t *mac)
{
	struct sock_filter ops[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, 8 }, /* the last four bytes of the source */
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0 },
		{ BPF_LD | BPF_H | BPF_ABS, 0, 0, 6 }, /* the first two */
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0 },
		{ BPF_RET | BPF_K, 0, 0, (uint32_t)TC_ACT_UNSPEC }, /* on to the next filter */
		{ BPF_RET | BPF_K, 0, 0, TC_ACT_SHOT },
	};
	struct nlattr *options;

	if (put_filter(msg, ifindex, side, PRIO_SOURCE, mac) < 0)
		return -ENOMEM;
	if (!mac)
		return 0;
	ops[1].k = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5];
	ops[3].k = (uint32_t)mac[0] << 8 | mac[1];
	options = nla_nest_start(msg, TCA_OPTIONS);
	if (!options || put_program(msg, ops, sizeof(ops) / sizeof(ops[0])) < 0 ||
	    nla_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT) < 0)
		return -ENOMEM;
	return nla_nest_end(msg, options) < 0 ? -ENOMEM : 0;
}
