/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lease as JSON: for the control protocol, and as the record in the state database. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "daemon.h"
#include "devproc.h"
#include "irq_follow.h"
#include "irq_keep.h"
#include "lease.h"
#include "lease_memory.h"
#include "policy_json.h"
#include "switcher.h"
#include "vmm.h"

#define RECORD_VERSION 1

static json_t *device_to_json(const struct devproc *dev)
{
	const struct devproc_status *s;

	if (!dev)
		return json_null();
	s = devproc_get_status(dev);
	return json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:s, s:b, s:s}", "pid", (int)s->pid, "client",
			 s->vuser_state, "messages", (json_int_t)s->nr_messages, "rejected", (json_int_t)s->nr_rejected,
			 "dma_ranges", (json_int_t)s->dma_ranges, "dma_bytes", (json_int_t)s->dma_bytes, "dma_pending",
			 (json_int_t)s->dma_pending, "dma_rate", (json_int_t)s->dma_rate, "dma_pinned_total",
			 (json_int_t)s->dma_pinned_total, "vectors", (int)s->vectors_armed, "bus_master", s->bus_master, "held",
			 s->held, "degraded", s->degraded, "last_error", s->last_error);
}

static json_t *standby_to_json(const struct lease *l)
{
	char words[EMUL_WORDS_MAX];
	const char *ifname;

	if (!l->emul)
		return json_null();
	emul_words_print(&l->standby, words);
	ifname = emul_leg_ifname(l->emul);
	return json_pack("{s:s, s:s?, s:s}", "kind", words, "interface", ifname[0] ? ifname : NULL, "id", l->standby_id);
}

json_t *lease_to_json(const struct lease *l)
{
	char vf[IF_NAMESIZE + 16];

	snprintf(vf, sizeof(vf), "%s/vf%u", l->pf_name, l->vf_index);
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s?, s:I, s:s, s:s?, s:s?, s:s, s:b, s:o, s:o, s:o, s:o, s:s?, "
			 "s:o, s:o, s:o, s:o, s:o}",
			 "id", l->id, "guest", l->guest, "nic", l->nic, "state", lease_state_to_string(l->state), "confirmed",
			 l->confirmed, "why", l->why, "leg", lease_leg_to_string(l->leg), "reason",
			 lease_reason_to_string(l->reason), "since", (json_int_t)l->since, "pf", l->pf_name, "vf",
			 l->vf_bdf[0] ? vf : NULL, "vf_bdf", l->vf_bdf[0] ? l->vf_bdf : NULL, "via", lease_via_to_string(l->via),
			 "prepared", l->prepared, "policy", policy_to_json(&l->want), "standby", standby_to_json(l), "no_standby",
			 err_to_json(&l->no_standby), "switch", switcher_to_json(l), "socket",
			 l->dev ? devproc_socket_path(l->dev) : NULL, "device", device_to_json(l->dev), "error",
			 err_to_json(&l->error), "faults", faults_to_json(l), "irq", irq_lease_to_json(l), "memory",
			 lease_memory_to_json(l));
}

static json_t *base_to_record(const struct lease *l, const struct lease_undo *undo)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:s, s:b, s:i, s:o, s:i, s:i, s:I, s:b, s:b, "
			 "s:{s:s, s:b, s:i}, s:{s:b, s:s, s:s, s:o, s:i, s:i, s:i, s:i}}",
			 "record", RECORD_VERSION, "boot_id", l->boot_id, "guest", l->guest, "nic", l->nic, "state",
			 lease_state_to_string(l->state), "pf_key", l->pf_key, "vf_index", (int)l->vf_index, "pf_name",
			 l->pf_name, "vf_bdf", l->vf_bdf, "group_id", l->group_id, "via", lease_via_to_string(l->via), "prepared",
			 l->prepared, "port", (int)l->port, "want", policy_to_record(&l->want), "owner_uid", (int)l->owner_uid,
			 "owner_gid", (int)l->owner_gid, "device_uid", (json_int_t)l->device_uid, "quarantined",
			 l->faults.quarantined, "again", l->again.wanted, "memory", "policy", lease_memory_to_string(l),
			 "unshare", l->memory.unshare, "priority", (int)l->memory.priority, "undo", "valid", undo->valid,
			 "driver", undo->binding.driver, "override", undo->binding.override, "policy",
			 policy_to_record(&undo->policy), "touched", (int)undo->touched, "group_id", undo->group_id, "group_uid",
			 (int)undo->group_uid, "group_gid", (int)undo->group_gid);
}

/* Copy a string of a record into a field that must hold it whole. */
static int take(char *to, size_t size, const char *from)
{
	if (strlen(from) >= size)
		return -EINVAL;
	strcpy(to, from);
	return 0;
}

