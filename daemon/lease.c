/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lease.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "daemon.h"
#include "devproc.h"
#include "guests.h"
#include "irq_follow.h"
#include "irq_keep.h"
#include "log.h"
#include "policy_json.h"
#include "switcher.h"
#include "vdev.h"

/* Of its devices in the guest's VMM, by the name of the NIC. */
#define VF_ID "gangway-%s"
#define STANDBY_ID "gangway-%s-standby"

static const char *const via_names[] = { "auto", "vfio-user", "vfio-pci" };

const char *lease_via_to_string(enum lease_via via)
{
	return via_names[via];
}

int lease_via_from_string(const char *s, enum lease_via *ret)
{
	for (unsigned i = 0; i < sizeof(via_names) / sizeof(via_names[0]); i++)
		if (!strcmp(s, via_names[i])) {
			*ret = (enum lease_via)i;
			return 0;
		}
	return -EINVAL;
}

int name_check(const char *what, const char *s, struct err *err)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = strlen(s);

	if (n > 0 && n <= LIMIT_NAME && strchr(first, s[0]) && strspn(s, rest) == n)
		return 0;
	err_set(err, -EINVAL, "name.bad", "%s \"%.80s\" is no name", what, s);
	err_hint(err, "letters, digits, '.', '_' and '-', at most %d of them, the first a letter or digit", LIMIT_NAME);
	return -EINVAL;
}

/*
 * Descriptors in flight are counted by the kernel for each uid, and processes of one uid can signal each other: so each process has its own.
 * There is always one, for there are as many as there can be leases.
 */
static uid_t free_device_uid(struct daemon *d)
{
	uid_t uid = d->config.device_uid_first;
	struct lease *l = TAILQ_FIRST(&d->leases);

	while (l) {
		if (l->device_uid != uid) {
			l = TAILQ_NEXT(l, link);
			continue;
		}
		uid++;
		l = TAILQ_FIRST(&d->leases);
	}
	return uid;
}

/* As many as a guest has leases are never all taken. */
static unsigned free_port(struct daemon *d, const char *guest)
{
	unsigned port = 1;
	struct lease *l = TAILQ_FIRST(&d->leases);

	while (l) {
		if (l->port != port || strcmp(l->guest, guest)) {
			l = TAILQ_NEXT(l, link);
			continue;
		}
		port++;
		l = TAILQ_FIRST(&d->leases);
	}
	return port;
}

/* Interfaces of the host are named after it. */
static unsigned free_leg_nr(struct daemon *d)
{
	unsigned nr = 0;
	struct lease *l = TAILQ_FIRST(&d->leases);

	while (l) {
		if (l->leg_nr != nr) {
			l = TAILQ_NEXT(l, link);
			continue;
		}
		nr++;
		l = TAILQ_FIRST(&d->leases);
	}
	return nr;
}

int lease_check_ids(struct daemon *d, const char *guest, const char *nic, struct err *err)
{
	char vf[sizeof(((struct lease *)0)->device_id)], standby[sizeof(((struct lease *)0)->standby_id)];
	const struct lease *l;

	snprintf(vf, sizeof(vf), VF_ID, nic);
	snprintf(standby, sizeof(standby), STANDBY_ID, nic);
	TAILQ_FOREACH(l, &d->leases, link)
	{
		if (strcmp(l->guest, guest) || (strcmp(l->standby_id, vf) && strcmp(l->device_id, standby)))
			continue;
		err_set(err, -EEXIST, "lease.same-id",
			"guest %s: NICs %s and %s: the VF of one would have the id of the other's standby", guest, l->nic, nic);
		err_hint(err, "another name: --nic NAME, not ending in -standby");
		return -EEXIST;
	}
	return 0;
}

