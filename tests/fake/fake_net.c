/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interfaces, VF policies and notifications of the fake kernel. A driver like igb: reports back what it was told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "err.h"
#include "fake_internal.h"
#include "net_wire.h"

struct fake_if *fake_if_find(const struct fake *fake, const char *ifname)
{
	struct fake_if *i = fake->ifs;

	while (i && strcmp(i->link.name, ifname))
		i = i->next;
	return i;
}

void fake_if_dir(const struct fake_if *i, char buf[static PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/net/%s", i->fn ? i->fn->dir : "/sys/devices/virtual", i->link.name);
}

/* Its folder of sysfs, by its name. */
static void if_publish(struct fake *fake, const struct fake_if *i)
{
	char dir[PATH_MAX], target[PATH_MAX];

	fake_if_dir(i, dir);
	fake_mkdir(fake, "%s", dir);
	fake_put(fake, "", "%s/address", dir); /* its text comes from the link, see fake.c */
	snprintf(target, sizeof(target), "../..%.4000s", dir + strlen("/sys"));
	fake_symlink(fake, target, "/sys/class/net/%s", i->link.name);
	if (i->fn) {
		snprintf(target, sizeof(target), "../../../%s", i->fn->bdf);
		fake_symlink(fake, target, "%s/device", dir);
	}
}

static void if_unpublish(struct fake *fake, const struct fake_if *i)
{
	char dir[PATH_MAX];

	fake_if_dir(i, dir);
	fake_remove(fake, "%s", dir);
	if (i->fn)
		fake_remove(fake, "%s/net", i->fn->dir);
	fake_remove(fake, "/sys/class/net/%s", i->link.name);
}

void fake_rename_interface(struct fake *fake, const char *ifname, const char *to)
{
	struct fake_if *i;

	pthread_mutex_lock(&fake->lock);
	i = fake_if_find(fake, ifname);
	if (!i || fake_if_find(fake, to))
		fake_die("%s cannot be called %s", ifname, to);
	fake_stacked(fake, i, false);
	if_unpublish(fake, i);
	snprintf(i->link.name, sizeof(i->link.name), "%s", to);
	if_publish(fake, i);
	fake_stacked(fake, i, true);
	pthread_mutex_unlock(&fake->lock);
}

void fake_if_new(struct fake *fake, const char *ifname, struct fake_fn *fn, const uint8_t mac[static SYS_MAC_LEN])
{
	struct fake_if *i = calloc(1, sizeof(*i));

	if (!i || fake_if_find(fake, ifname))
		fake_die("interface %s is there", ifname);
	snprintf(i->link.name, sizeof(i->link.name), "%s", ifname);
	i->link.ifindex = fake->next_ifindex++;
	i->link.mtu = 1500;
	memcpy(i->link.mac, mac, SYS_MAC_LEN);
	i->fn = fn;
	i->tap_fd = -1;
	i->next = fake->ifs;
	fake->ifs = i;
	if_publish(fake, i);
	fake_emit_link(fake, ifname);
}

void fake_if_free(struct fake *fake, struct fake_if *i)
{
	struct sys_event ev = { .kind = SYS_EVENT_LINK, .gone = true, .ifindex = i->link.ifindex };
	struct fake_if **at = &fake->ifs;

	fake_leg_gone(fake, i);
	if_unpublish(fake, i);
	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	snprintf(ev.ifname, sizeof(ev.ifname), "%s", i->link.name);
	fake_emit(fake, SYS_WATCH_LINK, &ev);
	free(i);
}

ssize_t fake_read_net(struct fake *fake, const char *path, void *buf, size_t size)
{
	const char *net = strstr(path, "/net/"), *end = net ? strchr(net + 5, '/') : NULL;
	char name[IF_NAMESIZE], text[32];
	struct fake_if *i;
	size_t n;

	if (!end || (strcmp(end, "/address") && strcmp(end, "/ifindex")) || end - net - 5 >= IF_NAMESIZE)
		return -ENOENT;
	snprintf(name, sizeof(name), "%.*s", (int)(end - net - 5), net + 5);
	i = fake_if_find(fake, name);
	if (!i)
		return -ENOENT;
	if (!strcmp(end, "/ifindex"))
		n = (size_t)snprintf(text, sizeof(text), "%u\n", i->link.ifindex);
	else
		n = (size_t)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x\n", i->link.mac[0], i->link.mac[1],
				     i->link.mac[2], i->link.mac[3], i->link.mac[4], i->link.mac[5]);
	n = n < size ? n : size;
	memcpy(buf, text, n);
	return (ssize_t)n;
}

void fake_add_interface(struct fake *fake, const char *ifname, const uint8_t mac[static SYS_MAC_LEN])
{
	pthread_mutex_lock(&fake->lock);
	fake_if_new(fake, ifname, NULL, mac);
	pthread_mutex_unlock(&fake->lock);
}

