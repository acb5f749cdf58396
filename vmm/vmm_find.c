/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's own standby NIC: lists QEMU's trees of devices, asks each virtio-net for its MAC, then the one that has it what it is,
 * and each VFIO device whether it is of the pair; at last the monitor for humans what its backend is, which nothing else tells. query-pci would
 * be one command, but knows no MACs; query-rx-filter has the MAC that the guest has set, which may be another.
 */
#include "vmm_internal.h"
#include "vmm_standby.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 4 /* commands under way: the connection is shared */
#define QOM_NAME_MAX 128
#define NONE VMM_NICS_MAX
#define FD_DIGITS_MAX 8
#define TAG(device, question) ((device) << 3 | (question))

enum phase { LISTS, MACS, WHAT, PAIR, BACKEND };
enum question { LIST, LIST_ANON, MAC, FAILOVER, NETDEV, PRIMARY, HOST };

struct dev {
	char name[QOM_NAME_MAX];
	bool anon, nic; /* nic: a virtio-net, else a VFIO device */
};

struct find {
	struct vmm_op op;
	vmm_standby_fn done;
	void *ctx;
	uint8_t mac[6];
	char mac_text[18];
	enum phase phase;
	unsigned nr_devs, next, in_flight, found; /* found: index of the NIC, NONE */
	bool failover;
	struct vmm_standby standby;
	struct dev devs[VMM_NICS_MAX];
};

static void finish(struct find *f, int r, const struct err *err)
{
	vmm_op_finish(&f->op);
	f->done(f->ctx, r, r > 0 ? &f->standby : NULL, r < 0 ? err : NULL);
	vmm_op_unref(&f->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct find *)op, err->num, err);
}

static const struct vmm_op_class find_class = { .cancel = cancel };

/* The answers: 0, or negative with @err -------------------------------------------------------------------------------- */

static int bad_answer(const struct find *f, const char *command, struct err *err)
{
	return err_set(err, -EPROTO, "vmm.bad-answer", "guest %s: %s: not the answer of a QEMU", f->op.vmm->name, command);
}

static int take_list(struct find *f, bool anon, json_t *ret, struct err *err)
{
	size_t i;
	json_t *v;

	if (!json_is_array(ret))
		return bad_answer(f, "qom-list", err);
	json_array_foreach (ret, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		const char *name = json_string_value(json_object_get(v, "name"));
		bool nic = type && !strncmp(type, "child<virtio-net-pci", 20); /* and its transitional kin */

		if (!type || !name)
			return bad_answer(f, "qom-list", err);
		if ((!nic && strncmp(type, "child<vfio-", 11) != 0) || strlen(name) >= QOM_NAME_MAX || strchr(name, '/'))
			continue;
		if (f->nr_devs == VMM_NICS_MAX)
			return err_set(err, -E2BIG, "vmm.too-many-nics", "guest %s: more than %d network devices",
				       f->op.vmm->name, VMM_NICS_MAX);
		f->devs[f->nr_devs] = (struct dev){ .anon = anon, .nic = nic };
		strcpy(f->devs[f->nr_devs++].name, name);
	}
	return 0;
}

static int take_mac(struct find *f, unsigned i, const json_t *ret, struct err *err)
{
	const char *text = json_string_value(ret);
	uint8_t mac[6];

	if (!text || vmm_mac_parse(text, mac) < 0)
		return bad_answer(f, "qom-get mac", err);
	if (memcmp(mac, f->mac, 6) != 0)
		return 0;
	if (f->found != NONE) {
		err_set(err, -EEXIST, "vmm.standby-twice", "guest %s: two virtio-net devices have the MAC address %s: %s and %s",
			f->op.vmm->name, f->mac_text, f->devs[f->found].name, f->devs[i].name);
		err_hint(err, "one guest NIC has one standby: give the other device another MAC address");
		return -EEXIST;
	}
	f->found = i;
	return 0;
}

