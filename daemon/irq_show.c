/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of a guest's interrupts, for the control protocol. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "ctl.h"
#include "daemon.h"
#include "guests.h"
#include "irq_balance.h"
#include "irq_internal.h"

static json_t *cpus_to_json(const struct irq_cpus *set)
{
	char text[IRQ_CPUS_TEXT_MAX];

	return irq_cpus_format(set, text) > 0 ? json_string(text) : json_null();
}

static json_t *number_or_null(bool known, json_int_t n)
{
	return known ? json_integer(n) : json_null();
}

static json_t *real_or_null(bool known, double n)
{
	return known ? json_real(n) : json_null();
}

/* --- why something is not known --- */

static bool is_known(const struct irq_vector *v)
{
	return v->order.what < IRQ_ROUTE_NO_MESSAGE;
}

static const char *state_of(const struct irq_follow *f, const struct irq_vector *v)
{
	if (irq_is_posted(f, v) && is_known(v))
		return "posted";
	switch (v->order.what) {
	case IRQ_ROUTE_KEEP:
		return "in-place";
	case IRQ_ROUTE_WRITE:
		return !f->d->config.irq_route ? "left" : v->err.num ? "failed" : "moved";
	case IRQ_ROUTE_SETTLING:
		return "wandering";
	case IRQ_ROUTE_LIMITED:
		return "limited";
	case IRQ_ROUTE_REFUSED:
		return "refused";
	case IRQ_ROUTE_NO_MESSAGE:
	case IRQ_ROUTE_NO_VECTOR:
	case IRQ_ROUTE_NO_VCPU:
	case IRQ_ROUTE_NO_THREAD:
	case IRQ_ROUTE_NO_CPU:
	case IRQ_ROUTE_NO_AFFINITY:
	case IRQ_ROUTE_NO_NUMBER:
	case IRQ_ROUTE_NUM_WHATS:
		break;
	}
	return "unknown";
}

static const char *no_message(const struct irq_nic *nic, const struct irq_vector *v)
{
	if (!v->host.msix)
		return "the guest uses MSI, whose message nothing tells";
	if (v->has_msi)
		return msi_why_to_string(v->msi.why);
	if (nic->has_cap && v->host.vector >= nic->cap.nr)
		return "it is beyond the VF's MSI-X table";
	if (nic->table_err.num)
		return nic->table_err.msg;
	return "the guest's MSI-X table has not been read yet";
}

static bool lacks_logical_ids(const struct irq_follow *f)
{
	for (unsigned i = 0; i < f->nr_vcpus; i++)
		if (f->vcpus[i].at.id.model == MSI_MODEL_UNKNOWN)
			return true;
	return false;
}

static const char *no_vcpu(const struct irq_follow *f, const struct irq_vector *v)
{
	if (f->nr_vcpus == 0)
		return f->err.num ? f->err.msg : "its VMM has not told its vCPUs yet";
	if (v->msi.logical && lacks_logical_ids(f))
		return "the vCPUs' logical ids are not known";
	return irq_route_what_to_string(v->order.what);
}

static const char *why(const struct irq_follow *f, const struct irq_nic *nic, const struct irq_vector *v)
{
	if (irq_is_posted(f, v) && is_known(v))
		return "the IOMMU posts it to its vCPU: left alone";
	if (v->err.num)
		return v->err.msg;
	if (v->order.what == IRQ_ROUTE_WRITE && !f->d->config.irq_route)
		return "nothing is moved (route = no)";
	if (v->order.what == IRQ_ROUTE_KEEP || v->order.what == IRQ_ROUTE_WRITE)
		return NULL;
	if (v->order.what == IRQ_ROUTE_NO_MESSAGE)
		return no_message(nic, v);
	if (v->order.what == IRQ_ROUTE_NO_VCPU)
		return no_vcpu(f, v);
	if (v->order.what == IRQ_ROUTE_NO_THREAD && f->pid == 0)
		return f->pid_err.num ? f->pid_err.msg : "the VMM's process is not known";
	return irq_route_what_to_string(v->order.what);
}

