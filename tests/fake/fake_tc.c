/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forwarding entries, bridge ports, traffic control and announcements of the fake kernel, and what tests ask of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake_internal.h"
#include "net_wire_leg.h"

/* Start of a call about @link: takes the lock, counts, finds it. NULL: *@ret says why and the lock is free again. */
static struct fake_if *enter(struct fake *fake, const struct sys_link *link, const char *what, struct err *err, int *ret)
{
	struct fake_if *i = NULL;

	*ret = fake_enter(fake);
	if (*ret == 0) {
		i = fake_if_at(fake, link->ifindex);
		if (!i)
			*ret = (int)fake_leave(fake, -ENODEV);
	}
	if (*ret < 0)
		net_wire_refused(err, *ret, link->name, what, "");
	return i;
}

static int leave(struct fake *fake, struct err *err, int num, const struct sys_link *link, const char *what, const char *words)
{
	if (num < 0)
		net_wire_refused(err, num, link->name, what, words);
	return (int)fake_leave(fake, num);
}

static struct fake_if *must_find(const struct fake *fake, const char *ifname)
{
	struct fake_if *i = fake_if_find(fake, ifname);

	if (!i)
		fake_die("no interface %s", ifname);
	return i;
}

static bool member(const struct fake_if *i, unsigned vid)
{
	return i->vlans[vid / 8] & (1 << vid % 8);
}

/* The entry for the same MAC in the same table: a NIC's own, or the bridge's, whatever its port. */
static struct fake_fdb **find_entry(struct fake *fake, const struct fake_if *i, const struct sys_fdb *entry)
{
	struct fake_fdb **at = &fake->fdb;

	for (; *at; at = &(*at)->next) {
		const struct fake_fdb *e = *at;
		const struct fake_if *of = fake_if_at(fake, e->ifindex);
		bool same = e->entry.where == SYS_FDB_SELF ? e->ifindex == i->link.ifindex : of->link.master == i->link.master;

		if (same && e->entry.where == entry->where && e->entry.vlan == entry->vlan &&
		    memcmp(e->entry.mac, entry->mac, SYS_MAC_LEN) == 0)
			break;
	}
	return at;
}

void fake_fdb_free(struct fake *fake)
{
	while (fake->fdb) {
		struct fake_fdb *e = fake->fdb;

		fake->fdb = e->next;
		free(e);
	}
}

int fake_fdb_set(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool there, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_fdb **at, *e;
	struct fake_if *i;
	int r;

	i = enter(fake, link, "a MAC", err, &r);
	if (!i)
		return r;
	if (entry->where == SYS_FDB_BRIDGE && !i->link.master)
		return leave(fake, err, -EOPNOTSUPP, link, "a MAC", "");
	if (entry->where == SYS_FDB_BRIDGE && entry->vlan && !member(i, entry->vlan))
		return leave(fake, err, -EINVAL, link, "a MAC", "FDB entry add/del requires vlan vid to be configured on port");
	if (entry->where == SYS_FDB_SELF && entry->vlan)
		return leave(fake, err, -EINVAL, link, "a MAC", "");
	at = find_entry(fake, i, entry);
	e = *at;
	if (!there) {
		/* the bridge's entry at another port stays */
		if (e && e->ifindex == i->link.ifindex) {
			*at = e->next;
			free(e);
		}
		return leave(fake, err, 0, link, "", "");
	}
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			fake_die("no memory");
		*at = e;
	}
	e->ifindex = i->link.ifindex;
	e->entry = *entry;
	return leave(fake, err, 0, link, "", "");
}

int fake_fdb_get(struct sys *sys, const struct sys_link *link, const struct sys_fdb *entry, bool *ret, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	const struct fake_fdb *e;
	struct fake_if *i;
	int r;

	i = enter(fake, link, "its forwarding entries", err, &r);
	if (!i)
		return r;
	e = *find_entry(fake, i, entry);
	*ret = e && e->ifindex == i->link.ifindex;
	return leave(fake, err, 0, link, "", "");
}

