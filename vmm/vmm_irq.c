/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions of one command: BARs (query-pci), guest-physical memory and local APICs (the human monitor). */
#include "vmm_irq.h"
#include "vmm_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BRIDGES_MAX 32 /* levels: QMP_DEPTH_MAX allows fewer */
#define DEVICES_MAX 65536 /* looked at in one answer: more than a segment can have */
#define EXACT_MAX 9007199254740992.0 /* 2^53 */

struct ask {
	struct vmm_op op;
	union {
		vmm_bars_fn bars;
		vmm_text_fn text;
		vmm_lapic_fn lapic;
	} done;
	void *ctx;
	char id[VMM_ID_MAX]; /* of the device */
	size_t max; /* bytes of text */
};

static const struct vmm_op_class bars_class, text_class, lapic_class;

static void finish(struct ask *a, int r, const void *result, size_t len, const struct err *err)
{
	const struct vmm_op_class *class = a->op.class;

	vmm_op_finish(&a->op);
	result = r < 0 ? NULL : result;
	err = r < 0 ? err : NULL;
	if (class == &bars_class)
		a->done.bars(a->ctx, r, result, err);
	else if (class == &text_class)
		a->done.text(a->ctx, r, result, r < 0 ? 0 : len, err);
	else
		a->done.lapic(a->ctx, r, result, err);
	vmm_op_unref(&a->op);
}

static void cancel(struct vmm_op *op, const struct err *err)
{
	finish((struct ask *)op, err->num, NULL, 0, err);
}

static const struct vmm_op_class bars_class = { .cancel = cancel, .alone = true };
static const struct vmm_op_class text_class = { .cancel = cancel, .alone = true };
static const struct vmm_op_class lapic_class = { .cancel = cancel, .alone = true };

static int bad_answer(const struct ask *a, const char *command, struct err *err)
{
	return err_set(err, -EPROTO, "vmm.bad-answer", "guest %s: %s: not the answer of a QEMU", a->op.vmm->name, command);
}

int vmm_op_new_alone(struct vmm *vmm, const char *what, size_t size, const struct vmm_op_class *class, struct vmm_op **ret,
		     struct err *err)
{
	for (const struct vmm_op *op = vmm->list; op; op = op->next)
		if (op->class->alone)
			return err_set(err, -EBUSY, "vmm.irq-busy", "guest %s: %s: another question is under way", vmm->name,
				       what);
	return vmm_op_new(vmm, what, size, class, ret, err);
}

static int ask(struct vmm *vmm, const char *what, const struct vmm_op_class *class, void *ctx, struct ask **ret, struct err *err)
{
	struct vmm_op *op = NULL;
	int r = vmm_op_new_alone(vmm, what, sizeof(struct ask), class, &op, err);

	if (r < 0)
		return r;
	*ret = (struct ask *)op;
	(*ret)->ctx = ctx; /* NOLINT(clang-analyzer-core.NullDereference): vmm_op_new_alone() gave 0 */
	return 0;
}

static int send_or_end(struct ask *a, const char *command, json_t *args, vmm_op_reply_fn reply, struct err *err)
{
	int r = vmm_op_send(&a->op, command, args, 0, 0, reply, err);

	if (r < 0)
		vmm_op_unref(vmm_op_finish(&a->op));
	return r;
}

/* BARs ------------------------------------------------------------------------------------------------------------------- */

/* An address or size. Reals: where one number of a line does not fit, all of them are read as such. -1 is unmapped (PCI_BAR_UNMAPPED). */
static int take_number(const json_t *region, const char *key, uint64_t *ret)
{
	const json_t *v = json_object_get(region, key);

	if (json_is_integer(v) && json_integer_value(v) >= -1)
		*ret = (uint64_t)json_integer_value(v);
	else if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) <= EXACT_MAX)
		*ret = (uint64_t)json_real_value(v);
	else if (json_is_real(v) && (json_real_value(v) == -1 || json_real_value(v) == 18446744073709551616.0))
		*ret = UINT64_MAX;
	else
		return -EPROTO;
	return 0;
}

static int take_bars(const json_t *device, struct vmm_bar bars[static VMM_BARS])
{
	const json_t *regions = json_object_get(device, "regions"), *v;
	size_t i;

	if (!json_is_array(regions))
		return -EPROTO;
	json_array_foreach (regions, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		uint64_t bar, address, size;

		if (!type || take_number(v, "bar", &bar) < 0)
			return -EPROTO;
		if (strcmp(type, "memory") != 0 || bar >= VMM_BARS) /* I/O ports; 6: the ROM */
			continue;
		if (take_number(v, "address", &address) < 0 || take_number(v, "size", &size) < 0)
			return -EPROTO;
		if (size == 0 || size == UINT64_MAX || bars[bar].size)
			return -EPROTO;
		bars[bar] = (struct vmm_bar){ .address = address == UINT64_MAX ? 0 : address, .size = size };
	}
	return 0;
}

/* Where the walk is in one list of devices. */
struct level {
	const json_t *devices;
	size_t next;
};

