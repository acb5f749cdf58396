/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sriov_steer: does the NIC send frames to the guest's MAC to the VF? It does while the PF's driver has that MAC for the VF, whether or not
 * somebody drives it: seen on igb, the filter stays when the guest has let the VF go, and everything to the guest is lost there. It goes with
 * the MAC alone. A VF's driver takes a new MAC when it resets (igb, 82576: at once in the filter, in the VF when its driver loads).
 *
 * May block (rtnetlink): on a worker. Frames to a MAC that the PF has, too (emul.h), reach both.
 */
#ifndef GANGWAY_SRIOV_STEER_H
#define GANGWAY_SRIOV_STEER_H

#include <stdint.h>

#include "sriov.h"

/* Give VF @vf the guest's @mac as its administrative MAC and read it back. Idempotent. As policy_apply(). */
int sriov_steer_to_vf(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		      struct err *err);
/*
 * Take the guest's @mac away from VF @vf: it gets back the one in @saved (.fields with SYS_VF_MAC), or none where that is the guest's or
 * unknown; a driver that refuses to have none gets one of the VF's own. Read back: -EIO steer.not-dropped where the VF has it still. Idempotent;
 * a VF that has another MAC is left alone, a PF or VF that is gone is no error.
 */
int sriov_steer_off_vf(struct sys *sys, const struct sriov_pf *pf, unsigned vf, const uint8_t mac[static SYS_MAC_LEN],
		       const struct sys_vf *saved, struct err *err);

#endif