int fake_bridge_port_set(struct sys *sys, const struct sys_link *port, const struct sys_port *want, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	i = enter(fake, port, "learning", err, &r);
	if (!i)
		return r;
	if (i->link.master)
		i->port = *want;
	return leave(fake, err, i->link.master ? 0 : -EOPNOTSUPP, port, "learning", "");
}

int fake_bridge_vlan_set(struct sys *sys, const struct sys_link *port, unsigned vid, bool want, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	i = enter(fake, port, "a VLAN", err, &r);
	if (!i)
		return r;
	if (!i->link.master || vid > SYS_VLAN_MAX)
		return leave(fake, err, i->link.master ? -EINVAL : -EOPNOTSUPP, port, "a VLAN", "");
	if (want)
		i->vlans[vid / 8] |= (uint8_t)(1 << vid % 8);
	else
		i->vlans[vid / 8] &= (uint8_t) ~(1 << vid % 8);
	return leave(fake, err, 0, port, "", "");
}

int fake_bridge_vlan_get(struct sys *sys, const struct sys_link *port, unsigned vid, bool *ret_member, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	i = enter(fake, port, "its VLANs", err, &r);
	if (!i)
		return r;
	*ret_member = member(i, vid);
	return leave(fake, err, 0, port, "", "");
}

int fake_rate_set(struct sys *sys, const struct sys_link *link, enum sys_side side, uint32_t mbit, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	i = enter(fake, link, "a rate", err, &r);
	if (!i)
		return r;
	if (mbit && strcmp(fake->no_module, side == SYS_EGRESS ? "tbf" : "police") == 0)
		return leave(fake, err, -ENOENT, link, "a rate", "Failed to load TC action module");
	i->rate[side] = mbit;
	return leave(fake, err, 0, link, "", "");
}

int fake_source_filter(struct sys *sys, const struct sys_link *link, enum sys_side side, const uint8_t *mac, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	i = enter(fake, link, "a check of source addresses", err, &r);
	if (!i)
		return r;
	if (mac && strcmp(fake->no_module, "bpf") == 0)
		return leave(fake, err, -ENOENT, link, "a check of source addresses", "TC classifier not found");
	i->checked[side] = mac;
	if (mac)
		memcpy(i->source[side], mac, SYS_MAC_LEN);
	return leave(fake, err, 0, link, "", "");
}

int fake_delay_set(struct sys *sys, const struct sys_link *link, unsigned ms, unsigned frames, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	(void)frames;
	i = enter(fake, link, "a delay", err, &r);
	if (!i)
		return r;
	if (strcmp(fake->no_module, "netem") == 0)
		return leave(fake, err, -ENOENT, link, "a delay", "Specified qdisc kind is unknown");
	i->delay_ms = ms;
	return leave(fake, err, 0, link, "", "");
}

/* The action keeps the number of the interface it sends to, also when that is gone: then it drops. */
int fake_detour_set(struct sys *sys, const struct sys_link *link, enum sys_side side, const struct sys_link *by, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	i = enter(fake, link, "a detour", err, &r);
	if (!i)
		return r;
	if (by && strcmp(fake->no_module, "mirred") == 0)
		return leave(fake, err, -ENOENT, link, "a detour", "Failed to load TC action module");
	if (by && !fake_if_at(fake, by->ifindex))
		return leave(fake, err, -ENODEV, link, "a detour", "");
	i->detour[side] = by ? by->ifindex : 0;
	return leave(fake, err, 0, link, "", "");
}

int fake_announce(struct sys *sys, const struct sys_link *link, const struct sys_announce *what, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r;

	(void)what;
	i = enter(fake, link, "an announcement", err, &r);
	if (!i)
		return r;
	if (i->link.up)
		fake->announced++;
	return leave(fake, err, i->link.up ? 0 : -ENETDOWN, link, "an announcement", "");
}

void fake_vmm_holds_tap(struct fake *fake, const char *ifname, bool holds)
{
	struct fake_if *i;

	pthread_mutex_lock(&fake->lock);
	i = must_find(fake, ifname);
	i->tap_held = holds;
	if (!holds && i->tap_fd < 0)
		fake_if_free(fake, i);
	pthread_mutex_unlock(&fake->lock);
}

void fake_vmm_takes_taps(struct fake *fake)
{
	fake->taps_held = true;
}