/* Of the emulated leg; no action of a switch is under way with it. */
static json_t *emul_to_record(const struct lease *l)
{
	char words[EMUL_WORDS_MAX];

	emul_words_print(&l->standby, words);
	return json_pack("{s:s, s:s, s:i, s:i, s:s, s:b, s:b, s:b, s:o}", "words", words, "id", l->standby_id, "pid",
			 (int)l->standby_pid, "nr", (int)l->leg_nr, "bus", l->bus, "stay", l->stay_emulated, "half_vf",
			 l->half_vf, "revoked", l->revoked, "leg", emul_leg_to_json(l->emul));
}

static int emul_from_record(struct lease *l, const json_t *j, struct err *err)
{
	const char *words, *bus, *id = NULL;
	json_error_t je;
	json_t *leg;
	int stay, nr, pid = 0, half_vf = 0, revoked = 0;

	if (json_unpack_ex((json_t *)j, &je, 0, "{s:s, s?s, s?i, s:i, s:s, s:b, s?b, s?b, s:o}", "words", &words, "id", &id,
			   "pid", &pid, "nr", &nr, "bus", &bus, "stay", &stay, "half_vf", &half_vf, "revoked", &revoked, "leg",
			   &leg) < 0)
		return err_set(err, -EINVAL, "state.bad-record", "lease record: emul: %s", je.text);
	if (nr < 0 || nr > (int)EMUL_NR_MAX || pid < 0 || take(l->bus, sizeof(l->bus), bus) < 0 ||
	    (id && (vmm_id_check(id, NULL) < 0 || take(l->standby_id, sizeof(l->standby_id), id) < 0)))
		return err_set(err, -EINVAL, "state.bad-record", "lease record %s: a field of emul is out of range", l->id);
	l->leg_nr = (unsigned)nr;
	l->standby_pid = pid;
	l->stay_emulated = stay;
	l->half_vf = half_vf;
	l->revoked = revoked;
	if (emul_words_parse(words, &l->standby, err) < 0)
		return -EINVAL;
	return emul_leg_from_json(l->daemon->sys, leg, &l->emul, err);
}

/* For who reads status: cut where it is longer than what we write; nothing follows from it. */
static int no_standby_from_record(struct lease *l, const json_t *j, struct err *err)
{
	const char *code, *msg, *hint;
	json_error_t je;
	int num;

	if (json_unpack_ex((json_t *)j, &je, 0, "{s:s, s:i, s:s, s:s}", "code", &code, "errno", &num, "message", &msg, "hint",
			   &hint) < 0)
		return err_set(err, -EINVAL, "state.bad-record", "lease record: no_standby: %s", je.text);
	if (num <= 0)
		return err_set(err, -EINVAL, "state.bad-record", "lease record %s: no_standby is out of range", l->id);
	err_set(&l->no_standby, -num, code, "%s", msg);
	err_hint(&l->no_standby, "%s", hint);
	return 0;
}

json_t *lease_to_record(const struct lease *l, const struct lease_undo *undo)
{
	json_t *j = base_to_record(l, undo);

	if (j && ((l->emul && json_object_set_new(j, "emul", emul_to_record(l)) < 0) ||
		  (l->no_standby.num && json_object_set_new(j, "no_standby", err_to_json(&l->no_standby)) < 0))) {
		json_decref(j);
		return NULL;
	}
	return j;
}

struct record {
	const char *boot_id, *guest, *nic, *state, *pf_key, *pf_name, *vf_bdf, *via, *driver, *override;
	json_int_t vf_index, device_uid, port; /* an int would take the low half of a larger number */
	int version, group_id, prepared, owner_uid, owner_gid, quarantined, again, valid, touched, undo_group, undo_uid, undo_gid;
	json_t *want, *policy, *emul, *no_standby, *memory;
};

static int unpack(const json_t *j, struct record *r, struct err *err)
{
	json_error_t je;

	if (json_unpack_ex((json_t *)j, &je, 0,
			   "{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:i, s:s, s:b, s?I, s:o, s:i, s:i, s?I, s?b, s?b, "
			   "s?o, s?o, s?o, s:{s:b, s:s, s:s, s:o, s:i, s:i, s:i, s:i}}",
			   "record", &r->version, "boot_id", &r->boot_id, "guest", &r->guest, "nic", &r->nic, "state", &r->state,
			   "pf_key", &r->pf_key, "vf_index", &r->vf_index, "pf_name", &r->pf_name, "vf_bdf", &r->vf_bdf,
			   "group_id", &r->group_id, "via", &r->via, "prepared", &r->prepared, "port", &r->port, "want", &r->want,
			   "owner_uid", &r->owner_uid, "owner_gid", &r->owner_gid, "device_uid", &r->device_uid, "quarantined",
			   &r->quarantined, "again", &r->again, "emul", &r->emul, "no_standby", &r->no_standby, "memory",
			   &r->memory, "undo", "valid", &r->valid, "driver", &r->driver, "override", &r->override, "policy",
			   &r->policy, "touched", &r->touched, "group_id", &r->undo_group, "group_uid", &r->undo_uid, "group_gid",
			   &r->undo_gid) < 0)
		return err_set(err, -EINVAL, "state.bad-record", "lease record: %s", je.text);
	if (r->version != RECORD_VERSION)
		return err_set(err, -EINVAL, "state.bad-record", "lease record of version %d, this gangwayd writes %d",
			       r->version, RECORD_VERSION);
	return 0;
}