void fake_add_upper(struct fake *fake, const char *ifname, const char *upper)
{
	char dir[PATH_MAX];
	struct fake_if *i;

	pthread_mutex_lock(&fake->lock);
	i = fake_if_find(fake, ifname);
	if (!i)
		fake_die("no interface %s", ifname);
	fake_if_dir(i, dir);
	fake_symlink(fake, upper, "%s/upper_%s", dir, upper);
	pthread_mutex_unlock(&fake->lock);
}

int fake_link_get(struct sys *sys, const char *ifname, struct sys_link *ret)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	i = fake_if_find(fake, ifname);
	if (i)
		*ret = i->link;
	return (int)fake_leave(fake, i ? 0 : -ENODEV);
}

int fake_vf_list(struct sys *sys, const char *ifname, struct sys_vf *ret, size_t max, size_t *ret_nr)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r = fake_enter(fake);

	if (r < 0)
		return r;
	i = fake_if_find(fake, ifname);
	if (!i)
		return (int)fake_leave(fake, -ENODEV);
	memset(ret, 0, max * sizeof(*ret));
	*ret_nr = i->fn && i->fn->pf ? i->fn->pf->nr : 0;
	for (size_t n = 0; n < *ret_nr && n < max; n++)
		ret[n] = i->fn->pf->vfs[n];
	return (int)fake_leave(fake, 0);
}

static void take_field(struct sys_vf *vf, const struct sys_vf *want, enum sys_vf_field field)
{
	switch (field) {
	case SYS_VF_MAC:
		memcpy(vf->mac, want->mac, SYS_MAC_LEN);
		break;
	case SYS_VF_VLAN:
		vf->vlan = want->vlan;
		vf->qos = want->qos;
		vf->proto = want->proto ? want->proto : 0x8100;
		break;
	case SYS_VF_SPOOFCHK:
		vf->spoofchk = want->spoofchk;
		break;
	case SYS_VF_TRUST:
		vf->trust = want->trust;
		break;
	case SYS_VF_STATE:
		vf->state = want->state;
		break;
	case SYS_VF_RATE:
		vf->min_tx_rate = want->min_tx_rate;
		vf->max_tx_rate = want->max_tx_rate;
		break;
	}
}

static int set_field(struct fake_pf *pf, unsigned vf, const struct sys_vf *want, enum sys_vf_field field)
{
	static const uint8_t zero[SYS_MAC_LEN];
	bool is_zero = memcmp(want->mac, zero, SYS_MAC_LEN) == 0;

	if (vf >= pf->nr)
		return -EINVAL;
	if (pf->in_reset) {
		pf->in_reset--;
		return -EAGAIN;
	}
	if (pf->refuse & field)
		return -EOPNOTSUPP;
	if (field == SYS_VF_MAC && ((want->mac[0] & 1) || (is_zero && pf->refuse_zero_mac)))
		return -EINVAL;
	if (field == SYS_VF_VLAN && (want->vlan > 4095 || want->qos > 7))
		return -EINVAL;
	if (field == SYS_VF_RATE && want->max_tx_rate && want->min_tx_rate > want->max_tx_rate)
		return -EINVAL;
	if (!(pf->swallow & field))
		take_field(&pf->vfs[vf], want, field);
	return 0;
}

int fake_vf_set(struct sys *sys, const char *ifname, unsigned vf, const struct sys_vf *want, struct err *err)
{
	struct fake *fake = (struct fake *)sys;
	struct fake_if *i;
	int r = fake_enter(fake);

	if (r < 0)
		return net_wire_vf_refused(err, r, ifname, vf, (enum sys_vf_field)(want->fields & -want->fields), "");
	i = fake_if_find(fake, ifname);
	for (unsigned field = SYS_VF_MAC; r == 0 && field <= SYS_VF_RATE; field <<= 1) {
		if (!(want->fields & field))
			continue;
		r = !i ? -ENODEV : !i->fn || !i->fn->pf ? -EOPNOTSUPP : set_field(i->fn->pf, vf, want, (enum sys_vf_field)field);
		if (r < 0)
			net_wire_vf_refused(err, r, ifname, vf, (enum sys_vf_field)field,
					    r == -EOPNOTSUPP && i->fn && i->fn->pf ? i->fn->pf->words : "");
	}
	return (int)fake_leave(fake, r);
}

static int new_watch(struct fake *fake)
{
	int n = 0, pair[2];

	while (n < FAKE_WATCHES_MAX && fake->watches[n].tx >= 0)
		n++;
	if (n == FAKE_WATCHES_MAX || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		fake_die("too many watches");
	fake->watches[n].rx = pair[0];
	fake->watches[n].tx = pair[1];
	fake->watches[n].frames_on = 0;
	fake->fds[pair[0]] = true;
	return n;
}

int fake_watch_open(struct sys *sys, enum sys_watch which)
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake), n;

	if (r < 0)
		return r;
	n = new_watch(fake);
	fake->watches[n].which = which;
	return (int)fake_leave(fake, fake->watches[n].rx);
}

