/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PFs and VFs as objects of the control protocol. */
#ifndef GANGWAY_OBJECTS_H
#define GANGWAY_OBJECTS_H

#include <jansson.h>

struct daemon;
struct sriov_pf;
struct sriov_vf;

json_t *pf_to_json(struct daemon *d, const struct sriov_pf *pf);
json_t *vf_to_json(struct daemon *d, const struct sriov_pf *pf, const struct sriov_vf *vf);

#endif
