/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The actions of a switch. Those on the host run on a worker, with all they need copied, but for the emulated leg: one action at a time is
 * under way, and the lease is marked busy, so nobody else has it. Those in the guest go to its VMM.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "daemon.h"
#include "devproc.h"
#include "emul.h"
#include "guests.h"
#include "irq_keep.h"
#include "lease.h"
#include "log.h"
#include "sriov_steer.h"
#include "switcher_internal.h"
#include "vdev.h"
#include "vmm.h"
#include "vmm_migrate.h"
#include "work.h"

struct job {
	struct switcher *s;
	struct sys *sys;
	enum switch_action action;
	struct emul_leg *leg;
	char pf_key[PF_KEY_MAX];
	unsigned vf_index;
	struct sys_vf want, saved;
	char bdf[BDF_LEN];
	struct vdev *vdev; /* vfio-user */
	bool has_vf;
	bool to_vf; /* SWITCH_ANNOUNCE: from the VF's side */
	bool lets_go; /* the guest drives the VF, and is about to let it go */
	struct err err;
};

/* --- on a worker --- */

static int steer_both(struct job *j, const struct sriov_pf *pf)
{
	int r = emul_leg_carry(j->leg, true, &j->err);
	struct err err;

	if (r == 0 && j->has_vf)
		r = sriov_steer_to_vf(j->sys, pf, j->vf_index, j->want.mac, &j->err);
	if (r == 0 && !j->lets_go) /* it may have been about to, and stays */
		r = emul_leg_lag(j->leg, false, &j->err);
	if (r < 0 || !j->lets_go)
		return r;
	err_clear(&err);
	if (emul_leg_lag(j->leg, true, &err) < 0)
		log_info("standby %s: frames are lost while the guest lets its VF go: %s, ignoring", emul_leg_ifname(j->leg),
			 err.msg);
	return 0;
}

static int drop_vf(struct job *j, const struct sriov_pf *pf)
{
	int r = j->leg ? emul_leg_lag(j->leg, false, &j->err) : 0;

	return r < 0 || !j->has_vf ? r : sriov_steer_off_vf(j->sys, pf, j->vf_index, j->want.mac, &j->saved, &j->err);
}

static int drop_standby(struct job *j)
{
	int r = emul_leg_lag(j->leg, false, &j->err);

	return r < 0 ? r : emul_leg_carry(j->leg, false, &j->err);
}

/* The network learns the guest's MAC by a frame that has it as its source: out of the leg that carries. */
static int announce(struct job *j, const struct sriov_pf *pf)
{
	struct sys_announce what = { 0 };

	if (!j->to_vf)
		return emul_leg_announce(j->leg, NULL, 0, NULL, 0, &j->err);
	memcpy(what.mac, j->want.mac, SYS_MAC_LEN);
	return j->sys->ops->announce(j->sys, &pf->link, &what, &j->err);
}

/*
 * The guest keeps the VF past its deadline. vfio-user: what its container maps is unmapped, for good. vfio-pci: the mappings are the VMM's;
 * what is ours is the bus master bit, which VMM and guest can set again.
 */
static int revoke_dma(struct job *j)
{
	bool was_on;
	int r;

	if (j->vdev)
		return vdev_quiesce(j->vdev, &j->err);
	r = sriov_clear_master(j->sys, j->bdf, &was_on);
	return r < 0 ? err_set(&j->err, r, "vf.not-revoked", "VF %s: its bus mastering cannot be switched off: %s", j->bdf,
			       strerror(-r))
		     : 0;
}

