/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of the attach table that make the lease's emulated leg: on the host (emul.h), and its NIC in the guest (vmm_standby.h). It is
 * there, and carries, before the VF is plugged beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "guests.h"
#include "log.h"
#include "mac.h"
#include "op.h"
#include "vmm_standby.h"

/*
 * The guest knows its NIC by its MAC, whichever leg carries it, and whichever host it runs on. Where the operator gives none it is made of the
 * names of guest and NIC: the same at each attach, and at the destination of a migration. Locally administered, unicast. FNV-1a.
 */
bool lease_default_mac(struct lease *l)
{
	uint64_t h = 0xcbf29ce484222325;

	if (l->want.fields & SYS_VF_MAC)
		return false;
	for (const char *p = l->id; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3;
	for (unsigned i = 0; i < SYS_MAC_LEN; i++)
		l->want.mac[i] = (uint8_t)(h >> (8 * i));
	l->want.mac[0] = (uint8_t)((l->want.mac[0] & 0xfc) | 0x02);
	l->want.fields |= SYS_VF_MAC;
	return true;
}

/* The MAC that was made for its sake goes, too, unless the VF has it already. */
void op_without_standby(struct op *op, const struct err *why)
{
	struct lease *l = op->lease;

	op_warn(op, "no emulated leg: %s", why->msg);
	l->no_standby = *why;
	err_prefix(&l->no_standby, "lease %s: no emulated leg", l->id);
	if (!why->hint[0])
		err_hint(&l->no_standby, "--standby none where it need have none");
	l->standby = (struct emul_words){ .kind = EMUL_NONE };
	emul_leg_free(l->emul);
	l->emul = NULL;
	err_clear(&op->standby_err);
	if (op->made_mac && !l->undo.valid) {
		l->want.fields &= ~(unsigned)SYS_VF_MAC;
		memset(l->want.mac, 0, SYS_MAC_LEN);
		op->made_mac = false;
	}
}

bool op_plugs_standby(const struct op *op)
{
	return op->lease->standby.kind != EMUL_NONE && op->lease->standby.kind != EMUL_OWN;
}

int op_check_mac_settable(const struct op *op, struct err *err)
{
	if (op->vf.policy.fields & SYS_VF_MAC)
		return 0;
	err_set(err, -EOPNOTSUPP, "policy.no-mac", "VF %s: its PF's driver sets no MACs of VFs, and both legs need the same",
		op->vf.bdf);
	err_hint(err, "bind the PF to its own network driver");
	return -EOPNOTSUPP;
}

/* What an attach that would rather have it does without. */
static int forgive(struct op *op, int r, struct err *err)
{
	if (r >= 0 || !op->standby_auto)
		return r;
	op->standby_err = *err;
	err_clear(err);
	return 0;
}

bool op_mac_is_for_standby(const struct op *op)
{
	return op->standby_auto && op->made_mac && !op->must_come;
}

static int new_leg(struct op *op, const char *tap, struct err *err)
{
	struct lease *l = op->lease;
	struct emul_want want = { .words = l->standby, .pf = op->pf.ifname, .tap = tap, .nr = l->leg_nr };

	lease_leg_policy(l, &op->vf.policy, &want.policy);
	memcpy(want.mac, l->want.mac, SYS_MAC_LEN);
	return emul_leg_new(op->d->sys, &want, &op->leg, err);
}

/* On a worker, part of "check": changes nothing. */
int op_check_standby(struct op *op, struct err *err)
{
	int r = 0;

	if (!op_plugs_standby(op))
		return 0;
	/* a MAC that was asked for is refused with the VF; one that was made is no reason to refuse the VF */
	if (op_mac_is_for_standby(op) && op_has_vf(op))
		r = op_check_mac_settable(op, err);
	if (r == 0)
		r = new_leg(op, NULL, err);
	return forgive(op, r, err);
}

/* In the loop: what a worker found that cannot be had. */
void after_standby(void *ctx)
{
	struct op *op = ctx;
	struct err why = op->standby_err;

	if (why.num)
		op_without_standby(op, &why);
}

void after_check(void *ctx)
{
	struct op *op = ctx;

	if (op->vf_only)
		return;
	if (op->no_vf.num)
		lease_clear_vf(op->lease);
	op->lease->emul = op->leg;
	op->leg = NULL;
	if (op->lease->prepared) /* else the guest may have one of its own: op_choose_standby() */
		after_standby(op);
}

/* --- the guest's own --- */

static int no_own(const struct op *op, struct err *err)
{
	char mac[MAC_TEXT];

	mac_format(op->lease->want.mac, mac);
	err_set(err, -ENOENT, "attach.no-own-standby", "guest %s: it has no virtio-net with the MAC address %s", op->lease->guest,
		mac);
	err_hint(err, "--mac with that of its NIC that has failover=on; or --standby auto, which plugs one where there is none");
	return -ENOENT;
}

/* Two with one MAC: the guest's kernel would pair the VF with either. */
static int two_standbys(const struct op *op, struct err *err)
{
	char words[EMUL_WORDS_MAX];

	emul_words_print(&op->lease->standby, words);
	err_set(err, -EEXIST, "attach.own-standby", "guest %s: it has a standby with this MAC address already: %s",
		op->lease->guest, op->own.id);
	err_hint(err, "--standby own (or auto) uses it; for %s start the guest without", words);
	return -EEXIST;
}

static int is_taken(const struct op *op, struct err *err)
{
	const struct lease *l;

	TAILQ_FOREACH(l, &op->d->leases, link)
	if (l != op->lease && !strcmp(l->guest, op->lease->guest) &&
	    (!strcmp(l->standby_id, op->own.id) || !strcmp(l->device_id, op->own.id)))
		return err_set(err, -EEXIST, "lease.exists", "guest %s: its standby %s is that of lease %s", l->guest, op->own.id,
			       l->id);
	return 0;
}

/* QEMU takes one of a pair, and would say so when the VF is plugged. */
static int is_paired(const struct op *op, struct err *err)
{
	if (!op->own.primary[0])
		return 0;
	err_set(err, -EBUSY, "vmm.other-primary", "guest %s: its standby %s is paired with another device already: %s",
		op->lease->guest, op->own.id, op->own.primary);
	err_hint(err, "take that one out of the guest first (device_del; libvirt: virsh detach-device)");
	return -EBUSY;
}

int op_choose_standby(struct op *op, struct err *err)
{
	struct lease *l = op->lease;

	if (op->vf_only)
		return 0;
	if (op->own_r < 0) {
		*err = op->own_err;
		return op->own_r;
	}
	if (op->own_r == 0) {
		after_standby(op);
		return l->standby.kind == EMUL_OWN ? no_own(op, err) : 0;
	}
	if (op_plugs_standby(op) && !op->standby_auto)
		return two_standbys(op, err);
	if (is_taken(op, err) < 0 || is_paired(op, err) < 0)
		return err->num;
	/* what could have been done without, with the MAC that was made for its sake, cannot any more */
	if (op_has_vf(op) && op_check_mac_settable(op, err) < 0)
		return err->num;
	err_clear(&op->standby_err);
	emul_leg_free(l->emul);
	l->emul = NULL;
	l->standby = (struct emul_words){ .kind = EMUL_OWN };
	snprintf(l->standby_id, sizeof(l->standby_id), "%s", op->own.id);
	l->standby_pid = op->vmm_pid;
	op->standby_auto = false; /* there is no doing without what is there */
	return 0;
}

/* On a worker: where the kernel says that it leads to. Nothing is changed. */
int step_own_standby(void *ctx, struct err *err)
{
	struct op *op = ctx;
	char tap[IF_NAMESIZE];

	if (emul_own_tap(op->d->sys, op->vmm_pid, op->own.tap, op->own.tap_fd, tap) < 0)
		tap[0] = '\0';
	return new_leg(op, tap, err);
}

void after_own_standby(void *ctx)
{
	struct op *op = ctx;
	struct lease *l = op->lease;

	l->emul = op->leg;
	op->leg = NULL;
	if (l->want.fields & ~(unsigned)SYS_VF_MAC)
		op_warn(op, "the policy is the VF's: what holds on the guest's own standby %s is left to whoever made it",
			l->standby_id);
}

/* Without vhost the VMM moves the frames in its main loop, which stands still while it plugs a VF and pins the guest's memory. */
static int open_vhost(const struct op *op)
{
	int fd = op->d->sys->ops->open(op->d->sys, "/dev/vhost-net", O_RDWR);

	if (fd < 0)
		log_warn("lease %s: /dev/vhost-net: %s: its emulated leg is slower, and dark while the VF is plugged (modprobe "
			 "vhost_net)",
			 op->lease->id, strerror(-fd));
	return fd;
}

static int make_standby(struct op *op, struct err *err)
{
	struct emul_leg *leg = op->lease->emul;
	int r = emul_leg_create(leg, err);

	if (r == 0 && !op_plugs_standby(op)) /* its VMM has the descriptor */
		return emul_leg_carry(leg, true, err);
	if (r < 0)
		return r;
	r = emul_leg_open(leg, err);
	if (r < 0)
		return r;
	op->tap_fd = r;
	op->vhost_fd = open_vhost(op); /* which may have the kernel load a module */
	return emul_leg_carry(leg, true, err);
}

int step_leg_policy(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct sys_vf policy;

	lease_leg_policy(op->lease, &op->lease->undo.policy, &policy);
	return emul_leg_apply(op->lease->emul, &policy, err);
}

int undo_leg_policy(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct sys_vf policy;

	lease_leg_policy(op->lease, &(struct sys_vf){ 0 }, &policy);
	return emul_leg_apply(op->lease->emul, &policy, err);
}

static void close_fd(const struct op *op, int *fd)
{
	if (*fd >= 0)
		op->d->sys->ops->close(op->d->sys, *fd);
	*fd = -1;
}

void op_close_leg_fds(struct op *op)
{
	close_fd(op, &op->tap_fd);
	close_fd(op, &op->vhost_fd);
}

int step_standby(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct err why;
	int r = make_standby(op, err);

	if (r >= 0 || !op->standby_auto)
		return r;
	op_close_leg_fds(op);
	if (emul_leg_destroy(op->lease->emul, &why) < 0)
		return r; /* with what is left of it, this is no host to go on on */
	return forgive(op, r, err);
}

int undo_standby(void *ctx, struct err *err)
{
	struct op *op = ctx;

	return op->lease->emul ? emul_leg_destroy(op->lease->emul, err) : 0;
}

static void on_done(void *ctx, int r, const struct err *err)
{
	struct op *op = ctx;

	op_step_done(op, r < 0 ? r : 0, err);
}

/* A VMM that refuses it may take the VF; one that is lost or hangs will not, and may have a part of it. */
static void on_standby_plugged(void *ctx, int r, const struct err *err)
{
	struct op *op = ctx;

	if (r < 0 && op->standby_auto && r != -ECONNRESET && r != -ETIMEDOUT && r != -ECANCELED) {
		op->standby_err = *err;
		r = 0;
	}
	op_step_done(op, r < 0 ? r : 0, err);
}

bool op_has_refused_standby(const void *ctx)
{
	return ((const struct op *)ctx)->standby_err.num != 0;
}

/* What was made on the host for a standby that the VMM has refused. */
int step_drop_standby(void *ctx, struct err *err)
{
	struct op *op = ctx;

	if (op->memory_held != REASON_NONE) { /* neither leg, then */
		*err = op->memory_err;
		return err->num;
	}
	return emul_leg_destroy(op->lease->emul, err);
}

int step_plug_standby(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	char mac[18];
	struct vmm_standby_plug plug = { .id = l->standby_id,
					 .netdev_id = l->netdev_id,
					 .bus = op->standby_bus,
					 .mac = mac,
					 .fd = op->tap_fd,
					 .vhost_fd = op->vhost_fd };
	struct guest *g;
	int r;

	mac_format(l->want.mac, mac);
	r = guest_get(op->d, l->guest, &g, err);
	if (r == 0)
		r = vmm_plug_standby(g->vmm, &plug, on_standby_plugged, op, err);
	op_close_leg_fds(op);
	return r < 0 ? r : STEP_PENDING;
}

/* After the VF is out: without it the guest would have no NIC at all in between. */
int step_unplug_standby(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease *l = op->lease;
	struct guest *g;
	int r;

	op_close_leg_fds(op);
	if (l->left)
		return 0; /* its NIC goes with it */
	r = op_vmm_to_undo(op, step_unplug_standby, &g, err);
	if (r != 0 || !g)
		return r;
	r = vmm_unplug_standby(g->vmm, l->standby_id, l->netdev_id, op->wait_ms ? op->wait_ms : op->d->config.unplug_timeout_ms,
			       on_done, op, err);
	return r < 0 ? r : STEP_PENDING;
}
