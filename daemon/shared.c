/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "shared.h"

#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "devproc.h"
#include "err.h"
#include "lease.h"
#include "log.h"

static bool has_file(const struct devproc_status *s, const struct devproc_file *file)
{
	for (unsigned i = 0; i < s->nr_files; i++)
		if (s->files[i].dev == file->dev && s->files[i].ino == file->ino)
			return true;
	return false;
}

static bool overlap(const struct lease *a, const struct lease *b)
{
	const struct devproc_status *s = devproc_get_status(a->dev), *t = devproc_get_status(b->dev);

	for (unsigned i = 0; i < s->nr_files; i++)
		if (has_file(t, &s->files[i]))
			return true;
	return false;
}

/* The lease of another guest that had some of @l's memory first. */
static struct lease *owner(const struct lease *l)
{
	struct lease *other;

	TAILQ_FOREACH(other, &l->daemon->leases, link)
	{
		if (other == l)
			return NULL;
		if (other->dev && strcmp(other->guest, l->guest) && overlap(l, other))
			return other;
	}
	return NULL;
}

/* The older processes know no such word: the operator has to act. */
static void cannot_hold(struct lease *l, const struct lease *first)
{
	err_set(&l->error, -EOPNOTSUPP, "iommu.memory-shared-old",
		"lease %s: some of the memory that its VF reaches is that of guest %s (lease %s), and its device process, of an "
		"older gangway, cannot keep it from that",
		l->id, first->guest, first->id);
	err_hint(&l->error, "`gangway detach %s %s`, and attach again", l->guest, l->nic);
	log_err("%s", l->error.msg);
}

static void hold(struct lease *l, const struct lease *first)
{
	err_set(&l->error, -EBUSY, "iommu.memory-shared",
		"lease %s: some of the memory that its VF is to reach is that of guest %s (lease %s): it may do no DMA", l->id,
		first->guest, first->id);
	err_hint(&l->error, "start the guests with memory of their own; share_memory = yes in gangway.conf allows it");
	log_err("%s", l->error.msg);
}

static bool is_said(const struct lease *l, const char *code)
{
	return !strcmp(l->error.code, code);
}

/* @first: whose memory it has, too; NULL: nobody's. Where its process does not listen, it is told with its next status again. */
static void check_one(struct lease *l, const struct lease *first)
{
	bool held = strstr(devproc_get_status(l->dev)->held, "shared");
	int r = !first == !held ? 0 : devproc_hold_shared(l->dev, first);

	if (r == -EOPNOTSUPP && first && !is_said(l, "iommu.memory-shared-old"))
		cannot_hold(l, first);
	else if (r == 0 && first && !held && !is_said(l, "iommu.memory-shared"))
		hold(l, first);
	else if (r == 0 && !first && (is_said(l, "iommu.memory-shared") || is_said(l, "iommu.memory-shared-old")))
		err_clear(&l->error);
}

void shared_check(struct daemon *d)
{
	struct lease *l;

	if (d->config.share_memory)
		return;
	TAILQ_FOREACH(l, &d->leases, link)
	if (l->dev)
		check_one(l, owner(l));
}
