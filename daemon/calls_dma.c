/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vf.dma: the DMA address space of a VF, a page a call, so that no answer grows with what a guest maps. The VF is looked up on a worker, then
 * its gangway-device is asked, and the call waits for that: devproc_dma.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "calls_nic.h"
#include "devproc.h"
#include "devproc_dma.h"
#include "hex64.h"
#include "lease.h"

/* What waits for the process. The lease may end meanwhile, and is not needed. */
struct dma_call {
	struct ctl_req *req;
	char lease[LEASE_ID_MAX], vf[BDF_LEN];
};

static json_t *range_to_json(const struct devproc_dma_range *r)
{
	uint64_t size = r->last - r->first + 1;
	bool fits = size && size <= INT64_MAX; /* what does not is no memory */

	return json_pack("{s:o, s:o, s:o, s:s, s:s, s:o, s:b, s:I, s:I}", "first", hex64_json(r->first), "last",
			 hex64_json(r->last), "size", fits ? json_integer((json_int_t)size) : json_null(), "prot", r->prot,
			 "backing",
			 !r->page_size	       ? "none"
			 : r->page_size > 4096 ? "hugetlb"
					       : "shmem",
			 "page_size", r->page_size ? json_integer((json_int_t)r->page_size) : json_null(), "sealed", r->sealed,
			 "pinned", (json_int_t)r->pinned, "pending", (json_int_t)r->pending);
}

/* Both counts are of the same moment, but while memory is on its way ours is ahead of the kernel's. */
static json_t *agree(const struct devproc_dma *page)
{
	if (!page->kernel_tells || page->pending)
		return json_null();
	return json_boolean(page->entries == page->kernel_entries);
}

static json_t *totals_to_json(const struct devproc_dma *page)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "ranges", (json_int_t)page->nr_ranges, "bytes",
			 (json_int_t)page->bytes, "recorded", (json_int_t)page->nr_recorded, "pending", (json_int_t)page->pending,
			 "parked", (json_int_t)page->parked, "entries", (json_int_t)page->entries, "kernel_entries",
			 page->kernel_tells ? json_integer((json_int_t)page->kernel_entries) : json_null(), "agree", agree(page));
}

static void on_page(void *ctx, const struct devproc_dma *page, const struct err *err)
{
	struct dma_call *c = ctx;
	json_t *ranges;

	if (page) {
		ranges = json_array();
		for (size_t i = 0; i < page->nr; i++)
			json_array_append_new(ranges, range_to_json(&page->ranges[i]));
		ctl_reply(c->req, json_pack("{s:s, s:s, s:o, s:o, s:o}", "vf", c->vf, "lease", c->lease, "ranges", ranges, "next",
					    page->more ? hex64_json(page->next) : json_null(), "totals", totals_to_json(page)));
	} else {
		ctl_fail(c->req, err);
	}
	free(c);
}

/* Why there is nobody to ask. */
static int no_map(const struct nic_job *j, const struct lease *l, struct err *err)
{
	const char *bdf = j->vfs->vf->bdf;

	if (!l) {
		err_set(err, -ENOENT, "vf.no-dma-map", "VF %s: no guest has it, so there is no DMA map", bdf);
		err_hint(err, "`gangway status` shows who has which VF");
		return -ENOENT;
	}
	if (l->via == VIA_VFIO_PCI) {
		err_set(err, -EOPNOTSUPP, "vf.no-dma-map", "VF %s: gangway does not have the DMA map of lease %s", bdf, l->id);
		err_hint(err, "via vfio-pci the VMM itself programs the IOMMU; `attach --via vfio-user` leaves it to gangway");
		return -EOPNOTSUPP;
	}
	err_set(err, -EIO, "vf.no-dma-map", "VF %s: lease %s has no gangway-device process, now or any more", bdf, l->id);
	err_hint(err, "`gangway status %s` says how it is", l->guest);
	return -EIO;
}

static int ask_process(struct nic_job *j)
{
	struct lease *l = lease_of_vf(j->d, j->vfs->vf->bdf);
	struct dma_call *c;
	int r;

	if (!l || !l->dev)
		return no_map(j, l, &j->err);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(&j->err, -ENOMEM, "daemon.no-memory", "no memory for the call");
	c->req = j->req;
	snprintf(c->lease, sizeof(c->lease), "%s", l->id);
	snprintf(c->vf, sizeof(c->vf), "%s", l->vf_bdf);
	r = devproc_ask_dma(l->dev, j->from, on_page, c, &j->err);
	if (r < 0)
		free(c);
	else
		j->req = NULL; /* on_page() answers it */
	return r;
}

static void dma_vf_found(int r, void *arg)
{
	nic_job_done(r < 0 ? r : ask_process(arg), arg);
}

/* Of a call that on_page() answers. */
static json_t *render_nothing(struct nic_job *j)
{
	(void)j;
	return NULL;
}

void call_vf_dma(struct daemon *d, struct ctl_req *req, const json_t *params)
{
	const char *vf, *from = "0x0";
	struct nic_job *j;
	uint64_t first;

	if (!call_params(req, params, "{s:s, s?:s !}", "vf", &vf, "from", &from))
		return;
	if (hex64_parse(from, &first) < 0) {
		ctl_fail_params(req, "from: an address, \"0x\" and up to 16 lower case digits");
		return;
	}
	j = nic_job_new(d, req, vf, nic_find_vf, render_nothing);
	if (!j)
		return;
	j->from = first;
	nic_job_submit(j, dma_vf_found);
}
