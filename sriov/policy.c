/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VF policies written to the PF's driver, read back, and put back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "net_wire.h"
#include "sriov_internal.h"

#define RESET_TRIES 20 /* "VF is still in reset. Try again": a second in all */
#define RESET_WAIT_NS 50000000

static const uint8_t zero_mac[SYS_MAC_LEN];

/* What the driver says of @vf now. -ENOENT without error: there is no such VF (any more). */
static int read_vf(struct sys *sys, const struct sriov_pf *pf, unsigned vf, struct sys_vf *ret, struct err *err)
{
	struct sys_vf *all = calloc(SYS_VF_MAX, sizeof(*all));
	size_t nr = 0;
	int r = -ENOMEM;

	if (all)
		r = sys->ops->vf_list(sys, pf->ifname, all, SYS_VF_MAX, &nr);
	if (r == -ENODEV || (r == 0 && (vf >= nr || vf >= SYS_VF_MAX)))
		r = -ENOENT;
	else if (r < 0)
		err_set(err, r, "sriov.netlink", "vf %s/vf%u: cannot read its policy: %s", pf->ifname, vf, strerror(-r));
	else
		*ret = all[vf];
	free(all);
	return r;
}

static int set(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *want, struct err *err)
{
	const struct timespec wait = { .tv_nsec = RESET_WAIT_NS };
	int r = -EAGAIN;

	for (int try = 0; r == -EAGAIN && try < RESET_TRIES; try++) {
		if (try)
			nanosleep(&wait, NULL);
		r = sys->ops->vf_set(sys, pf->ifname, vf, want, err);
	}
	if (r == 0)
		err_clear(err);
	return r;
}

static bool same(const struct sys_vf *a, const struct sys_vf *b, enum sys_vf_field field)
{
	switch (field) {
	case SYS_VF_MAC:
		return memcmp(a->mac, b->mac, SYS_MAC_LEN) == 0;
	case SYS_VF_VLAN:
		/* without a VLAN drivers report whatever protocol */
		return a->vlan == b->vlan && a->qos == b->qos && (a->vlan == 0 || a->proto == b->proto);
	case SYS_VF_SPOOFCHK:
		return a->spoofchk == b->spoofchk;
	case SYS_VF_TRUST:
		return a->trust == b->trust;
	case SYS_VF_STATE:
		return a->state == b->state;
	case SYS_VF_RATE:
		return a->min_tx_rate == b->min_tx_rate && a->max_tx_rate == b->max_tx_rate;
	}
	return true;
}

static int not_taken(const struct sriov_pf *pf, unsigned vf, enum sys_vf_field field, struct err *err)
{
	err_set(err, -EIO, "policy.not-taken", "vf %s/vf%u: the driver %s accepted %s and did not keep it", pf->ifname, vf,
		pf->driver, net_wire_field_name(field));
	err_hint(err, "some drivers keep it only while the PF is up (ip link set %s up), others not at all: leave it out",
		 pf->ifname);
	return -EIO;
}

/* Which of @fields are not in @now as in @want, as far as the driver reports them. The first one, 0: none. */
static unsigned first_difference(const struct sys_vf *now, const struct sys_vf *want, unsigned fields)
{
	for (unsigned field = SYS_VF_MAC; field <= SYS_VF_RATE; field <<= 1) {
		if ((fields & now->fields & field) && !same(now, want, (enum sys_vf_field)field))
			return field;
	}
	return 0;
}

