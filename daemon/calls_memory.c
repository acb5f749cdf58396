/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.show: the guest's VMM is asked what memory it has, then a worker looks at what the kernel has of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "daemon.h"
#include "devproc.h"
#include "guests.h"
#include "lease.h"
#include "mem_check.h"
#include "vmm.h"

struct show_job {
	struct daemon *d;
	struct ctl_req *req;
	char guest[LIMIT_NAME + 1];
	enum lease_via via;
};

/* --- the answer --- */

static json_t *devices_to_json(const struct vmm_memory *m)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->nr_devices; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "type", m->devices[i].type, "id", m->devices[i].id,
						      "size", (json_int_t)m->devices[i].size, "requested",
						      (json_int_t)m->devices[i].requested));
	return list;
}

static json_t *leases_to_json(struct daemon *d, const char *guest)
{
	json_t *list = json_array();
	const struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	{
		const struct devproc_status *s = l->dev ? devproc_get_status(l->dev) : NULL;

		if (!strcmp(l->guest, guest))
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:s, s:o}", "lease", l->id, "leg", lease_leg_to_string(l->leg), "via",
						lease_via_to_string(l->via), "mapped",
						s ? json_integer((json_int_t)(s->dma_bytes - s->dma_pending)) : json_null()));
	}
	return list;
}

static json_t *render(const struct show_job *j, const struct mem_facts *facts, const struct vmm_memory *said)
{
	json_t *result = mem_facts_to_json(facts, &said->memdevs);
	json_t *more = json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "guest", j->guest, "via", lease_via_to_string(j->via), "ram",
				 (json_int_t)said->ram_bytes, "balloon",
				 said->has_balloon ? json_integer((json_int_t)said->balloon_bytes) : json_null(), "devices",
				 devices_to_json(said), "leases", leases_to_json(j->d, j->guest));

	if (result && more)
		json_object_update(result, more);
	json_decref(more);
	return result;
}

static void shown(void *ctx, int r, const struct mem_facts *facts, const struct vmm_memory *said, const struct err *err)
{
	struct show_job *j = ctx;

	if (r < 0)
		ctl_fail(j->req, err);
	else
		ctl_reply(j->req, render(j, facts, said));
	free(j);
}

/* As its lease has it, or as `attach` would choose, as far as that is known without asking more. */
static enum lease_via via_of(struct daemon *d, const struct guest *g)
{
	struct vmm_version version;
	const struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (!strcmp(l->guest, g->name) && l->via != VIA_AUTO)
		return l->via;
	vmm_get_version(g->vmm, &version);
	return version.vfio_user && version.unplug_vfio_user ? VIA_VFIO_USER : VIA_VFIO_PCI;
}

void call_memory_show(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	struct show_job *j;
	const char *name;
	struct guest *g;
	struct err err;

	if (!call_params(req, params, "{s:s !}", "guest", &name))
		return;
	if (guest_get(d, name, &g, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		err_set(&err, -ENOMEM, "daemon.no-memory", "no memory for the call");
		ctl_fail(req, &err);
		return;
	}
	*j = (struct show_job){ .d = d, .req = req, .via = via_of(d, g) };
	memcpy(j->guest, g->name, sizeof(j->guest));
	if (mem_check_begin(d, name, j->via, shown, j, NULL, &err) < 0) {
		ctl_fail(req, &err);
		free(j);
	}
}
