/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose a fault is: the lease's that has the VF. A line may leave out which segment the VF is in, and the same numbers be there twice. */
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "faults_internal.h"
#include "lease.h"
#include "sys.h"
#include "work.h"

/* Is there a function with the same bus, device and function in another segment? Negative: not known. */
static int has_twin(struct sys *sys, const char *bdf)
{
	char **names;
	int found = 0, r;

	r = sys->ops->list(sys, "/sys/bus/pci/devices", &names);
	if (r < 0)
		return r;
	for (char **n = names; *n; n++)
		found = found || (strlen(*n) == strlen(bdf) && strcmp(*n, bdf) != 0 && !strcmp(*n + 4, bdf + 4));
	sys_list_free(names);
	return found;
}

struct look {
	struct daemon *d;
	struct sys *sys;
	char id[LEASE_ID_MAX], bdf[BDF_LEN];
};

static int look_run(void *arg)
{
	struct look *look = arg;

	return has_twin(look->sys, look->bdf);
}

static void look_done(int r, void *arg)
{
	struct look *look = arg;
	struct lease *l;

	TAILQ_FOREACH(l, &look->d->leases, link)
	if (!strcmp(l->id, look->id) && !strcmp(l->vf_bdf, look->bdf))
		l->faults.segment = r < 0 ? SEGMENT_UNASKED : r ? SEGMENT_DOUBTED : SEGMENT_SURE;
	free(look);
}

void faults_expect(struct lease *l)
{
	struct look *look = l->daemon->pool ? malloc(sizeof(*look)) : NULL;

	if (!look)
		return;
	*look = (struct look){ .d = l->daemon, .sys = l->daemon->sys };
	memcpy(look->id, l->id, sizeof(look->id));
	memcpy(look->bdf, l->vf_bdf, sizeof(look->bdf));
	if (work_submit(l->daemon->pool, look_run, look_done, look) < 0)
		free(look);
	else
		l->faults.segment = SEGMENT_ASKED;
}

/* Intel's lines do not say which segment. Where that leaves a doubt, or it is not known yet, nobody is blamed. */
static bool is_sure(struct lease *l)
{
	if (l->faults.segment == SEGMENT_UNASKED)
		faults_expect(l);
	return l->faults.segment == SEGMENT_SURE;
}

struct lease *faults_owner(struct daemon *d, const struct fault *f)
{
	size_t from = f->has_segment ? 0 : 4; /* ":3b:10.0" */
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (f->bdf[0] && l->vf_bdf[0] && !strcmp(l->vf_bdf + from, f->bdf + from))
		return f->has_segment || is_sure(l) ? l : NULL;
	return NULL;
}