int lease_new(struct daemon *d, const char *guest, const char *nic, struct lease **ret, struct err *err)
{
	struct lease *l;

	if (lease_find(d, guest, nic)) {
		err_set(err, -EEXIST, "lease.exists", "guest %s: its NIC %s has a VF already", guest, nic);
		err_hint(err, "`gangway status %s` shows it; `gangway detach %s %s` ends it; another NIC: --nic NAME", guest,
			 guest, nic);
		return -EEXIST;
	}
	if (d->nr_leases >= LIMIT_LEASES || lease_count(d, guest) >= LIMIT_LEASES_PER_GUEST) {
		err_set(err, -ENOSPC, "lease.too-many", "guest %s: no more than %d leases a guest, %d in all", guest,
			LIMIT_LEASES_PER_GUEST, LIMIT_LEASES);
		err_hint(err, "`gangway status` shows them; `gangway detach` ends one");
		return -ENOSPC;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(err, -ENOMEM, "daemon.no-memory", "no memory for a lease");
	l->daemon = d;
	l->memory.priority = LEASE_PRIORITY;
	snprintf(l->guest, sizeof(l->guest), "%s", guest);
	snprintf(l->nic, sizeof(l->nic), "%s", nic);
	snprintf(l->id, sizeof(l->id), "%s/%s", guest, nic);
	snprintf(l->device_id, sizeof(l->device_id), VF_ID, nic);
	snprintf(l->boot_id, sizeof(l->boot_id), "%s", d->boot_id);
	snprintf(l->standby_id, sizeof(l->standby_id), STANDBY_ID, nic);
	snprintf(l->netdev_id, sizeof(l->netdev_id), "gangway-%s-net", nic);
	l->device_uid = free_device_uid(d);
	l->leg_nr = free_leg_nr(d);
	l->port = free_port(d, guest);
	l->state = LEASE_ATTACHING;
	l->confirmed = true;
	l->since = time(NULL);
	l->group_id = -1;
	l->undo.group_id = -1;
	TAILQ_INSERT_TAIL(&d->leases, l, link);
	d->nr_leases++;
	*ret = l;
	return 0;
}

struct lease *lease_free(struct lease *l)
{
	if (!l)
		return NULL;
	TAILQ_REMOVE(&l->daemon->leases, l, link);
	l->daemon->nr_leases--;
	switcher_end(l, "the lease is no more");
	irq_nic_free(l->irq_nic);
	irq_keep_free(l);
	emul_leg_free(l->emul);
	devproc_free(l->dev);
	vdev_close(l->vdev);
	free(l);
	return NULL;
}

void lease_set_state(struct lease *l, enum lease_state to, const char *why)
{
	enum lease_state from = l->state;

	if (!lease_transition_legal(from, to)) {
		log_err("lease %s: %s -> %s (%s) is no legal transition, ignoring", l->id, lease_state_to_string(from),
			lease_state_to_string(to), why);
		return;
	}
	l->state = to;
	l->confirmed = true;
	l->since = time(NULL);
	snprintf(l->why, sizeof(l->why), "%s", why);
	log_info("lease %s: %s -> %s (%s)", l->id, lease_state_to_string(from), lease_state_to_string(to), why);
	ctl_event(l->daemon->ctl, "lease", l->id,
		  json_pack("{s:s, s:s, s:s, s:o}", "from", lease_state_to_string(from), "to", lease_state_to_string(to), "why",
			    why, "lease", lease_to_json(l)));
	irq_follow_hint(l);
}

void lease_confirm(struct lease *l, const char *why)
{
	if (l->confirmed)
		return;
	l->confirmed = true;
	snprintf(l->why, sizeof(l->why), "%s", why);
	log_info("lease %s: %s, confirmed (%s)", l->id, lease_state_to_string(l->state), why);
	ctl_event(l->daemon->ctl, "lease", l->id,
		  json_pack("{s:b, s:s, s:o}", "confirmed", 1, "why", why, "lease", lease_to_json(l)));
	irq_follow_hint(l);
}

void lease_set_leg(struct lease *l, enum lease_leg leg, enum lease_reason reason)
{
	/* whatever else has ended, a VF in quarantine does not carry */
	if (l->faults.quarantined && leg == LEG_PASSTHROUGH && reason == REASON_NONE)
		reason = REASON_VF_FAULT;
	if (l->pf_down && leg == LEG_PASSTHROUGH && reason == REASON_NONE)
		reason = REASON_PF_DOWN;
	if (l->leg == leg && l->reason == reason)
		return;
	l->leg = leg;
	l->reason = reason;
	ctl_event(l->daemon->ctl, "lease", l->id,
		  json_pack("{s:s, s:s?, s:o}", "leg", lease_leg_to_string(leg), "reason", lease_reason_to_string(reason),
			    "lease", lease_to_json(l)));
	irq_follow_hint(l);
}

void lease_follow_pf(struct lease *l)
{
	char ifname[IF_NAMESIZE];

	if (!l->pf_bdf[0] || sriov_ifname(l->daemon->sys, l->pf_bdf, ifname) < 0 || !ifname[0] || !strcmp(ifname, l->pf_name))
		return;
	log_info("lease %s: its PF %s is called %s now, it was %s", l->id, l->pf_bdf, ifname, l->pf_name);
	snprintf(l->pf_name, sizeof(l->pf_name), "%s", ifname);
	ctl_event(l->daemon->ctl, "lease", l->id, json_pack("{s:s, s:o}", "pf", ifname, "lease", lease_to_json(l)));
}

void lease_set_vf(struct lease *l, const char *vf_bdf)
{
	snprintf(l->vf_bdf, sizeof(l->vf_bdf), "%s", vf_bdf);
	snprintf(l->file_id, sizeof(l->file_id), "%s", vf_bdf);
	for (char *p = l->file_id; *p; p++)
		if (*p == ':')
			*p = '-';
	faults_expect(l);
}

bool lease_lacks_vf(const struct lease *l)
{
	return !l->vf_bdf[0] || l->half_vf;
}

void lease_clear_vf(struct lease *l)
{
	l->vf_bdf[0] = l->file_id[0] = '\0';
	l->vf_index = 0;
	l->group_id = -1;
	l->half_vf = false;
	l->undo = (struct lease_undo){ .group_id = -1 };
}

void lease_leg_policy(const struct lease *l, const struct sys_vf *before, struct sys_vf *ret)
{
	*ret = *before;
	policy_merge(ret, &l->want);
}

/* Command register and MSI-X of a VF under vfio-pci: bus master on, and vectors allocated. */
bool lease_vf_is_driven(struct lease *l)
{
	uint8_t config[PCI_STD_HEADER_SIZEOF];
	char path[96];

	if (!l->vf_bdf[0])
		return false;
	if (l->via == VIA_VFIO_USER) {
		const struct devproc_status *s = l->dev ? devproc_get_status(l->dev) : NULL;

		return s && s->bus_master && s->vectors_armed > 0;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", l->vf_bdf);
	if (l->daemon->sys->ops->read_file(l->daemon->sys, path, config, sizeof(config)) != (ssize_t)sizeof(config))
		return false;
	if (!(config[PCI_COMMAND] & PCI_COMMAND_MASTER))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs", l->vf_bdf);
	return sys_exists(l->daemon->sys, path);
}

struct lease *lease_find(struct daemon *d, const char *guest, const char *nic)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (!strcmp(l->guest, guest) && (!nic || !strcmp(l->nic, nic)))
		return l;
	return NULL;
}

int lease_get(struct daemon *d, const char *guest, const char *nic, const char *verb, const char *words, struct lease **ret,
	      struct err *err)
{
	struct lease *l = lease_find(d, guest, nic);
	struct guest *g;
	int r;

	if (!l) {
		r = guest_get(d, guest, &g, err);
		if (r < 0)
			return r;
		err_set(err, -ENOENT, "lease.none", "guest %s: it has no VF%s%.80s", guest, nic ? " as NIC " : "",
			nic ? nic : "");
		err_hint(err, "`gangway status` shows who has one");
		return -ENOENT;
	}
	if (!nic && lease_count(d, guest) > 1) {
		err_set(err, -EINVAL, "lease.ambiguous", "guest %s: it has %u VFs: which one?", guest, lease_count(d, guest));
		err_hint(err, "gangway %s %s NIC%s; `gangway status %s` names them", verb, guest, words, guest);
		return -EINVAL;
	}
	*ret = l;
	return 0;
}

unsigned lease_count(struct daemon *d, const char *guest)
{
	struct lease *l;
	unsigned n = 0;

	TAILQ_FOREACH(l, &d->leases, link)
	n += !strcmp(l->guest, guest);
	return n;
}

struct lease *lease_of_vf(struct daemon *d, const char *vf_bdf)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (vf_bdf[0] && !strcmp(l->vf_bdf, vf_bdf))
		return l;
	return NULL;
}

struct lease *lease_of_vf_index(struct daemon *d, const char *pf_key, unsigned vf_index)
{
	struct lease *l;

	TAILQ_FOREACH(l, &d->leases, link)
	if (l->vf_bdf[0] && l->vf_index == vf_index && !strcmp(l->pf_key, pf_key))
		return l;
	return NULL;
}