static int job_run(void *arg)
{
	struct job *j = arg;
	struct sriov_pf pf;
	int r = sriov_pf_by_key(j->sys, j->pf_key, &pf, &j->err);

	if (r < 0)
		return r;
	switch (j->action) {
	case SWITCH_STEER_BOTH:
		return steer_both(j, &pf);
	case SWITCH_DROP_VF:
		return drop_vf(j, &pf);
	case SWITCH_PREPARE:
		/* the VF was kept: bound, open, reserved. Its policy is the lease's again, the MAC among it */
		return policy_apply(j->sys, &pf, j->vf_index, &j->want, &j->err);
	case SWITCH_DROP_STANDBY:
		return drop_standby(j);
	case SWITCH_ANNOUNCE:
		return announce(j, &pf);
	case SWITCH_REVOKE_DMA:
		return revoke_dma(j);
	case SWITCH_READY_STANDBY:
	case SWITCH_UNPLUG:
	case SWITCH_RELEASE:
	case SWITCH_PLUG:
	case SWITCH_REPLUG:
	case SWITCH_AWAIT_DRIVER:
	case SWITCH_ACTION_NUM_:
		break;
	}
	return -ENOSYS;
}

static void job_done(int r, void *arg)
{
	struct job *j = arg;
	struct switcher *s = j->s;
	struct err err = j->err;

	s->job = NULL;
	free(j);
	switcher_acted(s, r, &err);
}

static int on_host(struct switcher *s, enum switch_action action, struct err *err)
{
	struct lease *l = s->lease;
	struct switch_status status;
	struct switch_facts facts;
	struct job *j = calloc(1, sizeof(*j));
	int r = -ENOMEM;

	if (j) {
		switch_get_status(s->sw, &status);
		switch_get_facts(s->sw, &facts);
		*j = (struct job){ .s = s,
				   .sys = l->daemon->sys,
				   .action = action,
				   .leg = l->emul,
				   .vf_index = l->vf_index,
				   .want = l->want,
				   .saved = l->undo.policy,
				   .vdev = l->vdev,
				   .has_vf = l->vf_bdf[0] != '\0',
				   .to_vf = status.state == SWITCH_TO_PASSTHROUGH,
				   .lets_go = status.state == SWITCH_TO_EMULATED && facts.place == PLACE_IN &&
					      (facts.driven || lease_vf_is_driven(l)) };
		memcpy(j->bdf, l->vf_bdf, sizeof(j->bdf));
		memcpy(j->pf_key, l->pf_key, sizeof(j->pf_key));
		s->job = j;
		r = work_submit(l->daemon->pool, job_run, job_done, j);
	}
	if (r < 0) {
		s->job = NULL;
		free(j);
		err_set(err, r, "daemon.no-memory", "lease %s: no memory to switch it", l->id);
	}
	return r;
}

/* --- in the guest --- */

static void vmm_done(void *ctx, int r, const struct err *err)
{
	switcher_acted(ctx, r, err);
}

static int need_vmm(struct switcher *s, struct vmm **ret, struct err *err)
{
	struct guest *g;
	int r = guest_get(s->lease->daemon, s->lease->guest, &g, err);

	if (r == 0)
		*ret = g->vmm;
	return r;
}

static int ask_to_unplug(struct switcher *s, unsigned deadline_ms, struct err *err)
{
	struct vmm *vmm = NULL;
	int r = need_vmm(s, &vmm, err);

	/* the VMM's own word that it took too long comes first, and says more */
	return r < 0 ? r : vmm_unplug(vmm, s->lease->device_id, deadline_ms - deadline_ms / 8, vmm_done, s, err);
}

static void irqs_released(void *ctx)
{
	struct switcher *s = ctx;
	uint64_t now = switcher_now_ms(s);
	const char *why;
	struct err err;
	int r;

	if (s->lease->daemon->stopping)
		return;
	/* a migration may have begun meanwhile: its VMM takes the VF out itself, and one that is asked for it then does not plug it back */
	why = switch_hold(s->sw, SWITCH_UNPLUG);
	if (why)
		r = err_set(&err, -EAGAIN, "lease.busy", "lease %s: %s", s->lease->id, why);
	else
		r = ask_to_unplug(s, now < s->act_until ? (unsigned)(s->act_until - now) : 1, &err);
	if (r < 0)
		switcher_acted(s, r, &err);
}