/* --- rows --- */

static const char *delivery_of(const struct msi *msi)
{
	switch (msi->delivery) {
	case MSI_FIXED:
		return "fixed";
	case MSI_LOWEST:
		return "lowest-priority";
	case MSI_SMI:
		return "smi";
	case MSI_NMI:
		return "nmi";
	case MSI_INIT:
		return "init";
	case MSI_EXTINT:
		return "extint";
	}
	return "reserved";
}

/* What the guest has written into its table; null: not known. */
static json_t *message_to_json(const struct irq_vector *v)
{
	if (!v->has_msi || v->msi.why != MSI_KNOWN)
		return json_null();
	return json_pack("{s:i, s:I, s:s, s:s}", "vector", v->msi.vector, "destination", (json_int_t)v->msi.destination, "mode",
			 v->msi.logical ? "logical" : "physical", "delivery", delivery_of(&v->msi));
}

static json_t *vector_to_json(const struct irq_follow *f, const struct lease *l, const struct irq_vector *v)
{
	const struct irq_vcpu *vcpu =
		v->order.vcpu >= 0 && (unsigned)v->order.vcpu < f->nr_vcpus ? &f->vcpus[v->order.vcpu] : NULL;
	bool at = vcpu && vcpu->at.known;

	return json_pack(
		"{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:s, s:s?, s:o}", "lease",
		l->id, "index", (int)v->host.vector, "message", message_to_json(v), "masked",
		v->has_msi ? json_boolean(v->msi.masked) : json_null(), "vcpu", number_or_null(vcpu, vcpu ? vcpu->index : 0),
		"thread", number_or_null(vcpu, vcpu ? vcpu->at.tid : 0), "ran_on", number_or_null(at, at ? vcpu->at.cpu : 0),
		"irq", (int)v->host.irq, "affinity", v->known ? cpus_to_json(&v->affinity) : json_null(), "effective",
		v->known ? cpus_to_json(&v->effective) : json_null(), "wanted", number_or_null(v->order.cpu >= 0, v->order.cpu),
		"rate", real_or_null(v->counted, v->rate), "share",
		real_or_null(v->nr_judged, v->nr_judged ? (double)v->nr_there / (double)v->nr_judged : 0), "count",
		(json_int_t)v->nr, "judged", (json_int_t)v->nr_judged, "there", (json_int_t)v->nr_there, "moved",
		(json_int_t)v->nr_moved, "state", state_of(f, v), "why", why(f, l->irq_nic, v), "error", err_to_json(&v->err));
}

static json_t *vcpu_to_json(const struct irq_vcpu *v)
{
	return json_pack("{s:i, s:o, s:i, s:o, s:o}", "vcpu", (int)v->index, "apic_id",
			 number_or_null(v->at.id.has_apic_id, v->apic_id), "thread", (int)v->at.tid, "cpu",
			 number_or_null(v->at.known, v->at.cpu), "allowed",
			 v->at.known ? cpus_to_json(&v->at.allowed) : json_null());
}

json_t *irq_lease_to_json(const struct lease *l)
{
	const struct irq_nic *nic = l->irq_nic;
	uint64_t judged = 0, there = 0;
	unsigned nr_known = 0;

	if (!nic || !irq_is_followed(l))
		return json_null();
	for (unsigned i = 0; i < nic->nr; i++) {
		judged += nic->v[i].nr_judged;
		there += nic->v[i].nr_there;
		nr_known += is_known(&nic->v[i]);
	}
	return json_pack("{s:i, s:i, s:o, s:b, s:o, s:I, s:o, s:o}", "vectors", (int)nic->nr, "known", (int)nr_known, "rate",
			 real_or_null(nic->counted, nic->rate), "storm", nic->storm, "share",
			 real_or_null(judged, judged ? (double)there / (double)judged : 0), "moved", (json_int_t)nic->nr_moved,
			 "error", err_to_json(&nic->err), "table_error", err_to_json(&nic->table_err));
}