/* A lease with an emulated leg may have none for now. */
static int take_vf(const struct record *r, char bdf[static BDF_LEN])
{
	bdf[0] = '\0';
	return !r->vf_bdf[0] && r->emul && !r->prepared && !r->valid ? 0 : bdf_parse(r->vf_bdf, bdf);
}

static int fill(struct lease *l, const struct record *r, struct err *err)
{
	char bdf[BDF_LEN];

	if (take(l->boot_id, sizeof(l->boot_id), r->boot_id) < 0 || take(l->pf_key, sizeof(l->pf_key), r->pf_key) < 0 ||
	    take(l->pf_name, sizeof(l->pf_name), r->pf_name) < 0 ||
	    take(l->undo.binding.driver, DRIVER_NAME_MAX, r->driver) < 0 ||
	    take(l->undo.binding.override, DRIVER_NAME_MAX, r->override) < 0 || strchr(r->driver, '/') ||
	    strchr(r->override, '/') || take_vf(r, bdf) < 0 || lease_via_from_string(r->via, &l->via) < 0 ||
	    lease_state_from_string(r->state) >= LEASE_GONE || r->vf_index < 0 || r->vf_index >= SYS_VF_MAX || r->port < 0 ||
	    r->port > LIMIT_LEASES_PER_GUEST || lease_memory_from_record(l, r->memory) < 0 ||
	    (r->device_uid && (r->device_uid < DEVICE_UID_MIN || r->device_uid > DEVICE_UID_MAX)))
		return err_set(err, -EINVAL, "state.bad-record", "lease record %s/%s: a field is out of range", r->guest, r->nic);
	if (policy_from_record(r->want, &l->want, err) < 0 || policy_from_record(r->policy, &l->undo.policy, err) < 0)
		return -EINVAL;
	if ((r->emul && emul_from_record(l, r->emul, err) < 0) ||
	    (r->no_standby && no_standby_from_record(l, r->no_standby, err) < 0))
		return -EINVAL;
	if (bdf[0]) {
		lease_set_vf(l, bdf);
		l->vf_index = (unsigned)r->vf_index;
		l->group_id = r->group_id;
	}
	l->prepared = r->prepared;
	if (r->port) /* a record of an older gangwayd has none: lease_new() gave one */
		l->port = (unsigned)r->port;
	l->owner_uid = (uid_t)r->owner_uid;
	l->owner_gid = (gid_t)r->owner_gid;
	l->device_uid = (uid_t)r->device_uid;
	l->faults.due = r->quarantined; /* until it has been seen to be so */
	/* cut short; the record of what came through says the same, and is none of that */
	l->again.wanted = r->again && lease_state_from_string(r->state) == LEASE_ATTACHING;
	l->undo.valid = r->valid;
	l->undo.touched = (unsigned)r->touched;
	l->undo.group_id = r->undo_group;
	l->undo.group_uid = (uid_t)r->undo_uid;
	l->undo.group_gid = (gid_t)r->undo_gid;
	return 0;
}

/*
 * By way of the one setter: a record cannot bring a lease where no transition leads, it is LEASE_ATTACHING then, as is one of a host that
 * has booted since.
 */
static void take_state(struct lease *l, enum lease_state state)
{
	static const char why[] = "as recorded, its VMM has not confirmed it yet";

	if (!strcmp(l->boot_id, l->daemon->boot_id) && lease_transition_legal(l->state, state))
		lease_set_state(l, state, why);
	else
		snprintf(l->why, sizeof(l->why), "%s", why);
	if (l->state == LEASE_ATTACHED && l->stay_emulated)
		lease_set_leg(l, LEG_EMULATED, REASON_OPERATOR);
	else if (l->state == LEASE_ATTACHED && lease_lacks_vf(l))
		lease_set_leg(l, LEG_EMULATED, REASON_NO_VF);
	else if (l->state == LEASE_ATTACHED)
		lease_set_leg(l, l->revoked ? LEG_EMULATED : LEG_PASSTHROUGH, REASON_NONE);
	l->confirmed = false;
}

int lease_from_record(struct daemon *d, const json_t *j, struct lease **ret, struct err *err)
{
	struct lease *l;
	struct record rec = { 0 };
	int r;

	r = unpack(j, &rec, err);
	if (r == 0)
		r = name_check("guest", rec.guest, err);
	if (r == 0)
		r = name_check("NIC", rec.nic, err);
	if (r == 0)
		r = lease_new(d, rec.guest, rec.nic, &l, err);
	if (r < 0)
		return r;
	r = fill(l, &rec, err); /* NOLINT(clang-analyzer-core.CallAndMessage): lease_new() gave a lease */
	if (r < 0) {
		lease_free(l);
		return r;
	}
	irq_keep_load(l, json_object_get(j, "irqs"));
	take_state(l, lease_state_from_string(rec.state));
	*ret = l;
	return 0;
}
