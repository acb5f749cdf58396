/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of the attach table that write the lease's record: before anything is changed, and when all of it has been. On a worker. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon.h"
#include "db.h"
#include "op.h"

/* --- save --- */

enum vf_record { VF_NONE, VF_HALF, VF_WHOLE };

/* @boot_id: of the host that it is a record of. */
static int save_of(struct op *op, const char *boot_id, enum lease_state as, const struct lease_undo *undo, struct err *err)
{
	json_t *record = lease_to_record(op->lease, undo);
	int r;

	if (!record)
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory for its record", op->lease->id);
	json_object_set_new(record, "state", json_string(lease_state_to_string(as)));
	json_object_set_new(record, "boot_id", json_string(boot_id));
	r = db_put_lease(op->d->db, op->lease->id, record, err);
	json_decref(record);
	return r;
}

static int save(struct op *op, enum lease_state as, const struct lease_undo *undo, struct err *err)
{
	return save_of(op, op->lease->boot_id, as, undo, err);
}

/* Of a lease that is there, with its emulated leg, and is being given a VF or taken it: how far it is with that. */
static int save_vf(struct op *op, enum vf_record how, const struct lease_undo *undo, struct err *err)
{
	json_t *record = lease_to_record(op->lease, undo), *emul = json_object_get(record, "emul");
	int r;

	if (!emul || json_object_set_new(emul, "half_vf", json_boolean(how == VF_HALF)) < 0) {
		json_decref(record);
		return err_set(err, -ENOMEM, "daemon.no-memory", "lease %s: no memory for its record", op->lease->id);
	}
	if (how == VF_NONE) {
		json_object_set_new(record, "vf_bdf", json_string(""));
		json_object_set_new(record, "vf_index", json_integer(0));
		json_object_set_new(record, "group_id", json_integer(-1));
	}
	r = db_put_lease(op->d->db, op->lease->id, record, err);
	json_decref(record);
	return r;
}

/*
 * A MAC that the VF's driver on this host made up (NET_ADDR_RANDOM) is not one that the VF was given: what is to be put back is
 * "none", or the PF would hold every later driver to it. The kernel reports both the same way, so the interface tells.
 */
static void forget_random_mac(struct op *op, struct sys_vf *policy)
{
	char path[96], type[8];

	if (!op->vf.ifname[0] || !(policy->fields & SYS_VF_MAC) || memcmp(policy->mac, op->vf.link.mac, SYS_MAC_LEN))
		return;
	snprintf(path, sizeof(path), "/sys/class/net/%s/addr_assign_type", op->vf.ifname);
	if (sys_read_str(op->d->sys, path, type, sizeof(type)) == 0 && !strcmp(type, "1"))
		memset(policy->mac, 0, SYS_MAC_LEN);
}

int step_save(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct lease_undo *u = &op->undo;
	char node[64];
	struct stat st;
	int r;

	if (!op_has_vf(op)) {
		*u = (struct lease_undo){ .group_id = -1 };
		return save(op, LEASE_ATTACHING, u, err);
	}
	*u = (struct lease_undo){
		.valid = true, .policy = op->vf.policy, .touched = op->lease->want.fields | SYS_VF_MAC, .group_id = -1
	};
	forget_random_mac(op, &u->policy);
	r = sriov_binding_get(op->d->sys, op->lease->vf_bdf, &u->binding, err);
	if (r < 0)
		return r;
	if (op->lease->via == VIA_VFIO_PCI && op->lease->owner_uid != 0) {
		/* the node may not be there before the first VF of the group is bound: then it comes as root's */
		snprintf(node, sizeof(node), "/dev/vfio/%d", op->lease->group_id);
		u->group_id = op->lease->group_id;
		if (op->d->sys->ops->stat(op->d->sys, node, &st) == 0) {
			u->group_uid = st.st_uid;
			u->group_gid = st.st_gid;
		}
	}
	return op->vf_only ? save_vf(op, VF_HALF, u, err) : save(op, LEASE_ATTACHING, u, err);
}

void after_save(void *ctx)
{
	struct op *op = ctx;

	op->lease->undo = op->undo;
}

int undo_save(void *ctx, struct err *err)
{
	struct op *op = ctx;

	if (op->vf_only)
		return save_vf(op, VF_NONE, &(struct lease_undo){ .group_id = -1 }, err);
	/* as it was before: of another boot, with nothing to undo */
	if (op->lease->again.wanted)
		return save_of(op, "", LEASE_PREPARED, &(struct lease_undo){ .group_id = -1 }, err);
	return db_delete_lease(op->d->db, op->lease->id, err);
}

/* --- record --- */

/*
 * For the next gangwayd to begin with. A prepared lease has no guest to ask, and is nothing without it. Whether a hot attach came through
 * is seen from whether the guest has the device: it is not undone for want of a line in its record.
 */
int step_record(void *ctx, struct err *err)
{
	struct op *op = ctx;
	struct err why;

	if (op->vf_only)
		return save_vf(op, VF_WHOLE, &op->lease->undo, err);
	if (op->lease->prepared)
		return save(op, LEASE_PREPARED, &op->lease->undo, err);
	if (save(op, LEASE_ATTACHED, &op->lease->undo, &why) < 0)
		op_warn(op, "it is not recorded as attached: %s", why.msg);
	return 0;
}

/*
 * What is left of a hot lease the guest's VMM tells. Of a prepared one, which nobody can be asked about, the next gangwayd must not believe that
 * it is whole; where the guest is found to have the VF all the same, it is.
 */
int undo_record(void *ctx, struct err *err)
{
	struct op *op = ctx;

	if (!op->lease->prepared || !op->lease->undo.valid)
		return 0;
	return save(op, LEASE_ATTACHING, &op->lease->undo, err);
}
