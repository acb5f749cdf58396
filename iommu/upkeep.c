/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done for an address space between the VMM's requests: what the mapper has ended is booked, what was parked long enough is unmapped, and
 * what could not be is tried again.
 */
#include <errno.h>
#include <string.h>

#include "space.h"
#include "sys.h"

/* How long what was unmapped stays parked: firmware's unmap and map are one exchange of a few milliseconds. */
#define PARK_US UINT64_C(1000000)
#define UNMAP_AGAIN_US UINT64_C(1000000)

int iommu_set_quiet(struct iommu *m, bool quiet, struct err *err)
{
	bool mismatch = false;
	int r;

	if (quiet) {
		m->quiet = true;
		return 0;
	}
	m->quiet = false;
	r = pieces_unpark(m, UINT64_MAX, PIECES_TURN, &mismatch);
	if (r == -EAGAIN && !mismatch)
		return err_set(err, r, "iommu.unmapping", "%s: DMA ranges unmapped before are being taken out", m->name);
	if (r < 0 || mismatch) {
		m->stats.degraded = true;
		r = r < 0 ? err_set(err, r, "iommu.unmap-failed", "DMA ranges unmapped before: the kernel keeps them: %s",
				    strerror(-r))
			  : iommu_mismatched(0, UINT64_MAX, err);
		err_prefix(err, "%s", m->name);
		return r;
	}
	return 0;
}

int iommu_fd(const struct iommu *m)
{
	return mapper_fd(m->mapper);
}

int iommu_timeout_ms(const struct iommu *m)
{
	const struct piece *p = TAILQ_FIRST(&m->parked);
	uint64_t now = m->sys->ops->now_us(m->sys), at = p ? p->parked_us + PARK_US : UINT64_MAX;

	if (p && !m->quiet && !p->stuck)
		at = now;
	if (m->unmap_again_us && m->unmap_again_us < at)
		at = m->unmap_again_us;
	if (at == UINT64_MAX)
		return -1;
	return now >= at ? 0 : (int)((at - now) / 1000) + 1;
}

/* Said once, tried until it is done: the guest's memory is not to stay in this process. Its errno when it is to be said. */
static int unmap_again(struct iommu *m, uint64_t now)
{
	int r = mapper_unmap_error(m->mapper);
	bool known = m->unmap_again_us;

	if (known && r < 0 && now < m->unmap_again_us)
		return 0;
	m->unmap_again_us = r < 0 ? now + UNMAP_AGAIN_US : 0;
	if (!known)
		return r;
	mapper_unmap_again(m->mapper);
	return 0;
}

int iommu_process(struct iommu *m, struct err *err)
{
	uint64_t now = m->sys->ops->now_us(m->sys);
	bool mismatch = false;
	int r = 0;

	pieces_reap(m);
	if (!m->quiet || now >= PARK_US)
		r = pieces_unpark(m, m->quiet ? now - PARK_US : UINT64_MAX, PIECES_TURN, &mismatch);
	if (!m->failure.num && r < 0 && r != -EAGAIN) {
		m->stats.degraded = true;
		err_set(&m->failure, r, "iommu.unmap-failed", "DMA ranges unmapped before: the kernel keeps them: %s",
			strerror(-r));
	} else if (!m->failure.num && mismatch) {
		iommu_mismatched(0, UINT64_MAX, &m->failure);
	}
	r = unmap_again(m, now);
	if (!m->failure.num && r < 0) {
		err_set(&m->failure, r, "iommu.munmap-failed",
			"memory of the guest stays mapped in gangway-device (munmap: %s), trying again", strerror(-r));
		if (r == -ENOMEM)
			err_hint(&m->failure, "raise sysctl vm.max_map_count");
	}
	if (!m->failure.num)
		return 0;
	*err = m->failure;
	err_clear(&m->failure);
	err_prefix(err, "%s", m->name);
	return err->num;
}