static int take_primary(struct find *f, unsigned i, const json_t *ret, struct err *err)
{
	const char *pair = json_string_value(ret);

	if (!pair && !json_is_null(ret))
		return bad_answer(f, "qom-get failover_pair_id", err);
	if (pair && !strcmp(pair, f->standby.id) && vmm_id_check(f->devs[i].name, NULL) == 0)
		strcpy(f->standby.primary, f->devs[i].name);
	return 0;
}

/* A line of `info network`, from after the backend's name: ": index=0,type=tap,ifname=tap0,script=no", or "...,fd=31". */
static void take_backend_line(struct find *f, const char *s)
{
	static const char tap[] = ": index=0,type=tap,", name[] = "ifname=", fd[] = "fd=";
	size_t n;

	if (strncmp(s, tap, strlen(tap)) != 0)
		return;
	s += strlen(tap);
	if (!strncmp(s, name, strlen(name))) {
		s += strlen(name);
		n = strcspn(s, ",\r\n");
		if (n < sizeof(f->standby.tap))
			snprintf(f->standby.tap, sizeof(f->standby.tap), "%.*s", (int)n, s);
	} else if (!strncmp(s, fd, strlen(fd))) {
		s += strlen(fd);
		n = strspn(s, "0123456789");
		if (n > 0 && n < FD_DIGITS_MAX && strchr(",\r\n", s[n]))
			f->standby.tap_fd = (int)strtol(s, NULL, 10);
	}
}

static int take_backend(struct find *f, const json_t *ret, struct err *err)
{
	const char *s = json_string_value(ret);
	size_t n = strlen(f->standby.netdev);

	if (!s)
		return bad_answer(f, "info network", err);
	for (; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		const char *line = s + strspn(s, " \\");

		if (!strncmp(line, f->standby.netdev, n))
			take_backend_line(f, line + n);
	}
	return 0;
}

static int take(struct find *f, unsigned i, enum question question, json_t *ret, struct err *err)
{
	const char *text = json_string_value(ret);

	switch (question) {
	case LIST:
	case LIST_ANON:
		return take_list(f, question == LIST_ANON, ret, err);
	case MAC:
		return take_mac(f, i, ret, err);
	case FAILOVER:
		if (!json_is_boolean(ret))
			return bad_answer(f, "qom-get failover", err);
		f->failover = json_is_true(ret);
		return 0;
	case NETDEV:
		if (!text)
			return bad_answer(f, "qom-get netdev", err);
		if (text[0] && vmm_id_check(text, NULL) == 0)
			strcpy(f->standby.netdev, text);
		return 0;
	case PRIMARY:
		return take_primary(f, i, ret, err);
	case HOST:
		return take_backend(f, ret, err);
	}
	return 0;
}

/* The phases ----------------------------------------------------------------------------------------------------------- */

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err);

static int get(struct find *f, unsigned i, enum question question, const char *property, struct err *err)
{
	const struct dev *d = &f->devs[i];
	char path[64 + QOM_NAME_MAX];
	int r;

	snprintf(path, sizeof(path), "/machine/peripheral%s/%s", d->anon ? "-anon" : "", d->name);
	r = vmm_op_send(&f->op, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", property), 0, TAG(i, question),
			on_answer, err);
	f->in_flight += r == 0;
	return r;
}

/* Of each NIC its MAC, or of each VFIO device its pair: some at a time. */
static int get_some(struct find *f, struct err *err)
{
	bool macs = f->phase == MACS;
	int r = 0;

	while (r == 0 && f->in_flight < WINDOW && f->next < f->nr_devs) {
		unsigned i = f->next++;

		if (f->devs[i].nic == macs)
			r = get(f, i, macs ? MAC : PRIMARY, macs ? "mac" : "failover_pair_id", err);
	}
	return r;
}

static int ask_backend(struct find *f, struct err *err)
{
	int r = vmm_op_send(&f->op, "human-monitor-command", json_pack("{s:s}", "command-line", "info network"), 0,
			    TAG(f->found, HOST), on_answer, err);

	f->in_flight += r == 0;
	return r;
}

