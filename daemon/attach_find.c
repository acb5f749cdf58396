/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first steps of the attach table: which VF, and it is ours. It is found on a worker, which reads what it was given and writes to the op alone, and
 * taken in the loop, where somebody may have been faster.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "gangway_limits.h"
#include "op.h"
#include "preflight.h"
#include "work.h"

/* A worker must not look at the list of leases: it gets a copy of what it needs of it. */
int op_copy_leased(struct op *op, struct err *err)
{
	const struct hold *held;
	struct lease *l;
	size_t n = 0, nr_held = 0;

	LIST_FOREACH(held, &op->d->holds, link)
	nr_held++;
	free(op->leased);
	op->leased = calloc(op->d->nr_leases + nr_held + 1, sizeof(*op->leased));
	if (!op->leased)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for an attach");
	TAILQ_FOREACH(l, &op->d->leases, link)
	if (l->vf_bdf[0])
		memcpy(op->leased[n++], l->vf_bdf, BDF_LEN);
	LIST_FOREACH(held, &op->d->holds, link)
	memcpy(op->leased[n++], held->bdf, BDF_LEN);
	op->nr_leased = n;
	op->nr_changes = op->d->nr_changes;
	return 0;
}

static bool is_leased(const char *bdf, void *arg)
{
	const struct op *op = arg;

	for (size_t i = 0; i < op->nr_leased; i++)
		if (!strcmp(op->leased[i], bdf))
			return true;
	return false;
}

/* The VF that the lease had before the host booted: by what its PF is, whatever it is called now. */
static int find_recorded(struct op *op, struct err *err)
{
	struct sriov_pf pf;
	int r;

	r = sriov_pf_by_key(op->d->sys, op->lease->pf_key, &pf, err);
	if (r == 0)
		snprintf(op->target, sizeof(op->target), "%s/vf%u", pf.ifname[0] ? pf.ifname : pf.bdf, op->lease->vf_index);
	return r;
}

static bool is_switched_off(const struct sys_vf *policy)
{
	return (policy->fields & SYS_VF_STATE) && policy->state == SYS_VF_STATE_DISABLE;
}

/*
 * The leg that is there keeps the VLAN that it was made with, and goes on carrying, though it is to have what the VF has that nobody asked for
 * (step_leg_policy()). Why the VF does not fit it; NULL: it does.
 */
static const char *why_no_fit(const struct op *op)
{
	struct sys_vf vf, leg;

	lease_leg_policy(op->lease, &op->vf.policy, &vf);
	lease_leg_policy(op->lease, &(struct sys_vf){ 0 }, &leg);
	if (vf.vlan != leg.vlan || (vf.vlan && (vf.qos != leg.qos || vf.proto != leg.proto)))
		return "is in another VLAN";
	if (is_switched_off(&vf) && !is_switched_off(&leg))
		return "is switched off (state disable)";
	return NULL;
}

/* As if somebody had it. */
static int pass_over(struct op *op, struct err *err)
{
	char(*more)[BDF_LEN] = realloc(op->leased, (op->nr_leased + 1) * sizeof(*more));

	if (!more)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for an attach");
	op->leased = more;
	memcpy(op->leased[op->nr_leased++], op->vf.bdf, BDF_LEN);
	return 0;
}

static int find_free(struct op *op, struct err *err)
{
	int r = sriov_vf_find_free(op->d->sys, &op->pf, is_leased, op, &op->vf, err);
	const char *why, *last = NULL;
	unsigned passed = 0, index = 0;

	for (; r == 0 && op->vf_only && (why = why_no_fit(op)); passed++) {
		last = why;
		index = op->vf.index;
		r = pass_over(op, err);
		if (r == 0)
			r = sriov_vf_find_free(op->d->sys, &op->pf, is_leased, op, &op->vf, err);
	}
	if (r == -EBUSY && passed) {
		err_set(err, r, "sriov.no-vf-fits", "pf %s: of its %u free VFs none fits the emulated leg: vf%u %s",
			op->lease->pf_name, passed, index, last);
		err_hint(err, "`gangway vf set %s/vf%u ...` changes that", op->lease->pf_name, index);
	}
	return r;
}

static int any_found(struct op *op, int r, struct err *err)
{
	op->any_vf = true;
	op->none_free = r == -EBUSY || r == -ENODEV;
	return op->none_free ? op_forgo_vf(op, r, err) : r;
}