/* Each vector once: two interrupts may be shown for one of them while the guest arms it anew. */
unsigned irq_metrics(const struct lease *l, json_t *vectors, unsigned max)
{
	const struct guest *g = guest_find(l->daemon, l->guest);
	const struct irq_nic *nic = l->irq_nic;
	unsigned left_out = 0;

	if (!g || !g->irq || !nic || !irq_is_followed(l))
		return 0;
	for (unsigned i = 0; i < nic->nr; i++) {
		const struct irq_vector *v = &nic->v[i];

		if (i > 0 && v->host.vector == nic->v[i - 1].host.vector)
			continue;
		if (json_array_size(vectors) >= max) {
			left_out++;
			continue;
		}
		json_array_append_new(
			vectors,
			json_pack("{s:s, s:s, s:i, s:s, s:I, s:o, s:I, s:I, s:o, s:I}", "guest", l->guest, "nic", l->nic,
				  "vector", (int)v->host.vector, "state", state_of(g->irq, v), "count", (json_int_t)v->nr, "rate",
				  real_or_null(v->counted, v->rate), "judged", (json_int_t)v->nr_judged, "there",
				  (json_int_t)v->nr_there, "share",
				  real_or_null(v->nr_judged, v->nr_judged ? (double)v->nr_there / (double)v->nr_judged : 0),
				  "moved", (json_int_t)v->nr_moved));
	}
	return left_out;
}

static json_t *nic_to_json(const struct lease *l)
{
	json_t *j = irq_lease_to_json(l);

	if (json_is_object(j)) {
		json_object_set_new(j, "lease", json_string(l->id));
		json_object_set_new(j, "vf_bdf", json_string(l->vf_bdf));
		json_object_set_new(j, "table", number_or_null(l->irq_nic->has_cap, l->irq_nic->cap.nr));
	}
	return j;
}

static void rows(const struct irq_follow *f, json_t *nics, json_t *vectors, json_t *vcpus)
{
	struct lease *l = NULL;

	for (unsigned i = 0; i < f->nr_vcpus; i++)
		json_array_append_new(vcpus, vcpu_to_json(&f->vcpus[i]));
	while ((l = irq_next(f, l))) {
		json_array_append_new(nics, nic_to_json(l));
		for (unsigned i = 0; i < l->irq_nic->nr; i++)
			json_array_append_new(vectors, vector_to_json(f, l, &l->irq_nic->v[i]));
	}
}

void call_irq_show(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	json_t *nics, *vectors, *vcpus, *looked = NULL;
	const struct irq_follow *f;
	const char *name;
	struct guest *g;
	struct err err;

	if (!call_params(req, params, "{s:s !}", "guest", &name))
		return;
	if (guest_get(d, name, &g, &err) < 0) {
		ctl_fail(req, &err);
		return;
	}
	f = g->irq;
	nics = json_array();
	vectors = json_array();
	vcpus = json_array();
	if (f)
		rows(f, nics, vectors, vcpus);
	if (f && f->looked_us)
		looked = json_integer((json_int_t)((d->sys->ops->now_us(d->sys) - f->looked_us) / 1000));
	ctl_reply(req, json_pack("{s:s, s:b, s:i, s:o?, s:o, s:o, s:o, s:o, s:o}", "guest", g->name, "routed",
				 d->config.irq_route, "follow_ms", (int)d->config.irq_follow_ms, "looked_ms_ago", looked, "error",
				 f && f->err.num ? err_to_json(&f->err) : json_null(), "irqbalance",
				 irq_balance_to_json(d->irq_balance), "nics", nics, "vectors", vectors, "vcpus", vcpus));
}