/* The NIC with that MAC: can it be named? */
static int check_name(struct find *f, struct err *err)
{
	const struct dev *d = &f->devs[f->found];

	if (!d->anon && vmm_id_check(d->name, NULL) == 0) {
		strcpy(f->standby.id, d->name);
		return 0;
	}
	err_set(err, -EOPNOTSUPP, "vmm.standby-no-id", "guest %s: the virtio-net with MAC address %s has no usable id (%s)",
		f->op.vmm->name, f->mac_text, d->name);
	err_hint(err, "start the guest with -device virtio-net-pci,id=net0,failover=on,mac=%s,...", f->mac_text);
	return -EOPNOTSUPP;
}

static int check_failover(struct find *f, struct err *err)
{
	if (f->failover)
		return 0;
	err_set(err, -EOPNOTSUPP, "vmm.standby-no-failover",
		"guest %s: device %s has the MAC address %s, but is no standby: failover is off", f->op.vmm->name, f->standby.id,
		f->mac_text);
	err_hint(err, "start the guest with failover=on for it (libvirt: <teaming type='persistent'/>), or without it: gangway "
		      "plugs a standby "
		      "itself");
	return -EOPNOTSUPP;
}

/* All answers of a phase are there: begin the next. 1: that was the last, 0, negative. */
static int next_phase(struct find *f, struct err *err)
{
	int r = 0;

	f->next = 0;
	switch (f->phase) {
	case LISTS:
		f->phase = MACS;
		return get_some(f, err);
	case MACS:
		if (f->found == NONE)
			return 1;
		f->phase = WHAT;
		r = check_name(f, err);
		if (r == 0)
			r = get(f, f->found, FAILOVER, "failover", err);
		return r < 0 ? r : get(f, f->found, NETDEV, "netdev", err);
	case WHAT:
		f->phase = PAIR;
		r = check_failover(f, err);
		return r < 0 ? r : get_some(f, err);
	case PAIR:
		f->phase = BACKEND;
		return f->standby.netdev[0] ? ask_backend(f, err) : 1;
	case BACKEND:
		return 1;
	}
	return r;
}

/* Devices may vanish while they are asked: what is refused about one is no answer about the others. */
static bool is_survivable(enum question question, int r)
{
	return (question == LIST_ANON || question == MAC || question == PRIMARY || question == HOST) && r != -ECONNRESET &&
	       r != -ETIMEDOUT;
}

static void on_answer(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct find *f = (struct find *)op;
	enum question question = tag & 7;
	struct err why;

	f->in_flight--;
	if (r < 0)
		why = *err;
	else
		r = take(f, tag >> 3, question, ret, &why);
	if (r < 0 && ret == NULL && is_survivable(question, r))
		r = 0;
	if (r == 0 && (f->phase == MACS || f->phase == PAIR))
		r = get_some(f, &why);
	while (r == 0 && !f->in_flight)
		r = next_phase(f, &why);
	if (r > 0)
		finish(f, f->found != NONE, NULL);
	else if (r < 0)
		finish(f, r, &why);
}

int vmm_find_standby(struct vmm *vmm, const char *mac, vmm_standby_fn done, void *ctx, struct err *err)
{
	static const char *const trees[] = { [LIST] = "/machine/peripheral", [LIST_ANON] = "/machine/peripheral-anon" };
	struct vmm_op *op = NULL;
	struct find *f;
	uint8_t parsed[6];
	int r = vmm_mac_check(mac, parsed, err);

	if (r == 0)
		r = vmm_op_new(vmm, "find a standby", sizeof(*f), &find_class, &op, err);
	if (r < 0)
		return r;
	f = (struct find *)op;
	f->done = done; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new() gave 0 */
	f->ctx = ctx;
	f->found = NONE;
	f->standby.tap_fd = -1;
	memcpy(f->mac, parsed, sizeof(f->mac));
	strcpy(f->mac_text, mac);
	for (unsigned i = LIST; i <= LIST_ANON && r == 0; i++) {
		r = vmm_op_send(op, "qom-list", json_pack("{s:s}", "path", trees[i]), 0, i, on_answer, err);
		f->in_flight += r == 0;
	}
	if (r < 0)
		vmm_op_unref(vmm_op_finish(op));
	return r;
}