int fake_frames_open(struct sys *sys, unsigned ifindex, const uint8_t mac[static SYS_MAC_LEN])
{
	struct fake *fake = (struct fake *)sys;
	int r = fake_enter(fake), n;

	if (r < 0)
		return r;
	if (!fake_if_at(fake, ifindex))
		return (int)fake_leave(fake, -ENODEV);
	n = new_watch(fake);
	fake->watches[n].frames_on = ifindex;
	memcpy(fake->watches[n].mac, mac, SYS_MAC_LEN);
	return (int)fake_leave(fake, fake->watches[n].rx);
}

unsigned fake_frame_comes(struct fake *fake, const char *ifname, const uint8_t mac[static SYS_MAC_LEN])
{
	const struct fake_if *i;
	unsigned heard = 0;

	pthread_mutex_lock(&fake->lock);
	i = fake_if_find(fake, ifname);
	for (int n = 0; i && n < FAKE_WATCHES_MAX; n++)
		if (fake->watches[n].tx >= 0 && fake->watches[n].frames_on == i->link.ifindex &&
		    !memcmp(fake->watches[n].mac, mac, SYS_MAC_LEN))
			heard += send(fake->watches[n].tx, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
	pthread_mutex_unlock(&fake->lock);
	return heard;
}

int fake_watch_read(struct sys *sys, int fd, struct sys_event *ret)
{
	struct fake *fake = (struct fake *)sys;
	struct sys_event ev;
	int r = fake_enter(fake);
	ssize_t n;

	if (r < 0)
		return r;
	n = recv(fd, &ev, sizeof(ev), 0);
	if (n < 0)
		return (int)fake_leave(fake, -errno);
	if (n < (ssize_t)sizeof(ev)) /* a short one stands for lost events */
		return (int)fake_leave(fake, -ENOBUFS);
	*ret = ev;
	return (int)fake_leave(fake, 0);
}

/* A watcher that does not read loses events, as a full netlink socket does; nobody tells it here. */
static void emit_bytes(struct fake *fake, enum sys_watch which, const void *buf, size_t len)
{
	for (int n = 0; n < FAKE_WATCHES_MAX; n++) {
		if (fake->watches[n].tx >= 0 && !fake->watches[n].frames_on && fake->watches[n].which == which)
			(void)!send(fake->watches[n].tx, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

void fake_emit(struct fake *fake, enum sys_watch which, const struct sys_event *ev)
{
	emit_bytes(fake, which, ev, sizeof(*ev));
}

void fake_emit_pci(struct fake *fake, const struct fake_fn *fn, bool gone)
{
	struct sys_event ev = { .kind = SYS_EVENT_PCI, .gone = gone };

	snprintf(ev.bdf, sizeof(ev.bdf), "%s", fn->bdf);
	fake_emit(fake, SYS_WATCH_UEVENT, &ev);
}

void fake_emit_link(struct fake *fake, const char *ifname)
{
	struct sys_event ev = { .kind = SYS_EVENT_LINK };
	struct fake_if *i;

	pthread_mutex_lock(&fake->lock);
	i = ifname ? fake_if_find(fake, ifname) : NULL;
	if (i) {
		memcpy(ev.ifname, i->link.name, sizeof(ev.ifname));
		ev.ifindex = i->link.ifindex;
		ev.up = i->link.up;
		ev.carrier = i->link.carrier;
		fake_emit(fake, SYS_WATCH_LINK, &ev);
	} else if (!ifname) {
		emit_bytes(fake, SYS_WATCH_LINK, "", 1);
	}
	pthread_mutex_unlock(&fake->lock);
}

void fake_log_record(struct fake *fake, const char *record)
{
	struct sys_event ev = { .kind = SYS_EVENT_KMSG };

	snprintf(ev.record, sizeof(ev.record), "%s", record);
	pthread_mutex_lock(&fake->lock);
	fake_emit(fake, SYS_WATCH_KMSG, &ev);
	pthread_mutex_unlock(&fake->lock);
}

void fake_log(struct fake *fake, const char *text)
{
	char record[SYS_KMSG_MAX];

	if (text) {
		snprintf(record, sizeof(record), "3,1201,5140900,-;%s\n", text);
		fake_log_record(fake, record);
		return;
	}
	pthread_mutex_lock(&fake->lock);
	emit_bytes(fake, SYS_WATCH_KMSG, "", 1);
	pthread_mutex_unlock(&fake->lock);
}
