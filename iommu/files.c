/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that a guest's memory is in: whoever compares them with those of other guests has to see each. */
#include <errno.h>

#include "space.h"

static struct file_ref *find_file(struct iommu *m, const struct iommu_file *file)
{
	for (unsigned i = 0; i < IOMMU_FILES_MAX; i++)
		if (m->files[i].refs && m->files[i].file.dev == file->dev && m->files[i].file.ino == file->ino)
			return &m->files[i];
	return NULL;
}

int files_ref(struct iommu *m, const struct range *range)
{
	const struct iommu_file file = { range->backing.dev, range->backing.ino };
	struct file_ref *ref = find_file(m, &file);

	for (unsigned i = 0; i < IOMMU_FILES_MAX && !ref; i++)
		if (!m->files[i].refs)
			ref = &m->files[i];
	if (!ref)
		return -ENOSPC;
	ref->file = file;
	ref->refs++;
	return 0;
}

void files_unref(struct iommu *m, const struct range *range)
{
	struct file_ref *ref = find_file(m, &(struct iommu_file){ range->backing.dev, range->backing.ino });

	ref->refs--; /* taken when the range was mapped */
}

unsigned iommu_get_files(const struct iommu *m, struct iommu_file ret[IOMMU_FILES_MAX])
{
	unsigned nr = 0;

	for (unsigned i = 0; i < IOMMU_FILES_MAX; i++)
		if (m->files[i].refs)
			ret[nr++] = m->files[i].file;
	return nr;
}
