/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of vmm share: the guest, and an operation under way on it.
 *
 * An operation lives in the guest's list until it is finished, which calls back once; its memory stays until the last command
 * it sent is answered. Callbacks may free the guest: whoever calls up holds a reference.
 */
#ifndef GANGWAY_VMM_INTERNAL_H
#define GANGWAY_VMM_INTERNAL_H

#include "err.h"
#include "qmp.h"
#include "vmm.h"
#include "vmm_migrate.h"

#define VMM_OPS_MAX 64 /* operations under way on one guest */
#define VMM_PLUG_TIMEOUT_MS 300000 /* device_add returns when the guest's RAM is pinned: 0.25 s a GiB in 4 KiB pages */
#define VMM_BUSY_PAUSE_MS 500 /* before device_del is repeated to a guest whose slot is still settling */
#define VMM_REFUSED_PAUSE_MS 1000 /* before it is repeated to a guest that refused */

struct vmm_op;

struct vmm_op_class {
	/* the guest is given up: call back with @err. Always there */
	void (*cancel)(struct vmm_op *op, const struct err *err);
	void (*on_event)(struct vmm_op *op, const char *event, json_t *data);
	void (*on_state)(struct vmm_op *op, enum vmm_state state);
	void (*release)(struct vmm_op *op); /* what op owns besides its memory */
	bool alone; /* of those only one at a time is under way on a guest: vmm_op_new_alone() */
};

struct vmm_op { /* first in each operation's own struct */
	const struct vmm_op_class *class;
	struct vmm *vmm; /* a reference */
	struct vmm_op *next, **link; /* link NULL: finished */
	unsigned refs, round;
};

#define VMM_PORTS_MAX 256 /* a PCI segment has no more buses */

/* What a VMM is like for as long as it runs. */
struct vmm_traits {
	bool has_vfio_user, has_vfio_pci;
	unsigned nr_ports;
	char ports[VMM_PORTS_MAX][VMM_ID_MAX]; /* ids of the root ports that take a device at run time, sorted */
};

/* Its migration, as events and answers tell it: vmm_watch.c. */
struct vmm_watching {
	struct vmm_migration now; /* written by enter() in vmm_watch.c alone */
	bool told; /* @now, by on_migration */
	bool by_events; /* changes come as events */
	sd_event_source *again;
};

struct vmm {
	unsigned refs;
	sd_event *event;
	struct qmp *qmp;
	const struct vmm_ops *ops;
	void *ctx;
	char *name;
	enum vmm_state state; /* written by set_state() in vmm.c alone */
	struct err why;
	char run_state[24];
	bool asking_run_state, ask_run_state_again;
	struct vmm_traits *traits; /* NULL: not known (yet) */
	struct vmm_watching watching;
	bool closing;
	struct vmm_op *list;
	unsigned nr_ops, round;
};

/* @tag: as given to vmm_op_send(). Not called once the operation is finished. */
typedef void (*vmm_op_reply_fn)(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

/* A zeroed operation of @size bytes in the guest's list. -ENOTCONN vmm.not-up, -EBUSY vmm.too-many, -ENOMEM. */
int vmm_op_new(struct vmm *vmm, const char *what, size_t size, const struct vmm_op_class *class, struct vmm_op **ret,
	       struct err *err);
/* The same before VMM_UP. */
int vmm_op_new_early(struct vmm *vmm, const char *what, size_t size, const struct vmm_op_class *class, struct vmm_op **ret,
		     struct err *err);
/* The same, and -EBUSY vmm.irq-busy while an operation whose class is alone is under way: vmm_irq.c. */
int vmm_op_new_alone(struct vmm *vmm, const char *what, size_t size, const struct vmm_op_class *class, struct vmm_op **ret,
		     struct err *err);
int vmm_op_send(struct vmm_op *op, const char *command, json_t *args, unsigned timeout_ms, unsigned tag, vmm_op_reply_fn reply,
		struct err *err);
/* The same with @fd sent along; duplicated, the caller keeps its own. -1 none. */
int vmm_op_send_fd(struct vmm_op *op, const char *command, json_t *args, int fd, unsigned timeout_ms, unsigned tag,
		   vmm_op_reply_fn reply, struct err *err);
/* Out of the list. The operation stays readable until the caller's vmm_op_unref(). */
struct vmm_op *vmm_op_finish(struct vmm_op *op);
void vmm_op_unref(struct vmm_op *op);

struct vmm_simple { /* an operation of one command: vmm_simple.c */
	struct vmm_op op;
	vmm_done_fn done;
	void *ctx;
	char id[VMM_ID_MAX];
};

struct vmm_command {
	const char *name;
	json_t *args; /* taken; NULL: no memory */
	unsigned timeout_ms, tag;
	const char *id; /* into the operation, for the reply; NULL none */
	vmm_op_reply_fn reply; /* NULL: vmm_simple_reply() */
};

int vmm_simple_start(struct vmm *vmm, const struct vmm_command *command, vmm_done_fn done, void *ctx, struct err *err);
void vmm_simple_reply(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err); /* explains a refusal, ends */
void vmm_simple_finish(struct vmm_op *op, int r, const struct err *err);

/* Ask for the traits. vmm_learnt() is called once when that is over, unless it could not begin. */
int vmm_learn(struct vmm *vmm, struct err *err);
void vmm_learnt(struct vmm *vmm);

/* Then for the migration's status; vmm_watched() is called once when that is over, unless it is negative. */
int vmm_watch(struct vmm *vmm);
void vmm_watched(struct vmm *vmm);
void vmm_watch_event(struct vmm *vmm, json_t *data);
void vmm_watch_tell(struct vmm *vmm); /* on_migration, if there is something that was not told */
void vmm_watch_forget(struct vmm *vmm); /* the connection is lost, or the guest given up */

/* vmm_events.c: an event before operations hear of it, and after. */
void vmm_event_first(struct vmm *vmm, const char *event, json_t *data);
void vmm_event_tell(struct vmm *vmm, const char *event, json_t *data);
void vmm_ask_run_state(struct vmm *vmm);
void vmm_unref(struct vmm *vmm);

int vmm_mac_parse(const char *text, uint8_t ret[6]); /* 0, -EINVAL */
int vmm_mac_check(const char *text, uint8_t ret[6], struct err *err); /* a unicast one. -EINVAL vmm.bad-mac */
/* Turns QEMU's words in @err (prefixed "guest NAME: COMMAND: ") into a code and a hint; the words stay. Returns the errno. */
int vmm_explain(struct err *err);
/* Does the answer to qom-list contain a child named @name? -EPROTO if it is no such answer. */
int vmm_qom_has(json_t *ret, const char *name);

/* What a QEMU version can do: vmm_versions.c. */
enum vmm_ability { VMM_FAILOVER, VMM_VFIO_USER, VMM_UNPLUG_VFIO_USER };
bool vmm_version_can(const struct qmp_version *version, enum vmm_ability ability, const char **ret_why);

#endif
