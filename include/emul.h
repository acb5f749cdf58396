/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * emul: the emulated leg of a guest's NIC: an interface of the host whose descriptor QEMU gets as `-netdev tap,fd=`, with the policy of the
 * VF it stands in for.
 *
 *   macvtap    on the PF, or on a VLAN link of the PF (shared by all legs in that VLAN)
 *   bridge:BR  a tap in the operator's bridge BR, which has the PF as a port
 *   own        the one that the guest has already: its interface, if it is known and a tap in the PF's bridge, is steered to, and otherwise left
 *              to who made it, its policy included
 *
 * Policy on the leg: VLAN, QoS (macvtap alone) and max_tx_rate as on a VF; spoofchk drops other source addresses; state disable keeps the leg
 * dark, as if it did not carry; trust lets a bridge's tap learn addresses and be sent unknown ones, and changes nothing on a macvtap, which
 * hears its own MAC, broadcast and all multicast. min_tx_rate is no promise that a leg can make, and is left out.
 *
 * Everything here may block on rtnetlink: it runs on a worker, one call a leg at a time, and touches no state but the leg's.
 */
#ifndef GANGWAY_EMUL_H
#define GANGWAY_EMUL_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sys.h"

struct emul_leg;
struct err;

enum emul_kind { EMUL_NONE, EMUL_MACVTAP, EMUL_BRIDGE, EMUL_OWN };

#define STANDBY_AUTO "auto" /* no kind of leg: what stands for a choice that nobody made */
#define EMUL_WORDS_MAX (IF_NAMESIZE + 8)
#define EMUL_NR_MAX 999999u /* of a leg's number: "gwt999999" is well below 15 characters */

/* What an operator asks for: "macvtap", "bridge:br0", "own", "none". */
struct emul_words {
	enum emul_kind kind;
	char bridge[IF_NAMESIZE]; /* EMUL_BRIDGE; EMUL_OWN: that of its tap and the PF, "" none, set when it is looked at */
};

/* -EINVAL emul.bad-word; -EOPNOTSUPP emul.not-yet for "vhost-user". */
int emul_words_parse(const char *s, struct emul_words *ret, struct err *err);
void emul_words_print(const struct emul_words *words, char ret[static EMUL_WORDS_MAX]);

struct emul_want {
	struct emul_words words;
	const char *pf; /* its interface */
	const char *tap; /* EMUL_OWN: of the guest's standby; "" or NULL: not known */
	unsigned nr; /* 0 to EMUL_NR_MAX, unique on the host: names are gwt<nr>, gwv<nr> and gwl<nr> */
	uint8_t mac[SYS_MAC_LEN]; /* the guest's; policy.mac is not looked at */
	struct sys_vf policy; /* what .fields does not name is off */
};

/*
 * Check that the leg can be made, change nothing. *@ret is the caller's, emul_leg_free(). -EINVAL emul.bad-mac, emul.bad-policy, emul.bad-name,
 * emul.not-a-bridge, emul.pf-not-in-bridge; -ENOENT emul.no-pf, emul.no-bridge; -ENETDOWN emul.pf-down, emul.bridge-down, emul.vlan-down;
 * -EBUSY emul.pf-is-port; -EEXIST emul.name-taken, emul.vlan-qos; -EOPNOTSUPP emul.bridge-no-vlan, emul.bridge-qos, emul.bridge-vlan-missing.
 */
int emul_leg_new(struct sys *sys, const struct emul_want *want, struct emul_leg **ret, struct err *err);
/* Closes a descriptor that was not opened to the caller; leaves the host as it is. NULL is fine. */
void emul_leg_free(struct emul_leg *leg);

/*
 * The tap of a VMM: behind descriptor @fd of process @pid, or, where @fd is negative, the one that the VMM @claimed to have ("": none), if the
 * process has it open. By the kernel's word. -ENOENT: that is no tap, or none is known, or the process is in another network namespace, where
 * the name is another's; errors of reading /proc/PID/fdinfo.
 */
int emul_own_tap(struct sys *sys, pid_t pid, const char *claimed, int fd, char ret[static IF_NAMESIZE]);

/* The host's interface: "gwt7"; EMUL_OWN: its tap, "" if that is not known. */
const char *emul_leg_ifname(const struct emul_leg *leg);
/* Of the PF; 0 where it was not looked at yet. */
unsigned emul_leg_pf_ifindex(const struct emul_leg *leg);
/* The bridge it is a port of, together with the PF. "" none, as far as is known. */
const char *emul_leg_bridge(const struct emul_leg *leg);
/* Frames that the guest has sent by it since it was made, as the kernel counts them; 0 where it does not tell. Does not block. */
uint64_t emul_leg_frames_from_guest(const struct emul_leg *leg);

/*
 * Make it, with its policy; it carries nothing yet. The record (emul_leg_to_json()) is to be on disk before. On failure all is undone.
 * Errors: net.refused; those of emul_leg_new(), -EAGAIN emul.host-changed where the host is not as it was then.
 */
int emul_leg_create(struct emul_leg *leg, struct err *err);
/*
 * The descriptor for QEMU, the caller's from then on; or negative errno. Once per leg: -EALREADY emul.opened. A tap lives as long as a
 * descriptor of it is open, so that of a leg read from a record only the VMM's is left: -EALREADY, too.
 */
int emul_leg_open(struct emul_leg *leg, struct err *err); /* EMUL_OWN: the VMM has it, -EALREADY */
/*
 * Frames to the guest's MAC come to this leg, or do not; so those to all, and those that the guest sends. Idempotent. What the VF's own filter
 * does is another matter (sriov_steer.h): while both have the MAC, both get the frames from the wire and from other VFs. -ENODEV emul.gone: the
 * interface is not there any more.
 */
int emul_leg_carry(struct emul_leg *leg, bool on, struct err *err);
/*
 * While the guest lets its VF go: frames to it by this leg come 0.15 s later, and those of the time when it hears neither leg are not lost.
 * false: at once again; those that are under way still come late. Idempotent. EMUL_OWN: does nothing, the tap is somebody's. Errors: -EEXIST
 * emul.name-taken; net.refused where the kernel lacks ifb, act_mirred or sch_netem: then all is as before, and the frames are lost.
 */
int emul_leg_lag(struct emul_leg *leg, bool on, struct err *err);
/* The policy has changed: put what differs. VLAN, QoS and proto are the leg's for life: -EOPNOTSUPP emul.vlan-fixed, nothing changed. On
 * another failure some of it may be set: apply the old one again. */
int emul_leg_apply(struct emul_leg *leg, const struct sys_vf *policy, struct err *err);
/* Tell the network that the guest is here: RARP, and for the addresses given (may be none, at most SYS_ANNOUNCE_ADDRS_MAX of a kind) ARP and
 * neighbour advertisements. The leg carries. */
int emul_leg_announce(struct emul_leg *leg, const struct in_addr *ip4, size_t nr_ip4, const struct in6_addr *ip6, size_t nr_ip6,
		      struct err *err);
/*
 * Remove what create and carry made, and nothing else: an interface of our name that is of another kind, on another device or has another MAC
 * is left. Idempotent, also where only a part was made. Goes on after a refusal and returns the first.
 */
int emul_leg_destroy(struct emul_leg *leg, struct err *err);

/* The leg's record, from which emul_leg_from_json() makes it again after a crash. NULL: no memory. -EINVAL state.bad-record. */
json_t *emul_leg_to_json(const struct emul_leg *leg);
int emul_leg_from_json(struct sys *sys, const json_t *j, struct emul_leg **ret, struct err *err);

#endif