/* Any VF of op->pf. */
static int find_any(struct op *op, struct err *err)
{
	return any_found(op, find_free(op, err), err);
}

/* --- of several PFs --- */

/* As the preflight has it, which refuses its VFs. */
static bool is_down(const struct sriov_pf *pf)
{
	return pf->ifname[0] && !pf->link.up;
}

/* Lower is better: one that is down would be refused, one without link carries nothing, one on another node than the guest is slower. */
static unsigned rank(const struct op *op, const struct sriov_pf *pf)
{
	return (is_down(pf) ? 4 : 0) + (pf->link.carrier ? 0 : 2) + (preflight_numa_suits(op, pf->numa_node) ? 0 : 1);
}

/* Best first; of those that are as good as each other, as they were named. */
static void sort_pfs(const struct op *op, struct sriov_pf *pfs, unsigned nr)
{
	unsigned ranks[LIMIT_PFS_NAMED];

	for (unsigned i = 0; i < nr; i++) {
		struct sriov_pf pf = pfs[i];
		unsigned r = rank(op, &pf), k;

		for (k = i; k > 0 && ranks[k - 1] > r; k--) {
			pfs[k] = pfs[k - 1];
			ranks[k] = ranks[k - 1];
		}
		pfs[k] = pf;
		ranks[k] = r;
	}
}

/* A name that is wrong is told, whatever the others have. */
static int named_pfs(const struct op *op, struct sriov_pf *pfs, unsigned *ret_nr, struct err *err)
{
	char names[sizeof(op->target)], *rest = names, *name;
	unsigned nr = 0;
	int r = 0;

	memcpy(names, op->target, sizeof(names));
	while (r == 0 && (name = strsep(&rest, ","))) {
		if (nr == LIMIT_PFS_NAMED)
			return err_set(err, -E2BIG, "attach.too-many-pfs", "%s: more than %d PFs", op->target, LIMIT_PFS_NAMED);
		r = sriov_pf_get(op->d->sys, name, &pfs[nr++], err);
	}
	*ret_nr = nr;
	return r;
}

/* Those that are worth looking at: one that is down is not, where another one is up and a lease may do without a VF for now. */
static unsigned count_useful(const struct sriov_pf *pfs, unsigned nr)
{
	unsigned n = nr;

	while (n > 1 && is_down(&pfs[n - 1]) && !is_down(&pfs[0]))
		n--;
	return n;
}

/* A free VF of the best PF that has one. */
static int find_among(struct op *op, struct err *err)
{
	struct sriov_pf *pfs = calloc(LIMIT_PFS_NAMED, sizeof(*pfs));
	unsigned nr = 0, useful;
	int r;

	if (!pfs)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for an attach");
	r = named_pfs(op, pfs, &nr, err);
	if (r < 0) {
		free(pfs);
		return r;
	}
	sort_pfs(op, pfs, nr);
	useful = count_useful(pfs, nr);
	r = -EBUSY;
	for (unsigned i = 0; i < useful && (r == -EBUSY || r == -ENODEV); i++) {
		op->pf = pfs[i];
		r = find_free(op, err);
	}
	if (r == -EBUSY || r == -ENODEV) { /* a lease that does without for now is the best's */
		op->pf = pfs[0];
		err_prefix(err, "%s: none%s has a VF to spare", op->target, useful < nr ? " that is up" : "");
	}
	free(pfs);
	return any_found(op, r, err);
}

int step_find(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct sys *sys = op->d->sys;
	struct err not_vf;
	int r;

	err_clear(&op->no_vf);
	op->vf = (struct sriov_vf){ 0 };
	if (op->vf_only) {
		r = sriov_pf_by_key(sys, op->lease->pf_key, &op->pf, err);
		return r < 0 ? r : find_any(op, err);
	}
	if (op->as_recorded) {
		r = find_recorded(op, err);
		if (r < 0)
			return r;
	}
	r = sriov_vf_get(sys, op->target, &op->vf, &op->pf, &not_vf);
	if (r == 0)
		return sriov_vf_check_unused(&op->vf, err);
	if (strchr(op->target, ',') && sriov_pf_get(sys, op->target, &op->pf, NULL) < 0)
		return find_among(op, err);
	if (strchr(op->target, '/')) {
		*err = not_vf;
		return r;
	}
	r = sriov_pf_get(sys, op->target, &op->pf, err);
	return r < 0 ? r : find_any(op, err);
}