int policy_apply(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *want, struct err *err)
{
	struct sys_vf now, full = *want;
	unsigned field;
	int r;

	if (!want->fields)
		return 0;
	if (!pf->ifname[0]) {
		err_set(err, -EOPNOTSUPP, "policy.no-interface", "pf %s: has no network interface to set VF policies through",
			pf->bdf);
		err_hint(err, "bind the PF to its own network driver");
		return -EOPNOTSUPP;
	}
	r = read_vf(sys, pf, vf, &now, err);
	if (r == -ENOENT)
		return err_set(err, r, "sriov.no-such-vf", "vf %s/vf%u: no such VF", pf->ifname, vf);
	if (r < 0)
		return r;
	if (full.min_tx_rate == SYS_VF_RATE_KEEP)
		full.min_tx_rate = now.min_tx_rate;
	if (full.max_tx_rate == SYS_VF_RATE_KEEP)
		full.max_tx_rate = now.max_tx_rate;
	r = policy_check(&full, err);
	if (r == 0)
		r = set(sys, pf, vf, &full, err);
	if (r < 0)
		return r;
	r = read_vf(sys, pf, vf, &now, err);
	if (r == -ENOENT)
		return err_set(err, r, "sriov.no-such-vf", "vf %s/vf%u: gone while its policy was set", pf->ifname, vf);
	if (r < 0)
		return r;
	field = first_difference(&now, &full, full.fields);
	return field ? not_taken(pf, vf, (enum sys_vf_field)field, err) : 0;
}

/* A MAC of this VF's own: always the same for it, locally administered, unicast. FNV-1a over PF key and index. */
static void fallback_mac(const struct sriov_pf *pf, unsigned vf, uint8_t ret[static SYS_MAC_LEN])
{
	uint64_t h = 0xcbf29ce484222325u;

	for (const char *s = pf->key; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3u;
	for (int i = 0; i < 2; i++)
		h = (h ^ ((vf >> (8 * i)) & 0xff)) * 0x100000001b3u;
	for (int i = 0; i < SYS_MAC_LEN; i++)
		ret[i] = (uint8_t)(h >> (8 * i));
	ret[0] = (uint8_t)((ret[0] & 0xfc) | 0x02);
}

/* Back to no admin MAC. Drivers that refuse that or ignore it must not keep the guest's: the next user of the VF would have it. */
static int clear_mac(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *now, struct err *err)
{
	struct sys_vf want = { .fields = SYS_VF_MAC }, after;
	uint8_t own[SYS_MAC_LEN];
	int r;

	fallback_mac(pf, vf, own);
	if (memcmp(now->mac, own, SYS_MAC_LEN) == 0)
		return 0; /* done before */
	r = set(sys, pf, vf, &want, err);
	if (r == 0) {
		r = read_vf(sys, pf, vf, &after, err);
		/* a driver may pick a random one instead of zero: as good */
		if (r < 0 || memcmp(after.mac, now->mac, SYS_MAC_LEN))
			return r;
	}
	err_clear(err);
	memcpy(want.mac, own, SYS_MAC_LEN);
	return set(sys, pf, vf, &want, err);
}

static int restore_field(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *saved,
			 const struct sys_vf *now, enum sys_vf_field field, struct err *err)
{
	struct sys_vf want = *saved, after;
	int r;

	if (field == SYS_VF_MAC && memcmp(saved->mac, zero_mac, SYS_MAC_LEN) == 0)
		return clear_mac(sys, pf, vf, now, err);
	want.fields = field;
	r = set(sys, pf, vf, &want, err);
	if (r == 0)
		r = read_vf(sys, pf, vf, &after, err);
	if (r == 0 && first_difference(&after, &want, field))
		r = not_taken(pf, vf, field, err);
	return r;
}

int policy_restore(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const struct sys_vf *saved, unsigned touched,
		   struct err *err)
{
	unsigned fields = touched & saved->fields;
	struct err first = { 0 };
	struct sys_vf now;
	int r, ret = 0;

	if (!fields || !pf->ifname[0])
		return 0;
	r = read_vf(sys, pf, vf, &now, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (unsigned field = SYS_VF_MAC; field <= SYS_VF_RATE; field <<= 1) {
		struct err this = { 0 };

		/* a field the driver does not report now is written: it may differ */
		if (!(fields & field) || ((now.fields & field) && same(&now, saved, (enum sys_vf_field)field)))
			continue;
		r = restore_field(sys, pf, vf, saved, &now, (enum sys_vf_field)field, &this);
		if (r == -ENOENT || r == -ENODEV)
			return ret; /* PF or VF left meanwhile */
		if (r < 0 && ret == 0) {
			ret = r;
			first = this;
		}
	}
	if (ret < 0 && err)
		*err = first;
	return ret;
}
