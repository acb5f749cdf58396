/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files of emul/ alone. */
#ifndef GANGWAY_EMUL_INTERNAL_H
#define GANGWAY_EMUL_INTERNAL_H

#include "emul.h"

#define CLASS_NET "/sys/class/net"
#define EMUL_PATH_MAX 128

/* A policy as a leg can have it. */
struct emul_policy {
	uint16_t vlan, proto; /* 0: none; proto 0x8100 or 0x88a8 */
	uint8_t qos;
	bool spoofchk, trust;
	bool dark; /* state disable */
	uint32_t rate; /* Mbit/s, 0: none */
};

struct emul_leg {
	struct sys *sys;
	const struct emul_ops *ops;
	struct emul_words words;
	char pf[IF_NAMESIZE]; /* as it was called last */
	unsigned pf_ifindex; /* 0 until it was checked */
	unsigned nr;
	char ifname[IF_NAMESIZE]; /* gwt<nr>; EMUL_OWN: the tap, "" not known */
	char vlan_name[IF_NAMESIZE]; /* gwv<nr>: of the VLAN link if this leg makes it */
	uint8_t mac[SYS_MAC_LEN];
	struct emul_policy policy;
	uint16_t port_vlan; /* of a bridge that filters VLANs: that of the leg's port; else 0 */
	bool had_entry,
		had_self; /* EMUL_OWN: where the MAC led by somebody's word when the leg was taken: to the tap, into the PF */
	bool carries; /* what was asked for; a dark leg does not */
	bool opened; /* the descriptor was given away, or is the VMM's alone */
	unsigned ifindex; /* of ifname once it was seen to be ours, 0 */
	int fd; /* of a tap until it is opened, -1; closed by emul_leg_free() */
};

/* One kind of leg. Functions as those of emul.h, on a leg that was checked. */
struct emul_ops {
	int (*check)(struct emul_leg *leg, const struct sys_link *pf, uint16_t *ret_port_vlan, struct err *err);
	int (*create)(struct emul_leg *leg, struct err *err); /* need not undo */
	int (*open)(struct emul_leg *leg, struct err *err);
	/* on: and not dark. @policy: the leg's, or the one that it is about to have */
	int (*carry)(struct emul_leg *leg, const struct emul_policy *policy, bool on, struct err *err);
	int (*apply)(struct emul_leg *leg, const struct emul_policy *policy, struct err *err); /* carry follows */
	int (*announce)(struct emul_leg *leg, struct sys_announce *what, struct err *err);
	int (*destroy)(struct emul_leg *leg, struct err *err);
	/* Does @link, which has our name, our kind and our MAC, stand where ours stands? */
	int (*owns)(struct emul_leg *leg, const struct sys_link *link, bool *ret, struct err *err);
	void (*host_mac)(const struct emul_leg *leg, uint8_t ret[static SYS_MAC_LEN]); /* of the host's interface */
	const char *
		kind; /* the kernel's word for that interface; .owns and .host_mac are for emul_leg_link() and emul_leg_remove() */
	enum sys_side side; /* where the guest's own frames pass it */
};

extern const struct emul_ops emul_macvtap_ops, emul_bridge_ops, emul_own_ops;

/* leg.c */
/* NULL: EMUL_NONE. */
const struct emul_ops *emul_ops_of(enum emul_kind kind);
/* The leg's interface as it is now. -ENODEV emul.gone: there is none, or one that is not ours. */
int emul_leg_link(struct emul_leg *leg, struct sys_link *ret, struct err *err);
/* The PF, whatever it is called now, if it is still the one. -ENODEV emul.no-pf. */
int emul_pf_link(struct emul_leg *leg, struct sys_link *ret, struct err *err);
/* Is the name of an interface that we are to make free? -EEXIST emul.name-taken. */
int emul_name_free(struct sys *sys, const char *ifname, struct err *err);
/* link_get with an error: -ENODEV stays, code @code; others "net.netlink". */
int emul_link_get(struct sys *sys, const char *ifname, const char *code, struct sys_link *ret, struct err *err);
/* Rate of @link as @policy has it; emul_limit: and the source check. @fresh: nothing is set yet. */
int emul_limit_rate(struct emul_leg *leg, const struct sys_link *link, const struct emul_policy *policy, bool fresh,
		    struct err *err);
int emul_limit(struct emul_leg *leg, const struct sys_link *link, const struct emul_policy *policy, bool fresh, struct err *err);
/* Remove the leg's interface if it is there and ours. */
int emul_leg_remove(struct emul_leg *leg, struct err *err);

/* lag.c: remove what emul_leg_lag() has made, once the leg's interface is gone. */
int emul_lag_remove(struct emul_leg *leg, struct err *err);

/* vlan.c: the VLAN link below a macvtap. A PF can have one for each VLAN: legs share it, the last one removes it. */
/* Is there room for it? As emul_leg_new(). */
int emul_vlan_check(struct emul_leg *leg, const struct sys_link *pf, struct err *err);
/* The link of the leg's VLAN as it is now. -ENODEV without error: there is none. */
int emul_vlan_find(struct emul_leg *leg, const struct sys_link *pf, struct sys_link *ret, struct err *err);
/* Put the leg's macvtap on the link of its VLAN, which is made if it is not there. */
int emul_vlan_add_macvtap(struct emul_leg *leg, const struct sys_link *pf, struct err *err);
/* Remove it if gangway made it and nobody is on it. */
int emul_vlan_drop(struct emul_leg *leg, struct err *err);

/* bridge.c: of a tap in the PF's bridge, ours or not; .words.bridge names it */
/* The bridge's VLAN that the leg is in, 0: it filters none. The PF is in it, else emul.bridge-vlan-missing. */
int emul_bridge_vlan(struct emul_leg *leg, const struct sys_link *pf, uint16_t *ret, struct err *err);
/* The entry for the guest's MAC, of the bridge or of the PF's filter. */
struct sys_fdb emul_bridge_entry(const struct emul_leg *leg, enum sys_fdb_where where);
/* The PF takes the MAC before the bridge sends it to the tap, and the other way round back: no frame is lost in between. */
int emul_bridge_steer(struct emul_leg *leg, const struct sys_link *pf, const struct sys_link *tap, bool on, struct err *err);

/* words.c */
/* An interface's name as an operator may give it: what the kernel takes (dev_valid_name()), and no more. */
bool emul_name_valid(const char *name);

/* policy.c */
/* -EINVAL emul.bad-policy */
int emul_policy_from(const struct sys_vf *policy, struct emul_policy *ret, struct err *err);
json_t *emul_policy_to_json(const struct emul_policy *policy);
int emul_policy_from_json(const json_t *j, struct emul_policy *ret); /* 0 or -EINVAL */

#endif
