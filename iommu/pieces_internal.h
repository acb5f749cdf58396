/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pieces.c and pieces_add.c share. */
#ifndef GANGWAY_PIECES_INTERNAL_H
#define GANGWAY_PIECES_INTERNAL_H

#include "space.h"

/* The lowest piece that ends at @addr or above; NULL: none. */
static inline struct piece *piece_from(const struct iommu *m, uint64_t addr)
{
	return (struct piece *)range_map_from(&m->pieces, addr);
}

static inline struct piece *piece_next(const struct iommu *m, const struct piece *p)
{
	return (struct piece *)range_map_next(&m->pieces, &p->node);
}

static inline uint64_t piece_size(const struct piece *p)
{
	return p->node.last - p->node.first + 1;
}

/* The job of @p is over: what came of it. */
void piece_book(struct iommu *m, struct piece *p);
/* Parked no more, if it was. */
void piece_unpark(struct iommu *m, struct piece *p);
/* The object goes; it is in the IOMMU no more, or never was. */
void piece_forget(struct iommu *m, struct piece *p);
/* Out of the IOMMU for good: whatever is in [@first, @last], as pieces_remove() has it. */
int pieces_drop(struct iommu *m, uint64_t first, uint64_t last, bool *mismatch);

#endif