/* The MAC asked for may be promised to a lease that has not written it yet: the check of the host's interfaces does not see that. */
static int check_promised_mac(const struct op *op, struct err *err)
{
	const struct lease *l = op->lease;
	struct lease *other;
	char mac[18];

	if (!(l->want.fields & SYS_VF_MAC))
		return 0;
	TAILQ_FOREACH(other, &op->d->leases, link)
	{
		if (other == l || !other->pf_key[0] || !(other->want.fields & SYS_VF_MAC) ||
		    memcmp(other->want.mac, l->want.mac, SYS_MAC_LEN))
			continue;
		mac_format(l->want.mac, mac);
		err_set(err, -EEXIST, "policy.mac-in-use", "mac %s: lease %s has it", mac, other->id);
		err_hint(err, "choose another one, or `gangway detach %s %s` first", other->guest, other->nic);
		return -EEXIST;
	}
	return 0;
}

static void take_pf(struct op *op)
{
	struct lease *l = op->lease;

	snprintf(l->pf_key, sizeof(l->pf_key), "%s", op->pf.key);
	memcpy(l->pf_bdf, op->pf.bdf, sizeof(l->pf_bdf));
	snprintf(l->pf_name, sizeof(l->pf_name), "%s", op->pf.ifname[0] ? op->pf.ifname : op->pf.bdf);
	lease_follow_pf(l); /* renamed since a worker looked: the event found no lease yet */
}

/* The VF found is taken, unless somebody was faster. */
static int take_vf(struct op *op, struct err *err)
{
	struct lease *l = op->lease, *other;

	if (op->no_vf.num) {
		take_pf(op);
		return check_promised_mac(op, err);
	}
	other = lease_of_vf(op->d, op->vf.bdf);
	if (!other)
		other = lease_of_vf_index(op->d, op->pf.key, op->vf.index);
	if (other && other != l) {
		err_set(err, -EBUSY, "lease.vf-taken", "VF %s: in use by lease %s (%s)", op->vf.bdf, other->id,
			lease_state_to_string(other->state));
		err_hint(err, "`gangway vf list` shows the free ones");
		return -EBUSY;
	}
	if (op->d->nr_numvfs) {
		err_set(err, -EBUSY, "sriov.busy", "PF %s: the number of VFs is being changed", op->target);
		err_hint(err, "`gangway pf show %s` shows when that is over", op->target);
		return -EBUSY;
	}
	if (bdf_is_held(op->d, op->vf.bdf)) {
		err_set(err, -EBUSY, "sriov.busy", "VF %s: its policy is being changed", op->vf.bdf);
		err_hint(err, "wait for the answer to that, then again");
		return -EBUSY;
	}
	if (check_promised_mac(op, err) < 0)
		return -EEXIST;
	take_pf(op);
	lease_set_vf(l, op->vf.bdf);
	l->vf_index = op->vf.index;
	l->group_id = op->vf.group_id;
	l->half_vf = op->vf_only; /* from here on: its record may be what fails */
	return 0;
}

static int find_again(void *arg)
{
	struct op *op = arg;

	return step_find(op, &op->found_err);
}

static void found_again(int r, void *arg)
{
	struct op *op = arg;

	if (r == 0)
		r = step_reserve(op, &op->found_err);
	if (r != STEP_PENDING)
		steps_done(op->steps, r, &op->found_err);
}

int step_reserve(void *ctx, struct err *err)
{
	struct op *op = ctx;
	/* vf.set has ended since the VF was looked at: the policy that was read, and is to be put back, is of before */
	bool old = op->nr_changes != op->d->nr_changes;
	int r = old ? 0 : take_vf(op, err);

	/* whoever is in the way will be gone in a moment: no failure, after which the switch would wait longer each time */
	if (r == -EBUSY && op->vf_only)
		r = -EAGAIN;

	/* any VF will do, and another attach or vf.set has just taken this one: the next, then */
	if (old || (r < 0 && op->any_vf && (lease_of_vf(op->d, op->vf.bdf) || bdf_is_held(op->d, op->vf.bdf)))) {
		r = op_copy_leased(op, err);
		if (r == 0)
			r = work_submit(op->d->pool, find_again, found_again, op);
		if (r == 0)
			r = STEP_PENDING;
	}
	return r;
}
