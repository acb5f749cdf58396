/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of the attach table on the host. Steps marked worker run on a thread: they read the lease's fixed fields and write to the
 * op alone; .after brings what they found into the lease.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "devproc.h"
#include "log.h"
#include "op.h"
#include "preflight.h"
#include "vdev.h"
#include "work.h"

/* how long a VMM may take to close the group after it has let the device go; there is no event for it */
#define GROUP_CLOSE_MS 2000
#define GROUP_CLOSE_POLL_MS 5

/* --- find, reserve --- */

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

/* Any VF of op->pf. */
static int find_any(struct op *op, struct err *err)
{
	int r = find_free(op, err);

	op->any_vf = true;
	op->none_free = r == -EBUSY || r == -ENODEV;
	return op->none_free ? op_forgo_vf(op, r, err) : r;
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

/* --- check --- */

int step_check(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return preflight_host(op, err);
}

int step_check_memory(void *ctx, struct err *err)
{
	struct op *op = ctx;
	int r = preflight_memory(op, err);

	if (r == 0)
		r = preflight_admission(op, err);

	if (r == 0)
		preflight_numa(op);
	return r;
}

/* --- bind --- */

int step_bind(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return sriov_bind(op->d->sys, op->lease->vf_bdf, VFIO_DRIVER, err);
}

/*
 * Taking vfio-pci from a function that somebody has open makes the kernel wait in the unbind for that somebody, for ever. So the
 * group is tried first: it opens only for one.
 */
static int wait_group_closed(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	struct sys *sys = op->d->sys;
	char node[64];
	int fd = -EBUSY;

	snprintf(node, sizeof(node), "/dev/vfio/%d", l->group_id);
	for (int ms = 0; ms < GROUP_CLOSE_MS; ms += GROUP_CLOSE_POLL_MS) {
		fd = sys->ops->open(sys, node, O_RDWR);
		if (fd != -EBUSY)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = GROUP_CLOSE_POLL_MS * 1000000L }, NULL);
	}
	if (fd >= 0)
		sys->ops->close(sys, fd);
	if (fd != -EBUSY)
		return 0;
	err_set(err, -EBUSY, "vfio.group-in-use", "VF %s: its IOMMU group %d is still open in another process", l->vf_bdf,
		l->group_id);
	err_hint(err, "`fuser -v %s` names it; end it, then `gangway detach %s %s` again", node, l->guest, l->nic);
	return -EBUSY;
}

/*
 * Back to what the VF's policy was, before a host driver returns and reads its MAC. The MAC is put back whether or not we set it: the
 * guest's driver may have told the PF another one.
 */
static int restore_policy(struct op *op, struct err *err)
{
	struct lease *l = op->lease;
	struct sriov_pf pf;
	int r;

	r = sriov_pf_by_key(op->d->sys, l->pf_key, &pf, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* the PF is no more */
	/* a PF may have been busy: asked twice, and the second time only for what is still not so */
	for (int try = 0; try < 2; try++) {
		r = policy_restore(op->d->sys, &pf, l->vf_index, &l->undo.policy, l->undo.touched, err);
		if (r == 0)
			return 0;
	}
	/* a driver that says no will say no again: that is told, and must not keep the VF from its driver for ever */
	if (err && !strcmp(err->code, "sriov.vf-set-refused")) {
		op_warn(op, "not all of its policy could be put back: %s", err->msg);
		return 0;
	}
	return r;
}

int undo_bind(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct sriov_binding now;
	int r;

	if (!l->undo.valid)
		return 0; /* nothing was changed */
	r = sriov_binding_get(op->d->sys, l->vf_bdf, &now, err);
	if (r == -ENOENT)
		return 0; /* the VF is no more */
	if (r < 0)
		return r;
	if (!strcmp(now.driver, VFIO_DRIVER)) {
		r = wait_group_closed(op, err);
		if (r < 0)
			return r;
	}
	r = restore_policy(op, err);
	if (r < 0)
		return r;
	return sriov_binding_restore(op->d->sys, l->vf_bdf, &l->undo.binding, err);
}

/* --- policy --- */

int step_policy(void *ctx, struct err *err)
{
	struct op *op = ctx;
	int r;

	/* renamed since it was found: another PF may be called that now */
	r = sriov_ifname(op->d->sys, op->pf.bdf, op->pf.ifname);
	if (r < 0)
		return err_set(err, r, "sriov.sysfs", "PF %s: its interface: %s", op->pf.bdf, strerror(-r));
	return policy_apply(op->d->sys, &op->pf, op->lease->vf_index, &op->lease->want, err);
}

/* --- grant: /dev/vfio/N to an unprivileged VMM --- */

int step_grant(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	char node[64];
	int r;

	snprintf(node, sizeof(node), "/dev/vfio/%d", l->group_id);
	r = op->d->sys->ops->chown(op->d->sys, node, l->owner_uid, l->owner_gid);
	return r < 0 ? err_set(err, r, "vfio.grant-failed", "%s: giving it to uid %u: %s", node, l->owner_uid, strerror(-r)) : 0;
}

int undo_grant(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease_undo *u = &op->lease->undo;
	char node[64];
	int r;

	if (!u->valid || u->group_id < 0)
		return 0;
	snprintf(node, sizeof(node), "/dev/vfio/%d", u->group_id);
	r = op->d->sys->ops->chown(op->d->sys, node, u->group_uid, u->group_gid);
	if (r < 0 && r != -ENOENT)
		return err_set(err, r, "vfio.grant-failed", "%s: giving it back: %s", node, strerror(-r));
	return 0;
}

/* --- open --- */

int step_open(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return vdev_open(op->d->sys, op->lease->vf_bdf, &op->vdev, err);
}

void after_open(void *ctx)
{
	struct op *op = ctx;

	op->lease->vdev = op->vdev;
	op->vdev = NULL;
}

int undo_open(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct err why;

	(void)err;
	/* a VMM that keeps the device's descriptor keeps what is mapped, too: closing ours unmaps nothing then */
	if (op->lease->vdev && vdev_quiesce(op->lease->vdev, &why) < 0)
		log_debug("lease %s: %s, ignoring", op->lease->id, why.msg);
	op->lease->vdev = vdev_close(op->lease->vdev);
	return 0;
}