/* Its interrupts are given back while they are there: their numbers are another's afterwards. */
static int unplug(struct switcher *s, unsigned deadline_ms, struct err *err)
{
	s->act_until = switcher_now_ms(s) + deadline_ms;
	return irq_keep_release(s->lease, irqs_released, s) ? 0 : ask_to_unplug(s, deadline_ms, err);
}

static int plug(struct switcher *s, struct err *err)
{
	struct lease *l = s->lease;
	struct vmm_plug p = { .id = l->device_id, .bus = l->bus, .failover_pair_id = l->standby_id };
	struct vmm *vmm = NULL;
	int r = need_vmm(s, &vmm, err);

	switcher_forget_driver(s);
	if (l->via == VIA_VFIO_USER && !l->dev)
		return err_set(err, -ENODEV, "device.lost", "lease %s: its gangway-device process is no more", l->id);
	if (l->via == VIA_VFIO_USER)
		p.socket_path = devproc_socket_path(l->dev);
	else
		p.host_bdf = l->vf_bdf;
	return r < 0 ? r : vmm_plug(vmm, &p, vmm_done, s, err);
}

/* All leases of the guest hear of it. */
static void expect_replug(const struct switcher *s, bool on)
{
	struct lease *l;

	TAILQ_FOREACH(l, &s->lease->daemon->leases, link)
	if (l->sw && !strcmp(l->guest, s->lease->guest))
		migration_expect_replug(l->sw->migration, on);
}

static void replug_done(void *ctx, int r, const struct err *err)
{
	/* else the guest's next migration would not be taken for one; where this one has begun, its end is expected yet */
	if (r < 0)
		expect_replug(ctx, false);
	switcher_acted(ctx, r, err);
}

static int replug(struct switcher *s, struct err *err)
{
	struct vmm *vmm = NULL;
	int r = need_vmm(s, &vmm, err);

	switcher_forget_driver(s);
	if (r < 0)
		return r;
	expect_replug(s, true);
	r = vmm_replug(vmm, replug_done, s, err);
	if (r < 0)
		expect_replug(s, false);
	return r;
}

int switcher_prepare(struct switcher *s, struct err *err)
{
	return lease_lacks_vf(s->lease) ? attach_get_vf(s->lease, err) : on_host(s, SWITCH_PREPARE, err);
}

static int begin(struct switcher *s, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	switch (action) {
	case SWITCH_PREPARE:
		return switcher_check_memory(s, err);
	case SWITCH_STEER_BOTH:
	case SWITCH_DROP_VF:
	case SWITCH_DROP_STANDBY:
	case SWITCH_ANNOUNCE:
	case SWITCH_REVOKE_DMA:
		return on_host(s, action, err);
	case SWITCH_UNPLUG:
		return unplug(s, deadline_ms, err);
	case SWITCH_PLUG:
		return plug(s, err);
	case SWITCH_REPLUG:
		return replug(s, err);
	case SWITCH_READY_STANDBY: /* plugged by the attach, and stays with the lease */
	case SWITCH_RELEASE: /* the VF stays the lease's, and was reset when the VMM or gangway-device let it go */
	case SWITCH_AWAIT_DRIVER:
	case SWITCH_ACTION_NUM_:
		break;
	}
	return 1;
}

int switcher_act(void *ctx, enum switch_action action, unsigned deadline_ms, struct err *err)
{
	struct switcher *s = ctx;
	struct lease *l = s->lease;
	int r;

	if (l->op || l->busy)
		return err_set(err, -EAGAIN, "lease.busy", "lease %s: %s", l->id, l->busy ? l->busy : "it is being changed");
	r = begin(s, action, deadline_ms, err);
	if (r < 0)
		return r;
	if (r == 1) {
		switch_done(s->sw, 0, NULL, switcher_now_ms(s));
		return 0;
	}
	s->action = action;
	l->busy = "its NIC is being switched";
	return 0;
}