/* The device with @id behind one root bus, bridges included. NULL: none, or *@left devices were looked at. */
static const json_t *find_device(const json_t *devices, const char *id, unsigned *left)
{
	struct level levels[BRIDGES_MAX];
	unsigned depth = 1;

	levels[0] = (struct level){ .devices = devices };
	while (depth > 0 && *left > 0) {
		struct level *l = &levels[depth - 1];
		const json_t *device = json_array_get(l->devices, l->next++), *behind;
		const char *is = json_string_value(json_object_get(device, "qdev_id"));

		if (!device) {
			depth--;
			continue;
		}
		--*left;
		if (is && !strcmp(is, id))
			return device;
		behind = json_object_get(json_object_get(device, "pci_bridge"), "devices");
		if (behind && depth < BRIDGES_MAX)
			levels[depth++] = (struct level){ .devices = behind };
	}
	return NULL;
}

static void on_pci(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct vmm_bar bars[VMM_BARS] = { 0 };
	struct ask *a = (struct ask *)op;
	const json_t *device = NULL;
	unsigned left = DEVICES_MAX;
	struct err why;

	(void)tag;
	if (r < 0) {
		why = *err;
	} else if (!json_is_array(ret)) {
		r = bad_answer(a, "query-pci", &why);
	} else {
		for (size_t i = 0; !device && i < json_array_size(ret); i++)
			device = find_device(json_object_get(json_array_get(ret, i), "devices"), a->id, &left);
		if (!device)
			r = err_set(&why, -ENODEV, "vmm.no-device", "guest %s: device %s is not in its PCI tree", op->vmm->name,
				    a->id);
		else if (take_bars(device, bars) < 0)
			r = bad_answer(a, "query-pci", &why);
	}
	finish(a, r, bars, 0, &why);
}

int vmm_query_bars(struct vmm *vmm, const char *id, vmm_bars_fn done, void *ctx, struct err *err)
{
	struct ask *a;
	int r = vmm_id_check(id, err);

	if (r < 0)
		return r;
	r = ask(vmm, "query-pci", &bars_class, ctx, &a, err);
	if (r < 0)
		return r;
	a->done.bars = done;
	strcpy(a->id, id);
	return send_or_end(a, "query-pci", NULL, on_pci, err);
}

/* The human monitor ------------------------------------------------------------------------------------------------------ */

static void on_text(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct ask *a = (struct ask *)op;
	struct err why;

	(void)tag;
	if (r < 0)
		why = *err;
	else if (!json_is_string(ret) || json_string_length(ret) > a->max)
		r = bad_answer(a, "xp", &why);
	finish(a, r, json_string_value(ret), json_string_length(ret), &why);
}

int vmm_read_words(struct vmm *vmm, uint64_t address, unsigned nr_words, vmm_text_fn done, void *ctx, struct err *err)
{
	char line[64];
	struct ask *a;
	int r;

	/* the monitor's numbers have a sign */
	if (address % 4 || nr_words == 0 || nr_words > VMM_READ_WORDS_MAX || address > (uint64_t)INT64_MAX - nr_words * 4)
		return err_set(err, -EINVAL, "vmm.bad-address", "guest %s: xp: %u words at %#" PRIx64, vmm->name, nr_words,
			       address);
	r = ask(vmm, "xp", &text_class, ctx, &a, err);
	if (r < 0)
		return r;
	a->done.text = done;
	a->max = nr_words * 32 + 256; /* 11 a word, and an address every fourth; or a sentence */
	snprintf(line, sizeof(line), "xp /%uwx 0x%" PRIx64, nr_words, address);
	return send_or_end(a, "human-monitor-command", json_pack("{s:s}", "command-line", line), on_text, err);
}

/* The two digits behind the last "@key 0x". */
static int take_register(const char *text, const char *key, unsigned *ret)
{
	const char *at = NULL;

	for (const char *next = strstr(text, key); next; next = strstr(next + 1, key))
		at = next + strlen(key);
	return at && sscanf(at, " 0x%2x", ret) == 1 ? 0 : -EPROTO;
}

static int take_lapic(const char *text, struct vmm_lapic *ret)
{
	unsigned dfr, ldr;

	if (strstr(text, "local apic state not available"))
		return -EOPNOTSUPP;
	if (take_register(text, " DFR", &dfr) < 0 || take_register(text, " LDR", &ldr) < 0)
		return -EPROTO;
	if (dfr != 0 && dfr != 0xf) /* bits 31:28 of the register: the SDM knows two models */
		return -EPROTO;
	*ret = (struct vmm_lapic){ .flat = dfr != 0, .ldr = (uint8_t)ldr, .enabled = strstr(text, "APIC enabled") };
	return 0;
}

static void on_lapic(struct vmm_op *op, unsigned tag, int r, json_t *ret, const struct err *err)
{
	struct ask *a = (struct ask *)op;
	struct vmm_lapic lapic = { 0 };
	struct err why;

	(void)tag;
	if (r < 0) {
		why = *err;
	} else {
		r = json_is_string(ret) ? take_lapic(json_string_value(ret), &lapic) : -EPROTO;
		if (r == -EOPNOTSUPP)
			err_set(&why, r, "vmm.no-lapic", "guest %s: info lapic: this machine has no local APIC", op->vmm->name);
		else if (r < 0)
			bad_answer(a, "info lapic", &why);
	}
	finish(a, r, &lapic, 0, &why);
}

int vmm_query_lapic(struct vmm *vmm, unsigned index, vmm_lapic_fn done, void *ctx, struct err *err)
{
	struct ask *a;
	int r = ask(vmm, "info lapic", &lapic_class, ctx, &a, err);

	if (r < 0)
		return r;
	a->done.lapic = done;
	return send_or_end(a, "human-monitor-command",
			   json_pack("{s:s, s:I}", "command-line", "info lapic", "cpu-index", (json_int_t)index), on_lapic, err);
}