bool fake_hears(const struct fake *fake, const char *ifname, const uint8_t mac[static SYS_MAC_LEN])
{
	const struct fake_if *nic = must_find(fake, ifname);

	for (const struct fake_fdb *e = fake->fdb; e; e = e->next) {
		if (e->entry.where == SYS_FDB_SELF && e->ifindex == nic->link.ifindex && !memcmp(e->entry.mac, mac, SYS_MAC_LEN))
			return true;
	}
	for (const struct fake_if *i = fake->ifs; i; i = i->next) {
		const struct fake_if *low = fake_if_at(fake, i->link.lower);

		if (!low || strcmp(i->link.kind, "macvtap") || !i->link.up || memcmp(i->link.mac, mac, SYS_MAC_LEN))
			continue;
		if (low == nic || (low->link.up && low->link.lower == nic->link.ifindex))
			return true;
	}
	return false;
}

const char *fake_fdb_port(const struct fake *fake, const uint8_t mac[static SYS_MAC_LEN], unsigned vlan)
{
	for (const struct fake_fdb *e = fake->fdb; e; e = e->next) {
		if (e->entry.where == SYS_FDB_BRIDGE && e->entry.vlan == vlan && memcmp(e->entry.mac, mac, SYS_MAC_LEN) == 0)
			return fake_if_at(fake, e->ifindex)->link.name;
	}
	return "";
}

unsigned fake_delay_ms(const struct fake *fake, const char *ifname, enum sys_side side)
{
	const struct fake_if *i = must_find(fake, ifname), *by = i->detour[side] ? fake_if_at(fake, i->detour[side]) : NULL;

	if (i->detour[side] && (!by || !by->link.up))
		fake_die("%s: frames go by way of an interface that is gone or down, and are lost", ifname);
	return by ? by->delay_ms : 0;
}

uint32_t fake_rate(const struct fake *fake, const char *ifname, enum sys_side side)
{
	return must_find(fake, ifname)->rate[side];
}

bool fake_source_checked(const struct fake *fake, const char *ifname, enum sys_side side, const uint8_t mac[static SYS_MAC_LEN])
{
	const struct fake_if *i = must_find(fake, ifname);

	return i->checked[side] && memcmp(i->source[side], mac, SYS_MAC_LEN) == 0;
}

struct sys_port fake_port(const struct fake *fake, const char *ifname)
{
	return must_find(fake, ifname)->port;
}

bool fake_vlan_member(const struct fake *fake, const char *ifname, unsigned vid)
{
	return member(must_find(fake, ifname), vid);
}

unsigned fake_tap_opens(const struct fake *fake, const char *ifname)
{
	return must_find(fake, ifname)->opens;
}

unsigned fake_announced(const struct fake *fake)
{
	return fake->announced;
}

void fake_lacks(struct fake *fake, const char *kind)
{
	snprintf(fake->no_module, sizeof(fake->no_module), "%s", kind ? kind : "");
}

/* What the snapshot shows of legs; interfaces themselves are shown with the others. */
void fake_leg_print(const struct fake *fake, FILE *out)
{
	for (const struct fake_if *i = fake->ifs; i; i = i->next) {
		fprintf(out, "leg %s: kind %s vlan %u port %d %d %d rates %u %u delay %u detour %u %u checked %d %d vlans",
			i->link.name, i->link.kind, i->link.vlan, i->port.learns, i->port.floods, i->port.hears, i->rate[0],
			i->rate[1], i->delay_ms, i->detour[0], i->detour[1], i->checked[0], i->checked[1]);
		for (unsigned vid = 0; vid <= SYS_VLAN_MAX; vid++) {
			if (member(i, vid))
				fprintf(out, " %u", vid);
		}
		fputc('\n', out);
	}
	for (const struct fake_fdb *e = fake->fdb; e; e = e->next)
		fprintf(out, "fdb %s: %s %02x:..:%02x vlan %u\n", fake_if_at(fake, e->ifindex)->link.name,
			e->entry.where == SYS_FDB_SELF ? "self" : "master", e->entry.mac[0], e->entry.mac[5], e->entry.vlan);
}
