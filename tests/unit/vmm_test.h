/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of vmm share: one guest, its scripted VMM, and what was called back. */
#ifndef GANGWAY_VMM_TEST_H
#define GANGWAY_VMM_TEST_H

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "qmp_test.h"
#include "vmm.h"

struct outcome {
	unsigned calls;
	int r;
	struct err err;
	struct vmm_info info;
};

static struct bed bed;
static struct vmm *vmm;
static struct fake_qmp *peer;
static char states[1024], deleted[256];
static unsigned nr_events;

static inline void note(char *list, size_t size, const char *text)
{
	strncat(list, text, size - strlen(list) - 1);
	strncat(list, " ", size - strlen(list) - 1);
}

static inline void on_state(void *ctx, struct vmm *v, enum vmm_state state, const struct err *why)
{
	(void)ctx;
	(void)v;
	note(states, sizeof(states), vmm_state_to_string(state));
	if (state == VMM_DOWN || state == VMM_DENIED)
		note(states, sizeof(states), why->code);
}

static inline void on_device_deleted(void *ctx, struct vmm *v, const char *id)
{
	(void)ctx;
	(void)v;
	note(deleted, sizeof(deleted), id);
}

static inline void on_event(void *ctx, struct vmm *v, const char *event, struct json_t *data)
{
	(void)ctx;
	(void)v;
	cr_assert(event && json_is_object(data));
	nr_events++;
}

static inline void on_done(void *ctx, int r, const struct err *err)
{
	struct outcome *o = ctx;

	o->calls++;
	o->r = r;
	cr_assert_eq(r < 0, err != NULL);
	if (err)
		o->err = *err;
}

static inline void on_info(void *ctx, int r, const struct vmm_info *info, const struct err *err)
{
	struct outcome *o = ctx;

	cr_assert_eq(r == 0, info != NULL);
	if (info)
		o->info = *info;
	on_done(ctx, r, err);
}

static inline void start(const struct fake_qmp_step *script)
{
	static const struct vmm_ops ops = { .on_state = on_state, .on_device_deleted = on_device_deleted, .on_event = on_event };

	bed_setup(&bed);
	states[0] = deleted[0] = '\0';
	nr_events = 0;
	peer = fake_qmp_new(bed.event, bed.path, script);
	cr_assert_eq(vmm_new(bed.event, "vm1", bed.path, &ops, NULL, &vmm), 0);
	cr_assert_eq(vmm_get_state(vmm), VMM_CONNECTING);
}

static inline void stop(void)
{
	const char *failure = fake_qmp_failure(peer);

	cr_assert_null(failure, "%s", failure);
	vmm = vmm_free(vmm);
	fake_qmp_free(peer);
	bed_teardown(&bed);
}

static inline bool in_state(void *arg)
{
	return vmm_get_state(vmm) == *(enum vmm_state *)arg;
}

static inline void until_state(enum vmm_state state)
{
	cr_assert(bed_until(&bed, in_state, &state, 3000), "is %s (%s), wanted %s", vmm_state_to_string(vmm_get_state(vmm)),
		  vmm_why(vmm)->msg, vmm_state_to_string(state));
}

static inline bool was_called(void *arg)
{
	return ((struct outcome *)arg)->calls > 0;
}

static inline void until_done(struct outcome *o)
{
	cr_assert(bed_until(&bed, was_called, o, 5000), "%s",
		  fake_qmp_failure(peer) ? fake_qmp_failure(peer) : "not called back");
	cr_assert_eq(o->calls, 1);
}

static inline bool script_done(void *arg)
{
	(void)arg;
	return fake_qmp_finished(peer);
}

static inline void until_script_done(void)
{
	cr_assert(bed_until(&bed, script_done, NULL, 5000), "%s", fake_qmp_failure(peer) ? fake_qmp_failure(peer) : "");
}

#endif
